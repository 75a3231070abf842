/** What a user sees, on a terminal made by script(1). */
import { afterEach, beforeEach, expect } from "bun:test";
import { mounting, programs, testWith } from "../../support/needs.ts";
import { openaiServer } from "../../support/openai-server.ts";
import { eventually, mountedType, Sandbox, SOURCE } from "../../support/program.ts";

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
  "progress is one line that is redrawn and removed, and then the mount is reported",
  async () => {
    const dir = sandbox.directory("mnt");
    await using server = await openaiServer([{ stream: TREE }]);
    const seen = await onTerminal(["mount", dir, "--prompt", "a tree", "--model", "m", "--base-url", server.baseUrl], {
      TERM: "xterm",
    });
    expect(mountedType(dir)).toBe("fuse.llmfs");
    expect(seen).toContain("\r\u001b[K⠋ laying out the tree (m)");
    expect(seen).toEndWith(`\r\u001b[Kmounted at ${dir}; to unmount: llmfs unmount ${dir}\r\n`);
  },
);

testWith(programs("script") ?? mounting())(
  "on a terminal, a warning has its own line, and everything continues",
  async () => {
    await using server = await openaiServer([{ stream: TREE }, { status: 401 }]);
    const model = ["--model", "m", "--base-url", server.baseUrl, "--mode", "off"];
    const seen = await onTerminal([
      "run",
      "--prompt",
      "a tree",
      ...model,
      "--",
      "sh",
      "-c",
      "cat README.md; echo next",
    ]);
    expect(seen).toContain("cat: README.md: Permission denied");
    expect(seen).toMatch(/warning: .*\/README\.md: .* answered 401 .*\r\n/);
    expect(seen).toEndWith("next\r\n");
  },
);

testWith(programs("script") ?? mounting())(
  "a mount in the foreground reports its mountpoint, and serves until it is ended",
  async () => {
    const dir = sandbox.directory("mnt");
    const mount = [...SOURCE, "mount", "-f", dir].map((word) => `'${word}'`).join(" ");
    const script = Bun.spawn(["script", "-qec", mount, "/dev/null"], { stdin: "ignore", stdout: "pipe" });
    await eventually("it is mounted", () => mountedType(dir) === "fuse.llmfs");
    expect((await sandbox.llmfs(["unmount", dir])).status).toBe(0);
    expect(await new Response(script.stdout).text()).toContain(`mounted at ${dir}`);
    expect(await script.exited).toBe(0);
  },
);

for (const TERM of ["dumb", ""]) {
  testWith(programs("script"))(`on a terminal with TERM=${TERM}, each step is a line without escapes`, async () => {
    await using server = await openaiServer([{ stream: TREE }]);
    const model = ["--model", "m", "--base-url", server.baseUrl];
    const seen = await onTerminal(["generate", "--prompt", "a tree", "-o", "tree.json", ...model], { TERM });
    expect(seen).not.toContain("\u001b");
    expect(seen).toContain("laying out the tree (m) …\r\n");
  });
}

testWith(programs("script"))("NO_COLOR turns colours off, also on a terminal", async () => {
  expect(await onTerminal(["demo"], { TERM: "xterm" })).toContain("\u001b[1m");
  expect(await onTerminal(["demo"], { TERM: "xterm", NO_COLOR: "1" })).not.toContain("\u001b[1m");
});

testWith(programs("script"))("help wraps at the width of the terminal", async () => {
  const line = `stty cols 60; ${SOURCE.join(" ")} export --help`;
  const { status, stdout } = await sandbox.llmfs([], { program: ["script", "-qec", line, "/dev/null"] });
  const widths = stdout.split("\r\n").map((text) => text.length);
  expect([status, Math.max(...widths) <= 60, Math.max(...widths) > 50]).toEqual([0, true, true]);
});
