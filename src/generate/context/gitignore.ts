/**
 * The patterns of .gitignore with the semantics of git (wildmatch.c, dir.c), except that "?" matches a character, not a byte.
 *
 * Matching takes at most the product of the lengths of pattern and path. As a regular expression, a pattern such as
 * `*a*a*a*a*b` would take polynomial time of a high degree, and any program that writes into a tree can choose both.
 */
import { LRUCache } from "lru-cache";

export type IgnoreVerdict = "out" | "in";

const MOST_KNOWN = 10_000;

/** The patterns of one file. */
export class IgnoreRules {
  readonly #rules: readonly IgnoreRule[];
  /** Plain names without wildcards, with the index of their last rule, for files and directories. */
  readonly #names = { file: new Map<string, number>(), directory: new Map<string, number>() };
  /** The indices of all other rules, the last one first. */
  readonly #others: readonly number[];
  /** Whether directories are excluded. */
  readonly #excluded = new LRUCache<string, boolean>({ max: MOST_KNOWN });

  constructor(text: string) {
    this.#rules = text.split("\n").flatMap((line) => ruleOf(line) ?? []);
    const others: number[] = [];
    for (const [index, { name, onlyDirectories }] of this.#rules.entries()) {
      if (name === undefined) others.push(index);
      else {
        this.#names.directory.set(name, index);
        if (!onlyDirectories) this.#names.file.set(name, index);
      }
    }
    this.#others = others.reverse();
  }

  /** The verdict of the last pattern that matches the path, which is relative to the ignore file. Ignores parents. */
  decide(path: string, directory: boolean): IgnoreVerdict | undefined {
    const last = path.slice(path.lastIndexOf("/") + 1);
    const named = this.#names[directory ? "directory" : "file"].get(last) ?? -1;
    for (const index of this.#others) {
      if (index < named) break;
      const rule = this.#rules[index];
      if (rule !== undefined && (directory || !rule.onlyDirectories) && rule.matches(path, last))
        return verdictOf(rule);
    }
    const rule = this.#rules[named];
    return rule === undefined ? undefined : verdictOf(rule);
  }

  /** Whether a path or a directory above it is excluded. */
  excludes(path: string, directory: boolean): boolean {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (parent !== "" && this.#excludesDirectory(parent)) return true;
    return this.decide(path, directory) === "out";
  }

  #excludesDirectory(path: string): boolean {
    const known = this.#excluded.get(path);
    if (known !== undefined) return known;
    const excluded = this.excludes(path, true);
    this.#excluded.set(path, excluded);
    return excluded;
  }
}

interface IgnoreRule {
  readonly negated: boolean;
  readonly onlyDirectories: boolean;
  /** The name, if the pattern is a plain name without wildcards. */
  readonly name?: string;
  readonly matches: (path: string, last: string) => boolean;
}

function verdictOf({ negated }: IgnoreRule): IgnoreVerdict {
  return negated ? "in" : "out";
}

/** Undefined for an empty line, a comment, or a pattern that matches nothing. */
function ruleOf(line: string): IgnoreRule | undefined {
  let pattern = withoutBlanks(line.endsWith("\r") ? line.slice(0, -1) : line);
  if (pattern.startsWith("#")) return undefined;
  const negated = pattern.startsWith("!");
  if (negated) pattern = pattern.slice(1);
  const onlyDirectories = pattern.endsWith("/");
  if (onlyDirectories) pattern = pattern.slice(0, -1);
  if (pattern === "") return undefined;
  const about = { negated, onlyDirectories };
  const anchored = pattern.includes("/");
  const names = namesOf(pattern.startsWith("/") ? pattern.slice(1) : pattern);
  if (names === undefined) return undefined;
  const [only] = names;
  if (anchored || only === undefined || names.length > 1)
    return { ...about, matches: (path) => matchesPath(names, path) };
  if (only === DEEP) return { ...about, matches: () => true };
  const name = textOf(only);
  if (name !== undefined) return { ...about, name, matches: (_path, last) => last === name };
  const end = only[0] === STAR ? textOf(only.slice(1)) : undefined;
  if (end !== undefined) return { ...about, matches: (_path, last) => last.endsWith(end) };
  return { ...about, matches: (_path, last) => matchesName(only, last) };
}

/** Removes trailing blanks that are not escaped by a backslash. */
function withoutBlanks(line: string): string {
  let end = line.length;
  while (end > 0 && line.charAt(end - 1) === " ") end -= 1;
  if (end === line.length) return line;
  let backslashes = 0;
  while (line.charAt(end - 1 - backslashes) === "\\") backslashes += 1;
  return line.slice(0, backslashes % 2 === 1 ? end + 1 : end);
}

/** Stands for any number of names. */
const DEEP = "deep";
const STAR = "star";
const ONE = "one";

type Token = typeof STAR | typeof ONE | { readonly text: string } | CharacterClass;
type NamePattern = readonly Token[];

