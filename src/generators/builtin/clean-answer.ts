/**
 * From what a model answered to what belongs in the file.
 *
 * What is certainly not content is taken away: thoughts, the marks of a turn (reasoning.ts), a code fence around the
 * whole, and empty lines at the top. In a file of code also the sentences around the one block that holds it: between
 * them, neither they nor the fences would be code. Where it is not plain which block that is, the model is asked again.
 * In prose nobody can tell an introduction from content, so there it stays. A text that does not end in a newline gets
 * one, as POSIX has text files; nothing else is changed.
 *
 * Recordings hold the answer as it came. This is done whenever one is used, so that it holds for old recordings too.
 */
import { type Block, blocksIn, isSentence, literalIsOpen, MOST_BLOCKS } from "./fences.ts";
import { beginsFlush, fitsFile, isMarkdown, isPython, kindOfFile } from "./file-type.ts";
import { removeReasoning } from "./reasoning.ts";

export interface CleanAnswer {
  /** The file's text. "" where there is none, and where the model said by an empty code fence that the file is empty. */
  readonly text: string;
  /** Why there is no text: the answer is blank, or holds nothing but thoughts. */
  readonly missing?: "nothing" | "thoughts";
  /** The text holds more than the file, and it is not plain what: sentences, or several blocks. */
  readonly unclear?: true;
}

/** `path` says what kind of file it is. */
export function readFileAnswer(answer: string, path: string): CleanAnswer {
  const kind = kindOfFile(path);
  const { text, onlyThoughts } = removeReasoning(answer, kind);
  if (onlyThoughts) return { text: "", missing: "thoughts" };
  if (text.trim() === "") return { text: "", missing: answer.trim() === "" ? "nothing" : "thoughts" };
  const whole = withoutFence(text, path);
  if (whole !== text || kind === "prose") return { text: finishText(whole, path) };
  const found = findCodeBlock(text, path);
  return found === "unclear"
    ? { text: finishText(text, path), unclear: true }
    : { text: finishText(found ?? text, path) };
}

/** As `readFileAnswer`, for whoever takes the text whatever it is. */
export function readFileText(answer: string, path: string): string {
  return readFileAnswer(answer, path).text;
}

/** JSON in an answer that may have thoughts before it, a fence around it, or prose on either side. */
export function extractJson(answer: string): string {
  const text = withoutFence(removeReasoning(answer, "code").text, "answer.json").trim();
  if (text.startsWith("{")) return text;
  const start = text.indexOf("{");
  const end = text.lastIndexOf("}");
  return start >= 0 && end > start ? text.slice(start, end + 1) : text;
}

/** With a first line that can stand there, and a newline at the end. */
function finishText(text: string, path: string): string {
  const begun = withoutIndent(text.replace(/^(?:[ \t]*\r?\n)+/, ""), path);
  return begun === "" || begun.endsWith("\n") ? begun : `${begun}\n`;
}

/** What has to stand at the very beginning of any file that has it. */
const FIRST = /^[ \t]+(?=#!|<\?|---[ \t]*\r?\n|-----BEGIN )/;

/**
 * Without the blank that some tokenizers put before an answer, where it makes an error or another meaning of the first
 * line. In a file whose other lines are all indented too, the first is not the odd one.
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
 * The inside of a fence that encloses the whole answer; the answer itself if none does.
 *
 * A Markdown file may consist of one block, so there only a fence that says "markdown", or holds a heading at its top, is
 * taken away.
 */
function withoutFence(answer: string, path: string): string {
  // What a fence begins with, after empty lines.
  if (!/^\s*[`~]/.test(answer)) return answer;
  const lines = answer
    .replace(/^(?:[ \t]*\r?\n)+/, "")
    .trimEnd()
    .split("\n");
  const [block] = blocksIn(lines);
  if (block === undefined || block.start !== 0 || block.end !== lines.length - 1) return answer;
  return unfence(lines.slice(1, -1), block.info, path) ?? answer;
}

function unfence(inside: readonly string[], info: string, path: string): string | undefined {
  const text = joinLines(inside);
  if (!isMarkdown(path) || text.trim() === "") return text.trim() === "" ? "" : text;
  const head = inside.find((line) => line.trim() !== "") ?? "";
  const language = info.toLowerCase().split(/[\s{]/)[0] ?? "";
  const saysMarkdown = /^(md|markdown|mdx|gfm|rmd|qmd)$/.test(language);
  return saysMarkdown || (info === "" && /^(#{1,6}\s|---\s*$|<)/.test(head)) ? text : undefined;
}

function joinLines(lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** The one block of an answer for a file of code that is the file. Undefined where all of the answer is code. */
function findCodeBlock(text: string, path: string): string | "unclear" | undefined {
  const lines = text.trimEnd().split("\n");
  const blocks = blocksIn(lines).filter(({ indented }) => !indented);
  const [first] = blocks;
  const before = first === undefined ? "" : lines.slice(0, first.start).join("\n");
  // A fence in a string, a comment or an element belongs to it.
  if (first === undefined || literalIsOpen(before)) return undefined;
  if (kindOfFile(path) === "markup" && before.includes("<")) return undefined;
  if (blocks.length > MOST_BLOCKS) return "unclear";
  const fitting = blocks.filter(({ info }) => fitsFile(info, path) || (info === "" && blocks.length === 1));
  const [block] = fitting;
  if (block === undefined || block.end === null || fitting.length > 1) return "unclear";
  if (!linesOutside(lines, blocks).every(isSentence)) return "unclear";
  return joinLines(lines.slice(block.start + 1, block.end));
}

/** The lines between blocks, which come in the order of the text. */
function linesOutside(lines: readonly string[], blocks: readonly Block[]): readonly string[] {
  const found: string[] = [];
  let from = 0;
  for (const { start, end } of blocks) {
    found.push(...lines.slice(from, start));
    from = (end ?? lines.length) + 1;
  }
  return [...found, ...lines.slice(from)];
}
