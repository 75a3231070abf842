/**
 * What each user may decide on a mount that several users share (`--allow-other`).
 *
 * The mount works with the rights of the user who mounted it: with that user's key, files and programs. So other users
 * may use it only within limits. Content for their files is composed with their own permissions. Only the owner of a
 * file decides what it is generated from. And only the mount's owner decides which rule of the configuration generates
 * a file.
 *
 * On a mount that no other user can enter, none of this applies.
 */
import { DEFAULT_GENERATOR, GENERATOR, ORIGIN, OURS, REFRESH } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Inode } from "../../tree/inode.ts";
import { View } from "./view.ts";

export class Authors {
  /** Undefined if no other user can enter the mount. */
  readonly #owner: number | undefined;

  /** `owner` is the user who mounted a shared mount; absent for any other mount. */
  constructor(owner: number | undefined) {
    this.#owner = owner;
  }

  get shared(): boolean {
    return this.#owner !== undefined;
  }

  /** Whether the user is the one who mounted, or root, who may see everything. */
  trusts(uid: number): boolean {
    return this.#owner === undefined || uid === this.#owner || uid === 0;
  }

  /** The user with whose permissions content for the inode is composed; undefined if it may use everything. */
  viewerOf({ uid }: Inode): number | undefined {
    return this.trusts(uid) ? undefined : uid;
  }

  /** What a viewer may see. */
  viewFor(viewer: number | undefined): View {
    if (!this.shared) return new View(viewer);
    return new View(viewer, (owner) => (viewer === undefined ? this.trusts(owner) : owner === viewer));
  }

  /** Whether a directory's settings apply to a file of this owner below it. */
  heeds(directory: Inode, owner: number): boolean {
    return this.trusts(directory.uid) || directory.uid === owner;
  }

  /**
   * Checks whether a user may set an attribute, or remove it (no value). `copies`: another file has the same value.
   * Throws EPERM.
   */
  check(inode: Inode, name: string, value: string | undefined, uid: number, copies = false): void {
    if (!name.startsWith(OURS)) return;
    // The attribute binds the file to a rule, including what the rule takes from the path.
    if (name === ORIGIN && value !== undefined && !copies) throw new FsError("EPERM", `${name} is set by llmfs alone`);
    if (this.trusts(uid)) return;
    const binds = name === GENERATOR && !(inode.kind === "file" && isForEverybody(value));
    if (binds || name === ORIGIN || name === REFRESH) {
      throw new FsError("EPERM", `only the user who mounted may set ${name}`);
    }
    this.checkAuthor(inode, uid);
  }

  /**
   * Checks whether a user may request new content. Only the owner may replace content that the owner wrote, or use
   * another prompt.
   */
  checkRegeneration(file: RegularFile, newPrompt: boolean, uid: number): void {
    if (newPrompt || file.state === "static") this.checkAuthor(file, uid);
  }

  /** Throws EPERM for a user who may write to the file but does not own it. */
  checkAuthor(inode: Inode, uid: number): void {
    if (!this.trusts(uid) && inode.uid !== uid) {
      throw new FsError("EPERM", "only the owner of a file decides how it is generated");
    }
  }
}

/** Generators that need no rule. */
function isForEverybody(value: string | undefined): boolean {
  return value === undefined || value === "" || value === DEFAULT_GENERATOR || value === "static";
}
