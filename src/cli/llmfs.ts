/**
 * The table of commands, and the dispatch from a command line to an exit status.
 *
 * A command is loaded when it is called, so that `--version` and `unmount` do not load the filesystem or the model.
 */

import { existsSync } from "node:fs";
import { UsageError } from "../app/errors.ts";
import { currentDirectory } from "../app/machine/current-directory.ts";
import { findMount } from "../app/running/find-mount.ts";
import { CONTROL_NAME } from "../attributes.ts";
import { findNearest } from "../text/did-you-mean.ts";
import type { Command, CommandEntry, CommandTable } from "./args/command.ts";
import { formatCommandHelp, formatGeneralHelp, formatUsage, helpWidth } from "./args/help.ts";
import { choiceOf } from "./args/parse.ts";
import { asksForHelp } from "./args/unparsed.ts";
import { EXIT } from "./output/exit-codes.ts";
import { columnsOf, say, show } from "./output/terminal.ts";
import { VERSION } from "./version.ts";

const DESCRIPTION =
  "Mount a directory tree described by a prompt. Each file is generated the first time something reads it.";

export const COMMANDS: CommandTable = new Map<string, CommandEntry>([
  [
    "mount",
    { summary: "Mount a filesystem at DIR", load: async () => (await import("./commands/mounts/mount.ts")).mount },
  ],
  ["unmount", { summary: "Unmount DIR", load: async () => (await import("./commands/mounts/unmount.ts")).unmount }],
  [
    "run",
    { summary: "Run a command in a temporary mount", load: async () => (await import("./commands/mounts/run.ts")).run },
  ],
  ["list", { summary: "List all mounts", load: async () => (await import("./commands/mounts/list.ts")).list }],
  [
    "status",
    { summary: "Show what a mount is doing", load: async () => (await import("./commands/mounts/status.ts")).status },
  ],
  [
    "tree",
    {
      summary: "Show a tree with the states of its files",
      load: async () => (await import("./commands/trees/tree.ts")).tree,
    },
  ],
  ["ls", { summary: "List a directory of a tree", load: async () => (await import("./commands/trees/ls.ts")).ls }],
  ["cat", { summary: "Print files of a tree", load: async () => (await import("./commands/trees/cat.ts")).cat }],
  ["write", { summary: "Write a file of a tree", load: async () => (await import("./commands/trees/write.ts")).write }],
  [
    "export",
    {
      summary: "Turn a tree into a directory or an archive",
      load: async () => (await import("./commands/trees/export.ts")).exportTree,
    },
  ],
  [
    "import",
    {
      summary: "Add a directory or an archive to a tree",
      load: async () => (await import("./commands/trees/import.ts")).importFiles,
    },
  ],
  ["diff", { summary: "Compare two trees", load: async () => (await import("./commands/trees/diff.ts")).diff }],
  [
    "generate",
    {
      summary: "Lay out a tree as a snapshot, without mounting it",
      load: async () => (await import("./commands/trees/generate.ts")).generate,
    },
  ],
  [
    "warm",
    {
      summary: "Generate files before they are read",
      load: async () => (await import("./commands/content/warm.ts")).warm,
    },
  ],
  [
    "check",
    {
      summary: "Repair and freeze a tree until a command passes",
      load: async () => (await import("./commands/content/check.ts")).check,
    },
  ],
  [
    "plan",
    {
      summary: "Estimate what generating the files would cost",
      load: async () => (await import("./commands/content/plan.ts")).plan,
    },
  ],
  [
    "context",
    {
      summary: "Show what would be sent for a file, and why",
      load: async () => (await import("./commands/content/context.ts")).context,
    },
  ],
  [
    "regen",
    {
      summary: "Generate new content for files, or restore the old content",
      load: async () => (await import("./commands/content/regen.ts")).regen,
    },
  ],
  [
    "why",
    {
      summary: "Show where the content of a file comes from",
      load: async () => (await import("./commands/content/why.ts")).why,
    },
  ],
  [
    "recordings",
    {
      summary: "List, check or remove recorded answers",
      load: async () => (await import("./commands/content/recordings.ts")).recordings,
    },
  ],
  [
    "grow",
    {
      summary: "Lay out more files for an existing tree",
      load: async () => (await import("./commands/trees/grow.ts")).grow,
    },
  ],
  [
    "add",
    {
      summary: "Add one file to a mount; it is generated when it is read",
      load: async () => (await import("./commands/trees/add.ts")).add,
    },
  ],
  [
    "save",
    { summary: "Save the tree mounted at DIR", load: async () => (await import("./commands/mounts/save.ts")).save },
  ],
  [
    "mcp",
    {
      summary: "Serve a tree to a client of the Model Context Protocol",
      load: async () => (await import("./commands/mounts/mcp.ts")).mcp,
    },
  ],
  [
    "init",
    {
      summary: "Write a configuration to begin with",
      load: async () => (await import("./commands/program/init.ts")).init,
    },
  ],
  [
    "config",
    {
      summary: "Show the settings that apply, and where each one comes from",
      load: async () => (await import("./commands/program/config.ts")).config,
    },
  ],
  [
    "allow",
    {
      summary: "Permit more spending in a mount with --confirm-over",
      load: async () => (await import("./commands/mounts/allow.ts")).allow,
    },
  ],
  [
    "trust",
    {
      summary: "Trust the configuration of a directory",
      load: async () => (await import("./commands/program/trust.ts")).trust,
    },
  ],
  [
    "generators",
    {
      summary: "Show the generators of a configuration, and test one",
      load: async () => (await import("./commands/content/generators.ts")).generators,
    },
  ],
  [
    "doctor",
    {
      summary: "Check whether mounts work here, and how to fix it",
      load: async () => (await import("./commands/mounts/doctor.ts")).doctor,
    },
  ],
  [
    "demo",
    {
      summary: "Show llmfs at work, without a key or a network",
      load: async () => (await import("./commands/program/demo.ts")).demo,
    },
  ],
  [
    "completions",
    {
      summary: "Print a completion script for bash, zsh or fish",
      load: async () => (await import("./commands/program/completions.ts")).createCompletions(COMMANDS, ALIASES),
    },
  ],
  [
    "man",
    {
      summary: "Print the man page",
      load: async () => (await import("./commands/program/man.ts")).createMan(DESCRIPTION, COMMANDS, ALIASES),
    },
  ],
  [
    "version",
    { summary: "Show the version", load: async () => (await import("./commands/program/version.ts")).version },
  ],
]);

