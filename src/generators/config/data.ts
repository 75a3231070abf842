/**
 * Parses configurations that are data: JSON with comments, YAML and TOML. A key that is given twice is a mistake in all
 * of them, because one of its values would be ignored.
 */
import type { ParsedNode, YAMLMap } from "yaml";
import { explainDataError } from "./syntax.ts";

export type DataFormat = "jsonc" | "yaml" | "toml";

/** Rejects with an Error that names the line, and the file before it. */
export async function parseData(file: string, text: string, format: DataFormat): Promise<unknown> {
  if (format === "yaml") return await parseYaml(file, text);
  let value: unknown;
  try {
    value = format === "toml" ? Bun.TOML.parse(text) : Bun.JSONC.parse(text);
  } catch (cause) {
    const fault = await explainDataError(file, format);
    throw fault === undefined ? cause : new Error(fault, { cause });
  }
  if (format === "jsonc") refuseRepeatedKeys(file, text);
  return value;
}

async function parseYaml(file: string, text: string): Promise<unknown> {
  const { LineCounter, parseDocument, visit } = await import("yaml");
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, merge: true, prettyErrors: false });
  const [error] = document.errors;
  if (error === undefined) return document.toJS();
  const { line, col } = lines.linePos(error.pos[0]);
  if (error.code !== "DUPLICATE_KEY") throw new Error(`${file}:${line}:${col}: ${error.message}`, { cause: error });
  let problem = error.message;
  visit(document, {
    Map(_, map) {
      // What parseDocument returns has the position of every node.
      const { items } = map as YAMLMap.Parsed<ParsedNode>;
      const again = items.find(({ key }) => key.range[0] === error.pos[0]);
      if (again === undefined) return undefined;
      const key = String(again.key);
      const first = items.find((item) => String(item.key) === key);
      problem = explainRepeatedKey(key, lines.linePos(first?.key.range[0] ?? 0).line);
      return visit.BREAK;
    },
  });
  throw new Error(`${file}:${line}: ${problem}`, { cause: error });
}

/** What JSON with comments consists of, apart from numbers and words. */
const TOKEN = /"(?:[^"\\]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\/|[{}[\]:\n]/g;

/** `text` is valid. Throws an Error that names the line. */
function refuseRepeatedKeys(file: string, text: string): void {
  const objects: Map<string, number>[] = [];
  let line = 1;
  let last: { readonly text: string; readonly line: number } | undefined;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{" || token === "[") objects.push(new Map());
    else if (token === "}" || token === "]") objects.pop();
    else if (token === ":" && last !== undefined) {
      const keys = objects.at(-1);
      const key: unknown = JSON.parse(last.text);
      const first = keys?.get(String(key));
      if (first !== undefined) throw new Error(`${file}:${last.line}: ${explainRepeatedKey(String(key), first)}`);
      keys?.set(String(key), last.line);
    }
    if (token.startsWith('"')) last = { text: token, line };
    else line += token.split("\n").length - 1;
  }
}

function explainRepeatedKey(key: string, line: number): string {
  return `the key ${JSON.stringify(key)} is given twice, first in line ${line}; remove one of them`;
}
