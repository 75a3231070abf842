import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRegular, readRegularAtOnce } from "../../src/text/bounded-read.ts";

test("a short file is read at once, and a long one is left to the asynchronous way", async () => {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-read-"));
  try {
    const path = join(folder, "file");
    for (const length of [0, 1, 4096, 256 * 1024]) {
      writeFileSync(path, "x".repeat(length));
      expect(readRegularAtOnce(path, 1 << 20)?.toString()).toBe("x".repeat(length));
    }
    writeFileSync(path, "x".repeat(256 * 1024 + 1));
    expect(readRegularAtOnce(path, 1 << 20)).toBeUndefined();
    expect((await readRegular(path, 1 << 20)).length).toBe(256 * 1024 + 1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("both ways refuse the same files, for the same reasons", async () => {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-read-"));
  try {
    writeFileSync(join(folder, "file"), "x".repeat(100));
    for (const [path, most] of [
      [folder, 1000],
      [join(folder, "file"), 99],
      [join(folder, "none"), 1000],
      ["/dev/null", 1000],
    ] as const) {
      const reason = await readRegular(path, most).then(
        () => undefined,
        (error: unknown) => String(error),
      );
      expect(reason).toBeDefined();
      if (reason !== undefined) expect(() => readRegularAtOnce(path, most)).toThrow(reason.replace(/^\w*Error: /, ""));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
