/**
 * Selects which files of a growing tree the model sees: the declarations of programs, and the beginnings of other
 * texts. Only static files are shown. The selection depends only on their paths and contents, and on the prompt.
 */
import type { TreeEntry, TreePort } from "../../rpc/tree-port.ts";
import { Pace } from "../../text/pace.ts";
import { compareBytes, distance, folderOf } from "../../text/tree-paths.ts";
import { cutToBudget } from "../context/fill.ts";
import { redact } from "../context/redact.ts";
import { textOf } from "../context/related.ts";
import { declarationsOf } from "../declarations/declarations.ts";
import { languageOf } from "../declarations/languages.ts";
import { countTokens } from "../spending/tokens.ts";

export interface ShownFile {
  readonly path: string;
  /** Which part of the file is shown, in words for the model. */
  readonly part: string;
  readonly content: string;
}

export interface ShownFilesOptions {
  /** The directory in which the tree grows. */
  readonly within: string;
  readonly prompt: string;
  /** In tokens. */
  readonly budget: number;
  readonly readStatic: TreePort["readStatic"];
  readonly signal?: AbortSignal;
}

/** A shorter part of a file is useless, so with less room per file, fewer files are shown. */
const LEAST = 100;
/** Reducing a file to its declarations takes milliseconds. */
const MOST_FILES = 400;
/** The heading and the fences of a file. */
const FRAME = 20;
/** The beginning of a text that is not a program usually says what it is about. */
const MOST_OF_OTHERS = 300;
/** Only this much of a file is read. */
const MOST_BYTES = 64 * 1024;

/**
 * Files that the prompt names come first, then files with words of the prompt in their paths, then programs, then other
 * texts, nearest first. Each gets an equal share of the room, and the unused part of a share is left for the others.
 */
export async function showFiles(
  visible: readonly TreeEntry[],
  options: ShownFilesOptions,
): Promise<readonly ShownFile[]> {
  const { budget, signal } = options;
  const pace = new Pace(signal);
  const parts: ShownFile[] = [];
  let reserved = 0;
  for (const { path } of rankFiles(visible, options).slice(0, MOST_FILES)) {
    const part = await partOf(path, options);
    if (part === undefined) continue;
    reserved += FRAME + Math.min(LEAST, await countTokens(part.content, { most: LEAST }));
    if (reserved > budget) break;
    parts.push(part);
    if (pace.due) await pace.pause();
  }
  const shown: ShownFile[] = [];
  let left = budget;
  for (const [index, part] of parts.entries()) {
    const share = Math.floor(left / (parts.length - index)) - FRAME;
    const most = part.part === DECLARATIONS ? share : Math.min(share, MOST_OF_OTHERS);
    const { shorter, tokens } = await shorten(part, most);
    shown.push(shorter);
    left -= FRAME + tokens;
    if (pace.due) await pace.pause();
  }
  // The order of the outline is easier to follow than that of the selection.
  return shown.sort((a, b) => compareBytes(a.path, b.path));
}

/** First the whole part, then without what declares nothing, then cut. */
async function shorten(
  part: ShownFile,
  most: number,
): Promise<{ readonly shorter: ShownFile; readonly tokens: number }> {
  const tokens = await countTokens(part.content, { most });
  if (tokens <= most) return { shorter: part, tokens };
  const dense = part.part === DECLARATIONS ? withoutComments(part.content) : part.content;
  const denseTokens = await countTokens(dense, { most });
  if (denseTokens <= most) return { shorter: { ...part, content: dense }, tokens: denseTokens };
  const shorter = { ...part, content: await cutToBudget(dense, most), part: CUT.get(part.part) ?? BEGINNING };
  return { shorter, tokens: most };
}

/** Approximately: lines that are imports, comments or blank. What remains is still read by a model only. */
function withoutComments(declarations: string): string {
  const kept = declarations
    .replace(/^\s*\/\*[\s\S]*?\*\/[ \t]*\n/gm, "")
    .replace(/^import\s[^;"']*?from\s+["'][^"']*["'];?[ \t]*\n/gm, "")
    .split("\n")
    .filter(
      (line) =>
        !/^\s*(?:$|\/\/|# |import\s|from\s.*\simport\b|#include\b|using\s|use\s|package\s|require\b)/.test(line),
    );
  return `${kept.join("\n")}\n`;
}

function rankFiles(visible: readonly TreeEntry[], { within, prompt }: ShownFilesOptions): readonly TreeEntry[] {
  const names = new Set(prompt.match(/[\w./-]+/g)?.map((word) => word.replace(/^[./]+|\.+$/g, "")) ?? []);
  const subjects = new Set([...names].flatMap(wordsOf).filter((word) => !COMMON.has(word)));
  const rank = ({ path }: TreeEntry) => ({
    named: names.has(path.slice(1)) || names.has(path.slice(path.lastIndexOf("/") + 1)) ? 0 : 1,
    hits: new Set(wordsOf(path.replace(/\.\w+$/, "")).filter((word) => subjects.has(word))).size,
    program: languageOf(path, "") === undefined ? 1 : 0,
    far: distance(within, folderOf(path)),
    path,
  });
  const statics = visible.filter(({ type, state }) => type === "file" && state === "static");
  return statics
    .map((entry) => ({ entry, ...rank(entry) }))
    .sort(
      (a, b) =>
        a.named - b.named || b.hits - a.hits || a.program - b.program || a.far - b.far || compareBytes(a.path, b.path),
    )
    .map(({ entry }) => entry);
}

/** The words of a path or a text, in the singular. */
function wordsOf(text: string): readonly string[] {
  const words =
    text
      .replace(/([a-z])([A-Z])/g, "$1 $2")
      .toLowerCase()
      .match(/[\p{L}\p{N}]{3,}/gu) ?? [];
  return words.map((word) => word.replace(/(?<=...)s$/, ""));
}

/** Words that say what to add rather than what it is about. */
const COMMON: ReadonlySet<string> = new Set(
  `test pytest spec unit module file every each all the and for with that this from code new add write more doc
  documentation readme page`.split(/\s+/),
);

const DECLARATIONS = "its declarations";
const WHOLE = "its content";
const BEGINNING = "its beginning";
/** The name of a part after it was cut. */
const CUT = new Map([[DECLARATIONS, "the first of its declarations"]]);

/** Secrets are removed before anything is cut, because half a secret would not be recognized. */
async function partOf(path: string, { readStatic }: ShownFilesOptions): Promise<ShownFile | undefined> {
  const bytes = await readStatic(path, MOST_BYTES);
  // A text that was cut while it was read ends with its last whole line.
  const cut = bytes !== undefined && bytes.length === MOST_BYTES;
  const text = textOf(cut ? bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1) : bytes, MOST_BYTES);
  if (text === undefined) return undefined;
  const clean = await redact(text);
  const declarations = await declarationsOf(path, clean);
  if (declarations !== undefined) return { path, part: DECLARATIONS, content: declarations };
  return { path, part: cut ? BEGINNING : WHOLE, content: clean };
}
