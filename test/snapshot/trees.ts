/** Trees for tests: random ones from a seed, and a description of a tree that shows every difference. */
import { FsError } from "../../src/errno.ts";
import { loadSnapshot, type SnapshotLoadOptions } from "../../src/snapshot/read/load.ts";
import { type SaveOptions, saveSnapshot } from "../../src/snapshot/write/save.ts";
import type { Directory } from "../../src/tree/directory.ts";
import type { RegularFile } from "../../src/tree/file.ts";
import { type Clock, type Inode, S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK } from "../../src/tree/inode.ts";
import { Space } from "../../src/tree/space.ts";
import { Tree, type TreeOptions } from "../../src/tree/tree.ts";

export const OWNER = { uid: 1000, gid: 1000 };

/** A clock that advances by a nanosecond and a bit each time it is read. */
function ticking(): Clock {
  let ticks = 0;
  return () => ({ seconds: 1_000_000 + Math.floor(++ticks / 10), nanoseconds: (ticks * 123_456_789) % 1_000_000_000 });
}

export function newTree(options: Partial<TreeOptions> = {}): Tree {
  return new Tree({ clock: ticking(), owner: OWNER, ...options });
}

export function save(tree: Tree, options: SaveOptions = {}): string {
  return Buffer.concat([...saveSnapshot(tree, options)]).toString("utf8");
}

export function load(text: string | Uint8Array, options: SnapshotLoadOptions = {}, space = new Space()): Tree {
  const tree = newTree({ space });
  loadSnapshot(tree, Buffer.from(text), options);
  tree.checkInvariants();
  return tree;
}

/** Loads entries given as values. */
export function loadEntries(...entries: unknown[]): Tree {
  return load(JSON.stringify({ llmfs: 1, entries }));
}

export function at(tree: Tree, path: string): Inode {
  return tree.resolve(path, { follow: false });
}

export function fileAt(tree: Tree, path: string): RegularFile {
  const inode = at(tree, path);
  if (inode.kind !== "file") throw new Error(`${path} is a ${inode.kind}`);
  return inode;
}

export function textAt(tree: Tree, path: string): string {
  return Buffer.from(fileAt(tree, path).bytes()).toString("utf8");
}

export function xattr(inode: Inode, name: string): string | undefined {
  const value = inode.xattrs?.get(name);
  return value === undefined ? undefined : Buffer.from(value).toString("utf8");
}

export function makeFile(tree: Tree, directory: Directory, name: string, content: string | Uint8Array): RegularFile {
  const file = tree.createFile(directory, name, 0o644, OWNER);
  file.write(0, Buffer.from(content));
  return file;
}

/** Everything about a tree, one line for each entry; hard links by number. Times only if requested. */
export function describeTree(tree: Tree, options: { readonly times?: boolean } = {}): string[] {
  const numbers = new Map<Inode, number>();
  return [...tree.walk()].map(({ path, inode }) => {
    if (!numbers.has(inode)) numbers.set(inode, numbers.size);
    const parts = [JSON.stringify(path), `#${numbers.get(inode)}`, inode.kind, inode.mode.toString(8)];
    parts.push(`${inode.uid}:${inode.gid}`, `nlink=${inode.nlink}`);
    if (options.times === true) parts.push(...Object.values(inode.times()).map(String));
    if (inode.kind === "symlink") parts.push(JSON.stringify(inode.target));
    if (inode.kind === "special") parts.push(`rdev=${inode.rdev}`);
    const xattrs = [...(inode.xattrs ?? [])].map(([name, value]) => [name, Buffer.from(value).toString("hex")]);
    parts.push(JSON.stringify(xattrs.sort()));
    if (inode.kind === "file") {
      parts.push(inode.state, inode.error === undefined ? "" : `${inode.error.code} ${inode.error.message}`);
      parts.push(`size=${inode.size}`, JSON.stringify(extents(inode)), hash(inode));
    }
    return parts.join(" ");
  });
}

function extents(file: RegularFile): [number, number][] {
  const found: [number, number][] = [];
  for (let at = 0; at < file.size; ) {
    const start = Number(file.nextData(at) ?? file.size);
    if (start >= file.size) break;
    const end = Math.min(Number(file.nextHole(start) ?? file.size), file.size);
    found.push([start, end]);
    at = end;
  }
  return found;
}

function hash(file: RegularFile): string {
  const hasher = new Bun.CryptoHasher("sha256");
  const window = new Uint8Array(1 << 16);
  for (const [start, end] of extents(file))
    for (let at = start; at < end; at += window.length) {
      const part = window.subarray(0, Math.min(window.length, end - at));
      file.read(at, part);
      hasher.update(part);
    }
  return hasher.digest("hex").slice(0, 16);
}

