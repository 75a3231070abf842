/**
 * Adding entries to an existing tree: either all of the new ones or none are added, and existing entries stay
 * untouched.
 */
import { describe, expect, test } from "bun:test";
import { addEntries } from "../../../src/fs/lazy/added-entries.ts";
import type { NewEntry } from "../../../src/rpc/growth.ts";
import { setXattr } from "../../../src/tree/xattrs.ts";
import { OWNER, save } from "../../snapshot/trees.ts";
import { type ServedTree, served } from "../../support/served.ts";

const USER = { uid: 1000, gid: 1000, pid: 0 };
const ROOT = { uid: 0, gid: 0, pid: 0 };

const file = (path: string, more: Partial<NewEntry> = {}): NewEntry => ({ type: "file", path, ...more });

function attributesOf(fs: ServedTree, path: string): Record<string, string> {
  const { xattrs } = fs.tree.resolve(path, { follow: false });
  return Object.fromEntries([...(xattrs ?? [])].map(([name, value]) => [name, Buffer.from(value).toString()]));
}

describe("adding entries", () => {
  test("adding entries creates pending files with their attributes, missing directories, and symlinks", () => {
    using fs = served();
    fs.tree.root.setOwner({ uid: 1000 });
    const entries: NewEntry[] = [
      { type: "directory", path: "/tests", description: "the tests", prompt: "Use pytest." },
      file("/tests/unit/test_a.py", { description: "tests of a", uses: ["/src/a.py", "/src/b "], prompt: "Be brief." }),
      file("/run.sh", { executable: true, generator: "exec" }),
      { type: "symlink", path: "/latest", target: "tests/unit" },
    ];
    expect(fs.answers.add(entries, USER)).toEqual({ count: 5, clashes: [] });
    expect(attributesOf(fs, "/tests")).toEqual({
      "user.llmfs.description": "the tests",
      "user.llmfs.prompt": "Use pytest.",
    });
    expect(attributesOf(fs, "/tests/unit/test_a.py")).toEqual({
      "user.llmfs.generator": "llm",
      "user.llmfs.description": "tests of a",
      "user.llmfs.prompt": "Be brief.",
      "user.llmfs.depends": "/src/a.py\n/src/b /.",
    });
    expect(attributesOf(fs, "/run.sh")).toEqual({ "user.llmfs.generator": "exec" });
    const at = (path: string) => fs.tree.resolve(path, { follow: false });
    expect(at("/run.sh")).toMatchObject({ state: "pending", uid: 1000, gid: 1000 });
    expect(at("/run.sh").mode & 0o777).toBe(0o755);
    expect(at("/tests/unit").mode & 0o777).toBe(0o755);
    expect(at("/latest")).toMatchObject({ kind: "symlink", target: "tests/unit" });
  });

  test("adding entries leaves existing ones as they are, reports them, and adds the rest", () => {
    using fs = served();
    fs.file("/src/a.py", "mine");
    fs.directory("/docs");
    const before = save(fs.tree);
    const { clashes } = fs.answers.add([file("/src/a.py", { description: "theirs" }), file("/docs")], ROOT);
    expect(clashes).toEqual(["/src/a.py", "/docs"]);
    expect(save(fs.tree)).toBe(before);
    const entries: NewEntry[] = [
      { type: "directory", path: "/src", prompt: "no" },
      file("/src/a.py"),
      file("/src/b.py"),
    ];
    expect(fs.answers.add(entries, ROOT)).toEqual({ count: 1, clashes: ["/src/a.py"] });
    expect(attributesOf(fs, "/src")).toEqual({});
    expect(fs.cat("/src/a.py")).toBe("mine");
  });

  test("nothing is added if one entry cannot be added", () => {
    using fs = served();
    fs.file("/file", "x");
    const before = save(fs.tree);
    const refused = (...entries: NewEntry[]) => {
      try {
        fs.answers.add([file("/ok"), ...entries], ROOT);
      } catch (error) {
        expect(save(fs.tree)).toBe(before);
        return String(error);
      }
      return "added";
    };
    expect(refused(file("/file/below"))).toContain("/file: not a directory");
    expect(refused(file("/ok/below"))).toContain("/ok/below: something else is in the way");
    expect(refused(file("/a"), file("/a"))).toContain("/a: occurs twice");
    expect(refused(file(`/d/${"x".repeat(256)}`))).toContain("ENAMETOOLONG");
    for (const path of ["relative", "/", "/a/../b", "/a\0", "/a/"])
      expect(refused(file(path))).toContain("not a valid path for an entry");
    expect(refused({ type: "symlink", path: "/s" })).toContain("needs a target");
    expect(refused(file("/a", { description: "é".repeat(40_000) }))).toContain("65536 bytes each");
  });

  test("nothing is added if there is no room for all entries", () => {
    using fs = served({ inodes: 8 });
    const before = save(fs.tree);
    const many = Array.from({ length: 10 }, (_, index) => file(`/d${index}/f`));
    expect(() => fs.answers.add(many, ROOT)).toThrow("ENOSPC");
    expect(save(fs.tree)).toBe(before);
    fs.tree.checkInvariants();
  });

  test("adding an entry needs write permission on the directory", () => {
    using fs = served();
    fs.directory("/theirs");
    fs.directory("/mine").setOwner({ uid: 1000 });
    expect(() => fs.answers.add([file("/theirs/a")], USER)).toThrow("/theirs: no permission to add");
    expect(fs.answers.add([file("/mine/deep/a")], USER).count).toBe(2);
    // An existing path needs no permission, because nothing happens to it.
    fs.file("/theirs/there");
    expect(fs.answers.add([file("/theirs/there")], USER)).toEqual({ count: 0, clashes: ["/theirs/there"] });
  });

  test("entries cannot be added to a directory that a generator lists", () => {
    using fs = served({ listing: true });
    setXattr(fs.directory("/rows"), "user.llmfs.generator", Buffer.from("sql"));
    expect(() => fs.answers.add([file("/rows/a")], ROOT)).toThrow("/rows: a generator lists");
  });

  test("adding entries counts as a change to save, although the kernel sent no request", () => {
    using fs = served();
    const { count } = fs.answers.revision();
    fs.answers.add([file("/a")], ROOT);
    expect(fs.answers.revision().count).toBeGreaterThan(count);
  });

  test("entries can be added to a tree without a mount", () => {
    using fs = served();
    expect(addEntries(fs.tree, [file("/x/y")], { owner: OWNER })).toEqual({ count: 2, clashes: [] });
  });
});
