/**
 * Parameters in a query: `:name` stands for a part of the path and is bound, never inserted into the text.
 *
 * Strings, quoted names, comments, `::` casts and dollar-quoted texts are left alone.
 */
import type { Query } from "./rows.ts";

const TOKENS =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|--[^\n]*|\/\*[\s\S]*?\*\/|\$(\w*)\$[\s\S]*?\$\1\$|::|:([A-Za-z_]\w*)/g;

/** Includes names as SQLite quotes them. */
const OPAQUE = new RegExp(`${TOKENS.source}|\\[[^\\]]*\\]`, "g");

/** Throws Error for more than one statement, of which SQLite would run only the first. */
export function checkSingle(sql: string): void {
  const bare = sql.replace(OPAQUE, (token) => (/^(?:--|\/\*)/.test(token) ? " " : "x"));
  if (/;[\s;]*[^\s;]/.test(bare)) throw new Error("a query must be one statement, but another follows the semicolon");
}

/** `place` formats a parameter for the database. Throws Error for a name that the path does not define. */
export function bindParameters(
  sql: string,
  values: Readonly<Record<string, string>>,
  place: (index: number) => string,
): Query {
  const params: string[] = [];
  const text = sql.replace(TOKENS, (token: string, _tag: unknown, name: string | undefined) => {
    if (name === undefined) return token;
    if (!Object.hasOwn(values, name)) {
      const known = Object.keys(values);
      const there = known.length === 0 ? "has no named parts" : `has ${known.map((one) => `{${one}}`).join(", ")}`;
      throw new Error(`the query needs :${name}, but the rule's match ${there}`);
    }
    params.push(values[name] ?? "");
    return place(params.length);
  });
  return { sql: text, params };
}
