/** New content for a file: which inode holds it, under which names, how the kernel is notified, what is left behind. */

import { describe, expect, test } from "bun:test";
import { FdStore } from "../../../src/tree/content/store.ts";
import type { RegularFile } from "../../../src/tree/file.ts";
import { type ServedTree, served } from "../../support/served.ts";

const O_WRONLY = 1;
const O_TRUNC = 0o1000;

let thread = 7000;

/** A file that was generated once: "first". */
function poem(fs: ServedTree, xattrs: Readonly<Record<string, string>> = {}): RegularFile {
  const file = fs.pending("/poem", xattrs);
  make(fs, file);
  fs.content("first", undefined, { model: "m1" });
  return file;
}

function make(fs: ServedTree, file: RegularFile): void {
  fs.mount.pending.wait(file, { done() {}, fail() {} });
}

/** Generates new content for the file at the path, as the control file does. */
function regen(fs: ServedTree, content: string, path = "/poem", prompt?: string): string {
  let outcome = "waiting";
  const file = fs.tree.resolve(path, { follow: true });
  if (file.kind !== "file") throw new Error(`${path} is not a file`);
  const waiter = { done: () => (outcome = "done"), fail: ({ code }: { code: string }) => (outcome = code) };
  fs.mount.regen.generate(file, { prompt, force: true }, waiter);
  fs.content(content, undefined, { model: `made ${content.slice(0, 8)}` });
  return outcome;
}

function undo(fs: ServedTree, path = "/poem"): void {
  const value = Buffer.from("undo");
  fs.kernel.call("setxattr", fs.node(path), { name: "user.llmfs.regen", size: value.length, value, flags: 0 });
}

function undoable(fs: ServedTree, path = "/poem"): boolean {
  const value = Buffer.from("undo");
  const request = { name: "user.llmfs.regen", size: value.length, value, flags: 0 };
  return fs.kernel.errno("setxattr", fs.node(path), request) === "ok";
}

function link(fs: ServedTree, name: string, path = "/poem"): void {
  fs.kernel.call("link", 1, { oldnodeid: fs.node(path), name });
}

/** The notifications to the kernel since the last call, names first. */
function told(fs: ServedTree): readonly string[] {
  return fs.kernel.notifications
    .splice(0)
    .map((one) =>
      one.code === "inval entry" ? `${one.code} ${one.name}` : one.code === "store" ? String(one.data) : one.code,
    )
    .sort();
}

/** The number of inodes that have a name, and their bytes; anything else that is held is not visible. */
function held(fs: ServedTree): { readonly inodes: number; readonly pages: number } {
  fs.kernel.letGo();
  const { space } = fs.tree;
  const inodes = new Set([...fs.tree.walk()].map(({ inode }) => inode));
  const pages = [...inodes].reduce((sum, inode) => sum + (inode.kind === "file" ? inode.allocated / 4096 : 0), 0);
  return { inodes: space.inodes - inodes.size, pages: space.usedPages - pages };
}

describe("a file that nobody has open", () => {
  test("a regenerated file that nobody has open keeps its inode under all names, and the kernel's cache of it is invalidated", () => {
    using fs = served();
    poem(fs);
    link(fs, "song");
    const nodeid = fs.node("/poem");
    fs.cat("/song");
    for (const content of ["second, which is longer", "third"]) {
      fs.kernel.notifications.length = 0;
      expect(regen(fs, content)).toBe("done");
      expect(told(fs)).toEqual(["inval inode", "inval inode", content].sort());
      expect([fs.node("/poem"), fs.node("/song")]).toEqual([nodeid, nodeid]);
      expect([fs.cat("/song"), fs.cat("/poem")]).toEqual([content, content]);
      expect(fs.kernel.stat(nodeid)).toMatchObject({ nlink: 2, size: content.length });
    }
    undo(fs);
    expect([fs.cat("/song"), fs.node("/song")]).toEqual(["second, which is longer", nodeid]);
  });

  test("the inode is also kept with content in a memory file, unless that is mapped", () => {
    using fs = served();
    const file = poem(fs);
    const large = "x".repeat(300_000);
    regen(fs, large);
    regen(fs, `${large}y`);
    expect([file.stored, fs.node("/poem"), fs.cat("/poem")]).toEqual([true, file.ino, `${large}y`]);
    // As after an open with passthrough, when it is unknown whether a mapping is left.
    const store = file.share();
    if (store instanceof FdStore) store.mappable = true;
    regen(fs, `${large}z`);
    expect([fs.node("/poem") === file.ino, fs.cat("/poem")]).toEqual([false, `${large}z`]);
    expect(file.bytes().at(-1)).toBe("y".charCodeAt(0));
  });

  test("a regenerated file gets new times and a new state", () => {
    using fs = served();
    const file = fs.file("/poem", "by hand");
    for (const step of [() => regen(fs, "generated"), () => undo(fs), () => undo(fs)]) {
      const { mtime, ctime } = file.times();
      fs.clock.tick();
      const { definitions } = fs.mount;
      step();
      expect(file.times().mtime).toBeGreaterThan(mtime);
      expect(file.times().ctime).toBeGreaterThan(ctime);
      // The tree that others see has changed.
      expect(fs.mount.definitions).toBeGreaterThan(definitions);
    }
    expect(file.state).toBe("ready");
    undo(fs);
    expect([file.state, fs.cat("/poem")]).toEqual(["static", "by hand"]);
  });
});

