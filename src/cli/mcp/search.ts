/** Searching in the files of a tree that have content. */

import { RE2JS, RE2JSSyntaxException } from "re2js";
import { FsError } from "../../errno.ts";
import { printableLine } from "../../text/printable.ts";
import { findInSession, type TreeSession } from "./session.ts";

export interface Search {
  /** A regular expression in the syntax of RE2, which needs linear time, or plain text. */
  readonly pattern: string;
  readonly literal: boolean;
  readonly ignoreCase: boolean;
  /** A directory, or a file. */
  readonly path: string;
  readonly limit: number;
}

export interface SearchMatch {
  readonly path: string;
  /** From 1. */
  readonly line: number;
  readonly text: string;
}

/** Longer files are left out. */
const LONGEST_FILE = 1 << 20;
/** Longer lines are cut. */
const LONGEST_LINE = 500;

/** Throws FsError EINVAL for a pattern that cannot be read, and ENOENT for a path that does not exist. */
export async function searchFiles(session: TreeSession, search: Search, signal: AbortSignal) {
  const matches = compile(search);
  const { self, below } = await findInSession(session, search.path);
  const files = [...(self === undefined ? [] : [self]), ...below].filter(({ type }) => type === "file");
  const withContent = files.filter(({ state }) => state === "static" || state === "ready");
  const found: SearchMatch[] = [];
  let skipped = 0;
  let more = false;
  for (const file of withContent) {
    signal.throwIfAborted();
    if ((file.size ?? 0) > LONGEST_FILE) {
      skipped++;
      continue;
    }
    const bytes = await session.read(file.path, signal);
    if (bytes.length > LONGEST_FILE || bytes.includes(0)) {
      skipped++;
      continue;
    }
    for (const [index, text] of Buffer.from(bytes).toString("utf8").split("\n").entries()) {
      if (!matches(text)) continue;
      more = found.length === search.limit;
      if (more) break;
      found.push({ path: file.path, line: index + 1, text: text.slice(0, LONGEST_LINE) });
    }
    if (more) break;
  }
  const pending = files.length - withContent.length;
  const lines = found.map(({ path: name, line, text }) => `${printableLine(name)}:${line}: ${text}`);
  if (found.length === 0) lines.push("no matches");
  if (more) lines.push(`… more than ${search.limit} matches`);
  if (pending > 0) lines.push(`not searched: ${pending} pending ${pending === 1 ? "file" : "files"}`);
  if (skipped > 0) lines.push(`not searched: ${skipped} large or binary ${skipped === 1 ? "file" : "files"}`);
  return { text: lines.join("\n"), structured: { matches: found, more, pending, skipped } };
}

function compile({ pattern, literal, ignoreCase }: Search): (line: string) => boolean {
  try {
    const compiled = RE2JS.compile(literal ? RE2JS.quote(pattern) : pattern, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
    return (line) => compiled.matcher(line).find();
  } catch (error) {
    if (error instanceof RE2JSSyntaxException) throw new FsError("EINVAL", `the pattern is wrong: ${error.message}`);
    throw error;
  }
}
