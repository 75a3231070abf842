/**
 * A reply whose data goes from a file's pages to the kernel without a copy of ours: through a pipe (splice(2)).
 *
 * The pipe is emptied within the call, because the next reply would send what it finds in it. So after any surprise the
 * pipe is closed, and the caller copies the data.
 */

import type { Extent } from "../libc.ts";
import * as libc from "../libc.ts";

const PAGE = 4096;
/** The largest pipe of an ordinary user (/proc/sys/fs/pipe-max-size). */
const PIPE_BYTES = 1 << 20;

interface Pipe {
  readonly out: number;
  readonly into: number;
  /** The pipe's capacity. */
  readonly pages: number;
}

export class Splicer {
  #pipe: Pipe | undefined;

  /**
   * Sends `header` and the extent to `device` as one message. Returns 0 or the device's negative errno; undefined if
   * nothing was sent, and the caller has to send the data itself.
   */
  send(device: number, header: Buffer, headerLength: number, extent: Extent): number | undefined {
    const pipe = this.#open();
    const pages = Math.ceil(((extent.offset % PAGE) + extent.length) / PAGE);
    if (pipe === undefined || pages + 1 > pipe.pages) return undefined;
    if (libc.write(pipe.into, header, headerLength) !== headerLength) return this.close();
    for (let done = 0; done < extent.length; ) {
      const count = libc.splice(extent.fd, extent.offset + done, pipe.into, extent.length - done);
      if (count <= 0) return this.close();
      done += count;
    }
    const length = headerLength + extent.length;
    const sent = libc.splice(pipe.out, undefined, device, length);
    if (sent === length) return 0;
    this.close();
    return Math.min(sent, 0);
  }

  /** Closes the pipe; the next reply creates a new one. */
  close(): undefined {
    if (this.#pipe === undefined) return;
    libc.close(this.#pipe.out);
    libc.close(this.#pipe.into);
    this.#pipe = undefined;
  }

  /** Returns undefined if there is no descriptor left. */
  #open(): Pipe | undefined {
    if (this.#pipe !== undefined) return this.#pipe;
    try {
      const [out, into] = libc.pipe();
      this.#pipe = { out, into, pages: libc.growPipe(into, PIPE_BYTES) / PAGE };
    } catch (error) {
      if (!(error instanceof libc.SystemError)) throw error;
    }
    return this.#pipe;
  }
}
