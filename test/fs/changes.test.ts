/** Whether a tree may have changed since it was saved: in case of doubt, yes. */
import { expect, test } from "bun:test";
import { countChanges } from "../../src/fs/changes.ts";
import { OPS, type OpName } from "../../src/fuse/ops.ts";
import { ROOT, served } from "../support/served.ts";

test("reading a tree and its files does not change its revision", () => {
  using fs = served();
  fs.file("/dir/a");
  const before = fs.answers.revision();
  fs.kernel.stat(fs.node("/dir/a"));
  fs.kernel.call("statfs", ROOT, {});
  fs.kernel.errno("getxattr", fs.node("/dir/a"), { name: "user.none", size: 100 });
  expect(fs.answers.revision()).toEqual(before);
});

test("every request that changes something changes the revision", () => {
  using fs = served();
  const changes: readonly (() => void)[] = [
    () => fs.kernel.call("mkdir", ROOT, { name: "dir", mode: 0o755 }),
    () => fs.kernel.call("symlink", ROOT, { name: "link", target: "dir" }),
    () => fs.kernel.call("setxattr", fs.node("/dir"), { name: "user.a", value: Buffer.from("1"), size: 1 }),
    () => fs.kernel.call("setattr", fs.node("/dir"), { valid: 1, mode: 0o700 }),
    () => fs.kernel.call("rename", ROOT, { name: "link", newdir: ROOT, newname: "other" }),
    () => fs.kernel.call("unlink", ROOT, { name: "other" }),
    () => fs.kernel.call("rmdir", ROOT, { name: "dir" }),
  ];
  for (const change of changes) {
    const before = fs.answers.revision().count;
    change();
    expect(fs.answers.revision().count).toBeGreaterThan(before);
  }
});

test("a tree with a file that is open for writing may change at any time", () => {
  using fs = served();
  fs.file("/a");
  expect(fs.answers.revision().writing).toBe(false);
  const node = fs.node("/a");
  const { fh } = fs.kernel.call("open", node, { flags: 1 });
  expect(fs.answers.revision().writing).toBe(true);
  fs.kernel.release(node, fh);
  expect(fs.answers.revision().writing).toBe(false);
});

test("an operation that is not known to be harmless counts as a change", () => {
  const harmless: readonly OpName[] = ["lookup", "getattr", "read", "readdirplus", "forget", "batchForget", "release"];
  for (const name of Object.keys(OPS) as OpName[]) {
    const counts = new Uint32Array(64);
    counts[OPS[name].opcode] = 1;
    if (harmless.includes(name)) expect([name, countChanges(counts)]).toEqual([name, 0]);
    if (
      /write|create|^link|symlink|unlink|mk|rename|rmdir|setattr|setxattr|removexattr|falloc|copy|ioctl|tmpfile|^open$/.test(
        name,
      )
    ) {
      expect([name, countChanges(counts)]).toEqual([name, 1]);
    }
  }
  const later = new Uint32Array(64);
  later[60] = 1;
  expect(countChanges(later)).toBe(1);
});
