/**
 * Starts the filesystem thread (fs/worker.ts), which then waits for its options.
 *
 * A thread of its own takes as long to start as this program. So it may be started before it is known what to mount,
 * and loads its code while the main thread reads the command line and the configuration.
 *
 * Bun's own Worker is used, because the one of node:worker_threads takes several milliseconds to load. This file imports no
 * other, so that the thread starts before anything else is loaded.
 */
import type { WorkerOptions, WorkerStart } from "../rpc/messages.ts";

export interface FilesystemThread {
  readonly worker: Worker;
  readonly port: MessagePort;
}

/** A thread without its options. It sleeps until `wake` is not 0. */
interface StartedThread extends FilesystemThread {
  readonly wake: Int32Array<SharedArrayBuffer>;
}

let prepared: StartedThread | undefined;

/** Starts the thread that the next mount of this process will use. If it cannot be started, that mount will say why. */
export function prepareThread(): void {
  try {
    prepared ??= startThread();
  } catch {}
}

/** A thread that has been given its options. `wake`: an eventfd on which it will sleep. */
export function takeThread(options: WorkerOptions, wake: number): FilesystemThread {
  const thread = prepared ?? startThread();
  prepared = undefined;
  thread.port.postMessage(options);
  Atomics.store(thread.wake, 0, wake);
  Atomics.notify(thread.wake, 0);
  return thread;
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
