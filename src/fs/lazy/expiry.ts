/**
 * Generated files whose content expires (`user.llmfs.refresh`).
 *
 * An open after the expiry waits for newer content. If no program has the file open, the new bytes replace the old
 * ones. Otherwise they go into a new inode under the same name, so that no open file ever changes under its reader; the
 * waiting open is then made to look the name up again (revalidate.ts), and succeeds unconditionally when it comes back.
 */

import { type ExpiryPolicy, ORIGIN, parsePolicy, REFRESH } from "../../attributes.ts";
import type { FsError } from "../../errno.ts";
import type { FromFilesystem } from "../../rpc/messages.ts";
import type { Directory } from "../../tree/directory.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Inode } from "../../tree/inode.ts";
import { xattrSpace } from "../../tree/xattrs.ts";
import type { Passthrough } from "../coherence/passthrough.ts";
import type { FsCore } from "../core.ts";
import type { Authors } from "../permissions/authors.ts";
import { allowRunning, isScript } from "../permissions/scripts.ts";
import type { ArrivedContent, Waiter } from "../waiting/attempt.ts";
import type { Waiters } from "../waiting/waiters.ts";
import { Freshness, nextMoment } from "./freshness.ts";
import { fill, keepMetadata } from "./pending.ts";
import type { InodeReplacement } from "./replace-inode.ts";
import { buildRequest, textXattr } from "./request.ts";
import type { Opener } from "./revalidate.ts";
import type { RuleEntries } from "./rule-entries.ts";

/** The successive inodes of one name. */
interface Series {
  current: RegularFile;
  readonly freshness: Freshness;
  /** Whether the next request is for a new answer even if one is recorded. */
  again: boolean;
}

export interface Opening {
  readonly unique: number;
  readonly opener: Opener;
  /** Answers the open with this inode. */
  answer(file: RegularFile): void;
  fail(error: FsError): void;
}

/** The parts of the mount that it uses. */
interface ExpiryContext extends FsCore {
  readonly authors: Authors;
  readonly passthrough: Passthrough;
  readonly replacement: InodeReplacement;
  readonly ruleEntries: RuleEntries;
  readonly listings: { readonly enabled: boolean; lists(directory: Directory): boolean };
  readonly onDemandFiles: { readonly enabled: boolean; concerns(directory: Directory, name: string): boolean };
}

const AT_ONCE: ExpiryPolicy = { ms: 0, stale: false };

export class Expiry {
  readonly #enabled: boolean;
  readonly #mount: () => ExpiryContext;
  readonly #waiters: Waiters;
  readonly #post: (message: FromFilesystem) => void;
  readonly #series = new WeakMap<RegularFile, Series>();

  /** `enabled`: whether there is a generator. Without one, expired content is served as it is. */
  constructor(mount: () => ExpiryContext, waiters: Waiters, post: (message: FromFilesystem) => void, enabled: boolean) {
    this.#enabled = enabled;
    this.#mount = mount;
    this.#waiters = waiters;
    this.#post = post;
  }

