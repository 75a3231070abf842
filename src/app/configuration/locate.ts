/** Finds the line of a key in a configuration file, for messages. The parsers are loaded only then. */
import { readFileSync } from "node:fs";
import { extname } from "node:path";
import type { SyntaxNode } from "../../generate/declarations/grammars.ts";
import { isCode } from "../../generators/config/find-config.ts";
import type { KeyPath } from "../../generators/config/problem.ts";
import { kebabCase } from "../settings/table.ts";

/** The line of the value at the end of the path, or of the nearest object around it. Undefined if it cannot be found. */
export async function locate(file: string, path: KeyPath): Promise<number | undefined> {
  if (path.length === 0) return undefined;
  try {
    const text = readFileSync(file, "utf8");
    if (isCode(file)) return await locateInCode(text, path);
    if (extname(file) === ".toml") return locateInToml(text, path);
    return await locateInYaml(extname(file) === ".json" ? withoutComments(text) : text, path);
  } catch {
    // A message without a line is better than another error.
    return undefined;
  }
}

/** Identifiers in code may stand for the names of flags. */
function isSameKey(found: string, key: string | number | undefined): boolean {
  return found === key || kebabCase(found) === key;
}

/** JSON is a part of YAML, except for its comments. */
function withoutComments(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (part) =>
    part.startsWith('"') ? part : part.replace(/[^\n]/g, " "),
  );
}

async function locateInYaml(text: string, path: KeyPath): Promise<number | undefined> {
  const { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } = await import("yaml");
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, keepSourceTokens: false });
  let node: unknown = document.contents;
  let at: number | undefined;
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined) break;
      if (isNode(pair.key)) at = pair.key.range?.[0] ?? at;
      node = pair.value;
    } else if (isSeq(node) && typeof key === "number") {
      node = node.items[key];
      if (isNode(node)) at = node.range?.[0] ?? at;
    } else break;
  }
  return at === undefined ? undefined : lines.linePos(at).line;
}

/** Finds keys before the first table, tables, and the keys in them. Other notations, such as inline tables, are not found. */
function locateInToml(text: string, [first, index, ...others]: KeyPath): number | undefined {
  const lines = text.split("\n");
  const headers = lines.flatMap((line, at) => (/^\s*\[/.test(line) ? [at] : []));
  const findKey = (key: string, from: number, to = lines.length) => {
    const found = lines.slice(from, to).findIndex((line) => /^\s*"?([\w-]+)"?\s*=/.exec(line)?.[1] === key);
    return found < 0 ? undefined : found + from;
  };
  const tables = headers.filter((at) => lines[at]?.replace(/[[\]\s"]/g, "").split(".")[0] === first);
  const own = tables.filter((at) => /^\s*\[\[/.test(lines[at] ?? ""));
  const start = typeof index === "number" ? own[index] : tables[0];
  if (start === undefined) {
    const plain = findKey(String(first), 0, headers[0]);
    return plain === undefined ? undefined : plain + 1;
  }
  const end = typeof index === "number" ? own[index + 1] : undefined;
  const last = (typeof index === "number" ? others : [index, ...others]).findLast((key) => typeof key === "string");
  return ((last === undefined ? undefined : findKey(String(last), start, end)) ?? start) + 1;
}

async function locateInCode(text: string, path: KeyPath): Promise<number | undefined> {
  const { parse } = await import("../../generate/declarations/grammars.ts");
  return await parse("typescript", text, (root) => {
    let node = findExported(root);
    let line: number | undefined;
    for (const key of path) {
      const next = node && findMember(root, node, key);
      if (next === undefined) break;
      line = next.startPosition.row + 1;
      node = next.type === "pair" ? resolve(root, next.childForFieldName("value")) : resolve(root, next);
    }
    return line;
  });
}

/** The object of `export default {…}`, also within a call such as `defineConfig({…})`. */
function findExported(root: SyntaxNode): SyntaxNode | undefined {
  for (const statement of root.namedChildren) {
    if (statement?.type !== "export_statement") continue;
    return resolve(root, statement.childForFieldName("value"));
  }
  return undefined;
}

/** The object or list that an expression stands for, as far as that can be seen. */
function resolve(root: SyntaxNode, node: SyntaxNode | null | undefined): SyntaxNode | undefined {
  if (node === null || node === undefined) return undefined;
  if (node.type === "call_expression") return resolve(root, node.childForFieldName("arguments")?.namedChild(0));
  if (/^(shorthand_property_)?identifier$/.test(node.type)) return resolve(root, findVariable(root, node.text));
  const wrapped = ["as_expression", "satisfies_expression", "parenthesized_expression"].includes(node.type);
  return wrapped ? resolve(root, node.namedChild(0)) : node;
}

function findVariable(root: SyntaxNode, name: string): SyntaxNode | null | undefined {
  const declared = root.descendantsOfType("variable_declarator");
  return declared.find((one) => one?.childForFieldName("name")?.text === name)?.childForFieldName("value");
}

function findMember(root: SyntaxNode, node: SyntaxNode, key: string | number): SyntaxNode | undefined {
  const members = node.namedChildren.filter((child) => child !== null && child.type !== "comment");
  if (node.type === "array") return typeof key === "number" ? (members[key] ?? undefined) : undefined;
  for (const member of members) {
    if (member === null) continue;
    const spread = member.type === "spread_element" ? resolve(root, member.namedChild(0)) : undefined;
    const inside = spread && findMember(root, spread, key);
    if (inside !== undefined) return inside;
    const name = member.type === "shorthand_property_identifier" ? member : member.childForFieldName("key");
    if (name !== null && isSameKey(name.text.replace(/^["']|["']$/g, ""), key)) return member;
  }
  return undefined;
}
