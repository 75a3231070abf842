/**
 * Generating a file anew because somebody wants it, and taking that back.
 *
 * Who sets `user.llmfs.regen` and then opens the file for reading, in the same thread, waits for another content; it
 * takes the old one's place as a new inode, and the old one is kept for an undo. If it cannot be made, the old content
 * stays. That open is sent to look the name up again (revalidate.ts), and so is everybody who comes by another name.
 */
import { FsError } from "../errno.ts";
import { printable } from "../printable.ts";
import type { RegularFile } from "../tree/file.ts";
import { setXattr, XATTR_SIZE_MAX } from "../tree/xattrs.ts";
import type { ArrivedContent, Attempt, Attempts, Waiter } from "./attempts.ts";
import { briefOf, PROMPT, textXattr } from "./brief.ts";
import { ByThread, NOBODY } from "./by-thread.ts";
import type { Mount } from "./mount.ts";
import type { FromFilesystem, GenerationRequest } from "./port.ts";
import type { Opening } from "./refresh.ts";
import { rename, replaceContent } from "./replace.ts";
import type { Opener } from "./revalidate.ts";
import { checkSetting } from "./settings.ts";

export const REGEN = "user.llmfs.regen";

const BUSY = new FsError("EBUSY", "the file is being generated");

const THEIRS = new FsError("EEXIST", "somebody wrote what is in the file");

const WRITTEN = new FsError("EBUSY", "somebody wrote to the file while it was made anew; what they wrote stays");

const STRANGER =
  "a caller of another process namespace cannot be recognized when it opens the file; use 'llmfs regen' instead";

const REQUEST = "user.llmfs.meta.request";

/** How long a thread may take from setting the attribute to the open, and how many threads may be on their way. */
const DEMANDS = { milliseconds: 60_000, notes: 256 };
/** Of one thread. A prompt takes up to 64 KiB. */
const MOST_DEMANDS = 4;

/** The inodes that a file's names have had. */
interface Line {
  current: RegularFile;
  /** What an undo brings back. Held. */
  previous: RegularFile | undefined;
  attempt: Attempt | undefined;
  /** What the attempt was asked for with. */
  prompt: string | undefined;
  /** Why the last attempt failed. */
  error: FsError | undefined;
}

export interface Wish {
  /** The file's own prompt from here on; absent: as it is. */
  readonly prompt: string | undefined;
  /** Also what somebody wrote. */
  readonly force: boolean;
}

interface Demand {
  /** Weakly: the thread may never come to open it. */
  readonly file: WeakRef<RegularFile>;
  /** The file's own prompt from here on; absent: as it is. */
  readonly prompt?: string;
}

export class Regeneration {
  readonly #mount: () => Mount;
  readonly #attempts: Attempts;
  readonly #post: (message: FromFilesystem) => void;
  readonly #lines = new Map<RegularFile, Line>();
  readonly #demands = new ByThread<readonly Demand[]>(DEMANDS);

  constructor(mount: () => Mount, attempts: Attempts, post: (message: FromFilesystem) => void) {
    this.#mount = mount;
    this.#attempts = attempts;
    this.#post = post;
  }

  /**
   * Somebody asks for another content, and waits for it. Throws EEXIST for what somebody wrote, unless `force`; EBUSY,
   * EOPNOTSUPP, EDEADLK, and EINVAL or E2BIG for the prompt.
   */
  generate(file: RegularFile, { prompt, force }: Wish, waiter: Waiter): void {
    const target = this.#wanted(file, prompt);
    if (!force && target.state === "static" && target.size > 0) throw THEIRS;
    if (!target.lazy) return this.#make(target, prompt, waiter);
    this.#mount().pending.forgive(target);
    this.#mount().pending.wait(target, waiter);
  }

  /** Brings the previous content back; again, and that is undone. Throws ENODATA. */
  undo(file: RegularFile): void {
    this.#undo(this.#lines.get(file));
  }

  /** The attribute was set: `undo`, or `again` with a prompt behind a colon if there is to be another one. */
  set(file: RegularFile, value: string, pid: number): void {
    if (value === "undo") return this.undo(file);
    const prompt = value.startsWith("again:") ? value.slice("again:".length) : undefined;
    if (value !== "again" && prompt === undefined) throw new FsError("EINVAL", "expected again, again:PROMPT or undo");
    const target = this.#wanted(file, prompt);
    if (target.lazy) return;
    if (pid === NOBODY) throw new FsError("EOPNOTSUPP", STRANGER);
    const others = this.#demandsOf(pid).filter((one) => one.file.deref() !== target);
    if (others.length >= MOST_DEMANDS) throw new FsError("EBUSY", "open the files for which it was set before first");
    this.#demands.set(pid, [...others, { file: new WeakRef(target), ...(prompt !== undefined && { prompt }) }]);
  }

  /** Why the last attempt to make it anew failed. */
  error(file: RegularFile): string | undefined {
    const error = this.#lines.get(file)?.error;
    return error && printable(`${error.code}: ${error.message}`);
  }

