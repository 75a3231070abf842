/**
 * Takes what looks like a secret out of what is sent: keys and tokens of known services, private keys, passwords in
 * addresses, and values that a name calls a secret.
 *
 * The patterns are secretlint's recommended set, which is loaded at the first use (about 20 ms), and those of
 * secrets.ts, for what that leaves in.
 */

import { Pace } from "../../text/pace.ts";
import { keyBlocksIn } from "./key-blocks.ts";
import { type SecretRange, secretsIn } from "./secrets.ts";

export type Redact = (text: string) => Promise<string>;

const MARK = "[redacted]";

export async function redact(text: string): Promise<string> {
  if (text.length < SHORT) return searchSecrets(text);
  const clean = recent.get(text) ?? searchSecrets(text);
  // The one that was not wanted for longest goes first.
  recent.delete(text);
  recent.set(text, clean);
  for (const oldest of recent.keys()) {
    if (recent.size <= MOST_RECENT) break;
    recent.delete(oldest);
  }
  return clean;
}

/** What is shorter is soon searched, and hardly ever the same. */
const SHORT = 1000;

/**
 * What every secret that secretlint knows has in it: a long run, or a shorter one with a digit, an address, or the words
 * of a key file. A long word of prose is none: searching a text takes a millisecond.
 */
const SUSPECT = /[\w+=-]{20}|(?=[\w+=-]{0,20}\d)[\w+=-]{12}|:\/\/|PRIVATE KEY/;

/** Outlines and instructions come again with every file. */
const MOST_RECENT = 256;
const recent = new Map<string, Promise<string>>();

/**
 * A text is searched in windows. Secretlint takes time by the square of what it finds, and no pattern should get a text of
 * any length at a stretch: in between, everything else on this thread runs.
 */
const WINDOW = 8 * 1024;
/** Windows overlap by this much, which is longer than what any pattern needs to recognize a secret. */
const OVERLAP = 2048;

async function searchSecrets(text: string): Promise<string> {
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
  /** It ends in the middle of a line. */
  readonly cuts: boolean;
}

function* windowsOf(text: string): Generator<Window> {
  for (let start = 0; ; ) {
    const furthest = start + WINDOW;
    if (furthest >= text.length) return yield { start, end: text.length, cuts: false };
    // Windows end and begin between lines, where there are lines.
    const line = findLineBefore(text, furthest);
    yield { start, end: line ?? furthest, cuts: line === undefined };
    const overlapping = (line ?? furthest) - OVERLAP;
    start = findLineBefore(text, overlapping) ?? overlapping;
  }
}

/** Where a line begins that is not far before `at`. */
function findLineBefore(text: string, at: number): number | undefined {
  const found = text.slice(at - OVERLAP, at).lastIndexOf("\n");
  return found < 0 ? undefined : at - OVERLAP + found + 1;
}

/** Where a token ends that a window has cut. */
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
    // A comment in a text does not switch off what protects it.
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

/** Some rules tell a range that begins before the secret and is as long as the secret alone; all tell the secret. */
function secretsOf(data: unknown): readonly string[] {
  const values: unknown[] = typeof data === "object" && data !== null ? Object.values(data) : [];
  return values.filter((value) => typeof value === "string").filter((value) => value.length >= 8);
}

/** A text with more different secrets is none that anybody wrote: each is looked for once, and not everywhere. */
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

/** Loads what it takes, some twenty milliseconds' worth, ahead of the first text. */
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
