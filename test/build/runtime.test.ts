/** Environment variables of Bun, of which the executable knows none: build/runtime.ts. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import packageJson from "../../package.json";
import { ENGINE_PREFIX } from "../../src/fuse/mounting/process.ts";
import { CERTIFICATE, CERTIFICATE_KEY } from "../support/certificate.ts";
import { mounting, testWith } from "../support/needs.ts";
import { openaiServer } from "../support/openai-server.ts";
import { BINARY, Sandbox } from "../support/program.ts";

const KEY = "sk-a-key-that-nobody-may-see";

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
  writeFileSync(sandbox.at("preloaded.js"), 'console.log("preloaded");\n');
});
afterEach(() => sandbox[Symbol.dispose]());

const generate = (server: { baseUrl: string }, env: Readonly<Record<string, string>>) =>
  sandbox.llmfs(["generate", "--prompt", "one file, please", "--base-url", server.baseUrl, "--model", "m"], {
    program: BINARY,
    env: { OPENAI_API_KEY: KEY, ...env },
  });

describe("a variable that configures Bun has no effect on llmfs", () => {
  const written = "written";
  test.each([
    ["BUN_OPTIONS", "--preload=./preloaded.js"],
    ["BUN_OPTIONS", "--version"],
    ["BUN_OPTIONS", "--cpu-prof"],
    ["NODE_OPTIONS", "--require=./preloaded.js"],
    ["BUN_JSC_dumpOptions", "1"],
    ["BUN_BYTECODE_ORDER_OUT", written],
    ["BUN_BYTECODE_DIGEST_OUT", written],
    ["NODE_COMPILE_CACHE", written],
    ["NODE_V8_COVERAGE", written],
    ["DEBUG", "*"],
    ["NODE_DEBUG", "*"],
  ])("%s=%s has no effect on llmfs", async (name, value) => {
    const before = readdirSync(sandbox.path);
    const { status, stdout, stderr } = await sandbox.llmfs(["--version"], { program: BINARY, env: { [name]: value } });
    expect([status, stdout, stderr]).toEqual([0, `llmfs ${packageJson.version}\n`, ""]);
    expect(readdirSync(sandbox.path)).toEqual(before);
  });

  test("BUN_INSPECT opens no debugger", async () => {
    // Where the port is taken already, an executable that obeys ends with an error.
    using taken = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    const env = { BUN_INSPECT: `127.0.0.1:${taken.port}?wait=1`, BUN_INSPECT_PRELOAD: sandbox.at("preloaded.js") };
    const { status, stdout, stderr } = await sandbox.llmfs(["--version"], { program: BINARY, env });
    expect([status, stdout, stderr]).toEqual([0, `llmfs ${packageJson.version}\n`, ""]);
  });

  testWith(mounting())(
    "the engine's last compiler is off where a mount is served, and programs do not inherit that",
    async () => {
      const dump = { [`${ENGINE_PREFIX.executable}dumpOptions`]: "1" };
      const option = `${ENGINE_PREFIX.executable}useFTLJIT`;
      const { stderr } = await sandbox.llmfs(["--version"], { program: BINARY, env: { ...dump, [option]: "0" } });
      expect(stderr).toContain("useFTLJIT=false");
      const show = 'tr "\\0" "\\n" < /proc/$PPID/environ | grep -a useFTLJIT; env | grep -ac useFTLJIT';
      const { stdout } = await sandbox.llmfs(["run", "--", "sh", "-c", show], { program: BINARY });
      expect(stdout).toBe(`${option}=0\n0\n`);
    },
  );

  testWith(mounting())("BUN_JSC_useJIT=0, without which nothing could be mounted", async () => {
    const env = { BUN_JSC_useJIT: "0" };
    const { status, stderr } = await sandbox.llmfs(["run", "--", "true"], { program: BINARY, env });
    expect([status, stderr]).toEqual([0, ""]);
  });
});

test.each(["curl", "1", "true"])("BUN_CONFIG_VERBOSE_FETCH=%s prints no request and no key", async (value) => {
  await using server = await openaiServer([{ status: 400 }]);
  const { stdout, stderr } = await generate(server, { BUN_CONFIG_VERBOSE_FETCH: value });
  expect(server.received(0).headers.authorization).toBe(`Bearer ${KEY}`);
  expect(stdout + stderr).not.toContain(KEY);
  expect(stdout + stderr).not.toMatch(/authorization/i);
});

test("NODE_TLS_REJECT_UNAUTHORIZED=0 sends no key to a server with an untrusted certificate", async () => {
  await using server = await openaiServer([{ status: 400 }], [], { cert: CERTIFICATE, key: CERTIFICATE_KEY });
  const { status, stderr } = await generate(server, { NODE_TLS_REJECT_UNAUTHORIZED: "0" });
  expect(status).toBe(86);
  expect(stderr).toContain("set NODE_EXTRA_CA_CERTS to a file");
  expect(server.requests).toEqual([]);
});

testWith(mounting())("the command that `run` starts gets these variables as they are", async () => {
  const env = { BUN_OPTIONS: "--smol", BUN_CONFIG_VERBOSE_FETCH: "curl", NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  const { stdout } = await sandbox.llmfs(["run", "--", "env"], { program: BINARY, env });
  for (const [name, value] of Object.entries(env)) expect(stdout).toContain(`${name}=${value}\n`);
});

test("BUN_BE_BUN=1 still makes the executable Bun", async () => {
  const { status, stdout } = await sandbox.llmfs(["--version"], { program: BINARY, env: { BUN_BE_BUN: "1" } });
  expect([status, stdout]).toEqual([0, `${Bun.version}\n`]);
});
