/**
 * Removes likely secrets from requests: keys and tokens of known services, private keys, passwords in URLs, and values
 * whose name says that they are secret.
 *
 * The patterns are secretlint's recommended set, which is loaded at first use (about 20 ms), and those of secrets.ts for
 * secrets that secretlint does not find.
 */

import { Pace } from "../../text/pace.ts";
import { keyBlocksIn, mayHoldKeyBlock } from "./key-blocks.ts";
import { type SecretRange, secretsIn } from "./secrets.ts";

export type Redact = (text: string) => Promise<string>;

const MARK = "[redacted]";

export async function redact(text: string): Promise<string> {
  if (text.length < SHORT) return searchSecrets(text);
  const clean = recent.get(text) ?? searchSecrets(text);
  // Evict the least recently used text first.
  recent.delete(text);
  recent.set(text, clean);
  for (const oldest of recent.keys()) {
    if (recent.size <= MOST_RECENT) break;
    recent.delete(oldest);
  }
  return clean;
}

/** The same at once; undefined if the text must be searched more closely, which takes longer. */
export function redactAtOnce(text: string): string | undefined {
  return isHarmless(text) ? text : undefined;
}

/** Whether a short text certainly has no secrets, as most texts about one file. */
function isHarmless(text: string): boolean {
  return text.length <= WINDOW && !mayHoldKeyBlock(text) && !SUSPECT.test(text) && secretsIn(text).length === 0;
}

/** Shorter texts are not cached: searching them is fast, and they rarely recur. */
const SHORT = 1000;

/**
 * Every secret that secretlint knows contains one of these: a long run, a shorter run with a digit, a URL, or the words of
 * a key file. Long words of prose do not match. This avoids the search, which takes a millisecond per text.
 */
const SUSPECT = /[\w+=-]{20}|(?=[\w+=-]{0,20}\d)[\w+=-]{12}|:\/\/|PRIVATE KEY/;

/** The number of cached texts. Outlines and instructions recur in every request. */
const MOST_RECENT = 256;
const recent = new Map<string, Promise<string>>();

/**
 * A text is searched in windows. Secretlint's time is quadratic in the number of matches, and no pattern should run on an
 * unbounded text without a break, because other work on this thread runs between windows.
 */
const WINDOW = 8 * 1024;
/** The overlap of windows, which is longer than any pattern needs to recognize a secret. */
const OVERLAP = 2048;

async function searchSecrets(text: string): Promise<string> {
  if (isHarmless(text)) return text;
  const pace = new Pace();
  const ranges: SecretRange[] = [...(await keyBlocksIn(text, pace))];
  for (const { start, end, cuts } of windowsOf(text)) {
    const window = text.slice(start, end);
    for (const [from, to] of await rangesIn(window)) {
      ranges.push([start + from, cuts && to === window.length ? findTokenEnd(text, end) : start + to]);
    }
    if (pace.due) await pace.pause();
  }
  ranges.sort(([a], [b]) => a - b);
  const clean: string[] = [];
  let at = 0;
  for (const [start, end] of ranges) {
    if (end <= at) continue;
    clean.push(text.slice(at, Math.max(at, start)), start >= at ? MARK : "");
    at = end;
  }
  return clean.join("") + text.slice(at);
}

interface Window {
  readonly start: number;
  readonly end: number;
  /** Whether it ends in the middle of a line. */
  readonly cuts: boolean;
}

function* windowsOf(text: string): Generator<Window> {
  for (let start = 0; ; ) {
    const furthest = start + WINDOW;
    if (furthest >= text.length) return yield { start, end: text.length, cuts: false };
    // Windows begin and end at line breaks, if there are any.
    const line = findLineBefore(text, furthest);
    yield { start, end: line ?? furthest, cuts: line === undefined };
    const overlapping = (line ?? furthest) - OVERLAP;
    start = findLineBefore(text, overlapping) ?? overlapping;
  }
}

/** The start of a line shortly before `at`. */
function findLineBefore(text: string, at: number): number | undefined {
  const found = text.slice(at - OVERLAP, at).lastIndexOf("\n");
  return found < 0 ? undefined : at - OVERLAP + found + 1;
}

/** The end of a token that a window has cut. */
function findTokenEnd(text: string, at: number): number {
  let end = at;
  while (end < text.length && /[\w+/=.~%-]/.test(text.charAt(end))) end += 1;
  return end;
}

async function rangesIn(window: string): Promise<readonly SecretRange[]> {
  return [...secretsIn(window), ...(SUSPECT.test(window) ? await lint(window) : [])];
}

async function lint(text: string): Promise<readonly SecretRange[]> {
  const { lintSource, rules } = await loadLinter();
  const { messages } = await lintSource({
    // A comment in a text must not disable the protection.
    source: {
      filePath: "text.txt",
      content: text.replaceAll("secretlint-", "secretlint_"),
      ext: ".txt",
      contentType: "text",
    },
    options: { config: { rules }, noPhysicFilePath: true },
  });
  const values = new Set(messages.flatMap(({ data }) => secretsOf(data)));
  return [...messages.map(({ range }) => range), ...placesOf([...values], text)];
}

/** Uses the secret itself: some rules report a range that begins before the secret but has only its length. */
function secretsOf(data: unknown): readonly string[] {
  const values: unknown[] = typeof data === "object" && data !== null ? Object.values(data) : [];
  return values.filter((value) => typeof value === "string").filter((value) => value.length >= 8);
}

/** A text with more different secrets is not natural. Then each is only removed once, not everywhere. */
const MOST_EVERYWHERE = 32;

function placesOf(values: readonly string[], text: string): readonly SecretRange[] {
  const found: SecretRange[] = [];
  let from = 0;
  for (const [index, value] of values.entries()) {
    if (index < MOST_EVERYWHERE) {
      for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + value.length)) {
        found.push([at, at + value.length]);
      }
      continue;
    }
    // Messages come in the order of the text.
    const at = text.indexOf(value, from);
    if (at < 0) continue;
    found.push([at, at + value.length]);
    from = at;
  }
  return found;
}

let linter: ReturnType<typeof load> | undefined;

/** Loads the rules before the first text, which takes about 20 ms. */
export async function prepareRedaction(): Promise<void> {
  await loadLinter();
}

function loadLinter(): ReturnType<typeof load> {
  linter ??= load();
  return linter;
}

async function load() {
  const [{ lintSource }, { creator: rule }] = await Promise.all([
    import("@secretlint/core"),
    import("@secretlint/secretlint-rule-preset-recommend"),
  ]);
  return { lintSource, rules: [{ id: "@secretlint/secretlint-rule-preset-recommend", rule, options: {} }] };
}
