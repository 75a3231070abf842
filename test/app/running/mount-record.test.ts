/** What a process reports about its mount through /proc, and how it is asked to save. */
import { expect, test } from "bun:test";
import {
  chownSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { RECORD_LINK, RecordReader, RecordWriter, type SaveOutcome } from "../../../src/app/running/mount-record.ts";
import { memfd } from "../../../src/libc.ts";
import { IS_ROOT } from "../../support/mounted.ts";
import { eventually, Sandbox } from "../../support/program.ts";

/** The newest record of this process, as another process would open it. */
function reader(): RecordReader {
  const found = readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === RECORD_LINK;
    } catch {
      return false;
    }
  });
  const fd = Math.max(...found.map(Number));
  return new RecordReader(process.pid, `/proc/self/fd/${fd}`);
}

test("a request is received, answered, and remembered with its outcome", async () => {
  const saved = Promise.withResolvers<SaveOutcome>();
  const writer = new RecordWriter({ mountpoint: "/mnt", save: "/tree.json" }, () => saved.promise);
  using record = reader();
  writer.change({ device: "0:31", state: "serving" });
  expect(record.read()).toMatchObject({
    mountpoint: "/mnt",
    save: "/tree.json",
    device: "0:31",
    state: "serving",
    answers: [],
  });
  expect(record.request("one")).toBe(true);
  await eventually("it is heard", () => record.read()?.answers.length === 1);
  expect(record.read()?.answers).toEqual([{ id: "one" }]);
  saved.resolve({ kind: "saved", file: "/tree.json" });
  await eventually("it is answered", () => record.read()?.answers[0]?.outcome !== undefined);
  expect(record.read()?.answers).toEqual([{ id: "one", outcome: { kind: "saved", file: "/tree.json" } }]);
});

test("an invalid request is ignored, and only the latest requests are remembered", async () => {
  new RecordWriter({ mountpoint: "/mnt" }, async () => ({ kind: "none" }));
  using record = reader();
  expect(record.request("../x\nsave evil")).toBe(true);
  for (let number = 0; number < 40; number++) expect(record.request(`n${number}`)).toBe(true);
  const ids = () => record.read()?.answers.map(({ id }) => id) ?? [];
  await eventually("the last one is answered", () => ids().at(-1) === "n39");
  expect(ids().length).toBeLessThan(10);
  expect(ids()).not.toContain("../x");
});

test("a record that is shorter than the previous one is read whole; a truncated one is ignored", () => {
  const writer = new RecordWriter({ mountpoint: "/mnt" }, async () => ({ kind: "none" }));
  using record = reader();
  writer.change({ last: { kind: "failed", wanted: "/t", reason: "x".repeat(5000) } });
  writer.change({ last: { kind: "saved", file: "/t" } });
  expect(record.read()?.last).toEqual({ kind: "saved", file: "/t" });
  const file = memfd("llmfs-mount");
  writeSync(file, '7 {"format":1,"mountpoint":"/half');
  const half = new RecordReader(process.pid, `/proc/self/fd/${file}`);
  expect(half.read()).toBeUndefined();
  half[Symbol.dispose]();
  closeSync(file);
});

test("a record of another version is ignored", () => {
  const file = memfd("llmfs-mount");
  writeSync(file, '1 {"format":2} 1\n');
  using record = new RecordReader(process.pid, `/proc/self/fd/${file}`);
  expect([record.read(), record.request("one")]).toEqual([undefined, false]);
  closeSync(file);
});

/** A record as a process could forge it. */
function forged(requests: unknown, members: Readonly<Record<string, unknown>> = {}): RecordReader {
  const file = memfd("llmfs-mount");
  const record = { format: 1, mountpoint: "/mnt", device: "0:31", state: "serving", answers: [], requests, ...members };
  writeSync(file, `1 ${JSON.stringify(record)} 1\n`);
  return new RecordReader(process.pid, `/proc/self/fd/${file}`);
}

test("a forged record cannot have a request written to a file", () => {
  using sandbox = new Sandbox();
  const victim = sandbox.at("victim");
  writeFileSync(victim, "a line that stays as it is, whatever a record says\n");
  const open = openSync(victim, "r");
  for (const requests of [open, String(open), `../../..${victim}`, `../root${victim}`, -1, 1e300, null, {}]) {
    using record = forged(requests);
    expect(record.request("one")).toBe(false);
  }
  expect(readFileSync(victim, "utf8")).toBe("a line that stays as it is, whatever a record says\n");
  closeSync(open);
});

test("a forged record with members of a wrong type is ignored", () => {
  using whole = forged(3, { mountedAt: 1, prompt: "p", saving: { file: "/f", bytes: 1 } });
  expect(whole.read()).toMatchObject({ mountpoint: "/mnt", prompt: "p" });
  const wrong = {
    ...{ mountpoint: {}, device: 5, state: null, save: 1, prompt: [1], from: {}, unsettled: false, mountedAt: "1" },
    ...{ saving: 1, last: "x", answers: [null], requests: "3" },
  };
  for (const [name, value] of Object.entries(wrong)) {
    using record = forged(3, { [name]: value });
    expect([name, record.read()]).toEqual([name, undefined]);
  }
});

test.skipIf(!IS_ROOT)("a record cannot have a request written to a fifo of another user", () => {
  using sandbox = new Sandbox();
  const fifo = sandbox.at("fifo");
  Bun.spawnSync({ cmd: ["mkfifo", fifo] });
  const open = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  using record = forged(open);
  expect(record.request("one")).toBe(true);
  chownSync(fifo, 65534, 65534);
  expect(fstatSync(open).uid).toBe(65534);
  expect(record.request("two")).toBe(false);
  closeSync(open);
});
