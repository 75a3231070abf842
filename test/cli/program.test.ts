import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import packageJson from "../../package.json";
import { COMMANDS } from "../../src/cli/llmfs.ts";
import { Sandbox, SOURCE } from "../support/program.ts";

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = new Sandbox();
});
afterAll(() => sandbox[Symbol.dispose]());

const llmfs = (...args: string[]) => sandbox.llmfs(args);

test("--version prints program and version to standard output", async () => {
  expect(await llmfs("--version")).toEqual({ status: 0, stdout: `llmfs ${packageJson.version}\n`, stderr: "" });
});

test("version prints the same line, and with --json what the program is made of", async () => {
  expect(await llmfs("version")).toEqual(await llmfs("--version"));
  const { status, stdout } = await llmfs("version", "--json");
  expect([status, JSON.parse(stdout)]).toEqual([
    0,
    { version: packageJson.version, bun: Bun.version, platform: process.platform, arch: process.arch },
  ]);
});

test("--help names every command", async () => {
  const { status, stdout, stderr } = await llmfs("--help");
  expect([status, stderr]).toEqual([0, ""]);
  for (const name of COMMANDS.keys()) expect(stdout).toContain(`  ${name} `);
  expect((await llmfs("-h")).stdout).toBe(stdout);
});

test("every command has its own --help on standard output, whatever else is on the line", async () => {
  for (const name of COMMANDS.keys()) {
    const { status, stdout, stderr } = await llmfs(name, "--nonsense", "--help");
    expect([name, status, stderr]).toEqual([name, 0, ""]);
    expect(stdout).toContain(`Usage: llmfs ${name}`);
  }
});

test("help prints the same as --help, with or without a command", async () => {
  expect(await llmfs("help")).toEqual(await llmfs("--help"));
  expect(await llmfs("help", "mount")).toEqual(await llmfs("mount", "--help"));
  expect(await llmfs("help", "umount")).toEqual(await llmfs("unmount", "--help"));
});

test("umount is the same as unmount", async () => {
  const { status, stderr } = await llmfs("umount", sandbox.path);
  expect([status, stderr]).toEqual([83, (await llmfs("unmount", sandbox.path)).stderr]);
});

test("arguments after -- belong to the command that is run, even --help", async () => {
  const { stdout } = await llmfs("run", "--", "printf", "%s\\n", "--help");
  expect(stdout).toBe("--help\n");
});

test("an argument that is not UTF-8 is refused, because it would become another one", async () => {
  // The tests cannot pass such an argument themselves.
  const program = ["sh", "-c", `exec "$@" "$(printf 'a\\377')"`, "sh", ...SOURCE];
  for (const args of [["add", "m/a.txt"], ["run", "--", "printf", "%s"], ["list"]]) {
    const { status, stdout, stderr } = await sandbox.llmfs(args, { program });
    expect([status, stdout, stderr]).toEqual([2, "", expect.stringContaining("is not valid UTF-8")]);
  }
  expect((await llmfs("run", "--", "printf", "%s", "\ufffd")).stdout).toBe("\ufffd");
});

test("help has no colours without a terminal", async () => {
  expect((await llmfs("mount", "--help")).stdout).not.toContain("\u001b");
});

test.each([
  ["recordings", "ls|verify|prune|copy|sign"],
  ["completions", "bash|zsh|fish"],
])("%s without an action shows its help, and exits with status 2", async (name, actions) => {
  const { status, stdout, stderr } = await llmfs(name);
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(`is missing; expected ${actions.replaceAll("|", ", ")}\n`);
  const help = (await llmfs(name, "--help")).stdout;
  expect(help).toContain(`Usage: llmfs ${name} ${actions}`);
  expect(stderr).toEndWith(`\n\n${help}`);
});

test("plan outside of mounts says what to name", async () => {
  const { status, stdout, stderr } = await sandbox.llmfs(["plan"], { cwd: sandbox.path });
  expect([status, stdout]).toEqual([83, ""]);
  expect(stderr).toContain("the current directory is not in an llmfs mount; name a mount or a snapshot");
});

