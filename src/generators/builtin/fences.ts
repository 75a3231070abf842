/** Code fences, by CommonMark's rules as far as models follow them. */

const FENCE = /^( {0,3})(`{3,}|~{3,})([^\n]*)$/;

export interface Fence {
  /** The backticks or tildes. */
  readonly mark: string;
  readonly info: string;
  readonly indented: boolean;
}

/** The fence on a line, if there is one. */
function fenceIn(line: string): Fence | undefined {
  // A quick test, since most lines are not fences.
  if (!/^ {0,3}[`~]/.test(line)) return undefined;
  const found = FENCE.exec(line.replace(/\r$/, ""));
  const mark = found?.[2];
  if (mark === undefined) return undefined;
  const info = (found?.[3] ?? "").trim();
  // "```x``` is code" is the beginning of a line of text.
  if (mark.startsWith("`") && info.includes("`")) return undefined;
  return { mark, info, indented: found?.[1] !== "" };
}

export interface Block {
  readonly info: string;
  readonly indented: boolean;
  /** Indexes of the lines of its fences; null if it is never closed. */
  readonly start: number;
  readonly end: number | null;
}

/** A text with more blocks cannot be interpreted. */
export const MOST_BLOCKS = 100;

/**
 * The fenced blocks of a text (only the first ones if there are very many). Inside a block, a fence with a word after
 * it opens a nested block, which the next bare fence closes, because models nest them like that.
 */
export function blocksIn(lines: readonly string[]): readonly Block[] {
  const blocks: Block[] = [];
  let open: { fence: Fence; start: number; inner: number } | undefined;
  for (const [index, line] of lines.entries()) {
    const fence = fenceIn(line);
    if (fence === undefined) continue;
    if (blocks.length > MOST_BLOCKS) return blocks;
    if (open === undefined) open = { fence, start: index, inner: 0 };
    else if (fence.mark[0] !== open.fence.mark[0] || fence.mark.length < open.fence.mark.length) continue;
    else if (fence.info !== "") open.inner += 1;
    else if (open.inner > 0) open.inner -= 1;
    else {
      blocks.push({ ...open.fence, start: open.start, end: index });
      open = undefined;
    }
  }
  if (open !== undefined) blocks.push({ ...open.fence, start: open.start, end: null });
  return blocks;
}

/** Whether a text ends inside a fenced block. */
export function blockIsOpen(text: string): boolean {
  return blocksIn(text.split("\n")).at(-1)?.end === null;
}

/** Delimiters of multi-line comments and strings in various languages. */
const LITERALS: readonly (readonly [open: string, close: string])[] = [
  ["/*", "*/"],
  ["<!--", "-->"],
  ["{-", "-}"],
  ["(*", "*)"],
  ["[[", "]]"],
  ["=begin", "=end"],
  ["=pod", "=cut"],
  ['R"', ')"'],
  ['#"', '"#'],
  ['@"', '"@'],
];

/** Whether a text ends inside a comment, a multi-line string or a here-document. */
export function literalIsOpen(text: string): boolean {
  const isOdd = (mark: string) => text.split(mark).length % 2 === 0;
  if (['"""', "'''", "`", "$$", '"'].some(isOdd)) return true;
  if (LITERALS.some(([open, close]) => text.lastIndexOf(open) > text.lastIndexOf(close))) return true;
  return /<<[-~]?["']?[A-Z_a-z]|^__(END|DATA)__/m.test(text);
}

/** Lines that are code in some language, and hardly ever a sentence. */
const CODE = [
  /^\s*(import|from|def|class|function|const|let|var|return|if|for|while|package|using|namespace|module|fn|pub)\s/,
  /^\s*(struct|enum|interface|export|require|use|type|public|private|static|async|await|echo|set|local)\s/,
  /^\s*(SELECT|CREATE|INSERT|UPDATE|DELETE|ALTER|DROP|BEGIN|COMMIT|FROM|RUN|COPY|ENV)\s/,
  /^\s*(#!|#include|#define|@\w|<|[{}()[\]]|\/\/|\/\*|--\s|"|'|\$)/,
  /[;{}\\]\s*$/,
  /^\s*[\w.-]+\s*(=|\()|^\s*[a-z][\w.-]*\s*:\s*\S/,
];

/** Whether a line is prose. Blank lines and separators count as prose. */
export function isSentence(line: string): boolean {
  const text = line.trim();
  if (/^[-*_=\s]*$/.test(text)) return true;
  return !CODE.some((pattern) => pattern.test(line)) && /\p{L}{2}/u.test(text);
}

/** Whether a text begins with sentences rather than with code or a comment. */
export function beginsAsProse(text: string): boolean {
  const lines = text.slice(0, 4000).split("\n");
  const fence = lines.findIndex((line) => fenceIn(line) !== undefined);
  const before = fence < 0 ? lines : lines.slice(0, fence);
  const first = before.filter((line) => line.trim() !== "").slice(0, 5);
  const all = first.join(" ").trim();
  const isSpeech = /[.!?:]$/.test(all) || all.split(/\s+/).length > 3;
  return isSpeech && first.every((line) => isSentence(line) && !/^\s*(#|%|;)/.test(line));
}
