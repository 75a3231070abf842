/**
 * Files whose content does not exist yet: who waits for which, and what happens when it comes.
 *
 * An open for reading is parked here and answered when the bytes are there. However many wait, the content is asked for
 * once. Everything goes by inode: rename, link or unlink meanwhile does not matter. The other thread does the work; it
 * knows an attempt by its ticket, and an answer to a ticket that is no longer wanted is dropped.
 */
import { FsError } from "../errno.ts";
import type { RegularFile } from "../tree/file.ts";
import { toBytes, toText } from "../tree/path.ts";
import { setXattr } from "../tree/xattrs.ts";
import { briefOf } from "./brief.ts";
import type { Mount } from "./mount.ts";
import type { FromFilesystem } from "./port.ts";

/** How long an open waits before it tries a file again that failed: not at all, then doubling up to this. */
const LONGEST_PAUSE_MS = 5000;
const FIRST_PAUSE_MS = 250;

export interface Waiter {
  /** The parked request, for those of the kernel. */
  readonly unique?: number;
  /** The ino of the file that is being generated and reads this one, for those of generators. */
  readonly requester?: number;
  /** The content is there: the file's, by now static or ready. */
  done(): void;
  fail(error: FsError): void;
}

interface Attempt {
  readonly ticket: number;
  readonly file: RegularFile;
  readonly waiters: Set<Waiter>;
}

export class Pending {
  readonly #mount: () => Mount;
  readonly #post: (message: FromFilesystem) => void;
  #nextTicket = 1;
  readonly #byFile = new Map<RegularFile, Attempt>();
  readonly #byTicket = new Map<number, Attempt>();
  readonly #byUnique = new Map<number, Attempt>();
  /** How often each failed file failed in a row. */
  readonly #failures = new WeakMap<RegularFile, number>();

  constructor(mount: () => Mount, post: (message: FromFilesystem) => void) {
    this.#mount = mount;
    this.#post = post;
  }

  /** How many files are being generated. */
  get size(): number {
    return this.#byFile.size;
  }

  /** Precondition: `file.lazy`. Throws EDEADLK where the wait would be for itself. */
  wait(file: RegularFile, waiter: Waiter): void {
    if (waiter.requester !== undefined) this.#refuseCycle(file, waiter.requester);
    const attempt = this.#byFile.get(file) ?? this.#begin(file);
    attempt.waiters.add(waiter);
    if (waiter.unique !== undefined) this.#byUnique.set(waiter.unique, attempt);
  }

  /** The content came. Nothing happens if nobody wants it any more. */
  content(ticket: number, bytes: Uint8Array, metadata: ReadonlyMap<string, string>): void {
    const attempt = this.#byTicket.get(ticket);
    if (attempt === undefined) return;
    const { file } = attempt;
    const mount = this.#mount();
    if (mount.wroteUnseen(file)) return;
    try {
      if (file.write(0, bytes) < bytes.length) throw new FsError("ENOSPC");
    } catch (error) {
      file.truncate(0);
      const full = error instanceof FsError ? error : new FsError("EIO", String(error), { cause: error });
      return this.failed(ticket, new FsError(full.code, `${bytes.length} bytes were generated: ${full.message}`));
    }
    file.state = "ready";
    file.error = undefined;
    this.#failures.delete(file);
    for (const [key, value] of metadata) this.#keep(attempt, key, value);
    file.touchMtime(mount.tree.clock);
    mount.store(file);
    this.#end(attempt, (waiter) => waiter.done());
  }