/** Numbers from a seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

/** Names that have broken programs before, as bytes. */
export const ODD_NAMES = [
  "__proto__",
  "constructor",
  "toString",
  " ",
  "-rf",
  "a\nb",
  "tab\there",
  'quote"quote',
  "back\\slash",
  "\\x41",
  "\xff\xfe",
  "mixed\xc3\xa9\x80",
  Buffer.from("é日本🎉").toString("latin1"),
  Buffer.from("\u{fffd}").toString("latin1"),
  Buffer.from("\u{feff}bom").toString("latin1"),
  "\xed\xb2\x80",
  "\x01\x7f",
  "...",
  ".llmfs",
  "x".repeat(255),
  "*",
  "{}",
  "1",
  "0",
];

const TEXTS = [
  "",
  "one line\n",
  "no newline",
  "\n",
  "\n\n\n",
  "a\r\nb\r\n",
  'back\\nslash \\ "quotes"\nand\ttabs\n',
  "é日本🎉\n\u2028\u2029\n",
  `${"long ".repeat(3000)}\nshort\n${"🎉".repeat(5000)}`,
  "lines\n".repeat(20_000),
  "\ufeffbom\n",
  `x${"日本".repeat(17_000)}`,
];

/** A tree with every kind of inode, and odd names, contents and attributes. The same seed gives the same tree. */
export function randomTree(seed: number): Tree {
  const random = new Random(seed);
  const tree = newTree({ mode: random.pick([0o755, 0o1777, 0o700]) });
  const directories: Directory[] = [tree.root];
  const linkable: Inode[] = [];
  const owner = () => (random.chance(3) ? { uid: random.below(3), gid: random.below(70_000) } : OWNER);
  for (let made = 0; made < 60; made++) {
    const directory = random.pick(directories);
    let name = random.chance(2) ? random.pick(ODD_NAMES) : `n${random.below(1000)}`;
    if (directory === tree.root && name === ".llmfs") name = "llmfs";
    if (directory.get(name) !== undefined) continue;
    const inode = randomInode(tree, random, directory, name, owner());
    if (inode.kind === "directory") directories.push(inode);
    else linkable.push(inode);
    if (random.chance(3)) randomXattrs(random, inode);
    if (linkable.length > 0 && random.chance(5)) {
      const to = random.pick(directories);
      const linkName = `link${made}`;
      if (to.get(linkName) === undefined) tree.link(random.pick(linkable), to, linkName);
    }
  }
  return tree;
}

function randomInode(tree: Tree, random: Random, directory: Directory, name: string, owner: typeof OWNER): Inode {
  const mode = random.below(0o10000);
  switch (random.below(8)) {
    case 0:
      return tree.mkdir(directory, name, mode, owner);
    case 1:
      return tree.symlink(directory, name, random.pick(ODD_NAMES), owner);
    case 2: {
      const type = random.pick([S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK]);
      const device = type === S_IFCHR || type === S_IFBLK;
      return tree.mknod(directory, name, type | mode, device ? random.below(2 ** 32) : 0, owner);
    }
    case 3: {
      const file = tree.createFile(directory, name, mode, owner);
      file.state = random.pick(["pending", "failed"]);
      if (file.state === "failed") file.error = new FsError("EDQUOT", 'no more "money"\n');
      return file;
    }
    default: {
      const file = tree.createFile(directory, name, mode, owner);
      if (random.chance(4)) file.state = "ready";
      randomContent(random, file);
      return file;
    }
  }
}

function randomContent(random: Random, file: RegularFile): void {
  switch (random.below(5)) {
    case 0:
      return void file.write(0, random.bytes(random.below(5000)));
    case 1: {
      // Sparse, small or large.
      for (let parts = random.below(4); parts > 0; parts--)
        file.write(random.below(random.pick([100_000, 4_000_000])), random.bytes(1 + random.below(3000)));
      return file.truncate(Math.max(file.size, random.below(5_000_000)));
    }
    case 2:
      return file.truncate(random.pick([1, 4096, 1 << 20, 2 ** 40]));
    default:
      return void file.write(0, Buffer.from(random.pick(TEXTS)));
  }
}

function randomXattrs(random: Random, inode: Inode): void {
  inode.replaceXattrs(new Map());
  for (let count = 1 + random.below(3); count > 0; count--) {
    const name = random.pick(["user.__proto__", "user.a b", "user.\xff", "security.x", "user.llmfs.prompt"]);
    const value = random.pick([random.bytes(random.below(2000)), Buffer.from(random.pick(TEXTS).slice(0, 9000))]);
    inode.putXattr(name, Uint8Array.from(value));
  }
}
