/**
 * Files that are created when their name is looked up: those of a rule with path parameters and a generator that cannot
 * list.
 *
 * Only the generator can say whether such a file exists, so the lookup waits until it is generated. ENOENT is an
 * ordinary answer; it means that the name does not exist. A file that was found stays, and appears in listings of the
 * directory.
 */

import { GENERATOR, ORIGIN } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { NamedFiles } from "../../rpc/generation.ts";
import type { FromFilesystem } from "../../rpc/messages.ts";
import { PathPattern, piecesOf } from "../../text/path-pattern.ts";
import type { Directory } from "../../tree/directory.ts";
import { toText } from "../../tree/path.ts";
import { setXattr } from "../../tree/xattrs.ts";
import type { Dcache } from "../coherence/dcache.ts";
import type { Passthrough } from "../coherence/passthrough.ts";
import type { FsCore } from "../core.ts";
import type { Authors } from "../permissions/authors.ts";
import { rulePathOf } from "../permissions/origins.ts";
import { allowRunning } from "../permissions/scripts.ts";
import { isInternal } from "../programs/internal-names.ts";
import type { ArrivedContent, Attempt, Waiter } from "../waiting/attempt.ts";
import type { Waiters } from "../waiting/waiters.ts";
import { Failures } from "./backoff.ts";
import type { Expiry } from "./expiry.ts";
import { fill, keepMetadata } from "./pending.ts";
import { buildRequest } from "./request.ts";
import type { RuleEntries } from "./rule-entries.ts";

/** The parts of the mount that it uses. */
interface OnDemandFilesContext extends FsCore {
  readonly authors: Authors;
  readonly dcache: Dcache;
  readonly expiry: Expiry;
  readonly passthrough: Passthrough;
  readonly ruleEntries: RuleEntries;
}

export class OnDemandFiles {
  readonly #rules: readonly { readonly pattern: PathPattern; readonly generator: string }[];
  readonly #mount: () => OnDemandFilesContext;
  readonly #waiters: Waiters;
  readonly #post: (message: FromFilesystem) => void;
  /** The running attempts, by path. */
  readonly #running = new Map<string, Attempt>();
  readonly #failures = new Failures<Directory>();

  constructor(
    mount: () => OnDemandFilesContext,
    waiters: Waiters,
    post: (message: FromFilesystem) => void,
    rules: readonly NamedFiles[],
  ) {
    this.#mount = mount;
    this.#waiters = waiters;
    this.#post = post;
    this.#rules = rules.map(({ match, generator }) => ({ pattern: new PathPattern(piecesOf(match)), generator }));
  }

  /** Whether there are such rules. */
  get enabled(): boolean {
    return this.#rules.length > 0;
  }

  /** Whether a generator may provide this name in this directory. */
  concerns(directory: Directory, name: string): boolean {
    return this.#rules.length > 0 && this.#ruleFor(rulePathOf(this.#mount(), directory, name)) !== undefined;
  }

  /**
   * Looks up a name that does not exist. Returns false if no rule matches it. Throws EDEADLK, and ESTALE (see
   * dcache.ts).
   */
  wait(directory: Directory, name: string, waiter: Waiter): boolean {
    if (this.#rules.length === 0) return false;
    const path = rulePathOf(this.#mount(), directory, name);
    const rule = this.#ruleFor(path);
    if (path === undefined || rule === undefined) return false;
    if (waiter.unique !== undefined) this.#mount().dcache.prepareToPark(directory, waiter.pid ?? 0);
    const running = this.#waiters.reuse(this.#running.get(path), waiter.pid);
    // A new attempt waits for nothing yet, so it cannot close a cycle.
    const admitted = this.#waiters.admit(running?.inode ?? directory, waiter);
    this.#waiters.join(running ?? this.#begin(directory, name, path, rule.generator), admitted);
    return true;
  }

  #begin(directory: Directory, name: string, path: string, generator: string): Attempt {
    const mount = this.#mount();
    const { tree, ruleEntries } = mount;
    ruleEntries.admit();
    const file = tree.tmpfile(directory, 0o644, { uid: directory.uid, gid: directory.gid });
    ruleEntries.add(file);
    setXattr(file, GENERATOR, Buffer.from(generator));
    setXattr(file, ORIGIN, Buffer.from(path, "latin1"));
    file.state = "generating";
    const end = (error: FsError | undefined) => {
      this.#running.delete(path);
      this.#waiters.end(attempt, (waiter) => (error === undefined ? waiter.done() : waiter.fail(error)));
    };
    const attempt = this.#waiters.open(file, {
      onContent: (content) => {
        try {
          this.#take(directory, name, attempt, content);
        } catch (error) {
          return end(FsError.from(error));
        }
        this.#failures.forgive(directory);
        end(undefined);
      },
      onFailure: (error) => {
        // ENOENT is an answer, not a failure of the generator.
        if (error.code === "ENOENT") this.#failures.forgive(directory);
        else this.#failures.add(directory);
        end(error);
      },
      onCallOff: () => void this.#running.delete(path),
    });
    this.#running.set(path, attempt);
    mount.expiry.noteBegin(file);
    const pause = this.#failures.pause(directory);
    const request = buildRequest(mount, file, attempt.ticket, pause, { path, directory });
    this.#post({ type: "generate", request });
    return attempt;
  }

  #take(directory: Directory, name: string, attempt: Attempt, content: ArrivedContent): void {
    const mount = this.#mount();
    const { inode: file } = attempt;
    // A user created a file of that name in the meantime. Keep it.
    if (file.kind !== "file" || directory.get(name) !== undefined) return;
    const { ruleEntries } = mount;
    ruleEntries.makeRoom(content.bytes.length);
    fill(file, content);
    allowRunning(file, mount.umask);
    ruleEntries.chargeContent(file);
    file.state = "ready";
    for (const problem of keepMetadata(file, content)) {
      mount.warn(`attempt ${attempt.ticket}: ${problem}`);
    }
    const { tree } = mount;
    // To any observer the file was there all along, also when it is created again after an eviction.
    file.setTimes({ mtime: tree.root.btime });
    mount.withGenerationClock(() => tree.keepMtimes(() => tree.link(file, directory, name)));
    mount.expiry.noteEnd(file);
    ruleEntries.enter(file);
  }

  #ruleFor(path: string | undefined): { readonly generator: string } | undefined {
    if (path === undefined) return undefined;
    const text = toText(path);
    if (isInternal(text)) return undefined;
    // A generator gets the parts of the path as text, so a path that is not UTF-8 matches no rule.
    return text.isWellFormed() ? this.#rules.find(({ pattern }) => pattern.matches(text)) : undefined;
  }
}
