/** Content that expires: what opens see, through the in-memory kernel. */
import { expect, spyOn, test } from "bun:test";
import { ERRNO, FsError } from "../../../src/errno.ts";
import { controlFiles } from "../../../src/fs/control/files.ts";
import type { RegularFile } from "../../../src/tree/file.ts";
import { setXattr } from "../../../src/tree/xattrs.ts";
import { type ServedTree, served } from "../../support/served.ts";

const ALWAYS = { "user.llmfs.refresh": "always" };

/** A view that was generated once: "first". */
function view(fs: ServedTree, refresh = "always"): RegularFile {
  const file = fs.pending("/view", { "user.llmfs.refresh": refresh });
  const unique = start(fs);
  fs.content("first");
  expect(read(fs, unique)).toBe("first");
  return file;
}

let thread = 1000;

/** An open by a thread of its own. */
function start(fs: ServedTree, pid = ++thread, flags = 0): { unique: number; nodeid: number; pid: number } {
  const nodeid = fs.node("/view");
  return { unique: fs.kernel.start("open", nodeid, { flags }, { pid }), nodeid, pid };
}

interface Opened {
  readonly nodeid: number;
  readonly fh: number;
}

/** As the kernel's open(2): looks up the name again after one ESTALE. */
function opened(fs: ServedTree, open: ReturnType<typeof start>, again = true): Opened | string {
  const outcome = fs.kernel.outcome<"open">(open.unique);
  if (outcome === undefined) return "waiting";
  if ("value" in outcome) return { nodeid: open.nodeid, fh: outcome.value.fh };
  return outcome.error === "ESTALE" && again ? opened(fs, start(fs, open.pid), false) : outcome.error;
}

function read(fs: ServedTree, open: ReturnType<typeof start>): string {
  const handle = opened(fs, open);
  if (typeof handle === "string") return handle;
  const text = fs.kernel.readAll(handle.nodeid, handle.fh).toString();
  fs.kernel.release(handle.nodeid, handle.fh);
  return text;
}

test("every open waits for a generation that began after it", () => {
  using fs = served();
  view(fs);
  const second = start(fs);
  expect(opened(fs, second)).toBe("waiting");
  expect(fs.requests.at(-1)?.renews).toBe(true);
  fs.content("second, longer");
  expect(read(fs, second)).toBe("second, longer");
  expect(fs.kernel.stat(fs.node("/view")).size).toBe(14);
});

test("readers who arrive during a generation share the next one, not the current one", () => {
  using fs = served();
  view(fs);
  const early = start(fs);
  const late = [start(fs), start(fs)];
  expect(fs.requests).toHaveLength(2);
  fs.content("for the early");
  expect(read(fs, early)).toBe("for the early");
  expect(late.map((open) => opened(fs, open))).toEqual(["waiting", "waiting"]);
  expect(fs.requests).toHaveLength(3);
  fs.content("for the late");
  expect(late.map((open) => read(fs, open))).toEqual(["for the late", "for the late"]);
});

test("an open file keeps its content: the newer one is another inode under the name", () => {
  using fs = served();
  view(fs);
  const first = start(fs);
  fs.content("held");
  const held = opened(fs, first);
  if (typeof held === "string") throw new Error(held);
  const second = start(fs);
  fs.content("newer and longer");
  expect(read(fs, second)).toBe("newer and longer");
  expect(fs.node("/view")).not.toBe(held.nodeid);
  expect(fs.kernel.readAll(held.nodeid, held.fh).toString()).toBe("held");
  fs.kernel.release(held.nodeid, held.fh);
});

test("an open file keeps its content even while a generation waits that began on the inode before", () => {
  using fs = served();
  view(fs);
  const first = start(fs);
  fs.content("a");
  const held = opened(fs, first);
  if (typeof held === "string") throw new Error(held);
  // "b" becomes another inode, while the next attempt was already opened on this one.
  const second = start(fs);
  const third = start(fs);
  fs.content("b");
  const heldToo = opened(fs, second);
  if (typeof heldToo === "string") throw new Error(heldToo);
  fs.content("c, which is longer");
  expect(read(fs, third)).toBe("c, which is longer");
  expect(fs.kernel.readAll(heldToo.nodeid, heldToo.fh).toString()).toBe("b");
  for (const { nodeid, fh } of [held, heldToo]) fs.kernel.release(nodeid, fh);
});

