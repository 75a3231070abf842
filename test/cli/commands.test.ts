/**
 * Every command in the compiled binary: help, wrong command lines, JSON, exit statuses, on a terminal and off it. The
 * table says how each is called.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { kebabCase } from "../../src/app/settings/table.ts";
import type { Command } from "../../src/cli/args/command.ts";
import { COMMANDS } from "../../src/cli/llmfs.ts";
import { EXIT } from "../../src/cli/output/exit-codes.ts";
import { DESCRIBED, documented } from "../support/json-shapes.ts";
import { describeMounted, pathOf, processesOf, snapshotOf } from "../support/mounted.ts";
import { userNamespace } from "../support/needs.ts";
import { type OpenaiServer, openaiServer } from "../support/openai-server.ts";
import { BINARY, type Finished, finished, Sandbox, type StoppedProcess, stopProcess } from "../support/program.ts";
import { COMMAND_TABLE } from "./command-table.ts";

setDefaultTimeout(60_000);

const commands = await Promise.all([...COMMANDS].map(async ([name, { load }]) => [name, await load()] as const));
const ESCAPE = "\u001b";
const COLOR = new RegExp(`${ESCAPE}\\[[\\d;]*m`);

/** The lines with colours, or that a terminal would draw over others. */
const marksOf = (text: string) => text.split("\n").filter((line) => line.includes(ESCAPE) || line.includes("\r"));

let sandbox: Sandbox;
let server: OpenaiServer;
let stopped: StoppedProcess;
let number = 0;

const environment = (added: Readonly<Record<string, string>> = {}) => ({
  ...sandbox.environment(),
  PATH: `${sandbox.at("bin")}:${process.env.PATH}`,
  OPENAI_BASE_URL: server.baseUrl,
  OPENAI_API_KEY: "k",
  LLMFS_RECORDINGS: sandbox.at("rec"),
  N: String(++number),
  ...added,
});

/** In a pipe. */
async function run(script: string, added: Readonly<Record<string, string>> = {}): Promise<Finished> {
  const options = { cwd: sandbox.at("here"), env: environment(added), stdio: ["pipe", "pipe", "pipe"] as const };
  const child = Bun.spawn({ cmd: ["bash", "-c", script], ...options, stdio: [...options.stdio] });
  child.stdin.end();
  return finished(child);
}

/** With the terminal as both outputs. */
async function runOnTerminal(script: string, added: Readonly<Record<string, string>>) {
  const decoder = new TextDecoder();
  let text = "";
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const terminal = new Bun.Terminal({
    cols: 200,
    rows: 50,
    data: (_, bytes) => {
      text += decoder.decode(bytes, { stream: true });
    },
    exit: () => resolve(),
  });
  const cmd = ["bash", "-c", `exec < /dev/null; ${script}`];
  const child = Bun.spawn({ cmd, cwd: sandbox.at("here"), env: environment(added), terminal });
  const status = await child.exited;
  await Promise.race([closed, Bun.sleep(200)]);
  terminal.close();
  return { status, text };
}

const MODELS = ["gpt-6.1-terra", "refused"];
const nothing = { directories: [], symlinks: [], executable: [], unfinished: [] };
const layout = (path: string) => JSON.stringify({ files: [{ path, description: "a file", uses: [] }], ...nothing });

