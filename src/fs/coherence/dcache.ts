/**
 * Keeps the kernel's cache of names up to date when a name changes without a request of the kernel.
 *
 * The kernel knows what it does to a name itself (unlink, rename, create). It does not know what this side does: a new
 * listing, a new inode under an existing name, a file that its generator withdrew. It would continue to find the old
 * inode, and would keep it and its bytes until memory is short. The tree reports every change of a name, and those that
 * no request of the kernel caused are passed on as FUSE_NOTIFY_INVAL_ENTRY.
 *
 * To handle such a notification the kernel takes the directory's lock (fs/fuse/dir.c:fuse_reverse_inval_entry), and a
 * program that waits for our answer may hold that lock. Therefore:
 * - Another thread writes the notification; this thread would deadlock.
 * - No notification is written while a LOOKUP is parked in the same directory. A parked LOOKUP holds the lock, shared,
 *   for as long as a generator takes. A thread that waits for the same lock exclusively keeps all others out, including
 *   the program that generates the content. (A holder of the exclusive lock keeps the others out anyway.)
 * - A LOOKUP that would be parked while a notification about its directory is in flight withdraws the notification. If
 *   it is too late for that, the LOOKUP is answered with ESTALE: the kernel then releases the lock and walks the path
 *   once more (fs/namei.c:filename_lookup()).
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

/**
 * Maximum number of notifications handed to the other thread at a time: glibc walks through all waiting ones for each
 * new one.
 */
const MOST_UNDER_WAY = 64;

interface NameChange {
  readonly parent: number;
  readonly name: string;
}

interface UnderWay {
  readonly change: NameChange;
  readonly write: AsyncWrite;
}

/** The parts of the mount that it uses. */
interface DcacheContext extends FsCore {
  readonly ruleEntries: Pick<RuleEntries, "balanceInodes">;
}

export class Dcache {
  readonly #mount: () => DcacheContext;
  /** Whether the current change is part of a kernel request, whose reply covers it. */
  #byKernel = false;
  /** Directories for which the kernel may have cached that a name does not exist. */
  readonly #negative = new WeakSet<Directory>();
  /** Names about which the kernel must be notified, by directory. */
  readonly #waiting = new Map<number, Set<string>>();
  #underWay: UnderWay[] = [];
  /** The directory of the LOOKUP that is being handled and may be parked; 0 for none. */
  #parking = 0;
  /** Directories whose listing changed since `batch` began. */
  #listings: Set<Directory> | undefined;
  /**
   * Threads whose LOOKUP was answered with ESTALE. The next one must not be, because the kernel walks a path only
   * twice.
   */
  readonly #sent = new ByThread<true>({ milliseconds: 1000, notes: 1024 });

  constructor(mount: () => DcacheContext) {
    this.#mount = mount;
  }

  /** Wraps the handler of a request that changes names: the kernel knows about these changes. */
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

  /**
   * Wraps the handler of LOOKUP: no notification about its directory is sent until it is known whether the request is
   * parked.
   */
  wrapLookup(handler: Handler<"lookup">): Handler<"lookup"> {
    return (request, header, target) => {
      try {
        return handler(request, header, target);
      } finally {
        this.#parking = 0;
      }
    };
  }

  /** Notes that a reply lets the kernel cache a missing name in this directory. */
  noteNegative(directory: Directory): void {
    this.#negative.add(directory);
  }

  /**
   * Handles the change of a name from one inode to another, or to none. The tree calls it for every change, after the
   * change and before an inode is disposed of.
   */
  onNameChange(directory: Directory, name: string, before: Inode | undefined): void {
    if (this.#byKernel || directory.lookups === 0) return;
    if (this.#listings === undefined) this.#mount().invalidate(directory, true);
    else this.#listings.add(directory);
    const known = before === undefined ? this.#negative.has(directory) : before.lookups > 0;
    if (!known) return;
    // This updates the link count and the ctime.
    if (before !== undefined) this.#mount().invalidate(before, false);
    this.#enqueue({ parent: directory.ino, name });
    this.flush();
  }

  /** Does work that changes many names; the listing of each changed directory is invalidated once. */
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
   * Call this before a LOOKUP of this thread in the directory is parked, which keeps the directory locked. Throws
   * ESTALE if the kernel has to release the lock and walk the path again.
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

  /** Sends the notifications that can be sent at the moment. */
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

  /** Returns false if the notification has to be sent later. */
  #notify(change: NameChange): boolean {
    const body = { ...change, namelen: change.name.length, flags: 0 };
    try {
      const write = this.#mount().session().notifyAsync(abi.FUSE_NOTIFY_INVAL_ENTRY, abi.notifyInvalEntryOut, body);
      // Without that thread, the kernel notices when it looks names up again.
      if (write !== undefined) this.#underWay.push({ change, write });
      return true;
    } catch (error) {
      // No memory or no thread at the moment.
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