describe("a wrong command line exits with status 2, prints the reason and the usage, and does nothing:", () => {
  const cases: readonly (readonly [string, readonly string[], string])[] = [
    ["no arguments", [], "no command given"],
    ["the letter of other tools for the version", ["-v"], "unknown flag -v; did you mean -V, which shows the version?"],
    ["an unknown flag", ["mount", "/tmp", "--promt", "x"], "unknown flag --promt; did you mean --prompt?"],
    ["an unknown flag in first place", ["--forground", "/tmp"], "unknown flag --forground; did you mean --foreground?"],
    ["a letter that is not a flag", ["mount", "/tmp", "-P", "x"], "unknown flag -P\n"],
    ["a flag's letter in the wrong case", ["unmount", "-L", "/tmp"], "unknown flag -L; did you mean -l?"],
    ["help for an unknown command", ["help", "moutn"], "unknown command moutn; did you mean mount?"],
    ["help for two commands", ["help", "mount", "run"], 'unexpected argument "run"'],
    ["a misspelt umount", ["umuont", "/tmp"], "unknown command umuont; did you mean umount?"],
    ["umount without a mountpoint", ["umount"], "DIR is missing"],
    ["a misspelt command", ["moutn", "/tmp"], "unknown command moutn; did you mean mount?"],
    ["a word nearly a command in place of DIR", ["verson"], "unknown command verson; did you mean version?"],
    ["another tool's word for a command", ["stop", "/tmp"], "unknown command stop; did you mean unmount?"],
    [
      "a first word for something that is no command",
      ["events", "/tmp"],
      "unknown command events; did you mean tail -f DIR",
    ],
    [
      "a word that is no command, with an argument",
      ["frobnicate", "work"],
      "unknown command frobnicate\nUsage: llmfs COMMAND",
    ],
    [
      "a word alone",
      ["frobnicate"],
      "frobnicate is neither a command nor a directory; to mount there, make the directory first",
    ],
    ["another tool's word for the log", ["logs", "-f"], "unknown command logs; did you mean tail -f "],
    [
      "a description without its flag",
      ["mount", "m", "a list in Go"],
      "unexpected argument \"a list in Go\"; to describe a tree, write --prompt 'a list in Go'",
    ],
    [
      "a description without its flag, for run",
      ["run", "a list", "--", "ls"],
      "unexpected argument \"a list\"; to describe a tree, write --prompt 'a list'",
    ],
    [
      "a description without its flag, for generate",
      ["generate", "x"],
      'unexpected argument "x"; to describe a tree, write --prompt x',
    ],
    [
      "a description without its flag, for grow",
      ["grow", "r", "tests for it"],
      "unexpected argument \"tests for it\"; to describe a tree, write --prompt 'tests for it'",
    ],
    [
      "a command in one word without --",
      ["run", "make test"],
      'unexpected argument "make test"; put -- before the command: -- make test …; to describe',
    ],
    [
      "a snapshot without its flag",
      ["mount", "tree.json", "m"],
      'unexpected argument "m"; to use a snapshot, write --from tree.json',
    ],
    ["the letter of other tools for a prompt", ["mount", "m", "-p", "x"], "unknown flag -p; did you mean --prompt?"],
    [
      "a flag's value that looks like a flag",
      ["mount", "m", "--prompt", "-x"],
      "--prompt needs a value, but -x looks like a flag; to pass it as the value, write --prompt=-x",
    ],
    [
      "unmount with --save",
      ["unmount", "m", "--save", "f.json"],
      "unknown flag --save; mount takes it; to save now, run llmfs save m f.json",
    ],
    [
      "unmount with --save first",
      ["unmount", "--save=f.json", "m"],
      "unknown flag --save; mount takes it; to save now, run llmfs save m f.json",
    ],
    [
      "export with --from",
      ["export", "--from", "tree.json", "out"],
      "unknown flag --from; name the snapshot itself: tree.json, or",
    ],
    [
      "warm with --from",
      ["warm", "--from", "tree.json"],
      "unknown flag --from; this works on mounts: llmfs mount DIR --from tree.json",
    ],
    ["a surplus argument", ["unmount", "/a", "/b"], 'unexpected argument "/b"'],
    ["a surplus argument after --version", ["--version", "x"], 'unexpected argument "x"'],
    ["a missing argument", ["save", "/tmp"], "FILE is missing; DIR can be left out only in a mount"],
    ["save without arguments", ["save"], "FILE is missing"],
    [
      "an action that is missing",
      ["recordings", "--json"],
      "ACTION is missing; expected ls, verify, prune, copy, sign\n",
    ],
    [
      "a header without a name",
      ["config", "--header", "bad"],
      "--header: it has no colon; expected Name: value, such as",
    ],
    ["a missing --", ["run", "ls", "-l"], 'unexpected argument "ls"; put -- before the command'],
    ["no command to run", ["run"], "no command to run; add -- CMD"],
    ["a bad size", ["run", "--size", "huge", "--", "true"], "--size huge: expected a size"],
    ["no prompt to generate from", ["generate"], "--prompt is missing, and LLMFS_PROMPT is not set"],
    [
      "a prompt and a snapshot",
      ["run", "--prompt", "a b", "--from", "x", "--", "true"],
      "--prompt and --from exclude each other",
    ],
  ];
  test.each(cases)("%s", async (_, args, message) => {
    const { status, stdout, stderr } = await llmfs(...args);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(`llmfs: ${message}`);
    expect(stderr).toContain("Usage: llmfs");
  });
});

