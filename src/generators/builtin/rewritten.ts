/** The metadata `rewritten`: why a file was written again, one reason per line, oldest first. */

export const REWRITTEN = "rewritten";

/** A reason is a sentence or two. */
const LONGEST = 500;
/** An attribute has at most 64 KiB. */
const MOST = 50;

export function formatReasons(reasons: readonly string[]): string {
  return reasons.slice(-MOST).map(toOneLine).join("\n");
}

export function parseReasons(text: string | undefined): readonly string[] {
  return (text ?? "").split("\n").filter((line) => line !== "");
}

function toOneLine(reason: string): string {
  const line = reason.replace(/[\s\p{Cc}]+/gu, " ").trim();
  return line.length <= LONGEST ? line : `${line.slice(0, LONGEST - 1).toWellFormed()}…`;
}
