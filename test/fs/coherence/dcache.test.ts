/** Names that change without the kernel's doing: which notifications the kernel gets, and when it must not get any. */
import { expect, test } from "bun:test";
import type { Directory } from "../../../src/tree/directory.ts";
import { setXattr } from "../../../src/tree/xattrs.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

/** `/d` is listed again at each readdir; `/named/*.txt` are created by lookups. */
function changing(): { fs: ServedTree; directory: Directory } {
  const fs = served({ listing: true, named: [{ match: "named/{id}.txt", generator: "shop" }] });
  fs.directory("/named");
  const directory = fs.directory("/d");
  setXattr(directory, "user.llmfs.generator", Buffer.from("shop"));
  setXattr(directory, "user.llmfs.refresh", Buffer.from("always"));
  return { fs, directory };
}

/** Lists `/d`, which contains these paths from now on. */
function list(fs: ServedTree, ...paths: readonly string[]): void {
  const open = fs.kernel.start("opendir", fs.node("/d"), {});
  const { ticket } = fs.posted.flatMap((message) => (message.type === "list" ? [message.request] : [])).at(-1) ?? {};
  const entries = paths.map((path) => ({ path, type: "file" as const, generator: "shop" }));
  fs.mount.waiters.takeListing(ticket ?? 0, { entries, refresh: "always" });
  expect(fs.kernel.outcome(open)).toHaveProperty("value");
}

/** The names whose change the kernel was notified of since the last call. */
function told(fs: ServedTree): string[] {
  const found = fs.kernel.notifications.splice(0);
  return found.flatMap((one) => (one.code === "inval entry" ? [one.name] : [])).sort();
}

test("a new listing invalidates the names that it no longer has, if the kernel knows them", () => {
  const { fs } = changing();
  using _ = fs;
  list(fs, "1", "2", "3", "deep/4");
  const before = fs.tree.space.inodes;
  fs.node("/d/1");
  fs.node("/d/deep/4");
  told(fs);
  list(fs, "3", "5", "6", "deeper/7");
  expect(told(fs)).toEqual(["1", "4", "deep"]);
  fs.kernel.letGo();
  expect(fs.tree.space.inodes).toBe(before);
});

test("the kernel is not notified of names that it changed itself", () => {
  using fs = served();
  fs.file("/d/a");
  const d = fs.node("/d");
  expect(fs.kernel.errno("lookup", d, { name: "b" })).toBe("ok");
  const { kernel } = fs;
  fs.node("/d/a");
  kernel.notifications.length = 0;
  kernel.call("rename", d, { name: "a", newdir: d, newname: "b" });
  kernel.call("mkdir", d, { name: "sub", mode: 0o755 });
  kernel.call("rename2", d, { name: "b", newdir: d, newname: "sub", flags: 2 });
  kernel.call("symlink", d, { name: "link", target: "b" });
  kernel.call("link", d, { oldnodeid: kernel.walk("/d/sub").nodeid, name: "hard" });
  kernel.call("mknod", d, { name: "fifo", mode: 0o010644 });
  const made = kernel.call("create", d, { name: "new", flags: 2, mode: 0o644 });
  kernel.release(made.entry.nodeid, made.open.fh);
  kernel.call("unlink", d, { name: "hard" });
  kernel.call("rmdir", d, { name: "b" });
  expect(kernel.notifications).toEqual([]);
});

test("the kernel does not cache a missing name below a directory whose listing may add it", () => {
  const { fs } = changing();
  using _ = fs;
  list(fs, "deep/1");
  expect(fs.kernel.errno("lookup", fs.node("/d/deep"), { name: "2" })).toBe("ENOENT");
  told(fs);
  list(fs, "deep/1", "deep/2");
  expect(told(fs)).toEqual([]);
  expect(fs.kernel.call("lookup", fs.node("/d/deep"), { name: "2" })).toMatchObject({ nodeid: fs.node("/d/deep/2") });
});

