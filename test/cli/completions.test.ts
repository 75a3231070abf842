/** Completion scripts in the shells themselves, and the man page through man(1). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { COMMANDS } from "../../src/cli/llmfs.ts";
import { programs, testWith } from "../support/needs.ts";
import { BINARY, Sandbox } from "../support/program.ts";
import { Terminal } from "../support/terminal.ts";

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = new Sandbox();
  for (const shell of ["bash", "zsh", "fish"]) {
    writeFileSync(sandbox.at(shell), (await sandbox.llmfs(["completions", shell], { program: BINARY })).stdout);
  }
  writeFileSync(sandbox.at("tree one.json"), "{}");
});
afterAll(() => sandbox[Symbol.dispose]());

test.each(["bash", "zsh", "fish"])("the script for %s has every command and every flag", async (shell) => {
  const script = await Bun.file(sandbox.at(shell)).text();
  for (const [name, { load }] of COMMANDS) {
    expect(script).toContain(name);
    for (const [key, arg] of Object.entries((await load()).args)) {
      const flag = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      if (arg.type !== "positional") expect(script).toContain(shell === "fish" ? `-l ${flag}` : `--${flag}`);
    }
  }
});

test("a completion script is printed only for a known shell", async () => {
  const { status, stdout, stderr } = await sandbox.llmfs(["completions", "fisch"], { program: BINARY });
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("SHELL fisch: expected bash, zsh, fish; did you mean fish?");
  expect((await sandbox.llmfs(["completions"], { program: BINARY })).status).toBe(2);
});

/** What is typed, and how the line continues after the tab key was pressed. */
const TYPED: readonly (readonly [what: string, typed: string, completed: string])[] = [
  ["a command", "llmfs unmo", "llmfs unmount "],
  ["a flag", "llmfs mount --read-o", "llmfs mount --read-only "],
  ["the choices of a flag", "llmfs mount --mode rep", "llmfs mount --mode replay "],
  ["the choices of an argument", "llmfs recordings ver", "llmfs recordings verify "],
  ["a file for a flag", "llmfs mount --from tr", "llmfs mount --from tree\\ one.json "],
];

describe("the tab key completes", () => {
  testWith(programs("bash"))("the tab key completes commands, flags, choices and files in bash", async () => {
    await completes(["bash", "--norc", "-i"], "bash", [
      ...TYPED,
      ["the choices after an equals sign", "llmfs mount --mode=rep", "llmfs mount --mode=replay "],
      ["a file after --", "llmfs run -- cat tr", "llmfs run -- cat tree\\ one.json "],
    ]);
  });

  testWith(programs("zsh"))("the tab key completes commands, flags, choices and files in zsh", async () => {
    await completes(["zsh", "-f", "-i"], "zsh", [
      ...TYPED,
      ["the choices after an equals sign", "llmfs mount --mode=rep", "llmfs mount --mode=replay "],
    ]);
  });

  testWith(programs("fish"))("in fish: commands, flags, choices and files", () => {
    for (const [what, typed, completed] of TYPED) {
      const { stdout } = Bun.spawnSync({
        cmd: ["fish", "--no-config", "-c", `source fish; complete -C ${JSON.stringify(typed)}`],
        cwd: sandbox.path,
        env: sandbox.environment(),
      });
      const word = completed
        .trimEnd()
        .split(/(?<!\\) /)
        .at(-1)
        ?.replace("\\", "");
      expect([what, stdout.toString().split(/[\t\n]/)[0]]).toEqual([what, word]);
    }
  });
});

async function completes(cmd: readonly string[], script: string, cases: typeof TYPED): Promise<void> {
  await using terminal = new Terminal(cmd, { cwd: sandbox.path, env: { ...sandbox.environment(), PS1: "% " } });
  if (script === "zsh") terminal.type("PROMPT='% '; autoload -Uz compinit && compinit -D -u\r");
  terminal.type(`source ./${script}; echo load''ed\r`);
  await terminal.shows("loaded");
  for (const [what, typed, completed] of cases) {
    terminal.type(`${typed}\t`);
    try {
      // The shell writes the rest of the word. A space after it may be surrounded by escape sequences.
      await terminal.shows(completed.slice(typed.length).trimEnd());
    } catch (error) {
      throw new Error(`${what}: ${String(error)}`);
    }
    // Ctrl-U takes the line away.
    terminal.type("\u0015");
  }
}

describe("the man page", () => {
  testWith(programs("man"))(
    "the man page is correct roff and describes every command, flag, variable and exit status",
    async () => {
      const { status, stdout } = await sandbox.llmfs(["man"], { program: BINARY });
      expect(status).toBe(0);
      writeFileSync(sandbox.at("llmfs.1"), stdout);
      const shown = Bun.spawnSync({
        cmd: ["man", "--warnings", "-l", "llmfs.1"],
        cwd: sandbox.path,
        env: { ...sandbox.environment(), MANWIDTH: "200", LC_ALL: "C.UTF-8" },
      });
      expect(shown.stderr.toString()).toBe("");
      const page = shown.stdout.toString();
      for (const word of [...COMMANDS.keys(), "--prompt TEXT|FILE", "OPENAI_API_KEY", "EXIT STATUS", "128 + n"]) {
        expect(page).toContain(word);
      }
    },
  );
});
