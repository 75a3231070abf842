import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeFault, findDeviceFault } from "../../../src/fuse/mounting/fuse-device.ts";
import { fuse, testWith } from "../../support/needs.ts";

const folder = mkdtempSync(join(tmpdir(), "llmfs-device-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a device that is missing is a fault with a cure", () => {
  const fault = findDeviceFault(join(folder, "missing"));
  expect(fault).toMatchObject({ reason: "no-device", problem: "does not exist" });
  expect(fault && describeFault(fault)).toBe(
    "/dev/fuse does not exist; load the module as root ('modprobe fuse'), or start the container with --device /dev/fuse",
  );
});

test("a file, or another device, of that name is a fault with a cure", () => {
  writeFileSync(join(folder, "file"), "");
  for (const path of ["/dev/null", join(folder, "file")]) {
    const fault = findDeviceFault(path);
    expect(fault).toMatchObject({ reason: "no-device", problem: expect.stringContaining("is not the FUSE device") });
    expect(fault?.cure).toContain("--device /dev/fuse, or create it again as root");
  }
});

testWith(fuse())("a device that can be opened has no fault", () => {
  expect(findDeviceFault()).toBeUndefined();
});