test("a caller that got ESTALE succeeds the second time, whatever has become of the name", () => {
  using fs = served();
  view(fs);
  const holder = start(fs);
  fs.content("one");
  const held = opened(fs, holder);
  if (typeof held === "string") throw new Error(held);
  const caller = start(fs);
  fs.content("two");
  expect(fs.kernel.outcome(caller.unique)).toEqual({ error: "ESTALE" });
  const other = start(fs);
  fs.content("three");
  const otherHandle = opened(fs, other);
  if (typeof otherHandle === "string") throw new Error(otherHandle);
  const again = start(fs, caller.pid);
  const handle = opened(fs, again, false);
  if (typeof handle === "string") throw new Error(handle);
  expect(["two", "three"]).toContain(fs.kernel.readAll(handle.nodeid, handle.fh).toString());
  for (const one of [held, otherHandle, handle]) fs.kernel.release(one.nodeid, one.fh);
});

test("identical new content, or an answer that nothing has changed, leaves the inode and its times alone", () => {
  using fs = served();
  const file = view(fs);
  const { mtime } = file.times();
  fs.clock.tick();
  const second = start(fs);
  fs.content("first");
  expect(read(fs, second)).toBe("first");
  const third = start(fs);
  fs.mount.waiters.takeContent(fs.ticket, { bytes: new Uint8Array(0), metadata: new Map(), unchanged: true });
  expect(read(fs, third)).toBe("first");
  expect([fs.node("/view"), file.times().mtime]).toEqual([file.ino, mtime]);
});

test("a failure is returned to the open that waited, and the next open tries again", () => {
  using fs = served();
  view(fs);
  const second = start(fs);
  fs.failed("EHOSTUNREACH");
  expect(opened(fs, second)).toBe("EHOSTUNREACH");
  const third = start(fs);
  fs.content("back");
  expect(read(fs, third)).toBe("back");
});

test("an interrupted reader stops waiting, and the last one cancels the generation", () => {
  using fs = served();
  view(fs);
  const running = start(fs);
  const next = start(fs);
  fs.kernel.interrupt(next.unique);
  expect(opened(fs, next)).toBe("EINTR");
  fs.kernel.interrupt(running.unique);
  expect(opened(fs, running)).toBe("EINTR");
  expect(fs.cancelled).toHaveLength(2);
  const after = start(fs);
  fs.content("after");
  expect(read(fs, after)).toBe("after");
});

test("content that has not expired is opened as it is", () => {
  using fs = served();
  view(fs, "3600s");
  expect(read(fs, start(fs))).toBe("first");
  expect(fs.requests).toHaveLength(1);
});

test("stale content is served while new content is generated", () => {
  using fs = served();
  view(fs, "0.000001s stale");
  expect(read(fs, start(fs))).toBe("first");
  expect(read(fs, start(fs))).toBe("first");
  expect(fs.requests).toHaveLength(2);
  fs.content("second");
  expect(fs.kernel.stat(fs.node("/view")).size).toBe(6);
});

test("a failed generation in the background keeps the stale content", () => {
  using fs = served();
  view(fs, "0.000001s stale");
  expect(read(fs, start(fs))).toBe("first");
  fs.failed("EIO");
  expect(read(fs, start(fs))).toBe("first");
});

test("the space of a refresh rule that a user set is free again when the file is opened for writing", () => {
  using fs = served();
  const file = view(fs);
  file.state = "ready";
  const nodeid = fs.node("/view");
  const { space } = fs.tree;
  file.dropXattr("user.llmfs.refresh");
  const before = space.xattrBytes;
  const value = Buffer.from("always");
  fs.kernel.call("setxattr", nodeid, { name: "user.llmfs.refresh", value, size: value.length });
  fs.kernel.call("setxattr", nodeid, { name: "user.other", value, size: value.length });
  fs.kernel.call("removexattr", nodeid, { name: "user.other" });
  const writer = opened(fs, start(fs, ++thread, 1));
  if (typeof writer === "string") throw new Error(writer);
  fs.kernel.release(writer.nodeid, writer.fh);
  expect(file.xattrs?.has("user.llmfs.refresh") ?? false).toBe(false);
  expect(space.xattrBytes).toBe(before);
});

test("opening a file with a refresh rule for writing makes it static", () => {
  using fs = served();
  const file = view(fs);
  const writer = opened(fs, start(fs, ++thread, 1));
  if (typeof writer === "string") throw new Error(writer);
  fs.write(writer, "mine");
  fs.kernel.release(writer.nodeid, writer.fh);
  expect(read(fs, start(fs))).toBe("minet");
  expect([file.state, file.xattrs?.has("user.llmfs.refresh") ?? false]).toEqual(["static", false]);
});

test("a write gives waiting readers what was written", () => {
  using fs = served();
  view(fs);
  const waiting = start(fs);
  const writer = opened(fs, start(fs, ++thread, 1 | 0o1000));
  if (typeof writer === "string") throw new Error(writer);
  fs.write(writer, "mine");
  fs.kernel.release(writer.nodeid, writer.fh);
  expect(read(fs, waiting)).toBe("mine");
});

