/** Listing directories: cookies, and changes during a listing. */
import { describe, expect, test } from "bun:test";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

function names(fs: ServedTree, offset: number, size = 4096): { names: string[]; last: number } {
  const some = fs.kernel.readdir(ROOT, { offset, size });
  return { names: some.map(({ name }) => name), last: some.at(-1)?.off ?? offset };
}

describe("readdir", () => {
  test("readdir lists dot, dot-dot and every name with its inode number and type", () => {
    using fs = served();
    const file = fs.file("/dir/file");
    const dir = fs.directory("/dir/sub");
    fs.kernel.call("symlink", fs.node("/dir"), { name: "link", target: "x" });
    const told = fs.kernel.list(fs.node("/dir")).map(({ name, ino, type }) => ({ name, ino, type }));
    expect(told).toEqual([
      { name: ".", ino: fs.node("/dir"), type: 4 },
      { name: "..", ino: ROOT, type: 4 },
      { name: "link", ino: fs.node("/dir/link"), type: 10 },
      { name: "sub", ino: dir.ino, type: 4 },
      { name: "file", ino: file.ino, type: 8 },
    ]);
  });

  test("readdir lists the root as its own parent", () => {
    using fs = served();
    expect(fs.kernel.list(ROOT).map(({ ino }) => ino)).toEqual([ROOT, ROOT]);
  });

  test("readdir of a file is ENOTDIR", () => {
    using fs = served();
    fs.file("/file");
    expect(fs.kernel.errno("readdir", fs.node("/file"), { size: 4096 })).toBe("ENOTDIR");
  });

  test("readdir returns as many entries as fit, and continues at any cookie", () => {
    using fs = served();
    for (let index = 0; index < 50; index++) fs.file(`/${"n".repeat(index)}${index}`);
    const whole = fs.kernel.list(ROOT).map(({ name }) => name);
    for (const size of [128, 129, 500, 4096]) {
      expect(fs.kernel.list(ROOT, { size }).map(({ name }) => name)).toEqual(whole);
    }
    for (const { off } of fs.kernel.list(ROOT)) {
      const { names: rest } = names(fs, off, 65536);
      expect(rest).toEqual(whole.slice(whole.length - rest.length));
    }
  });

  test("readdir returns nothing if not even one entry fits", () => {
    using fs = served();
    fs.file("/file");
    expect(fs.kernel.readdir(ROOT, { size: 16 })).toEqual([]);
  });

  test("readdir returns a name of 255 bytes whole", () => {
    using fs = served();
    const name = "\xff".repeat(255);
    fs.kernel.call("mkdir", ROOT, { name, mode: 0o755 });
    expect(fs.ls("/")).toContain(name);
  });

  test("readdir ends after the oldest entry, and starts at the newest for a cookie that was never returned", () => {
    using fs = served();
    fs.file("/file");
    expect(fs.kernel.readdir(ROOT, { offset: names(fs, 0).last })).toEqual([]);
    expect(names(fs, 2 ** 53).names).toEqual(["file"]);
  });

  test("the end of a listing has the largest offset, also when the oldest entry is removed", () => {
    using fs = served();
    for (let index = 0; index < 10; index++) fs.file(`/${index}`);
    for (const oldest of ["0", "1"]) {
      const offsets = fs.kernel.list(ROOT).map(({ off }) => off);
      expect(offsets.at(-1)).toBe(2 ** 31 - 1);
      expect(Math.max(...offsets.slice(0, -1))).toBeLessThan(2 ** 31 - 1);
      fs.kernel.call("unlink", ROOT, { name: oldest });
      fs.file(`/newer than ${oldest}`);
      expect(fs.kernel.readdir(ROOT, { offset: 2 ** 31 - 1 })).toEqual([]);
    }
  });

  test("each offset up to the largest before the end leads to an entry", () => {
    using fs = served();
    for (let index = 0; index < 10; index++) fs.file(`/${index}`);
    const largest = Math.max(...fs.kernel.list(ROOT).map(({ off }) => (off === 2 ** 31 - 1 ? 0 : off)));
    for (let offset = 0; offset <= largest; offset++) expect(names(fs, offset).names).toContain("0");
  });
});

