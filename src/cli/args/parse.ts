/** Parses a command line strictly: anything that is not defined is a usage error that names the argument and the fix. */
import type { ArgDef, ArgsDef } from "citty";
import { UsageError } from "../../app/errors.ts";
import { isSetting, kebabCase, rowOf } from "../../app/settings/table.ts";
import { shellWord } from "../../fuse/mounting/mountpoint.ts";
import { findNearest } from "../../text/did-you-mean.ts";

/** The arguments after `--`, for a command that runs another one; or a variable number of positionals. */
export interface Rest {
  /** How the usage line shows it: "CMD [ARG…]". */
  readonly hint: string;
  readonly description: string;
  /** The minimum number of further positionals. If set, they need no `--`. */
  readonly atLeast?: number;
}

/** A text, whether a switch is on, or the texts of a flag that may be repeated. */
export type ArgumentValue = string | boolean | readonly string[];

export interface ParsedLine {
  /** The values of the arguments that are given, by their names. */
  readonly values: ReadonlyMap<string, ArgumentValue>;
  /** The arguments after `--`, if the command takes any. */
  readonly rest: readonly string[];
}

/** The spellings of a flag on the command line, short ones first: `-f`, `--foreground`. */
export function spellings(key: string, arg: ArgDef): readonly string[] {
  if (arg.type === "positional") return [];
  const alias = "alias" in arg ? arg.alias : undefined;
  const aliases = typeof alias === "string" ? [alias] : (alias ?? []);
  return [...aliases.map((alias) => (alias.length === 1 ? `-${alias}` : `--${alias}`)), `--${kebabCase(key)}`];
}

/** The words that a positional may be, as "ls|verify"; undefined if it may be anything. */
export function choiceOf(arg: ArgDef): string | undefined {
  const hint = "valueHint" in arg ? arg.valueHint : undefined;
  return arg.type === "positional" && /^[a-z|]+$/.test(hint ?? "") ? hint : undefined;
}

/** Throws UsageError. */
export function parseArguments(argv: readonly string[], args: ArgsDef, rest?: Rest): ParsedLine {
  return new Reader(argv, args, rest).read();
}

/** Throws UsageError for a word that is not one of the choices. */
export function requireChoice<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((one) => one === value);
  if (choice !== undefined) return choice;
  const guess = findNearest(value, choices);
  throw new UsageError(
    `${name} ${value}: expected ${choices.join(", ")}${guess === undefined ? "" : `; did you mean ${guess}?`}`,
  );
}

/** Single letters that other tools have for our flags. */
const LETTERS: ReadonlyMap<string, string> = new Map([
  ["-p", "--prompt"],
  ["-m", "--model"],
]);

const SNAPSHOT = /\.json$/;

/** A letter or a word after hyphens. Not "-", a negative number or a sentence. */
const LIKE_A_FLAG = /^--?[a-z][a-z0-9-]*(?:=\S*)?$/i;

class Reader {
  readonly #argv: readonly string[];
  readonly #args: ArgsDef;
  readonly #rest: Rest | undefined;
  #known: ReadonlyMap<string, string> | undefined;
  readonly #values = new Map<string, ArgumentValue>();
  readonly #positionals: string[] = [];
  readonly #wanted: readonly (readonly [string, ArgDef])[];
  #next = 0;

  constructor(argv: readonly string[], args: ArgsDef, rest: Rest | undefined) {
    this.#argv = argv;
    this.#args = args;
    this.#rest = rest;
    this.#wanted = Object.entries(args).filter(([, arg]) => arg.type === "positional");
  }

