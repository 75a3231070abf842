/**
 * Selects which files of a growing tree the model sees: the declarations of programs, and the beginnings of other
 * texts. Only static files are shown. The selection depends only on their paths and contents, and on the prompt.
 */
import type { TreeEntry, TreePort } from "../../rpc/tree-port.ts";
import { Pace } from "../../text/pace.ts";
import { cutToBudget } from "../context/fill.ts";
import { compareBytes, distance, folderOf } from "../context/outline.ts";
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
const LEAST = 60;
/** The heading and the fences of a file. */
const FRAME = 20;
/** The beginning of a text that is not a program usually says what it is about. */
const MOST_OF_OTHERS = 300;
/** Only this much of a file is read. */
const MOST_BYTES = 64 * 1024;

/**
 * Files that the prompt names come first, then programs, then other texts, nearest first. Each gets an equal share of
 * the room, and the unused part of a share is left for the others.
 */
export async function showFiles(
  visible: readonly TreeEntry[],
  options: ShownFilesOptions,
): Promise<readonly ShownFile[]> {
  const { budget, signal } = options;
  const pace = new Pace(signal);
  const candidates = rankFiles(visible, options).slice(0, Math.max(0, Math.floor(budget / (LEAST + FRAME))));
  const parts: ShownFile[] = [];
  for (const { path } of candidates) {
    const part = await partOf(path, options);
    if (part !== undefined) parts.push(part);
    if (pace.due) await pace.pause();
  }
  const shown: ShownFile[] = [];
  let left = budget;
  for (const [index, part] of parts.entries()) {
    const share = Math.floor(left / (parts.length - index)) - FRAME;
    const most = part.part === DECLARATIONS ? share : Math.min(share, MOST_OF_OTHERS);
    if (most < LEAST) break;
    const tokens = await countTokens(part.content, { most });
    const fits = tokens <= most;
    const content = fits ? part.content : await cutToBudget(part.content, most);
    shown.push({ ...part, content, part: fits ? part.part : (CUT.get(part.part) ?? BEGINNING) });
    left -= FRAME + (fits ? tokens : most);
    if (pace.due) await pace.pause();
  }
  // The order of the outline is easier to follow than that of the selection.
  return shown.sort((a, b) => compareBytes(a.path, b.path));
}

function rankFiles(visible: readonly TreeEntry[], { within, prompt }: ShownFilesOptions): readonly TreeEntry[] {
  const words = new Set(prompt.match(/[\w./-]+/g)?.map((word) => word.replace(/^[./]+|\.+$/g, "")) ?? []);
  const rank = ({ path }: TreeEntry) => ({
    named: words.has(path.slice(1)) || words.has(path.slice(path.lastIndexOf("/") + 1)) ? 0 : 1,
    program: languageOf(path, "") === undefined ? 1 : 0,
    far: distance(within, folderOf(path)),
    path,
  });
  const statics = visible.filter(({ type, state }) => type === "file" && state === "static");
  return statics
    .map((entry) => ({ entry, ...rank(entry) }))
    .sort((a, b) => a.named - b.named || a.program - b.program || a.far - b.far || compareBytes(a.path, b.path))
    .map(({ entry }) => entry);
}

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