/** Other names of commands. */
const ALIASES: ReadonlyMap<string, string> = new Map([["umount", "unmount"]]);

/** The valid first words of a command line. */
const WORDS = [...COMMANDS.keys(), ...ALIASES.keys(), "help"];

/** Words that other tools have for a command. They are suggested, not accepted. */
const SYNONYMS: ReadonlyMap<string, string> = new Map([
  ["start", "mount"],
  ["up", "mount"],
  ["create", "mount"],
  ["new", "mount"],
  ["attach", "mount"],
  ["eject", "unmount"],
  ["stop", "unmount"],
  ["down", "unmount"],
  ["kill", "unmount"],
  ["quit", "unmount"],
  ["exit", "unmount"],
  ["close", "unmount"],
  ["detach", "unmount"],
  ["rm", "unmount"],
  ["remove", "unmount"],
  ["delete", "unmount"],
  ["exec", "run"],
  ["shell", "run"],
  ["dump", "save"],
  ["backup", "save"],
  ["commit", "save"],
  ["ps", "list"],
  ["mounts", "list"],
  ["info", "status"],
  ["show", "status"],
  ["stat", "status"],
  ["stats", "status"],
  ["inspect", "status"],
  ["top", "status"],
  ["watch", "status --watch"],
  ["cost", "status"],
  ["restart", "unmount, then mount"],
  ["retry", "regen"],
  ["edit", "write"],
  ["cp", "export"],
  ["find", "ls"],
  ["explain", "why"],
  ["events", `tail -f DIR/${CONTROL_NAME}/events`],
]);

/** The words for which the log is suggested. */
const LOG_WORDS: ReadonlySet<string> = new Set(["log", "logs", "journal", "tail"]);

/** What another tool's word for a command means here. */
async function findSynonym(word: string): Promise<string | undefined> {
  if (!LOG_WORDS.has(word)) return SYNONYMS.get(word);
  const { defaultLogFile } = await import("../app/settings/settings.ts");
  return `tail -f ${defaultLogFile()}`;
}

