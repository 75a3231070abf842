/**
 * Starts the filesystem thread (fs/worker.ts), which then waits for its options.
 *
 * A thread of its own takes as long to start as this program. So it may be started before it is known what to mount,
 * and loads its code while the main thread reads the command line and the configuration.
 *
 * Bun's own Worker is used, because the one of node:worker_threads takes several milliseconds to load.
 */
import * as libc from "../libc.ts";
import type { WorkerOptions, WorkerStart } from "../rpc/messages.ts";

export interface FilesystemThread {
  readonly worker: Worker;
  readonly port: MessagePort;
  /** An eventfd on which the thread sleeps. */
  readonly wake: number;
}

/** A thread without its options. It sleeps until `wake` is not 0. */
interface StartedThread {
  readonly worker: Worker;
  readonly port: MessagePort;
  readonly wake: Int32Array<SharedArrayBuffer>;
}

let prepared: StartedThread | undefined;

/**
 * Starts the thread that the next mount of this process will use. If it cannot be started, that mount will say why. It
 * needs no system call of ours, because loading those takes as long as half of this program.
 */
export function prepareThread(): void {
  try {
    prepared ??= startThread();
  } catch {}
}

/** A thread that has been given its options. */
export function takeThread(options: WorkerOptions): FilesystemThread {
  const { worker, port, wake } = prepared ?? startThread();
  prepared = undefined;
  const descriptor = libc.eventfd();
  port.postMessage(options);
  Atomics.store(wake, 0, descriptor);
  Atomics.notify(wake, 0);
  return { worker, port, wake: descriptor };
}

function startThread(): StartedThread {
  const wake = new Int32Array(new SharedArrayBuffer(4));
  const { port1, port2 } = new MessageChannel();
  const workerData: WorkerStart = { port: port2, wake };
  // Bun passes workerData on as node:worker_threads does; its types do not say so.
  const options = { name: "filesystem", workerData, transferList: [port2] };
  const worker = new Worker(new URL("../fs/worker.ts", import.meta.url), options);
  return { worker, port: port1, wake };
}
