/**
 * Directories whose entries a generator lists: those with `user.llmfs.generator`.
 *
 * The first readdir or lookup in one waits until it is listed. Its files are then pending like any others, and further
 * lookups are immediate. After the listing has expired, readdir waits for a new one; a lookup waits only if the name
 * does not exist. What a user created there stays, even if the generator lists the same name.
 */

import {
  CONTROL_NAME,
  DESCRIPTION,
  type ExpiryPolicy,
  GENERATOR,
  ORIGIN,
  parsePolicy,
  REFRESH,
} from "../../attributes.ts";
import { FOPEN_CACHE_DIR, FOPEN_KEEP_CACHE } from "../../fuse/abi.ts";
import { type Filesystem, PARKED } from "../../fuse/ops.ts";
import type { Listing, ListingEntry } from "../../rpc/generation.ts";
import type { FromFilesystem } from "../../rpc/messages.ts";
import type { Directory } from "../../tree/directory.ts";
import type { Inode } from "../../tree/inode.ts";
import { components, join, toBytes, toText } from "../../tree/path.ts";
import { setXattr } from "../../tree/xattrs.ts";
import type { Dcache } from "../coherence/dcache.ts";
import type { ControlDirectory } from "../control/directory.ts";
import type { FsCore } from "../core.ts";
import type { Nodes } from "../nodes.ts";
import type { Authors } from "../permissions/authors.ts";
import type { Waiter } from "../waiting/attempt.ts";
import type { Waiters } from "../waiting/waiters.ts";
import { Freshness, nextMoment } from "./freshness.ts";
import { textXattr } from "./request.ts";
import type { RuleEntries } from "./rule-entries.ts";

const FOR_EVER: ExpiryPolicy = { ms: Number.POSITIVE_INFINITY, stale: false };

/** The parts of the mount that it uses. */
interface ListingsContext extends FsCore {
  readonly authors: Authors;
  readonly control: ControlDirectory;
  readonly dcache: Dcache;
  readonly ruleEntries: RuleEntries;
}

export class Listings {
  /** Whether there is a lister. A restored tree may have such directories without one. */
  readonly enabled: boolean;
  readonly #mount: () => ListingsContext;
  readonly #waiters: Waiters;
  readonly #post: (message: FromFilesystem) => void;
  readonly #freshness = new WeakMap<Directory, Freshness>();

  constructor(
    mount: () => ListingsContext,
    waiters: Waiters,
    post: (message: FromFilesystem) => void,
    enabled: boolean,
  ) {
    this.#mount = mount;
    this.#waiters = waiters;
    this.#post = post;
    this.enabled = enabled;
  }

  lists(directory: Pick<Directory, "xattrs">): boolean {
    return this.enabled && isListed(directory);
  }

  /** Whether the listing of this directory, or of a parent, may add a name here. */
  addsTo(directory: Directory): boolean {
    if (!this.enabled) return false;
    for (let at: Directory | undefined = directory; at !== undefined; at = at.parent) {
      if (this.lists(at)) return true;
      if (at.parent === at) return false;
    }
    return false;
  }

  /** Call this before the directory is read. Returns false if it can be read at once. Throws EDEADLK. */
  open(directory: Directory, waiter: Waiter): boolean {
    if (!this.lists(directory)) return false;
    this.#mount().ruleEntries.use(directory);
    const policy = policyOf(directory);
    const freshness = this.#freshnessOf(directory);
    const since = nextMoment();
    if (freshness.isFresh(policy, since)) return false;
    if (policy.stale && freshness.isMade) {
      freshness.renew();
      return false;
    }
    freshness.wait(waiter, since, policy);
    return true;
  }

  /** Whether it has been listed. */
  isListed(directory: Directory): boolean {
    return this.#freshnessOf(directory).isMade;
  }