test.each([
  ["stop", "did you mean unmount?"],
  ["logs", "did you mean tail -f /"],
  ["ps", "did you mean list?"],
])("a directory named %s is mounted only if the command says so", async (name, guess) => {
  sandbox.directory(name);
  const { status, stdout, stderr } = await sandbox.llmfs([name], { cwd: sandbox.path });
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(`llmfs: unknown command ${name}; ${guess}`);
  expect(stderr).toContain(`to mount at the directory ${name}, run llmfs mount ${name}, or llmfs ./${name}\n`);
});

test("a command for mounts says how to use a snapshot", async () => {
  writeFileSync(sandbox.at("tree.json"), "{}");
  const mountFirst = "If tree.json is a snapshot, mount it first: llmfs mount DIR --from tree.json";
  for (const args of [
    ["warm", "tree.json"],
    ["regen", "tree.json/a.md"],
    ["add", "tree.json/a.md", "x"],
    ["check", "tree.json", "--", "true"],
    ["save", "tree.json", "out.json"],
    ["unmount", "tree.json"],
    ["mount", "tree.json"],
    ["tree.json"],
  ]) {
    const { status, stderr } = await sandbox.llmfs(args, { cwd: sandbox.path });
    expect([status === 0, args, stderr]).toEqual([false, args, expect.stringContaining(mountFirst)]);
  }
  const grow = await sandbox.llmfs(["grow", "tree.json", "--prompt", "a b"], { cwd: sandbox.path });
  expect(grow.stderr).toContain("if it is a snapshot, write --from tree.json -o tree.json");
});

describe("an error is reported for", () => {
  test("a missing prompt file is an error", async () => {
    const { status, stderr } = await llmfs("generate", "--prompt", "prompts/site.md");
    expect(status).toBe(84);
    expect(stderr).toBe(
      "llmfs: --prompt prompts/site.md: looks like a file name, but does not exist; to use it as text, pass it on standard input (--prompt -)\n",
    );
  });

  test("a prompt file that is not text is an error", async () => {
    await Bun.write(sandbox.at("picture.png"), new Uint8Array([0x89, 0x50, 0xff]));
    const { status, stderr } = await llmfs("generate", "-F", "picture.png");
    expect(status).toBe(84);
    expect(stderr).toBe("llmfs: --prompt: picture.png is not UTF-8 text\n");
  });

  test("an empty prompt on standard input is an error", async () => {
    const { status, stderr } = await sandbox.llmfs(["generate", "--prompt", "-"], { stdin: "\n" });
    expect(status).toBe(84);
    expect(stderr).toContain("standard input is empty");
  });

  test("a variable with an invalid value is an error", async () => {
    const { status, stderr } = await sandbox.llmfs(["generate", "--prompt", "a b"], { env: { LLMFS_MODE: "replya" } });
    expect(status).toBe(2);
    expect(stderr).toBe("llmfs: LLMFS_MODE replya: expected auto, record, replay or off\n");
  });
});
