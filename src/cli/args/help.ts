/** Formats `--help` from the same definitions that parse the command line. docs/cli.md is generated from it too. */
import type { ArgDef, ArgsDef } from "citty";
import type { Command } from "./command.ts";
import { choiceOf, spellings } from "./parse.ts";

/** The width of help that is not for a terminal, such as docs/cli.md. Longer lines are hard to read. */
const WIDTH = 100;
/** On a narrower terminal, lines wrap. */
const NARROWEST = 40;

/** The width of help on a terminal with N columns; undefined if it goes elsewhere. */
export function helpWidth(columns: number | undefined): number {
  return Math.min(WIDTH, Math.max(NARROWEST, columns ?? WIDTH));
}

/** The usage line of a command. */
export function formatUsage(name: string, command: Command): string {
  const words = ["llmfs", name];
  for (const [key, arg] of listPositionals(command.args)) {
    const word = choiceOf(arg) ?? key.toUpperCase();
    words.push(arg.required === false ? `[${word}]` : word);
  }
  const more = command.rest?.atLeast === undefined ? undefined : command.rest;
  if (more !== undefined) words.push(more.atLeast === 0 ? `[${more.hint}]` : more.hint);
  if (Object.values(command.args).some((arg) => arg.type !== "positional")) words.push("[options]");
  if (command.rest !== undefined && more === undefined) words.push("--", command.rest.hint);
  return words.join(" ");
}

/** The full help of one command. */
export function formatCommandHelp(name: string, summary: string, command: Command, width = WIDTH): string {
  const places: HelpRow[] = listPositionals(command.args).map(([key, arg]) => [
    key.toUpperCase(),
    arg.description ?? "",
  ]);
  if (command.rest !== undefined) places.push([command.rest.hint, command.rest.description]);
  const flags: HelpRow[] = [];
  for (const [key, arg] of Object.entries(command.args)) {
    if (arg.type !== "positional") flags.push([formatFlag(key, arg), arg.description ?? ""]);
  }
  flags.push(["-h, --help", "show this help"]);
  const notes = (command.notes ?? []).map((note) => wrap(note, width).join("\n"));
  return joinSections([
    wrap(`${summary}.`, width).join("\n"),
    wrapUsage(formatUsage(name, command), width),
    places.length === 0 ? "" : formatTable(places, width),
    `Options:\n${formatTable(flags, width)}`,
    ...notes,
  ]);
}

/** The help of llmfs itself: its list of commands. */
export function formatGeneralHelp(
  description: string,
  commands: readonly (readonly [string, string])[],
  width = WIDTH,
): string {
  return joinSections([
    wrap(description, width).join("\n"),
    `Usage: llmfs COMMAND [options]\n${width < SHORT_FORM.length ? "       llmfs DIR [options]" : SHORT_FORM}`,
    `Commands:\n${formatTable(
      commands.map(([name, summary]) => [name, lowerFirst(summary)]),
      width,
    )}`,
    `Options:\n${formatTable(
      [
        ["-h, --help", "show this help; after a command, show its options (same as `llmfs help COMMAND`)"],
        ["-V, --version", "show the version"],
      ],
      width,
    )}`,
  ]);
}

const SHORT_FORM = "       llmfs DIR [options]        same as: llmfs mount DIR [options]";

type HelpRow = readonly [string, string];

function listPositionals(args: ArgsDef): [string, ArgDef][] {
  return Object.entries(args).filter(([, arg]) => arg.type === "positional");
}

/** For example `-F, --prompt TEXT|FILE`. Flags without a short form are indented to align with those that have one. */
function formatFlag(key: string, arg: ArgDef): string {
  const names = spellings(key, arg);
  const text = names.length > 1 ? names.join(", ") : `    ${names[0]}`;
  if (arg.type === "boolean") return text;
  return `${text} ${arg.type === "enum" ? (arg.options ?? []).join("|") : (arg.valueHint ?? "VALUE")}`;
}

/** Formats two columns and wraps the second. */
function formatTable(rows: readonly HelpRow[], width: number): string {
  const indent = Math.min(34, Math.floor(width / 2.5), Math.max(...rows.map(([left]) => left.length)) + 4);
  const lines: string[] = [];
  for (const [left, right] of rows) {
    const [first = "", ...more] = wrap(right, width - indent);
    if (left.length + 4 <= indent) lines.push(`  ${left.padEnd(indent - 2)}${first}`.trimEnd());
    else lines.push(`  ${left}`, `${" ".repeat(indent)}${first}`);
    lines.push(...more.map((line) => `${" ".repeat(indent)}${line}`));
  }
  return lines.join("\n");
}

/** Further lines are below the first word after "Usage:". */
function wrapUsage(usage: string, width: number): string {
  return `Usage: ${wrap(usage, width - USAGE_INDENT).join(`\n${" ".repeat(USAGE_INDENT)}`)}`;
}

const USAGE_INDENT = "Usage: ".length;

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function joinSections(parts: readonly string[]): string {
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
