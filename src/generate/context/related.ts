/**
 * Selects the static files that the request for another file contains, with the reason for each.
 *
 * Only static files are used, because a request must not depend on which files were generated before. The reasons are sent
 * to the model, so their words are part of the request keys.
 */

import { LRUCache } from "lru-cache";
import type { RelatedFile } from "../../generators/contract.ts";
import type { FileInfo, TreeEntry, TreePort } from "../../rpc/tree-port.ts";
import { Pace } from "../../text/pace.ts";
import { compareBytes, distance, folderOf } from "../../text/tree-paths.ts";
import { fill } from "./fill.ts";
import { createReferred, findReference, type References, type Referred, referencesIn } from "./references.ts";

export interface RelatedOptions {
  /** The number of nearest files to search for references to the file. */
  readonly candidates?: number;
  /** Removes secrets. This is done before a file is cut, because half a secret would not be recognized. */
  readonly clean?: (text: string) => Promise<string>;
  readonly signal?: AbortSignal | undefined;
}

interface Candidate {
  readonly path: string;
  readonly content: Text;
  readonly far: number;
}

/** A text and its references to other files. */
interface Text {
  readonly whole: string;
  readonly references: References;
}

const CONFIGURATION = new Set(
  `package.json tsconfig.json tsconfig.base.json jsconfig.json deno.json deno.jsonc biome.json eslint.config.js
  .eslintrc.json .prettierrc vite.config.ts vite.config.js webpack.config.js next.config.js pnpm-workspace.yaml lerna.json
  pyproject.toml setup.cfg setup.py requirements.txt tox.ini Pipfile environment.yml Cargo.toml rustfmt.toml go.mod go.work
  Makefile makefile GNUmakefile justfile Taskfile.yml CMakeLists.txt meson.build configure.ac BUILD.bazel MODULE.bazel
  build.gradle build.gradle.kts settings.gradle pom.xml build.sbt Gemfile composer.json mix.exs rebar.config dune-project
  stack.yaml cabal.project Package.swift pubspec.yaml build.zig flake.nix Dockerfile Containerfile compose.yaml
  docker-compose.yml .editorconfig .clang-format .env.example AGENTS.md CONTRIBUTING.md CONVENTIONS.md STYLE.md`.split(
    /\s+/,
  ),
);
const README = /^readme(\.\w+)?$/i;

/** Selects the most related files within the budget. */
export async function selectRelated(
  file: Pick<FileInfo, "path">,
  words: readonly string[],
  outline: readonly TreeEntry[],
  tree: Pick<TreePort, "readStatic" | "readStatics">,
  options: RelatedOptions & { readonly budget: number },
): Promise<readonly RelatedFile[]> {
  return fill(await rankFiles(file, words, outline, tree, options), options.budget);
}

/**
 * Sorts all related files, the most related first.
 *
 * `words` are texts about the file (its description and prompts). `outline` has the entries that may be sent.
 */
export async function rankFiles(
  file: Pick<FileInfo, "path">,
  words: readonly string[],
  outline: readonly TreeEntry[],
  tree: Pick<TreePort, "readStatic" | "readStatics">,
  options: RelatedOptions,
): Promise<readonly RelatedFile[]> {
  const statics = staticsOf(outline);
  if (statics.paths.length === 0) return [];
  const home = folderOf(file.path);
  const nearest = findNearest(home, statics, (options.candidates ?? 200) + 1);
  const pace = new Pace(options.signal);
  const spoken: References[] = [];
  for (const text of words) if (text !== "") spoken.push(await referencesIn(file.path, text, pace));
  const named = findNamed(spoken, words, statics, nearest);
  const paths = named.length === 0 ? nearest.paths : [...nearest.paths, ...named];
  const contents = await contentsOf(paths, tree);
  const target = createReferred(file.path);
  const ranked: { readonly file: RelatedFile; readonly score: number; readonly far: number }[] = [];
  for (const [index, path] of paths.entries()) {
    if (path === file.path) continue;
    const content = await textsOf(path, contents[index], pace);
    if (content === undefined) continue;
    const far = nearest.far[index] ?? distance(home, folderOf(path));
    const rank = reasonFor(target, spoken, words, { path, content, far }, statics);
    if (rank === undefined) continue;
    ranked.push({ file: { path, reason: rank.reason, content: content.whole }, score: rank.score, far });
    if (pace.due) await pace.pause();
  }
  ranked.sort((a, b) => b.score - a.score || a.far - b.far || compareBytes(a.file.path, b.file.path));
  const { clean = async (text: string) => text } = options;
  return Promise.all(ranked.map(async ({ file }) => ({ ...file, content: await clean(file.content) })));
}

