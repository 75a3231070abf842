/**
 * Inodes without a name that still take space: programs have them open, or the kernel has not forgotten them yet.
 *
 * After unlink(2) and rename(2) the kernel tells us that it has forgotten an inode, but only after the program has
 * continued. Where the kernel writes to stores without asking us, the program may already write to another file then,
 * and the kernel would enforce a limit that still includes the removed file. So the space of a removed file that no
 * program has open is lent until the kernel forgets it. Normally that takes some microseconds. If the kernel keeps the
 * inode, for example because a program holds a descriptor that was opened with O_PATH, the space is taken back.
 */
import type { Directory } from "../../tree/directory.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Inode } from "../../tree/inode.ts";
import type { Space } from "../../tree/space.ts";

export class UnnamedInodes {
  readonly #space: Space;
  readonly #inodes = new Set<Inode>();
  /** How many bytes are lent for which file. */
  readonly #lent = new Map<Inode, number>();

  constructor(space: Space) {
    this.#space = space;
  }

  get any(): boolean {
    return this.#inodes.size > 0;
  }

  /** Notes an inode that was created without a name. */
  add(inode: Inode): void {
    this.#inodes.add(inode);
  }

  /** See Tree.onNameChange. */
  onNameChange(directory: Directory, name: string, before: Inode | undefined): void {
    if (before === undefined) return this.#onNamed(directory, name);
    if (before.nlink > 0 || before.references === 0) return;
    this.#inodes.add(before);
    // One reference stands for all lookups. Any other is an open handle, or work that needs the content.
    if (before.kind === "file" && before.references === 1 && before.lookups > 0) this.#lend(before);
  }

  /** An inode without a name can get one (linkat(2) with AT_EMPTY_PATH). */
  #onNamed(directory: Directory, name: string): void {
    if (this.#inodes.size === 0) return;
    const inode = directory.get(name)?.inode;
    if (inode !== undefined) this.#inodes.delete(inode);
  }

  /** A program opens a file that has no name any more, through a descriptor that was opened with O_PATH. */
  onOpen(file: RegularFile): void {
    if (this.#lent.size > 0) this.#takeBack(file);
  }

  onDispose(inode: Inode): void {
    if (this.#inodes.delete(inode)) this.#takeBack(inode);
  }

  /** No request came for a while: the kernel would have forgotten the files by now. */
  onPause(): void {
    for (const inode of this.#lent.keys()) this.#takeBack(inode);
    this.#space.trim();
  }

  #lend(file: RegularFile): void {
    if (!this.#space.isShort) return;
    const bytes = file.allocated;
    if (bytes > 0 && this.#space.lend(bytes)) this.#lent.set(file, bytes);
  }

  #takeBack(inode: Inode): void {
    const bytes = this.#lent.get(inode);
    if (bytes === undefined) return;
    this.#lent.delete(inode);
    this.#space.endLoan(bytes);
  }
}
