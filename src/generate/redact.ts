/**
 * Takes what looks like a secret out of what is sent: keys and tokens of known services, private keys, passwords in
 * addresses, and values that a name calls a secret.
 *
 * The patterns are secretlint's recommended set, which is loaded at the first use (about 20 ms), and those of
 * secrets.ts, for what that leaves in.
 */
import { type SecretRange, secretsIn } from "./secrets.ts";

export type Redact = (text: string) => Promise<string>;

const MARK = "[redacted]";

export async function redact(text: string): Promise<string> {
  if (text.length < SHORT) return searched(text);
  const clean = recent.get(text) ?? searched(text);
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
const SUSPECT = /[\w+=-]{20}|(?=[\w+=-]*\d)[\w+=-]{12}|:\/\/|PRIVATE KEY/;

/** Outlines and instructions come again with every file. */
const MOST_RECENT = 256;
const recent = new Map<string, Promise<string>>();

async function searched(text: string): Promise<string> {
  const ranges = [...secretsIn(text), ...(SUSPECT.test(text) ? await linted(text) : [])].sort(([a], [b]) => a - b);
  let clean = "";
  let at = 0;
  for (const [start, end] of ranges) {
    if (end <= at) continue;
    clean += text.slice(at, Math.max(at, start)) + (start >= at ? MARK : "");
    at = end;
  }
  return clean + text.slice(at);
}

async function linted(text: string): Promise<readonly SecretRange[]> {
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
  return messages.flatMap(({ range, data }) => [range, ...valuesIn(text, data)]);
}

/** Some rules tell a range that begins before the secret and is as long as the secret alone; all tell the secret. */
function valuesIn(text: string, data: unknown): readonly SecretRange[] {
  const values = typeof data === "object" && data !== null ? Object.values(data) : [];
  return values.flatMap((value: unknown) => {
    const found: SecretRange[] = [];
    if (typeof value !== "string" || value.length < 8) return found;
    for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + value.length)) {
      found.push([at, at + value.length]);
    }
    return found;
  });
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
