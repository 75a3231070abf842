/**
 * Finds the references of a text to other files: paths, and imported modules in many languages.
 *
 * There is no parser. Each line either imports, links to or mentions files, and words that look like paths are paths. A
 * path refers to a file as follows: "../lib/tides" and "./tides.js" are relative to the folder of the text, "pkg/core"
 * matches the end of the file's path, and a bare "tides.md" matches if no other file has that name or if it is in the same
 * folder.
 */
import { posix } from "node:path";
import { Pace } from "../../text/pace.ts";
import { withoutTrailing } from "../../text/trailing.ts";
import { folderOf } from "../../text/tree-paths.ts";

export type How = "imports" | "links to" | "mentions";

interface Reference {
  readonly how: How;
  /** If `exact`, an absolute path, possibly without extension. Otherwise the end of a path: "pkg/core", "tides.md". */
  readonly path: string;
  readonly exact: boolean;
}

/** References by the last name of their path. */
export type References = ReadonlyMap<string, readonly Reference[]>;

/** The names by which other files may refer to a file. */
export interface Referred {
  readonly path: string;
  /** Paths by their last names. A folder is also matched by paths that end with it, as in Go's imports. */
  readonly names: ReadonlyMap<string, readonly { readonly path: string; readonly folder: boolean }[]>;
}