describe("a file that somebody has open", () => {
  test("an open file gets another inode under all names when it is regenerated, and the kernel is notified of each name", () => {
    using fs = served();
    poem(fs);
    fs.directory("/d");
    link(fs, "song");
    fs.kernel.call("link", fs.node("/d"), { oldnodeid: fs.node("/poem"), name: "poem" });
    const old = fs.open("/poem");
    for (const path of ["/song", "/d/poem"]) fs.cat(path);
    fs.kernel.notifications.length = 0;
    regen(fs, "second");
    expect(told(fs).filter((one) => one.startsWith("inval entry"))).toEqual([
      "inval entry poem",
      "inval entry poem",
      "inval entry song",
    ]);
    const nodeid = fs.node("/song");
    expect(nodeid).not.toBe(old.nodeid);
    expect([fs.node("/poem"), fs.node("/d/poem")]).toEqual([nodeid, nodeid]);
    expect([fs.cat("/poem"), fs.cat("/d/poem")]).toEqual(["second", "second"]);
    expect(fs.kernel.stat(nodeid).nlink).toBe(3);
    expect(fs.kernel.readAll(old.nodeid, old.fh).toString()).toBe("first");
    expect(fs.kernel.stat(old.nodeid).nlink).toBe(0);
    // Once the old one is closed, this inode stays.
    fs.kernel.release(old.nodeid, old.fh);
    regen(fs, "third");
    expect([fs.node("/song"), fs.cat("/d/poem")]).toEqual([nodeid, "third"]);
  });

  test("new opens of the replaced inode get ESTALE, for reading and writing, so that the name is looked up again", () => {
    using fs = served();
    poem(fs);
    const old = fs.open("/poem");
    regen(fs, "second");
    for (const flags of [0, O_WRONLY, O_WRONLY | O_TRUNC, 2]) {
      const pid = ++thread;
      const first = fs.kernel.start("open", old.nodeid, { flags }, { pid });
      expect(fs.kernel.outcome<"open">(first)).toEqual({ error: "ESTALE" });
      const nodeid = fs.node("/poem");
      const { fh } = fs.kernel.call("open", nodeid, { flags: flags & ~O_TRUNC }, { pid });
      fs.kernel.release(nodeid, fh);
    }
    expect(fs.kernel.readAll(old.nodeid, old.fh).toString()).toBe("first");
    expect(fs.cat("/poem")).toBe("second");
    fs.kernel.release(old.nodeid, old.fh);
  });

  test("undo gives the names back to the inode that others still have open", () => {
    using fs = served();
    poem(fs);
    link(fs, "song");
    const old = fs.open("/poem");
    regen(fs, "second");
    const now = fs.open("/poem");
    undo(fs);
    expect([fs.node("/poem"), fs.node("/song"), fs.cat("/song")]).toEqual([old.nodeid, old.nodeid, "first"]);
    expect(fs.kernel.readAll(now.nodeid, now.fh).toString()).toBe("second");
    undo(fs);
    expect([fs.node("/song"), fs.cat("/poem")]).toEqual([now.nodeid, "second"]);
    for (const one of [old, now]) fs.kernel.release(one.nodeid, one.fh);
    undo(fs);
    expect([fs.node("/poem"), fs.cat("/song")]).toEqual([now.nodeid, "first"]);
  });

  test("restored content does not change under its reader", () => {
    using fs = served();
    poem(fs);
    const old = fs.open("/poem");
    regen(fs, "second");
    undo(fs);
    regen(fs, "third");
    expect(fs.kernel.readAll(old.nodeid, old.fh).toString()).toBe("first");
    expect([fs.cat("/poem"), undoable(fs), fs.cat("/poem")]).toEqual(["third", true, "first"]);
    fs.kernel.release(old.nodeid, old.fh);
  });
});

