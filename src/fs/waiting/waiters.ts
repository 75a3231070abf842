/**
 * The waiters for what the other thread produces: the content of a file, newer content, the entries of a directory.
 *
 * The other thread identifies an attempt by its ticket; an answer to a ticket that is no longer wanted is dropped.
 * Waiters are parked requests of the kernel, and generators that read. The latter may wait for each other in a cycle,
 * which is rejected here. When an attempt ends, in whatever way, the waits on its behalf end too: a file that another
 * was to be generated from is cancelled with it, unless something else waits for it.
 */

import { METADATA, ORIGIN, USED } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import { listRelatives } from "../../procfs.ts";
import { findWay, waitsForItself } from "../../rpc/cycle.ts";
import type { GeneratedContent, Listing, Stage } from "../../rpc/generation.ts";
import type { FromFilesystem } from "../../rpc/messages.ts";
import type { Inode } from "../../tree/inode.ts";
import { toText } from "../../tree/path.ts";
import type { FsCore } from "../core.ts";
import { PartialContent } from "../lazy/partial-content.ts";
import { contentsOf, readBy, textXattr } from "../lazy/request.ts";
import type { RuleEntries } from "../lazy/rule-entries.ts";
import { UsedFiles } from "../outdated.ts";
import type { Attempt, AttemptHandler, Waiter, WaitObserver } from "./attempt.ts";
import { Grace } from "./grace.ts";
import type { Timers } from "./timers.ts";

/** The parts of the mount that it uses. */
interface WaitersContext extends FsCore {
  readonly ruleEntries: Pick<RuleEntries, "makeRoom">;
  readonly programs: WaitObserver;
}

const USED_KEY = USED.slice(METADATA.length);

/** A file that is being generated and waits for others, by their paths. */
export interface WaitingFile {
  readonly path: string;
  readonly waitsFor: readonly string[];
}

export class Waiters {
  readonly #mount: () => WaitersContext;
  readonly #post: (message: FromFilesystem) => void;
  #nextTicket = 1;
  readonly #byTicket = new Map<number, Attempt>();
  readonly #byInode = new Map<Inode, Set<Attempt>>();
  readonly #byUnique = new Map<number, { readonly attempt: Attempt; readonly waiter: Waiter }>();
  /** Attempts that are held up because no slot is free. */
  readonly #queued = new Set<Attempt>();
  readonly #grace: Grace;
  /** Attempts that have ended, and since when they had no waiters. The waits on their behalf still have to be ended. */
  readonly #over: { readonly reader: Attempt; readonly since: number | undefined }[] = [];
  #endingReads = false;

