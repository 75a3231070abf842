import { describe, expect, test } from "bun:test";
import type { ErrnoName } from "../../src/errno.ts";
import { FsError } from "../../src/errno.ts";
import { dentriesOf } from "../../src/tree/dentries.ts";
import type { Directory } from "../../src/tree/directory.ts";
import { fixedClock, S_IFCHR, S_IFIFO } from "../../src/tree/inode.ts";
import { Space } from "../../src/tree/space.ts";
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, Tree } from "../../src/tree/tree.ts";
import { walkInSteps } from "../../src/tree/walk.ts";

const OWNER = { uid: 1000, gid: 1000 };
const OTHER = { uid: 7, gid: 8 };

let ticks = 0;
function newTree(space = new Space()): Tree {
  return new Tree({ clock: () => ({ seconds: ++ticks, nanoseconds: 5 }), space, owner: OWNER });
}

function code(action: () => unknown): ErrnoName | "none" {
  try {
    action();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return "none";
}

function paths(tree: Tree, from?: Directory, path?: string): string[] {
  return [...tree.walk(from, path)].map((entry) => entry.path);
}

describe("a walk", () => {
  test("a walk visits directories before their entries, and names in byte order", () => {
    const tree = newTree();
    const a = tree.mkdir(tree.root, "a", 0o755, OWNER);
    for (const name of ["z", "B", "\xff", "1"]) tree.createFile(a, name, 0o644, OWNER);
    tree.createFile(tree.root, "a-b", 0o644, OWNER);
    tree.mkdir(a, "1d", 0o755, OWNER);
    expect(paths(tree)).toEqual(["/", "/a", "/a/1", "/a/1d", "/a/B", "/a/z", "/a/\xff", "/a-b"]);
    expect(paths(tree, a, "/a")).toEqual(["/a/1", "/a/1d", "/a/B", "/a/z", "/a/\xff"]);
  });

  test("a walk reaches any depth", () => {
    const tree = newTree();
    let directory = tree.root;
    for (let depth = 0; depth < 50_000; depth++) directory = tree.mkdir(directory, "d", 0o755, OWNER);
    let found = 0;
    for (const { inode } of tree.walk()) if (inode.kind === "directory") found++;
    expect(found).toBe(50_001);
    tree.checkInvariants();
  });

  test("a walk continues when entries on its way are removed", () => {
    const tree = newTree();
    for (const name of ["a", "b", "c"]) tree.createFile(tree.root, name, 0o644, OWNER);
    const seen: string[] = [];
    for (const { path } of tree.walk()) {
      seen.push(path);
      if (path === "/a") tree.unlink(tree.root, "a");
    }
    expect(seen).toEqual(["/", "/a", "/b", "/c"]);
  });

  test("a walk sorts a large directory in steps, and shows its entries as they are at the end", () => {
    const tree = newTree();
    const names = Array.from({ length: 5000 }, (_, index) => String((index * 1237) % 5000).padStart(4, "0"));
    for (const name of names) tree.createFile(tree.root, name, 0o644, OWNER);
    names.sort();
    expect(paths(tree)).toEqual(["/", ...names.map((name) => `/${name}`)]);
    const seen: string[] = [];
    let pauses = 0;
    for (const at of walkInSteps(tree.root, "/")) {
      if (at !== undefined) seen.push(at.path.slice(1));
      else if (++pauses === 2) {
        // The first is created again, behind all others, and another one is removed.
        tree.rename(tree.root, "0000", tree.root, "moved");
        tree.rename(tree.root, "moved", tree.root, "0000");
        tree.unlink(tree.root, "1237");
      }
    }
    expect(pauses).toBeGreaterThan(10);
    expect(seen).toEqual(["", ...names.filter((name) => name !== "1237")]);
  });
});

describe("the count of files by state", () => {
  const none = { static: 0, pending: 0, generating: 0, ready: 0, failed: 0 };

  test("the count of files by state includes each file with a name once", () => {
    const tree = newTree();
    const { files } = tree.space;
    const file = tree.createFile(tree.root, "a", 0o644, OWNER);
    file.state = "pending";
    tree.link(file, tree.root, "b");
    tree.mkdir(tree.root, "d", 0o755, OWNER);
    tree.symlink(tree.root, "l", "a", OWNER);
    tree.mknod(tree.root, "p", S_IFIFO | 0o644, 0, OWNER);
    expect(files).toEqual({ ...none, pending: 1 });
    tree.unlink(tree.root, "a");
    expect(files).toEqual({ ...none, pending: 1 });
    tree.hold(file);
    tree.unlink(tree.root, "b");
    expect(files).toEqual(none);
    file.state = "generating";
    expect(files).toEqual(none);
    tree.link(file, tree.root, "back");
    expect(files).toEqual({ ...none, generating: 1 });
    tree.drop(file);
    tree.checkInvariants();
  });

  test("the count of files by state includes an unnamed file once it is linked, and follows a replaced inode", () => {
    const tree = newTree();
    const { files } = tree.space;
    const nameless = tree.tmpfile(tree.root, 0o644, OWNER);
    tree.hold(nameless);
    nameless.write(0, Buffer.from("x"));
    nameless.state = "ready";
    expect(files).toEqual(none);
    const old = tree.createFile(tree.root, "a", 0o644, OWNER);
    expect(files).toEqual({ ...none, static: 1 });
    tree.replace(tree.root, "a", nameless);
    expect(files).toEqual({ ...none, ready: 1 });
    tree.createFile(tree.root, "b", 0o644, OWNER);
    tree.rename(tree.root, "b", tree.root, "a");
    expect(files).toEqual({ ...none, static: 1 });
    expect(old.nlink).toBe(0);
    tree.drop(nameless);
    tree.checkInvariants();
  });

  test("the count of files by state follows the content when two files exchange theirs", () => {
    const tree = newTree();
    const { files } = tree.space;
    const named = tree.createFile(tree.root, "a", 0o644, OWNER);
    named.write(0, Buffer.from("old"));
    const nameless = tree.tmpfile(tree.root, 0o644, OWNER);
    tree.hold(nameless);
    nameless.write(0, Buffer.from("new"));
    nameless.state = "ready";
    named.exchange(nameless);
    expect(files).toEqual({ ...none, ready: 1 });
    const other = tree.createFile(tree.root, "b", 0o644, OWNER);
    other.state = "failed";
    other.error = new FsError("EIO");
    named.exchange(other);
    expect(files).toEqual({ ...none, ready: 1, failed: 1 });
    expect([named.error?.code, other.error]).toEqual(["EIO", undefined]);
    tree.checkInvariants();
    tree.drop(nameless);
  });

  test("checkInvariants verifies the count of files by state", () => {
    const tree = newTree();
    tree.createFile(tree.root, "a", 0o644, OWNER);
    tree.space.files.static++;
    expect(() => tree.checkInvariants()).toThrow("1 files in the tree are static, 2 counted");
  });
});

describe("a path", () => {
  const tree = newTree();
  const a = tree.mkdir(tree.root, "a", 0o755, OWNER);
  const file = tree.createFile(a, "f", 0o644, OWNER);
  tree.symlink(a, "up", "..", OWNER);
  tree.symlink(a, "abs", "/a/f", OWNER);
  tree.symlink(a, "loop", "loop", OWNER);
  tree.symlink(tree.root, "there", "a/up/a", OWNER);

  test("a path follows symlinks, and .. refers to their target's parent", () => {
    expect(tree.resolve("/there/f", { follow: true })).toBe(file);
    expect(tree.resolve("/a/up/a/../a/f", { follow: true })).toBe(file);
    expect(tree.resolve("/a/abs", { follow: true })).toBe(file);
    expect(tree.resolve("/a/abs", { follow: false }).kind).toBe("symlink");
    expect(tree.resolve("/../../a/./f", { follow: true })).toBe(file);
  });

  test("a path that does not exist is an error with the reason", () => {
    expect(code(() => tree.resolve("/x", { follow: true }))).toBe("ENOENT");
    expect(code(() => tree.resolve("/a/f/x", { follow: true }))).toBe("ENOTDIR");
    expect(code(() => tree.resolve("/a/loop", { follow: true }))).toBe("ELOOP");
  });
});

describe("a name", () => {
  test("a name may have 255 bytes, not 256", () => {
    const tree = newTree();
    tree.createFile(tree.root, "x".repeat(255), 0o644, OWNER);
    expect(code(() => tree.createFile(tree.root, "x".repeat(256), 0o644, OWNER))).toBe("ENAMETOOLONG");
    expect(code(() => tree.lookup(tree.root, "x".repeat(256)))).toBe("ENAMETOOLONG");
  });

  test("creating a name that exists is rejected for every type of inode", () => {
    const tree = newTree();
    const file = tree.createFile(tree.root, "a", 0o644, OWNER);
    for (const make of [
      () => tree.createFile(tree.root, "a", 0o644, OWNER),
      () => tree.mkdir(tree.root, "a", 0o755, OWNER),
      () => tree.symlink(tree.root, "a", "x", OWNER),
      () => tree.mknod(tree.root, "a", S_IFIFO, 0, OWNER),
      () => tree.link(file, tree.root, "a"),
      () => tree.mkdir(tree.root, "..", 0o755, OWNER),
    ])
      expect(code(make)).toBe("EEXIST");
    tree.checkInvariants();
  });

  test("a name cannot be created in a directory that was removed", () => {
    const tree = newTree();
    const directory = tree.mkdir(tree.root, "d", 0o755, OWNER);
    tree.hold(directory);
    tree.rmdir(tree.root, "d");
    expect(code(() => tree.createFile(directory, "a", 0o644, OWNER))).toBe("ENOENT");
    tree.createFile(tree.root, "b", 0o644, OWNER);
    expect(code(() => tree.rename(tree.root, "b", directory, "b"))).toBe("ENOENT");
    tree.drop(directory);
    tree.checkInvariants();
  });
});

describe("a removal", () => {
  test("removing a file that is open leaves it readable until it is closed", () => {
    const space = new Space();
    const tree = newTree(space);
    const file = tree.createFile(tree.root, "a", 0o644, OWNER);
    file.write(0, Buffer.from("still here"));
    tree.hold(file);
    tree.unlink(tree.root, "a");
    expect(Buffer.from(file.bytes()).toString()).toBe("still here");
    expect(space.pages).toBe(1);
    tree.drop(file);
    expect(space).toMatchObject({ pages: 0, inodes: 1 });
  });

  test("removing an entry of the wrong type, or of a directory that is not empty, is an error", () => {
    const tree = newTree();
    const directory = tree.mkdir(tree.root, "d", 0o755, OWNER);
    tree.createFile(directory, "f", 0o644, OWNER);
    expect(code(() => tree.unlink(tree.root, "d"))).toBe("EISDIR");
    expect(code(() => tree.rmdir(directory, "f"))).toBe("ENOTDIR");
    expect(code(() => tree.rmdir(tree.root, "d"))).toBe("ENOTEMPTY");
    expect(code(() => tree.unlink(tree.root, "x"))).toBe("ENOENT");
  });

  test("dropping more references than were held throws, as it is a bug", () => {
    const tree = newTree();
    expect(() => tree.drop(tree.root)).toThrow("1 of 0 references dropped");
  });
});

describe("a file without a name", () => {
  test("a file without a name gets one by link, and disappears if it is dropped without", () => {
    const space = new Space();
    const tree = newTree(space);
    const file = tree.tmpfile(tree.root, 0o600, OWNER);
    tree.hold(file);
    tree.link(file, tree.root, "a");
    tree.drop(file);
    expect(file.nlink).toBe(1);
    const other = tree.tmpfile(tree.root, 0o600, OWNER);
    tree.hold(other);
    other.write(0, Buffer.from("x"));
    tree.drop(other);
    expect(space).toMatchObject({ pages: 0, inodes: 2 });
    tree.checkInvariants();
  });
});

describe("rename", () => {
  test("rename moves a directory, and updates the link counts of its old and new parents", () => {
    const tree = newTree();
    const [from, to] = [tree.mkdir(tree.root, "from", 0o755, OWNER), tree.mkdir(tree.root, "to", 0o755, OWNER)];
    const moved = tree.mkdir(from, "d", 0o755, OWNER);
    tree.rename(from, "d", to, "e");
    expect([from.nlink, to.nlink, moved.parent === to]).toEqual([2, 3, true]);
    tree.checkInvariants();
  });

  test("rename replaces compatible targets, and nothing else", () => {
    const tree = newTree();
    const full = tree.mkdir(tree.root, "full", 0o755, OWNER);
    tree.createFile(full, "x", 0o644, OWNER);
    tree.mkdir(tree.root, "empty", 0o755, OWNER);
    tree.mkdir(tree.root, "d", 0o755, OWNER);
    tree.createFile(tree.root, "f", 0o644, OWNER);
    expect(code(() => tree.rename(tree.root, "f", tree.root, "d"))).toBe("EISDIR");
    expect(code(() => tree.rename(tree.root, "d", tree.root, "f"))).toBe("ENOTDIR");
    expect(code(() => tree.rename(tree.root, "d", tree.root, "full"))).toBe("ENOTEMPTY");
    expect(code(() => tree.rename(tree.root, "f", full, "x", RENAME_NOREPLACE))).toBe("EEXIST");
    expect(tree.rename(tree.root, "d", tree.root, "empty")?.nlink).toBe(0);
    expect(tree.rename(tree.root, "f", full, "x")?.nlink).toBe(0);
    expect(paths(tree)).toEqual(["/", "/empty", "/full", "/full/x"]);
    tree.checkInvariants();
  });

  test("rename of one of two names of a file onto the other does nothing", () => {
    const tree = newTree();
    const file = tree.createFile(tree.root, "a", 0o644, OWNER);
    tree.link(file, tree.root, "b");
    tree.rename(tree.root, "a", tree.root, "b");
    expect([paths(tree), file.nlink]).toEqual([["/", "/a", "/b"], 2]);
  });

  test("rename never puts a directory below itself, not even by an exchange", () => {
    const tree = newTree();
    const a = tree.mkdir(tree.root, "a", 0o755, OWNER);
    const b = tree.mkdir(a, "b", 0o755, OWNER);
    tree.mkdir(b, "c", 0o755, OWNER);
    expect(code(() => tree.rename(tree.root, "a", b, "x"))).toBe("EINVAL");
    expect(code(() => tree.rename(tree.root, "a", a, "x"))).toBe("EINVAL");
    expect(code(() => tree.rename(b, "c", tree.root, "a", RENAME_EXCHANGE))).toBe("EINVAL");
    expect(code(() => tree.rename(tree.root, "a", b, "c", RENAME_EXCHANGE))).toBe("EINVAL");
    tree.checkInvariants();
  });

  test("rename exchanges two names without hiding either from whoever is reading the directory", () => {
    const tree = newTree();
    for (const name of ["a", "b", "c", "d"]) tree.createFile(tree.root, name, 0o644, OWNER);
    const read = (cookie: number, count: number) => {
      const found: { name: string; cookie: number }[] = [];
      tree.root.visitBefore(cookie, (dentry) => found.push(dentry) < count);
      return found;
    };
    const first = read(Number.POSITIVE_INFINITY, 2);
    tree.rename(tree.root, "a", tree.root, "b", RENAME_EXCHANGE);
    const rest = read(first.at(-1)?.cookie ?? 0, 100);
    expect([...first, ...rest].map(({ name }) => name)).toEqual(["d", "c", "b", "a"]);
    tree.checkInvariants();
  });

  test("rename exchanges a file and a directory, in one directory or two, and a name with itself", () => {
    const tree = newTree();
    const a = tree.mkdir(tree.root, "a", 0o755, OWNER);
    const d = tree.mkdir(a, "d", 0o755, OWNER);
    const f = tree.createFile(tree.root, "f", 0o644, OWNER);
    tree.rename(a, "d", tree.root, "f", RENAME_EXCHANGE);
    expect([a.get("d")?.inode === f, tree.root.get("f")?.inode === d, d.parent === tree.root]).toEqual([
      true,
      true,
      true,
    ]);
    tree.checkInvariants();
    tree.rename(tree.root, "a", tree.root, "f", RENAME_EXCHANGE);
    expect(tree.root.get("a")?.inode === d).toBe(true);
    tree.rename(tree.root, "a", tree.root, "a", RENAME_EXCHANGE);
    expect(tree.root.get("a")?.inode === d).toBe(true);
    tree.checkInvariants();
  });

  test("rename leaves a whiteout on request", () => {
    const tree = newTree();
    tree.createFile(tree.root, "a", 0o644, OWNER);
    tree.rename(tree.root, "a", tree.root, "b", RENAME_WHITEOUT, OTHER);
    expect(tree.root.get("a")?.inode).toMatchObject({ kind: "special", mode: S_IFCHR, rdev: 0, uid: 7, nlink: 1 });
    tree.checkInvariants();
  });
});

describe("a setgid directory", () => {
  test("a setgid directory passes its group to new entries, and the bit to new directories", () => {
    const tree = newTree();
    const d = tree.mkdir(tree.root, "d", 0o2775, { uid: 1, gid: 99 });
    expect(tree.createFile(d, "f", 0o644, OTHER)).toMatchObject({ uid: 7, gid: 99, mode: 0o100644 });
    expect(tree.mkdir(d, "e", 0o755, OTHER)).toMatchObject({ uid: 7, gid: 99, mode: 0o042755 });
    expect(tree.symlink(d, "l", "x", OTHER)).toMatchObject({ uid: 7, gid: 99 });
  });
});

describe("replacing a file's inode", () => {
  test("replacing a file's inode keeps the name's position for readers of the directory", () => {
    const tree = newTree();
    for (const name of ["a", "b", "c"]) tree.createFile(tree.root, name, 0o644, OWNER);
    const cookie = tree.root.get("a")?.cookie;
    const fresh = tree.tmpfile(tree.root, 0o644, OWNER);
    const old = tree.replace(tree.root, "a", fresh);
    expect([old.nlink, fresh.nlink, tree.root.get("a")?.inode === fresh]).toEqual([0, 1, true]);
    expect(tree.root.get("a")?.cookie).toBe(cookie!);
    tree.checkInvariants();
  });
});

test("inodes are counted, and the limit holds for every way to create one", () => {
  const tree = newTree(new Space({ inodes: 3 }));
  const file = tree.createFile(tree.root, "a", 0o644, OWNER);
  tree.mkdir(tree.root, "b", 0o755, OWNER);
  for (const make of [
    () => tree.createFile(tree.root, "c", 0o644, OWNER),
    () => tree.mkdir(tree.root, "c", 0o755, OWNER),
    () => tree.symlink(tree.root, "c", "x", OWNER),
    () => tree.mknod(tree.root, "c", S_IFIFO, 0, OWNER),
    () => tree.tmpfile(tree.root, 0o644, OWNER),
    () => tree.rename(tree.root, "a", tree.root, "c", RENAME_WHITEOUT),
  ])
    expect(code(make)).toBe("ENOSPC");
  // Another name takes as much as an inode, as on tmpfs; a renamed one does not.
  expect(code(() => tree.link(file, tree.root, "c"))).toBe("ENOSPC");
  tree.rename(tree.root, "a", tree.root, "c");
  tree.rmdir(tree.root, "b");
  tree.link(file, tree.root, "a");
  expect(code(() => tree.createFile(tree.root, "d", 0o644, OWNER))).toBe("ENOSPC");
  tree.unlink(tree.root, "c");
  tree.createFile(tree.root, "d", 0o644, OWNER);
  tree.checkInvariants();
  expect(paths(tree)).toEqual(["/", "/a", "/d"]);
});

test("a long symlink takes a page", () => {
  const tree = newTree(new Space({ bytes: 4096 }));
  tree.symlink(tree.root, "short", "s".repeat(127), OWNER);
  tree.symlink(tree.root, "long", "s".repeat(128), OWNER);
  expect(code(() => tree.symlink(tree.root, "longer", "s".repeat(128), OWNER))).toBe("ENOSPC");
  expect(code(() => tree.symlink(tree.root, "long", "s".repeat(128), OWNER))).toBe("ENOSPC");
  tree.checkInvariants();
  tree.unlink(tree.root, "long");
  expect(tree.space.usedPages).toBe(0);
});

test("any sequence of operations keeps the invariants, and leaves no space in use at the end", () => {
  for (let seed = 1; seed <= 30; seed++) {
    let state = seed;
    const below = (limit: number) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return (state >> 8) % limit;
    };
    const space = new Space();
    const tree = newTree(space);
    const directories = () => [...tree.walk()].flatMap(({ inode }) => (inode.kind === "directory" ? [inode] : []));
    const name = () => `n${below(6)}`;
    for (let step = 0; step < 300; step++) {
      const all = directories();
      const [a, b] = [all[below(all.length)]!, all[below(all.length)]!];
      code(() => {
        switch (below(9)) {
          case 0:
            return tree.mkdir(a, name(), 0o755, OWNER);
          case 1:
          case 2:
            return void tree.createFile(a, name(), 0o644, OWNER).write(0, new Uint8Array(below(20_000)));
          case 3:
            return tree.symlink(a, name(), "x", OWNER);
          case 4: {
            const inode = tree.lookup(a, name());
            return tree.link(inode, b, name());
          }
          case 5:
            return tree.unlink(a, name());
          case 6:
            return tree.rmdir(a, name());
          default: {
            const flags = [0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT][below(5)]!;
            return tree.rename(a, name(), b, name(), flags, OWNER);
          }
        }
      });
      tree.checkInvariants();
    }
    for (const { path, inode } of [...tree.walk()].reverse()) {
      if (path === "/") continue;
      const parent = tree.resolve(path.slice(0, path.lastIndexOf("/")), { follow: false });
      if (parent.kind !== "directory") throw new Error(path);
      const last = path.slice(path.lastIndexOf("/") + 1);
      if (inode.kind === "directory") tree.rmdir(parent, last);
      else tree.unlink(parent, last);
    }
    expect(space).toMatchObject({ pages: 0, inodes: 1 });
  }
});

