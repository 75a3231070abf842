/** The man page, as roff, from the same definitions as `--help`. */
import { VARIABLES } from "../../app/settings/environment.ts";
import { formatUsage } from "../args/help.ts";
import { EXIT } from "../output/exit-codes.ts";
import { VERSION } from "../version.ts";
import type { Surface } from "./surface.ts";

export function manPage(description: string, commands: readonly Surface[]): string {
  return [
    `.TH LLMFS 1 "" "llmfs ${VERSION}" "User Commands"`,
    ".SH NAME",
    `llmfs \\- ${text(lowerFirst(description.split(". ")[0] ?? ""))}`,
    ".SH SYNOPSIS",
    '.BR llmfs " COMMAND [options]"',
    ".br",
    '.BR llmfs " DIR [options]"',
    ".SH DESCRIPTION",
    text(description),
    ".PP",
    text(
      "llmfs DIR is short for llmfs mount DIR. Results go to standard output; progress, warnings and errors go to standard error.",
    ),
    ".SH COMMANDS",
    ...commands.flatMap(({ names: [name = ""], summary }) => item(`llmfs ${name}`, summary)),
    ...commands.flatMap(sectionOf),
    ".SH ENVIRONMENT",
    text("A flag overrides its variable. An empty variable counts as not set."),
    ...Object.entries(VARIABLES).flatMap(([name, meaning]) => item(name, meaning)),
    ".SH EXIT STATUS",
    ...Object.values(EXIT).flatMap(({ code, meaning }) => item(String(code), meaning)),
    ".SH SEE ALSO",
    ".BR fusermount3 (1),",
    ".BR mount (8),",
    ".BR fuse (4)",
    "",
  ].join("\n");
}

function sectionOf({ names, summary, command, flags }: Surface): readonly string[] {
  const positionals = Object.entries(command.args).filter(([, arg]) => arg.type === "positional");
  return [
    `.SH ${text(`llmfs ${names[0]}`.toUpperCase())}`,
    `.B ${text(formatUsage(names[0] ?? "", command))}`,
    ".PP",
    text(`${summary}.`),
    ...positionals.flatMap(([key, arg]) => item(key.toUpperCase(), arg.description ?? "")),
    ...(command.rest === undefined ? [] : item(command.rest.hint, command.rest.description)),
    ...flags.flatMap(({ spellings, hint, description }) =>
      item(`${spellings.join(", ")}${hint === undefined ? "" : ` ${hint}`}`, description),
    ),
    ...(command.notes ?? []).flatMap((note) => [".PP", text(note)]),
  ];
}

function item(name: string, meaning: string): readonly string[] {
  return [".TP", `.B ${text(name)}`, text(meaning)];
}

/** A line of text: roff takes a backslash, and a period or quote at the beginning, for its own. */
function text(line: string): string {
  const escaped = line.replaceAll("\\", "\\e").replaceAll("-", "\\-");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

function lowerFirst(line: string): string {
  return line.slice(0, 1).toLowerCase() + line.slice(1);
}
