/**
 * Keeps the kernel's cache of names up to date when a name changes without a request of the kernel.
 *
 * Whatever the kernel itself does to a name (unlink, rename, create) it knows. What this side does (a new listing, a
 * content under the name of an old one, a file whose generator withdrew it) it does not: it would go on finding the old
 * inode, and would keep it in memory, with its bytes, until memory is short. The tree reports every change of a name, and
 * the changes that no request of the kernel made are passed on as FUSE_NOTIFY_INVAL_ENTRY.
 *
 * The kernel takes the directory's lock for that (fs/fuse/dir.c:fuse_reverse_inval_entry), and a program that waits for
 * our answer may hold it. So:
 * - The message is written by another thread; this one would deadlock.
 * - It is not written while a LOOKUP is parked in the same directory. A parked LOOKUP holds the lock, shared, for as long
 *   as a generator takes; a thread that waits for the same lock exclusively keeps everybody else out, including the
 *   program that makes the content. (Whoever holds the lock exclusively keeps the others out anyway.)
 * - A LOOKUP that would be parked while a message about its directory is under way takes the message back. If it is too
 *   late for that, the LOOKUP is answered ESTALE, upon which the kernel releases the lock, and walks the path once more
 *   (fs/namei.c:filename_lookup()).
 */
import { FsError } from "../../errno.ts";
import * as abi from "../../fuse/abi.ts";
import type { Handler, OpName } from "../../fuse/ops.ts";
import type { AsyncWrite } from "../../libc.ts";
import type { Directory } from "../../tree/directory.ts";
import type { Inode } from "../../tree/inode.ts";
import type { FsCore } from "../core.ts";
import type { RuleEntries } from "../lazy/rule-entries.ts";
import { ByThread, NOBODY } from "../waiting/by-thread.ts";

/** Messages handed to the other thread at a time: glibc walks through those that wait for each further one. */
const MOST_UNDER_WAY = 64;

interface NameChange {
  readonly parent: number;
  readonly name: string;
}

interface UnderWay {
  readonly change: NameChange;
  readonly write: AsyncWrite;
}

/** What it uses of the mount. */
interface DcacheContext extends FsCore {
  readonly ruleEntries: Pick<RuleEntries, "balanceInodes">;
}

export class Dcache {
  readonly #mount: () => DcacheContext;
  /** Whether the change belongs to a request of the kernel, whose reply covers it. */
  #byKernel = false;
  /** Directories for which the kernel may have cached that some name does not exist. */
  readonly #negative = new WeakSet<Directory>();
  /** Names of which the kernel must be notified, by directory. */
  readonly #waiting = new Map<number, Set<string>>();
  #underWay: UnderWay[] = [];
  /** The directory of the LOOKUP that is being handled and may be parked in the end; 0: none. */
  #parking = 0;
  /** Directories whose listing changed since `together` began. */
  #listings: Set<Directory> | undefined;
  /** Threads of which a LOOKUP was answered ESTALE: the next one must not be, as the kernel walks a path only twice. */
  readonly #sent = new ByThread<true>({ milliseconds: 1000, notes: 1024 });

  constructor(mount: () => DcacheContext) {
    this.#mount = mount;
  }

  /** The handler of a request that changes names: the kernel knows of these changes. */
  wrapNameChange<K extends OpName>(handler: Handler<K>): Handler<K> {
    return (request, header, target) => {
      this.#byKernel = true;
      try {
        return handler(request, header, target);
      } finally {
        this.#byKernel = false;
        this.#mount().ruleEntries.balanceInodes();
      }
    };
  }

  /** The handler of LOOKUP: no notification about its directory is sent before it is known whether the request is parked. */
  wrapLookup(handler: Handler<"lookup">): Handler<"lookup"> {
    return (request, header, target) => {
      try {
        return handler(request, header, target);
      } finally {
        this.#parking = 0;
      }
    };
  }

  /** The reply lets the kernel cache that there is no such name in this directory. */
  noteNegative(directory: Directory): void {
    this.#negative.add(directory);
  }

  /**
   * A name in a directory is another inode's, or nobody's, from here on; before it was this one's. The tree calls it for
   * every change, after the change and before an inode is disposed of.
   */
  onNameChange(directory: Directory, name: string, before: Inode | undefined): void {
    if (this.#byKernel || directory.lookups === 0) return;
    if (this.#listings === undefined) this.#mount().invalidate(directory, true);
    else this.#listings.add(directory);
    const known = before === undefined ? this.#negative.has(directory) : before.lookups > 0;
    if (!known) return;
    // Its link count and its ctime.
    if (before !== undefined) this.#mount().invalidate(before, false);
    this.#enqueue({ parent: directory.ino, name });
    this.flush();
  }

  /** Does the work; of a directory in which it changes many names, the listing is invalidated once. */
  batch(work: () => void): void {
    if (this.#listings !== undefined) return work();
    const listings = new Set<Directory>();
    this.#listings = listings;
    try {
      work();
    } finally {
      this.#listings = undefined;
      for (const directory of listings) this.#mount().invalidate(directory, true);
    }
  }

  /**
   * A LOOKUP in this directory, by this thread, is about to be parked: the directory stays locked. Throws ESTALE where the
   * kernel is to let go of the lock and come again.
   */
  prepareToPark({ ino }: Directory, pid: number): void {
    this.#parking = ino;
    this.#underWay = this.#underWay.filter(({ change, write }) => {
      if (change.parent !== ino) return true;
      if (!write.cancel()) return !write.done();
      this.#enqueue(change);
      return false;
    });
    const stuck = this.#underWay.some(({ change }) => change.parent === ino);
    if (!stuck || pid === NOBODY) return;
    const comesBack = this.#sent.get(pid) === true;
    this.#sent.delete(pid);
    if (comesBack) return;
    this.#sent.set(pid, true);
    throw new FsError("ESTALE", "the kernel must release the directory's lock and look the name up again");
  }

  /** Whether some notifications wait only because too many are in flight. */
  get hasWaiting(): boolean {
    return this.#waiting.keys().some((parent) => !this.#isLocked(parent));
  }

  /** Sends the notifications that may be sent now. */
  flush(): void {
    if (this.#waiting.size === 0) return;
    this.#underWay = this.#underWay.filter(({ write }) => !write.done());
    for (const [parent, names] of this.#waiting) {
      if (this.#isLocked(parent)) continue;
      for (const name of names) {
        if (this.#underWay.length >= MOST_UNDER_WAY || !this.#notify({ parent, name })) return;
        names.delete(name);
      }
      this.#waiting.delete(parent);
    }
  }

  #isLocked(parent: number): boolean {
    return parent === this.#parking || this.#mount().session().hasParkedLookup(parent);
  }

  /** Returns false if it must be tried again. */
  #notify(change: NameChange): boolean {
    const body = { ...change, namelen: change.name.length, flags: 0 };
    try {
      const write = this.#mount().session().notifyAsync(abi.FUSE_NOTIFY_INVAL_ENTRY, abi.notifyInvalEntryOut, body);
      // Where there is no such thread at all, the kernel finds out when it looks names up again.
      if (write !== undefined) this.#underWay.push({ change, write });
      return true;
    } catch (error) {
      // No memory, or no thread, for the moment.
      if (error instanceof FsError) return false;
      throw error;
    }
  }

  #enqueue({ parent, name }: NameChange): void {
    const names = this.#waiting.get(parent);
    if (names === undefined) this.#waiting.set(parent, new Set([name]));
    else names.add(name);
  }
}
