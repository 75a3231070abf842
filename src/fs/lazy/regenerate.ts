/**
 * Regenerating a file on request, and undoing that.
 *
 * A request comes through the control file (channel.ts), or from a thread that sets `user.llmfs.regen` and then opens
 * the file for reading; that open waits. The new content replaces the old (replace-inode.ts). If it cannot be
 * generated, the old content stays. The previous content is kept for an undo until the file has lost its last name or
 * is emptied: a user who removes a file, or overwrites all of it, does not want the earlier content back, and expects
 * its space to be free.
 */
import { checkSetting, METADATA, PROMPT, REFRESH } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { GenerationRequest } from "../../rpc/generation.ts";
import type { FromFilesystem } from "../../rpc/messages.ts";
import { printable } from "../../text/printable.ts";
import type { RegularFile } from "../../tree/file.ts";
import { setXattr, XATTR_SIZE_MAX } from "../../tree/xattrs.ts";
import type { Passthrough } from "../coherence/passthrough.ts";
import type { FsCore } from "../core.ts";
import type { Authors } from "../permissions/authors.ts";
import type { ArrivedContent, Attempt, Waiter } from "../waiting/attempt.ts";
import { ByThread, NOBODY } from "../waiting/by-thread.ts";
import type { Waiters } from "../waiting/waiters.ts";
import type { Expiry, Opening } from "./expiry.ts";
import type { Pending } from "./pending.ts";
import type { InodeReplacement, Lineage } from "./replace-inode.ts";
import { buildRequest, textXattr } from "./request.ts";
import type { RuleEntries } from "./rule-entries.ts";

const BUSY = new FsError("EBUSY", "the file is being generated");

const THEIRS = new FsError("EEXIST", "a user or program wrote the file's content");

const EXPIRES = new FsError(
  "EOPNOTSUPP",
  `its ${REFRESH} replaces the content again; remove that attribute (setfattr -x ${REFRESH}) or the rule's refresh first`,
);

const NO_CONTENT = new FsError("ENODATA", "the file has no content that could be written again");

const WRITTEN = new FsError("EBUSY", "the file was changed while it was regenerated; the change was kept");

const GIVEN_AWAY = new FsError("EBUSY", "the file's owner changed while it was regenerated");

const STRANGER =
  "a caller of another process namespace cannot be recognized when it opens the file; use 'llmfs regen' instead";

const REQUEST = `${METADATA}request`;

/** A longer file does not fit into a request. */
const LONGEST_REWRITTEN = 1024 * 1024;
const TOO_LONG = new FsError("EFBIG", `only files of at most ${LONGEST_REWRITTEN} bytes can be written again`);

/** How long a thread may take between setting the attribute and the open, and how many threads may do so at a time. */
const DEMANDS = { milliseconds: 60_000, notes: 256 };
/** Maximum number per thread. A prompt takes up to 64 KiB. */
const MOST_DEMANDS = 4;

/** The state of a file that is being, or was, regenerated. */
interface RegenState {
  readonly lineage: Lineage;
  /** The content that an undo restores. It is held, and has no name. */
  previous: RegularFile | undefined;
  attempt: Attempt | undefined;
  /** The prompt of the current attempt. */
  prompt: string | undefined;
  instruction: string | undefined;
  /** The reason why the last attempt failed. */
  error: FsError | undefined;
  /** The number of contents generated so far. */
  count: number;
}

export interface Wish {
  /** The file's own prompt from now on; absent: unchanged. */
  readonly prompt: string | undefined;
  /** Whether to replace content that a user wrote, too. */
  readonly force: boolean;
  /** The file is written again from its content with this instruction, whatever was asked for before. */
  readonly instruction?: string;
  /** A recorded answer is good enough, because the file's request has changed. */
  readonly recorded?: true;
}

interface Demand {
  /** A weak reference, because the thread may never open the file. */
  readonly file: WeakRef<RegularFile>;
  /** The file's own prompt from now on; absent: unchanged. */
  readonly prompt?: string;
  /** The number of contents generated before the request: when it has grown, there is new content. */
  readonly count: number;
}

/** The parts of the mount that it uses. */
interface RegenerationContext extends FsCore {
  readonly authors: Authors;
  readonly expiry: Expiry;
  readonly passthrough: Passthrough;
  readonly pending: Pending;
  readonly replacement: InodeReplacement;
  readonly ruleEntries: RuleEntries;
}

export class Regeneration {
  readonly #mount: () => RegenerationContext;
  readonly #waiters: Waiters;
  readonly #post: (message: FromFilesystem) => void;
  readonly #lines = new WeakMap<Lineage, RegenState>();
  /** The files that can be undone. */
  readonly #undoable = new Set<RegenState>();
  readonly #demands = new ByThread<readonly Demand[]>(DEMANDS);

  constructor(mount: () => RegenerationContext, waiters: Waiters, post: (message: FromFilesystem) => void) {
    this.#mount = mount;
    this.#waiters = waiters;
    this.#post = post;
  }

