/** A tree written to the disk: as `cp -a` would, for every user, and without harm to what is there already. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyDirectory } from "../../src/disk/copy-directory.ts";
import { DirectoryWriteError, writeDirectory } from "../../src/disk/write-directory.ts";
import { encodeDevice } from "../../src/tree/device-node.ts";
import type { Directory } from "../../src/tree/directory.ts";
import type { Tree } from "../../src/tree/tree.ts";
import { setXattr } from "../../src/tree/xattrs.ts";
import { newTree, OWNER } from "../snapshot/trees.ts";
import { programs, testWith } from "../support/needs.ts";

let base = "";
let warnings: string[] = [];

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "llmfs-write-"));
  mkdirSync(join(base, "out"));
  warnings = [];
});
afterEach(() => rmSync(base, { recursive: true }));

/** Runs as an ordinary user, for whom permissions count. */
function unprivileged(work: () => void): void {
  if (process.geteuid?.() !== 0) return work();
  const NOBODY = 65_534;
  for (const path of [base, join(base, "out")]) chownSync(path, NOBODY, NOBODY);
  process.seteuid?.(NOBODY);
  try {
    work();
  } finally {
    process.seteuid?.(0);
  }
}

function write(tree: Tree, options: { readonly privileges?: boolean; readonly keepOwners?: boolean } = {}): void {
  const from = { directory: tree.root, path: "/" };
  const warn = (message: string) => warnings.push(message);
  writeDirectory(tree, from, join(base, "out"), { keepOwners: false, privileges: false, warn, ...options });
}

/** A tree with one file of this content in a directory. */
function treeWith(content: string, { directoryMode = 0o755, fileMode = 0o644 } = {}): Tree {
  const tree = newTree();
  const directory = tree.mkdir(tree.root, "dir", directoryMode, OWNER);
  const file = tree.createFile(directory, "file", fileMode, OWNER);
  file.write(0, Buffer.from(content));
  setXattr(file, "user.note", Buffer.from("kept"));
  return tree;
}

const place = () => join(base, "out/dir/file");
const modeOf = (path: string) => statSync(path).mode & 0o7777;