describe("attributes of a regenerated file", () => {
  for (const opened of [false, true]) {
    test(`regenerating keeps attributes about the file and replaces attributes about the content; ${opened ? "open" : "not open"}`, () => {
      using fs = served();
      poem(fs, { "user.llmfs.prompt": "of the sea", "user.mine": "x" });
      const holder = opened ? fs.open("/poem") : undefined;
      regen(fs, "second", "/poem", "of the land");
      const set = (name: string, value: string) =>
        fs.kernel.call("setxattr", fs.node("/poem"), { name, value: Buffer.from(value), size: value.length, flags: 0 });
      set("user.later", "y");
      fs.kernel.call("setattr", fs.node("/poem"), { valid: 7, mode: 0o100600, uid: 7, gid: 8 });
      const all = () => {
        const file = fs.tree.resolve("/poem", { follow: true });
        const names = [...(file.xattrs ?? [])].map(([name, value]) => `${name}=${Buffer.from(value)}`).sort();
        return [...names, file.uid, file.gid, (file.mode & 0o7777).toString(8)];
      };
      const own = ["user.mine=x", 7, 8, "600"];
      const second = ["user.later=y", "user.llmfs.meta.model=made second", "user.llmfs.prompt=of the land"];
      const first = ["user.later=y", "user.llmfs.meta.model=m1", "user.llmfs.prompt=of the sea"];
      expect(all()).toEqual([...second, ...own]);
      undo(fs);
      expect(all()).toEqual([...first, ...own]);
      undo(fs);
      expect(all()).toEqual([...second, ...own]);
      if (holder) fs.kernel.release(holder.nodeid, holder.fh);
    });
  }

  test("attributes count toward the limit as long as the content they describe is kept", () => {
    using fs = served({ inodes: 100 });
    poem(fs);
    const { space } = fs.tree;
    const value = Buffer.alloc(5000, "m");
    fs.kernel.call("setxattr", fs.node("/poem"), { name: "user.mine", value, size: value.length, flags: 0 });
    const before = space.xattrBytes;
    for (let round = 0; round < 3; round++) {
      regen(fs, `round ${round}`, "/poem", "p".repeat(9000));
      const holder = fs.open("/poem");
      regen(fs, `held ${round}`, "/poem", "q".repeat(9000));
      fs.kernel.release(holder.nodeid, holder.fh);
    }
    expect(space.xattrBytes).toBeGreaterThan(before + 9000);
    expect(space.xattrBytes).toBeLessThan(before + 20_000);
    fs.kernel.call("unlink", 1, { name: "poem" });
    fs.kernel.letGo();
    expect(space.xattrBytes).toBe(0);
  });

  test("regenerating clears setuid and setgid, as a write does", () => {
    using fs = served();
    const file = poem(fs);
    file.setMode(file.mode | 0o6110);
    file.putXattr("security.capability", Buffer.from("c"));
    regen(fs, "second");
    expect([file.mode & 0o7777, file.xattrs?.has("security.capability")]).toEqual([0o754, false]);
  });
});

