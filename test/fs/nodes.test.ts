/** Lookup and forget, open and release: how long an inode lives. */
import { describe, expect, test } from "bun:test";
import { ROOT, served } from "../support/served.ts";

describe("lookup and forget", () => {
  test("a lookup returns the inode's number as its nodeid", () => {
    using fs = served();
    const file = fs.file("/README", "hello");
    const entry = fs.kernel.call("lookup", ROOT, { name: "README" });
    expect([entry.nodeid, entry.generation, entry.attr.ino]).toEqual([file.ino, 0, file.ino]);
  });

  test("a missing name is reported so that the kernel remembers that it is missing", () => {
    using fs = served();
    const entry = fs.kernel.call("lookup", ROOT, { name: "nothing" });
    expect(entry.nodeid).toBe(0);
    expect(entry.entry_valid).toBeGreaterThan(0);
  });

  test("a name of 255 bytes can be looked up, one of 256 is ENAMETOOLONG", () => {
    using fs = served();
    expect(fs.kernel.errno("lookup", ROOT, { name: "n".repeat(255) })).toBe("ok");
    expect(fs.kernel.errno("lookup", ROOT, { name: "n".repeat(256) })).toBe("ENAMETOOLONG");
  });

  test("a lookup in a file is ENOTDIR", () => {
    using fs = served();
    fs.file("/README");
    expect(fs.kernel.errno("lookup", fs.node("/README"), { name: "x" })).toBe("ENOTDIR");
  });

  test("dot and dot-dot can be looked up, which exported mounts need", () => {
    using fs = served();
    const outer = fs.directory("/outer");
    const inner = fs.directory("/outer/inner");
    const nodeid = fs.node("/outer/inner");
    expect(fs.kernel.call("lookup", nodeid, { name: "." }).nodeid).toBe(inner.ino);
    expect(fs.kernel.call("lookup", nodeid, { name: ".." }).nodeid).toBe(outer.ino);
  });

  test("an inode of any kind is found by its number after the kernel has forgotten it", () => {
    using fs = served();
    const file = fs.file("/outer/file", "hello");
    const outer = fs.node("/outer");
    const nodeid = fs.node("/outer/file");
    fs.kernel.letGo();
    expect(fs.kernel.errno("getattr", nodeid)).toBe("ESTALE");
    expect(fs.kernel.call("lookup", nodeid, { name: "." }).nodeid).toBe(file.ino);
    expect(fs.kernel.call("lookup", nodeid, { name: ".." }).nodeid).toBe(outer);
    expect(fs.kernel.errno("getattr", nodeid)).toBe("ok");
    expect(fs.kernel.call("lookup", outer, { name: ".." }).nodeid).toBe(ROOT);
  });

  test("an inode without a name is found by its number only while the kernel knows it, and an unused number never", () => {
    using fs = served();
    fs.file("/file", "hello");
    fs.directory("/directory");
    const [nodeid, directory] = [fs.node("/file"), fs.node("/directory")];
    fs.kernel.call("unlink", ROOT, { name: "file" });
    fs.kernel.call("rmdir", ROOT, { name: "directory" });
    expect(fs.kernel.errno("lookup", nodeid, { name: "." })).toBe("ok");
    expect(fs.kernel.errno("lookup", nodeid, { name: ".." })).toBe("ESTALE");
    expect(fs.kernel.errno("lookup", directory, { name: ".." })).toBe("ESTALE");
    fs.kernel.letGo();
    for (const one of [nodeid, directory, 987_654])
      expect(fs.kernel.errno("lookup", one, { name: "." })).toBe("ESTALE");
  });

  test("all inodes of a mount but the root have the mount's generation", () => {
    using fs = served({ generation: 77 });
    fs.file("/d/file");
    expect(fs.kernel.walk("/d/file").generation).toBe(77);
    const made = fs.kernel.call("create", ROOT, { name: "new", flags: 2, mode: 0o644 });
    expect(made.entry.generation).toBe(77);
    fs.kernel.release(made.entry.nodeid, made.open.fh);
    const listed = fs.kernel.list(fs.node("/d"), { plus: true }).flatMap(({ entry }) => (entry ? [entry] : []));
    expect(listed.filter(({ nodeid }) => nodeid !== 0).map(({ generation }) => generation)).toEqual([77]);
    expect(fs.kernel.call("lookup", fs.node("/d"), { name: ".." })).toMatchObject({ nodeid: ROOT, generation: 0 });
  });

  test("names are bytes: one that is not UTF-8 is found by its bytes", () => {
    using fs = served();
    fs.kernel.call("mkdir", ROOT, { name: "\xff\xfe", mode: 0o755 });
    expect(fs.kernel.call("lookup", ROOT, { name: "\xff\xfe" }).nodeid).not.toBe(0);
    expect(fs.ls("/")).toContain("\xff\xfe");
  });

  test("every entry counts as a lookup, and the node is known until all lookups are forgotten", () => {
    using fs = served();
    fs.file("/README");
    const nodeid = fs.node("/README");
    fs.node("/README");
    fs.node("/README");
    fs.kernel.forget(nodeid, 2);
    expect(fs.kernel.errno("getattr", nodeid)).toBe("ok");
    fs.kernel.forget(nodeid, 1);
    expect(fs.kernel.errno("getattr", nodeid)).toBe("ESTALE");
  });

  test("a node that was forgotten can be looked up again", () => {
    using fs = served();
    fs.file("/README");
    const nodeid = fs.node("/README");
    fs.kernel.forget(nodeid);
    expect(fs.node("/README")).toBe(nodeid);
    expect(fs.kernel.errno("getattr", nodeid)).toBe("ok");
  });

  test("a nodeid that was never returned is ESTALE", () => {
    using fs = served();
    fs.file("/README");
    expect(fs.kernel.errno("getattr", 2)).toBe("ESTALE");
    expect(fs.kernel.errno("getattr", 0)).toBe("ESTALE");
  });

  test("the root is known without a lookup, and forgetting it changes nothing", () => {
    using fs = served();
    fs.kernel.call("forget", ROOT, { nlookup: 1000 });
    expect(fs.kernel.errno("getattr", ROOT)).toBe("ok");
  });

  test("a forget of an unknown node is ignored", () => {
    using fs = served();
    fs.kernel.call("forget", 12345, { nlookup: 1 });
    expect(fs.kernel.log).toEqual([]);
  });

  test("a batch of forgets subtracts each node's own count", () => {
    using fs = served();
    for (const name of ["a", "b", "c"]) fs.file(`/${name}`);
    for (const name of ["a", "b", "c", "b", "c", "c"]) fs.node(`/${name}`);
    const nodes = ["a", "b", "c"].map((name) => fs.node(`/${name}`));
    fs.kernel.letGo();
    expect(nodes.map((nodeid) => fs.kernel.errno("getattr", nodeid))).toEqual(["ESTALE", "ESTALE", "ESTALE"]);
  });

  test("forgetting more lookups than there were is logged, and the node is gone", () => {
    const fs = served();
    fs.file("/README");
    const nodeid = fs.node("/README");
    fs.kernel.call("forget", nodeid, { nlookup: 5 });
    expect(fs.kernel.log).toEqual([expect.stringContaining("forgotten more often than looked up")]);
    expect(fs.kernel.errno("getattr", nodeid)).toBe("ESTALE");
    expect(fs.tree.root.get("README")?.inode.lookups).toBe(0);
  });

  test("one wrong forget in a batch does not affect the others", () => {
    const fs = served();
    for (const name of ["a", "b"]) fs.file(`/${name}`);
    const [a, b] = [fs.node("/a"), fs.node("/b")];
    const forgets = Buffer.alloc(32);
    for (const [at, value] of [a, 9, b, 1].entries()) forgets.writeBigUInt64LE(BigInt(value), at * 8);
    fs.kernel.call("batchForget", 0, { count: 2, forgets });
    expect([a, b].map((nodeid) => fs.kernel.errno("getattr", nodeid))).toEqual(["ESTALE", "ESTALE"]);
  });

  test("a batch that is shorter than it says is logged, and what it holds is forgotten", () => {
    const fs = served();
    fs.file("/a");
    const a = fs.node("/a");
    const forgets = Buffer.alloc(24);
    for (const [at, value] of [a, 1].entries()) forgets.writeBigUInt64LE(BigInt(value), at * 8);
    fs.kernel.call("batchForget", 0, { count: 2, forgets });
    expect(fs.kernel.log).toHaveLength(1);
    expect(fs.kernel.errno("getattr", a)).toBe("ESTALE");
  });
});

