/** The binaries of `npm run build -- --all`. Those of this processor run as they are, arm64 under qemu. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createDemoStore, DEMO_MODEL, DEMO_PROMPT } from "../../src/recording/stores/demo-store.ts";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { programs, testWith } from "../support/needs.ts";
import { Sandbox } from "../support/program.ts";

const DIST = join(import.meta.dir, "../../dist");
/** Where Debian's libc6-arm64-cross puts the arm64 C library. */
const ARM64_ROOT = "/usr/aarch64-linux-gnu";
const PLATFORMS = [
  "linux-x64",
  "linux-x64-baseline",
  "linux-x64-musl",
  "linux-arm64",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
];

const built = existsSync(join(DIST, "SHA256SUMS"))
  ? undefined
  : "the binaries of all platforms (npm run build -- --all)";
const qemu = programs("qemu-aarch64-static") ?? (existsSync(ARM64_ROOT) ? undefined : "the package libc6-arm64-cross");

const RUNNERS: readonly (readonly [string, readonly string[], string | undefined])[] = [
  ["linux-x64", [], process.arch === "x64" ? undefined : "an x64 processor"],
  ["linux-x64-baseline", [], process.arch === "x64" ? undefined : "an x64 processor"],
  [
    "linux-arm64",
    process.arch === "arm64" ? [] : ["qemu-aarch64-static", "-L", ARM64_ROOT],
    process.arch === "arm64" ? undefined : qemu,
  ],
];

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

testWith(built)("every platform has a binary, and SHA256SUMS is right about each", () => {
  const sums = readFileSync(join(DIST, "SHA256SUMS"), "utf8").trimEnd().split("\n");
  expect(sums.map((line) => line.split("  ")[1])).toEqual(PLATFORMS.map((platform) => `llmfs-${platform}`));
  for (const line of sums) {
    const [sum, name] = line.split("  ");
    expect(new Bun.CryptoHasher("sha256").update(readFileSync(join(DIST, name ?? ""))).digest("hex")).toBe(sum ?? "");
  }
});

describe.each(RUNNERS)("%s", (platform, runner, lacking) => {
  const program = [...runner, join(DIST, `llmfs-${platform}`)];

  testWith(built ?? lacking)("the executable prints its version", async () => {
    const { status, stdout } = await sandbox.llmfs(["--version"], { program });
    expect([status, stdout]).toEqual([0, "llmfs 0.1.0\n"]);
  });

  testWith(built ?? lacking)("the executable ignores Bun's environment variables", async () => {
    const env = { BUN_OPTIONS: "--revision", BUN_JSC_dumpOptions: "1" };
    const { stdout, stderr } = await sandbox.llmfs(["--version"], { program, env });
    expect([stdout, stderr]).toEqual(["llmfs 0.1.0\n", ""]);
  });

  testWith(built ?? lacking)("the executable generates a tree from recorded answers", async () => {
    const store = createFolderStore(sandbox.at("rec"));
    for (const recording of await createDemoStore().list()) await store.put(recording);
    const { status, stdout } = await sandbox.llmfs(
      ["generate", "--prompt", DEMO_PROMPT, "--model", DEMO_MODEL, "--mode", "replay", "--recordings", "rec"],
      { program },
    );
    expect(status).toBe(0);
    expect(JSON.parse(stdout).entries.length).toBeGreaterThan(20);
  });
});

test("a binary for this machine has this machine's architecture", () => {
  const header = readFileSync(join(DIST, "llmfs")).subarray(0, 20);
  expect(header.subarray(1, 4).toString()).toBe("ELF");
  // e_machine of elf(5): EM_X86_64, EM_AARCH64.
  expect(header.readUInt16LE(18)).toBe(process.arch === "x64" ? 62 : 183);
});