  /** Call this before a name in the directory is looked up. Like `open`, but also throws ESTALE (see dcache.ts). */
  lookup(directory: Directory, there: boolean, waiter: Waiter): boolean {
    if (!this.lists(directory) || (there && this.#freshnessOf(directory).isMade)) return false;
    if (this.#mustWait(directory)) this.#mount().dcache.prepareToPark(directory, waiter.pid ?? 0);
    return this.open(directory, waiter);
  }

  /** Whether a readdir of the directory has to wait. */
  #mustWait(directory: Directory): boolean {
    const policy = policyOf(directory);
    const freshness = this.#freshnessOf(directory);
    return !freshness.isFresh(policy, nextMoment()) && !(policy.stale && freshness.isMade);
  }

  #freshnessOf(directory: Directory): Freshness {
    const known = this.#freshness.get(directory);
    if (known !== undefined) return known;
    const freshness = new Freshness(this.#waiters, {
      inode: () => directory,
      ask: (ticket, pause) => {
        const path = textXattr(directory, ORIGIN) ?? toText(this.#mount().tree.pathOf(directory) ?? "/");
        const generator = textXattr(directory, GENERATOR) ?? "";
        const viewer = this.#mount().authors.viewerOf(directory);
        const request = {
          ticket,
          ino: directory.ino,
          path,
          generator,
          pause,
          ...(viewer === undefined ? {} : { viewer }),
        };
        this.#post({ type: "list", request });
      },
      take: { onListing: (listing) => this.#mount().withGenerationClock(() => this.#take(directory, listing)) },
      onFailure: (error) => this.#mount().failedRenewals.note(directory, "listing", error),
    });
    this.#freshness.set(directory, freshness);
    return freshness;
  }

  #take(directory: Directory, listing: Listing): void {
    const mount = this.#mount();
    const { tree, dcache } = mount;
    const first = !this.isListed(directory);
    const apply = () => dcache.batch(() => this.#apply(directory, listing, first));
    if (first) tree.keepMtimes(apply);
    else apply();
    mount.failedRenewals.forget(directory);
    mount.ruleEntries.enter(directory);
  }

  /**
   * Removes the listed entries, as if the directory had never been listed; the next readdir lists it again. Entries
   * that are in use or were changed stay. Returns false if nothing could be removed.
   */
  unlist(directory: Directory): boolean {
    const { tree, dcache, ruleEntries } = this.#mount();
    const freshness = this.#freshness.get(directory);
    if (freshness === undefined || freshness.isRunning) return false;
    const before = tree.changes;
    tree.keepMtimes(() => dcache.batch(() => this.#prune(directory, (inode) => !ruleEntries.isDisposable(inode))));
    freshness.reset();
    return tree.changes !== before;
  }

  #apply(directory: Directory, listing: Listing, first: boolean): void {
    const { tree } = this.#mount();
    const origin = textXattr(directory, ORIGIN) ?? toText(tree.pathOf(directory) ?? "/");
    const kept = new Set<Inode>();
    const made = new Set<Inode>();
    try {
      for (const entry of listing.entries) {
        if (directory === tree.root && this.#mount().control.reserves(entry.path)) {
          this.#mount().warn(
            `${JSON.stringify(entry.path)} is left out of the listing: /${CONTROL_NAME} is llmfs's own`,
          );
        } else this.#add(directory, origin, entry, kept, made);
      }
    } catch (error) {
      // There was no room for the whole listing. Remove what was added, rather than show half of it.
      this.#prune(directory, (inode) => !made.has(inode));
      throw error;
    }
    this.#prune(directory, (inode) => kept.has(inode));
    // The entries of the first listing were there all along; those of a later one are new.
    if (first) for (const inode of made) inode.setTimes({ mtime: tree.root.btime });
    if (listing.refresh === undefined) directory.dropXattr(REFRESH);
    else setXattr(directory, REFRESH, Buffer.from(listing.refresh));
  }

  #add(top: Directory, origin: string, entry: ListingEntry, kept: Set<Inode>, fresh: Set<Inode>): void {
    const { tree, ruleEntries } = this.#mount();
    const names = components(toBytes(entry.path));
    let path = toBytes(origin);
    let directory = top;
    for (const [index, name] of names.entries()) {
      path = join(path, name);
      const last = index === names.length - 1;
      const there = directory.get(name)?.inode;
      if (there !== undefined) {
        kept.add(there);
        // What a user created stays, whatever it is.
        if (there.kind !== "directory") return;
        directory = there;
        continue;
      }
      ruleEntries.admit();
      const owner = { uid: top.uid, gid: top.gid };
      const isFile = last && entry.type === "file";
      const made = isFile ? tree.createFile(directory, name, 0o644, owner) : tree.mkdir(directory, name, 0o755, owner);
      ruleEntries.add(made);
      kept.add(made);
      fresh.add(made);
      setXattr(made, ORIGIN, Buffer.from(path, "latin1"));
      if (last) setXattr(made, GENERATOR, Buffer.from(entry.generator));
      if (last && entry.description !== undefined) setXattr(made, DESCRIPTION, Buffer.from(entry.description));
      if (made.kind === "file") made.state = "pending";
      else directory = made;
    }
  }

  /** Removes the entries of an earlier listing that `keeps` rejects. */
  #prune(directory: Directory, keeps: (inode: Inode) => boolean): void {
    const { tree } = this.#mount();
    for (const { name, inode } of [...directory.entries()]) {
      if (inode.xattrs?.has(ORIGIN) !== true) continue;
      // A directory that is listed itself keeps its own entries.
      const kept = keeps(inode);
      if (inode.kind === "directory" && kept && !inode.xattrs.has(GENERATOR)) this.#prune(inode, keeps);
      if (kept) continue;
      if (inode.kind === "directory") {
        this.#prune(inode, keeps);
        if (inode.size === 0) tree.rmdir(directory, name);
      } else if (inode.kind !== "file" || inode.state !== "static") tree.unlink(directory, name);
    }
  }
}

/** Whether a generator lists the directory, if generators list directories at all. */
export function isListed({ xattrs }: Pick<Directory, "xattrs">): boolean {
  return xattrs?.has(GENERATOR) === true;
}

function policyOf(directory: Directory): ExpiryPolicy {
  const text = textXattr(directory, REFRESH);
  return (text === undefined ? undefined : parsePolicy(text)) ?? FOR_EVER;
}

/**
 * Handles OPENDIR if generators list directories. Otherwise the kernel would cache listings and never ask for a newer
 * one. It is asked not to cache those that generators produce.
 */
export function listingOperations(mount: FsCore & { readonly listings: Listings; readonly nodes: Nodes }) {
  if (!mount.listings.enabled) return {};
  const ordinary = { fh: 0, open_flags: FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR, backing_id: 0 };
  const listed = { fh: 0, open_flags: 0, backing_id: 0 };
  return {
    opendir(_request, header) {
      const directory = mount.nodes.getDirectory(header.nodeid);
      if (!mount.listings.lists(directory)) return ordinary;
      const { unique } = header;
      const waits = mount.listings.open(directory, {
        unique,
        pid: header.pid,
        done: () => void mount.session().answer(unique, "opendir", listed),
        fail: (error) => mount.session().fail(unique, error),
      });
      return waits ? PARKED : listed;
    },

    releasedir() {},
  } satisfies Filesystem;
}
