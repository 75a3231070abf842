/**
 * Whose word counts on a mount that several users share (`--allow-other`).
 *
 * The mount works with the rights of the user who mounted it: that user's key, files, programs. So what other users may
 * make it do has limits. Content for a file of theirs is composed with their own permissions. Only whoever owns a file
 * says what it is made from. And which rule of the configuration makes a file is for the mount's owner to say.
 *
 * On a mount that is its user's alone there is nobody else, and nothing of this applies.
 */
import { DEFAULT_GENERATOR, GENERATOR, ORIGIN, OURS, REFRESH } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Inode } from "../../tree/inode.ts";
import { View } from "./view.ts";

export class Authors {
  /** Undefined: nobody else can come in. */
  readonly #owner: number | undefined;

  /** `owner` is who mounted a shared mount; absent for one that is not shared. */
  constructor(owner: number | undefined) {
    this.#owner = owner;
  }

  get shared(): boolean {
    return this.#owner !== undefined;
  }

  /** Whether the user is the one who mounted, or root, from whom nothing is hidden. */
  trusts(uid: number): boolean {
    return this.#owner === undefined || uid === this.#owner || uid === 0;
  }

  /** The user with whose permissions content for the inode is composed; undefined where everything may be shown. */
  viewerOf({ uid }: Inode): number | undefined {
    return this.trusts(uid) ? undefined : uid;
  }

  /** What may be shown for a viewer. */
  viewFor(viewer: number | undefined): View {
    if (!this.shared) return new View(viewer);
    return new View(viewer, (owner) => (viewer === undefined ? this.trusts(owner) : owner === viewer));
  }

  /** Whether what a directory says of the files below it counts for a file of this owner. */
  heeds(directory: Inode, owner: number): boolean {
    return this.trusts(directory.uid) || directory.uid === owner;
  }

  /**
   * Somebody sets an attribute, or removes it (no value). `copies`: another file has the same value. Throws FsError EPERM.
   */
  check(inode: Inode, name: string, value: string | undefined, uid: number, copies = false): void {
    if (!name.startsWith(OURS)) return;
    // It binds a rule, with whatever the rule takes from the path.
    if (name === ORIGIN && value !== undefined && !copies) throw new FsError("EPERM", `${name} is set by llmfs alone`);
    if (this.trusts(uid)) return;
    const binds = name === GENERATOR && !(inode.kind === "file" && isForEverybody(value));
    if (binds || name === ORIGIN || name === REFRESH) {
      throw new FsError("EPERM", `${name} is for the user who mounted to set`);
    }
    this.checkAuthor(inode, uid);
  }

  /** Somebody wants another content: what an owner wrote is not for others to have made, nor by another prompt. */
  checkRegeneration(file: RegularFile, newPrompt: boolean, uid: number): void {
    if (newPrompt || file.state === "static") this.checkAuthor(file, uid);
  }

  /** Throws FsError EPERM for somebody who may write to the file, and does not own it. */
  checkAuthor(inode: Inode, uid: number): void {
    if (!this.trusts(uid) && inode.uid !== uid) {
      throw new FsError("EPERM", "only the owner of a file says what it is made from");
    }
  }
}

/** Generators that need no rule. */
function isForEverybody(value: string | undefined): boolean {
  return value === undefined || value === "" || value === DEFAULT_GENERATOR || value === "static";
}
