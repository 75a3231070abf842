/** Reduces a program to its declarations: bodies of functions, long values and statements are left out. */
import { parse, type SyntaxNode } from "./grammars.ts";
import type { Language } from "./languages.ts";

/** What replaces something that is left out. */
const LEFT_OUT = "…";

/** Shorter bodies, values and statements are kept, in UTF-16 code units. */
const SHORT = 40;
const SHORT_VALUE = 160;
const SHORT_STATEMENT = 120;
const SHORT_COMMENT = 600;
/** Deeper nodes are copied unchanged, because each level takes stack. */
const DEEPEST = 150;

const FUNCTION =
  /function|method|constructor|destructor|closure|lambda|accessor|initializer_declaration|^init_declaration/;
const BLOCK = /block|body|statement|compound|^do$/;
const VALUE =
  /^(?:list|dictionary|set|tuple|array|object|string|template_string|raw_string_literal|string_literal|initializer_list|literal_value|array_expression|array_initializer|initializer_expression|array_creation_expression|hash|heredoc_body|concatenated_string|token_tree|macro_invocation|lambda)$/;
const STATEMENT =
  /^(?:if|for|while|do|try|with|switch|match|for_in|foreach|case|until|using|unless|begin)(?:_statement|_expression)?$/;

/** Undefined if the text cannot be parsed. */
export async function outlineCode(language: Language, text: string): Promise<string | undefined> {
  try {
    const outline = await parse(language, text, (root) => render(root, text, 0));
    // Lines that have lost their content.
    return outline?.replace(/(?<![ \t])[ \t]+$/gm, "").replace(/\n{3,}/g, "\n\n");
  } catch (error) {
    // A failure of the parser on this text. It is not our fault, because the nodes are only read.
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) return undefined;
    throw error;
  }
}

function render(node: SyntaxNode, text: string, depth: number): string {
  const source = text.slice(node.startIndex, node.endIndex);
  if (depth > DEEPEST || node.childCount === 0) return shortenLeaf(node, source);
  const { type } = node;
  if (STATEMENT.test(type) && source.length > SHORT_STATEMENT)
    return `${source.slice(0, source.indexOf("\n") >>> 0).slice(0, SHORT_STATEMENT)} ${LEFT_OUT}`;
  const body = FUNCTION.test(type) ? bodyOf(node) : undefined;
  let shown = "";
  let at = node.startIndex;
  for (const child of node.children) {
    if (child === null) continue;
    shown += text.slice(at, child.startIndex);
    shown += body?.id === child.id ? withoutBody(child, text) : render(child, text, depth + 1);
    at = child.endIndex;
  }
  shown += text.slice(at, node.endIndex);
  return VALUE.test(type) && shown.length > SHORT_VALUE ? shorten(shown, SHORT_VALUE) : shown;
}

function bodyOf(node: SyntaxNode): SyntaxNode | undefined {
  const body = node.childForFieldName("body");
  if (body !== null) return body;
  return node.children.find((child) => child !== null && BLOCK.test(child.type)) ?? undefined;
}

/** Keeps a documentation string at the start of the body. */
function withoutBody(body: SyntaxNode, text: string): string {
  const source = text.slice(body.startIndex, body.endIndex);
  if (source.length <= SHORT) return source;
  if (source.startsWith("{")) return `{ ${LEFT_OUT} }`;
  const first = body.namedChild(0);
  const quoted = first?.type === "expression_statement" && first.namedChild(0)?.type === "string";
  if (first === null || !quoted) return LEFT_OUT;
  const words = text.slice(first.startIndex, first.endIndex);
  const margin = " ".repeat(first.startPosition.column);
  return words.length > SHORT_COMMENT ? LEFT_OUT : `${words}\n${margin}${LEFT_OUT}`;
}

function shortenLeaf({ type }: SyntaxNode, source: string): string {
  if (type.includes("comment")) return source.length > SHORT_COMMENT ? shorten(source, SHORT_COMMENT / 2) : source;
  return source.length > SHORT_VALUE ? shorten(source, SHORT_VALUE) : source;
}

/** Keeps the beginning, and the character that closes it. */
function shorten(text: string, length: number): string {
  const end = /^[[({]/.test(text) || /^["'`]/.test(text) ? text.slice(-1) : "";
  return `${text.slice(0, length).toWellFormed()} ${LEFT_OUT} ${end}`.trimEnd();
}