test("a generator that reads an expired file gets fresh content, and causes no cycle", () => {
  using fs = served();
  view(fs);
  const got: string[] = [];
  fs.answers.read(
    "/view",
    undefined,
    (bytes) => got.push(Buffer.from(bytes).toString()),
    () => got.push("failed"),
  );
  fs.content("fresh");
  expect(got).toEqual(["fresh"]);
  const open = start(fs);
  expect(() =>
    fs.answers.read(
      "/view",
      fs.ticket,
      () => {},
      () => {},
    ),
  ).toThrow("depend on each other");
  fs.content("x");
  expect(read(fs, open)).toBe("x");
});

test("all names of a file get the new content together", () => {
  using fs = served();
  view(fs);
  fs.kernel.call("link", 1, { oldnodeid: fs.node("/view"), name: "other" });
  const held = opened(fs, start(fs));
  expect(held).toBe("waiting");
  fs.content("second");
  const first = start(fs);
  fs.content("third");
  const handle = opened(fs, first);
  if (typeof handle === "string") throw new Error(handle);
  const last = start(fs);
  fs.content("fourth");
  expect(read(fs, last)).toBe("fourth");
  expect(fs.node("/other")).toBe(fs.node("/view"));
  fs.kernel.release(handle.nodeid, handle.fh);
});

test("a file from a snapshot, generated at an unknown time, is generated again", () => {
  using fs = served();
  const file = fs.file("/view", "old");
  file.state = "ready";
  file.replaceXattrs(new Map([["user.llmfs.refresh", Buffer.from(ALWAYS["user.llmfs.refresh"])]]));
  const open = start(fs);
  expect(opened(fs, open)).toBe("waiting");
  fs.content("new");
  expect(read(fs, open)).toBe("new");
});

test("the kernel is notified with the open if it could not be notified during the lookup", () => {
  using fs = served();
  view(fs);
  const open = start(fs);
  // The content changes in place, and the kernel knows no such inode yet.
  const { send } = fs.kernel;
  let refused = 0;
  fs.kernel.send = (message, length) => {
    if (message.readBigUInt64LE(8) !== 0n || refused === 3) return send.call(fs.kernel, message, length);
    refused++;
    return -ERRNO.ENOENT;
  };
  fs.kernel.notifications.length = 0;
  fs.content("changed where it is");
  expect(refused).toBe(3);
  expect(read(fs, open)).toBe("changed where it is");
  const told = fs.kernel.notifications.map((one) => (one.code === "store" ? one.data.toString() : one.code));
  expect(told).toEqual(["inval inode", "inval inode", "changed where it is"]);
});

test.each(["always", "300s", "300s stale"])(
  "a failed refresh is visible in the attributes and the control files until one succeeds (refresh: %s)",
  (refresh) => {
    using fs = served({
      control: (mount, answers) => controlFiles(mount, answers, { mountpoint: "/", counts: () => ({}) }),
    });
    const file = view(fs);
    const error = () =>
      fs.kernel.call("getxattr", fs.node("/view"), { name: "user.llmfs.error", size: 100 }).toString();
    const entry = () => JSON.parse(fs.cat("/.llmfs/tree.json"))[0];
    expect(error).toThrow(new FsError("ENODATA"));
    setXattr(file, "user.llmfs.refresh", Buffer.from(refresh));
    const sooner = spyOn(performance, "now").mockReturnValue(performance.now() + 400_000);
    const open = start(fs);
    sooner.mockRestore();
    fs.mount.waiters.takeFailure(fs.ticket, new FsError("EHOSTUNREACH", "the source is down"));
    expect(read(fs, open)).toBe(refresh.endsWith("stale") ? "first" : "EHOSTUNREACH");
    expect(error()).toBe("EHOSTUNREACH: the source is down");
    expect(entry()).toMatchObject({
      state: "ready",
      failedRenewal: {
        what: "refresh",
        error: "EHOSTUNREACH: the source is down",
        at: expect.stringMatching(/^\d{4}-.*Z$/),
      },
    });
    expect(fs.cat("/.llmfs/tree")).toBe("/view (ready, refresh failed)\n");
    expect(JSON.parse(fs.cat("/.llmfs/status.json")).failedRenewals).toBe(1);
    setXattr(file, "user.llmfs.refresh", Buffer.from("always"));
    const again = start(fs);
    fs.content("second");
    expect(read(fs, again)).toBe("second");
    expect(error).toThrow(new FsError("ENODATA"));
    expect(entry()).not.toHaveProperty("failedRenewal");
    expect(JSON.parse(fs.cat("/.llmfs/status.json")).failedRenewals).toBe(0);
  },
);