test("a name that the kernel remembers as missing is invalidated when its directory is listed later", () => {
  const { fs, directory } = changing();
  using _ = fs;
  directory.dropXattr("user.llmfs.generator");
  expect(fs.kernel.call("lookup", fs.node("/d"), { name: "2" })).toMatchObject({ nodeid: 0 });
  setXattr(directory, "user.llmfs.generator", Buffer.from("shop"));
  told(fs);
  list(fs, "1", "2");
  expect(told(fs)).toContain("2");
});

test("the cached listing of each directory that changed is invalidated once", () => {
  const { fs } = changing();
  using _ = fs;
  list(fs, "1", "deep/2", "same/3");
  const nodes = ["/d", "/d/deep", "/d/same"].map((path) => fs.node(path));
  fs.kernel.notifications.length = 0;
  list(fs, "4", "5", "deep/6", "deep/7", "same/3");
  const pages = fs.kernel.notifications.flatMap((one) =>
    one.code === "inval inode" && one.off === 0 ? [one.nodeid] : [],
  );
  expect(pages).toEqual(nodes.slice(0, 2));
});

test("a name whose generator withdrew the file is invalidated", () => {
  const { fs } = changing();
  using _ = fs;
  fs.kernel.start("lookup", fs.node("/named"), { name: "7.txt" });
  fs.mount.waiters.takeContent(fs.ticket, { bytes: Buffer.from("seven"), metadata: new Map(), refresh: "always" });
  told(fs);
  fs.kernel.start("open", fs.node("/named/7.txt"), { flags: 0 });
  fs.failed("ENOENT");
  expect(told(fs)).toEqual(["7.txt"]);
});

test("all names of a file are invalidated when its content is replaced, and when that is undone", () => {
  using fs = served();
  const file = fs.pending("/a");
  fs.tree.link(file, fs.directory("/d"), "b");
  fs.kernel.start("open", fs.node("/a"), { flags: 0 });
  fs.content("first");
  const regen = (value: string) =>
    fs.kernel.call("setxattr", fs.node("/a"), {
      name: "user.llmfs.regen",
      value: Buffer.from(value),
      size: value.length,
    });
  fs.node("/d/b");
  regen("again");
  fs.kernel.start("open", fs.node("/a"), { flags: 0 });
  told(fs);
  fs.content("second");
  expect(told(fs)).toEqual(["a", "b"]);
  fs.node("/d/b");
  regen("undo");
  expect(told(fs)).toEqual(["a", "b"]);
  for (const [fh, nodeid] of fs.kernel.handles) fs.kernel.release(nodeid, fh);
});

/** Makes one file in `/named` by a lookup, and one that its generator withdraws at the next open. */
function withdrawn(fs: ServedTree): void {
  fs.kernel.start("lookup", fs.node("/named"), { name: "old.txt" });
  fs.mount.waiters.takeContent(fs.ticket, { bytes: Buffer.from("old"), metadata: new Map(), refresh: "always" });
}

function withdraw(fs: ServedTree): void {
  fs.kernel.start("open", fs.node("/named/old.txt"), { flags: 0 });
  fs.failed("ENOENT");
}

test("while a lookup waits, notifications for that directory are held back until it is done", () => {
  const { fs } = changing();
  using _ = fs;
  withdrawn(fs);
  list(fs, "1");
  fs.node("/d/1");
  const waiting = fs.kernel.start("lookup", fs.node("/named"), { name: "7.txt" });
  const ticket = fs.ticket;
  told(fs);
  withdraw(fs);
  expect(told(fs)).toEqual([]);
  expect(fs.mount.dcache.hasWaiting).toBe(false);
  list(fs, "2");
  expect(told(fs)).toEqual(["1"]);
  fs.content("seven", ticket);
  expect(fs.kernel.outcome(waiting)).toHaveProperty("value");
  expect(fs.mount.dcache.hasWaiting).toBe(true);
  fs.mount.dcache.flush();
  expect(told(fs)).toEqual(["old.txt"]);
});

