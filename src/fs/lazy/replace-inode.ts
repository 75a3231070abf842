/**
 * Replacing a file's content under all its names.
 *
 * A program that has the file open or mapped continues to read what it opened. If no program has it open, the contents
 * are exchanged and the file keeps its inode, for hard links, `stat` and watchers. Otherwise all names move to another
 * inode. The kernel is notified of each name (dcache.ts) a little later; an open of the inode that lost its names is
 * made to look its name up again (revalidate.ts).
 *
 * No notification makes the kernel accept a smaller size. It asks for the size on the way to an open, because it was
 * notified that its attributes are out of date, but an open may have passed that point already. Such an open is also
 * made to look the name up again; otherwise its reader could get zeros after the end of the content.
 */
import { METADATA, PROMPT, REFRESH } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import { dentriesOf } from "../../tree/dentries.ts";
import type { RegularFile } from "../../tree/file.ts";
import { type Inode, S_ISGID, S_ISUID } from "../../tree/inode.ts";
import { xattrSpace } from "../../tree/xattrs.ts";
import type { Dcache } from "../coherence/dcache.ts";
import type { Passthrough } from "../coherence/passthrough.ts";
import type { FsCore } from "../core.ts";
import { allowRunning, isScript } from "../permissions/scripts.ts";
import type { ArrivedContent } from "../waiting/attempt.ts";
import { fill, keepMetadata } from "./pending.ts";
import type { Opener, Revalidation } from "./revalidate.ts";

/** The successive inodes with the same names. */
export interface Lineage {
  /** The inode that has the names, or had them last. */
  readonly current: RegularFile;
}

/** The parts of the mount that it uses. */
interface ReplacementContext extends FsCore {
  readonly dcache: Dcache;
  readonly passthrough: Passthrough;
  readonly revalidation: Revalidation;
}

export class InodeReplacement {
  readonly #mount: () => ReplacementContext;
  readonly #lineages = new WeakMap<RegularFile, { current: RegularFile }>();
  /** Files that have become smaller without the kernel knowing. */
  readonly #shrunk = new WeakSet<Inode>();

  constructor(mount: () => ReplacementContext) {
    this.#mount = mount;
  }

  /** Returns undefined for a file whose names never moved and whose lineage was never requested. */
  findLineage(file: RegularFile): Lineage | undefined {
    return this.#lineages.get(file);
  }

  lineageOf(file: RegularFile): Lineage {
    return this.#lineageOf(file);
  }

  /** Returns the inode that has the file's names now. */
  currentOf(file: RegularFile): RegularFile {
    return this.#lineages.get(file)?.current ?? file;
  }

  /**
   * Call this before an open is answered. Throws ESTALE if another inode has the file's names, or if the kernel may not
   * know the size, unless the opener comes back from such an ESTALE.
   */
  requireCurrent(file: RegularFile, opener: Opener): void {
    const { revalidation } = this.#mount();
    const lineage = this.#lineages.get(file);
    if (lineage !== undefined && lineage.current !== file && opener.mayLookAgain(lineage)) {
      throw revalidation.lookAgain(opener, lineage, "the name now has new content");
    }
    if (this.#shrunk.has(file) && opener.mayLookAgain(file)) {
      throw revalidation.lookAgain(opener, file, "the kernel must ask for the size before it reads");
    }
  }

  /** Call this before the content of an inode is exchanged for one of this size. */
  noteResize(file: RegularFile, size: number): void {
    if (file.lookups > 0 && size < file.size) this.#shrunk.add(file);
  }

  /** Call this when an inode's attributes are sent to the kernel. */
  onAttributesSent(inode: Inode): void {
    this.#shrunk.delete(inode);
  }

  /** Whether no program has the file open or mapped. */
  isFree(file: RegularFile): boolean {
    return this.#mount().passthrough.isFree(file);
  }

