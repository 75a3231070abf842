/**
 * From what a model answered to what belongs in the file.
 *
 * Only what is certainly not content is taken away: a leading block of thoughts, and a code fence around the whole.
 * Prose before or after the content stays, because nobody can tell it from content. A text that does not end in a
 * newline gets one, as POSIX has text files; nothing else is changed.
 */

/** The file's text; "" only when the model said so by an empty code fence. `path` tells Markdown from other files. */
export function fileText(answer: string, path: string): string {
  const text = withoutFence(withoutThoughts(answer), path);
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}

/** Nothing beside thoughts, ended or not, and blanks: what a model said that did not come to its answer. */
export function saysNothing(answer: string): boolean {
  return (
    withoutThoughts(answer)
      .replace(/^\s*<think(?:ing)?>(?![\s\S]*<\/think(?:ing)?>)[\s\S]*/, "")
      .trim() === ""
  );
}

/** JSON in an answer that may have thoughts before it, a fence around it, or prose on either side. */
export function jsonText(answer: string): string {
  const text = withoutFence(withoutThoughts(answer), "answer.json").trim();
  if (text.startsWith("{")) return text;
  const start = text.indexOf("{");
  const end = text.lastIndexOf("}");
  return start >= 0 && end > start ? text.slice(start, end + 1) : text;
}

/** Some servers leave what a reasoning model thinks in the text, between these marks, before anything else. */
function withoutThoughts(answer: string): string {
  if (!answer.includes("<think")) return answer;
  return answer.replace(/^\s*<think(?:ing)?>[\s\S]*?<\/think(?:ing)?>[ \t]*\r?\n?(?:[ \t]*\r?\n)*/, "");
}

/** What a fence begins with, after empty lines. */
const MAY_OPEN = /^\s*[`~]/;
const FENCE = /^( {0,3})(`{3,}|~{3,})([^\n]*)$/;

/**
 * The inside of a fence that encloses the whole answer; the answer itself if none does.
 *
 * The fence must open on the first line and close on the last, by CommonMark's rules; inside it, a fence with a word
 * after it opens another one, which the next bare fence closes, because that is how models nest them. A Markdown file
 * may consist of one fence, so there only a fence that says "markdown", or holds a heading at its top, is taken away.
 */
function withoutFence(answer: string, path: string): string {
  if (!MAY_OPEN.test(answer)) return answer;
  const lines = answer
    .replace(/^(?:[ \t]*\r?\n)+/, "")
    .trimEnd()
    .split("\n");
  const opening = FENCE.exec(bare(lines[0]));
  const mark = opening?.[2];
  if (mark === undefined || lines.length < 2) return answer;
  const info = (opening?.[3] ?? "").trim().toLowerCase();
  if (mark.startsWith("`") && info.includes("`")) return answer;
  let inner = 0;
  for (const [index, line] of lines.entries()) {
    if (index === 0) continue;
    const fence = FENCE.exec(bare(line));
    const run = fence?.[2];
    if (run === undefined || run[0] !== mark[0] || run.length < mark.length) continue;
    if ((fence?.[3] ?? "").trim() !== "") inner += 1;
    else if (inner > 0) inner -= 1;
    else if (index < lines.length - 1) return answer;
    else return unfenced(lines.slice(1, -1), info, path) ?? answer;
  }
  return answer;
}

function unfenced(inside: readonly string[], info: string, path: string): string | undefined {
  const text = inside.length === 0 ? "" : `${inside.join("\n")}\n`;
  if (!isMarkdown(path) || text.trim() === "") return text.trim() === "" ? "" : text;
  const head = inside.find((line) => line.trim() !== "") ?? "";
  const language = info.split(/[\s{]/)[0] ?? "";
  const saysMarkdown = /^(md|markdown|mdx|gfm|rmd|qmd)$/.test(language);
  return saysMarkdown || (info === "" && /^(#{1,6}\s|---\s*$|<)/.test(head)) ? text : undefined;
}

function isMarkdown(path: string): boolean {
  return /\.(md|markdown|mdx|mdown|rmd|qmd)$/i.test(path);
}

function bare(line: string | undefined): string {
  return (line ?? "").replace(/\r$/, "");
}
