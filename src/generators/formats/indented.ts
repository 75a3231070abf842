/** With deeper nesting, the indentation would be most of the output. */
const DEEPEST = 1000;
/** The approximate length of a piece in characters. */
const PIECE = 64 * 1024;

/**
 * Indents JSON by two spaces, in pieces. Numbers and strings are kept as written. Throws Error for invalid JSON or too deep
 * nesting.
 */
export function* indentJson(text: string): Generator<string> {
  JSON.parse(text);
  let out = "";
  let depth = 0;
  /** The last opened bracket, if nothing has followed it. */
  let opened = "";
  const newLine = () => `\n${"  ".repeat(depth)}`;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    const closes = token === "}" || token === "]";
    if (closes) depth -= 1;
    if (opened !== "") out += closes ? opened : opened + newLine();
    else if (closes) out += newLine();
    opened = "";
    if (token === "{" || token === "[") {
      depth += 1;
      opened = token;
      if (depth > DEEPEST) throw new Error(`its nesting exceeds ${DEEPEST} levels`);
    } else if (token === ",") out += token + newLine();
    else out += token === ":" ? ": " : token;
    if (out.length < PIECE) continue;
    yield out;
    out = "";
  }
  yield `${out}\n`;
}
