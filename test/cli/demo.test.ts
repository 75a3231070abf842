import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { DEMO_PROMPT } from "../../src/recording/stores/demo-store.ts";
import { PROGRAMS, Sandbox } from "../support/program.ts";

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

describe.each(PROGRAMS)("%s", (_, program) => {
  test("demo shows how a prompt becomes a tree and how a file is generated, without a key and a network", async () => {
    // There is no server at this address, so any request fails.
    const env = {
      OPENAI_BASE_URL: "http://127.0.0.1:9/v1",
      OPENAI_API_KEY: "sk-unused",
      LLMFS_PROMPT: "something else",
    };
    const { status, stdout } = await sandbox.llmfs(["demo"], { program, env });
    expect(status).toBe(0);
    expect(stdout).toContain(DEMO_PROMPT);
    expect(stdout).toContain("/README.md (pending)");
    expect(stdout).toContain("$ cat README.md\n    # tides\n");
    expect(stdout).toContain("/README.md (ready)");
    expect(stdout).toMatch(/The first read took \d+ ms/);
    expect(stdout).not.toContain("\u001b");
  });

  test("demo leaves no mount, folder, log or recordings behind", async () => {
    await sandbox.llmfs(["demo"], { program });
    // Files that bun itself keeps when it runs from source do not count.
    expect(readdirSync(sandbox.path).filter((name) => name !== ".bun")).toEqual([]);
  });
});
