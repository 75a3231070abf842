/**
 * Turns a model's answer into the content of a file.
 *
 * Anything that is certainly not content is removed: reasoning, end-of-turn marks (reasoning.ts), a code fence around
 * the whole (or two, in a code file), and empty lines and invisible characters at the top. In a code file, so are the
 * sentences around the one block with the code, because neither they nor the fences would be valid code. If it is not clear which block that is, the model is asked
 * again. In prose, an introduction cannot be distinguished from content, so it stays. A text without a final newline gets one,
 * as POSIX text files have; nothing else is changed.
 *
 * Recordings hold the original answer. This code runs whenever one is used, so that it also applies to old recordings.
 */
import { type Block, blocksIn, isSentence, literalIsOpen, MOST_BLOCKS } from "./fences.ts";
import { beginsFlush, fitsFile, isMarkdown, isPython, kindOfFile } from "./file-type.ts";
import { removeReasoning } from "./reasoning.ts";

export interface CleanAnswer {
  /** The file's text. "" if there is none, or if the model sent an empty code fence for an empty file. */
  readonly text: string;
  /** Why there is no text: the answer is blank, or contains only reasoning. */
  readonly missing?: "nothing" | "thoughts";
  /** The text contains more than the file, and it is not clear which part is the file: sentences, or several blocks. */
  readonly unclear?: true;
}

/** `path` determines the kind of file. */
export function readFileAnswer(answer: string, path: string): CleanAnswer {
  const kind = kindOfFile(path);
  const { text, onlyThoughts } = removeReasoning(withoutInvisible(answer), kind);
  if (onlyThoughts) return { text: "", missing: "thoughts" };
  if (text.trim() === "") return { text: "", missing: answer.trim() === "" ? "nothing" : "thoughts" };
  const unfenced = withoutFence(text, path);
  const whole = kind === "prose" || unfenced === text ? unfenced : withoutFence(unfenced, path);
  if (whole !== text || kind === "prose") return { text: finishText(whole, path) };
  const found = findCodeBlock(text, path);
  return found === "unclear"
    ? { text: finishText(text, path), unclear: true }
    : { text: finishText(found ?? text, path) };
}

/** Like `readFileAnswer`, for callers that accept any text. */
export function readFileText(answer: string, path: string): string {
  return readFileAnswer(answer, path).text;
}

/** The JSON in an answer that may have reasoning before it, a fence around it, or prose on either side. */
export function extractJson(answer: string): string {
  const text = withoutFence(removeReasoning(answer, "code").text, "answer.json").trim();
  if (text.startsWith("{")) return text;
  const start = text.indexOf("{");
  const end = text.lastIndexOf("}");
  return start >= 0 && end > start ? text.slice(start, end + 1) : text;
}

/** With a valid first line and a final newline. */
function finishText(text: string, path: string): string {
  const begun = withoutIndent(withoutInvisible(text).replace(/^(?:[ \t]*\r?\n)+/, ""), path);
  return begun === "" || begun.endsWith("\n") ? begun : `${begun}\n`;
}

/**
 * Removes a byte order mark and characters without width from the beginning, if what follows must be at the very
 * beginning. Elsewhere, as in a CSV for a spreadsheet, a byte order mark may be intended.
 */