  /**
   * False: the file may be opened as it is. True: the opening is answered later. Throws ESTALE where the kernel is to
   * look the name up again.
   */
  open(file: RegularFile, opening: Opening): boolean {
    if (this.#demands.size === 0 && this.#lines.size === 0) return false;
    const target = this.#lines.get(file)?.current ?? file;
    const { pid } = opening.opener;
    const demands = this.#demandsOf(pid);
    const demand = demands.find((one) => one.file.deref() === target);
    if (demand === undefined) {
      this.settle(file, opening.opener);
      return false;
    }
    const others = demands.filter((one) => one !== demand);
    if (others.length > 0) this.#demands.set(pid, others);
    else this.#demands.delete(pid);
    this.#make(target, demand.prompt, {
      unique: opening.unique,
      pid,
      done: () => {
        this.settle(file, opening.opener);
        opening.opened(file);
      },
      fail: (error) => {
        // The thread was interrupted, and may try again.
        if (error.code === "EINTR") this.#demands.set(pid, [...this.#demandsOf(pid), demand]);
        opening.fail(error);
      },
    });
    return true;
  }

  /** Throws ESTALE where the names have moved on to another inode. */
  settle(file: RegularFile, opener: Opener): void {
    const line = this.#lines.get(file);
    if (line === undefined || line.current === file || opener.comesBackFor(line)) return;
    throw this.#mount().revalidation.lookAgain(opener, line, "another content is under the same name");
  }

  /** Unmounted: what was kept for an undo goes. */
  clear(): void {
    for (const line of new Set(this.#lines.values())) this.#keep(line, undefined);
    this.#lines.clear();
  }

  /** The file that is meant, where it may be generated again. A pending one takes the prompt at once. */
  #wanted(file: RegularFile, prompt: string | undefined): RegularFile {
    const target = this.#lines.get(file)?.current ?? file;
    if (this.#mount().refresh.policy(target) !== undefined) {
      throw new FsError("EOPNOTSUPP", "the file is generated again by itself, as its user.llmfs.refresh says");
    }
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

  #make(target: RegularFile, prompt: string | undefined, given: Waiter): void {
    const line = this.#of(target);
    const running = this.#attempts.current(line.attempt, given.pid);
    if (running !== undefined && !this.#attempts.isLeft(running)) throw BUSY;
    const waiter = this.#attempts.checked(target, given);
    if (running !== undefined && line.prompt === prompt) return this.#attempts.join(running, waiter);
    if (running !== undefined) this.#attempts.callOff(running);
    const end = (error: FsError | undefined, answer: Parameters<Attempts["end"]>[1]) => {
      line.attempt = undefined;
      line.error = error;
      this.#attempts.end(attempt, answer);
    };
    const { state } = target;
    const { mtime, mtimeNsec } = target.times();
    const failed = (error: FsError) => end(error, (waiter) => waiter.fail(error));
    const attempt = this.#attempts.open(target, {
      content: (content) => {
        try {
          const now = target.times();
          if (target.state !== state || now.mtime !== mtime || now.mtimeNsec !== mtimeNsec) throw WRITTEN;
          this.#take(line, prompt, content);
        } catch (error) {
          return failed(error instanceof FsError ? error : new FsError("EIO", String(error), { cause: error }));
        }
        end(undefined, (waiter) => waiter.done());
      },
      failed,
      calledOff: () => {
        line.attempt = undefined;
      },
    });
    line.attempt = attempt;
    line.prompt = prompt;
    this.#attempts.join(attempt, waiter);
    const brief = briefOf(this.#mount(), target, attempt.ticket, 0);
    this.#post({ type: "generate", request: { ...withPrompt(brief, target, prompt), again: true } });
  }

  #take(line: Line, prompt: string | undefined, content: ArrivedContent): void {
    const { tree } = this.#mount();
    const old = line.current;
    const fresh = replaceContent(tree, old, content);
    if (prompt !== undefined) setXattr(fresh, PROMPT, Buffer.from(prompt));
    line.current = fresh;
    this.#lines.set(fresh, line);
    this.#keep(line, old);
  }

  /** What is undone can be undone. */
  #undo(line: Line | undefined): void {
    if (line?.previous === undefined) throw new FsError("ENODATA", "there is no earlier content");
    const { current, previous } = line;
    const { tree } = this.#mount();
    tree.hold(current);
    rename(tree, current, previous);
    line.current = previous;
    const request = textXattr(previous, REQUEST);
    if (request !== undefined && request === textXattr(current, REQUEST)) this.#post({ type: "undone", request });
    this.#keep(line, current);
    tree.drop(current);
  }

  #keep(line: Line, file: RegularFile | undefined): void {
    const { tree } = this.#mount();
    const before = line.previous;
    if (file !== undefined) tree.hold(file);
    line.previous = file;
    if (before === undefined) return;
    if (before !== line.current && before !== file) this.#lines.delete(before);
    tree.drop(before);
  }

  #demandsOf(pid: number): readonly Demand[] {
    return this.#demands.get(pid) ?? [];
  }

  #of(file: RegularFile): Line {
    const known = this.#lines.get(file);
    if (known !== undefined) return known;
    const line: Line = { current: file, previous: undefined, attempt: undefined, prompt: undefined, error: undefined };
    this.#lines.set(file, line);
    return line;
  }
}

/** The file's own prompt is the last one, where it has one. */
function withPrompt(brief: GenerationRequest, file: RegularFile, prompt: string | undefined): GenerationRequest {
  if (prompt === undefined) return brief;
  // An empty one is none.
  const own = file.xattrs?.get(PROMPT)?.length ?? 0;
  const inherited = own > 0 ? brief.prompts.slice(0, -1) : brief.prompts;
  return { ...brief, prompts: [...inherited, prompt] };
}