describe("an inode without a name", () => {
  test("an inode without a name lives while the kernel knows it", () => {
    using fs = served();
    fs.file("/README", "hello");
    const nodeid = fs.node("/README");
    fs.kernel.call("unlink", ROOT, { name: "README" });
    expect(fs.kernel.stat(nodeid).nlink).toBe(0);
    expect(fs.tree.space.inodes).toBe(2);
    fs.kernel.forget(nodeid);
    expect(fs.tree.space.inodes).toBe(1);
    expect(fs.tree.space.usedPages).toBe(0);
  });

  test("a file unlinked while open can still be read and written", () => {
    using fs = served();
    fs.file("/README", "hello");
    const open = fs.open("/README", 2);
    fs.kernel.call("unlink", ROOT, { name: "README" });
    fs.write(open, " there", 5);
    expect(fs.kernel.readAll(open.nodeid, open.fh).toString()).toBe("hello there");
    expect(fs.kernel.stat(open.nodeid).size).toBe(11);
  });

  test("an unlinked file is gone when its last handle is closed", () => {
    using fs = served();
    fs.file("/README", "hello");
    const open = fs.open("/README");
    const { fh } = fs.open("/README");
    fs.kernel.call("unlink", ROOT, { name: "README" });
    fs.kernel.forget(open.nodeid);
    fs.kernel.release(open.nodeid, open.fh);
    expect(fs.tree.space.inodes).toBe(2);
    fs.kernel.release(open.nodeid, fh);
    expect(fs.tree.space.inodes).toBe(1);
  });

  test("the handle may be released after the node is forgotten", () => {
    using fs = served();
    fs.pending("/README");
    const open = fs.open("/README", 1);
    fs.kernel.call("unlink", ROOT, { name: "README" });
    fs.kernel.forget(open.nodeid);
    expect(fs.kernel.errno("release", open.nodeid, { fh: open.fh })).toBe("ok");
    expect(fs.tree.space.inodes).toBe(1);
  });

  test("a removed directory still has attributes, and nothing can be created in it", () => {
    using fs = served();
    fs.directory("/dir");
    const nodeid = fs.node("/dir");
    fs.kernel.call("rmdir", ROOT, { name: "dir" });
    expect(fs.kernel.stat(nodeid).nlink).toBe(0);
    expect(fs.kernel.errno("mkdir", nodeid, { name: "x", mode: 0o755 })).toBe("ENOENT");
    expect(fs.kernel.errno("create", nodeid, { name: "x", mode: 0o644 })).toBe("ENOENT");
    expect(fs.kernel.errno("lookup", nodeid, { name: "x" })).toBe("ok");
  });

  test("a file that a rename replaced stays readable where it is open", () => {
    using fs = served();
    fs.file("/old", "old bytes");
    fs.file("/new", "new bytes");
    const open = fs.open("/old");
    fs.kernel.call("rename", ROOT, { name: "new", newname: "old", newdir: ROOT });
    expect(fs.kernel.readAll(open.nodeid, open.fh).toString()).toBe("old bytes");
    expect(fs.cat("/old")).toBe("new bytes");
    fs.kernel.release(open.nodeid, open.fh);
    fs.kernel.forget(open.nodeid);
    expect(fs.tree.space.inodes).toBe(2);
  });

  test("an unlinked file's number is never used again", () => {
    using fs = served();
    const numbers = new Set<number>();
    for (let round = 0; round < 5; round++) {
      const made = fs.kernel.call("create", ROOT, { name: "x", mode: 0o644, flags: 1 });
      numbers.add(made.entry.nodeid);
      fs.kernel.call("unlink", ROOT, { name: "x" });
      fs.kernel.letGo();
    }
    expect(numbers.size).toBe(5);
  });

  test("a temporary file is gone when it is closed, whether or not the request had a name", () => {
    using fs = served();
    const made = fs.kernel.call("tmpfile", ROOT, { name: "/", mode: 0o600, flags: 2 });
    expect(made.entry.attr.nlink).toBe(0);
    expect(fs.ls("/")).toEqual([".", ".."]);
    fs.kernel.letGo();
    expect(fs.tree.space.inodes).toBe(1);
  });

  test("a temporary file that is linked stays", () => {
    using fs = served();
    const made = fs.kernel.call("tmpfile", ROOT, { name: "/", mode: 0o600, flags: 2 });
    const open = { nodeid: made.entry.nodeid, fh: made.open.fh };
    fs.write(open, "kept");
    const linked = fs.kernel.call("link", ROOT, { oldnodeid: open.nodeid, name: "kept" });
    expect(linked.attr.nlink).toBe(1);
    fs.kernel.letGo();
    expect(fs.cat("/kept")).toBe("kept");
  });
});

