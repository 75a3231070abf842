/**
 * Finds private keys in text form, which are longer than a window of redact.ts: PEM and OpenSSH blocks, complete or without
 * their first or last line, also as one string with escaped line breaks, and PuTTY files.
 *
 * The text is scanned once from mark to mark. Patterns for blocks of any length would scan the rest of the text again for
 * every first line.
 */
import type { Pace } from "../../text/pace.ts";
import type { SecretRange } from "./secrets.ts";

/** The mark of the lines around a block. */
const MARK = "PRIVATE KEY";
/** The text before and after the mark on the same line. */
const HEAD = /-----(BEGIN|END)[ A-Z0-9_-]{0,100}$/;
const TAIL = /^(?: BLOCK)?-----/;
const LONGEST_HEAD = 120;

/** A longer block is not a key, but its first lines are redacted anyway. */
const LONGEST = 20_000;
/** The maximum length of headers between the first line and the body of a key. */
const HEADERS = 300;
/** Distinguishes a key from text about keys. */
const BODY = /[A-Za-z0-9+/=]{32}/;
/** A line of the body of a key whose end marker is missing. */
const LINE = /(?:\s|\\[nr]){0,8}[\w+/=]{16,}/y;

interface KeyMark {
  readonly begins: boolean;
  readonly start: number;
  readonly end: number;
}

/** Whether the text has a mark of a private key. Without one, `keyBlocksIn` finds nothing. */
export function mayHoldKeyBlock(text: string): boolean {
  return text.includes(MARK) || text.includes(PUTTY);
}

export async function keyBlocksIn(text: string, pace: Pace): Promise<readonly SecretRange[]> {
  const found: SecretRange[] = [];
  const marks: KeyMark[] = [];
  for (let at = text.indexOf(MARK); at >= 0; at = text.indexOf(MARK, at + MARK.length)) {
    const mark = markAt(text, at);
    if (mark !== undefined) marks.push(mark);
    if (pace.due) await pace.pause();
  }
  let done = 0;
  for (const [index, mark] of marks.entries()) {
    const range = mark.begins ? findBlockFrom(text, mark, marks[index + 1]) : findBlockBefore(text, mark, done);
    done = Math.max(mark.end, range?.[1] ?? 0);
    if (range !== undefined) found.push(range);
    if (pace.due) await pace.pause();
  }
  for (let at = text.indexOf(PUTTY); at >= 0; at = text.indexOf(PUTTY, at + PUTTY.length)) {
    const range = puttyKeyAt(text, at);
    if (range !== undefined) found.push(range);
    if (pace.due) await pace.pause();
  }
  return found;
}

function markAt(text: string, at: number): KeyMark | undefined {
  const tail = TAIL.exec(text.slice(at + MARK.length, at + MARK.length + 12));
  if (tail === null) return undefined;
  const before = text.slice(Math.max(0, at - LONGEST_HEAD), at);
  const head = HEAD.exec(before);
  if (head === null) return undefined;
  const start = at - before.length + head.index;
  return { begins: head[1] === "BEGIN", start, end: at + MARK.length + tail[0].length };
}

/** The range from a first line to its last line, or as far as the lines look like a key. */
function findBlockFrom(text: string, { start, end }: KeyMark, next: KeyMark | undefined): SecretRange | undefined {
  if (!BODY.test(text.slice(end, end + HEADERS))) return undefined;
  if (next !== undefined && !next.begins && next.start - end <= LONGEST) return [start, next.end];
  const stop = findBodyEnd(text, end);
  // There may be headers before the body.
  return [start, stop > end ? stop : findBodyEnd(text, end + (BODY.exec(text.slice(end, end + HEADERS))?.index ?? 0))];
}

/** The range before a last line, as far back as the lines look like a key. */
function findBlockBefore(text: string, { start, end }: KeyMark, from: number): SecretRange | undefined {
  const floor = Math.max(from, start - LONGEST);
  let first = start;
  let body = 0;
  for (
    let stop = skipBreaksBefore(text, start, floor);
    stop !== undefined;
    stop = skipBreaksBefore(text, first, floor)
  ) {
    let begin = stop;
    while (begin > floor && BASE64.test(text.charAt(begin - 1))) begin -= 1;
    // Exclude the "n" of an escaped "\n".
    if (text.charAt(begin - 1) === "\\") begin += 1;
    // Only the last line of a key may be short.
    if (stop - begin < (body === 0 ? 1 : SHORTEST_LINE)) break;
    first = begin;
    body += stop - begin;
  }
  return body < SHORTEST_BODY ? undefined : [first, end];
}

const BASE64 = /[A-Za-z0-9+/=]/;
const SHORTEST_LINE = 16;
const SHORTEST_BODY = 48;

/** The end of the previous line. Undefined if there is no line break, real or escaped, before `at`. */
function skipBreaksBefore(text: string, at: number, floor: number): number | undefined {
  let broken = false;
  for (let end = at; ; ) {
    const last = end > floor ? text.charAt(end - 1) : "";
    if (last !== "" && /\s/.test(last)) {
      broken ||= last === "\n" || last === "\r";
      end -= 1;
    } else if (end > floor + 1 && /[nr]/.test(last) && text.charAt(end - 2) === "\\") {
      broken = true;
      end -= 2;
    } else return broken ? end : undefined;
  }
}

const PUTTY = "Private-Lines:";

/** The format of PuTTY: a count of lines, then that many lines. */
function puttyKeyAt(text: string, at: number): SecretRange | undefined {
  const after = at + PUTTY.length;
  const count = /^ {0,2}(\d{1,4})/.exec(text.slice(after, after + 8));
  const start = after + (count?.[0].length ?? 0);
  PUTTY_LINE.lastIndex = start;
  let stop = start;
  for (let left = Number(count?.[1] ?? 0); left > 0 && PUTTY_LINE.test(text); left--) stop = PUTTY_LINE.lastIndex;
  return stop > start ? [start, stop] : undefined;
}

const PUTTY_LINE = /(?:\r?\n|\\r\\n|\\n)[ \t]{0,20}[A-Za-z0-9+/=]{1,128}/y;

/** The end of the lines that look like a key, or `from` if there are none. */
function findBodyEnd(text: string, from: number): number {
  let stop = from;
  LINE.lastIndex = from;
  while (LINE.test(text)) stop = LINE.lastIndex;
  return stop;
}