beforeAll(async () => {
  sandbox = new Sandbox();
  server = await openaiServer(
    [
      (request) => {
        if (request.body.model === "refused") return { status: 401, body: { error: { message: "401: bad key" } } };
        const path = pathOf(request);
        if (path !== undefined) return path === "bad.md" ? { status: 400 } : { stream: `the content of ${path}\n` };
        const prompt = JSON.stringify(request.body.messages);
        if (prompt.includes("some nonsense")) return { stream: "nonsense" };
        if (prompt.includes("what is there already")) {
          const files = ["a.md", "other.md"].map((path) => ({ path, description: "a file", uses: [] }));
          return { stream: JSON.stringify({ files, ...nothing }) };
        }
        return { stream: layout("outline.md") };
      },
    ],
    MODELS,
  );
  sandbox.directory("here");
  sandbox.directory("bin");
  symlinkSync(BINARY[0] ?? "", sandbox.at("bin/llmfs"));
  const depends = (path: string, on: string) => ({
    ...{ path, type: "file", state: "pending" },
    xattrs: { "user.llmfs.depends": on },
  });
  const files: Readonly<Record<string, string>> = {
    "tree.json": snapshotOf(["a.md", "bad.md"]),
    "good.json": snapshotOf(["a.md"]),
    "circle.json": JSON.stringify({ llmfs: 1, entries: [depends("/a.md", "/b.md"), depends("/b.md", "/a.md")] }),
    "llmfs.config.yaml": `rules:
  - { match: hello.txt, generator: static, options: { content: hello } }
  - { match: "fails*.txt", generator: exec, options: { command: ["false"] } }
`,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(sandbox.at(`here/${name}`), text);
  const given = await run(`mkdir repo mnt stopped rec && echo text > repo/file
    llmfs mount mnt --from tree.json --confirm-over 1000 && llmfs mount stopped`);
  expect([given.status, given.stderr]).toEqual([0, expect.any(String)]);
  stopped = stopProcess(processesOf(sandbox.at("here/stopped"), "--daemon")[0] ?? 0);
});

afterAll(async () => {
  stopped?.[Symbol.dispose]();
  // Ends the processes of all mounts.
  await run("for one in */; do if mountpoint -q $one; then llmfs unmount --lazy $one; fi; done");
  sandbox?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

test("every command is in the table of the tests, with a call that has JSON if it takes --json", () => {
  expect(Object.keys(COMMAND_TABLE).sort()).toEqual([...COMMANDS.keys()].sort());
  const withJson = commands.filter(([, { args }]) => "json" in args).map(([name]) => name);
  expect(
    Object.keys(COMMAND_TABLE)
      .filter((name) => COMMAND_TABLE[name]?.json !== undefined)
      .sort(),
  ).toEqual(withJson.toSorted());
});

test("every exit status is tested, and so is every one that the help of a command names", () => {
  const tested = new Map(
    Object.entries(COMMAND_TABLE).map(([name, { fails = [] }]) => [name, new Set(fails.map(([status]) => status))]),
  );
  const all = new Set([0, 2, ...[...tested.values()].flatMap((statuses) => [...statuses])]);
  // 91 and 128 + n stand for several.
  const documentedStatuses = Object.values(EXIT).map(({ code }) => code);
  expect(documentedStatuses.filter((code) => !all.has(code) && code !== EXIT.signal.code)).toEqual([]);
  const untested = commands.flatMap(([name, { notes = [] }]) =>
    [...notes.join(" ").matchAll(/\b(8[0-9]|9[0-2]|12[467])\b(?! tokens)/g)]
      .map(([code]) => Number(code))
      .filter((code) => !tested.get(name)?.has(code))
      .map((code) => `llmfs ${name}: ${code}`),
  );
  expect(untested).toEqual([]);
});

describeMounted("every command", () => {
  test.each([...COMMANDS.keys()])("%s shows its help, and rejects what it does not know", async (name) => {
    const command = commands.find(([one]) => one === name)?.[1];
    if (command === undefined) throw new Error(name);
    const help = await run(`llmfs ${name} --help`);
    expect([help.status, help.stderr]).toEqual([0, ""]);
    expect(help.stdout).toContain(`Usage: llmfs ${name}`);
    expect(help.stdout).not.toContain(ESCAPE);
    expect(await run(`llmfs help ${name}`)).toEqual(help);
    for (const [line, problem] of wrongLines(command)) {
      const { status, stdout, stderr } = await run(`llmfs ${name} ${line}`);
      expect([line, status, stdout, stderr]).toEqual([line, 2, "", expect.stringContaining(`llmfs: ${problem}`)]);
      expect(stderr).toContain(`Usage: llmfs ${name}`);
      expect(stderr).not.toContain(ESCAPE);
    }
  });

  test.each([...COMMANDS.keys()])("%s works, in a pipe and on a terminal without colours", async (name) => {
    const script = COMMAND_TABLE[name]?.works ?? "";
    const { status, stdout, stderr } = await run(script);
    expect([status, stderr]).toEqual([0, expect.any(String)]);
    expect(marksOf(`${stdout}${stderr}`)).toEqual([]);
    const plain = await runOnTerminal(script, { TERM: "xterm", NO_COLOR: "1" });
    expect([plain.status, COLOR.test(plain.text)]).toEqual([0, false]);
    const dumb = await runOnTerminal(script, { TERM: "dumb" });
    expect([dumb.status, dumb.text]).toEqual([0, expect.not.stringContaining(ESCAPE)]);
  });

  test("llmfs tree has colours on a terminal", async () => {
    const { status, text } = await runOnTerminal("llmfs tree mnt", { TERM: "xterm" });
    expect([status, COLOR.test(text)]).toEqual([0, true]);
  });

  const shapes = Object.values(COMMAND_TABLE).flatMap(({ json = {} }) => Object.entries(json));

  test("every output that docs/json.md describes is tested", () => {
    expect(shapes.map(([heading]) => heading).sort()).toEqual(DESCRIBED.toSorted());
  });

  test.each(shapes)("the JSON of llmfs %s is as docs/json.md describes it", async (heading, script) => {
    const { status, stdout, stderr } = await run(script);
    expect([
      status === 0 || (heading === "warm" && status === 90) || (heading === "diff" && status === 1),
      stderr,
    ]).toEqual([true, expect.any(String)]);
    documented(heading, stdout);
    expect(marksOf(stdout + stderr)).toEqual([]);
    const onTerminal = await runOnTerminal(`{ ${script}; } 2> said`, { TERM: "xterm" });
    documented(heading, onTerminal.text);
  });

  const failures = Object.entries(COMMAND_TABLE).flatMap(([name, { fails = [] }]) =>
    fails.map(([status, script, message]) => [name, status, script, message] as const),
  );

  test.each(failures)("%s fails with status %d: %s", async (_, expected, script, message) => {
    if (script.includes("unshare") && userNamespace() !== undefined) return;
    const { status, stdout, stderr } = await run(script);
    expect([status, stderr]).toEqual([expected, expect.stringContaining(message)]);
    expect(marksOf(stdout + stderr)).toEqual([]);
    expect(stderr).not.toContain("this is a bug");
  });
});

/** Command lines that are wrong in each way that this command can have, and the problem. */
function wrongLines({ args, rest }: Command): readonly (readonly [line: string, problem: string])[] {
  const entries = Object.entries(args);
  const flag = entries.findLast(([name, { type }]) => type !== "positional" && name.length > 3)?.[0] ?? "help";
  const spelling = kebabCase(flag);
  const misspelt = `${spelling.slice(0, 2)}x${spelling.slice(2)}`;
  const lines: (readonly [string, string])[] = [
    [`--${misspelt}`, `unknown flag --${misspelt}; did you mean --${spelling}?`],
  ];
  const places = entries.filter(([, { type }]) => type === "positional");
  if (rest?.atLeast === undefined) {
    const many = places.map(() => "x").concat("y");
    lines.push([many.join(" "), 'unexpected argument "y"']);
  }
  const [first] = places;
  if (first !== undefined && first[1].required !== false) lines.push(["", `${first[0].toUpperCase()} is missing`]);
  const valued = entries.find(([, { type }]) => type === "string")?.[0];
  if (valued !== undefined) lines.push([`--${kebabCase(valued)}`, `--${kebabCase(valued)} needs a value`]);
  return lines;
}
