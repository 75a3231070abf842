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
  test("demo shows a prompt become a tree, and a file come into being, with no key and no network", async () => {
    // A server that is not there: whoever asks one fails.
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

  test("demo leaves nothing behind: no mount, no folder, no log, no recordings", async () => {
    await sandbox.llmfs(["demo"], { program });
    // What bun itself keeps when it runs from source is not ours.
    expect(readdirSync(sandbox.path).filter((name) => name !== ".bun")).toEqual([]);
  });
});