describe("handles", () => {
  test("each open has its own handle, and a released one is EBADF", () => {
    using fs = served();
    fs.file("/README", "hello");
    const one = fs.open("/README");
    const two = fs.open("/README");
    expect(one.fh).not.toBe(two.fh);
    fs.kernel.release(one.nodeid, one.fh);
    expect(fs.kernel.errno("read", one.nodeid, { fh: one.fh, size: 10 })).toBe("EBADF");
    expect(fs.kernel.readAll(two.nodeid, two.fh).toString()).toBe("hello");
  });

  test("a handle is never 0, which means no handle", () => {
    using fs = served();
    fs.file("/README");
    const seen: number[] = [];
    for (let round = 0; round < 3; round++) {
      const open = fs.open("/README");
      seen.push(open.fh);
      fs.kernel.release(open.nodeid, open.fh);
    }
    expect(seen).not.toContain(0);
  });

  test("after everything is released, ten thousand creations leave only what has a name", () => {
    using fs = served();
    for (let index = 0; index < 10_000; index++) {
      const made = fs.kernel.call("create", ROOT, { name: `f${index}`, mode: 0o644, flags: 1 });
      fs.write({ nodeid: made.entry.nodeid, fh: made.open.fh }, "x");
      if (index % 2 === 0) fs.kernel.call("unlink", ROOT, { name: `f${index}` });
    }
    fs.kernel.letGo();
    expect(fs.tree.space.inodes).toBe(5001);
    expect(fs.tree.space.usedPages).toBe(5000);
  });
});