/** The names of a pattern. Undefined for an invalid pattern. */
function namesOf(pattern: string): readonly (NamePattern | typeof DEEP)[] | undefined {
  const names: (NamePattern | typeof DEEP)[] = [];
  let name: Token[] = [];
  let begin = 0;
  const end = (at: number, next = at + 1) => {
    names.push(/^\*{2,}$/.test(pattern.slice(begin, at)) ? DEEP : name);
    name = [];
    begin = next;
  };
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern.charAt(at);
    if (character === "/") end(at);
    else if (pattern.startsWith("\\/", at)) {
      end(at, at + 2);
      at += 1;
    } else if (character === "*") {
      if (name.at(-1) !== STAR) name.push(STAR);
    } else if (character === "?") name.push(ONE);
    else if (character === "[") {
      const found = CharacterClass.read(pattern, at);
      if (found === undefined) return undefined;
      name.push(found);
      at = found.end - 1;
    } else {
      if (character === "\\") at += 1;
      if (at === pattern.length) return undefined;
      name.push({ text: pattern.charAt(at) });
    }
  }
  end(pattern.length);
  return names;
}

/** The text of a name without wildcards. */
function textOf(name: NamePattern): string | undefined {
  let text = "";
  for (const token of name) {
    if (typeof token === "string" || token instanceof CharacterClass) return undefined;
    text += token.text;
  }
  return text;
}

/** Matches name by name. On a mismatch, only the last "**" needs to take one more name. */
function matchesPath(names: readonly (NamePattern | typeof DEEP)[], path: string): boolean {
  const parts = path.split("/");
  let [at, part] = [0, 0];
  let deep: { readonly at: number; part: number } | undefined;
  while (part < parts.length) {
    const name = names[at];
    // At the end, it stands for one or more names below.
    if (name === DEEP && at === names.length - 1) return true;
    if (name === DEEP) {
      at += 1;
      deep = { at, part };
    } else if (name !== undefined && matchesName(name, parts[part] ?? "")) {
      at += 1;
      part += 1;
    } else if (deep === undefined) return false;
    else {
      deep.part += 1;
      [at, part] = [deep.at, deep.part];
    }
  }
  return at === names.length;
}

/** The same within a name: only the last "*" needs to take one more character. */
function matchesName(name: NamePattern, text: string): boolean {
  let [at, position] = [0, 0];
  let star: { readonly at: number; position: number } | undefined;
  while (position < text.length) {
    const token = name[at];
    if (token === STAR) {
      at += 1;
      if (at === name.length) return true;
      star = { at, position };
    } else if (token !== undefined && matchesCharacter(token, text.charAt(position))) {
      at += 1;
      position += 1;
    } else if (star === undefined) return false;
    else {
      star.position += 1;
      [at, position] = [star.at, star.position];
    }
  }
  while (name[at] === STAR) at += 1;
  return at === name.length;
}

function matchesCharacter(token: Exclude<Token, typeof STAR>, character: string): boolean {
  if (token === ONE) return true;
  return token instanceof CharacterClass ? token.has(character) : token.text === character;
}

/** The classes of "[:alpha:]" and so on, ASCII only as in git. */
const CLASSES: Readonly<Record<string, RegExp>> = {
  alnum: /[0-9A-Za-z]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the control characters
  cntrl: /[\x00-\x1f\x7f]/,
  digit: /[0-9]/,
  graph: /[!-~]/,
  lower: /[a-z]/,
  print: /[ -~]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[ \t\n\r]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
};

/** A bracket expression such as "[a-z0-9_]". */
class CharacterClass {
  /** The index after its closing bracket. */
  readonly end: number;
  readonly #negated: boolean;
  readonly #ranges: readonly (readonly [from: string, to: string])[];
  readonly #classes: readonly RegExp[];

  private constructor(
    end: number,
    negated: boolean,
    ranges: readonly (readonly [from: string, to: string])[],
    classes: readonly RegExp[],
  ) {
    this.end = end;
    this.#negated = negated;
    this.#ranges = ranges;
    this.#classes = classes;
  }

  /** Parses it from its opening bracket. Undefined if it has no end or an unknown class. */
  static read(pattern: string, start: number): CharacterClass | undefined {
    const ranges: [string, string][] = [];
    const classes: RegExp[] = [];
    let at = start + 1;
    const negated = /[!^]/.test(pattern.charAt(at));
    if (negated) at += 1;
    for (const first = at; at < pattern.length; at++) {
      const character = pattern.charAt(at);
      if (character === "]" && at > first) return new CharacterClass(at + 1, negated, ranges, classes);
      if (character === "[" && pattern.charAt(at + 1) === ":") {
        const end = pattern.indexOf("]", at + 2);
        const name = pattern.slice(at + 2, end - 1);
        if (end < 0) return undefined;
        if (pattern.charAt(end - 1) === ":" && end > at + 2) {
          const named = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
          if (named === undefined) return undefined;
          classes.push(named);
          at = end;
          continue;
        }
      }
      if (character === "\\") at += 1;
      const from = pattern.charAt(at);
      ranges.push([from, from]);
      if (pattern.charAt(at + 1) === "-" && at + 2 < pattern.length && pattern.charAt(at + 2) !== "]") {
        at += 2;
        if (pattern.charAt(at) === "\\") at += 1;
        ranges.push([from, pattern.charAt(at)]);
      }
    }
    return undefined;
  }

  has(character: string): boolean {
    const among =
      this.#ranges.some(([from, to]) => from <= character && character <= to) ||
      this.#classes.some((one) => one.test(character));
    return among !== this.#negated;
  }
}
