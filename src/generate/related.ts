/**
 * Which static files a model is shown when it writes another one, and why.
 *
 * Static ones only: what a file gets must not depend on which others happened to be generated before it.
 */

import type { TreePort } from "../fs/port.ts";
import type { FileInfo, RelatedFile, TreeEntry } from "../generators/generator.ts";
import { byteOrder, distance, folderOf } from "./outline.ts";
import { fits, type TokenCounter, tokenCounter } from "./tokens.ts";

export interface RelatedOptions {
  /** Tokens for all of them together. */
  readonly budget: number;
  /** So many files, the nearest ones, are read to see whether they mention the file in question. */
  readonly candidates?: number;
  /** Takes secrets out; done before a file is cut, since half a secret is not recognised as one. */
  readonly clean?: (text: string) => Promise<string>;
}

interface Candidate {
  readonly path: string;
  readonly content: Text;
  readonly far: number;
}

/** A content, and the lines of it that name other files. */
interface Text {
  readonly whole: string;
  readonly imports: readonly string[];
}

const CONFIGURATION = new Set(
  `package.json tsconfig.json deno.json pyproject.toml setup.cfg setup.py requirements.txt Cargo.toml go.mod Makefile
  CMakeLists.txt meson.build build.gradle pom.xml Gemfile composer.json mix.exs Dockerfile .editorconfig`.split(/\s+/),
);

/**
 * Most related first, within the budget: whole files while they fit, the last one cut at a line.
 *
 * `words` are the texts that speak of the file (its description, its prompts); `outline` holds what may be sent.
 */
export async function relatedFiles(
  file: Pick<FileInfo, "path">,
  words: readonly string[],
  outline: readonly TreeEntry[],
  tree: Pick<TreePort, "readStatic" | "readStatics">,
  options: RelatedOptions,
): Promise<readonly RelatedFile[]> {
  const candidates = options.candidates ?? 200;
  const nearest = nearestTo(folderOf(file.path), outline, candidates + 1);
  const contents = await contentsOf(nearest.paths, tree);
  const ranked: { readonly file: RelatedFile; readonly score: number; readonly far: number }[] = [];
  let looked = 0;
  for (const [index, path] of nearest.paths.entries()) {
    if (path === file.path) continue;
    if (++looked > candidates) break;
    const content = textsOf(contents[index]);
    if (content === undefined) continue;
    const far = nearest.far[index] ?? 0;
    const rank = reasonFor(file.path, words, { path, content, far });
    if (rank === undefined) continue;
    ranked.push({ file: { path, reason: rank.reason, content: content.whole }, score: rank.score, far });
  }
  ranked.sort((a, b) => b.score - a.score || a.far - b.far || byteOrder(a.file.path, b.file.path));
  const { clean = async (text: string) => text, budget } = options;
  const files = ranked.map(async ({ file }) => ({ ...file, content: await clean(file.content) }));
  return fill(await Promise.all(files), budget);
}

/** Longer files are no text that helps. */
const STATIC_BYTES = 64 * 1024;

function contentsOf(paths: readonly string[], tree: Pick<TreePort, "readStatic" | "readStatics">) {
  if (tree.readStatics !== undefined) return tree.readStatics(paths, STATIC_BYTES);
  return Promise.all(paths.map((path) => tree.readStatic(path, STATIC_BYTES + 1)));
}

/** The same contents are looked through for many files. */
const texts = new WeakMap<Uint8Array, Text | { readonly none: true }>();

function textsOf(bytes: Uint8Array | undefined): Text | undefined {
  if (bytes === undefined) return undefined;
  let text = texts.get(bytes);
  if (text === undefined) {
    const whole = textOf(bytes, STATIC_BYTES);
    text = whole === undefined ? { none: true } : { whole, imports: importsOf(whole) };
    texts.set(bytes, text);
  }
  return "none" in text ? undefined : text;
}

