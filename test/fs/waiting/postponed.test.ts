/** A request for space waits until the kernel's messages about removed files are read, and only if there are some. */
import { expect, test } from "bun:test";
import { PAGE } from "../../../src/tree/content/store.ts";
import { ROOT, served } from "../../support/served.ts";

/** Creates a file with this many pages, and removes it. The kernel has not forgotten it. */
function removed(fs: ReturnType<typeof served>, pages: number) {
  const { entry, open } = fs.kernel.call("create", ROOT, { name: "old", flags: 1, mode: 0o644 });
  if (pages > 0) {
    const data = Buffer.alloc(pages * PAGE, 1);
    fs.kernel.call("write", entry.nodeid, { fh: open.fh, size: data.length, data });
  }
  fs.kernel.call("unlink", ROOT, { name: "old" });
  return { nodeid: entry.nodeid, fh: open.fh };
}

function postponing(options: Parameters<typeof served>[0]) {
  const fs = served(options);
  fs.mount.postponed.retry();
  return fs;
}

test("a new name waits until removed inodes are forgotten", () => {
  using fs = postponing({ inodes: 2 });
  const { kernel, mount } = fs;
  const old = removed(fs, 0);
  const requests = [
    kernel.start("mkdir", ROOT, { name: "d", mode: 0o755 }),
    kernel.start("symlink", ROOT, { name: "s", target: "t" }),
  ] as const;
  expect(requests.map((unique) => kernel.outcome(unique))).toEqual([undefined, undefined]);
  kernel.release(old.nodeid, old.fh);
  kernel.forget(old.nodeid);
  mount.postponed.retry();
  expect(kernel.outcome(requests[0])).toMatchObject({ value: { attr: { nlink: 2 } } });
  expect(kernel.outcome(requests[1])).toEqual({ error: "ENOSPC" });
});

test("a write waits as a whole, with the bytes that it had when it came", () => {
  using fs = postponing({ size: 4 * PAGE });
  const { kernel, mount } = fs;
  const old = removed(fs, 3);
  const { entry, open } = kernel.call("create", ROOT, { name: "new", flags: 2, mode: 0o644 });
  const data = Buffer.alloc(3 * PAGE, "new bytes");
  const write = kernel.start("write", entry.nodeid, { fh: open.fh, size: data.length, data });
  expect(kernel.outcome(write)).toBeUndefined();
  kernel.release(old.nodeid, old.fh);
  kernel.forget(old.nodeid);
  mount.postponed.retry();
  expect(kernel.outcome(write)).toMatchObject({ value: { size: data.length } });
  expect(kernel.readAll(entry.nodeid, open.fh).equals(data)).toBe(true);
  kernel.release(entry.nodeid, open.fh);
});

test("if a program keeps the removed file open, the request fails, or a write takes what is left", () => {
  using fs = postponing({ size: 4 * PAGE, inodes: 3 });
  const { kernel, mount } = fs;
  const old = removed(fs, 3);
  const { entry, open } = kernel.call("create", ROOT, { name: "new", flags: 2, mode: 0o644 });
  const data = Buffer.alloc(3 * PAGE, 1);
  const write = kernel.start("write", entry.nodeid, { fh: open.fh, size: data.length, data });
  const mkdir = kernel.start("mkdir", ROOT, { name: "d" });
  mount.postponed.retry();
  expect(kernel.outcome(write)).toMatchObject({ value: { size: PAGE } });
  expect(kernel.outcome(mkdir)).toEqual({ error: "ENOSPC" });
  expect(mount.postponed.any).toBe(false);
  kernel.release(old.nodeid, old.fh);
  kernel.release(entry.nodeid, open.fh);
});

test("without removed inodes nothing waits", () => {
  using fs = postponing({ inodes: 2, size: PAGE });
  const { kernel } = fs;
  const { entry, open } = kernel.call("create", ROOT, { name: "a", flags: 1, mode: 0o644 });
  expect(kernel.errno("mkdir", ROOT, { name: "d" })).toBe("ENOSPC");
  const data = Buffer.alloc(2 * PAGE, 1);
  expect(kernel.call("write", entry.nodeid, { fh: open.fh, size: data.length, data }).size).toBe(PAGE);
  expect(kernel.errno("write", entry.nodeid, { fh: open.fh, offset: PAGE, size: 1, data: Buffer.from("x") })).toBe(
    "ENOSPC",
  );
  kernel.release(entry.nodeid, open.fh);
});

test("an unnamed file that got a name counts as removed no longer", () => {
  using fs = postponing({ inodes: 2 });
  const { kernel } = fs;
  const { entry, open } = kernel.call("tmpfile", ROOT, { name: "#1", flags: 2, mode: 0o644 });
  kernel.call("link", ROOT, { oldnodeid: entry.nodeid, name: "named" });
  expect(kernel.errno("mkdir", ROOT, { name: "d" })).toBe("ENOSPC");
  kernel.release(entry.nodeid, open.fh);
});

test("while there are always more messages, a request waits for one more stretch of them and no longer", () => {
  using fs = postponing({ inodes: 2 });
  const { kernel, mount } = fs;
  const old = removed(fs, 0);
  const mkdir = kernel.start("mkdir", ROOT, { name: "d", mode: 0o755 });
  mount.postponed.retryOld();
  expect(kernel.outcome(mkdir)).toBeUndefined();
  kernel.release(old.nodeid, old.fh);
  kernel.forget(old.nodeid);
  mount.postponed.retryOld();
  expect(kernel.outcome(mkdir)).toMatchObject({ value: { attr: { nlink: 2 } } });
});