describe("writing a tree to the disk", () => {
  testWith(programs("getfattr"))("read-only directories and files are written by a user without privileges", () => {
    unprivileged(() => {
      write(treeWith("content", { directoryMode: 0o555, fileMode: 0o444 }));
      expect([modeOf(join(base, "out/dir")), modeOf(place())]).toEqual([0o555, 0o444]);
      // Again, over what is there.
      write(treeWith("second", { directoryMode: 0o500, fileMode: 0o400 }));
      expect([modeOf(join(base, "out/dir")), modeOf(place())]).toEqual([0o500, 0o400]);
      const { stdout } = Bun.spawnSync(["getfattr", "--only-values", "-n", "user.note", place()]);
      expect([readFileSync(place(), "utf8"), stdout.toString()]).toEqual(["second", "kept"]);
      expect(warnings).toEqual([]);
      chmodSync(join(base, "out/dir"), 0o700);
    });
  });

  test("a .git that is on the disk stays as it is, in every directory, and a warning says so", () => {
    const tree = treeWith("content");
    const repository = (directory: Directory) => {
      const inside = tree.mkdir(directory, ".git", 0o755, OWNER);
      tree.createFile(inside, "config", 0o644, OWNER).write(0, Buffer.from("of the tree"));
      tree.mkdir(inside, "hooks", 0o755, OWNER);
    };
    const sub = tree.mkdir(tree.root, "sub", 0o755, OWNER);
    const fresh = tree.mkdir(tree.root, "fresh", 0o755, OWNER);
    for (const directory of [tree.root, sub, fresh]) repository(directory);
    tree.createFile(tree.root, ".gitignore", 0o644, OWNER);
    mkdirSync(join(base, "out/.git"));
    writeFileSync(join(base, "out/.git/config"), "mine");
    // The file of a submodule or of a worktree.
    mkdirSync(join(base, "out/sub"));
    writeFileSync(join(base, "out/sub/.git"), "gitdir: elsewhere");
    write(tree);
    expect([readdirSync(join(base, "out/.git")), readFileSync(join(base, "out/.git/config"), "utf8")]).toEqual([
      ...[["config"], "mine"],
    ]);
    expect(readFileSync(join(base, "out/sub/.git"), "utf8")).toBe("gitdir: elsewhere");
    expect(readdirSync(join(base, "out/fresh/.git"))).toEqual(["config", "hooks"]);
    expect([existsSync(join(base, "out/.gitignore")), existsSync(place())]).toEqual([true, true]);
    expect(warnings.sort()).toEqual(
      [join(base, "out/.git"), join(base, "out/sub/.git")].map(
        (path) => `${path} exists already and is left as it is; to export the one of the tree, remove it first`,
      ),
    );
  });

  test("a file that cannot be written completely leaves nothing, and what it should replace stays", () => {
    const tooLarge = treeWith("");
    const file = tooLarge.resolve("/dir/file", { follow: false });
    if (file.kind === "file") file.truncate(2 ** 62);
    const failing = () =>
      expect(() => write(tooLarge)).toThrow(
        new DirectoryWriteError(`${place()} cannot be written: the file is too large`),
      );
    failing();
    expect(readdirSync(join(base, "out/dir"))).toEqual([]);
    writeFileSync(place(), "old");
    failing();
    expect([readdirSync(join(base, "out/dir")), readFileSync(place(), "utf8")]).toEqual([["file"], "old"]);
  });

  test("a directory of the same name that is not empty stays, and the error says what to do", () => {
    mkdirSync(join(place(), "below"), { recursive: true });
    expect(() => write(treeWith("content"))).toThrow(
      `${place()} cannot be written: a directory that is not empty has this name; move it away first`,
    );
    expect([readdirSync(place()), readdirSync(join(base, "out/dir"))]).toEqual([["below"], ["file"]]);
  });

  test("a symlink, a fifo or an empty directory of the same name is replaced, and nothing outside changes", () => {
    writeFileSync(join(base, "outside"), "outside");
    mkdirSync(join(base, "elsewhere"));
    symlinkSync(join(base, "elsewhere"), join(base, "out/dir"));
    write(treeWith("content"));
    expect([lstatSync(join(base, "out/dir")).isDirectory(), readdirSync(join(base, "elsewhere"))]).toEqual([true, []]);
    const obstacles = {
      symlink: () => symlinkSync(join(base, "outside"), place()),
      directory: () => mkdirSync(place()),
      fifo: () => expect(Bun.spawnSync(["mkfifo", place()]).exitCode).toBe(0),
    };
    for (const [kind, create] of Object.entries(obstacles)) {
      rmSync(place());
      create();
      write(treeWith(kind));
      expect([readFileSync(place(), "utf8"), readdirSync(join(base, "out/dir"))]).toEqual([kind, ["file"]]);
    }
    expect(readFileSync(join(base, "outside"), "utf8")).toBe("outside");
  });

  test("setuid files lose their bits, and devices are left out, unless they do no harm there", () => {
    const tree = treeWith("#!/bin/sh\n", { directoryMode: 0o3755, fileMode: 0o6755 });
    tree.mknod(tree.root, "disk", 0o60666, encodeDevice(8, 0), OWNER);
    tree.mknod(tree.root, "memory", 0o20666, encodeDevice(1, 1), OWNER);
    tree.mknod(tree.root, "pipe", 0o10644, 0, OWNER);
    const isRoot = process.geteuid?.() === 0;
    write(tree, { keepOwners: isRoot });
    expect([modeOf(place()), modeOf(join(base, "out/dir"))]).toEqual([0o755, 0o3755]);
    expect(readdirSync(join(base, "out")).sort()).toEqual(["dir", "pipe"]);
    expect(warnings).toEqual([
      `${place()}: its setuid and setgid bits are left out; an archive would have them`,
      ...["disk", "memory"].map(
        (name) => `${join(base, "out", name)}: left out, because it is a device; an archive would have it`,
      ),
    ]);
    write(tree, { privileges: true });
    expect(modeOf(place())).toBe(0o6755);
    if (isRoot) expect(readdirSync(join(base, "out")).sort()).toEqual(["dir", "disk", "memory", "pipe"]);
  });

  testWith(programs("setfacl", "getfacl"))(
    "entries do not take over the default access control list of a directory",
    () => {
      const source = join(base, "source");
      mkdirSync(join(source, "dir"), { recursive: true });
      writeFileSync(join(source, "dir/file"), "content");
      mkdirSync(join(source, "dir/below"));
      const user = String(process.getuid?.());
      expect(Bun.spawnSync(["setfacl", "-d", "-m", `u:${user}:rwx`, join(source, "dir")]).exitCode).toBe(0);
      const tree = newTree();
      copyDirectory(tree, source, { owner: OWNER, keepOwners: false, warn() {} });
      write(tree);
      const lists = (dir: string) => Bun.spawnSync(["getfacl", "-R", "."], { cwd: dir }).stdout.toString();
      expect(lists(join(base, "out"))).toBe(lists(source));
      // Again, over what is there.
      write(tree);
      expect(lists(join(base, "out"))).toBe(lists(source));
    },
  );

  test("holes stay, also at the end", () => {
    const tree = newTree();
    const file = tree.createFile(tree.root, "sparse", 0o644, OWNER);
    file.write(5 << 20, Buffer.from("data"));
    file.truncate(1 << 30);
    write(tree);
    const { size, blocks } = statSync(join(base, "out/sparse"));
    expect([size, blocks * 512 < 1 << 20, existsSync(join(base, "out/dir"))]).toEqual([1 << 30, true, false]);
  });
});