function importsOf(content: string): readonly string[] {
  return content
    .split("\n", 400)
    .filter((line) => /^\s*(#\s*include|import|from|use|mod|require|export)\b|require\(/.test(line));
}

interface Nearest {
  readonly paths: readonly string[];
  /** Steps to each of them. */
  readonly far: readonly number[];
}

/** The static files that are nearest to a directory, so many of them. */
function nearestTo(home: string, outline: readonly TreeEntry[], count: number): Nearest {
  const statics = staticsOf(outline);
  const key = `${count} ${home}`;
  const known = statics.near.get(key);
  if (known !== undefined) return known;
  const chosen = statics.paths
    .map((path) => ({ path, far: distance(home, folderOf(path)) }))
    .sort((a, b) => a.far - b.far || byteOrder(a.path, b.path))
    .slice(0, count);
  const nearest = { paths: chosen.map(({ path }) => path), far: chosen.map(({ far }) => far) };
  if (statics.near.size >= MOST_HOMES) statics.near.clear();
  statics.near.set(key, nearest);
  return nearest;
}

interface Statics {
  readonly paths: readonly string[];
  readonly near: Map<string, Nearest>;
}

/** The same list is looked through for many files. */
const everyStatic = new WeakMap<readonly TreeEntry[], Statics>();
const MOST_HOMES = 1000;

function staticsOf(outline: readonly TreeEntry[]): Statics {
  let statics = everyStatic.get(outline);
  if (statics === undefined) {
    const files = outline.filter(({ type, state }) => type === "file" && state === "static");
    statics = { paths: files.map(({ path }) => path), near: new Map() };
    everyStatic.set(outline, statics);
  }
  return statics;
}

/** The first rule that applies; none: the file does not help. */
function reasonFor(
  target: string,
  words: readonly string[],
  { path, content, far }: Candidate,
): { readonly reason: string; readonly score: number } | undefined {
  const name = nameOf(path);
  const folder = folderOf(path);
  const home = folderOf(target);
  if (words.some((text) => mentions(text, name))) return { reason: "named by this file's description", score: 100 };
  if (mentions(content.whole, nameOf(target)) || imports(content, stemOf(target)))
    return { reason: "mentions this file", score: 90 };
  if (stemOf(path) === stemOf(target)) return { reason: "same subject, by its name", score: 80 };
  if (folder === home) return { reason: "same directory", score: extensionOf(path) === extensionOf(target) ? 65 : 60 };
  const above = home === folder || folder === "/" || home.startsWith(`${folder}/`);
  if (above && /^readme(\.\w+)?$/i.test(name)) return { reason: `README of ${folder}`, score: 50 };
  if (above && CONFIGURATION.has(name)) return { reason: `configuration of ${folder}`, score: 45 };
  if (far <= 2 && extensionOf(path) === extensionOf(target)) return { reason: "same kind, near by", score: 20 };
  return undefined;
}

/** The name as a word of its own; very short ones say nothing. */
function mentions(text: string, name: string): boolean {
  if (name.length < 4) return false;
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    if (!/[\w-]/.test(text[at - 1] ?? " ") && !/[\w-]/.test(text[at + name.length] ?? " ")) return true;
  }
  return false;
}

function imports(content: Text, stem: string): boolean {
  if (content.imports.length === 0 || stem.length < 3 || stem === "index" || stem === "main") return false;
  const word = new RegExp(`\\b${RegExp.escape(stem)}\\b`);
  return content.imports.some((line) => mentions(line.padEnd(4), stem) || word.test(line));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** "tides" for tides.c, test_tides.py, tides.test.ts: what the file is about. */
function stemOf(path: string): string {
  return nameOf(path)
    .replace(/(\.(test|spec|d))?\.[^.]*$/, "")
    .replace(/^test_|_test$/, "")
    .toLowerCase();
}

function extensionOf(path: string): string {
  return /\.[^.]+$/.exec(nameOf(path))?.[0] ?? "";
}

/** The bytes as text; undefined if they are none, or too long to help. */
export function textOf(bytes: Uint8Array | undefined, limit: number): string | undefined {
  if (bytes === undefined || bytes.length === 0 || bytes.length > limit || bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Whole files while they fit, in their order; the one that does not is cut at a line. */
export async function fill(files: readonly RelatedFile[], budget: number): Promise<readonly RelatedFile[]> {
  if (await allFit(files, budget)) return files;
  const count = counted(await tokenCounter());
  const chosen: RelatedFile[] = [];
  let left = budget;
  for (const file of files) {
    const whole = count(file.content);
    if (whole <= left) chosen.push(file);
    else if (left >= 200) chosen.push({ ...file, content: cut(file.content, left, count) });
    left -= Math.min(whole, left);
    if (left < 200) break;
  }
  return chosen;
}

/** Whether all of them one after the other have at most so many tokens. */
async function allFit(files: readonly RelatedFile[], budget: number): Promise<boolean> {
  // Tokens are counted line by line: where every file ends a line and begins another, the sum is that of the whole.
  const separate = files.every(({ content }) => content.endsWith("\n") && !content.startsWith("\n"));
  const bytes = files.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
  if (!separate || bytes <= budget) return fits(files.map(({ content }) => content).join(""), budget);
  const count = counted(await tokenCounter());
  let left = budget;
  return files.every(({ content }) => {
    left -= count(content);
    return left >= 0;
  });
}

/** The same files are sent with many others. */
const counts = new Map<string, number>();
const MOST_COUNTED = 1000;

function counted(count: TokenCounter): TokenCounter {
  return (text) => {
    const tokens = counts.get(text) ?? count(text);
    if (counts.size >= MOST_COUNTED) counts.clear();
    counts.set(text, tokens);
    return tokens;
  };
}

function cut(content: string, budget: number, count: (text: string) => number): string {
  const lines = content.split("\n");
  let left = budget - 20;
  let kept = 0;
  for (const line of lines) {
    left -= count(`${line}\n`);
    if (left < 0) break;
    kept += 1;
  }
  return [...lines.slice(0, kept), `… (${lines.length - kept} more lines)`].join("\n");
}
