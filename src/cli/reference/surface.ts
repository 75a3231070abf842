/**
 * The command line as plain data, for the completion scripts and the man page.
 *
 * It is read from the definitions that parse the command line, so that neither can offer what the parser rejects.
 */
import type { ArgDef } from "citty";
import type { Command, CommandTable } from "../args/command.ts";
import { spellings } from "../args/parse.ts";

/** What may be typed somewhere: one of some words, a file or directory, or anything else. */
export type Value = { readonly words: readonly string[] } | "file" | "text";

export interface Flag {
  /** Short ones first: `-F`, `--prompt`. */
  readonly spellings: readonly string[];
  readonly description: string;
  /** How help shows its value. Absent: the flag takes none. */
  readonly hint?: string;
  readonly value?: Value;
}

export interface Surface {
  /** The name, then its aliases. */
  readonly names: readonly string[];
  readonly summary: string;
  readonly command: Command;
  readonly flags: readonly Flag[];
  readonly positionals: readonly { readonly name: string; readonly value: Value }[];
  /** What follows the positionals: more files, or a command after `--`. */
  readonly rest?: "files" | "command";
}

const HELP_FLAG: Flag = { spellings: ["-h", "--help"], description: "show this help" };

/** Loads every command of the table. */
export async function describeSurface(
  table: CommandTable,
  aliases: ReadonlyMap<string, string>,
): Promise<readonly Surface[]> {
  return await Promise.all(
    [...table].map(async ([name, { summary, load }]): Promise<Surface> => {
      const command = await load();
      const args = Object.entries(command.args);
      const flags = args.filter(([, arg]) => arg.type !== "positional");
      const positionals = args.filter(([, arg]) => arg.type === "positional");
      return {
        names: [name, ...[...aliases].flatMap(([alias, of]) => (of === name ? [alias] : []))],
        summary,
        command,
        flags: [...flags.map(([key, arg]) => describeFlag(key, arg)), HELP_FLAG],
        positionals: positionals.map(([key, arg]) => ({ name: key, value: valueFor(arg, "file") })),
        ...(command.rest && { rest: command.rest.atLeast === undefined ? "command" : "files" }),
      };
    }),
  );
}

function describeFlag(key: string, arg: ArgDef): Flag {
  const flag = { spellings: spellings(key, arg), description: arg.description ?? "" };
  if (arg.type === "boolean") return flag;
  const hint = arg.type === "enum" ? (arg.options ?? []).join("|") : (arg.valueHint ?? "VALUE");
  return { ...flag, hint, value: arg.type === "enum" ? { words: arg.options ?? [] } : valueFor(arg, "text") };
}

/** A hint in lower case lists the words that are accepted; FILE or DIR in it stand for a path. */
function valueFor({ valueHint = "" }: ArgDef, otherwise: Value): Value {
  if (/\b(?:FILE|DIR|PATH)\b/.test(valueHint)) return "file";
  return /^[a-z]+(?:\|[a-z]+)+$/.test(valueHint) ? { words: valueHint.split("|") } : otherwise;
}