function withoutInvisible(text: string): string {
  return text.replace(/^[\ufeff\u200b\u2060]{1,4}(?=\s*(?:```|~~~|#!|<[?!a-z]|---|-----BEGIN |[{[]))/i, "");
}

/** What must be at the very beginning of a file if it is present. */
const FIRST = /^[ \t]+(?=#!|<\?|---[ \t]*\r?\n|-----BEGIN )/;

/**
 * Removes the space that some tokenizers put before an answer, if it makes the first line invalid or changes its
 * meaning. In a file whose other lines are all indented too, the space is intended.
 */
function withoutIndent(text: string, path: string): string {
  if (FIRST.test(text)) return text.replace(FIRST, "");
  const indent = /^[ \t]+/.exec(text)?.[0];
  if (indent === undefined || !beginsFlush(path)) return text;
  const others = text
    .split("\n")
    .slice(1)
    .filter((line) => line.trim() !== "");
  if (others.some((line) => !/^[ \t]/.test(line)) || others.length === 0) return text.slice(indent.length);
  if (!isPython(path) || !others.every((line) => line.startsWith(indent))) return text;
  return text
    .split("\n")
    .map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line))
    .join("\n");
}

/**
 * The content of a fence around the whole answer; the answer itself if there is none.
 *
 * A Markdown file may consist of one block, so there a fence is only removed if it says "markdown" or begins with a
 * heading.
 */
function withoutFence(answer: string, path: string): string {
  // The beginning of a fence, after empty lines.
  if (!/^\s*[`~]/.test(answer)) return answer;
  const lines = answer
    .replace(/^(?:[ \t]*\r?\n)+/, "")
    .trimEnd()
    .split("\n");
  const [block] = blocksIn(lines);
  if (block === undefined || block.start !== 0) return answer;
  const inside = lines.slice(1, -1);
  if (block.end !== lines.length - 1 && !isPageAround(block, inside, lines.at(-1) ?? "", path)) return answer;
  return unfence(inside, block.info, path) ?? answer;
}

/**
 * Whether a fence encloses a whole page although a bare fence in the page seems to close it: it says "markdown", the page
 * begins with a heading, and the last line closes it, with only complete blocks in between.
 */
function isPageAround({ info }: Block, inside: readonly string[], last: string, path: string): boolean {
  const head = inside.find((line) => line.trim() !== "") ?? "";
  if (!isMarkdown(path) || !saysMarkdown(info) || !/^# /.test(head) || !/^(```+|~~~+)\s*$/.test(last)) return false;
  return blocksIn(inside).every(({ end }) => end !== null);
}

function unfence(inside: readonly string[], info: string, path: string): string | undefined {
  const text = joinLines(inside);
  if (!isMarkdown(path) || text.trim() === "") return text.trim() === "" ? "" : text;
  const head = inside.find((line) => line.trim() !== "") ?? "";
  return saysMarkdown(info) || (info === "" && /^(#{1,6}\s|---\s*$|<)/.test(head)) ? text : undefined;
}

function saysMarkdown(info: string): boolean {
  return /^(md|markdown|mdx|gfm|rmd|qmd)$/.test(info.toLowerCase().split(/[\s{]/)[0] ?? "");
}

function joinLines(lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** The one block of an answer that is the code file. Undefined if the whole answer is code. */
function findCodeBlock(text: string, path: string): string | "unclear" | undefined {
  const lines = text.trimEnd().split("\n");
  const blocks = blocksIn(lines).filter(({ indented }) => !indented);
  const [first] = blocks;
  const before = first === undefined ? "" : lines.slice(0, first.start).join("\n");
  // A fence inside a string, a comment or an element belongs to it.
  if (first === undefined || literalIsOpen(before)) return undefined;
  if (kindOfFile(path) === "markup" && before.includes("<")) return undefined;
  if (blocks.length > MOST_BLOCKS) return "unclear";
  const fitting = blocks.filter(({ info }) => fitsFile(info, path) || (info === "" && blocks.length === 1));
  const [block] = fitting;
  if (block === undefined || block.end === null || fitting.length > 1) return "unclear";
  if (!linesOutside(lines, blocks).every(isSentence)) return "unclear";
  return joinLines(lines.slice(block.start + 1, block.end));
}

/** The lines between blocks. Precondition: the blocks are in the order of the text. */
function linesOutside(lines: readonly string[], blocks: readonly Block[]): readonly string[] {
  const found: string[] = [];
  let from = 0;
  for (const { start, end } of blocks) {
    found.push(...lines.slice(from, start));
    from = (end ?? lines.length) + 1;
  }
  return [...found, ...lines.slice(from)];
}