const IMPORTS =
  /^\s*(?:#\s*include|import|from|(?:pub(?:\(\w+\))?\s+)?(?:use|mod)|require|require_relative|load|export|source|-?include|using|@import|@use)\b|^\s*\.\s|\b(?:require|import|include|require_once|include_once|dofile)\s{0,40}(?:\(\s{0,40})?["'`<]|\bfrom\s{1,40}["']/;
const LINKS = /\]\(|\[\[|\b(?:href|src|action)\s*=|\burl\(/;
const WORD = /[^\s"'`()<>[\]{},;:=|*#!?&$^\\]+/g;
const LONGEST_LINE = 2000;
const MOST_LINES = 5000;

/** `path` is the path of the text. Rejects with the error of `pace`. */
export async function referencesIn(path: string, text: string, pace = new Pace()): Promise<References> {
  const found = new Map<string, Reference[]>();
  const folder = folderOf(path);
  const seen = new Set<string>();
  const add = (how: How, to: string, exact: boolean) => {
    const key = `${how} ${exact} ${to}`;
    if (seen.has(key)) return;
    seen.add(key);
    const name = to.slice(to.lastIndexOf("/") + 1);
    const known = found.get(name);
    if (known === undefined) found.set(name, [{ how, path: to, exact }]);
    else known.push({ how, path: to, exact });
  };
  for (const line of text.split("\n", MOST_LINES)) {
    const said = line.length > LONGEST_LINE ? line.slice(0, LONGEST_LINE) : line;
    const imports = IMPORTS.test(said) || (path.endsWith(".go") && /^\s*(?:[\w.]+\s+)?"[^"]+"\s*$/.test(said));
    const how = imports ? "imports" : LINKS.test(said) ? "links to" : "mentions";
    for (const [word] of said.matchAll(WORD)) addPath(word, folder, (to, exact) => add(how, to, exact));
    if (imports) addModules(said, path, (to, exact) => add(how, to, exact));
    if (pace.due) await pace.pause();
  }
  return found;
}

type Add = (path: string, exact: boolean) => void;

function addPath(word: string, folder: string, add: Add): void {
  const path = withoutTrailing(word, "./").replace(/^\/(?=\.\.?\/)/, "");
  if (!/[./]/.test(path) || path.startsWith("//")) return;
  if (/^\.\.?\//.test(path)) add(posix.resolve(folder, path), true);
  // Bundlers use "@/lib/x" and "~/lib/x" for the root.
  else add(path.replace(/^(?:@|~)?\//, ""), false);
}

/** Adds module names as paths. Relative ones are exact. */
function addModules(line: string, path: string, add: Add): void {
  const folder = folderOf(path);
  if (/\.pyi?$/.test(path)) {
    const [, dots = "", module = "", names = ""] =
      /^\s*from\s+(?=[\w.])(\.*)(\w[\w.]*)?\s+import\s+(.*)/.exec(line) ?? [];
    const base = module.replaceAll(".", "/");
    const inside = names.split(/[\s,()]+/).filter((name) => /^\w+$/.test(name) && name !== "as");
    for (const to of [base, ...inside.map((name) => (base === "" ? name : `${base}/${name}`))]) {
      if (to === "" && dots === "") continue;
      if (dots === "") add(to, false);
      else add(posix.resolve(folder, "../".repeat(dots.length - 1), to), true);
    }
    const [, plain = ""] = /^\s*import\s+([\w., ]+)/.exec(line) ?? [];
    for (const one of plain.split(",")) {
      const to = one.trim().split(/\s/)[0]?.replaceAll(".", "/") ?? "";
      if (to !== "") add(to, false);
    }
    return;
  }
  if (path.endsWith(".rs")) {
    const [, mod] = /\bmod\s+(\w+)\s*;/.exec(line) ?? [];
    if (mod !== undefined) {
      add(posix.join(folder, mod), true);
      add(posix.join(path.replace(/\.rs$/, ""), mod), true);
      return;
    }
  }
  for (const [module] of line.matchAll(/\b[\p{L}_]\w*(?:(?:::|\\|\.)\w+)+/gu)) {
    const names = module.split(/::|\\|\./).filter((name) => !/^(?:crate|super|self)$/.test(name));
    // The last names may be items of the module.
    for (let end = names.length; end > Math.max(0, names.length - 3); end -= 1)
      add(names.slice(0, end).join("/"), false);
  }
}

const ENTRANCES = /^(?:index|mod|__init__|_index|init|default)$/;
const SCRIPTS = /\.[cm]?tsx?$/;

export function createReferred(path: string): Referred {
  const names = new Map<string, { readonly path: string; readonly folder: boolean }[]>();
  const add = (named: string, folder = false) => {
    const name = named.slice(named.lastIndexOf("/") + 1);
    names.set(name, [...(names.get(name) ?? []), { path: named, folder }]);
  };
  const folder = folderOf(path);
  const stem = path.replace(/(?:\.d)?\.[^./]+$/, "");
  add(path);
  if (stem !== path && !stem.endsWith("/")) add(stem);
  // Imports use the file names after compilation.
  if (SCRIPTS.test(path)) for (const end of [".js", ".jsx", ".mjs", ".cjs"]) add(`${stem}${end}`);
  if (folder === "/") return { path, names };
  if (ENTRANCES.test(stem.slice(stem.lastIndexOf("/") + 1))) add(folder);
  else if (path.endsWith(".go")) add(folder, true);
  return { path, names };
}

/** How a text in `from` refers to a file, if that is certain. `only` tells whether no other file has the name. */
export function findReference(
  references: References,
  from: string,
  { path, names }: Referred,
  only: (name: string) => boolean,
): How | undefined {
  const home = folderOf(path);
  let best: How | undefined;
  for (const [name, places] of names) {
    for (const reference of references.get(name) ?? []) {
      if (best === "imports" || (best !== undefined && reference.how === "mentions")) continue;
      if (places.some((place) => matchesPlace(reference, place.path, place.folder))) best = reference.how;
    }
  }
  return best;

  function matchesPlace({ path: said, exact, how }: Reference, place: string, folder: boolean): boolean {
    if (exact) return said === place;
    if (said.includes("/")) {
      return (
        `/${said}` === place || place.endsWith(`/${said}`) || (folder && how === "imports" && said.endsWith(place))
      );
    }
    if (!place.endsWith(`/${said}`)) return false;
    if (place === path && only(said)) return true;
    const root = folderOf(place);
    const project = SOURCES.test(root) ? folderOf(root) : root;
    return root === folderOf(from) || home === folderOf(from) || (how !== "links to" && isIn(folderOf(from), project));
  }
}

const SOURCES = /\/(?:src|source|lib|include|app|pkg)$/;

function isIn(folder: string, above: string): boolean {
  return above === "/" || folder === above || folder.startsWith(`${above}/`);
}
