/** Directories that a generator lists: who waits, and which entries appear, go and stay. */
import { expect, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { serveText } from "../../../src/fs/control/produced.ts";
import type { Listing } from "../../../src/rpc/generation.ts";
import type { Directory } from "../../../src/tree/directory.ts";
import { setXattr } from "../../../src/tree/xattrs.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

function listed(refresh?: string): { fs: ServedTree; directory: Directory } {
  const fs = served({ listing: true });
  const directory = fs.directory("/d");
  setXattr(directory, "user.llmfs.generator", Buffer.from("shop"));
  if (refresh !== undefined) setXattr(directory, "user.llmfs.refresh", Buffer.from(refresh));
  return { fs, directory };
}

function requests(fs: ServedTree) {
  return fs.posted.flatMap((message) => (message.type === "list" ? [message.request] : []));
}

/** Answers the last request as the generator. */
function answer(fs: ServedTree, paths: readonly string[], refresh?: string): void {
  const entries = paths.map((path) => ({
    path: path.replace(/\/$/, ""),
    type: path.endsWith("/") ? ("directory" as const) : ("file" as const),
    generator: "shop",
  }));
  const listing: Listing = { entries, ...(refresh !== undefined && { refresh }) };
  fs.mount.waiters.takeListing(requests(fs).at(-1)?.ticket ?? 0, listing);
}

function opendir(fs: ServedTree): number {
  return fs.kernel.start("opendir", fs.node("/d"), {});
}

function names(fs: ServedTree): string[] {
  return fs.ls("/d").filter((name) => !name.startsWith("."));
}

test("the first readdir or lookup in a listed directory waits for its listing; the files are pending", () => {
  const { fs } = listed();
  using _ = fs;
  const open = opendir(fs);
  expect(fs.kernel.outcome(open)).toBeUndefined();
  expect(requests(fs)).toEqual([expect.objectContaining({ path: "/d", generator: "shop" })]);
  answer(fs, ["1.json", "2.json", "deep/er/3.json"]);
  expect(fs.kernel.outcome(open)).toHaveProperty("value");
  expect(names(fs).sort()).toEqual(["1.json", "2.json", "deep"]);
  expect(fs.kernel.stat(fs.node("/d/deep/er/3.json")).size).toBeGreaterThan(0);
  expect(fs.requests).toEqual([]);
  expect(requests(fs)).toHaveLength(1);
});

test("the outline omits entries that exist only because they were looked up", () => {
  const { fs } = listed();
  using _ = fs;
  fs.file("/d/by hand");
  const shown = () => fs.outline().map(({ path }) => path);
  const before = shown();
  opendir(fs);
  answer(fs, ["1.json", "2.json", "deep/er/3.json"]);
  expect(shown()).toEqual(before);
  const file = fs.open("/d/1.json", 1 | 0o1000);
  fs.write(file, "mine");
  fs.kernel.release(file.nodeid, file.fh);
  expect(shown()).toEqual(["/d", "/d/1.json", "/d/by hand"]);
});

test("a lookup also waits for the listing, and finds a listed name or nothing", () => {
  const { fs } = listed();
  using _ = fs;
  const nodeid = fs.node("/d");
  const there = fs.kernel.start("lookup", nodeid, { name: "1.json" });
  const missing = fs.kernel.start("lookup", nodeid, { name: "9.json" });
  expect(requests(fs)).toHaveLength(1);
  answer(fs, ["1.json"]);
  expect(fs.kernel.outcome(there)).toHaveProperty("value");
  expect(fs.kernel.outcome(missing)).toEqual({ error: "ENOENT" });
});

test("content is requested by the path under which the file was listed, wherever it has been moved", () => {
  const { fs } = listed();
  using _ = fs;
  opendir(fs);
  answer(fs, ["1.json"]);
  fs.kernel.call("rename", fs.node("/d"), { name: "1.json", newdir: 1, newname: "moved" });
  fs.kernel.start("open", fs.node("/moved"), { flags: 0 });
  expect(fs.requests[0]).toMatchObject({ path: "/moved", generator: "shop" });
  expect(fs.requests[0]?.file.xattrs.get("user.llmfs.origin")).toBe("/d/1.json");
});

test("listing a directory again removes what the generator no longer lists, and keeps what users made", () => {
  const { fs } = listed("always");
  using _ = fs;
  opendir(fs);
  answer(fs, ["1.json", "2.json", "3.json", "sub/4.json"], "always");
  fs.file("/d/own.txt", "mine");
  const file = fs.open("/d/2.json", 1 | 0o1000);
  fs.write(file, "mine too");
  fs.kernel.release(file.nodeid, file.fh);
  const open = opendir(fs);
  expect(fs.kernel.outcome(open)).toBeUndefined();
  answer(fs, ["3.json", "5.json"], "always");
  expect([...fs.tree.walk()].map(({ path }) => path).sort()).toEqual([
    "/",
    "/d",
    "/d/2.json",
    "/d/3.json",
    "/d/5.json",
    "/d/own.txt",
  ]);
});

test("a name that exists is found at once; a missing one makes the generator list the directory again", () => {
  const { fs } = listed("always");
  using _ = fs;
  opendir(fs);
  answer(fs, ["1.json"], "always");
  fs.node("/d/1.json");
  expect(requests(fs)).toHaveLength(1);
  const later = fs.kernel.start("lookup", fs.node("/d"), { name: "2.json" });
  expect(requests(fs)).toHaveLength(2);
  answer(fs, ["1.json", "2.json"], "always");
  expect(fs.kernel.outcome(later)).toHaveProperty("value");
});

test("a failed listing is an error for every caller, and is retried", () => {
  const { fs } = listed();
  using _ = fs;
  const first = opendir(fs);
  fs.mount.waiters.takeFailure(requests(fs)[0]?.ticket ?? 0, new FsError("EHOSTUNREACH"));
  expect(fs.kernel.outcome(first)).toEqual({ error: "EHOSTUNREACH" });
  const second = opendir(fs);
  answer(fs, ["a"]);
  expect(fs.kernel.outcome(second)).toHaveProperty("value");
});

test("the reason why a directory could not be listed is in its attributes until a listing succeeds", () => {
  const { fs, directory } = listed();
  using _ = fs;
  const nodeid = fs.node("/d");
  const error = () => fs.kernel.call("getxattr", nodeid, { name: "user.llmfs.error", size: 100 }).toString();
  const shown = () => fs.kernel.call("listxattr", nodeid, { size: 1000 }).toString().split("\0").slice(0, -1);
  expect(error).toThrow(new FsError("ENODATA"));
  opendir(fs);
  fs.mount.waiters.takeFailure(requests(fs).at(-1)?.ticket ?? 0, new FsError("EACCES", "the shop is shut"));
  expect(error()).toBe("EACCES: the shop is shut");
  expect(shown()).toEqual(["user.llmfs.error", "user.llmfs.generator"]);
  expect(fs.answers.listAll()).toEqual([
    expect.objectContaining({
      path: "/d",
      failedRenewal: { what: "listing", error: "EACCES: the shop is shut", at: expect.any(String) },
    }),
  ]);
  const value = Buffer.from("none");
  const told = { name: "user.llmfs.error", value, size: value.length, flags: 0, setxattr_flags: 0 };
  expect(fs.kernel.errno("setxattr", nodeid, told)).toBe("EPERM");
  expect(fs.kernel.errno("removexattr", nodeid, { name: told.name })).toBe("EPERM");
  opendir(fs);
  answer(fs, ["1.json"]);
  expect(error).toThrow(new FsError("ENODATA"));
  expect(shown()).toEqual(["user.llmfs.generator"]);
  expect([...(directory.xattrs?.keys() ?? [])]).toEqual(["user.llmfs.generator"]);
});

test("interrupting the caller cancels the listing", () => {
  const { fs } = listed();
  using _ = fs;
  const open = opendir(fs);
  fs.kernel.interrupt(open);
  expect(fs.kernel.outcome(open)).toEqual({ error: "EINTR" });
  expect(fs.cancelled).toHaveLength(1);
});

test("a generator that lists the directory it is listing gets EDEADLK", () => {
  const { fs } = listed();
  using _ = fs;
  opendir(fs);
  expect(() =>
    fs.answers.list(
      "/d",
      requests(fs).at(-1)?.ticket,
      () => {},
      () => {},
    ),
  ).toThrow("depend on each other");
  answer(fs, []);
});

test("an ordinary directory causes no request, and the kernel may cache its listing", () => {
  const { fs } = listed();
  using _ = fs;
  fs.file("/plain/a", "x");
  const reply = fs.kernel.call("opendir", fs.node("/plain"), {});
  expect(reply.open_flags).toBeGreaterThan(0);
  expect(requests(fs)).toEqual([]);
});

test("a failing source is asked at growing intervals until it answers", () => {
  const { fs } = listed("always");
  using _ = fs;
  for (let time = 0; time < 5; time++) {
    const open = opendir(fs);
    fs.mount.waiters.takeFailure(requests(fs).at(-1)?.ticket ?? 0, new FsError("EHOSTUNREACH"));
    expect(fs.kernel.outcome(open)).toEqual({ error: "EHOSTUNREACH" });
  }
  opendir(fs);
  expect(requests(fs).map(({ pause }) => pause)).toEqual([0, 0, 250, 500, 1000, 2000]);
  answer(fs, [], "always");
  opendir(fs);
  expect(requests(fs).at(-1)?.pause).toBe(0);
  answer(fs, [], "always");
});

test("a generator that reads a file in a directory without a listing waits for the listing", () => {
  const { fs } = listed();
  using _ = fs;
  const read: string[] = [];
  fs.answers.read(
    "/d/1.json",
    undefined,
    (bytes) => void read.push(Buffer.from(bytes).toString()),
    (error) => void read.push(error.code),
  );
  answer(fs, ["1.json"]);
  fs.content("one");
  expect(read).toEqual(["one"]);
});

test("the control directory has no listing, and can be used while its parent waits for one", () => {
  using fs = served({ listing: true, control: () => ({ hello: serveText(() => "hello") }) });
  setXattr(fs.tree.root, "user.llmfs.generator", Buffer.from("shop"));
  const control = fs.node("/.llmfs");
  expect(requests(fs)).toEqual([]);
  const open = fs.kernel.start("opendir", ROOT, {});
  answer(fs, [".llmfs", "x.txt", ".llmfs/status.json"]);
  expect(fs.kernel.outcome(open)).toHaveProperty("value");
  expect(fs.ls("/")).toEqual([".", "..", "x.txt"]);
  expect(fs.node("/.llmfs")).toBe(control);
  const warnings = fs.posted.flatMap((message) => (message.type === "log" ? [message.text] : []));
  expect(warnings[0]).toBe(`".llmfs" is left out of the listing: /.llmfs is llmfs's own`);
});

test("the first readdir changes no mtime, and the entries it finds are as old as the mount", () => {
  const { fs, directory } = listed("always");
  using _ = fs;
  const mtimeOf = (path: string) => fs.tree.resolve(path, { follow: true }).times().mtime;
  const { mtime } = directory.times();
  const old = mtimeOf("/");
  fs.clock.tick();
  opendir(fs);
  answer(fs, ["a", "sub/b"], "always");
  expect(["/d/a", "/d/sub", "/d/sub/b"].map(mtimeOf)).toEqual([old, old, old]);
  expect(directory.times()).toMatchObject({ mtime, ctime: fs.clock.seconds });
  fs.clock.tick();
  opendir(fs);
  answer(fs, ["a", "c", "sub/b"], "always");
  expect(["/d/a", "/d/sub/b"].map(mtimeOf)).toEqual([old, old]);
  expect(["/d", "/d/c"].map(mtimeOf)).toEqual([fs.clock.seconds, fs.clock.seconds]);
});

test("evicting and listing entries again leaves the times unchanged", () => {
  const { fs, directory } = listed();
  using _ = fs;
  const { mtime } = directory.times();
  for (let time = 0; time < 2; time++) {
    fs.clock.tick();
    opendir(fs);
    answer(fs, ["a", "sub/b"]);
    expect(directory.size).toBe(2);
    expect(fs.mount.listings.unlist(directory)).toBe(true);
    expect(directory.size).toBe(0);
    expect(directory.times().mtime).toBe(mtime);
  }
});
