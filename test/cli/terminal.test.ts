/** What a person sees, on a terminal that script(1) makes. */
import { afterEach, beforeEach, expect } from "bun:test";
import { mounting, programs, testWith } from "../support/needs.ts";
import { openaiServer } from "../support/openai-server.ts";
import { mountedType, Sandbox, SOURCE } from "../support/program.ts";

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

const TREE = JSON.stringify({
  directories: [],
  files: [{ path: "README.md", description: "what it is" }],
  symlinks: [],
  unfinished: [],
});

/** Everything that was written to the terminal. */
async function onTerminal(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const line = [...SOURCE, ...args].map((word) => `'${word}'`).join(" ");
  const { status, stdout } = await sandbox.llmfs([], { program: ["script", "-qec", line, "/dev/null"], env });
  expect(status).toBe(0);
  return stdout;
}

testWith(programs("script") ?? mounting())(
  "progress is one line that is redrawn and taken away, and the mount is told",
  async () => {
    const dir = sandbox.directory("mnt");
    await using server = await openaiServer([{ stream: TREE }]);
    const seen = await onTerminal(["mount", dir, "--prompt", "a tree", "--model", "m", "--base-url", server.baseUrl], {
      TERM: "xterm",
    });
    expect(mountedType(dir)).toBe("fuse.llmfs");
    expect(seen).toContain("\r\u001b[K⠋ laying out the tree (m)");
    expect(seen).toEndWith(`\r\u001b[Kmounted at ${dir}; to end it: llmfs unmount ${dir}\r\n`);
  },
);

testWith(programs("script"))("NO_COLOR means none, on a terminal too", async () => {
  expect(await onTerminal(["demo"], { TERM: "xterm" })).toContain("\u001b[1m");
  expect(await onTerminal(["demo"], { TERM: "xterm", NO_COLOR: "1" })).not.toContain("\u001b[1m");
});