/** Only the beginning of a longer file is searched. */
const STATIC_BYTES = 64 * 1024;

function contentsOf(paths: readonly string[], tree: Pick<TreePort, "readStatic" | "readStatics">) {
  if (tree.readStatics !== undefined) return tree.readStatics(paths, STATIC_BYTES);
  return Promise.all(paths.map((path) => tree.readStatic(path, STATIC_BYTES)));
}

/** Cached, because the same contents are searched for many files. References also depend on the path of the text. */
const texts = new WeakMap<Uint8Array, Map<string, Text | undefined>>();

async function textsOf(path: string, bytes: Uint8Array | undefined, pace: Pace): Promise<Text | undefined> {
  if (bytes === undefined) return undefined;
  const known = texts.get(bytes) ?? new Map<string, Text | undefined>();
  texts.set(bytes, known);
  if (known.has(path)) return known.get(path);
  const whole = bytes.length < STATIC_BYTES ? textOf(bytes, STATIC_BYTES) : beginningOf(bytes);
  const text = whole === undefined ? undefined : { whole, references: await referencesIn(path, whole, pace) };
  known.set(path, text);
  return text;
}

function beginningOf(bytes: Uint8Array): string | undefined {
  const whole = textOf(bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1), STATIC_BYTES);
  return whole && `${whole}… (the rest is left out)\n`;
}

interface Nearest {
  readonly paths: readonly string[];
  /** The distance of each file. */
  readonly far: readonly number[];
}

/** The `count` static files nearest to a directory, and those that describe the directories above it. */
function findNearest(home: string, statics: StaticFiles, count: number): Nearest {
  const key = `${count} ${home}`;
  const known = statics.near.get(key);
  if (known !== undefined) return known;
  const placed = statics.paths.map((path) => ({ path, far: distance(home, folderOf(path)) }));
  const chosen = placed.sort((a, b) => a.far - b.far || compareBytes(a.path, b.path)).slice(0, count);
  const taken = new Set(chosen.map(({ path }) => path));
  for (const { path, far } of placed.slice(count))
    if (isAbout(path, home) && !taken.has(path)) chosen.push({ path, far });
  const nearest = { paths: chosen.map(({ path }) => path), far: chosen.map(({ far }) => far) };
  statics.near.set(key, nearest);
  return nearest;
}

/** Files anywhere in the tree that the words name and that are not among the nearest. */
function findNamed(
  spoken: readonly References[],
  words: readonly string[],
  statics: StaticFiles,
  nearest: Nearest,
): readonly string[] {
  if (statics.paths.length <= nearest.paths.length) return [];
  const there = new Set(nearest.paths);
  const names = [
    ...spoken.flatMap((references) => [...references.keys()]),
    ...words.flatMap((text) => text.match(/[\w.-]+/g) ?? []),
  ];
  const found = new Set<string>();
  for (const name of names) for (const path of statics.withName(name)) if (!there.has(path)) found.add(path);
  return [...found].sort(compareBytes).slice(0, MOST_NAMED);
}

const MOST_NAMED = 20;

interface StaticFiles {
  readonly paths: readonly string[];
  readonly near: LRUCache<string, Nearest>;
  /** The paths with this last name. */
  withName(name: string): readonly string[];
  /** Whether no other file, static or not, has the name. */
  isOnly(name: string): boolean;
}

/** Whether there is any file that may be related to another. */
export function hasStatics(outline: readonly TreeEntry[]): boolean {
  return staticsOf(outline).paths.length > 0;
}

/** Cached, because the same list is searched for many files. */
const everyStatic = new WeakMap<readonly TreeEntry[], StaticFiles>();
const MOST_HOMES = 1000;

