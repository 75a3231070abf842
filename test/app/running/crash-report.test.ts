import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeCrash, reportCrash } from "../../../src/app/running/crash-report.ts";

const folder = mkdtempSync(join(tmpdir(), "llmfs-crash-"));
afterAll(() => rmSync(folder, { recursive: true }));

const CRASH = { mountpoint: "/mnt", pid: 7, logFile: join(folder, "log"), json: false, records: false };

test.each([
  [9, "was killed by SIGKILL, which the kernel also sends when memory runs out"],
  [0x80 | 11, "was killed by SIGSEGV"],
  [0x300, "ended with status 3 without unmounting"],
  [undefined, "ended without unmounting; by which signal is not known"],
])("a report says how the process ended: %p", (exitStatus, ending) => {
  const crash = { ...CRASH, ...(exitStatus !== undefined && { exitStatus }) };
  expect(describeCrash(crash)).toStartWith(`llmfs (process 7), which served /mnt, ${ending}. /mnt was unmounted. `);
});

test("a report says what is lost and what is not", () => {
  expect(describeCrash(CRASH)).toEndWith("What was written in the mount is lost, because it had no --save");
  expect(describeCrash({ ...CRASH, records: true })).toEndWith(
    "because it had no --save; the model's answers are in the recordings",
  );
  const save = join(folder, "tree.json");
  expect(describeCrash({ ...CRASH, save })).toEndWith(`is lost, because ${save} had not been written`);
  writeFileSync(save, "");
  utimesSync(save, 1, 1_700_000_000);
  expect(describeCrash({ ...CRASH, save })).toEndWith(
    `What was written in the mount after 2023-11-14T22:13:20.000Z is lost: ${save} was last written then`,
  );
});

test("a report says why the mount could not be removed, and what to try", () => {
  expect(describeCrash({ ...CRASH, failure: "EBUSY" })).toContain(
    ". /mnt could not be unmounted: EBUSY; try: llmfs unmount /mnt. ",
  );
});

test("a report is added to the log, in its format", async () => {
  writeFileSync(CRASH.logFile, "earlier\n");
  await reportCrash(CRASH);
  await reportCrash({ ...CRASH, json: true });
  const [earlier, plain = "", json = ""] = readFileSync(CRASH.logFile, "utf8").split("\n");
  expect(earlier).toBe("earlier");
  expect(plain).toMatch(/^\S+Z \d+ error fuse: llmfs \(process 7\), which served \/mnt, /);
  expect(JSON.parse(json)).toMatchObject({ level: "error", tag: "fuse", text: expect.stringContaining("process 7") });
});
