/** Deeper, and the blanks before each line would be longer than all else. */
const DEEPEST = 1000;
/** Characters of a piece, about. */
const PIECE = 64 * 1024;

/**
 * JSON with two spaces of indentation, every number and text as it was written, in pieces. Throws Error for what is no
 * JSON, or is nested too deeply.
 */
export function* indentJson(text: string): Generator<string> {
  JSON.parse(text);
  let out = "";
  let depth = 0;
  /** The bracket that was opened last, if nothing has come after it. */
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
      if (depth > DEEPEST) throw new Error(`it is nested more than ${DEEPEST} levels deep`);
    } else if (token === ",") out += token + newLine();
    else out += token === ":" ? ": " : token;
    if (out.length < PIECE) continue;
    yield out;
    out = "";
  }
  yield `${out}\n`;
}
