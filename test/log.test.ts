import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog, type LogOptions, redactor } from "../src/log.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-log-"));
});
afterEach(() => {
  chmodSync(folder, 0o755);
  rmSync(folder, { recursive: true });
});

function made(options: Partial<LogOptions> = {}) {
  const printed: string[] = [];
  const path = join(folder, "state/llmfs.log");
  const log = createLog({
    terminal: "info",
    file: "debug",
    path,
    print: (line) => printed.push(line),
    color: false,
    secrets: [],
    ...options,
  });
  return { log, printed, path, read: () => readFileSync(path, "utf8") };
}

test("a line in the file has time, process, level and source", async () => {
  const { log, read } = made();
  log.withTag("fs").info("mounted");
  await log.close();
  expect(read()).toMatch(new RegExp(`^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z ${process.pid} info fs: mounted\\n$`));
});

test("terminal and file each get lines from their own level up", async () => {
  const { log, printed, read } = made({ terminal: "warn", file: "info" });
  for (const level of ["debug", "info", "warn", "error"] as const) log.write(level, "cli", `a ${level}`);
  await log.close();
  expect(printed).toEqual(["warning: a warn", "error: a error"]);
  expect(read().match(/ a \w+/g)).toEqual([" a info", " a warn", " a error"]);
});

test("after detach nothing more is printed, and the file continues", async () => {
  const { log, printed, read } = made();
  log.write("info", "", "one");
  log.detach();
  log.write("error", "", "two");
  await log.close();
  expect(printed).toEqual(["one"]);
  expect(read()).toContain("two");
});

test("equal lines in quick succession are all written", async () => {
  const { log, printed } = made({ path: undefined });
  for (let count = 0; count < 20; count++) log.write("info", "", "again");
  await log.close();
  expect(printed).toHaveLength(20);
});

test("text of several lines cannot look like several entries", async () => {
  const { log, read } = made();
  log.write("info", "fs", "one\n2026-01-01T00:00:00.000Z 1 error fs: forged\rx");
  await log.close();
  const lines = read().trimEnd().split("\n");
  expect(lines).toHaveLength(2);
  expect(lines[1]).toBe("    2026-01-01T00:00:00.000Z 1 error fs: forged\\rx");
});

test("secrets are redacted, on the terminal and in the file", async () => {
  const { log, printed, read } = made({ secrets: ["sk-123456789"] });
  log.write("error", "llm", "401 for key sk-123456789, twice: sk-123456789");
  await log.close();
  expect(printed).toEqual(["error: 401 for key [redacted], twice: [redacted]"]);
  expect(read()).not.toContain("sk-123456789");
});

test("a secret too short to be one does not redact ordinary text", () => {
  expect(redactor(["a", ""])("a banana")).toBe("a banana");
});

test("the level is coloured if colours are on", () => {
  const marks: unknown[] = [];
  const log = createLog({
    ...{ terminal: "info", file: "info", path: undefined, secrets: [], color: true },
    print: (line, mark) => marks.push([line, mark]),
  });
  log.write("warn", "", "careful");
  log.write("info", "", "by the way");
  expect(marks).toEqual([
    ["warning: careful", { length: "warning: ".length, color: 33 }],
    ["by the way", { length: 0, color: 39 }],
  ]);
});

test("a terminal that shows the file finds no control sequences in it", async () => {
  const { log, read } = made();
  log.write("warn", "fs", "a\u001b]0;title\u0007b\u009b31mc\u007fd\u202ee\ud800f\ttab");
  await log.close();
  expect(read()).toEndWith(
    "warn fs: a\\u001b]0;title\\u0007b\\u009b31mc\\u007fd\\u202ee\\ud800f\ttab\n".replaceAll("\\\\", "\\"),
  );
});

test("the file and its folder are readable by their owner only", async () => {
  const { log, path } = made();
  log.write("info", "", "x");
  await log.close();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, "state")).mode & 0o777).toBe(0o700);
});

test("the file is rotated by size, and no line is lost", async () => {
  const { log, path } = made();
  const lines = 6_500;
  for (let count = 0; count < lines; count++) log.write("debug", "fs", `${count} ${"x".repeat(1_000)}`);
  await log.close();
  const names = readdirSync(join(folder, "state")).sort();
  expect(names).toEqual(["llmfs.log", "llmfs.log.1"]);
  const kept = names.map((name) => readFileSync(join(folder, "state", name), "utf8").split("\n").length - 1);
  expect(kept.reduce((sum, count) => sum + count)).toBe(lines);
  expect(statSync(`${path}.1`).size).toBeLessThan(6 << 20);
});

test("lines that come faster than the disk takes them are dropped and counted, and the rest is complete", async () => {
  const { log } = made();
  log.write("debug", "fs", "first");
  await Bun.sleep(50);
  const long = "x".repeat(100_000);
  for (let count = 0; count < 400; count++) log.write("debug", "fs", long);
  await log.close();
  const texts = readdirSync(join(folder, "state")).map((name) => readFileSync(join(folder, "state", name), "utf8"));
  const lines = texts.join("").split("\n");
  const kept = lines.filter((line) => line.endsWith(long)).length;
  const dropped = lines.flatMap((line) => /^\((\d+) lines dropped here/.exec(line)?.[1] ?? []);
  expect(kept + dropped.reduce((sum, count) => sum + Number(count), 0)).toBe(400);
  expect(kept).toBeLessThan(400);
});

test("a file that cannot be written causes one warning and nothing else", async () => {
  writeFileSync(join(folder, "state"), "a file where the folder should be");
  const { log, printed } = made();
  for (let count = 0; count < 5; count++) log.write("debug", "fs", "x");
  await log.close();
  expect(printed).toHaveLength(1);
  expect(printed[0]).toContain("cannot write the log file");
  expect(printed[0]).toContain("continuing without");
});

test("the file is created with its first line", async () => {
  const { log } = made({ file: "info" });
  log.write("debug", "fs", "not for the file");
  await log.close();
  expect(readdirSync(folder)).toEqual([]);
});
