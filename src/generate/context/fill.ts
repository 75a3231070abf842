/** Fills the remaining room of a request with files. A file that does not fit is cut at a line end. */
import { LRUCache } from "lru-cache";
import type { RelatedFile } from "../../generators/contract.ts";
import { Pace } from "../../text/pace.ts";
import { countTokens } from "../spending/tokens.ts";

/** The tokens around messages, and around the parts of a message. */
export const AROUND = 20;

/** A related file. If `whole`, it is cut only if there is no room. */
export interface Filled extends RelatedFile {
  readonly whole?: true;
}

/**
 * Takes files in order while they and their headings fit next to a text. If not all fit, each file is cut at the line that
 * exceeds its share, and the last one to the remaining room.
 */
export async function fill(files: readonly Filled[], room: number, beside = ""): Promise<readonly RelatedFile[]> {
  if (bytesOf(files) + Buffer.byteLength(beside) + AROUND <= room) return files;
  const budget = room - (beside === "" ? 0 : (await countTokens(beside)) + AROUND);
  if (await doAllFit(files, budget)) return files;
  const chosen: RelatedFile[] = [];
  let left = budget;
  for (const [index, file] of files.entries()) {
    const room = left - (await countFrame(file));
    if (room < LEAST) break;
    const share = Math.max(LEAST, Math.floor(room / Math.min(SHARES, files.length - index)));
    const allowed = file.whole === true ? room : share;
    const all = await countOf(file.content, allowed);
    const content = all <= allowed ? file.content : await cutToBudget(file.content, allowed);
    chosen.push({ ...file, content });
    left = room - (content === file.content ? all : allowed);
  }
  return chosen;
}

/** Each file may take this fraction of the remaining room. The last ones may take more. */
const SHARES = 4;
/** A part of a file that is shorter than this is useless. */
export const LEAST = 50;

/** The heading and the fences. */
export async function countFrame({ path, reason }: RelatedFile): Promise<number> {
  return (await countTokens(`${path} (${reason}):\n`)) + FENCES;
}

const FENCES = 10;

/** A token has at least one byte, so files with no more bytes than the budget has tokens fit without counting. */
export function bytesOf(files: readonly Filled[]): number {
  return files.reduce(
    (sum, { path, reason, content }) =>
      sum + Buffer.byteLength(path) + Buffer.byteLength(reason) + Buffer.byteLength(content) + 6 + FENCES,
    0,
  );
}

async function doAllFit(files: readonly Filled[], budget: number): Promise<boolean> {
  let left = budget;
  for (const file of files) {
    left -= await countFrame(file);
    if (left < 0) return false;
    left -= await countOf(file.content, left);
    if (left < 0) return false;
  }
  return true;
}

/** Cached, because the same files are part of many requests. */
const counts = new LRUCache<string, number>({ max: 1000 });

/** Like `countTokens`, but stops counting above `most`. */
async function countOf(text: string, most: number): Promise<number> {
  const known = counts.get(text);
  if (known !== undefined) return known;
  const tokens = await countTokens(text, { most });
  if (tokens > most) return tokens;
  counts.set(text, tokens);
  return tokens;
}

/** Cuts a text after a line, or within the first line if that is too long. */
export async function cutToBudget(content: string, budget: number): Promise<string> {
  const lines = content.split("\n");
  const pace = new Pace();
  let left = budget - CUT_NOTE;
  let kept = 0;
  for (const line of lines) {
    left -= await countTokens(`${line}\n`, { most: left });
    if (left < 0) break;
    kept += 1;
    if (pace.due) await pace.pause();
  }
  if (kept > 0) return [...lines.slice(0, kept), `… (${lines.length - kept} more lines)`].join("\n");
  let beginning = (lines[0] ?? "").slice(0, Math.max(0, budget) * LONGEST_TOKEN);
  while (beginning !== "" && (await countTokens(beginning)) > budget - CUT_NOTE) {
    beginning = beginning.slice(0, Math.floor(beginning.length * 0.8));
  }
  return `${beginning.toWellFormed()}… (the rest is left out)`;
}

/** The tokens of the note about what is left out. */
const CUT_NOTE = 20;
/** The characters in a token; there are longer ones, but not on average. */
const LONGEST_TOKEN = 8;