/** Runs one command line and resolves with the exit status. Never rejects. */
export async function llmfs(argv: readonly string[]): Promise<number> {
  try {
    return await dispatch(argv);
  } catch (error) {
    if (error instanceof UsageError) return reportUsageError(argv, error);
    const { explain } = await import("./output/explain-error.ts");
    const { status, message } = explain(error);
    if (message !== undefined) say(`llmfs: ${message}`);
    return status;
  }
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const [first, ...others] = argv;
  if (first === "--version" || first === "-V") {
    if (others.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(others[0])}`);
    show(`llmfs ${VERSION}\n`);
    return EXIT.ok.code;
  }
  if (first === "-v") throw new UsageError("unknown flag -v; did you mean -V, which shows the version?");
  if (first === undefined) throw new UsageError("no command given");
  if (first === "help") return await runHelp(others);
  const [name, entry, rest] = await chooseCommand(argv);
  if (!asksForHelp(rest)) return (await entry.load()).invoke(rest);
  if (name === "mount" && first !== "mount" && first.startsWith("-")) show(await formatHelp(1));
  else show(formatCommandHelp(name, entry.summary, await entry.load(), await widthOf(1)));
  return EXIT.ok.code;
}

/** `llmfs help [COMMAND]` shows the same as --help. */
async function runHelp([topic, surplus]: readonly string[]): Promise<number> {
  if (surplus !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(surplus)}`);
  if (topic === undefined || asksForHelp([topic])) show(await formatHelp(1));
  else {
    const [name, entry] = findCommand(topic) ?? throwUnknownCommand(topic, await findSynonym(topic));
    show(formatCommandHelp(name, entry.summary, await entry.load(), await widthOf(1)));
  }
  return EXIT.ok.code;
}

function findCommand(word: string): [name: string, entry: CommandEntry] | undefined {
  const name = ALIASES.get(word) ?? word;
  const entry = COMMANDS.get(name);
  return entry === undefined ? undefined : [name, entry];
}

function throwUnknownCommand(word: string, synonym: string | undefined): never {
  const guess = synonym ?? findNearest(word, WORDS);
  throw new UsageError(`unknown command ${word}${guess === undefined ? "" : `; did you mean ${guess}?`}`);
}

/** `llmfs DIR …` means `llmfs mount DIR …`, unless DIR looks like a command. */
async function chooseCommand(
  argv: readonly string[],
): Promise<[name: string, entry: CommandEntry, rest: readonly string[]]> {
  const first = argv[0] ?? "";
  const found = findCommand(first);
  if (found !== undefined) return [...found, argv.slice(1)];
  if (!first.startsWith("-") && !first.includes("/")) {
    const synonym = await findSynonym(first);
    if (!isThere(first)) {
      const another = argv[1] !== undefined && !argv[1].startsWith("-");
      if ((synonym ?? findNearest(first, WORDS)) !== undefined || another) throwUnknownCommand(first, synonym);
      if (!asksForHelp(argv)) {
        throw new UsageError(`${first} is neither a command nor a directory; to mount there, make the directory first`);
      }
    } else if (synonym !== undefined) {
      const there = `to mount at the directory ${first}, run llmfs mount ${first}, or llmfs ./${first}`;
      throw new UsageError(`unknown command ${first}; did you mean ${synonym}? Or, ${there}`);
    }
  }
  const mount = COMMANDS.get("mount");
  if (mount === undefined) throw new Error("the table of commands lacks mount");
  return ["mount", mount, argv];
}

/** Sends no request to a mount, which may not answer. */
function isThere(name: string): boolean {
  return currentDirectory() !== undefined && (findMount(name) !== undefined || existsSync(name));
}

async function widthOf(output: 1 | 2): Promise<number> {
  const { readColumns } = await import("../app/settings/settings.ts");
  return helpWidth(readColumns() ?? columnsOf(output));
}

async function formatHelp(output: 1 | 2): Promise<string> {
  return formatGeneralHelp(
    DESCRIPTION,
    [...COMMANDS].map(([name, { summary }]) => [name, summary]),
    await widthOf(output),
  );
}

/** Whether the first argument has a fixed set of values, such as "ls" and "prune". Its help lists them. */
function hasActions({ args }: Command): boolean {
  const [first] = Object.values(args);
  return first !== undefined && first.required !== false && choiceOf(first) !== undefined;
}

async function reportUsageError(argv: readonly string[], error: UsageError): Promise<number> {
  say(`llmfs: ${error.message}`);
  const first = argv[0] ?? "";
  const own = findCommand(first);
  const [name, entry] = own ?? findCommand("mount") ?? throwUnknownCommand("mount", undefined);
  if (argv.length === 0 || first === "help") say(`\n${(await formatHelp(2)).trimEnd()}`);
  else if (argv.length === 1 && own !== undefined && hasActions(await entry.load())) {
    say(`\n${formatCommandHelp(name, entry.summary, await entry.load(), await widthOf(2)).trimEnd()}`);
  } else {
    const general = own === undefined && !first.includes("/") && !isThere(first);
    say(`Usage: ${general ? "llmfs COMMAND [options]" : formatUsage(name, await entry.load())}`);
    say(`See: llmfs ${own === undefined ? "" : `${name} `}--help`);
  }
  return EXIT.usage.code;
}
