/** `user.llmfs.depends` names files by path, and follows them when they or directories above them are renamed. */
import { describe, expect, test } from "bun:test";
import { DEPENDS, PROMPT } from "../../../src/attributes.ts";
import { buildRequest } from "../../../src/fs/lazy/request.ts";
import { saveSnapshot } from "../../../src/snapshot/write/save.ts";
import { RENAME_EXCHANGE } from "../../../src/tree/tree.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

const split = (path: string) => [path.slice(0, path.lastIndexOf("/")), path.slice(path.lastIndexOf("/") + 1)] as const;

function place(fs: ServedTree, path: string): readonly [nodeid: number, name: string] {
  const [parent, name] = split(path);
  return [parent === "" ? ROOT : fs.node(parent), name];
}

function move(fs: ServedTree, from: string, to: string, flags = 0): void {
  const [[nodeid, name], [newdir, newname]] = [place(fs, from), place(fs, to)];
  fs.kernel.call("rename2", nodeid, { name, newdir, newname, flags });
}

function remove(fs: ServedTree, path: string): void {
  const [nodeid, name] = place(fs, path);
  fs.kernel.call("unlink", nodeid, { name });
}

function set(fs: ServedTree, path: string, value: string): void {
  const bytes = Buffer.from(value);
  fs.kernel.call("setxattr", fs.node(path), { name: DEPENDS, value: bytes, size: bytes.length });
}

function get(fs: ServedTree, path: string, uid = 0): string {
  return fs.kernel.call("getxattr", fs.node(path), { name: DEPENDS, size: 65536 }, { uid }).toString();
}

/** A tree in which /tests/a.py is pending and depends on other files. */
function depending(value: string, ...others: readonly string[]): ServedTree {
  const fs = served();
  for (const other of others) fs.file(other, other);
  fs.pending("/tests/a.py", { [PROMPT]: "x" });
  set(fs, "/tests/a.py", value);
  return fs;
}

describe("a dependency follows", () => {
  test("the rename of its file, several times, also into another directory", () => {
    using fs = depending("/todo.py\n/other.py", "/todo.py", "/other.py", "/lib/x");
    move(fs, "/todo.py", "/app.py");
    move(fs, "/app.py", "/lib/core.py");
    expect(get(fs, "/tests/a.py")).toBe("/lib/core.py\n/other.py");
  });

  test("the rename of a directory above it, before and after its own", () => {
    using fs = depending("/src/lib/todo.py", "/src/lib/todo.py");
    move(fs, "/src/lib", "/lib");
    move(fs, "/lib/todo.py", "/lib/app.py");
    expect(get(fs, "/tests/a.py")).toBe("/lib/app.py");
    move(fs, "/lib", "/core");
    expect(get(fs, "/tests/a.py")).toBe("/core/app.py");
  });

  test("the rename of the file that has it, if its lines are relative", () => {
    using fs = depending("../todo.py", "/todo.py");
    move(fs, "/tests", "/spec");
    expect(get(fs, "/spec/a.py")).toBe("../todo.py");
    fs.directory("/deep/er");
    move(fs, "/spec/a.py", "/deep/er/a.py");
    expect(get(fs, "/deep/er/a.py")).toBe("/todo.py");
  });

  test("an exchange, while a dependency that is set later means the name", () => {
    using fs = depending("/a", "/a", "/b");
    move(fs, "/a", "/b", RENAME_EXCHANGE);
    expect(get(fs, "/tests/a.py")).toBe("/b");
    set(fs, "/tests/a.py", "/a");
    expect(get(fs, "/tests/a.py")).toBe("/a");
    move(fs, "/a", "/b", RENAME_EXCHANGE);
    expect(get(fs, "/tests/a.py")).toBe("/b");
  });

  test("the file that replaces another one, and the name of the replaced one", () => {
    using fs = depending("/new.py\n/old.py", "/new.py", "/old.py");
    move(fs, "/new.py", "/old.py");
    expect(get(fs, "/tests/a.py")).toBe("/old.py\n/old.py");
  });

  test("a hard link that is left", () => {
    using fs = depending("/a", "/a");
    fs.kernel.call("link", ROOT, { oldnodeid: fs.node("/a"), name: "b" });
    remove(fs, "/a");
    expect(get(fs, "/tests/a.py")).toBe("/b");
  });

  test("a file whose content moved to another inode, because a program has the old one open", () => {
    using fs = depending("/todo.py");
    const file = fs.pending("/todo.py", { [PROMPT]: "x" });
    fs.mount.pending.wait(file, { done() {}, fail() {} });
    fs.content("first");
    move(fs, "/todo.py", "/app.py");
    const open = fs.open("/app.py");
    fs.mount.regen.generate(file, { prompt: undefined, force: true }, { done() {}, fail() {} });
    fs.content("second");
    expect(fs.node("/app.py")).not.toBe(file.ino);
    expect(get(fs, "/tests/a.py")).toBe("/app.py");
    fs.kernel.release(open.nodeid, open.fh);
  });
});

describe("a dependency stays with its name", () => {
  test("when an editor saves by renaming the old file away and writing a new one", () => {
    using fs = depending("/todo.py", "/todo.py");
    move(fs, "/todo.py", "/todo.py~");
    fs.file("/todo.py", "new");
    remove(fs, "/todo.py~");
    expect(get(fs, "/tests/a.py")).toBe("/todo.py");
    move(fs, "/todo.py", "/app.py");
    expect(get(fs, "/tests/a.py")).toBe("/app.py");
  });

  test("when git removes the file and writes another one, or renames a temporary file over it", () => {
    using fs = depending("/todo.py", "/todo.py");
    remove(fs, "/todo.py");
    expect(get(fs, "/tests/a.py")).toBe("/todo.py");
    fs.file("/todo.py", "from git");
    fs.file("/.tmp", "later");
    move(fs, "/.tmp", "/todo.py");
    expect(get(fs, "/tests/a.py")).toBe("/todo.py");
  });
});

test("requests, pending files and snapshots have the current paths", () => {
  using fs = depending("/todo.py", "/todo.py");
  move(fs, "/todo.py", "/app.py");
  const file = fs.tree.resolve("/tests/a.py", { follow: true });
  if (file.kind !== "file") throw new Error("it is a file");
  expect(buildRequest(fs.mount, file, 1, 0).file.xattrs.get(DEPENDS)).toBe("/app.py");
  expect(fs.pendingFiles().map(({ depends }) => depends)).toEqual(["/app.py"]);
  expect(Buffer.concat([...saveSnapshot(fs.tree)]).toString()).toContain(`"${DEPENDS}": "/app.py"`);
});

test("on a shared mount, a new name in a closed directory is shown only to users who may list it", () => {
  using fs = served({ sharedBy: 1000 });
  fs.file("/todo.py", "x");
  const closed = fs.directory("/closed");
  closed.setMode(0o040700);
  closed.setOwner({ uid: 1000 });
  fs.pending("/a.py", { [PROMPT]: "x" });
  set(fs, "/a.py", "/todo.py");
  move(fs, "/todo.py", "/closed/secret.py");
  expect(get(fs, "/a.py", 1000)).toBe("/closed/secret.py");
  expect(get(fs, "/a.py", 1001)).toBe("/todo.py");
});
