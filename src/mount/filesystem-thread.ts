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

let prepared: FilesystemThread | undefined;

/** Starts the thread that the next mount of this process will use. If it cannot be started, that mount will say why. */
export function prepareThread(): void {
  try {
    prepared ??= startThread();
  } catch {}
}

/** A thread that has been given its options. */
export function takeThread(options: WorkerOptions): FilesystemThread {
  const thread = prepared ?? startThread();
  prepared = undefined;
  thread.port.postMessage(options);
  libc.write(thread.wake, ONE, ONE.length);
  return thread;
}

function startThread(): FilesystemThread {
  const wake = libc.eventfd();
  const { port1, port2 } = new MessageChannel();
  const workerData: WorkerStart = { port: port2, wake };
  // Bun passes workerData on as node:worker_threads does; its types do not say so.
  const options = { name: "filesystem", workerData, transferList: [port2] };
  const worker = new Worker(new URL("../fs/worker.ts", import.meta.url), options);
  return { worker, port: port1, wake };
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);