  /** The flags by their spellings. A command line without flags does not need them. */
  get #flags(): ReadonlyMap<string, string> {
    this.#known ??= new Map(
      Object.entries(this.#args).flatMap(([key, arg]) => spellings(key, arg).map((spelling) => [spelling, key])),
    );
    return this.#known;
  }

  read(): ParsedLine {
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
    const leftOut = this.#leavesOutFirst();
    if (leftOut) this.#positionals.unshift("");
    this.#checkCount(rest, leftOut);
    for (const [index, [key]] of this.#wanted.entries()) {
      const value = this.#positionals[index];
      if (value !== undefined) this.#values.set(key, value);
    }
    return { values: this.#values, rest };
  }

  /** Fails immediately if the `--` before a command is missing: the flags that follow belong to that command. */
  #place(token: string): void {
    this.#positionals.push(token);
    if (this.#rest === undefined || this.#rest.atLeast !== undefined) return;
    if (this.#positionals.length <= this.#wanted.length) return;
    throw this.#unexpected(token);
  }

  /** An argument too many. Most often somebody forgot a flag, or the `--` before a command. */
  #unexpected(token: string): UsageError {
    const behind = this.#argv.slice(this.#next);
    const cures: string[] = [];
    const runs = this.#rest !== undefined && this.#rest.atLeast === undefined;
    if (runs && !behind.includes("--")) cures.push(`put -- before the command: -- ${token} …`);
    const named = [...this.#positionals, token].find((one) => SNAPSHOT.test(one));
    if (named !== undefined && this.#lacks("from")) cures.push(`to use a snapshot, write --from ${shellWord(named)}`);
    else if (this.#lacks("prompt") && (cures.length === 0 || /\s/.test(token))) {
      const what = this.#args.prompt?.description?.includes("instruction") ? "give an instruction" : "describe a tree";
      cures.push(`to ${what}, write --prompt ${shellWord(token)}`);
    }
    const advice = cures.length === 0 ? "" : `; ${cures.join("; ")}`;
    return new UsageError(`unexpected argument ${JSON.stringify(token)}${advice}`);
  }

  /** Whether the command has this flag, and it is not given. */
  #lacks(key: string): boolean {
    return this.#args[key] !== undefined && !this.#values.has(key);
  }

  #long(token: string): void {
    const equals = token.indexOf("=");
    const spelling = equals < 0 ? token : token.slice(0, equals);
    const key = this.#key(spelling);
    if (!this.#takesValue(key)) {
      const value = equals < 0 ? undefined : token.slice(equals + 1);
      // A configuration file may have switched it on.
      if (value !== undefined && !isSetting(key)) throw new UsageError(`${spelling} takes no value`);
      this.#give(key, spelling);
      if (value !== undefined) this.#switch(key, spelling, value);
    } else this.#give(key, spelling, equals < 0 ? this.#value(spelling) : token.slice(equals + 1));
  }

  /** Parses `-f`, `-o FILE`, `-oFILE`, and combined boolean flags such as `-fl`. */
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
    const within = token === spelling ? "" : ` in ${token}`;
    const advice = this.#otherWay(spelling) ?? this.#nearest(spelling);
    throw new UsageError(`unknown flag ${spelling}${within}${advice === undefined ? "" : `; ${advice}`}`);
  }

  #nearest(spelling: string): string | undefined {
    const usual = LETTERS.get(spelling);
    const known = usual !== undefined && this.#flags.has(usual) ? usual : undefined;
    const guess = known ?? findNearest(spelling, [...this.#flags.keys(), "--help"]);
    return guess === undefined ? undefined : `did you mean ${guess}?`;
  }

  /** What to do instead of a flag that only other commands have. */
  #otherWay(spelling: string): string | undefined {
    if (spelling !== "--from" && spelling !== "--save") return undefined;
    const token = this.#argv[this.#next - 1] ?? "";
    const equals = token.indexOf("=");
    const value = equals < 0 ? this.#argv[this.#next] : token.slice(equals + 1);
    const file = value === undefined || value.startsWith("-") ? "FILE" : shellWord(value);
    const others = this.#argv.filter((one, at) => at >= this.#next + (equals < 0 ? 1 : 0) && !one.startsWith("-"));
    const dir = shellWord(this.#positionals[0] ?? others[0] ?? "DIR");
    if (spelling === "--save") return `mount takes it; to save now, run llmfs save ${dir} ${file}`;
    const places = this.#wanted.some(([, { description = "" }]) => description.includes("snapshot"));
    return places
      ? `name the snapshot itself: ${file}, or a path in it such as ${file}/src`
      : `this works on mounts: llmfs mount DIR --from ${file}`;
  }

  #takesValue(key: string): boolean {
    return this.#args[key]?.type !== "boolean";
  }

  #value(spelling: string): string {
    const value = this.#argv[this.#next];
    if (value === undefined || value === "--") throw new UsageError(`${spelling} needs a value`);
    const flag = value.split("=", 1)[0] ?? value;
    if (this.#flags.has(flag) || LIKE_A_FLAG.test(value)) {
      const what = this.#flags.has(flag) ? "is" : "looks like";
      const joint = spelling.startsWith("--") ? "=" : "";
      throw new UsageError(
        `${spelling} needs a value, but ${value} ${what} a flag; to pass it as the value, write ${spelling}${joint}${value}`,
      );
    }
    this.#next++;
    return value;
  }

  #switch(key: string, spelling: string, value: string): void {
    if (value !== "true" && value !== "false") throw new UsageError(`${spelling}=${value}: expected true or false`);
    this.#values.set(key, value === "true");
  }

  #give(key: string, spelling: string, value?: string): void {
    if (isSetting(key) && rowOf(key).multiple && value !== undefined) {
      const values = this.#values.get(key);
      this.#values.set(key, [...(typeof values === "object" ? values : []), value]);
      return;
    }
    if (this.#values.has(key)) throw new UsageError(`${spelling} is given twice`);
    const arg = this.#args[key];
    if (arg?.type === "enum" && value !== undefined) requireChoice(spelling, value, arg.options ?? []);
    this.#values.set(key, value ?? true);
  }

  /** Of `[SOURCE] TARGET`, a single argument is the target. Then the value of the other is an empty string. */
  #leavesOutFirst(): boolean {
    const [first, ...others] = this.#wanted;
    const optional = first?.[1].required === false && others.some(([, arg]) => arg.required !== false);
    return optional && this.#positionals.length === this.#wanted.length - 1;
  }

  /**
   * `leftOut`: the first argument was left out, and is empty for that reason. Any other empty argument is an error, because
   * it is most often a variable that is not set.
   */
  #checkCount(rest: readonly string[], leftOut: boolean): void {
    const surplus = this.#positionals[this.#wanted.length];
    if (surplus !== undefined) throw this.#unexpected(surplus);
    for (const [index, [key, arg]] of this.#wanted.entries()) {
      const value = this.#positionals[index];
      if (value === undefined && arg.required !== false) throw new UsageError(explainMissing(key, arg));
      if (value === "" && !(leftOut && index === 0)) throw new UsageError(`${key.toUpperCase()} is empty`);
    }
    for (const [key, arg] of Object.entries(this.#args)) {
      if (arg.type !== "positional" && arg.required === true && !this.#values.has(key)) {
        throw new UsageError(`--${kebabCase(key)} is missing`);
      }
    }
    if (this.#rest?.atLeast !== undefined) {
      if (rest.length < this.#rest.atLeast) throw new UsageError(`${this.#rest.hint} is missing`);
      if (rest.includes("")) throw new UsageError(`${this.#rest.hint} is empty`);
    } else if (this.#rest !== undefined && rest.length === 0) {
      throw new UsageError(`no command to run; add -- ${this.#rest.hint}`);
    }
  }
}

function explainMissing(key: string, arg: ArgDef): string {
  const choice = choiceOf(arg)?.split("|");
  return `${key.toUpperCase()} is missing${choice === undefined ? "" : `; expected ${choice.join(", ")}`}`;
}