  constructor(mount: () => WaitersContext, post: (message: FromFilesystem) => void, timers: Timers) {
    this.#mount = mount;
    this.#post = post;
    this.#grace = new Grace({
      timers,
      isCrowded: () => this.#queued.values().some((one) => one.standing || one.waiters.size > 0),
      callOff: (attempt) => this.callOff(attempt),
    });
  }

  /** Holds the inode until the attempt ends, because a generator that waits has no handle. */
  open(inode: Inode, handler: AttemptHandler, standing = false): Attempt {
    const attempt: Attempt = {
      ticket: this.#nextTicket++,
      begun: Date.now(),
      inode,
      waiters: new Set(),
      handler,
      draft: undefined,
      maker: undefined,
      stage: "preparing",
      standing,
      definitions: this.#mount().definitions,
      contents: contentsOf(this.#mount()),
      reads: new Set(),
      used: new UsedFiles(),
    };
    this.#byTicket.set(attempt.ticket, attempt);
    this.#byInode.set(inode, (this.#byInode.get(inode) ?? new Set()).add(attempt));
    this.#mount().tree.hold(inode);
    return attempt;
  }

  /** The number of attempts that are running. */
  get size(): number {
    return this.#byTicket.size;
  }

  /** The attempts that are running for the inode, the oldest first. */
  attemptsFor(inode: Inode): readonly Attempt[] {
    return [...(this.#byInode.get(inode) ?? [])];
  }

  get(ticket: number): Attempt | undefined {
    return this.#byTicket.get(ticket);
  }

  /**
   * Returns the waiter. If its program was started by a generator, it waits on behalf of what that generator makes.
   * Throws EDEADLK if it would wait for itself, and EACCES if its program may not have the inode generated.
   */
  admit(inode: Inode, waiter: Waiter): Waiter {
    if (waiter.requester !== undefined) this.refuseCycle(inode, waiter.requester);
    const made = waiter.requester === undefined ? this.#findRequester(waiter.pid) : undefined;
    if (made === undefined) {
      if (waiter.pid !== undefined) this.#mount().programs.check(inode, waiter.pid);
      return waiter;
    }
    this.refuseCycle(inode, made);
    return this.#announce(made, waiter);
  }

  /** Notifies the main thread while a program waits, so that another generation can use its slot. */
  #announce(requester: Attempt, waiter: Waiter): Waiter {
    const { ticket } = requester;
    this.#post({ type: "waits", ticket, waits: true });
    let waits = true;
    const end = () => {
      if (waits) this.#post({ type: "waits", ticket, waits: false });
      waits = false;
    };
    return {
      ...waiter,
      requester,
      done() {
        end();
        waiter.done();
      },
      fail(error) {
        end();
        waiter.fail(error);
      },
    };
  }

  /** This program generates the content: what it and its children open is read on the content's behalf. */
  setMaker(ticket: number, pid: number): void {
    const maker = this.#byTicket.get(ticket);
    if (maker === undefined) return;
    maker.maker = pid;
    // The program may have opened files before this message arrived.
    for (const attempt of [...this.#byTicket.values()]) {
      const waiters = [...attempt.waiters];
      for (const waiter of waiters) {
        if (waiter.requester === undefined && waiter.pid !== undefined) this.#recheck(attempt, waiter);
      }
      // An attempt that never had a waiter is kept: it runs for another reason.
      if (waiters.length > 0 && attempt.waiters.size === 0) this.callOff(attempt);
    }
  }

  #recheck(attempt: Attempt, waiter: Waiter): void {
    attempt.waiters.delete(waiter);
    try {
      this.join(attempt, this.admit(attempt.inode, waiter));
    } catch (error) {
      if (waiter.unique !== undefined) this.#byUnique.delete(waiter.unique);
      waiter.fail(FsError.from(error));
    }
  }

  /** Returns the attempt for which a thread's program works, according to /proc about it and its parents. */
  #findRequester(pid: number | undefined): Attempt | undefined {
    if (pid === undefined || pid === 0) return undefined;
    const makers = new Map<number, Attempt>();
    for (const attempt of this.#byTicket.values()) if (attempt.maker !== undefined) makers.set(attempt.maker, attempt);
    if (makers.size === 0) return undefined;
    const process = listRelatives(pid).find((one) => makers.has(one));
    if (process === undefined) return undefined;
    return makers.get(process);
  }

  join(attempt: Attempt, waiter: Waiter): void {
    this.#grace.end(attempt);
    attempt.waiters.add(waiter);
    this.#mount().programs.onJoin(attempt, waiter);
    if (waiter.requester !== undefined) {
      waiter.requester.reads.add(attempt);
      const [reader, file] = [waiter.requester.inode, attempt.inode].map((inode) => this.#pathOf(inode));
      this.#post({ type: "log", level: "info", tag: "generate", text: `${reader} waits for ${file}` });
    }
    if (waiter.unique !== undefined) this.#byUnique.set(waiter.unique, { attempt, waiter });
  }

  /** Stores the next bytes of content. Always answers "taken", because the other thread waits for that. */
  takePiece(ticket: number, bytes: Uint8Array): void {
    const attempt = this.#byTicket.get(ticket);
    try {
      if (attempt === undefined) throw new FsError("EINTR", "nobody waits for this content any more");
      this.#mount().ruleEntries.makeRoom(bytes.length);
      attempt.draft ??= new PartialContent(this.#mount().tree.space);
      attempt.draft.append(bytes);
      this.#post({ type: "taken", ticket });
    } catch (error) {
      const { code, message } = FsError.from(error);
      this.#post({ type: "taken", ticket, code, message });
    }
  }

  takeContent(ticket: number, content: GeneratedContent): void {
    const attempt = this.#byTicket.get(ticket);
    if (attempt === undefined) return;
    const { draft } = attempt;
    const used = attempt.used.format();
    const metadata = used === undefined ? content.metadata : new Map([...content.metadata, [USED_KEY, used]]);
    const error =
      content.streamed !== true
        ? undefined
        : draft === undefined
          ? new FsError("EIO", "no piece of the content arrived")
          : draft.error;
    if (error !== undefined) return this.takeFailure(ticket, error);
    attempt.handler.onContent?.({ ...content, metadata, ...(draft && { draft }) });
    this.#mount().programs.onContent(attempt, content);
  }

  takeListing(ticket: number, listing: Listing): void {
    const attempt = this.#byTicket.get(ticket);
    if (attempt === undefined) return;
    attempt.handler.onListing?.(listing);
    this.#mount().programs.onListing(attempt);
  }

  takeFailure(ticket: number, error: FsError): void {
    const attempt = this.#byTicket.get(ticket);
    if (attempt === undefined) return;
    attempt.handler.onFailure(error);
    this.#mount().programs.onFailure(attempt, error);
  }

  /** Notes the stage that the other thread reports. */
  setStage(ticket: number, stage: Stage): void {
    const attempt = this.#byTicket.get(ticket);
    if (attempt === undefined) return;
    attempt.stage = stage;
    if (stage === "queued") this.#queued.add(attempt);
    else this.#queued.delete(attempt);
    this.#grace.check(attempt);
    if (stage === "queued") this.#grace.checkAll();
  }

  /**
   * Removes a waiter, which gets EINTR. Returns false if no such waiter exists. `forGood`: it will not come back, so an
   * attempt without other waiters is cancelled at once.
   */
  leave(unique: number, forGood = false): boolean {
    const found = this.#byUnique.get(unique);
    if (found === undefined) return false;
    const { attempt, waiter } = found;
    this.#dismiss(attempt, waiter, new FsError("EINTR", "interrupted while waiting for content"));
    if (!forGood) this.#beginGraceIfLeft(attempt, waiter.pid);
    else if (attempt.waiters.size === 0 && !attempt.standing) this.callOff(attempt);
    return true;
  }

  /** Removes a waiter for which there is no more time. The attempt goes on: who asks later finds it. */
  expire(unique: number, error: FsError): boolean {
    const found = this.#byUnique.get(unique);
    if (found === undefined) return false;
    found.attempt.standing = true;
    this.#dismiss(found.attempt, found.waiter, error);
    return true;
  }

  /** Whether nothing waits for the attempt any longer. */
  isLeft(attempt: Attempt): boolean {
    return this.#grace.isLeft(attempt);
  }

  /** Whether a thread, interrupted in its wait for this attempt, comes back before any other waiter. */
  isResumedBy(attempt: Attempt, thread: number | undefined): boolean {
    return this.#grace.wasLeftBy(attempt, thread) && attempt.definitions === this.#mount().definitions;
  }

  /**
   * Returns the attempt if a new waiter can use it. An attempt without waiters is cancelled if its content would be out
   * of date: a user may have interrupted it in order to change what it is generated from.
   */
  reuse(attempt: Attempt | undefined, thread: number | undefined): Attempt | undefined {
    if (attempt === undefined || !this.isLeft(attempt) || this.isResumedBy(attempt, thread)) return attempt;
    if (attempt.contents === contentsOf(this.#mount())) return attempt;
    this.callOff(attempt);
    return undefined;
  }

  /** The mount is gone, and all waiters with it. */
  clear(): void {
    // All waiters get ENODEV, in whatever order they end.
    this.#endingReads = true;
    for (const attempt of [...this.#byTicket.values()]) this.callOff(attempt, new FsError("ENODEV", "unmounted"));
    this.#endingReads = false;
    this.#over.length = 0;
  }

  /** Tells the main thread to stop working on the attempt. */
  cancel(attempt: Attempt): void {
    this.#post({ type: "cancel", ticket: attempt.ticket });
  }

  /** Forgets the attempt and answers all its waiters, even if answering one of them fails. */
  end(attempt: Attempt, answer: (waiter: Waiter) => void): void {
    this.#byTicket.delete(attempt.ticket);
    const others = this.#byInode.get(attempt.inode);
    others?.delete(attempt);
    if (others?.size === 0) this.#byInode.delete(attempt.inode);
    this.#queued.delete(attempt);
    const unwanted = this.#grace.end(attempt);
    for (const { unique, requester } of attempt.waiters) {
      if (unique !== undefined) this.#byUnique.delete(unique);
      requester?.reads.delete(attempt);
    }
    for (const waiter of attempt.waiters) {
      try {
        answer(waiter);
      } catch (error) {
        waiter.fail(FsError.from(error));
      }
    }
    attempt.waiters.clear();
    attempt.draft?.dispose();
    this.#over.push({ reader: attempt, since: unwanted });
    this.#endReads();
    this.#mount().tree.drop(attempt.inode);
  }

  /** Ends the waits on behalf of attempts that are over. That may end others, and so on down a chain. */
  #endReads(): void {
    if (this.#endingReads) return;
    this.#endingReads = true;
    for (let one = this.#over.pop(); one !== undefined; one = this.#over.pop()) {
      const { reader, since } = one;
      for (const attempt of [...reader.reads]) {
        for (const waiter of [...attempt.waiters]) {
          if (waiter.requester === reader)
            this.#dismiss(attempt, waiter, new FsError("EINTR", "the file that needed it is no longer generated"));
        }
        this.#beginGraceIfLeft(attempt, undefined, since);
      }
    }
    this.#endingReads = false;
  }

  /** Call this after a waiter has left. */
  #beginGraceIfLeft(attempt: Attempt, thread: number | undefined, since?: number): void {
    if (attempt.waiters.size > 0 || attempt.standing) return;
    this.#grace.begin(attempt, thread, since);
    if (this.isLeft(attempt)) attempt.handler.onLeft?.();
  }

  #dismiss(attempt: Attempt, waiter: Waiter, why: FsError): void {
    const { unique, requester } = waiter;
    attempt.waiters.delete(waiter);
    if (unique !== undefined) this.#byUnique.delete(unique);
    if (requester !== undefined && !attempt.waiters.values().some((other) => other.requester === requester)) {
      requester.reads.delete(attempt);
    }
    waiter.fail(why);
  }

  /** The files that wait for other files, at most this many. */
  listWaiting(most: number): readonly WaitingFile[] {
    const found: WaitingFile[] = [];
    for (const attempt of this.#byTicket.values()) {
      if (found.length >= most) break;
      if (attempt.reads.size === 0) continue;
      const waitsFor = [...attempt.reads].map(({ inode }) => this.#pathOf(inode));
      found.push({ path: this.#pathOf(attempt.inode), waitsFor });
    }
    return found;
  }

  #pathOf(inode: Inode): string {
    return toText(this.#mount().tree.pathOf(inode) ?? textXattr(inode, ORIGIN) ?? `inode ${inode.ino}`);
  }

  /** Follows the waits from `inode`. If they lead back to the requester, none of them would ever be answered. */
  refuseCycle(inode: Inode, requester: Attempt): void {
    const way = findWay(inode, requester.inode, (at) => readBy(this.attemptsFor(at)));
    if (way === undefined) return;
    const mount = this.#mount();
    const error = waitsForItself(way.map((at) => this.#pathOf(at)));
    mount.warn(`${error.code}: ${error.message}`);
    throw error;
  }

  /** Ends the attempt without content; its waiters fail with `reason`. */
  callOff(attempt: Attempt, reason = new FsError("EINTR", "the generation was cancelled")): void {
    this.cancel(attempt);
    this.#mount().programs.onCallOff(attempt);
    attempt.handler.onCallOff();
    this.end(attempt, (waiter) => waiter.fail(reason));
  }
}
