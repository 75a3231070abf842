/** The entry point of the filesystem thread. The thread starts before it is known what it will serve. */
import { receiveMessageOnPort } from "node:worker_threads";
import * as libc from "../libc.ts";
import type { WorkerOptions, WorkerStart } from "../rpc/messages.ts";

/** The first message. The main thread may send it long after the start of this thread. */
export function receiveOptions({ port, wake }: WorkerStart): WorkerOptions {
  const entry = Int32Array.of(wake, libc.POLLIN);
  const count = new Uint8Array(8);
  for (;;) {
    libc.poll(libc.address(entry), 1, -1);
    libc.read(wake, count, count.length);
    const received: { message: WorkerOptions } | undefined = receiveMessageOnPort(port);
    if (received !== undefined) return received.message;
  }
}
