/** The lines of `.llmfs/events`. */
import { expect, test } from "bun:test";
import { Events } from "../../../src/fs/programs/events.ts";
import { isInternal } from "../../../src/fs/programs/internal-names.ts";
import type { Header } from "../../../src/fuse/ops.ts";
import type { MountEvent } from "../../../src/rpc/programs.ts";

const HEADER: Header = { opcode: 0, unique: 0, nodeid: 0, uid: 0, gid: 0, pid: 0 };

function read(reader: ReturnType<Events["follow"]>, size = 4096): string {
  const target = Buffer.alloc(size);
  let text = "";
  for (;;) {
    const length = Number(reader.read(0, target, HEADER));
    if (length === 0) return text;
    text += target.toString("utf8", 0, length);
  }
}

test("a reader gets what is kept, and later what was added since, in reads of any size", () => {
  const events = new Events(undefined, () => 0);
  events.add("control", { op: "save" });
  const reader = events.follow();
  const first = read(reader, 7);
  expect(JSON.parse(first)).toEqual({ seq: 1, at: "1970-01-01T00:00:00.000Z", event: "control", op: "save" });
  expect(read(reader)).toBe("");
  events.add("open", { path: "/a\u009b\n" });
  const second = read(reader);
  expect(second).not.toMatch(/[\u0080-\u009f]/);
  expect(second.trimEnd()).not.toContain("\n");
});

test("only a bounded amount is kept, and each reader learns how many events it missed", () => {
  const events = new Events(undefined);
  const path = `/${"x".repeat(1000)}`;
  const slow = events.follow();
  for (let count = 0; count < 5000; count++) events.add("open", { path });
  for (const reader of [slow, events.follow()]) {
    const lines = read(reader).trimEnd().split("\n");
    const dropped: { event: string; count: number } = JSON.parse(lines[0] ?? "");
    expect(dropped.event).toBe("dropped");
    expect(dropped.count + lines.length - 1).toBe(5000);
    expect(lines.length).toBeLessThan(1100);
    const oldest: MountEvent = JSON.parse(lines[1] ?? "");
    expect(oldest.seq).toBe(dropped.count + 1);
  }
});

test("the size only grows, and is more than any reader has read", () => {
  const events = new Events(undefined);
  const reader = events.follow();
  let total = 0;
  for (let count = 0; count < 3000; count++) {
    const before = events.size;
    events.add("open", { path: `/${"x".repeat(1000)}` });
    expect(events.size).toBeGreaterThan(before);
    if (count % 2500 === 0) total += read(reader).length;
  }
  total += read(reader).length;
  expect(events.size).toBeGreaterThan(total);
});

test("opens and changes are watched while somebody follows, or while all events are reported", () => {
  const events = new Events(undefined);
  expect(events.watched).toBe(false);
  const [one, other] = [events.follow(), events.follow()];
  one.close?.();
  expect(events.watched).toBe(true);
  other.close?.();
  expect(events.watched).toBe(false);
  expect(new Events(() => {}).watched).toBe(true);
});

test.each([
  ".git/HEAD",
  "a/.git/x/y",
  "a/.file.swp",
  "4913",
  "notes~",
  ".#notes",
  "#notes#",
  ".DS_Store",
  "a/.nfs0000abcd",
])("no generator is asked about %s", (path) => expect(isInternal(`/${path}`)).toBe(true));

test.each([".gitignore", "git/HEAD", "a.swp", "49134", "a~b", "README"])("a generator may be asked about %s", (path) =>
  expect(isInternal(`/${path}`)).toBe(false),
);
