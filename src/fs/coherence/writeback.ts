/**
 * What programs stored through shared mappings, and the kernel still keeps to itself.
 *
 * Without passthrough (passthrough.ts) a mapping is of the kernel's page cache. A store makes a page dirty, and comes to us
 * as a WRITE when the kernel writes the page back: at msync(2) or munmap(2), or up to half a minute later. A time that is
 * set in between would be lost to that WRITE. So before it is set, the kernel is made to write back what it has. That is
 * part of FUSE_NOTIFY_INVAL_INODE, which returns when every WRITE was answered: another thread has to send it.
 */
import { FsError } from "../../errno.ts";
import * as abi from "../../fuse/abi.ts";
import type { Session } from "../../fuse/session.ts";
import { type AsyncWrite, yieldProcessor } from "../../libc.ts";
import type { RegularFile } from "../../tree/file.ts";

/** Where nothing is dirty, it takes 20 to 100 µs: less than to park the request and to come back to it. */
const LOOK_MS = 0.2;

interface Waiting {
  readonly unique: number;
  readonly write: AsyncWrite;
  done(): void;
}

export class Writeback {
  readonly #session: () => Session;
  #waiting: Waiting[] = [];

  constructor(session: () => Session) {
    this.#session = session;
  }

  /**
   * False: all that was stored in the file has come. True: it has not, and `done` is called when it has. `unique` is the
   * request that waits; the caller must park it.
   */
  flush(file: RegularFile, unique: number, done: () => void): boolean {
    const write = this.#send(file);
    if (write === undefined) return false;
    for (const until = performance.now() + LOOK_MS; performance.now() < until; yieldProcessor()) {
      if (write.done()) return false;
    }
    this.#waiting.push({ unique, write, done });
    return true;
  }

  /** Ends the waits that are over. True while there are others, which end soon. */
  poll(): boolean {
    if (this.#waiting.length === 0) return false;
    const over = this.#waiting.filter(({ write }) => write.done());
    this.#waiting = this.#waiting.filter((one) => !over.includes(one));
    for (const { done } of over) done();
    if (this.#waiting.length > 0) yieldProcessor();
    return this.#waiting.length > 0;
  }

  /** Whether the request waits here. It is answered soon, whatever signals its caller gets. */
  isWaiting(unique: number): boolean {
    return this.#waiting.some((waiting) => waiting.unique === unique);
  }

  /** Undefined where there is no other thread: then a WRITE that comes late marks the file. */
  #send({ ino }: RegularFile): AsyncWrite | undefined {
    const everything = { ino, off: 0, len: 0 };
    try {
      return this.#session().notifyAsync(abi.FUSE_NOTIFY_INVAL_INODE, abi.notifyInvalInodeOut, everything, true);
    } catch (error) {
      if (error instanceof FsError) return undefined;
      throw error;
    }
  }
}
