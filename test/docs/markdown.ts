/**
 * What a reader of a document would type: the lines of its shell examples in their order, the files that it shows under
 * their names, and the commands in its sentences and tables.
 *
 * - A block of `sh` is a list of command lines. In a block of `console`, command lines begin with `$ `, and what they
 *   print follows them; `…` stands for anything.
 * - A block of another kind whose first line is a comment with the name of a file, such as `# llmfs.config.yaml`, is that
 *   file.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";

export const ROOT = join(import.meta.dir, "../..");

/** The documents for people who use llmfs. */
export const DOCUMENTS: readonly string[] = ["README.md", "SECURITY.md", "docs/**/*.md", "examples/**/README.md"]
  .flatMap((pattern) => [...new Glob(pattern).scanSync(ROOT)])
  .sort();

export interface CommandLine {
  readonly document: string;
  /** Counted from 1. */
  readonly line: number;
  readonly text: string;
  /** What the document says that it prints. */
  readonly output?: readonly string[];
}

export interface NamedFile {
  readonly document: string;
  readonly line: number;
  readonly name: string;
  readonly text: string;
}

export interface Document {
  /** In the order of the document. */
  readonly items: readonly (CommandLine | NamedFile)[];
  /** The code in sentences and tables. */
  readonly spans: readonly CommandLine[];
  /** Command lines that no test would find, because their block is of the wrong kind. */
  readonly misplaced: readonly CommandLine[];
}

export const where = ({ document, line }: { readonly document: string; readonly line: number }) =>
  `${document}:${line}`;

interface Block {
  readonly kind: string;
  /** The line of the first line. */
  readonly line: number;
  readonly lines: readonly string[];
}

export function readDocument(document: string, text = readFileSync(join(ROOT, document), "utf8")): Document {
  const { blocks, prose } = splitBlocks(text);
  const items: (CommandLine | NamedFile)[] = [];
  const misplaced: CommandLine[] = [];
  for (const { kind, line, lines } of blocks) {
    if (/^(sh|bash|shell|zsh)$/.test(kind)) items.push(...commandLines(document, line, lines));
    else if (kind === "console") items.push(...session(document, line, lines));
    else {
      const name = /^(?:#|\/\/) (\S*\w\.?\w+)$/.exec(lines[0] ?? "")?.[1];
      if (name !== undefined) items.push({ document, line, name, text: `${lines.join("\n")}\n` });
      misplaced.push(
        ...lines.flatMap((text, index) =>
          /^\s*(\$ |(sudo )?llmfs [a-z])/.test(text) ? [{ document, line: line + index, text }] : [],
        ),
      );
    }
  }
  return { items, misplaced, spans: spansOf(document, prose) };
}

/** The fenced blocks, and the text without them, line for line. */
function splitBlocks(text: string): { readonly blocks: readonly Block[]; readonly prose: string } {
  const blocks: Block[] = [];
  const prose: string[] = [];
  let open:
    | { readonly fence: string; readonly indent: number; readonly kind: string; readonly line: number }
    | undefined;
  let inside: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const [, indent = "", fence, kind = ""] = /^( *)(`{3,}|~{3,}) *([\w-]*)/.exec(line) ?? [];
    if (open === undefined && fence !== undefined) {
      open = { fence, indent: indent.length, kind, line: index + 2 };
      inside = [];
    } else if (open !== undefined && fence?.startsWith(open.fence) && kind === "") {
      blocks.push({ kind: open.kind, line: open.line, lines: inside });
      open = undefined;
    } else if (open !== undefined) inside.push(line.slice(Math.min(open.indent, line.search(/\S|$/))));
    prose.push(open === undefined && fence === undefined ? line : "");
  }
  return { blocks, prose: prose.join("\n") };
}

/** Lines that belong together, such as a loop or a quoted text, are one command. Comments are left out. */
function commandLines(document: string, first: number, lines: readonly string[]): CommandLine[] {
  const found: CommandLine[] = [];
  for (let at = 0; at < lines.length; at++) {
    const begin = at;
    let text = lines[at] ?? "";
    if (/^\s*(#|$)/.test(text)) continue;
    while (!isComplete(text) && at + 1 < lines.length) text += `\n${lines[++at]}`;
    found.push({ document, line: first + begin, text });
  }
  return found;
}

function session(document: string, first: number, lines: readonly string[]): CommandLine[] {
  const starts = lines.flatMap((line, index) => (line.startsWith("$ ") ? [index] : []));
  return starts.map((start, index) => ({
    document,
    line: first + start,
    text: (lines[start] ?? "").slice(2),
    output: lines.slice(start + 1, starts[index + 1] ?? lines.length),
  }));
}

/** Whether the shell would not ask for another line. */
function isComplete(text: string): boolean {
  if (text.endsWith("\\")) return false;
  if (!/['"`({]|\b(do|then|in)\b|<</.test(text)) return true;
  const { success, stderr } = Bun.spawnSync({ cmd: ["bash", "-n", "-c", text], stdio: ["ignore", "ignore", "pipe"] });
  // An open here-document is only a warning.
  return success && stderr.length === 0;
}

/** Code spans, which may continue on the next line. */
function spansOf(document: string, prose: string): CommandLine[] {
  return [...prose.matchAll(/(?<!`)(`+)(?!`)((?:(?!\n\s*\n)[\s\S])*?[^`])\1(?!`)/g)].map(({ index, 2: text = "" }) => ({
    document,
    line: prose.slice(0, index).split("\n").length,
    text: text.replace(/\s*\n\s*/g, " ").trim(),
  }));
}