  /**
   * Requests new content and waits for it. Throws EEXIST for content that a user wrote, unless `force`; EBUSY,
   * EOPNOTSUPP, EDEADLK; and EINVAL or E2BIG for the prompt.
   */
  generate(file: RegularFile, wish: Wish, waiter: Waiter): void {
    const { prompt, force, instruction } = wish;
    const target = this.#resolveTarget(file, prompt);
    const theirs = target.state === "static" && (target.size > 0 || instruction !== undefined);
    if (!force && theirs) throw THEIRS;
    if (!target.lazy) return this.#make(target, wish, waiter);
    if (instruction !== undefined) throw NO_CONTENT;
    this.#mount().pending.forgive(target);
    this.#mount().pending.wait(target, waiter);
  }

  /** Restores the previous content; a second call redoes. Throws ENODATA. */
  undo(file: RegularFile): void {
    const line = this.#findLine(file);
    if (line?.previous === undefined) throw new FsError("ENODATA", "there is no earlier content");
    const { lineage, previous } = line;
    const request = textXattr(previous, REQUEST);
    const same = request !== undefined && request === textXattr(lineage.current, REQUEST);
    line.previous = this.#mount().replacement.put(lineage.current, previous);
    this.#mount().failedRenewals.forget(lineage.current);
    // Otherwise any user could set this attribute to restore the recording of a different file.
    if (same && this.#mount().authors.trusts(lineage.current.uid)) this.#post({ type: "undone", request });
  }

  /** Handles the attribute: `undo`, or `again`, which a colon and a new prompt may follow. */
  set(file: RegularFile, value: string, pid: number): void {
    if (value === "undo") return this.undo(file);
    const prompt = value.startsWith("again:") ? value.slice("again:".length) : undefined;
    if (value !== "again" && prompt === undefined) throw new FsError("EINVAL", "expected again, again:PROMPT or undo");
    const target = this.#resolveTarget(file, prompt);
    if (target.lazy) return;
    if (pid === NOBODY) throw new FsError("EOPNOTSUPP", STRANGER);
    const others = this.#demandsOf(pid).filter((one) => one.file.deref() !== target);
    if (others.length >= MOST_DEMANDS) throw new FsError("EBUSY", "first open the files on which it is already set");
    const count = this.#findLine(target)?.count ?? 0;
    this.#demands.set(pid, [...others, { file: new WeakRef(target), count, ...(prompt !== undefined && { prompt }) }]);
  }

  /** Why the last attempt to regenerate the file failed. */
  errorOf(file: RegularFile): string | undefined {
    const error = this.#findLine(file)?.error;
    return error && printable(`${error.code}: ${error.message}`);
  }

  /**
   * Returns false if this thread requested no regeneration. Otherwise returns true, and the open is answered later.
   * Throws EBUSY, EDEADLK.
   */
  open(file: RegularFile, opening: Opening): boolean {
    if (this.#demands.size === 0) return false;
    const { replacement } = this.#mount();
    const { opener } = opening;
    const { pid } = opener;
    const target = replacement.currentOf(file);
    const demands = this.#demandsOf(pid);
    const demand = demands.find((one) => one.file.deref() === target);
    if (demand === undefined) return false;
    const others = demands.filter((one) => one !== demand);
    if (others.length > 0) this.#demands.set(pid, others);
    else this.#demands.delete(pid);
    if (demand.count < (this.#findLine(target)?.count ?? 0)) return false;
    this.#make(target, demand, {
      unique: opening.unique,
      pid,
      done: () => {
        replacement.requireCurrent(file, opener);
        opening.answer(file);
      },
      fail: (error) => {
        // The thread was interrupted, and may try again.
        if (error.code === "EINTR") this.#demands.set(pid, [...this.#demandsOf(pid), demand]);
        opening.fail(error);
      },
    });
    return true;
  }

  /** The file has lost its last name or was emptied: its earlier content is no longer needed. */
  discard(file: RegularFile): void {
    const line = this.#findLine(file);
    if (line?.lineage.current === file) this.#keep(line, undefined);
  }

  /** Drops all contents kept for an undo. Call this after the unmount. */
  clear(): void {
    for (const line of this.#undoable) this.#keep(line, undefined);
  }

  /** Returns the file to regenerate, if that is allowed. A pending file gets the prompt at once. */
  #resolveTarget(file: RegularFile, prompt: string | undefined): RegularFile {
    const target = this.#mount().replacement.currentOf(file);
    if (this.#mount().pending.isAwaited(target)) throw BUSY;
    if (prompt === undefined) return target;
    const value = Buffer.from(prompt);
    if (value.length > XATTR_SIZE_MAX) throw new FsError("E2BIG", `a prompt has ${XATTR_SIZE_MAX} bytes at most`);
    checkSetting(PROMPT, value);
    if (!target.lazy) return target;
    setXattr(target, PROMPT, value);
    this.#mount().definitions++;
    return target;
  }

  #make(target: RegularFile, { prompt, instruction, recorded }: Partial<Wish>, given: Waiter): void {
    if (instruction !== undefined && target.size > LONGEST_REWRITTEN) throw TOO_LONG;
    if (this.#mount().expiry.renews(target)) {
      if (instruction !== undefined) throw EXPIRES;
      return this.#renew(target, prompt, given);
    }
    const line = this.#lineOf(target);
    const running = this.#waiters.reuse(line.attempt, given.pid);
    if (running !== undefined && !this.#waiters.isLeft(running)) throw BUSY;
    const waiter = this.#waiters.admit(target, given);
    const same = line.prompt === prompt && line.instruction === instruction;
    if (running !== undefined && same) return this.#waiters.join(running, waiter);
    if (running !== undefined) this.#waiters.callOff(running);
    const end = (error: FsError | undefined, answer: Parameters<Waiters["end"]>[1]) => {
      line.attempt = undefined;
      line.error = error;
      const { failedRenewals } = this.#mount();
      if (error === undefined) failedRenewals.forget(line.lineage.current);
      else failedRenewals.note(line.lineage.current, "regeneration", error);
      this.#waiters.end(attempt, answer);
    };
    // This may fail, and must not leave an attempt behind that nobody will end.
    const rewrite = instruction === undefined ? {} : { rewrite: { content: target.bytes(), instruction } };
    const { state } = target;
    const { mtime, mtimeNsec } = target.times();
    const fail = (error: FsError) => end(error, (waiter) => waiter.fail(error));
    const attempt = this.#waiters.open(target, {
      onContent: (content) => {
        try {
          const now = target.times();
          const same = target.state === state && now.mtime === mtime && now.mtimeNsec === mtimeNsec;
          if (!same || line.lineage.current !== target) throw WRITTEN;
          if (this.#mount().authors.viewerOf(target) !== brief.viewer) throw GIVEN_AWAY;
          this.#take(line, content, prompt);
        } catch (error) {
          return fail(FsError.from(error));
        }
        end(undefined, (waiter) => waiter.done());
      },
      onFailure: fail,
      onCallOff: () => {
        line.attempt = undefined;
      },
    });
    line.attempt = attempt;
    line.prompt = prompt;
    line.instruction = instruction;
    this.#waiters.join(attempt, waiter);
    const brief = buildRequest(this.#mount(), target, attempt.ticket, 0);
    const again = recorded === true ? {} : { again: true as const };
    this.#post({ type: "generate", request: { ...withPrompt(brief, target, prompt), ...rewrite, ...again } });
  }

  /** New content for a file that expires. Its next one comes by itself, so the previous one is not kept. */
  #renew(target: RegularFile, prompt: string | undefined, waiter: Waiter): void {
    const { expiry, replacement } = this.#mount();
    const before = target.xattrs?.get(PROMPT);
    const setPrompt = (file: RegularFile, value: Uint8Array | undefined) => {
      if (value === undefined) file.dropXattr(PROMPT);
      else setXattr(file, PROMPT, value);
      this.#mount().definitions++;
    };
    if (prompt !== undefined) setPrompt(target, Buffer.from(prompt));
    expiry.renew(target, {
      ...waiter,
      fail(error) {
        if (prompt !== undefined) setPrompt(replacement.currentOf(target), before);
        waiter.fail(error);
      },
    });
  }

  #take(line: RegenState, content: ArrivedContent, prompt: string | undefined): void {
    const { replacement, ruleEntries } = this.#mount();
    this.#keep(line, replacement.replace(line.lineage.current, content, prompt));
    line.count++;
    ruleEntries.claim(line.lineage.current);
  }

  /** `previous` is held for the file's line. */
  #keep(line: RegenState, previous: RegularFile | undefined): void {
    const before = line.previous;
    line.previous = previous;
    if (previous === undefined) this.#undoable.delete(line);
    else this.#undoable.add(line);
    if (before !== undefined) this.#mount().tree.drop(before);
  }

  #findLine(file: RegularFile): RegenState | undefined {
    const lineage = this.#mount().replacement.findLineage(file);
    return lineage && this.#lines.get(lineage);
  }

  #demandsOf(pid: number): readonly Demand[] {
    return this.#demands.get(pid) ?? [];
  }

  #lineOf(file: RegularFile): RegenState {
    const lineage = this.#mount().replacement.lineageOf(file);
    const known = this.#lines.get(lineage);
    if (known !== undefined) return known;
    const line: RegenState = {
      lineage,
      previous: undefined,
      attempt: undefined,
      prompt: undefined,
      instruction: undefined,
      error: undefined,
      count: 0,
    };
    this.#lines.set(lineage, line);
    return line;
  }
}

/** If the file has a prompt of its own, it is the last one in the request. */
function withPrompt(brief: GenerationRequest, file: RegularFile, prompt: string | undefined): GenerationRequest {
  if (prompt === undefined) return brief;
  // An empty attribute counts as absent.
  const own = file.xattrs?.get(PROMPT)?.length ?? 0;
  const inherited = own > 0 ? brief.prompts.slice(0, -1) : brief.prompts;
  return { ...brief, prompts: [...inherited, prompt] };
}