function staticsOf(outline: readonly TreeEntry[]): StaticFiles {
  const known = everyStatic.get(outline);
  if (known !== undefined) return known;
  const paths = outline.filter(({ type, state }) => type === "file" && state === "static").map(({ path }) => path);
  let byName: ReadonlyMap<string, readonly string[]> | undefined;
  let counts: ReadonlyMap<string, number> | undefined;
  const statics: StaticFiles = {
    paths,
    near: new LRUCache({ max: MOST_HOMES }),
    withName(name) {
      byName ??= Map.groupBy(paths, nameOf);
      return byName.get(name) ?? [];
    },
    isOnly(name) {
      counts ??= countNames(outline);
      return counts.get(name) === 1;
    },
  };
  everyStatic.set(outline, statics);
  return statics;
}

function countNames(outline: readonly TreeEntry[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { path, type } of outline) {
    if (type === "file") counts.set(nameOf(path), (counts.get(nameOf(path)) ?? 0) + 1);
  }
  return counts;
}

/** The first reason that applies. Undefined if the file does not help. */
function reasonFor(
  target: Referred,
  spoken: readonly References[],
  words: readonly string[],
  { path, content, far }: Candidate,
  { isOnly: only }: StaticFiles,
): { readonly reason: string; readonly score: number } | undefined {
  const name = nameOf(path);
  const folder = folderOf(path);
  const home = folderOf(target.path);
  if (isNamed(path, spoken, words, target.path)) return { reason: "named by this file's description", score: 100 };
  const how = findReference(content.references, path, target, only);
  if (how !== undefined) return { reason: `${how} this file`, score: 90 };
  if (isOdd(nameOf(target.path)) && mentions(content.whole, nameOf(target.path)))
    return { reason: "mentions this file", score: 90 };
  const stem = stemOf(path);
  if (stem === stemOf(target.path) && !COMMON.test(stem)) return { reason: "same subject, by its name", score: 80 };
  if (isAbout(path, home)) {
    const what = README.test(name) ? "README" : "configuration";
    return { reason: `${what} of ${folder}`, score: what === "README" ? 75 : 70 };
  }
  if (folder === home)
    return { reason: "same directory", score: extensionOf(path) === extensionOf(target.path) ? 65 : 60 };
  if (far <= 2 && extensionOf(path) === extensionOf(target.path)) return { reason: "same kind, near by", score: 20 };
  return undefined;
}

/** Whether the words name the file, by a matching path or by its name alone. */
function isNamed(path: string, spoken: readonly References[], words: readonly string[], from: string): boolean {
  const name = nameOf(path);
  if (isOdd(name)) return words.some((text) => mentions(text, name));
  const named = createReferred(path);
  return spoken.some((references) => findReference(references, from, named, () => true) !== undefined);
}

/** Whether the name would not be recognized as a word of a text. */
function isOdd(name: string): boolean {
  return !/^[^\s"'`()<>[\]{},;:=|*#!?&$^\\]*\.[^\s"'`()<>[\]{},;:=|*#!?&$^\\.]+$/.test(name);
}

/** Whether the file describes this directory or one above it. */
function isAbout(path: string, home: string): boolean {
  const folder = folderOf(path);
  const name = nameOf(path);
  return (
    (folder === "/" || home === folder || home.startsWith(`${folder}/`)) &&
    (README.test(name) || CONFIGURATION.has(name))
  );
}

/** Files with these names have nothing in common. */
const COMMON =
  /^(?:index|main|mod|lib|init|__init__|readme|types|utils?|helpers?|config|constants|common|package|setup|default|app|test|tests|changelog|license|makefile)$/;

/** Whether the text contains the name as a separate word. Very short names are ignored. */
function mentions(text: string, name: string): boolean {
  if (name.length < 4) return false;
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    if (!/[\w-]/.test(text[at - 1] ?? " ") && !/[\w-]/.test(text[at + name.length] ?? " ")) return true;
  }
  return false;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The subject of a file: "tides" for tides.c, test_tides.py and tides.test.ts. */
function stemOf(path: string): string {
  return nameOf(path)
    .replace(/(\.(test|spec|d))?\.[^.]*$/, "")
    .replace(/^test_|_test$/, "")
    .toLowerCase();
}

function extensionOf(path: string): string {
  return /\.[^.]+$/.exec(nameOf(path))?.[0] ?? "";
}

/** The bytes as text. Undefined if they are not text, or too long to help. */
export function textOf(bytes: Uint8Array | undefined, limit: number): string | undefined {
  if (bytes === undefined || bytes.length === 0 || bytes.length > limit || bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