  /** Metadata is a generator's, and may be anything; what cannot be an xattr is not worth the content. */
  #keep({ file, ticket }: Attempt, key: string, value: string): void {
    try {
      if (key.includes("\0")) throw new FsError("EINVAL", "a name must not hold a NUL byte");
      setXattr(file, toBytes(`user.llmfs.meta.${key}`), Buffer.from(value));
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      const text = `attempt ${ticket}: the metadata ${JSON.stringify(key.slice(0, 64))} is not kept: ${error.message}`;
      this.#post({ type: "log", level: "warn", tag: "fs", text });
    }
  }

  /** It failed. The next open tries again. */
  failed(ticket: number, error: FsError): void {
    const attempt = this.#byTicket.get(ticket);
    if (attempt === undefined) return;
    const { file } = attempt;
    file.state = "failed";
    file.error = error;
    this.#failures.set(file, (this.#failures.get(file) ?? 0) + 1);
    this.#mount().invalidate(file, false);
    this.#end(attempt, (waiter) => waiter.fail(error));
  }

  /** Somebody wants it made anew: earlier failures are not held against it. */
  forgive(file: RegularFile): void {
    this.#failures.delete(file);
  }

  /** Somebody wrote first: those who waited see what was written. */
  overwritten(file: RegularFile): void {
    const attempt = this.#byFile.get(file);
    if (attempt === undefined) return;
    this.#post({ type: "cancel", ticket: attempt.ticket });
    this.#end(attempt, (waiter) => waiter.done());
  }

  /** A reader got a signal. True if it waited here; when it was the last one, the attempt is called off. */
  interrupted(unique: number): boolean {
    const attempt = this.#byUnique.get(unique);
    if (attempt === undefined) return false;
    this.#byUnique.delete(unique);
    for (const waiter of attempt.waiters) {
      if (waiter.unique !== unique) continue;
      attempt.waiters.delete(waiter);
      waiter.fail(new FsError("EINTR", "interrupted while waiting for content"));
    }
    if (attempt.waiters.size === 0) this.#callOff(attempt, new FsError("EINTR"));
    return true;
  }

  /** The mount is gone, and with it whoever waited. */
  clear(): void {
    for (const attempt of [...this.#byFile.values()]) this.#callOff(attempt, new FsError("ENODEV", "unmounted"));
  }

  #begin(file: RegularFile): Attempt {
    const mount = this.#mount();
    const failures = this.#failures.get(file) ?? 0;
    const attempt: Attempt = { ticket: this.#nextTicket++, file, waiters: new Set() };
    const pause = failures < 2 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 2));
    const request = briefOf(mount, file, attempt.ticket, pause);
    file.state = "generating";
    file.error = undefined;
    this.#byFile.set(file, attempt);
    this.#byTicket.set(attempt.ticket, attempt);
    // A generator that waits has no handle: nothing else would keep the file alive when it is unlinked.
    mount.tree.hold(file);
    this.#post({ type: "generate", request });
    return attempt;
  }

  #callOff(attempt: Attempt, reason: FsError): void {
    attempt.file.state = "pending";
    this.#post({ type: "cancel", ticket: attempt.ticket });
    this.#end(attempt, (waiter) => waiter.fail(reason));
  }

  /** Forgets the attempt and answers all who wait for it, whatever becomes of one of them. */
  #end(attempt: Attempt, answer: (waiter: Waiter) => void): void {
    this.#byFile.delete(attempt.file);
    this.#byTicket.delete(attempt.ticket);
    for (const { unique } of attempt.waiters) if (unique !== undefined) this.#byUnique.delete(unique);
    for (const waiter of attempt.waiters) {
      try {
        answer(waiter);
      } catch (error) {
        waiter.fail(error instanceof FsError ? error : new FsError("EIO", messageOf(error), { cause: error }));
      }
    }
    attempt.waiters.clear();
    this.#mount().tree.drop(attempt.file);
  }

  /** Follows who waits for whom from `file` on; if that leads back to the requester, nobody would ever be answered. */
  #refuseCycle(file: RegularFile, requester: number): void {
    const chain: RegularFile[] = [];
    const seen = new Set<RegularFile>();
    const leadsBack = (at: RegularFile): boolean => {
      if (seen.has(at)) return false;
      seen.add(at);
      chain.push(at);
      if (at.ino === requester) return true;
      for (const attempt of this.#byFile.values()) {
        for (const waiter of attempt.waiters) {
          if (waiter.requester === at.ino && leadsBack(attempt.file)) return true;
        }
      }
      chain.pop();
      return false;
    };
    if (!leadsBack(file)) return;
    const { tree } = this.#mount();
    const names = chain.map((at) => toText(tree.pathOf(at) ?? `inode ${at.ino}`));
    const loop = [names.at(-1) ?? "", ...names].join(" → ");
    throw new FsError("EDEADLK", `files that are made from each other: ${loop}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