test("an inode stores its birth time to the nanosecond if that is recent, to the second if it is long ago", () => {
  const now = Math.floor(Date.now() / 1000) + 60;
  for (const [seconds, nanoseconds, kept] of [
    [now, 123_456_789, 123_456_789],
    [now + 86_400, 999_999_999, 999_999_999],
    [1_000_000_000, 0, 0],
    [1_000_000_000, 7, 0],
    [0, 0, 0],
  ] as const) {
    const tree = new Tree({
      clock: fixedClock(seconds, nanoseconds),
      space: new Space(),
      owner: OWNER,
    });
    expect(tree.createFile(tree.root, "file", 0o644, OWNER).btime).toEqual({ seconds, nanoseconds: kept });
  }
});

test("all names of an inode are known, whichever one was removed, moved or replaced", () => {
  const tree = newTree();
  const d = tree.mkdir(tree.root, "d", 0o755, OWNER);
  const file = tree.createFile(tree.root, "a", 0o644, OWNER);
  const other = tree.createFile(tree.root, "other", 0o644, OWNER);
  for (const name of ["b", "c"]) tree.link(file, tree.root, name);
  tree.link(file, d, "a");
  const names = () =>
    dentriesOf(file)
      .map((dentry) => tree.pathTo(dentry))
      .sort();
  expect(names()).toEqual(["/a", "/b", "/c", "/d/a"]);
  tree.unlink(tree.root, "a");
  tree.rename(tree.root, "d", tree.root, "e");
  tree.rename(tree.root, "b", d, "b");
  tree.rename(tree.root, "other", tree.root, "c", RENAME_EXCHANGE);
  tree.checkInvariants();
  expect([names(), tree.pathOf(other)]).toEqual([["/e/a", "/e/b", "/other"], "/c"]);
  tree.hold(file);
  tree.rename(tree.root, "c", tree.root, "other");
  tree.replace(d, "b", other);
  tree.unlink(d, "a");
  tree.checkInvariants();
  expect([names(), tree.pathOf(file), dentriesOf(other).length]).toEqual([[], undefined, 2]);
  tree.drop(file);
});
