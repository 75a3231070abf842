/**
 * Data that programs stored through shared mappings and that the kernel has not sent yet.
 *
 * Without passthrough (passthrough.ts) a mapping belongs to the kernel's page cache. A store makes a page dirty, and
 * reaches us as a WRITE when the kernel writes the page back: at msync(2) or munmap(2), or up to half a minute later.
 * That WRITE would overwrite a time that was set before it arrives. So before a time is set, the kernel is made to
 * write back its dirty pages. FUSE_NOTIFY_INVAL_INODE does that, and returns when every WRITE is answered, so another
 * thread has to send it.
 */
import { FsError } from "../../errno.ts";
import * as abi from "../../fuse/abi.ts";
import type { Session } from "../../fuse/session.ts";
import { type AsyncWrite, yieldProcessor } from "../../libc.ts";
import type { RegularFile } from "../../tree/file.ts";

/** Without dirty pages it takes 20 to 100 µs, which is less than parking the request and returning to it. */
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
   * Returns false if everything that was stored in the file has arrived. Otherwise returns true and calls `done` when
   * it has. `unique` is the waiting request, which the caller must park.
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

  /** Ends the waits that are over. Returns true if others are left, which end soon. */
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

  /** Undefined without another thread: then a late WRITE sets the file's times. */
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
