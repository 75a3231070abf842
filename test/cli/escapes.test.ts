/** Text from outside with control sequences, in every output that a person sees: no command lets it pass. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { describeMounted } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { openaiServer } from "../support/openai-server.ts";
import { BINARY, Sandbox, type StartOptions } from "../support/program.ts";

const EVIL = "\u001b]0;owned\u0007\u001b[2J\u009b31m\u007f\b\u202e";

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

const llmfs = (args: readonly string[], options: StartOptions = {}) =>
  sandbox.llmfs(args, { program: BINARY, ...options });

/** The parts of a text that a terminal would obey. */
function obeyed(text: string): readonly string[] {
  return text.match(/[^\P{Cc}\n\t]|\u202e/gu) ?? [];
}

/** A snapshot that contains it wherever text can be. */
function hostileSnapshot(): string {
  const xattrs = {
    "user.llmfs.description": `described ${EVIL}`,
    "user.llmfs.prompt": `prompt ${EVIL}`,
    "user.llmfs.model": `model${EVIL}`,
    "user.llmfs.meta.model": `answered ${EVIL}`,
    "user.llmfs.meta.generator": `maker ${EVIL}`,
    [`user.llmfs.meta.${EVIL}`]: EVIL,
    "user.llmfs.descripton": EVIL,
  };
  const pending = { type: "file", mode: "0644", state: "pending" };
  const entries = [
    { path: "/", type: "directory", mode: "0755", xattrs: { "user.llmfs.prompt": EVIL } },
    { path: `/a${EVIL}.txt`, ...pending, xattrs },
    { path: `/b${EVIL}\nllmfs: all is well.txt`, ...pending, xattrs: { "user.llmfs.generator": `no${EVIL}` } },
    { path: `/circle${EVIL}`, ...pending, xattrs: { "user.llmfs.depends": `circle${EVIL}` } },
    { path: `/lost${EVIL}`, ...pending, xattrs: { "user.llmfs.depends": `nowhere${EVIL}` } },
    { path: `/made${EVIL}`, type: "file", mode: "0644", state: "ready", text: "x\n", xattrs },
    { path: `/written${EVIL}`, type: "file", mode: "0644", text: `content ${EVIL}\n`, xattrs },
  ];
  return JSON.stringify({ llmfs: 1, entries });
}

test("no control sequences are printed from names, attributes and contents of a snapshot", async () => {
  writeFileSync(sandbox.at("tree.json"), hostileSnapshot());
  const names = ["a", "made", "written", "circle", "lost"].map((name) =>
    name === "a" ? `a${EVIL}.txt` : `${name}${EVIL}`,
  );
  const commands = [
    ["plan", "tree.json"],
    ["plan", "tree.json", "--files"],
    ["plan", "tree.json", "--json"],
    ["plan", `nowhere${EVIL}`],
    ...names.flatMap((name) => [
      ["why", name, "--from", "tree.json"],
      ["context", name, "--from", "tree.json"],
      ["context", name, "--from", "tree.json", "--json"],
    ]),
    [`unknown${EVIL}`],
    ["plan", `--unknown${EVIL}`],
    ["run", "--config", `nowhere${EVIL}`, "--", "true"],
    ["run", "--prompt", "x", "--base-url", `http://${EVIL}`, "--", "true"],
    ["recordings", "ls", "--recordings", `nowhere${EVIL}`],
  ];
  for (const args of commands) {
    const { stdout, stderr } = await llmfs(args);
    expect([args.slice(0, 2), obeyed(stdout + stderr)]).toEqual([args.slice(0, 2), []]);
    if (args.includes("--json") && stdout !== "") JSON.parse(stdout);
  }
});

test("no control sequences are printed from the output, names and errors of a configuration", async () => {
  const evil = JSON.stringify(EVIL);
  writeFileSync(
    sandbox.at("c.ts"),
    `console.log(${evil}); console.error(${evil});
    const make = { generate: () => { throw new Error(${evil}); } };
    export default { generators: { [${evil}]: make }, rules: [
      { match: "fails", generator: ${evil} },
      { match: "meta", generator: "exec", options: { command: ["sh", "-c", 'printf "talk \\\\033[2J\\\\n" >&2; exit 3'] } } ] };`,
  );
  writeFileSync(sandbox.at("bad.ts"), `throw new Error(${evil});`);
  writeFileSync(sandbox.at("bad.yaml"), `rules: [{ match: "x\\e[2J", generator: "no\\x9b" }]`);
  for (const args of [
    ["generators", "--config", "c.ts"],
    ["generators", "--config", "c.ts", "--json"],
    ["generators", "test", "fails", "--config", "c.ts"],
    ["generators", "test", "meta", "--config", "c.ts"],
    ["generators", "--config", "bad.ts"],
    ["generators", "--config", "bad.yaml"],
  ]) {
    const { stdout, stderr } = await llmfs(args);
    expect([args, obeyed(stdout + stderr)]).toEqual([args, []]);
    expect(stdout + stderr).toMatch(/\\u001b|\\u009b/);
  }
});

test("no control sequences are printed from a layout's names and problems, or from a server's errors", async () => {
  const bad = { entries: [{ path: `../${EVIL}`, kind: "file", description: EVIL }] };
  await using server = await openaiServer([
    { stream: JSON.stringify(bad), model: `m${EVIL}` },
    { status: 400, body: { error: { message: `refused ${EVIL}`, code: EVIL } } },
  ]);
  const args = ["generate", "--prompt", "x", "--base-url", server.baseUrl, "--model", `m${EVIL}`, "--mode", "off"];
  const { status, stderr } = await llmfs(args);
  expect([status, obeyed(stderr)]).toEqual([86, []]);
  expect(stderr).toContain("\\u001b");
});

