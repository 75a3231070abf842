import { describe, expect, test } from "bun:test";
import { findMountAt, readMounts } from "../src/mountinfo.ts";

const LINES = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
36 22 0:31 / /mnt rw,nosuid,nodev - fuse.llmfs llmfs rw,user_id=0
37 22 0:32 /sub /a\\040b\\011c\\012d\\134e rw shared:5 master:2 propagate_from:3 unbindable - tmpfs tmpfs rw
38 22 0:33 / /caf\xc3\xa9 rw - fuse.llmfs llmfs rw
39 36 0:34 / /mnt rw - fuse.llmfs llmfs rw
`;

describe("mountinfo", () => {
  test("mountinfo has one mount per line, with its mountpoint, device, type and options", () => {
    expect(readMounts(LINES).slice(0, 2)).toEqual([
      {
        id: "22",
        path: "/",
        root: "/",
        device: "8:1",
        type: "ext4",
        source: "/dev/sda1",
        options: "rw,relatime",
        superOptions: "rw",
      },
      {
        id: "36",
        path: "/mnt",
        root: "/",
        device: "0:31",
        type: "fuse.llmfs",
        source: "llmfs",
        options: "rw,nosuid,nodev",
        superOptions: "rw,user_id=0",
      },
    ]);
  });

  test("mountinfo writes blanks, tabs, newlines and backslashes as octal escapes", () => {
    expect(readMounts(LINES)[2]?.path).toBe("/a b\tc\nd\\e");
  });

  test("a mount may have an empty source or one with blanks", () => {
    expect(readMounts("36 22 0:31 / /mnt rw - fuse.llmfs a\\040b rw\n")[0]?.source).toBe("a b");
    expect(readMounts("36 22 0:31 / /mnt rw - fuse.llmfs  rw\n")[0]?.source).toBe("");
  });

  test("a line of mountinfo may have any number of optional fields before the type", () => {
    expect(readMounts(LINES)[2]?.type).toBe("tmpfs");
  });

  test("mountinfo gives the root of a bind mount within its filesystem", () => {
    expect(readMounts(LINES)[2]?.root).toBe("/sub");
  });

  test("paths in mountinfo are UTF-8", () => {
    expect(readMounts(LINES)[3]?.path).toBe("/café");
  });

  test("mountinfo lists a later mount at the same place later", () => {
    expect(
      readMounts(LINES)
        .filter(({ path }) => path === "/mnt")
        .map(({ device }) => device),
    ).toEqual(["0:31", "0:34"]);
  });

  test("lines of mountinfo that are not mounts are ignored", () => {
    expect(readMounts("\n\n1 2 3\n36 22 0:31 / /mnt rw\n")).toEqual([]);
  });

  test("a mountpoint may be named like the separator", () => {
    const [mount] = readMounts("36 22 0:31 / /- rw shared:1 - fuse.llmfs llmfs rw\n");
    expect(mount).toEqual({
      id: "36",
      path: "/-",
      root: "/",
      device: "0:31",
      type: "fuse.llmfs",
      source: "llmfs",
      options: "rw",
      superOptions: "rw",
    });
  });

  test("the mountinfo of the running system can be parsed", () => {
    expect(findMountAt("/proc")?.type).toBe("proc");
    expect(findMountAt("/no/such/mount")).toBeUndefined();
  });
});
