/** The outline of texts that are not programs: column names, members with a sample of their values, headings, tables. */
import { posix } from "node:path";

/** Undefined if the format is unknown or cannot be parsed. */
export function skeletonOf(path: string, text: string): string | undefined {
  const outline = OUTLINES[posix.extname(path).slice(1).toLowerCase()];
  try {
    return outline?.(text);
  } catch {
    // The parser's message would not help. The beginning of the text is shown instead.
    return undefined;
  }
}

const OUTLINES: Readonly<Record<string, (text: string) => string | undefined>> = {
  csv: outlineTable,
  tsv: outlineTable,
  tab: outlineTable,
  json: outlineJson,
  geojson: outlineJson,
  ndjson: outlineLines,
  jsonl: outlineLines,
  yaml: outlineYaml,
  yml: outlineYaml,
  md: outlineMarkdown,
  markdown: outlineMarkdown,
  sql: outlineSql,
};

/** Records that are shown after the header, and of a list of lines. */
const MOST_RECORDS = 3;

function outlineTable(text: string): string {
  const records = [...text.matchAll(/(?:"(?:[^"]|"")*"|[^"\n])*\n?/g)]
    .map(([record]) => record)
    .filter((one) => one !== "");
  const shown = records.slice(0, 1 + MOST_RECORDS);
  return shown.join("") + formatMore(records.length - shown.length, "records");
}

function outlineJson(text: string): string | undefined {
  const value: unknown = JSON.parse(text);
  return isObject(value) ? `${JSON.stringify(sample(value), null, 2)}\n` : undefined;
}

function outlineLines(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const shown = lines.slice(0, MOST_RECORDS).map((line) => JSON.stringify(sample(JSON.parse(line))));
  return `${shown.join("\n")}\n${formatMore(lines.length - shown.length, "lines")}`;
}

function outlineYaml(text: string): string | undefined {
  const value: unknown = Bun.YAML.parse(text);
  return isObject(value) ? Bun.YAML.stringify(sample(value), null, 2) : undefined;
}

/** Any text is a scalar in YAML. */
function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function formatMore(count: number, what: string): string {
  return count > 0 ? `… (${count} more ${what})\n` : "";
}

const LONGEST_TEXT = 60;
const DEEPEST = 12;
/** Aliases in YAML can make a value much larger than its text. */
const MOST_VALUES = 20_000;

/** The value with the first element of each list, and with long texts cut. */
function sample(value: unknown, depth = 0, count = { values: 0 }): unknown {
  if (++count.values > MOST_VALUES) throw new RangeError("too many values");
  if (typeof value === "string") return value.length > LONGEST_TEXT ? `${cut(value)}…` : value;
  if (!isObject(value)) return value;
  if (depth > DEEPEST) return "…";
  if (Array.isArray(value)) {
    const [first, ...more] = value;
    const shown = value.length === 0 ? [] : [sample(first, depth + 1, count)];
    return more.length === 0 ? shown : [...shown, `… (${more.length} more)`];
  }
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, sample(one, depth + 1, count)]));
}

function cut(text: string): string {
  return text.slice(0, LONGEST_TEXT).toWellFormed();
}

function outlineMarkdown(text: string): string {
  const nothing = () => "";
  const plain = (children: string) => children;
  return Bun.markdown.render(text, {
    heading: (children, { level }) => `${"#".repeat(level)} ${children}\n`,
    paragraph: nothing,
    code: nothing,
    table: nothing,
    list: nothing,
    blockquote: nothing,
    html: nothing,
    hr: nothing,
    codespan: (children) => `\`${children}\``,
    link: plain,
    image: plain,
  });
}

/** Statements that define something. Those that fill tables are left out. */
const DEFINES = /^\s*(?:create|alter|comment|drop|grant|set|use)\b/i;
/** Comments, quoted texts, dollar-quoted texts, the end of a statement, and everything else. */
const SQL =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|`[^`]*(?:`|$)|\$(\w*)\$[\s\S]*?(?:\$\1\$|$)|;|[^-/'"`$;]+|[\s\S]/g;
const LONGEST_BODY = 200;

function outlineSql(text: string): string {
  const statements: string[] = [];
  let statement = "";
  for (const [token, tag] of text.matchAll(SQL)) {
    if (/^(?:--|\/\*)/.test(token)) continue;
    // A dollar-quoted text is normally the body of a function.
    statement += tag !== undefined && token.length > LONGEST_BODY ? `$${tag}$ … $${tag}$` : token;
    if (token !== ";") continue;
    statements.push(statement);
    statement = "";
  }
  statements.push(statement);
  const kept = statements.filter((one) => DEFINES.test(one)).map((one) => one.trim());
  return kept.length === 0 ? "" : `${kept.join("\n\n")}\n`;
}
