/** How the process that serves a mount is found. */
import { expect, test } from "bun:test";
import { RecordWriter } from "../../../src/app/running/mount-record.ts";
import { serverOf } from "../../../src/app/running/server-process.ts";
import { findMountAt, type MountPoint } from "../../../src/mountinfo.ts";
import { mounting, testWith } from "../../support/needs.ts";
import { Sandbox } from "../../support/program.ts";

testWith(mounting())(
  "a process that reads the record of a mount is not mistaken for the one that serves it",
  async () => {
    using sandbox = new Sandbox();
    const dir = sandbox.directory("mnt");
    const mounted = await sandbox.llmfs(["mount", "--json", dir]);
    const { pid } = JSON.parse(mounted.stdout);
    const mount = findMountAt(dir);
    if (mount === undefined) throw new Error(mounted.stderr);
    using first = serverOf(mount);
    // This process now has the record open as well, and usually has the lower number.
    using second = serverOf(mount);
    expect([first?.pid, second?.pid]).toEqual([pid, pid]);
    expect((await sandbox.llmfs(["unmount", dir])).status).toBe(0);
  },
);

test("if two processes claim a device, the one that mounted last is used", () => {
  const none = async () => ({ kind: "none" }) as const;
  // The first one is stopped and cannot report that its mount is gone; the kernel has reused its device number.
  const records = ["/before", "/after"].map((mountpoint) => new RecordWriter({ mountpoint }, none));
  for (const record of records) record.change({ device: "0:999999", state: "serving" });
  const mount: MountPoint = { ...anyMount(), device: "0:999999", superOptions: `rw,user_id=${process.getuid?.()}` };
  using server = serverOf(mount);
  expect(server?.record?.mountpoint).toBe("/after");
});

function anyMount(): MountPoint {
  const mount = findMountAt("/proc");
  if (mount === undefined) throw new Error("/proc is not mounted");
  return mount;
}
