/** What fusermount3 reports, as a reason and a fix. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseHelper } from "../../../src/fuse/mounting/chosen-helper.ts";
import { askHelper, parseRefusal } from "../../../src/fuse/mounting/fusermount.ts";

const HELPER = "/usr/bin/fusermount3";

const CASES: readonly (readonly [said: string, reason: string, cure: string | undefined])[] = [
  ["could not determine username", "not-permitted", "/etc/passwd"],
  [
    "option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf",
    "not-permitted",
    "user_allow_other",
  ],
  [
    "too many FUSE filesystems mounted; mount_max=N can be set in /etc/fuse.conf",
    "not-permitted",
    "raise mount_max in /etc/fuse.conf",
  ],
  ["failed to open /dev/fuse: Permission denied", "not-permitted", "chmod 666 /dev/fuse"],
  ["failed to open /dev/fuse: Operation not permitted", "not-permitted", "--device /dev/fuse"],
  ["fuse device not found, try 'modprobe fuse' first", "no-device", "modprobe fuse"],
  ["failed to open /dev/fuse: No such device", "no-device", "modprobe fuse"],
  ["user has no write access to mountpoint /mnt", "bad-mountpoint", "belongs to you"],
  ["failed to access mountpoint /mnt: Permission denied", "bad-mountpoint", "belongs to you"],
  ["mounting over filesystem type 0x9fa0 is forbidden", "bad-mountpoint", "another filesystem"],
  ["mount failed: Operation not permitted", "not-permitted", "AppArmor"],
  ["mount failed: No such device or address", "failed", undefined],
];

test.each(CASES)("%s", (said, reason, cure) => {
  const refusal = parseRefusal(`${HELPER}: ${said}`, HELPER);
  expect(refusal.reason).toBe(reason as typeof refusal.reason);
  if (cure === undefined) expect(refusal.cure).toBeUndefined();
  else expect(refusal.cure).toContain(cure);
});

test("the problem quotes the program without repeating its name", () => {
  expect(parseRefusal("fusermount3: mount failed: Invalid argument", HELPER).problem).toBe(
    "/usr/bin/fusermount3 failed: mount failed: Invalid argument",
  );
  expect(parseRefusal("", HELPER).problem).toBe("/usr/bin/fusermount3 failed: it said nothing");
});

const folder = mkdtempSync(join(tmpdir(), "llmfs-helper-"));
afterAll(() => {
  chooseHelper(undefined);
  rmSync(folder, { recursive: true });
});

test.each([
  ["never ends", "exec sleep 60", "it did not end within 1 s"],
  ["fails", "echo no route to the agent >&2; exit 3", "no route to the agent"],
  ["succeeds without a descriptor", "exit 0", "it said nothing"],
  ["leaves a process behind that holds its descriptors", "sleep 10 & exit 0", "it said nothing"],
  ["fails, and leaves one behind", "sleep 10 & echo refused >&2; exit 1", "refused"],
])("a program in LLMFS_FUSERMOUNT that %s ends in an error", async (_, script, why) => {
  const program = join(folder, "proxy");
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  chooseHelper({ program, environment: { PATH: process.env.PATH } });
  const request = { mountpoint: folder, source: "llmfs", readOnly: false, allowOther: false };
  expect(await askHelper(request, 1000)).toMatchObject({ problem: `${program} failed: ${why}` });
});
