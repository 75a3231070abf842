/**
 * An open `.llmfs/make`: whoever has it open names files, which are made ahead of their readers, and reads what became of
 * them. It costs one open file where each reader would cost a thread that waits, and works on a read-only mount too.
 *
 * ioctl(2) with MAKE takes paths as the tree has them (bytes, from "/"), each ended by a NUL; they go on from one command to
 * the next. They are numbered from 0 in the order in which they came. read(2) gives a line for each that is done with:
 * "NUMBER" once it has its content, "NUMBER ERRNO" if it failed. It waits for the next line while any is under way, and
 * says end of file when none is. With STOP, or when the file is closed, nobody wants any longer what is under way.
 */
import { FsError, messageOf } from "../errno.ts";
import { type Header, PARKED, type Parked } from "../fuse/ops.ts";
import type { ControlHandle } from "./control.ts";
import type { Mount } from "./mount.ts";

/** _IOW('l', 1, char[n]): how many bytes follow stands in the fourteen bits that are 0 here. */
export const MAKE = 0x4000_6c01;
/** _IO('l', 2). */
export const STOP = 0x6c02;
/** As many bytes as one command takes: asm-generic/ioctl.h. */
export const MAKE_BYTES = (1 << 14) - 1;
const SIZE_BITS = MAKE_BYTES << 16;

/** The other thread begins with so many while the next are looked up. */
const TOGETHER = 16;

/** What waits in attempts.ts for a content is named by a number; the kernel's are above 0. */
let lastName = 0;

export class Making implements ControlHandle {
  readonly #mount: Mount;
  /** What came of a path that is not ended yet. */
  #rest = "";
  #count = 0;
  /** By the number of the path, the name of who waits for it. */
  readonly #underWay = new Map<number, number>();
  #news = "";
  /** Reads that wait for news, and how much they may take. */
  readonly #reads: { readonly unique: number; readonly size: number }[] = [];

  constructor(mount: Mount) {
    this.#mount = mount;
  }

  /** Throws ENOTTY for any other command. */
  command(code: number, data: Uint8Array, header: Header): void {
    if (code === STOP) return this.#callOff();
    if ((code & ~SIZE_BITS) >>> 0 !== MAKE) throw new FsError("ENOTTY");
    const paths = (this.#rest + Buffer.from(data.buffer, data.byteOffset, data.length).toString("latin1")).split("\0");
    this.#rest = paths.pop() ?? "";
    for (let at = 0; at < paths.length; at += TOGETHER) {
      this.#mount.together(() => {
        for (const path of paths.slice(at, at + TOGETHER)) this.#make(path, header.pid);
      });
    }
  }

  read(_offset: number, target: Buffer, { unique }: Header): number | Parked {
    if (this.#news !== "") return target.write(this.#take(target.length), "latin1");
    if (this.#underWay.size === 0) return 0;
    this.#reads.push({ unique, size: target.length });
    return PARKED;
  }

  leave(unique: number): boolean {
    const at = this.#reads.findIndex((read) => read.unique === unique);
    if (at < 0) return false;
    this.#reads.splice(at, 1);
    this.#mount.session().fail(unique, new FsError("EINTR", "interrupted while waiting for news"));
    return true;
  }

  close(): void {
    this.#callOff();
  }

  /** All of it at once, and the last first: else what is called off would make room for what is called off next. */
  #callOff(): void {
    const names = [...this.#underWay.values()].reverse();
    this.#mount.together(() => {
      for (const name of names) this.#mount.attempts.leave(name);
    });
  }

  #make(path: string, pid: number): void {
    const number = this.#count++;
    const ended = (error?: FsError) => {
      this.#underWay.delete(number);
      this.#tell(error === undefined ? `${number}\n` : `${number} ${error.code}\n`);
    };
    const name = --lastName;
    try {
      const file = this.#mount.tree.resolve(path, { follow: true });
      if (file.kind !== "file" || !file.lazy) return ended();
      this.#underWay.set(number, name);
      this.#mount.pending.wait(file, { unique: name, pid, done: () => ended(), fail: ended });
    } catch (error) {
      ended(error instanceof FsError ? error : new FsError("EIO", messageOf(error), { cause: error }));
    }
  }

  #tell(line: string): void {
    this.#news += line;
    const read = this.#reads.shift();
    if (read === undefined) return;
    const news = this.#take(read.size);
    // Whoever read is gone; somebody else may ask.
    if (!this.#mount.session().answerData(read.unique, Buffer.from(news, "latin1"))) this.#news = news + this.#news;
  }

  #take(most: number): string {
    const news = this.#news.slice(0, most);
    this.#news = this.#news.slice(most);
    return news;
  }
}
