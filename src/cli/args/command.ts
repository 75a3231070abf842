/**
 * Commands as data: flags and arguments in citty's definitions, and a `run` function that receives their values.
 *
 * Of citty only the types are used: `parse.ts` parses the command line. `Args` has only the defined names, so a misspelt
 * `args.mountpiont` does not compile.
 */
import type { ArgDef, ArgsDef } from "citty";
import { isSetting, type SettingName } from "../../app/settings/table.ts";
import { requireAnswers } from "../preflight/named-mounts.ts";
import { parseArguments, type Rest } from "./parse.ts";

type ParsedValue<A extends ArgDef> = A extends { type: "boolean" }
  ? boolean
  : A extends { type: "enum"; options: readonly (infer O)[] }
    ? O
    : A extends { multiple: true }
      ? readonly string[]
      : string;

type ArgValue<A extends ArgDef> = A extends { type: "boolean" } | { required: true } | { default: string }
  ? ParsedValue<A>
  : ParsedValue<A> | undefined;

/** A switch that a configuration file may set is undefined if the command line does not say. */
type NamedValue<N, A extends ArgDef> = N extends SettingName
  ? A extends { type: "boolean" }
    ? boolean | undefined
    : ArgValue<A>
  : ArgValue<A>;

/** Defines flags that several commands share, and keeps their literal types. */
export function defineFlags<const T extends ArgsDef>(definitions: T): T {
  return definitions;
}

/** The values of a command's arguments. An absent boolean flag is false, unless it is a setting. */
export type Args<T extends ArgsDef> = { readonly [K in keyof T]: NamedValue<K, T[K]> };

export interface Definition<T extends ArgsDef> {
  readonly args: T;
  readonly rest?: Rest;
  /** Paragraphs printed at the end of `--help`. */
  readonly notes?: readonly string[];
  /** Arguments that may name a path in a mount that does not answer, because `run` sends it no request. */
  readonly unasked?: readonly (keyof T & string)[];
  /** Does the work and resolves with the exit status. */
  run(args: Args<T>, rest: readonly string[]): Promise<number>;
}

export interface Command {
  readonly args: ArgsDef;
  readonly rest?: Rest;
  readonly notes?: readonly string[];
  /** Rejects with UsageError if the command line is invalid, before doing anything. */
  invoke(argv: readonly string[]): Promise<number>;
}

export function defineCommand<const T extends ArgsDef>(definition: Definition<T>): Command {
  const { args, rest, notes, unasked = [] } = definition;
  return {
    args,
    ...(rest === undefined ? {} : { rest }),
    ...(notes === undefined ? {} : { notes }),
    async invoke(argv) {
      const { values, rest: more } = parseArguments(argv, args, rest);
      const paths = rest?.atLeast === undefined ? [] : more;
      // A configuration in a mount is rejected without a look at it.
      await requireAnswers(args, values, paths, [...unasked, "config"]);
      const picked = Object.keys(args).map((name) => [
        name,
        values.get(name) ?? (isSetting(name) ? undefined : absentValue(args[name])),
      ]);
      // `parseArguments` has rejected every value that does not match its definition, and `picked` has exactly the defined names.
      return definition.run(Object.fromEntries(picked) as Args<T>, more);
    },
  };
}

function absentValue(arg: ArgDef | undefined): false | undefined {
  return arg?.type === "boolean" ? false : undefined;
}

export interface CommandEntry {
  readonly summary: string;
  load(): Promise<Command>;
}

/** Every command by name, in the order in which help lists them. */
export type CommandTable = ReadonlyMap<string, CommandEntry>;
