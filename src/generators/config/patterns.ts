/**
 * Patterns of paths: which files a rule is for, and the parts of their paths that it names.
 *
 * | in a pattern | stands for |
 * |---|---|
 * | `*` | any characters within one name |
 * | `?` | one character within a name |
 * | `**` | any number of directories, none too; at the end: everything below |
 * | `{name}` | as `*`, at least one character, and the generator gets it under that name |
 * | `{a,b}` | one of these texts |
 *
 * What `{name}` stands for may hold any character, also those no file name can: they stand in paths as %2F and the like.
 */
import { PathPattern, type Piece, piecesOf } from "../../text/path-pattern.ts";

export interface Pattern {
  readonly source: string;
  /** Whether it is one path, rather than many. */
  readonly literal: boolean;
  /** The paths it is for, where these can be told: it is made of texts and choices of texts. */
  readonly paths: readonly string[] | undefined;
  /** Whether its only wildcards are parts with a name and choices: whoever knows the parts knows which paths there are. */
  readonly named: boolean;
  /** The directory below which everything is that it can match: all names before the first wildcard. */
  readonly root: string;
  /** Names of its `{name}` parts. */
  readonly names: readonly string[];
  /** The parts it names, if the path fits. */
  match(path: string): ReadonlyMap<string, string> | undefined;
  /** The path with these values in it, and "*" where a part has none; undefined where the pattern has other wildcards. */
  fill(values: ReadonlyMap<string, string>): string | undefined;
}

/** Throws Error with what is wrong with it. */
export function parsePattern(source: string): Pattern {
  const pieces = piecesOf(source);
  const names = pieces.flatMap((piece) => (piece.kind === "name" ? [piece.name] : []));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`{${twice}} comes twice in ${JSON.stringify(source)}`);
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

/** A value as part of a file name, so that `decodeName` gives it back. */
export function encodeName(value: string): string {
  const encoded = value.replace(/%(?=[0-9a-fA-F]{2})|[/\0]/gu, (character) => percentEncode(character));
  return /^\.{1,2}$/.test(encoded) ? encoded.replaceAll(".", "%2E") : encoded;
}

/** "%2F" is "/"; a "%" that no two hexadecimal digits follow stands for itself. */
export function decodeName(name: string): string {
  return name.replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => Buffer.from(run.replaceAll("%", ""), "hex").toString("utf8"));
}

function percentEncode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

/** More of them are no paths that anybody wrote down. */
const MOST_PATHS = 1000;

function pathsOf(pieces: readonly Piece[]): readonly string[] | undefined {
  let paths = ["/"];
  for (const piece of pieces) {
    if (piece.kind !== "text" && piece.kind !== "choice") return undefined;
    const texts = piece.kind === "text" ? [piece.text] : piece.texts;
    if (paths.length * texts.length > MOST_PATHS) return undefined;
    paths = paths.flatMap((path) => texts.map((text) => path + text));
  }
  return paths;
}

function rootOf(pieces: readonly Piece[]): string {
  const [first] = pieces;
  const text = first?.kind === "text" ? first.text : "";
  return `/${text.slice(0, Math.max(0, text.lastIndexOf("/")))}`;
}
