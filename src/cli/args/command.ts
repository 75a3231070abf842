/**
 * Commands as data: flags and arguments described with citty's definitions, and a `run` that gets their values.
 *
 * citty's own parser lets unknown flags, surplus arguments and missing values pass, and types every name as present.
 * So the command line goes through `parse.ts` first, which refuses what citty would swallow, and `Args` knows the
 * defined names only: a misspelt `args.mountpiont` does not compile.
 */
import { type ArgDef, type ArgsDef, parseArgs } from "citty";
import { normalizeArguments, type Rest } from "./parse.ts";

type Given<A extends ArgDef> = A extends { type: "boolean" }
  ? boolean
  : A extends { type: "enum"; options: readonly (infer O)[] }
    ? O
    : string;

type ArgValue<A extends ArgDef> = A extends { type: "boolean" } | { required: true } | { default: string }
  ? Given<A>
  : Given<A> | undefined;

/** Flags to share between commands, with their types kept. */
export function defineFlags<const T extends ArgsDef>(definitions: T): T {
  return definitions;
}

/** The values of a command's arguments. A flag without a value is false when it is absent. */
export type Args<T extends ArgsDef> = { readonly [K in keyof T]: ArgValue<T[K]> };

export interface Definition<T extends ArgsDef> {
  readonly args: T;
  readonly rest?: Rest;
  /** Paragraphs for the end of `--help`. */
  readonly notes?: readonly string[];
  /** Does the work; resolves with the exit status. */
  run(args: Args<T>, rest: readonly string[]): Promise<number>;
}

export interface Command {
  readonly args: ArgsDef;
  readonly rest?: Rest;
  readonly notes?: readonly string[];
  /** Rejects with UsageError when the command line is wrong, before anything is done. */
  invoke(argv: readonly string[]): Promise<number>;
}

export function defineCommand<const T extends ArgsDef>(definition: Definition<T>): Command {
  const { args, rest, notes } = definition;
  return {
    args,
    ...(rest === undefined ? {} : { rest }),
    ...(notes === undefined ? {} : { notes }),
    async invoke(argv) {
      const line = normalizeArguments(argv, args, rest);
      const values = new Map<string, unknown>(Object.entries(parseArgs([...line.argv], args)));
      const picked = Object.keys(args).map((name) => [name, values.get(name) ?? absentValue(args[name])]);
      // `canonical` has refused every value that does not fit its definition, and `picked` holds exactly their names.
      return definition.run(Object.fromEntries(picked) as Args<T>, line.rest);
    },
  };
}

function absentValue(arg: ArgDef | undefined): false | undefined {
  return arg?.type === "boolean" ? false : undefined;
}
