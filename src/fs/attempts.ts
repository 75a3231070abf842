/**
 * Who waits for what the other thread makes: the content of a file, a newer content, the entries of a directory.
 *
 * An attempt is known to the other thread by its ticket; an answer to a ticket that is no longer wanted is dropped.
 * Waiters are requests of the kernel, which are parked, and generators that read; the latter may wait for each other in
 * a circle, which is refused here.
 */
import { FsError, messageOf } from "../errno.ts";
import { relatives } from "../procfs.ts";
import type { Inode } from "../tree/inode.ts";
import { toText } from "../tree/path.ts";
import { ORIGIN, textXattr } from "./brief.ts";
import { Draft } from "./draft.ts";
import type { Mount } from "./mount.ts";
import type { FromFilesystem, GeneratedContent, Listing } from "./port.ts";

export interface Waiter {
  /** The parked request, for those of the kernel; a number below 0 for what a control file was asked to have made. */
  readonly unique?: number;
  /** The ino of what is being made and reads this one, for those of generators. */
  readonly requester?: number;
  /** The thread that waits, for those of the kernel. It may be one of a program that makes a content. */
  readonly pid?: number;
  /** It is there. */
  done(): void;
  fail(error: FsError): void;
}

/** A content that is complete: its bytes are in the message, or in the draft that pieces were added to. */
export interface ArrivedContent extends GeneratedContent {
  readonly draft?: Draft;
}

/** What comes of an attempt; each method is called at most once, and then the attempt has ended. */
export interface Outcome {
  content?(content: ArrivedContent): void;
  listed?(listing: Listing): void;
  failed(error: FsError): void;
  /** Nobody waits any more, or the mount is gone. */
  calledOff(): void;
}

/** How long somebody waits before a source is asked again that failed: not at all, then doubling up to this. */
const LONGEST_PAUSE_MS = 5000;
const FIRST_PAUSE_MS = 250;

/** How often each of these failed in a row. */
export class Failures<T extends object> {
  readonly #counts = new WeakMap<T, number>();

  add(one: T): void {
    this.#counts.set(one, (this.#counts.get(one) ?? 0) + 1);
  }

  /** It worked, or is not to be held against it. */
  forgive(one: T): void {
    this.#counts.delete(one);
  }

  /** Milliseconds to wait before the next try. */
  pause(one: T): number {
    const count = this.#counts.get(one) ?? 0;
    return count < 2 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (count - 2));
  }
}

export interface Attempt {
  readonly ticket: number;
  readonly inode: Inode;
  readonly waiters: Set<Waiter>;
  readonly outcome: Outcome;
  /** What came of its content so far, if it comes in pieces. */
  draft: Draft | undefined;
  /** The program that makes it, if one does. */
  maker: number | undefined;
}

export class Attempts {
  readonly #mount: () => Mount;
  readonly #post: (message: FromFilesystem) => void;
  #nextTicket = 1;
  readonly #byTicket = new Map<number, Attempt>();
  readonly #byUnique = new Map<number, Attempt>();

  constructor(mount: () => Mount, post: (message: FromFilesystem) => void) {
    this.#mount = mount;
    this.#post = post;
  }

  /** Holds the inode until the attempt ends: a generator that waits has no handle. */
  open(inode: Inode, outcome: Outcome): Attempt {
    const attempt: Attempt = {
      ticket: this.#nextTicket++,
      inode,
      waiters: new Set(),
      outcome,
      draft: undefined,
      maker: undefined,
    };
    this.#byTicket.set(attempt.ticket, attempt);
    this.#mount().tree.hold(inode);
    return attempt;
  }

  get(ticket: number): Attempt | undefined {
    return this.#byTicket.get(ticket);
  }

  /**
   * The waiter, on behalf of what its program makes if it is one that a generator started. Throws EDEADLK where it would
   * wait for itself.
   */
  checked(inode: Inode, waiter: Waiter): Waiter {
    if (waiter.requester !== undefined) this.refuseCycle(inode, waiter.requester);
    const made = waiter.requester === undefined ? this.#madeBy(waiter.pid) : undefined;
    if (made === undefined) return waiter;
    this.refuseCycle(inode, made.inode.ino);
    return this.#announced(made, waiter);
  }

