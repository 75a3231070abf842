/** The entry point of the filesystem thread. The thread starts before it is known what it will serve. */
import { receiveMessageOnPort } from "node:worker_threads";
import type { WorkerOptions, WorkerStart } from "../rpc/messages.ts";
import { Stamps } from "./clock.ts";

export interface ThreadStart {
  readonly options: WorkerOptions;
  /** An eventfd on which this thread sleeps. */
  readonly wake: number;
  readonly stamps: Stamps;
}

/** What the main thread sends, which it may do long after the start of this thread. */
export function receiveOptions({ port, wake }: WorkerStart): ThreadStart {
  // This loads the system calls, in the time until the options come.
  const stamps = new Stamps();
  Atomics.wait(wake, 0, 0);
  // The main thread has sent them before it set the descriptor.
  const received: { readonly message: WorkerOptions } | undefined = receiveMessageOnPort(port);
  if (received === undefined) throw new Error("the filesystem thread has got no options");
  return { options: received.message, wake: Atomics.load(wake, 0), stamps };
}