  /** How long the content of a file is valid; undefined: forever. */
  policyOf(file: RegularFile): ExpiryPolicy | undefined {
    if (file.xattrs === undefined || !this.#enabled) return undefined;
    const text = textXattr(file, REFRESH);
    return text === undefined ? undefined : parsePolicy(text);
  }

  /** Whether the inode behind a name may change without the kernel's doing. */
  mayMove(inode: Inode): boolean {
    if (inode.xattrs === undefined || !this.#enabled) return false;
    const { listings, onDemandFiles } = this.#mount();
    return inode.xattrs.has(REFRESH) || (inode.xattrs.has(ORIGIN) && (listings.enabled || onDemandFiles.enabled));
  }

  /** Notes that the first content is being generated. */
  noteBegin(file: RegularFile): void {
    this.#seriesOf(file).freshness.begin();
  }

  noteEnd(file: RegularFile): void {
    this.#seriesOf(file).freshness.end();
  }

  /** A user writes to the file: from now on it belongs to that user and no longer expires. */
  claim(file: RegularFile): void {
    const series = this.#series.get(file);
    if (file.state !== "ready" || this.policyOf(file) === undefined) return;
    file.state = "static";
    this.#mount().definitions++;
    const { space } = this.#mount().tree;
    space.countXattrs(file, -xattrSpace(REFRESH, file.xattrs?.get(REFRESH)));
    file.dropXattr(REFRESH);
    if (series?.current === file) series.freshness.abandon();
  }

  /**
   * Returns false if the file can be opened as it is. Otherwise returns true, and the open is answered later. Throws
   * ESTALE if the kernel has to look the name up again. `since` is the moment of the request.
   */
  open(file: RegularFile, opening: Opening, since: number): boolean {
    const policy = file.state === "ready" ? this.policyOf(file) : undefined;
    if (policy === undefined) return false;
    const series = this.#seriesOf(file);
    const lineage = this.#mount().replacement.findLineage(file);
    if (lineage !== undefined && opening.opener.comesBackFor(lineage)) return false;
    const { current, freshness } = series;
    // Opened through /proc/self/fd after an unlink: do not generate content for a file without a name.
    if (current === file && file.nlink === 0) return false;
    const fresh = freshness.isFresh(policy, since);
    if (fresh || (policy.stale && freshness.isMade)) {
      if (!fresh) freshness.renew();
      return false;
    }
    const done = () => {
      this.#mount().replacement.requireCurrent(file, opening.opener);
      opening.answer(file);
    };
    freshness.wait({ unique: opening.unique, pid: opening.opener.pid, done, fail: opening.fail }, since, policy);
    return true;
  }

  /** Like `open`, for a generator that reads: `done` gets the inode that has the content. */
  read(
    file: RegularFile,
    requester: Pick<Waiter, "requester">,
    since: number,
    done: (file: RegularFile) => void,
    fail: Waiter["fail"],
  ): void {
    const policy = file.state === "ready" ? this.policyOf(file) : undefined;
    if (policy === undefined) return done(file);
    const series = this.#seriesOf(file);
    if (series.freshness.isFresh(policy, since) || (policy.stale && series.freshness.isMade))
      return done(series.current);
    series.freshness.wait({ ...requester, done: () => done(series.current), fail }, since, policy);
  }

  /** Whether `renew` regenerates the file. A file that a user wrote does not expire. */
  renews(file: RegularFile): boolean {
    return file.state === "ready" && this.policyOf(file) !== undefined;
  }

  /** Generates new content now, however long the current one is valid. Throws EDEADLK. */
  renew(file: RegularFile, waiter: Waiter): void {
    const series = this.#seriesOf(file);
    series.again = true;
    series.freshness.forgive();
    series.freshness.wait(waiter, nextMoment(), AT_ONCE);
  }

  #seriesOf(file: RegularFile): Series {
    const known = this.#series.get(file);
    if (known !== undefined) return known;
    let viewer: number | undefined;
    const freshness = new Freshness(this.#waiters, {
      inode: () => series.current,
      ask: (ticket, pause) => {
        const brief = buildRequest(this.#mount(), series.current, ticket, pause);
        viewer = brief.viewer;
        const ino = this.#waiters.get(ticket)?.inode.ino ?? brief.ino;
        const again = series.again ? { again: true as const } : {};
        series.again = false;
        this.#post({ type: "generate", request: { ...brief, ino, renews: true, ...again } });
      },
      take: {
        onContent: (content) => {
          // The owner changed; the new owner may not be allowed to read content composed for the old one.
          if (this.#mount().authors.viewerOf(series.current) === viewer) this.#take(series, content);
          this.#mount().failedRenewals.forget(series.current);
        },
      },
      onFailure: (error) => this.#onFailure(series.current, error),
    });
    const series: Series = { current: file, freshness, again: false };
    this.#series.set(file, series);
    return series;
  }

  /** Notes why. Removes a file that was created on demand if its generator now answers ENOENT. */
  #onFailure(file: RegularFile, error: FsError): void {
    const { onDemandFiles, listings, tree, failedRenewals } = this.#mount();
    const { dentry } = file;
    failedRenewals.note(file, "refresh", error);
    if (error.code !== "ENOENT" || dentry === undefined || file.state !== "ready") return;
    if (!listings.lists(dentry.parent) && onDemandFiles.concerns(dentry.parent, dentry.name)) {
      tree.unlink(dentry.parent, dentry.name);
    }
  }

  #take(series: Series, content: ArrivedContent): void {
    const mount = this.#mount();
    const { current } = series;
    if (content.unchanged === true) return;
    if (isSame(current, content)) {
      keepMetadata(current, content);
      return;
    }
    if (!current.stored && mount.replacement.isFree(current)) {
      // There is no space for both contents.
      const wasScript = isScript(current);
      mount.beforeChange(current);
      mount.replacement.noteResize(current, content.draft?.size ?? content.bytes.length);
      current.truncate(0);
      try {
        mount.ruleEntries.makeRoom(content.bytes.length);
        fill(current, content);
        mount.ruleEntries.chargeContent(current);
      } catch (error) {
        // Without its content the file is pending, not empty.
        current.state = "pending";
        mount.invalidate(current, true);
        throw error;
      }
      keepMetadata(current, content);
      // Somebody may have taken the bits away from the script that it was.
      if (!wasScript) allowRunning(current, mount.umask);
      current.touchMtime(mount.tree.clock);
      mount.invalidate(current, true);
      mount.store(current);
      return;
    }
    this.#replace(series, content);
  }

  #replace(series: Series, content: ArrivedContent): void {
    const { tree, ruleEntries, replacement } = this.#mount();
    const before = series.current;
    // The old inode exists as long as it is open, and counts toward the limits too.
    ruleEntries.admit();
    ruleEntries.makeRoom(content.bytes.length);
    tree.drop(replacement.replace(before, content));
    const now = replacement.currentOf(before);
    if (now !== before) ruleEntries.add(now);
    ruleEntries.chargeContent(now);
    series.current = now;
    this.#series.set(now, series);
  }
}

function isSame(file: RegularFile, { bytes, draft }: ArrivedContent): boolean {
  if (draft !== undefined) return draft.equals(file);
  return file.size === bytes.length && Buffer.compare(file.bytes(), bytes) === 0;
}