describe("a listing that is interrupted by changes", () => {
  function hundred(fs: ServedTree): { read: string[]; cookie: number } {
    for (let index = 0; index < 100; index++) fs.file(`/${index}`);
    const { names: read, last } = names(fs, 0, 40 * 32);
    expect(read.length).toBeLessThan(60);
    return { read, cookie: last };
  }

  test("a listing loses nothing when entries that it has already returned are removed", () => {
    using fs = served();
    const { read, cookie } = hundred(fs);
    for (const name of read.slice(2)) fs.kernel.call("unlink", ROOT, { name });
    const { names: rest } = names(fs, cookie, 65536);
    expect(read.length + rest.length).toBe(102);
    expect(new Set([...read, ...rest]).size).toBe(102);
  });

  test("a listing leaves out entries that are removed before it reaches them", () => {
    using fs = served();
    const { read, cookie } = hundred(fs);
    fs.kernel.call("unlink", ROOT, { name: "0" });
    const { names: rest } = names(fs, cookie, 65536);
    expect(rest).not.toContain("0");
    expect(read.length + rest.length).toBe(101);
  });

  test("a listing shows entries that were created during it when it starts again", () => {
    using fs = served();
    const { read, cookie } = hundred(fs);
    fs.file("/new");
    const { names: rest } = names(fs, cookie, 65536);
    expect(rest).not.toContain("new");
    expect(read.length + rest.length).toBe(102);
    expect(names(fs, 0, 65536).names[2]).toBe("new");
  });

  test("a listing continues when the name at the cookie is removed and created again", () => {
    using fs = served();
    const { read, cookie } = hundred(fs);
    const name = read.at(-1) ?? "";
    fs.kernel.call("unlink", ROOT, { name });
    fs.file(`/${name}`);
    const { names: rest } = names(fs, cookie, 65536);
    expect(rest).not.toContain(name);
    expect(new Set(rest).size).toBe(rest.length);
  });

  test("a listing returns a replaced name once, with the old inode or the new one", () => {
    using fs = served();
    const { read, cookie } = hundred(fs);
    fs.file("/new");
    fs.kernel.call("rename", ROOT, { name: "new", newdir: ROOT, newname: "5" });
    const { names: rest } = names(fs, cookie, 65536);
    expect([...read, ...rest].filter((other) => other === "5")).toEqual(["5"]);
  });

  test("a listing finds the same position again after a seek back", () => {
    using fs = served();
    const { cookie } = hundred(fs);
    const before = names(fs, cookie, 65536).names;
    for (let index = 0; index < 40; index++) fs.kernel.call("unlink", ROOT, { name: String(index) });
    const after = names(fs, cookie, 65536).names;
    expect(after).toEqual(before.filter((name) => Number(name) >= 40));
  });

  test("a listing visits a hundred thousand entries that are removed on the way, as by rm -r", () => {
    using fs = served();
    const count = 100_000;
    for (let index = 0; index < count; index++) fs.tree.mkdir(fs.tree.root, `d${index}`, 0o755, { uid: 0, gid: 0 });
    let removed = 0;
    for (let offset = 0; ; ) {
      const some = fs.kernel.readdir(ROOT, { offset, size: 32768 });
      if (some.length === 0) break;
      offset = some.at(-1)?.off ?? 0;
      for (const { name } of some) {
        if (name === "." || name === "..") continue;
        fs.kernel.call("rmdir", ROOT, { name });
        removed++;
      }
    }
    expect(removed).toBe(count);
    expect(fs.ls("/")).toEqual([".", ".."]);
  });

  test("a listing of a hundred thousand entries returns each unchanged entry once, while as many are created and removed", () => {
    using fs = served();
    const count = 100_000;
    for (let index = 0; index < count; index++) fs.tree.mkdir(fs.tree.root, `stay${index}`, 0o755, { uid: 0, gid: 0 });
    const seen = new Map<string, number>();
    let made = 0;
    for (let offset = 0; ; ) {
      const some = fs.kernel.readdir(ROOT, { offset, size: 65536 });
      if (some.length === 0) break;
      offset = some.at(-1)?.off ?? 0;
      for (const { name } of some) if (name.startsWith("stay")) seen.set(name, (seen.get(name) ?? 0) + 1);
      // As many are created and removed as were listed; one in ten stays, until there are enough.
      for (let index = 0; index < some.length && made < count; index++, made++) {
        fs.tree.mkdir(fs.tree.root, `new${made}`, 0o755, { uid: 0, gid: 0 });
        if (made % 10 !== 0) fs.tree.rmdir(fs.tree.root, `new${made}`);
      }
    }
    expect(seen.size).toBe(count);
    expect(new Set(seen.values())).toEqual(new Set([1]));
  });
});

describe("readdirplus", () => {
  test("readdirplus returns what a lookup would return, and counts as a lookup", () => {
    using fs = served();
    fs.file("/file", "hello");
    const told = fs.kernel.list(ROOT, { plus: true }).find(({ name }) => name === "file");
    expect(told?.entry?.attr).toMatchObject({ size: 5, nlink: 1 });
    expect(told?.entry).toEqual(fs.kernel.walk("/file"));
    expect(fs.kernel.lookups.get(told?.ino ?? 0)).toBe(2);
  });

  test("readdirplus returns dot and dot-dot without an entry, and counts no lookup for them", () => {
    using fs = served();
    fs.directory("/dir");
    const nodeid = fs.node("/dir");
    const told = fs.kernel.list(nodeid, { plus: true });
    expect(told.map(({ name, entry }) => [name, entry?.nodeid])).toEqual([
      [".", 0],
      ["..", 0],
    ]);
    expect(fs.kernel.lookups.get(nodeid)).toBe(1);
  });

  test("readdirplus counts only entries that are in the reply", () => {
    using fs = served();
    for (let index = 0; index < 100; index++) fs.file(`/${index}`);
    const told = fs.kernel.readdir(ROOT, { plus: true, size: 4096 });
    expect(told.length).toBeLessThan(30);
    expect(fs.kernel.lookups.size).toBe(told.length - 2);
    const known = [...fs.tree.root.entries()].filter(({ inode }) => inode.lookups > 0);
    expect(known).toHaveLength(told.length - 2);
  });

  test("readdirplus lists the same names as readdir", () => {
    using fs = served();
    for (let index = 0; index < 100; index++) fs.file(`/${"x".repeat(index)}${index}`);
    const plain = fs.kernel.list(ROOT).map(({ name, off }) => [name, off]);
    expect(fs.kernel.list(ROOT, { plus: true, size: 1000 }).map(({ name, off }) => [name, off])).toEqual(plain);
  });
});
