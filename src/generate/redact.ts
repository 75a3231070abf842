/**
 * Takes what looks like a secret out of what is sent: keys and tokens of known services, private keys, passwords in URLs.
 *
 * The patterns are secretlint's recommended set. It is loaded at the first use (about 20 ms).
 */
export type Redact = (text: string) => Promise<string>;

const MARK = "[redacted]";

export async function redact(text: string): Promise<string> {
  if (text.length < SHORT) return SUSPECT.test(text) ? searched(text) : text;
  const clean = recent.get(text) ?? (SUSPECT.test(text) ? searched(text) : Promise.resolve(text));
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
 * What every secret that the patterns know has in it: a long run, or a shorter one with a digit, an address, or the words
 * of a key file. A long word of prose is none: searching a text takes a millisecond.
 */
const SUSPECT = /[\w+=-]{20}|(?=[\w+=-]*\d)[\w+=-]{12}|:\/\/|PRIVATE KEY/;

/** Outlines and instructions come again with every file. */
const MOST_RECENT = 256;
const recent = new Map<string, Promise<string>>();

async function searched(text: string): Promise<string> {
  const { lintSource, rules } = await loadLinter();
  const { messages } = await lintSource({
    source: { filePath: "text.txt", content: text, ext: ".txt", contentType: "text" },
    options: { config: { rules }, noPhysicFilePath: true },
  });
  const ranges = messages.map(({ range }) => range).sort(([a], [b]) => a - b);
  let clean = "";
  let at = 0;
  for (const [start, end] of ranges) {
    if (end <= at) continue;
    clean += text.slice(at, Math.max(at, start)) + (start >= at ? MARK : "");
    at = end;
  }
  return clean + text.slice(at);
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