  /**
   * Replaces the file's content with generated content; `prompt` becomes the file's own. Returns the inode that has the
   * previous content, held for the caller. Precondition: the file is the current inode. Throws ESTALE for a file
   * without a name, ENOSPC and EFBIG; then nothing has changed.
   */
  replace(file: RegularFile, content: ArrivedContent, prompt?: string): RegularFile {
    const { tree, umask } = this.#mount();
    if (file.dentry === undefined) throw new FsError("ESTALE", "the file has no name any more");
    const fresh = tree.tmpfile(file.dentry.parent, file.mode & 0o7777, file);
    tree.hold(fresh);
    try {
      fill(fresh, content);
    } catch (error) {
      tree.drop(fresh);
      throw error;
    }
    fresh.state = "ready";
    fresh.replaceXattrs(new Map());
    for (const name of [PROMPT, REFRESH]) setOrDelete(fresh, name, file.xattrs?.get(name));
    if (prompt !== undefined) setOrDelete(fresh, PROMPT, Buffer.from(prompt));
    keepMetadata(fresh, content);
    const wasScript = isScript(file);
    const before = this.put(file, fresh);
    // As a write does: a program that others may run must not change under these bits.
    const { current } = this.#lineageOf(file);
    current.setMode(current.mode & ~(S_ISUID | ((current.mode & 0o010) !== 0 ? S_ISGID : 0)));
    setOrDelete(current, "security.capability", undefined);
    if (!wasScript) allowRunning(current, umask);
    return before;
  }

  /**
   * Replaces the file's content with that of another inode. Returns the inode that has the previous content, which is
   * one of the two. Preconditions: the file is the current inode; the other has no name and is held by the caller. That
   * hold passes to the returned inode.
   */
  put(file: RegularFile, other: RegularFile): RegularFile {
    const mount = this.#mount();
    const { tree } = mount;
    const lineage = this.#lineageOf(file);
    if (this.isFree(file) && this.isFree(other)) {
      if (file.state !== other.state || file.xattrs?.get(PROMPT) !== other.xattrs?.get(PROMPT)) mount.definitions++;
      this.noteResize(file, other.size);
      mount.beforeExchange(file, other);
      exchangeAttributes(mount, file, other);
      file.exchange(other);
      mount.onContentChange(file);
      file.touchMtime(tree.clock);
      mount.invalidate(file, true);
      mount.store(file);
      return other;
    }
    other.setOwner({ uid: file.uid, gid: file.gid });
    other.setMode(file.mode);
    const content = [...(other.xattrs ?? [])].filter(([name]) => isOfContent(name));
    const own = [...(file.xattrs ?? [])].filter(([name]) => !isOfContent(name));
    other.replaceXattrs(new Map([...own, ...content]));
    tree.space.moveXattrs(file, other);
    lineage.current = other;
    this.#lineages.set(other, lineage);
    tree.hold(file);
    mount.dcache.batch(() => {
      for (const { parent, name } of dentriesOf(file)) tree.replace(parent, name, other);
    });
    tree.movedNames.noteSuccessor(file, other);
    tree.drop(other);
    mount.onContentChange(other);
    other.touchMtime(tree.clock);
    mount.invalidate(other, false);
    return file;
  }

  #lineageOf(file: RegularFile): { current: RegularFile } {
    const known = this.#lineages.get(file);
    if (known !== undefined) return known;
    const lineage = { current: file };
    this.#lineages.set(file, lineage);
    return lineage;
  }
}

/** Whether the attribute belongs to the content. All others belong to the file. */
function isOfContent(name: string): boolean {
  return name === PROMPT || name === REFRESH || name.startsWith(METADATA);
}

function exchangeAttributes({ tree }: Pick<FsCore, "tree">, one: RegularFile, other: RegularFile): void {
  const names = new Set([...(one.xattrs?.keys() ?? []), ...(other.xattrs?.keys() ?? [])]);
  for (const name of names) {
    if (!isOfContent(name)) continue;
    const [mine, theirs] = [one.xattrs?.get(name), other.xattrs?.get(name)];
    setOrDelete(one, name, theirs);
    setOrDelete(other, name, mine);
    if (name !== PROMPT) continue;
    const grown = xattrSpace(name, theirs) - xattrSpace(name, mine);
    tree.space.countXattrs(one, grown);
    tree.space.countXattrs(other, -grown);
  }
}

function setOrDelete(file: RegularFile, name: string, value: Uint8Array | undefined): void {
  if (value !== undefined) file.putXattr(name, value);
  else file.dropXattr(name);
}
