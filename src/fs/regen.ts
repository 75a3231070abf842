/**
 * Generating a file anew because somebody wants it, and taking that back.
 *
 * Who sets `user.llmfs.regen` and then opens the file for reading, in the same thread, waits for another content; it
 * takes the old one's place as a new inode, and the old one is kept for an undo. If it cannot be made, the old content
 * stays. The kernel learns of the new inode by an ESTALE to that open, upon which it looks the name up again
 * (fs/namei.c:do_filp_open(), LOOKUP_REVAL); so does everybody who comes by another name. It does so once, hence the
 * second open of a caller is answered with what it asks for.
 */
import { FsError } from "../errno.ts";
import type { RegularFile } from "../tree/file.ts";
import { setXattr } from "../tree/xattrs.ts";
import type { ArrivedContent, Attempt, Attempts } from "./attempts.ts";
import { briefOf, PROMPT, textXattr } from "./brief.ts";
import type { Mount } from "./mount.ts";
import type { FromFilesystem, GenerationRequest } from "./port.ts";
import type { Opening } from "./refresh.ts";
import { rename, replaceContent } from "./replace.ts";

export const REGEN = "user.llmfs.regen";

const WRITTEN = new FsError("EBUSY", "somebody wrote to the file while it was made anew; what they wrote stays");

const REQUEST = "user.llmfs.meta.request";

/** How long a caller that was told ESTALE may take to open again. */
const OWED_MS = 30_000;

/** The inodes that a file's names have had. */
interface Line {
  current: RegularFile;
  /** What an undo brings back. Held. */
  previous: RegularFile | undefined;
  attempt: Attempt | undefined;
  /** Why the last attempt failed. */
  error: FsError | undefined;
  readonly owed: Map<number, number>;
}

interface Demand {
  readonly file: RegularFile;
  /** The file's own prompt from here on; absent: as it is. */
  readonly prompt?: string;
}

export class Regeneration {
  readonly #mount: () => Mount;
  readonly #attempts: Attempts;
  readonly #post: (message: FromFilesystem) => void;
  readonly #lines = new Map<RegularFile, Line>();
  /** By thread. */
  readonly #demands = new Map<number, Demand>();

  constructor(mount: () => Mount, attempts: Attempts, post: (message: FromFilesystem) => void) {
    this.#mount = mount;
    this.#attempts = attempts;
    this.#post = post;
  }

  /** The attribute was set: `undo`, or `again` with a prompt behind a colon if there is to be another one. */
  set(file: RegularFile, value: string, pid: number): void {
    const target = this.#lines.get(file)?.current ?? file;
    if (value === "undo") return this.#undo(this.#lines.get(target));
    const prompt = value.startsWith("again:") ? value.slice("again:".length) : undefined;
    if (value !== "again" && prompt === undefined) throw new FsError("EINVAL", "expected again, again:PROMPT or undo");
    if (this.#mount().refresh.policy(target) !== undefined) {
      throw new FsError("EOPNOTSUPP", "the file is made anew by itself: user.llmfs.refresh");
    }
    if (target.state === "generating") throw new FsError("EBUSY", "the file is being generated");
    if (!target.lazy) this.#demands.set(pid, { file: target, ...(prompt !== undefined && { prompt }) });
    else if (prompt !== undefined) setXattr(target, PROMPT, Buffer.from(prompt));
  }

  /** Why the last attempt to make it anew failed. */
  error(file: RegularFile): string | undefined {
    const error = this.#lines.get(file)?.error;
    return error && `${error.code}: ${error.message}`;
  }

  /**
   * False: the file may be opened as it is. True: the opening is answered later. Throws ESTALE where the kernel is to
   * look the name up again.
   */
  open(file: RegularFile, opening: Opening): boolean {
    if (this.#demands.size === 0 && this.#lines.size === 0) return false;
    const line = this.#lines.get(file);
    const demand = this.#demands.get(opening.pid);
    if (demand !== undefined && demand.file === (line?.current ?? file)) {
      this.#demands.delete(opening.pid);
      this.#make(demand, file, opening);
      return true;
    }
    this.settle(file, opening.pid);
    return false;
  }

  /** Throws ESTALE where the names have moved on to another inode. */
  settle(file: RegularFile, pid: number): void {
    const line = this.#lines.get(file);
    if (line === undefined || line.current === file) return;
    const until = line.owed.get(pid);
    line.owed.delete(pid);
    if (until !== undefined && performance.now() < until) return;
    line.owed.set(pid, performance.now() + OWED_MS);
    throw new FsError("ESTALE", "another content is under the same name");
  }

  /** Unmounted: what was kept for an undo goes. */
  clear(): void {
    for (const line of new Set(this.#lines.values())) this.#keep(line, undefined);
    this.#lines.clear();
  }

  #make(demand: Demand, file: RegularFile, opening: Opening): void {
    const { file: target, prompt } = demand;
    const line = this.#of(target);
    if (line.attempt !== undefined) throw new FsError("EBUSY", "the file is being generated");
    const end = (error: FsError | undefined, answer: Parameters<Attempts["end"]>[1]) => {
      line.attempt = undefined;
      line.error = error;
      this.#attempts.end(attempt, answer);
    };
    target.sync();
    const { state, mtime, mtimeNsec } = target;
    const failed = (error: FsError) => end(error, (waiter) => waiter.fail(error));
    const attempt = this.#attempts.open(target, {
      content: (content) => {
        try {
          target.sync();
          if (target.state !== state || target.mtime !== mtime || target.mtimeNsec !== mtimeNsec) throw WRITTEN;
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
    this.#attempts.join(attempt, {
      unique: opening.unique,
      done: () => {
        this.settle(file, opening.pid);
        opening.opened(file);
      },
      fail: opening.fail,
    });
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

  #of(file: RegularFile): Line {
    const known = this.#lines.get(file);
    if (known !== undefined) return known;
    const line: Line = { current: file, previous: undefined, attempt: undefined, error: undefined, owed: new Map() };
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
