/** Loads the parser and its grammars, each when it is first needed. The build compresses their files. */
import { readFile } from "node:fs/promises";
import tree from "@vscode/tree-sitter-wasm";
import runtime from "@vscode/tree-sitter-wasm/wasm/tree-sitter.wasm" with { type: "file" };
import bash from "@vscode/tree-sitter-wasm/wasm/tree-sitter-bash.wasm" with { type: "file" };
import csharp from "@vscode/tree-sitter-wasm/wasm/tree-sitter-c-sharp.wasm" with { type: "file" };
import cpp from "@vscode/tree-sitter-wasm/wasm/tree-sitter-cpp.wasm" with { type: "file" };
import go from "@vscode/tree-sitter-wasm/wasm/tree-sitter-go.wasm" with { type: "file" };
import java from "@vscode/tree-sitter-wasm/wasm/tree-sitter-java.wasm" with { type: "file" };
import php from "@vscode/tree-sitter-wasm/wasm/tree-sitter-php.wasm" with { type: "file" };
import python from "@vscode/tree-sitter-wasm/wasm/tree-sitter-python.wasm" with { type: "file" };
import ruby from "@vscode/tree-sitter-wasm/wasm/tree-sitter-ruby.wasm" with { type: "file" };
import rust from "@vscode/tree-sitter-wasm/wasm/tree-sitter-rust.wasm" with { type: "file" };
import tsx from "@vscode/tree-sitter-wasm/wasm/tree-sitter-tsx.wasm" with { type: "file" };
import typescript from "@vscode/tree-sitter-wasm/wasm/tree-sitter-typescript.wasm" with { type: "file" };
import { memoizeSuccess } from "../../abort.ts";
import type { Language } from "./languages.ts";

export type SyntaxNode = tree.Node;

const FILES: Readonly<Record<Language, string>> = {
  bash,
  "c-sharp": csharp,
  cpp,
  go,
  java,
  php,
  python,
  ruby,
  rust,
  tsx,
  typescript,
};

const initialize = memoizeSuccess(async () => {
  // The type of the parameter lacks most of its members.
  const options = { wasmBinary: await load(runtime), locateFile: (name: string) => name };
  await tree.Parser.init(options);
});

const grammars = new Map<Language, Promise<tree.Language>>();

/**
 * Parses a text and passes the root of the syntax tree. Undefined if it is not a program in this language.
 *
 * The parser takes quadratic time where it finds no structure, which would be minutes for 100 KB of prose. Therefore the
 * beginning is parsed first, then twice as much, and so on. There is no time limit, because the result is part of request keys.
 */
export async function parse<T>(language: Language, text: string, use: (root: SyntaxNode) => T): Promise<T | undefined> {
  await initialize();
  const grammar = grammars.get(language) ?? load(FILES[language]).then((bytes) => tree.Language.load(bytes));
  grammars.set(language, grammar);
  const parser = new tree.Parser();
  try {
    parser.setLanguage(await grammar);
    for (let length = SAMPLE; ; length *= 2) {
      const whole = length >= text.length;
      const parsed = parseBounded(parser, whole ? text : text.slice(0, text.lastIndexOf("\n", length) + 1 || length));
      if (parsed === undefined) return undefined;
      try {
        if ((whole || length >= FIRST) && isShapeless(parsed.rootNode)) return undefined;
        if (whole) return use(parsed.rootNode);
      } finally {
        parsed.delete();
      }
    }
  } finally {
    parser.delete();
  }
}

/**
 * Counts what the parser does instead of measuring time, so that the result is the same everywhere: how often it reads a
 * piece of the text, which is many times if each word depends on all that follows, and its steps.
 */
function parseBounded(parser: tree.Parser, text: string): tree.Tree | undefined {
  let reads = text.length * READS + LEAST_READS;
  let steps = text.length * STEPS + LEAST_STEPS;
  const read = (index: number) => (--reads < 0 ? undefined : text.slice(index, index + PIECE));
  const isTooSlow = () => reads < 0 || --steps < 0;
  const parsed = parser.parse(read, undefined, { progressCallback: isTooSlow });
  if (parsed !== null && reads >= 0 && steps >= 0) return parsed;
  parsed?.delete();
  parser.reset();
  return undefined;
}

/** In UTF-16 code units. */
const PIECE = 1024;
/** The limits for reads, and for hundreds of steps, by the length of the text. Programs need at most two thirds of them. */
const READS = 0.012;
const LEAST_READS = 400;
const STEPS = 0.024;
const LEAST_STEPS = 16;

/** What is parsed first, only to count steps: a few kilobytes can take seconds. In UTF-16 code units. */
const SAMPLE = 1024;
/** The beginning in which the parser must find some structure. */
const FIRST = 4096;
/** If the parser could not combine a text into anything, the text has at least one word in this many characters. */
const WORD = 20;
/** Text in which the parser found less than one word in this many characters counts as skipped. */
const SKIPPED = 500;
/** If the text is not a program, the parser adds at least one missing word for this many characters. */
const MISSING = 100;

function isShapeless(root: SyntaxNode): boolean {
  if (!root.hasError) return false;
  const errors = root.descendantsOfType("ERROR").filter((error) => error !== null);
  const words = errors.reduce((sum, error) => sum + error.childCount, 0);
  const skips = errors.some((error) => error.endIndex - error.startIndex > SKIPPED * (error.childCount + 1));
  return words > root.endIndex / WORD || skips || countMissing(root) > root.endIndex / MISSING;
}

/** Counts only in the top-level statements of the program. */
function countMissing(root: SyntaxNode): number {
  const broken = root.children.filter((child) => child?.hasError === true);
  return broken.flatMap((child) => child?.children ?? []).filter((word) => word?.isMissing === true).length;
}

/** The first bytes of a file that the build has compressed. */
const ZSTD = 0xfd2fb528;

async function load(file: string): Promise<Uint8Array> {
  const bytes = await readFile(file);
  return bytes.readUInt32LE(0) === ZSTD ? Bun.zstdDecompress(bytes) : bytes;
}
