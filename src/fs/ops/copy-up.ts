/**
 * Overlayfs above the mount, when it copies a file up to its own layer (fs/overlayfs/copy_up.c).
 *
 * It asks for the size first, then opens the file, copies that many bytes, and sets the copy to that size. If the
 * content arrives in between, as it does when that open generates it, the size was only claimed, and the copy would be
 * padded with NULs, or cut. Only an error makes overlayfs start over. ESTALE is the one error that the system call for
 * which it copies (chmod, open for writing, rename) does not report: the kernel restarts that call (retry_estale()),
 * and by then the size is right. The first request after the data whose error counts is LISTXATTR.
 *
 * Overlayfs is recognised by what no program does: a thread opens a file with O_NOATIME, seeks data at the start of its
 * content, which has only just arrived, without having asked for its size, and lists the extended attributes. With the
 * mount option metacopy=on it copies no data, but still the size: it lists the attributes and only then opens the file
 * to read its flags (since Linux 5.15). In that case the open is answered with ESTALE, whoever the caller is; a program
 * does not notice, because open(2) retries by itself.
 */
import type { FsError } from "../../errno.ts";
import type { Wide } from "../../int64.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Inode } from "../../tree/inode.ts";
import { isWritable, O_NOATIME } from "../handles.ts";
import type { Opener, Revalidation } from "../lazy/revalidate.ts";
import { ByThread, NOBODY } from "../waiting/by-thread.ts";

/** Between asking for the size and opening, overlayfs may wait for another thread that copies the same file up. */
const RECENT_MS = 2000;
/** How long a thread that listed the attributes of a file may take to open it. */
const OPENS_MS = 1000;

interface CopyUpOpen {
  readonly pid: number;
  readonly file: RegularFile;
  /**
   * "suspect": it behaves like overlayfs. "cleared": it does not. "returned": the thread got ESTALE and copies again.
   */
  state: "opened" | "suspect" | "cleared" | "returned";
}

export class CopyUps {
  /** Opens that may belong to overlayfs, by handle. */
  readonly #opened = new Map<number, CopyUpOpen>();
  /** Files whose content arrived recently, oldest first, with the time. */
  readonly #arrived = new Map<RegularFile, number>();
  /** Pending files whose attributes a thread listed. */
  readonly #listed = new ByThread<WeakRef<RegularFile>>({ milliseconds: OPENS_MS, notes: 256 });
  readonly #revalidation: Revalidation;
  readonly #seeks: () => boolean;

  /** `seeks`: whether this kernel's overlayfs looks for holes, which it does since Linux 5.6. */
  constructor(revalidation: Revalidation, seeks: () => boolean) {
    this.#revalidation = revalidation;
    this.#seeks = seeks;
  }

  /** The file got new content. */
  onContent(file: RegularFile): void {
    const now = performance.now();
    for (const [other, at] of this.#arrived) {
      if (now - at < RECENT_MS) break;
      this.#arrived.delete(other);
    }
    this.#arrived.delete(file);
    this.#arrived.set(file, now);
  }

  /** Whether this thread came back for the file and has it open: it has to find the same content again. */
  comesBack(file: RegularFile, pid: number): boolean {
    return this.#opensOf(file, pid).some(({ state }) => state === "returned");
  }

  /** This thread opened the file again after ESTALE. */
  onReturn(fh: number, file: RegularFile, pid: number): void {
    this.#opened.set(fh, { pid, file, state: "returned" });
  }

  /** This thread opened the file for the first time. `waited`: it waited for the content. */
  onOpen(fh: number, file: RegularFile, pid: number, flags: number, waited: boolean): void {
    if ((flags & O_NOATIME) === 0 || isWritable(flags)) return;
    const at = this.#arrived.get(file);
    if (at === undefined || performance.now() - at > RECENT_MS) return;
    // It may have asked for the size when it already had the file open.
    if (this.#opensOf(file, pid).length > 0) return;
    this.#opened.set(fh, { pid, file, state: waited && !this.#seeks() ? "suspect" : "opened" });
  }

  onRelease(fh: number): void {
    this.#opened.delete(fh);
  }

  /** SEEK_DATA or SEEK_HOLE on a handle. */
  onSeek(fh: number, data: boolean, offset: Wide): void {
    const opened = this.#opened.get(fh);
    if (opened?.state !== "opened" && opened?.state !== "suspect") return;
    if (!data) opened.state = "cleared";
    else if (Number(offset) === 0) opened.state = "suspect";
  }

  /** The file's size was sent to this thread. */
  onSizeSent(file: Inode, pid: number): void {
    if (this.#opened.size === 0) return;
    for (const opened of this.#opensOf(file, pid)) if (opened.state !== "returned") opened.state = "cleared";
  }

  /** This thread lists the extended attributes of a file. Throws ESTALE if the size used for its copy may be wrong. */
  onListxattr(file: Inode, pid: number): void {
    if (file.kind === "file" && file.lazy && pid !== NOBODY) this.#listed.set(pid, new WeakRef(file));
    for (const opened of this.#opensOf(file, pid)) {
      if (opened.state !== "suspect") continue;
      opened.state = "cleared";
      throw this.#lookAgain(opened.file, pid);
    }
  }

  /** Call this before an open for reading is answered. Throws ESTALE if its thread may have copied the claimed size. */
  beforeOpen(file: RegularFile, opener: Opener): void {
    const listed = this.#listed.get(opener.pid)?.deref();
    if (listed === undefined) return;
    this.#listed.delete(opener.pid);
    if (listed === file && opener.mayLookAgain(file)) throw this.#lookAgain(file, opener.pid);
  }

  #lookAgain(file: RegularFile, pid: number): FsError {
    return this.#revalidation.lookAgain({ pid }, file, "the file has a new size; copy it again");
  }

  #opensOf(file: Inode, pid: number): readonly CopyUpOpen[] {
    if (this.#opened.size === 0) return NONE;
    return [...this.#opened.values()].filter((opened) => opened.pid === pid && opened.file === file);
  }
}

const NONE: readonly CopyUpOpen[] = [];
