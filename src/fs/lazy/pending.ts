/**
 * Pending files, and what happens when their content arrives.
 *
 * An open for reading is parked (waiters.ts) and answered when the content has arrived. However many readers wait, the
 * content is requested once. Everything is keyed by inode, so a rename, link or unlink in the meantime does not matter.
 */
import { METADATA, REFRESH } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { GeneratedContent } from "../../rpc/generation.ts";
import type { FromFilesystem } from "../../rpc/messages.ts";
import type { RegularFile } from "../../tree/file.ts";
import { toBytes, toText } from "../../tree/path.ts";
import { setXattrs } from "../../tree/xattrs.ts";
import type { Passthrough } from "../coherence/passthrough.ts";
import type { FsCore } from "../core.ts";
import type { Authors } from "../permissions/authors.ts";
import { allowRunning } from "../permissions/scripts.ts";
import type { ArrivedContent, Attempt, Waiter } from "../waiting/attempt.ts";
import type { Waiters } from "../waiting/waiters.ts";
import { Failures } from "./backoff.ts";
import { buildRequest } from "./request.ts";
import type { RuleEntries } from "./rule-entries.ts";

/** The parts of the mount that it uses. */
interface PendingContext extends FsCore {
  readonly authors: Authors;
  readonly passthrough: Passthrough;
  readonly ruleEntries: RuleEntries;
  readonly expiry: { noteBegin(file: RegularFile): void; noteEnd(file: RegularFile): void };
}

export class Pending {
  readonly #mount: () => PendingContext;
  readonly #post: (message: FromFilesystem) => void;
  readonly #waiters: Waiters;
  readonly #byFile = new Map<RegularFile, Attempt>();
  readonly #failures = new Failures<RegularFile>();

  constructor(mount: () => PendingContext, waiters: Waiters, post: (message: FromFilesystem) => void) {
    this.#mount = mount;
    this.#waiters = waiters;
    this.#post = post;
  }

  /** The number of files that are being generated. */
  get size(): number {
    return this.#byFile.size;
  }

  /** Precondition: `file.lazy`. Throws EDEADLK if the file would wait for itself. */
  wait(file: RegularFile, waiter: Waiter): void {
    const checked = this.#waiters.admit(file, waiter);
    const running = this.#waiters.reuse(this.#byFile.get(file), waiter.pid);
    this.#waiters.join(running ?? this.#begin(file), checked);
  }

  /** Whether it is being generated and a reader waits for it. */
  isAwaited(file: RegularFile): boolean {
    const attempt = this.#byFile.get(file);
    return attempt !== undefined && !this.#waiters.isLeft(attempt);
  }

  /** A new generation was requested explicitly: forget earlier failures, so that it starts without a pause. */
  forgive(file: RegularFile): void {
    this.#failures.forgive(file);
  }

  /** A user wrote to the file first: its waiters read what was written. */
  onOverwrite(file: RegularFile): void {
    const attempt = this.#byFile.get(file);
    if (attempt === undefined) return;
    this.#waiters.cancel(attempt);
    this.#end(attempt, (waiter) => waiter.done());
  }

  #begin(file: RegularFile): Attempt {
    const attempt = this.#waiters.open(file, {
      onContent: (content) => {
        // The file has a new owner, who may be allowed to read different files. Generate it again for that owner.
        if (this.#mount().authors.viewerOf(file) !== request.viewer) this.#restart(attempt, file);
        else this.#takeContent(attempt, file, content);
      },
      onFailure: (error) => this.#fail(attempt, file, error),
      onCallOff: () => {
        file.state = "pending";
        this.#byFile.delete(file);
      },
    });
    const request = buildRequest(this.#mount(), file, attempt.ticket, this.#failures.pause(file));
    file.state = "generating";
    file.error = undefined;
    this.#byFile.set(file, attempt);
    this.#mount().expiry.noteBegin(file);
    this.#post({ type: "generate", request });
    return attempt;
  }

  /** Moves all waiters to a new attempt. */
  #restart(attempt: Attempt, file: RegularFile): void {
    file.state = "pending";
    if (attempt.waiters.size === 0) return this.#end(attempt, () => {});
    const next = this.#begin(file);
    this.#waiters.end(attempt, (waiter) => this.#waiters.join(next, waiter));
  }

  #takeContent(attempt: Attempt, file: RegularFile, content: ArrivedContent): void {
    const mount = this.#mount();
    if (mount.claimUnseenWrites(file)) return;
    try {
      mount.ruleEntries.makeRoom(content.bytes.length);
      fill(file, content);
      allowRunning(file, mount.umask);
      mount.ruleEntries.chargeContent(file);
    } catch (error) {
      return this.#fail(attempt, file, FsError.from(error));
    }
    file.state = "ready";
    file.error = undefined;
    mount.failedRenewals.forget(file);
    this.#failures.forgive(file);
    for (const problem of keepMetadata(file, content)) {
      mount.warn(`attempt ${attempt.ticket}: ${problem}`);
    }
    // Reading changes no content, so the first read leaves the mtime alone, which editors and make rely on.
    mount.withGenerationClock(() => file.touchCtime(mount.tree.clock));
    mount.expiry.noteEnd(file);
    mount.store(file);
    this.#end(attempt, (waiter) => waiter.done());
  }

  /** The next open tries again. */
  #fail(attempt: Attempt, file: RegularFile, error: FsError): void {
    file.state = "failed";
    file.error = error;
    this.#failures.add(file);
    this.#mount().invalidate(file, false);
    this.#end(attempt, (waiter) => waiter.fail(error));
  }

  #end(attempt: Attempt, answer: (waiter: Waiter) => void): void {
    if (attempt.inode.kind === "file") this.#byFile.delete(attempt.inode);
    this.#waiters.end(attempt, answer);
  }
}

/** Precondition: the file is empty. Throws ENOSPC or EFBIG; then the file is empty again. */
export function fill(file: RegularFile, { bytes, draft }: ArrivedContent): void {
  if (draft !== undefined) return draft.moveTo(file);
  try {
    if (file.write(0, bytes) < bytes.length) throw new FsError("ENOSPC");
  } catch (error) {
    file.truncate(0);
    const full = FsError.from(error);
    throw new FsError(full.code, `${bytes.length} bytes were generated: ${full.message}`, { cause: error });
  }
}

/** Stores the content's metadata as attributes. Returns what could not be stored; that does not fail the content. */
export function keepMetadata(
  file: RegularFile,
  { metadata, refresh }: Pick<GeneratedContent, "metadata" | "refresh">,
): readonly string[] {
  const problems: string[] = [];
  const leaveOut = (name: string, error: FsError) => {
    const key = JSON.stringify((name.startsWith(METADATA) ? name.slice(METADATA.length) : name).slice(0, 64));
    problems.push(`the metadata ${key} is not kept: ${error.message}`);
  };
  const entries: [string, Uint8Array][] = [];
  const add = (name: string, value: string) => {
    if (name.includes("\0")) leaveOut(name, new FsError("EINVAL", "a name must not contain a NUL byte"));
    else entries.push([toBytes(name), Buffer.from(value)]);
  };
  for (const [key, value] of metadata) add(`${METADATA}${key}`, value);
  if (refresh !== undefined) add(REFRESH, refresh);
  setXattrs(file, entries, (name, error) => leaveOut(toText(name), error));
  return problems;
}
