/**
 * The strict reading of a command line: whatever is not exactly defined is a usage error that names it and the cure.
 * What passes is rewritten into a form that has one meaning only, `--name=value`, with positionals after `--`.
 */
import type { ArgDef, ArgsDef } from "citty";
import { UsageError } from "../../app/errors.ts";
import { findNearest } from "../../text/did-you-mean.ts";

/** What follows `--`, for a command that runs another; or any number of further arguments. */
export interface Rest {
  /** As the usage line shows it: "CMD [ARG…]". */
  readonly hint: string;
  readonly description: string;
  /** Further arguments, without `--`: at least so many. */
  readonly atLeast?: number;
}

export interface CanonicalLine {
  readonly argv: readonly string[];
  /** What stood behind `--`, for a command that has a use for it. */
  readonly rest: readonly string[];
}

/** "logFile" in the definition is `--log-file` on the command line. */
function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The spellings of a flag as they are typed, short one first: `-f`, `--foreground`. */
export function spellings(key: string, arg: ArgDef): readonly string[] {
  if (arg.type === "positional") return [];
  const alias = "alias" in arg ? arg.alias : undefined;
  const aliases = typeof alias === "string" ? [alias] : (alias ?? []);
  return [...aliases.map((alias) => (alias.length === 1 ? `-${alias}` : `--${alias}`)), `--${flagName(key)}`];
}

export function normalizeArguments(argv: readonly string[], args: ArgsDef, rest?: Rest): CanonicalLine {
  return new Reader(argv, args, rest).read();
}

class Reader {
  readonly #argv: readonly string[];
  readonly #args: ArgsDef;
  readonly #rest: Rest | undefined;
  readonly #flags = new Map<string, string>();
  readonly #given = new Map<string, string>();
  readonly #positionals: string[] = [];
  readonly #wanted: readonly (readonly [string, ArgDef])[];
  #next = 0;

  constructor(argv: readonly string[], args: ArgsDef, rest: Rest | undefined) {
    this.#argv = argv;
    this.#args = args;
    this.#rest = rest;
    this.#wanted = Object.entries(args).filter(([, arg]) => arg.type === "positional");
    for (const [key, arg] of Object.entries(args)) {
      for (const spelling of spellings(key, arg)) this.#flags.set(spelling, key);
    }
  }

  read(): CanonicalLine {
    let rest: readonly string[] = [];
    while (this.#next < this.#argv.length) {
      const token = this.#argv[this.#next++] ?? "";
      if (token === "--") {
        const behind = this.#argv.slice(this.#next);
        if (this.#rest === undefined || this.#rest.atLeast !== undefined) this.#positionals.push(...behind);
        else rest = behind;
        break;
      }
      if (token.startsWith("--")) this.#long(token);
      else if (token.startsWith("-") && token.length > 1) this.#short(token);
      else this.#place(token);
    }
    if (this.#rest?.atLeast !== undefined) rest = this.#positionals.splice(this.#wanted.length);
    this.#checkCount(rest);
    return { argv: [...this.#given.values(), "--", ...this.#positionals], rest };
  }

  /** At once, where a command was typed without its `--`: what follows are that command's flags. */
  #place(token: string): void {
    this.#positionals.push(token);
    if (this.#rest === undefined || this.#rest.atLeast !== undefined) return;
    if (this.#positionals.length <= this.#wanted.length) return;
    throw new UsageError(`unexpected argument ${JSON.stringify(token)}; put -- before the command: -- ${token} …`);
  }

  #long(token: string): void {
    const equals = token.indexOf("=");
    const spelling = equals < 0 ? token : token.slice(0, equals);
    const key = this.#key(spelling);
    if (!this.#takesValue(key)) {
      if (equals >= 0) throw new UsageError(`${spelling} takes no value`);
      this.#give(key, spelling);
    } else this.#give(key, spelling, equals < 0 ? this.#value(spelling) : token.slice(equals + 1));
  }

  /** `-f`, `-o FILE`, `-oFILE`, and flags without a value run together. */
  #short(token: string): void {
    for (let at = 1; at < token.length; at++) {
      const spelling = `-${token[at]}`;
      const key = this.#key(spelling, token);
      if (!this.#takesValue(key)) {
        this.#give(key, spelling);
        continue;
      }
      const attached = token.slice(at + 1).replace(/^=/, "");
      this.#give(key, spelling, attached === "" ? this.#value(spelling) : attached);
      return;
    }
  }

  #key(spelling: string, token = spelling): string {
    const key = this.#flags.get(spelling);
    if (key !== undefined) return key;
    const guess = findNearest(spelling, [...this.#flags.keys()]);
    const within = token === spelling ? "" : ` in ${token}`;
    throw new UsageError(`unknown flag ${spelling}${within}${guess === undefined ? "" : `; did you mean ${guess}?`}`);
  }

  #takesValue(key: string): boolean {
    return this.#args[key]?.type !== "boolean";
  }

  #value(spelling: string): string {
    const value = this.#argv[this.#next];
    if (value === undefined || value === "--") throw new UsageError(`${spelling} needs a value`);
    const flag = value.split("=", 1)[0] ?? value;
    if (this.#flags.has(flag)) {
      throw new UsageError(
        `${spelling} needs a value, and ${value} is a flag; if it is the value: ${spelling}=${value}`,
      );
    }
    this.#next++;
    return value;
  }

  #give(key: string, spelling: string, value?: string): void {
    if (this.#given.has(key)) throw new UsageError(`${spelling} is given twice`);
    const arg = this.#args[key];
    if (arg?.type === "enum" && value !== undefined && arg.options?.includes(value) !== true) {
      const guess = findNearest(value, arg.options ?? []);
      throw new UsageError(
        `${spelling} ${value}: expected ${arg.options?.join(", ")}${guess === undefined ? "" : `; did you mean ${guess}?`}`,
      );
    }
    this.#given.set(key, value === undefined ? `--${key}` : `--${key}=${value}`);
  }

  #checkCount(rest: readonly string[]): void {
    const surplus = this.#positionals[this.#wanted.length];
    if (surplus !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(surplus)}`);
    for (const [index, [key, arg]] of this.#wanted.entries()) {
      if (arg.required === false) continue;
      if (this.#positionals[index] === undefined) throw new UsageError(`${key.toUpperCase()} is missing`);
      if (this.#positionals[index] === "") throw new UsageError(`${key.toUpperCase()} is empty`);
    }
    for (const [key, arg] of Object.entries(this.#args)) {
      if (arg.type !== "positional" && arg.required === true && !this.#given.has(key)) {
        throw new UsageError(`--${flagName(key)} is missing`);
      }
    }
    if (this.#rest?.atLeast !== undefined) {
      if (rest.length < this.#rest.atLeast) throw new UsageError(`${this.#rest.hint} is missing`);
      if (rest.includes("")) throw new UsageError(`${this.#rest.hint} is empty`);
    } else if (this.#rest !== undefined && rest.length === 0) {
      throw new UsageError(`nothing to run: -- ${this.#rest.hint}`);
    }
  }
}
