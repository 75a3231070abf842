/**
 * The files that a file depends on, as its request shows them: whole if they fit, otherwise reduced to their
 * declarations, otherwise only their beginning.
 */
import { DEPENDS } from "../../attributes.ts";
import { codeOf, FsError, reasonOf } from "../../errno.ts";
import type { GeneratorContext } from "../../generators/contract.ts";
import { declarationsOf } from "../declarations/declarations.ts";
import { countTokens } from "../spending/tokens.ts";
import { toFsError } from "../to-fs-error.ts";
import { AROUND, bytesOf, countFrame, cutToBudget, type Filled, LEAST } from "./fill.ts";
import { IGNORE_FILE } from "./ignore.ts";
import type { Redact } from "./redact.ts";
import { textOf } from "./related.ts";

const WHOLE = "this file depends on it";
const DECLARATIONS = `${WHOLE}; only its declarations, because the whole does not fit`;
const BEGINNING = `${WHOLE}; only its beginning, because the whole does not fit`;
const BOTH = `${WHOLE}; only the beginning of its declarations, because the whole does not fit`;

/** Only the beginning of a longer file is used. In bytes. */
const LONGEST = 1024 * 1024;

export interface DependencyReading {
  /** Absolute. */
  readonly paths: readonly string[];
  readonly read: GeneratorContext["read"];
  readonly clean: Redact;
  /** Whether a path must not be sent. */
  readonly isKeptOut: (path: string) => boolean;
  /** Whether the tree has no such file. It is asked only about files that could not be read. */
  readonly isMissing: (path: string) => Promise<boolean>;
  /** Called with each missing file. */
  readonly leaveOut: (path: string) => void;
}

/**
 * Reads the files, which generates those that are pending. No other generated content is part of a request. A file that does
 * not exist, because somebody removed it for example, is left out: the others can still be written from what is there.
 */
export async function readDependencies(
  path: string,
  { paths, read, clean, isKeptOut, isMissing, leaveOut }: DependencyReading,
): Promise<readonly Filled[]> {
  for (const one of paths) {
    if (!isKeptOut(one)) continue;
    const cure = `correct ${DEPENDS}, or bring the file back with !${one.replace(/^\//, "")} in ${IGNORE_FILE}`;
    throw new FsError("EIO", `${path} depends on ${one}, which is excluded from requests; ${cure}`);
  }
  // All at once, so that files that do not depend on each other are generated in parallel.
  const readings = paths.map((one) =>
    read(one).catch(async (error: unknown) => {
      if (isMissingError(error) && (await isMissing(one))) return undefined;
      throw createUnreadableError(path, one, error);
    }),
  );
  for (const reading of readings) reading.catch(() => {});
  const found: Filled[] = [];
  for (const [index, one] of paths.entries()) {
    const bytes = await readings[index];
    if (bytes === undefined) {
      leaveOut(one);
      continue;
    }
    const { text, cut } = textToShow(bytes);
    found.push({ path: one, reason: cut ? BEGINNING : WHOLE, content: await clean(text), whole: true });
  }
  return found;
}

function textToShow(bytes: Uint8Array): { readonly text: string; readonly cut: boolean } {
  if (bytes.length === 0) return { text: "", cut: false };
  const cut = bytes.length > LONGEST;
  const text = textOf(cut ? beginningOf(bytes) : bytes, LONGEST);
  if (text === undefined) return { text: `(${bytes.length} bytes, no text)\n`, cut: false };
  return { text: cut ? `${text}… (the rest is left out)\n` : text, cut };
}

/** Ends with a line, or at least with a whole character. */
function beginningOf(bytes: Uint8Array): Uint8Array {
  const part = bytes.subarray(0, LONGEST);
  const line = part.lastIndexOf(0x0a) + 1;
  if (line > 0) return part.subarray(0, line);
  let end = part.length;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return part.subarray(0, end);
}

