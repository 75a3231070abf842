/**
 * Files whose content does not exist yet, and what happens when it comes.
 *
 * An open for reading is parked (waiters.ts) and answered when the bytes are there. However many wait, the content is
 * asked for once. Everything goes by inode: rename, link or unlink meanwhile does not matter.
 */
import { FsError } from "../../errno.ts";
import type { GeneratedContent } from "../../rpc/generation.ts";
import type { FromFilesystem } from "../../rpc/messages.ts";
import type { RegularFile } from "../../tree/file.ts";
import { toBytes } from "../../tree/path.ts";
import { setXattr } from "../../tree/xattrs.ts";
import type { Mount } from "../context.ts";
import type { ArrivedContent, Attempt, Attempts, Waiter } from "../waiting/waiters.ts";
import { Failures } from "./backoff.ts";
import { briefOf, REFRESH } from "./request.ts";

export class Pending {
  readonly #mount: () => Mount;
  readonly #post: (message: FromFilesystem) => void;
  readonly #attempts: Attempts;
  readonly #byFile = new Map<RegularFile, Attempt>();
  readonly #failures = new Failures<RegularFile>();

  constructor(mount: () => Mount, attempts: Attempts, post: (message: FromFilesystem) => void) {
    this.#mount = mount;
    this.#attempts = attempts;
    this.#post = post;
  }

  /** How many files are being generated. */
  get size(): number {
    return this.#byFile.size;
  }

  /** Precondition: `file.lazy`. Throws EDEADLK where the wait would be for itself. */
  wait(file: RegularFile, waiter: Waiter): void {
    const checked = this.#attempts.checked(file, waiter);
    const running = this.#attempts.current(this.#byFile.get(file), waiter.pid);
    this.#attempts.join(running ?? this.#begin(file), checked);
  }

  /** Whether it is being generated, and somebody waits for it. */
  isAwaited(file: RegularFile): boolean {
    const attempt = this.#byFile.get(file);
    return attempt !== undefined && !this.#attempts.isLeft(attempt);
  }

  /** Somebody wants it made anew: earlier failures are not held against it. */
  forgive(file: RegularFile): void {
    this.#failures.forgive(file);
  }

  /** Somebody wrote first: those who waited see what was written. */
  overwritten(file: RegularFile): void {
    const attempt = this.#byFile.get(file);
    if (attempt === undefined) return;
    this.#attempts.cancel(attempt);
    this.#end(attempt, (waiter) => waiter.done());
  }

  #begin(file: RegularFile): Attempt {
    const attempt = this.#attempts.open(file, {
      content: (content) => {
        // It has another owner by now, who may read other things than the one it was composed for.
        if (this.#mount().authors.viewer(file) !== request.viewer) this.#again(attempt, file);
        else this.#content(attempt, file, content);
      },
      failed: (error) => this.#failed(attempt, file, error),
      calledOff: () => {
        file.state = "pending";
        this.#byFile.delete(file);
      },
    });
    const request = briefOf(this.#mount(), file, attempt.ticket, this.#failures.pause(file));
    file.state = "generating";
    file.error = undefined;
    this.#byFile.set(file, attempt);
    this.#mount().refresh.begun(file);
    this.#post({ type: "generate", request });
    return attempt;
  }

  /** All who wait go on to wait for another attempt. */
  #again(attempt: Attempt, file: RegularFile): void {
    file.state = "pending";
    if (attempt.waiters.size === 0) return this.#end(attempt, () => {});
    const next = this.#begin(file);
    this.#attempts.end(attempt, (waiter) => this.#attempts.join(next, waiter));
  }

  #content(attempt: Attempt, file: RegularFile, content: ArrivedContent): void {
    const mount = this.#mount();
    if (mount.wroteUnseen(file)) return;
    try {
      mount.ruleEntries.makeRoom(content.bytes.length);
      fill(file, content);
      mount.ruleEntries.filled(file);
    } catch (error) {
      return this.#failed(attempt, file, error instanceof FsError ? error : new FsError("EIO", String(error)));
    }
    file.state = "ready";
    file.error = undefined;
    this.#failures.forgive(file);
    for (const problem of keepMetadata(file, content)) {
      mount.warn(`attempt ${attempt.ticket}: ${problem}`);
    }
    // Reading changes no content, so the first reader leaves the mtime alone: editors and make go by it.
    mount.making(() => file.touchCtime(mount.tree.clock));
    mount.refresh.made(file);
    mount.store(file);
    this.#end(attempt, (waiter) => waiter.done());
  }

  /** The next open tries again. */
  #failed(attempt: Attempt, file: RegularFile, error: FsError): void {
    file.state = "failed";
    file.error = error;
    this.#failures.add(file);
    this.#mount().invalidate(file, false);
    this.#end(attempt, (waiter) => waiter.fail(error));
  }

  #end(attempt: Attempt, answer: (waiter: Waiter) => void): void {
    if (attempt.inode.kind === "file") this.#byFile.delete(attempt.inode);
    this.#attempts.end(attempt, answer);
  }
}

/** Precondition: the file is empty. Throws ENOSPC, EFBIG, and then it is empty again. */
export function fill(file: RegularFile, { bytes, draft }: ArrivedContent): void {
  if (draft !== undefined) return draft.moveTo(file);
  try {
    if (file.write(0, bytes) < bytes.length) throw new FsError("ENOSPC");
  } catch (error) {
    file.truncate(0);
    const full = error instanceof FsError ? error : new FsError("EIO", String(error), { cause: error });
    throw new FsError(full.code, `${bytes.length} bytes were generated: ${full.message}`, { cause: error });
  }
}

/** Keeps what came with the content as attributes; returns what could not be kept, which is not worth the content. */
export function keepMetadata(file: RegularFile, { metadata, refresh }: GeneratedContent): readonly string[] {
  const problems: string[] = [];
  const all = [...metadata].map(([key, value]): [string, string] => [`user.llmfs.meta.${key}`, value]);
  if (refresh !== undefined) all.push([REFRESH, refresh]);
  for (const [name, value] of all) {
    try {
      if (name.includes("\0")) throw new FsError("EINVAL", "a name must not hold a NUL byte");
      setXattr(file, toBytes(name), Buffer.from(value));
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      const key = JSON.stringify(name.replace(/^user\.llmfs\.meta\./, "").slice(0, 64));
      problems.push(`the metadata ${key} is not kept: ${error.message}`);
    }
  }
  return problems;
}