testWith(programs("script"))("no control sequences are printed in the line that is redrawn during layout", async () => {
  const entries = Array.from({ length: 40 }, (_, index) => ({
    path: `${index}${EVIL}.txt`,
    type: "file",
    description: EVIL,
  }));
  const text = JSON.stringify({ entries });
  const pieces = Array.from({ length: 40 }, (_, index) =>
    text.slice((index * text.length) / 40, ((index + 1) * text.length) / 40),
  );
  await using server = await openaiServer([
    async () => {
      await Bun.sleep(300);
      return { stream: pieces, after: "hang" };
    },
  ]);
  const args = [
    "generate",
    "--prompt",
    "x",
    "--base-url",
    server.baseUrl,
    "--model",
    "m",
    "--mode",
    "off",
    "--timeout",
    "2s",
  ];
  const child = Bun.spawn({
    cmd: ["script", "--quiet", "--return", "--command", [...BINARY, ...args].join(" "), "/dev/null"],
    cwd: sandbox.path,
    env: { ...sandbox.environment(), TERM: "xterm", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const seen = await new Response(child.stdout).text();
  await child.exited;
  // The name of the latest entry is in the line.
  expect(seen).toContain("laying out the tree");
  expect(seen).toContain("\\u001b]0;");
  const own = seen.replaceAll("\r\u001b[K", "").replaceAll("\r\n", "\n");
  expect(obeyed(own)).toEqual([]);
});

test("no control sequences are printed from an error of a Redis server", async () => {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.write(`-ERR ${EVIL}\r\n`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const url = `redis://127.0.0.1:${port}`;
    for (const args of [
      ["recordings", "ls", "--recordings", url],
      ["recordings", "verify", "--recordings", url],
    ]) {
      const { stderr } = await llmfs(args);
      expect([args[1], obeyed(stderr)]).toEqual([args[1], []]);
      expect(stderr).toContain("owned");
    }
  } finally {
    server.close();
  }
});

test("no control sequences are printed from labels and models of recordings", async () => {
  await using server = await openaiServer([{ stream: "made\n" }]);
  mkdirSync(sandbox.at("rec"));
  writeFileSync(sandbox.at("tree.json"), hostileSnapshot());
  const args = ["--from", "tree.json", "--base-url", server.baseUrl, "--recordings", "rec"];
  await llmfs(["run", ...args, "--", "sh", "-c", "cat a*; true"]);
  for (const action of ["ls", "verify", "prune"]) {
    const { stdout, stderr } = await llmfs(["recordings", action, "--recordings", "rec", "--dry-run"]);
    expect([action, obeyed(stdout + stderr)]).toEqual([action, []]);
  }
  writeFileSync(sandbox.at(`rec/bad${EVIL}.txt`), EVIL);
  const { stdout, stderr } = await llmfs(["recordings", "verify", "--recordings", "rec"]);
  expect(obeyed(stdout + stderr)).toEqual([]);
});

describeMounted("in a mount", () => {
  test("no control sequences are printed from names, attributes and errors, by commands, control files and the log", async () => {
    writeFileSync(sandbox.at("tree.json"), hostileSnapshot());
    await using server = await openaiServer([{ status: 400, body: { error: { message: `refused ${EVIL}` } } }]);
    const m = sandbox.directory("m");
    const args = ["--from", "tree.json", "--base-url", server.baseUrl, "--model", "m", "--mode", "off", "--debug"];
    const mounted = await llmfs(["mount", m, ...args]);
    expect([mounted.status, obeyed(mounted.stderr)]).toEqual([0, []]);
    const name = `${m}/a${EVIL}.txt`;
    const commands = [
      ["warm", m],
      ["warm", m, "--json"],
      ["warm", m, `a${EVIL}*`],
      ["regen", name],
      ["regen", name, `${m}/lost${EVIL}`],
      ["regen", "--undo", name],
      ["plan", m],
      ["plan", m, "--files"],
      ["why", name],
      ["why", `${m}/made${EVIL}`],
      ["context", name],
      ["unmount", `${m}/made${EVIL}`],
      ["mount", m, ...args],
    ];
    for (const command of commands) {
      const { stdout, stderr } = await llmfs(command);
      expect([command.slice(0, 2), obeyed(stdout + stderr)]).toEqual([command.slice(0, 2), []]);
    }
    for (const file of ["README", "status.json", "tree", "pending.json", "usage.json", "config.json"]) {
      const text = await Bun.file(`${m}/.llmfs/${file}`).text();
      expect([file, obeyed(text)]).toEqual([file, []]);
      if (file.endsWith(".json")) JSON.parse(text);
    }
    expect(readFileSync(`${m}/.llmfs/tree`, "utf8").split("\n")).not.toContain("llmfs: all is well.txt (failed)");
    const attribute = Bun.spawnSync(["getfattr", "--only-values", "-n", "user.llmfs.error", name]).stdout.toString();
    expect([attribute.includes("refused"), obeyed(attribute)]).toEqual([true, []]);
    expect(obeyed((await llmfs(["unmount", m])).stderr)).toEqual([]);
    expect(sandbox.log()).toContain("\\u001b]0;owned");
    expect(obeyed(sandbox.log())).toEqual([]);
    expect(readdirSync(m)).toEqual([]);
  });
});
