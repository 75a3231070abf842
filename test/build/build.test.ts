import { afterEach, beforeEach, expect, test } from "bun:test";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../package.json";
import { BINARY, Sandbox } from "../support/program.ts";

const ROOT = join(import.meta.dir, "../..");

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

test("the binary is executable and needs nothing beside it", async () => {
  expect(statSync(BINARY[0] ?? "").mode & 0o111).toBe(0o111);
  const { status, stdout } = await sandbox.llmfs(["--version"], { program: BINARY, env: { PATH: "/nowhere" } });
  expect([status, stdout]).toEqual([0, `llmfs ${packageJson.version}\n`]);
});

test("files in the current directory do not change what the binary does", async () => {
  writeFileSync(sandbox.at(".env"), "LLMFS_MODE=nonsense\n");
  writeFileSync(sandbox.at("bunfig.toml"), 'preload = ["./evil.ts"]\n');
  writeFileSync(sandbox.at("evil.ts"), 'console.log("evil");\n');
  writeFileSync(sandbox.at("package.json"), "{ not json");
  const { status, stdout, stderr } = await sandbox.llmfs(["run", "--", "echo", "fine"], { program: BINARY });
  expect([status, stdout, stderr]).toEqual([0, "fine\n", ""]);
});

test("unknown build options are rejected", async () => {
  const build = Bun.spawn([process.execPath, join(ROOT, "build/build.ts"), "--al"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  expect(await build.exited).toBe(2);
  expect(await new Response(build.stderr).text()).toContain("unexpected argument --al");
});
