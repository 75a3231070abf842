/** A process that may not make machine code, as under systemd's MemoryDenyWriteExecute= or `ulimit -v`. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mounting, programs, testWith } from "../support/needs.ts";
import { BINARY, Sandbox } from "../support/program.ts";

const compiler = programs("gcc");
const lacking = compiler ?? mounting();
const folder = mkdtempSync(join(tmpdir(), "llmfs-native-"));
const wrapper = join(folder, "no-exec-memory");

beforeAll(() => {
  if (compiler !== undefined) return;
  const source = join(import.meta.dir, "../support/no-exec-memory.c");
  expect(Bun.spawnSync(["gcc", "-o", wrapper, source]).success).toBe(true);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
  const entries = [
    { path: "/", type: "directory", mode: "0755" },
    { path: "/a.txt", type: "file", mode: "0644", state: "pending" },
  ];
  writeFileSync(sandbox.at("tree.json"), JSON.stringify({ llmfs: 1, entries }));
});
afterEach(() => sandbox[Symbol.dispose]());

const WAYS = [
  ["PR_SET_MDWE", [wrapper, "mdwe"], "MemoryDenyWriteExecute=no"],
  ["a seccomp filter", [wrapper, "seccomp"], "MemoryDenyWriteExecute=no"],
  ["ulimit -v", ["sh", "-c", 'ulimit -v 1000000; exec "$0" "$@"'], 'only; allow it more with "ulimit -v unlimited"'],
] as const;

describe.each(WAYS)("with %s", (_, way, cure) => {
  const program = [...way, ...BINARY];
  const refusal = (stderr: string) => {
    expect(stderr).toStartWith("llmfs: ");
    expect(stderr).toContain("the kernel cannot be called");
    expect(stderr).toContain(cure);
    expect(stderr).not.toContain("bug");
    expect(stderr.trimEnd()).not.toContain("\n");
  };

  testWith(lacking)("nothing is mounted, and the error names the reason and the fix", async () => {
    const commands = [["mount", sandbox.directory("m")], ["run", "--", "true"], ["demo"]];
    for (const args of commands) {
      const { status, stderr } = await sandbox.llmfs(args, { program });
      expect(status).toBe(82);
      refusal(stderr);
    }
  });

  testWith(lacking)("commands that talk to a mount fail in the same way", async () => {
    const mountpoint = sandbox.directory("m");
    const mounted = await sandbox.llmfs(["mount", mountpoint, "--from", "tree.json"], { program: BINARY });
    expect([mounted.status, mounted.stderr]).toEqual([0, ""]);
    const file = join(mountpoint, "a.txt");
    for (const args of [
      ["why", file],
      ["regen", file],
      ["warm", mountpoint],
      ["unmount", mountpoint],
    ]) {
      const { status, stderr } = await sandbox.llmfs(args, { program });
      expect([args[0], status]).toEqual([args[0], 82]);
      refusal(stderr.slice(stderr.indexOf("llmfs: ")));
    }
  });

  testWith(lacking)("commands that need no system call work", async () => {
    const { status, stdout } = await sandbox.llmfs(["plan", "tree.json"], { program });
    expect([status, stdout]).toEqual([0, expect.stringContaining("1 file is pending")]);
  });
});

test("the C library is never loaded from the current directory", async () => {
  if (lacking !== undefined) return;
  const library = sandbox.at("evil.c");
  writeFileSync(
    library,
    '#include <fcntl.h>\n__attribute__((constructor)) static void run(void) { creat("loaded", 0600); }\n',
  );
  const planted = [
    ...["libc.so.6", "libc.so", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1", "ld-musl-x86_64.so.1"],
    ...["libpthread.so.0", "libdl.so.2", "libm.so.6", "libfuse3.so.3", "libstdc++.so.6"],
  ];
  for (const name of planted) {
    expect(Bun.spawnSync(["gcc", "-shared", "-fPIC", "-o", sandbox.at(name), library]).success).toBe(true);
  }
  await sandbox.llmfs(["run", "--", "true"], { program: BINARY });
  await sandbox.llmfs(["run", "--", "true"], { program: [wrapper, "mdwe", ...BINARY] });
  expect(existsSync(sandbox.at("loaded"))).toBe(false);
});
