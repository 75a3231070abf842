/** A directory of the disk, copied into a tree: nothing is lost, nothing outside is touched, and what cannot be read is named. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyDirectory, DirectoryCopyError } from "../../src/disk/copy-directory.ts";
import { mergeDirectory } from "../../src/disk/merge-directory.ts";
import { fixedClock, S_IFIFO, S_IFMT, S_IFSOCK } from "../../src/tree/inode.ts";
import { Space } from "../../src/tree/space.ts";
import { Tree } from "../../src/tree/tree.ts";
import { at, fileAt, newTree, OWNER, textAt } from "../snapshot/trees.ts";
import { programs, testWith } from "../support/needs.ts";

let source = "";
let warnings: string[] = [];

beforeEach(() => {
  source = mkdtempSync(join(tmpdir(), "llmfs-copy-"));
  warnings = [];
});
afterEach(() => rmSync(source, { recursive: true }));

function copy(options: { readonly space?: Space; readonly keepOwners?: boolean } = {}): Tree {
  const tree = newTree({ space: options.space ?? new Space() });
  copyDirectory(tree, source, {
    owner: OWNER,
    keepOwners: options.keepOwners ?? false,
    warn: (message) => warnings.push(message.replaceAll(source, "DIR")),
  });
  tree.checkInvariants();
  return tree;
}

const paths = (tree: Tree) => [...tree.walk()].map(({ path }) => path).sort();

function sh(script: string): void {
  const { exitCode, stderr } = Bun.spawnSync({ cmd: ["/bin/sh", "-ec", script], cwd: source, stderr: "pipe" });
  if (exitCode !== 0) throw new Error(stderr.toString());
}

const IS_ROOT = process.getuid?.() === 0;

describe("copying a directory", () => {
  test("a directory that somebody replaces by a symlink in the meantime leads nowhere", () => {
    sh(
      "mkdir source outside source/-a source/-a/b; touch outside/private outside/own source/-a/own; mkdir source/.llmfs",
    );
    sh("mkdir outside/b; touch outside/b/private source/-a/b/own");
    // The warning about the name comes after the directory was found, and before its entries are read.
    const replace = () => sh("test -L source/-a || { mv source/-a moved; ln -s ../outside source/-a; }");
    for (const read of [
      (tree: Tree) => copyDirectory(tree, join(source, "source"), { owner: OWNER, keepOwners: false, warn }),
      (tree: Tree) =>
        mergeDirectory(tree, tree.root, join(source, "source"), {
          ...{ owner: OWNER, keepOwners: false, removes: false, warn },
        }),
    ]) {
      const tree = newTree();
      read(tree);
      expect(paths(tree)).toEqual(["/", "/-a"]);
      expect(warnings[1]).toMatch(/-a: its entries are left out: /);
      warnings = [];
      sh("rm source/-a; mv moved source/-a");
    }
    function warn(message: string): void {
      warnings.push(message);
      replace();
    }
  });

  test("copying a directory keeps contents, modes and times, including those of directories", () => {
    mkdirSync(join(source, "sub"));
    writeFileSync(join(source, "sub/a.txt"), "text");
    writeFileSync(join(source, "empty"), "");
    chmodSync(join(source, "sub/a.txt"), 0o4640);
    chmodSync(join(source, "sub"), 0o2750);
    sh("touch -a -d @-1.5 sub/a.txt; touch -m -d @1000000000.25 sub/a.txt");
    utimesSync(join(source, "sub"), 1e9, 1e9 + 0.5);
    utimesSync(source, 1e9, 1e9 + 0.75);
    const tree = copy();
    expect(textAt(tree, "/sub/a.txt")).toBe("text");
    expect(fileAt(tree, "/empty")).toMatchObject({ state: "static", size: 0 });
    expect(at(tree, "/sub/a.txt").mode & 0o7777).toBe(0o4640);
    expect(at(tree, "/sub").mode & 0o7777).toBe(0o2750);
    expect(at(tree, "/sub/a.txt").times()).toMatchObject({ atime: -2, atimeNsec: 500_000_000, mtimeNsec: 250_000_000 });
    expect(at(tree, "/sub").times()).toMatchObject({ mtime: 1e9, mtimeNsec: 500_000_000 });
    expect(tree.root.times()).toMatchObject({ mtime: 1e9, mtimeNsec: 750_000_000 });
    expect(at(tree, "/sub")).toMatchObject(OWNER);
    expect(warnings).toEqual([]);
  });

  test("copying a directory keeps owners if asked to, as root's cp -a does", () => {
    writeFileSync(join(source, "mine"), "");
    const { uid, gid } = lstatSync(join(source, "mine"));
    expect(at(copy({ keepOwners: true }), "/mine")).toMatchObject({ uid, gid });
  });

  test("copying a directory keeps symlinks as they are, wherever they lead, and follows none", () => {
    symlinkSync("/etc/passwd", join(source, "absolute"));
    symlinkSync("../..", join(source, "up"));
    symlinkSync("up/up", join(source, "loop"));
    const tree = copy();
    expect(paths(tree)).toEqual(["/", "/absolute", "/loop", "/up"]);
    expect(at(tree, "/absolute")).toMatchObject({ kind: "symlink", target: "/etc/passwd" });
    expect(at(tree, "/up")).toMatchObject({ kind: "symlink", target: "../.." });
  });

  test("copying a directory keeps hard links among the copied files", () => {
    mkdirSync(join(source, "d"));
    writeFileSync(join(source, "a"), "shared");
    linkSync(join(source, "a"), join(source, "d/b"));
    symlinkSync("a", join(source, "s"));
    linkSync(join(source, "s"), join(source, "d/s"));
    const tree = copy();
    expect(at(tree, "/d/b")).toBe(at(tree, "/a"));
    expect(at(tree, "/d/s")).toBe(at(tree, "/s"));
    expect(at(tree, "/a").nlink).toBe(2);
  });

  test("copying a directory keeps holes, so that a sparse file takes no more space than on disk", () => {
    writeFileSync(join(source, "sparse"), "");
    truncateSync(join(source, "sparse"), 64 << 20);
    sh("printf data | dd of=sparse bs=1 seek=33554432 conv=notrunc status=none");
    const tree = copy({ space: new Space({ bytes: 1 << 20 }) });
    const file = fileAt(tree, "/sparse");
    expect(file.size).toBe(64 << 20);
    const bytes = new Uint8Array(6);
    file.read((32 << 20) - 1, bytes);
    expect(Buffer.from(bytes).toString()).toBe("\0data\0");
  });

  test("copying a directory copies a file of several megabytes byte by byte", () => {
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    const whole = Buffer.concat(Array.from({ length: 50 }, () => bytes));
    writeFileSync(join(source, "big"), whole);
    expect(Buffer.from(fileAt(copy(), "/big").bytes()).equals(whole)).toBe(true);
  });

  test("copying a directory keeps names that are not UTF-8", () => {
    writeFileSync(Buffer.from(`${source}/a\xff`, "latin1"), "x");
    expect(paths(copy())).toEqual(["/", "/a\xff"]);
  });

  testWith(programs("python3"))("makes fifos and sockets, and reads nothing from them", () => {
    sh(`mkfifo fifo; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'`);
    const tree = copy();
    expect(at(tree, "/fifo").mode & S_IFMT).toBe(S_IFIFO);
    expect(at(tree, "/socket").mode & S_IFMT).toBe(S_IFSOCK);
  });

  testWith(programs("setfattr"))(
    "keeps attributes of programs and settings for generators, not what a mount said",
    () => {
      writeFileSync(join(source, "a"), "x");
      sh(
        `setfattr -n user.mime -v text/plain a; setfattr -n user.llmfs.description -v "what it is" a
       setfattr -n user.llmfs.origin -v /x a; setfattr -n user.llmfs.state -v pending a; setfattr -n user.llmfs.temperature -v hot a`,
      );
      const { xattrs } = at(copy(), "/a");
      expect([...(xattrs ?? [])].map(([name, value]) => [name, Buffer.from(value).toString()])).toEqual([
        ["user.mime", "text/plain"],
        ["user.llmfs.description", "what it is"],
      ]);
    },
  );

  test("copying a directory omits the control directory's name in the root only, with a warning", () => {
    mkdirSync(join(source, "d/.llmfs"), { recursive: true });
    mkdirSync(join(source, ".llmfs"));
    expect(paths(copy())).toEqual(["/", "/d", "/d/.llmfs"]);
    expect(warnings).toEqual(["DIR/.llmfs: left out, because a mount has its control files under this name"]);
  });

  test("copying a directory that does not fit fails, and the error gives the available space", () => {
    for (let i = 0; i < 20; i++) writeFileSync(join(source, `f${i}`), "x".repeat(5000));
    const problem = "does not fit into the filesystem, which has room for";
    expect(() => copy({ space: new Space({ bytes: 16384 }) })).toThrow(`${source} ${problem} 16384 bytes; mount with`);
    expect(() => copy({ space: new Space({ inodes: 10 }) })).toThrow(`${problem} any number of bytes and 10 files`);
    expect(() => copy({ space: new Space({ inodes: 10 }) })).toThrow(DirectoryCopyError);
  });

  test("copying a missing directory fails", () => {
    const tree = new Tree({ clock: fixedClock(0) });
    const options = { owner: OWNER, keepOwners: false, warn: () => {} };
    expect(() => copyDirectory(tree, join(source, "none"), options)).toThrow(
      /none cannot be copied: no such file or directory \(ENOENT\)$/,
    );
  });

  test("copying a directory omits what cannot be read, and warns about the first twenty", () => {
    writeFileSync(join(source, "ok"), "x");
    mkdirSync(join(source, "closed"), { mode: 0o000 });
    for (let i = 10; i < 35; i++) writeFileSync(join(source, `secret${i}`), "x", { mode: 0o000 });
    chmodSync(source, 0o755);
    const tree = asOrdinaryUser(copy);
    chmodSync(join(source, "closed"), 0o700);
    expect(paths(tree)).toEqual(["/", "/closed", "/ok"]);
    expect(warnings).toHaveLength(21);
    expect(warnings[0]).toMatch(/^DIR\/secret10: left out: permission denied \(EACCES\)$/);
    expect(warnings.at(-1)).toBe("DIR: 6 more entries are left out");
  });
});

/** Works with the permissions of nobody if the test runs as root, who may read everything. */
function asOrdinaryUser<T>(work: () => T): T {
  if (!IS_ROOT) return work();
  process.seteuid?.(65534);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
}