  /** While a program waits, another content may be made in its place: the other thread is told. */
  #announced({ ticket, inode }: Attempt, waiter: Waiter): Waiter {
    this.#post({ type: "waits", ticket, waits: true });
    let waits = true;
    const ended = () => {
      if (waits) this.#post({ type: "waits", ticket, waits: false });
      waits = false;
    };
    return {
      ...waiter,
      requester: inode.ino,
      done() {
        ended();
        waiter.done();
      },
      fail(error) {
        ended();
        waiter.fail(error);
      },
    };
  }

  /** This program makes the content: what it and its children open is read on the content's behalf. */
  working(ticket: number, pid: number): void {
    const maker = this.#byTicket.get(ticket);
    if (maker === undefined) return;
    maker.maker = pid;
    // It may have been faster than the news of it.
    for (const attempt of [...this.#byTicket.values()]) {
      const waiters = [...attempt.waiters];
      for (const waiter of waiters) {
        if (waiter.requester === undefined && waiter.pid !== undefined) this.#recheck(attempt, waiter);
      }
      // Where nobody waited before, it is wanted for another reason.
      if (waiters.length > 0 && attempt.waiters.size === 0) this.#callOff(attempt, new FsError("EINTR"));
    }
  }

  #recheck(attempt: Attempt, waiter: Waiter): void {
    attempt.waiters.delete(waiter);
    try {
      attempt.waiters.add(this.checked(attempt.inode, waiter));
    } catch (error) {
      if (waiter.unique !== undefined) this.#byUnique.delete(waiter.unique);
      waiter.fail(error instanceof FsError ? error : new FsError("EIO", messageOf(error), { cause: error }));
    }
  }

  /** What a thread's program is making, by what /proc says of it and of its parents. */
  #madeBy(pid: number | undefined): Attempt | undefined {
    if (pid === undefined || pid === 0) return undefined;
    const makers = new Map<number, Attempt>();
    for (const attempt of this.#byTicket.values()) if (attempt.maker !== undefined) makers.set(attempt.maker, attempt);
    if (makers.size === 0) return undefined;
    const process = relatives(pid).find((one) => makers.has(one));
    if (process === undefined) return undefined;
    return makers.get(process);
  }

  join(attempt: Attempt, waiter: Waiter): void {
    attempt.waiters.add(waiter);
    if (waiter.unique !== undefined) this.#byUnique.set(waiter.unique, attempt);
  }

  /** The next bytes of a content. Answers "taken" whatever becomes of them: somebody waits for that. */
  piece(ticket: number, bytes: Uint8Array): void {
    const attempt = this.#byTicket.get(ticket);
    try {
      if (attempt === undefined) throw new FsError("EINTR", "nobody waits for it");
      this.#mount().ruleEntries.makeRoom(bytes.length);
      attempt.draft ??= new Draft(this.#mount().tree.space);
      attempt.draft.append(bytes);
      this.#post({ type: "taken", ticket });
    } catch (error) {
      const code = error instanceof FsError ? error.code : "EIO";
      this.#post({ type: "taken", ticket, code, message: messageOf(error) });
    }
  }

  content(ticket: number, content: GeneratedContent): void {
    const attempt = this.#byTicket.get(ticket);
    if (attempt === undefined) return;
    const { draft } = attempt;
    if (content.streamed !== true) return attempt.outcome.content?.(content);
    const error = draft === undefined ? new FsError("EIO", "no piece of the content came") : draft.error;
    if (error !== undefined) attempt.outcome.failed(error);
    else attempt.outcome.content?.({ ...content, ...(draft && { draft }) });
  }

  listed(ticket: number, listing: Listing): void {
    this.#byTicket.get(ticket)?.outcome.listed?.(listing);
  }

  failed(ticket: number, error: FsError): void {
    this.#byTicket.get(ticket)?.outcome.failed(error);
  }

  /** A waiter leaves: it gets EINTR. True if it waited here; when it was the last one, the attempt is called off. */
  leave(unique: number): boolean {
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
    for (const attempt of [...this.#byTicket.values()]) this.#callOff(attempt, new FsError("ENODEV", "unmounted"));
  }

  /** Tells the other thread that nobody wants it. */
  cancel(attempt: Attempt): void {
    this.#post({ type: "cancel", ticket: attempt.ticket });
  }

  /** Forgets the attempt and answers all who wait for it, whatever becomes of one of them. */
  end(attempt: Attempt, answer: (waiter: Waiter) => void): void {
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
    attempt.draft?.dispose();
    this.#mount().tree.drop(attempt.inode);
  }

  /** Follows who waits for whom from `inode` on; if that leads back to the requester, nobody would ever be answered. */
  refuseCycle(inode: Inode, requester: number): void {
    const chain: Inode[] = [];
    const seen = new Set<Inode>();
    const leadsBack = (at: Inode): boolean => {
      if (seen.has(at)) return false;
      seen.add(at);
      chain.push(at);
      if (at.ino === requester) return true;
      for (const attempt of this.#byTicket.values()) {
        for (const waiter of attempt.waiters) {
          if (waiter.requester === at.ino && leadsBack(attempt.inode)) return true;
        }
      }
      chain.pop();
      return false;
    };
    if (!leadsBack(inode)) return;
    const mount = this.#mount();
    const names = chain.map((at) => toText(mount.tree.pathOf(at) ?? textXattr(at, ORIGIN) ?? `inode ${at.ino}`));
    const loop = [names.at(-1) ?? "", ...names].join(" → ");
    const message = `files that are made from each other: ${loop}`;
    mount.warn(`EDEADLK: ${message}`);
    throw new FsError("EDEADLK", message);
  }

  #callOff(attempt: Attempt, reason: FsError): void {
    this.cancel(attempt);
    attempt.outcome.calledOff();
    this.end(attempt, (waiter) => waiter.fail(reason));
  }
}