describe("the previous content is dropped", () => {
  const ends: Readonly<Record<string, (fs: ServedTree) => void>> = {
    "its last name is removed": (fs) => fs.kernel.call("unlink", 1, { name: "poem" }),
    "another file is renamed over it": (fs) => {
      fs.file("/other", "x");
      fs.kernel.call("rename", 1, { name: "other", newdir: 1, newname: "poem" });
    },
    "it is opened to be written from the start": (fs) => {
      const { nodeid, fh } = fs.open("/poem", O_WRONLY | O_TRUNC);
      fs.kernel.release(nodeid, fh);
    },
    "it is truncated": (fs) => void fs.kernel.call("setattr", fs.node("/poem"), { valid: 8, size: 0 }),
  };
  for (const [what, end] of Object.entries(ends)) {
    for (const opened of [false, true]) {
      test(`the previous content is dropped when ${what}${opened ? ", even if somebody has it open" : ""}`, () => {
        using fs = served();
        poem(fs);
        const early = opened ? fs.open("/poem") : undefined;
        regen(fs, "x".repeat(10_000));
        undo(fs);
        undo(fs);
        const late = opened ? fs.open("/poem") : undefined;
        end(fs);
        if (fs.ls("/").includes("poem")) expect(undoable(fs)).toBe(false);
        for (const one of [early, late]) if (one) fs.kernel.release(one.nodeid, one.fh);
        expect(held(fs)).toEqual({ inodes: 0, pages: 0 });
      });
    }
  }

  test("the previous content is kept when one of several names is removed, on a rename, and on a write to a part of the file", () => {
    using fs = served();
    poem(fs);
    link(fs, "song");
    regen(fs, "second");
    fs.kernel.call("unlink", 1, { name: "poem" });
    fs.kernel.call("rename", 1, { name: "song", newdir: 1, newname: "moved" });
    const hand = fs.open("/moved", O_WRONLY);
    fs.write(hand, "S");
    fs.kernel.release(hand.nodeid, hand.fh);
    undo(fs, "/moved");
    expect(fs.cat("/moved")).toBe("first");
    undo(fs, "/moved");
    expect(fs.cat("/moved")).toBe("Second");
  });

  test("the previous content of an unlinked file that is still open is dropped, so undo has nothing to restore", () => {
    using fs = served();
    poem(fs);
    regen(fs, "second");
    const open = fs.open("/poem");
    fs.kernel.call("unlink", 1, { name: "poem" });
    const value = Buffer.from("undo");
    const request = { name: "user.llmfs.regen", size: value.length, value, flags: 0 };
    expect(fs.kernel.errno("setxattr", open.nodeid, request)).toBe("ENODATA");
    expect(fs.kernel.readAll(open.nodeid, open.fh).toString()).toBe("second");
    fs.kernel.release(open.nodeid, open.fh);
    expect(held(fs)).toEqual({ inodes: 0, pages: 0 });
  });

  test("the next regeneration drops the previous content: only one is kept", () => {
    using fs = served({ size: 10 * 4096 });
    poem(fs);
    for (let round = 0; round < 50; round++) expect(regen(fs, `${round}`.padEnd(9000, "x"))).toBe("done");
    expect(held(fs)).toEqual({ inodes: 1, pages: 3 });
    expect(regen(fs, "x".repeat(20_000))).toBe("ENOSPC");
    expect([fs.cat("/poem").slice(0, 2), undoable(fs), fs.cat("/poem").slice(0, 2)]).toEqual(["49", true, "48"]);
  });
});

describe("a file with a refresh rule", () => {
  test("a file with a refresh rule keeps its inode, in a memory file too, and keeps no previous content", () => {
    using fs = served();
    const file = fs.pending("/view", { "user.llmfs.refresh": "always" });
    make(fs, file);
    fs.content("x".repeat(300_000));
    const reader = fs.kernel.start("open", fs.node("/view"), {}, { pid: ++thread });
    fs.content("y".repeat(300_000));
    const outcome = fs.kernel.outcome<"open">(reader);
    if (outcome === undefined || "error" in outcome) throw new Error("the reader has no handle");
    expect(fs.node("/view")).toBe(file.ino);
    expect(fs.kernel.readAll(file.ino, outcome.value.fh).toString()).toBe("y".repeat(300_000));
    fs.kernel.release(file.ino, outcome.value.fh);
    expect(held(fs)).toEqual({ inodes: 0, pages: 0 });
  });

  test("a writer that opens a name with a refresh rule looks it up again if the name has moved", () => {
    using fs = served();
    const file = fs.pending("/view", { "user.llmfs.refresh": "always" });
    make(fs, file);
    fs.content("first");
    const holder = fs.kernel.start("open", file.ino === fs.node("/view") ? file.ino : 0, {}, { pid: ++thread });
    fs.content("second");
    const reader = fs.kernel.start("open", file.ino, {}, { pid: ++thread });
    fs.content("third");
    expect(fs.kernel.outcome<"open">(reader)).toEqual({ error: "ESTALE" });
    const writer = fs.kernel.start("open", file.ino, { flags: O_WRONLY }, { pid: ++thread });
    expect(fs.kernel.outcome<"open">(writer)).toEqual({ error: "ESTALE" });
    const outcome = fs.kernel.outcome<"open">(holder);
    if (outcome === undefined || "error" in outcome) throw new Error("the holder has no handle");
    fs.kernel.release(file.ino, outcome.value.fh);
  });
});