/** A generator that fails may have the same errno. */
export function isMissingError(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** "No such file" is true for the dependency, but would mislead the reader of this file. */
function createUnreadableError(path: string, dependency: string, error: unknown): FsError {
  const failed = toFsError(error, dependency);
  const { code } = failed;
  const misleading = isMissingError(failed) || code === "EISDIR";
  // The message already names the dependency, and for a cycle it names all files of the cycle.
  const why = reasonOf(failed, dependency);
  if (code === "EDEADLK" && ` ${why} `.includes(` ${path} `)) return new FsError(code, why, { cause: error });
  const cure = misleading ? `; correct ${DEPENDS}` : "";
  return new FsError(misleading ? "EIO" : code, `${path} depends on ${dependency}: ${shorten(why)}${cure}`, {
    cause: error,
  });
}

/** Many files may depend on one that failed, which has the whole reason. A long one is cut after a clause. */
function shorten(reason: string): string {
  if (reason.length <= LONGEST_REASON) return reason;
  const start = reason.slice(0, LONGEST_REASON);
  const clause = Math.max(start.lastIndexOf("; "), start.lastIndexOf(". "), start.lastIndexOf(": "));
  return `${start.slice(0, clause > LONGEST_REASON / 4 ? clause : undefined)}…`;
}

const LONGEST_REASON = 300;

interface Sized {
  readonly file: Filled;
  /** With its heading. */
  readonly tokens: number;
}

/**
 * Makes the files fit next to a text. The largest file is reduced first, then the next, until all fit. If even that is
 * not enough, the longest ones are cut to the same length.
 */
export async function fitDependencies(
  files: readonly Filled[],
  room: number,
  beside: string,
): Promise<readonly Filled[]> {
  if (files.length === 0 || bytesOf(files) + Buffer.byteLength(beside) + AROUND <= room) return files;
  const budget = room - (beside === "" ? 0 : (await countTokens(beside)) + AROUND);
  const sized = await Promise.all(files.map((file) => sizeOf(file)));
  const share = Math.max(LEAST, Math.floor(budget / files.length));
  let sum = sized.reduce((all, { tokens }) => all + tokens, 0);
  const largestFirst = [...sized.keys()].sort((a, b) => (sized[b]?.tokens ?? 0) - (sized[a]?.tokens ?? 0) || a - b);
  for (const index of largestFirst) {
    const one = sized[index];
    if (sum <= budget || one === undefined) break;
    const reduced = await reduce(one, share);
    sum += reduced.tokens - one.tokens;
    sized[index] = reduced;
  }
  return sum <= budget ? sized.map(({ file }) => file) : cutAll(sized, budget);
}

async function sizeOf(file: Filled): Promise<Sized> {
  return { file, tokens: (await countFrame(file)) + (await countTokens(file.content)) };
}

async function reduce(one: Sized, share: number): Promise<Sized> {
  if (one.tokens <= share) return one;
  const declarations = await declarationsOf(one.file.path, one.file.content);
  if (declarations === undefined) return cut(one, share);
  return sizeOf({ ...one.file, reason: DECLARATIONS, content: declarations });
}

async function cut({ file }: Sized, most: number): Promise<Sized> {
  const reason = file.reason === DECLARATIONS || file.reason === BOTH ? BOTH : BEGINNING;
  const shown = { ...file, reason };
  const left = Math.max(0, most - (await countFrame(shown)));
  return sizeOf({ ...shown, content: await cutToBudget(file.content, left) });
}

/** Cuts the longest files to the same length. If there are too many, only the first ones are shown. */
async function cutAll(sized: readonly Sized[], budget: number): Promise<readonly Filled[]> {
  const shown = sized.slice(0, Math.max(0, Math.floor(budget / (2 * LEAST))));
  const shortestFirst = shown.map(({ tokens }) => tokens).sort((a, b) => a - b);
  let left = budget;
  let share = 0;
  for (const [index, tokens] of shortestFirst.entries()) {
    share = Math.floor(left / (shown.length - index));
    if (tokens > share) break;
    left -= tokens;
    share = tokens;
  }
  const files = await Promise.all(shown.map((one) => (one.tokens <= share ? one : cut(one, share))));
  return files.map(({ file }) => file);
}
