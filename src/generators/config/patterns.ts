/**
 * Path patterns: the files that a rule applies to, and the named parts of their paths.
 *
 * | in a pattern | matches |
 * |---|---|
 * | `*` | any characters within one name |
 * | `?` | one character within a name |
 * | `**` | zero or more directories; at the end: everything below |
 * | `{name}` | like `*`, at least one character; the generator gets it as a parameter with that name |
 * | `{a,b}` | one of these texts |
 *
 * The value of `{name}` may contain any character. Characters that file names cannot contain are encoded, for example %2F.
 */
import { PathPattern, type PatternPiece, piecesOf } from "../../text/path-pattern.ts";

export interface Pattern {
  readonly source: string;
  /** Whether it is a single path. */
  readonly literal: boolean;
  /** The paths that it matches, if it consists only of texts and choices. */
  readonly paths: readonly string[] | undefined;
  /** Whether its only wildcards are named parts and choices, so that the values of the parts determine the paths. */
  readonly named: boolean;
  /** The directory that contains all matches: the names before the first wildcard. */
  readonly root: string;
  /** The names of its `{name}` parts. */
  readonly names: readonly string[];
  /** The values of its named parts, if the path matches. */
  match(path: string): ReadonlyMap<string, string> | undefined;
  /** The path with these values, and "*" for a part without a value. Undefined if the pattern has other wildcards. */
  fill(values: ReadonlyMap<string, string>): string | undefined;
}

/** Throws an Error that names the problem. */
export function parsePattern(source: string): Pattern {
  const pieces = piecesOf(source);
  const names = pieces.flatMap((piece) => (piece.kind === "name" ? [piece.name] : []));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`{${twice}} occurs twice in ${JSON.stringify(source)}`);
  const matcher = new PathPattern(pieces);
  const literal = pieces.every(({ kind }) => kind === "text");
  return {
    source,
    literal,
    paths: pathsOf(pieces),
    named: names.length > 0 && pieces.every(({ kind }) => kind === "text" || kind === "name" || kind === "choice"),
    root: rootOf(pieces),
    names,
    match(path) {
      const parts = matcher.parts(path);
      return parts && new Map(names.map((name, index) => [name, decodeName(parts[index] ?? "")]));
    },
    fill(values) {
      let path = "/";
      for (const piece of pieces) {
        const value = piece.kind === "name" ? values.get(piece.name) : undefined;
        if (piece.kind === "text") path += piece.text;
        else if (value !== undefined && value !== "") path += encodeName(value);
        else return undefined;
      }
      return path;
    },
  };
}

/** Encodes a value as part of a file name. `decodeName` is the inverse. */
export function encodeName(value: string): string {
  const encoded = value.replace(/%(?=[0-9a-fA-F]{2})|[/\0]/gu, (character) => percentEncode(character));
  return /^\.{1,2}$/.test(encoded) ? encoded.replaceAll(".", "%2E") : encoded;
}

/** Decodes "%2F" to "/". A "%" without two hexadecimal digits after it is kept. */
export function decodeName(name: string): string {
  return name.replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => Buffer.from(run.replaceAll("%", ""), "hex").toString("utf8"));
}

function percentEncode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

/** The maximum number of paths to expand. */
const MOST_PATHS = 1000;

function pathsOf(pieces: readonly PatternPiece[]): readonly string[] | undefined {
  let paths = ["/"];
  for (const piece of pieces) {
    if (piece.kind !== "text" && piece.kind !== "choice") return undefined;
    const texts = piece.kind === "text" ? [piece.text] : piece.texts;
    if (paths.length * texts.length > MOST_PATHS) return undefined;
    paths = paths.flatMap((path) => texts.map((text) => path + text));
  }
  return paths;
}

function rootOf(pieces: readonly PatternPiece[]): string {
  const [first] = pieces;
  const text = first?.kind === "text" ? first.text : "";
  return `/${text.slice(0, Math.max(0, text.lastIndexOf("/")))}`;
}