test("a snapshot that has begun holds the content of its start, even if the file is regenerated in the meantime", () => {
  using fs = served();
  poem(fs);
  fs.file("/large", "l".repeat(300_000));
  fs.file("/other", "o".repeat(10_000));
  link(fs, "song");
  const before = fs.answers.beginSnapshot(false);
  regen(fs, "second");
  regen(fs, "L".repeat(400_000), "/large");
  const between = fs.answers.beginSnapshot(false);
  undo(fs);
  undo(fs);
  regen(fs, "third");
  undo(fs, "/large");
  fs.kernel.call("unlink", 1, { name: "large" });
  fs.kernel.call("unlink", 1, { name: "poem" });
  const texts = [before, between].map((saver) => {
    const pieces: Uint8Array[] = [];
    for (let piece = saver.next(); piece !== undefined; piece = saver.next()) pieces.push(piece);
    fs.answers.endSnapshot(saver);
    return Object.fromEntries(
      JSON.parse(Buffer.concat(pieces).toString()).entries.map(
        (one: { path: string; text?: string | string[]; to?: string }) => [
          one.path,
          [one.text].flat().join("").slice(0, 6) || one.to,
        ],
      ),
    );
  });
  expect(texts).toEqual([
    { "/": undefined, "/large": "llllll", "/other": "oooooo", "/poem": "first", "/song": "/poem" },
    { "/": undefined, "/large": "LLLLLL", "/other": "oooooo", "/poem": "second", "/song": "/poem" },
  ]);
  expect(held(fs).pages).toBe(1);
});

test("attributes that a snapshot or a generator set are not counted", () => {
  using fs = served({ inodes: 10 });
  const file = poem(fs, { "user.llmfs.prompt": "p".repeat(2000) });
  regen(fs, "second", "/poem", "q".repeat(2000));
  undo(fs);
  expect(Buffer.from(file.xattrs?.get("user.llmfs.prompt") ?? "").toString()).toBe("p".repeat(2000));
  fs.kernel.call("unlink", 1, { name: "poem" });
  fs.kernel.letGo();
  expect(fs.tree.space.xattrBytes).toBe(0);
});

describe("an open that was answered with ESTALE", () => {
  test("an open that got ESTALE because the content became smaller succeeds the second time, even if the names have moved since", () => {
    using fs = served();
    poem(fs);
    regen(fs, "a longer one");
    const nodeid = fs.node("/poem");
    regen(fs, "short");
    const pid = ++thread;
    const begin = (at: number) => fs.kernel.outcome<"open">(fs.kernel.start("open", at, { flags: 0 }, { pid }));
    expect(begin(nodeid)).toEqual({ error: "ESTALE" });
    const holder = fs.open("/poem");
    regen(fs, "moved");
    expect(begin(nodeid)).toMatchObject({ value: {} });
    fs.kernel.release(holder.nodeid, holder.fh);
    fs.kernel.letGo();
  });

  test("an open that got ESTALE because the names have moved succeeds the second time, even if the content became smaller since", () => {
    using fs = served();
    poem(fs);
    const holder = fs.open("/poem");
    regen(fs, "a longer one");
    const pid = ++thread;
    const begin = (at: number) => fs.kernel.outcome<"open">(fs.kernel.start("open", at, { flags: 0 }, { pid }));
    expect(begin(holder.nodeid)).toEqual({ error: "ESTALE" });
    const nodeid = fs.node("/poem");
    regen(fs, "short");
    expect(begin(nodeid)).toMatchObject({ value: {} });
    // A caller that has asked for the size gets no ESTALE.
    fs.kernel.stat(nodeid);
    expect(fs.kernel.outcome<"open">(fs.kernel.start("open", nodeid, {}, { pid: ++thread }))).toMatchObject({
      value: {},
    });
    fs.kernel.release(holder.nodeid, holder.fh);
    fs.kernel.letGo();
  });
});