test("a lookup that has to wait withdraws notifications that have not been sent", () => {
  const { fs } = changing();
  using _ = fs;
  withdrawn(fs);
  list(fs, "1");
  fs.node("/d/1");
  fs.kernel.blocked = [];
  withdraw(fs);
  list(fs, "2");
  const waiting = fs.kernel.start("lookup", fs.node("/named"), { name: "7.txt" });
  fs.kernel.unblock();
  expect(told(fs)).toEqual(["1"]);
  fs.content("seven");
  expect(fs.kernel.outcome(waiting)).toHaveProperty("value");
  fs.mount.dcache.flush();
  expect(told(fs)).toEqual(["old.txt"]);
});

test("a lookup in a directory with a pending notification gets ESTALE once per thread", () => {
  const { fs } = changing();
  using _ = fs;
  withdrawn(fs);
  fs.kernel.blocked = [];
  fs.kernel.stuck = true;
  withdraw(fs);
  const lookup = (pid: number) => fs.kernel.start("lookup", fs.node("/named"), { name: "7.txt" }, { pid });
  expect(fs.kernel.outcome(lookup(1))).toEqual({ error: "ESTALE" });
  expect(fs.kernel.outcome(lookup(2))).toEqual({ error: "ESTALE" });
  const again = lookup(1);
  expect(fs.kernel.outcome(again)).toBeUndefined();
  fs.content("seven");
  expect(fs.kernel.outcome(again)).toHaveProperty("value");
  fs.kernel.unblock();
});

test("a lookup that evicts another file from the directory sends the notification about it after its reply", () => {
  using fs = served({ inodes: 8, named: [{ match: "named/{id}.txt", generator: "shop" }] });
  fs.directory("/named");
  for (let n = 0; n < 6; n++) {
    fs.kernel.start("lookup", fs.node("/named"), { name: `${n}.txt` });
    fs.content("x");
  }
  told(fs);
  const waiting = fs.kernel.start("lookup", fs.node("/named"), { name: "new.txt" });
  expect(fs.tree.resolve("/named", { follow: false })).toMatchObject({ size: 5 });
  expect(told(fs)).toEqual([]);
  fs.content("x");
  expect(fs.kernel.outcome(waiting)).toHaveProperty("value");
  fs.mount.dcache.flush();
  expect(told(fs)).toEqual(["0.txt"]);
});

test("a lookup of a missing name in a listed directory gets ESTALE too; one that need not wait is answered", () => {
  const { fs } = changing();
  using _ = fs;
  list(fs, "1");
  fs.node("/d/1");
  fs.kernel.blocked = [];
  fs.kernel.stuck = true;
  list(fs, "2");
  const d = fs.node("/d");
  expect(fs.kernel.errno("lookup", d, { name: "3" })).toBe("ESTALE");
  expect(fs.kernel.errno("lookup", d, { name: "2" })).toBe("ok");
  expect(fs.kernel.errno("lookup", ROOT, { name: "none" })).toBe("ok");
  fs.kernel.unblock();
});

test("a limited number of notifications is sent at a time, and the rest follows", () => {
  const { fs } = changing();
  using _ = fs;
  const names = Array.from({ length: 200 }, (_, index) => `${index}`);
  list(fs, ...names);
  for (const name of names) fs.node(`/d/${name}`);
  fs.kernel.blocked = [];
  list(fs);
  expect(fs.kernel.blocked).toHaveLength(64);
  expect(fs.mount.dcache.hasWaiting).toBe(true);
  fs.kernel.unblock();
  while (fs.mount.dcache.hasWaiting) fs.mount.dcache.flush();
  expect(told(fs)).toHaveLength(200);
});

test("a notification that cannot be sent at the moment is sent later", () => {
  const { fs } = changing();
  using _ = fs;
  list(fs, "1", "2", "3");
  for (const name of ["1", "2", "3"]) fs.node(`/d/${name}`);
  fs.kernel.threadless = true;
  list(fs);
  expect(told(fs)).toEqual([]);
  expect(fs.mount.dcache.hasWaiting).toBe(true);
  fs.kernel.threadless = false;
  fs.mount.dcache.flush();
  expect(told(fs)).toEqual(["1", "2", "3"]);
  expect(fs.mount.dcache.hasWaiting).toBe(false);
});
