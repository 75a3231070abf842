/**
 * Takes what looks like a secret out of what is sent: keys and tokens of known services, private keys, passwords in URLs.
 *
 * The patterns are secretlint's recommended set. It is loaded at the first use (about 20 ms).
 */
export type Redact = (text: string) => Promise<string>;

const MARK = "[redacted]";

export async function redact(text: string): Promise<string> {
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
