/**
 * Generated files whose used files have changed since they were written, as make would rebuild them. Nothing is generated
 * because of that: it is only reported, and `llmfs warm --outdated` writes these files again.
 *
 * A file that was read while another one was generated is used by it. The attribute USED of a generated file has a line for each
 * used file: a checksum of the content that was read, and the path.
 */
import { USED } from "../attributes.ts";
import { FsError } from "../errno.ts";
import type { OutdatedFile } from "../rpc/messages.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import { toBytes, toText } from "../tree/path.ts";
import type { Tree } from "../tree/tree.ts";
import { setXattr } from "../tree/xattrs.ts";

/** Of a longer file, only the beginning and the size count. More is never shown to a model. */
const LONGEST = 1024 * 1024;
/** A generator may read any number of files. */
const MOST_USED = 500;

/** The files that an attempt has read, with checksums. */
export class UsedFiles {
  readonly #checksums = new Map<string, string>();

  note(path: string, content: Uint8Array): void {
    if (this.#checksums.size < MOST_USED)
      this.#checksums.set(path, checksum(content.subarray(0, LONGEST), content.length));
  }

  /** The value of USED. Undefined if no file was read. */
  format(): string | undefined {
    if (this.#checksums.size === 0) return undefined;
    const lines = [...this.#checksums].filter(([path]) => !path.includes("\n")).map(([path, sum]) => `${sum} ${path}`);
    return lines.sort().join("\n");
  }
}

function checksum(beginning: Uint8Array, size: number): string {
  return Bun.hash.xxHash64(beginning, BigInt(size)).toString(16).padStart(16, "0");
}

/** Cached for each file, with the change time that it is valid for. */
const sums = new WeakMap<RegularFile, { readonly changed: string; readonly sum: string }>();

function checksumOf(file: RegularFile): string {
  const { ctime, ctimeNsec } = file.times();
  const changed = `${ctime} ${ctimeNsec} ${file.size}`;
  const known = sums.get(file);
  if (known?.changed === changed) return known.sum;
  const bytes = new Uint8Array(Math.min(file.size, LONGEST));
  file.read(0, bytes);
  const sum = checksum(bytes, file.size);
  sums.set(file, { changed, sum });
  return sum;
}

interface UsedFile {
  readonly path: string;
  /** Whether it has changed since it was read. */
  readonly changed: boolean;
  /** Absent if there is no such file any more. */
  readonly file?: RegularFile;
}

/** The used files of a generated file; none for any other. */
export function usesOf(tree: Tree, inode: Inode): readonly UsedFile[] {
  const value = inode.kind === "file" && inode.state === "ready" ? inode.xattrs?.get(USED) : undefined;
  if (value === undefined) return [];
  return Buffer.from(value)
    .toString("utf8")
    .split("\n")
    .flatMap((line) => {
      const [, sum, path] = /^([0-9a-f]{16}) (\/.*)$/.exec(line) ?? [];
      return sum === undefined || path === undefined ? [] : [useOf(tree, path, sum)];
    });
}

/** Call this when the content of the file was found to fit the current content of the used files. */
export function markCurrent(tree: Tree, file: RegularFile): void {
  const lines = usesOf(tree, file).flatMap(({ path, file: used }) =>
    used === undefined || used.lazy ? [] : [`${checksumOf(used)} ${path}`],
  );
  if (lines.length > 0) setXattr(file, USED, Buffer.from(lines.join("\n")));
}

function useOf(tree: Tree, path: string, sum: string): UsedFile {
  try {
    const file = tree.resolve(toBytes(path), { follow: true });
    if (file.kind !== "file") return { path, changed: true };
    // Whatever a file without content will contain, nobody knows yet whether it will be different.
    return { path, file, changed: !file.lazy && checksumOf(file) !== sum };
  } catch (error) {
    if (error instanceof FsError) return { path, changed: true };
    throw error;
  }
}

/**
 * All outdated files, in the order of the tree, and last the outdated inodes. Yields undefined after each short step.
 */
export function* findOutdated(tree: Tree): Generator<undefined, ReadonlyMap<RegularFile, OutdatedFile>> {
  const uses = new Map<RegularFile, readonly UsedFile[]>();
  const users = new Map<RegularFile, RegularFile[]>();
  if (tree.space.files.ready === 0) return new Map();
  for (const inode of tree.inodes()) {
    yield;
    if (inode.kind !== "file" || inode.xattrs?.has(USED) !== true) continue;
    const found = usesOf(tree, inode);
    uses.set(inode, found);
    for (const { file } of found) {
      if (file === undefined) continue;
      const others = users.get(file);
      if (others === undefined) users.set(file, [inode]);
      else others.push(inode);
    }
  }
  const outdated = new Set([...uses.keys()].filter((file) => uses.get(file)?.some(({ changed }) => changed)));
  // The loop also visits files that are added while it runs.
  for (const file of outdated) {
    yield;
    for (const user of users.get(file) ?? []) outdated.add(user);
  }
  const all = new Map<RegularFile, OutdatedFile>();
  for (const file of outdated) {
    yield;
    const path = tree.pathOf(file);
    if (path === undefined) continue;
    const found = uses.get(file) ?? [];
    const changed = found.filter((use) => use.changed || (use.file !== undefined && outdated.has(use.file)));
    all.set(file, {
      path: toText(path),
      changed: changed.map((use) => use.path),
      depends: found.map((use) => use.path).join("\n"),
    });
  }
  return all;
}

/** As `findOutdated`, at once. */
export function collectOutdated(tree: Tree): ReadonlyMap<RegularFile, OutdatedFile> {
  const steps = findOutdated(tree);
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value;
}
