/** Rows as files: CSV and TSV (RFC 4180), JSON, NDJSON, Markdown. Each row is one piece of text. */
import { extname } from "node:path";
import { FsError } from "../../../errno.ts";
import { type Options, readText } from "../../config/options.ts";
import type { Pattern } from "../../config/patterns.ts";
import { formatCsvField } from "../../formats/csv.ts";
import type { SqlValue } from "./rows.ts";

export type Format = "csv" | "tsv" | "json" | "ndjson" | "md";

const FORMATS: readonly Format[] = ["csv", "tsv", "json", "ndjson", "md"];

const ENDINGS = new Map<string, Format>([
  [".csv", "csv"],
  [".tsv", "tsv"],
  [".tab", "tsv"],
  [".json", "json"],
  [".ndjson", "ndjson"],
  [".jsonl", "ndjson"],
  [".md", "md"],
  [".markdown", "md"],
]);

function formatOf(path: string): Format | undefined {
  return ENDINGS.get(extname(path).toLowerCase());
}

/** Throws Error for an unknown format. */
export function readFormat(options: Options): Format | undefined {
  const text = readText(options, "format");
  const format = FORMATS.find((one) => one === text);
  if (text !== undefined && format === undefined)
    throw new Error(`the option "format" must be one of ${FORMATS.join(", ")}`);
  return format;
}

/** Throws FsError if neither an option nor the path's extension determines the format. */
export function requireFormat(path: string, options: Options): Format {
  const format = readFormat(options) ?? formatOf(path);
  if (format !== undefined) return format;
  throw new FsError(
    "EIO",
    `cannot infer the format from the file extension; set the option "format" to ${FORMATS.join(", ")}`,
    { path },
  );
}

/** The same for every path of a pattern with a known extension. */
export function checkFormat({ source, paths }: Pattern, options: Options): void {
  // A wildcard may stand for any extension.
  const ending = /\.[^./*?{}]+$/.test(source) ? [source] : [];
  for (const path of paths ?? ending) requireFormat(path, options);
}

export interface RowFormatter {
  head(columns: readonly string[]): string;
  row(values: readonly SqlValue[], columns: readonly string[], first: boolean): string;
  foot(rows: number): string;
}

/** `single`: the file is one row rather than a list of rows. */
export function createFormatter(format: Format, single: boolean): RowFormatter {
  switch (format) {
    case "csv":
      return createSeparatedFormatter(",", "\r\n");
    case "tsv":
      return createSeparatedFormatter("\t", "\n");
    case "md":
      return {
        head: (columns) => `| ${columns.map(escapeCell).join(" | ")} |\n|${columns.map(() => " --- |").join("")}\n`,
        row: (values) => `| ${values.map((value) => escapeCell(plainText(value) ?? "")).join(" | ")} |\n`,
        foot: () => "",
      };
    case "ndjson":
      return { head: () => "", row: (values, columns) => `${jsonRow(values, columns)}\n`, foot: () => "" };
    case "json":
      return single
        ? { head: () => "", row: (values, columns) => `${jsonRow(values, columns, "  ")}\n`, foot: () => "" }
        : {
            head: () => "[",
            row: (values, columns, first) => `${first ? "" : ","}\n  ${jsonRow(values, columns)}`,
            foot: (rows) => (rows === 0 ? "]\n" : "\n]\n"),
          };
  }
}

function createSeparatedFormatter(separator: string, end: string): RowFormatter {
  const line = (fields: readonly (string | undefined)[]) => {
    const text = fields.map((field) => formatCsvField(field, separator)).join(separator);
    // A single empty field would be an empty line, which readers skip.
    return `${text === "" && fields.length === 1 ? '""' : text}${end}`;
  };
  return { head: line, row: (values) => line(values.map(plainText)), foot: () => "" };
}

/** Undefined for NULL. */
function plainText(value: SqlValue): string | undefined {
  if (value === null) return undefined;
  if (typeof value === "object") return value instanceof Uint8Array ? hexText(value) : value.json;
  return String(value);
}

/** One value as the whole content of a file. Throws Error if the query has no such column. */
export function bytesOf(row: readonly SqlValue[], column: string, columns: readonly string[]): Uint8Array {
  const index = columns.indexOf(column);
  if (index < 0) throw new Error(`the query has no column ${JSON.stringify(column)}`);
  const value = row[index] ?? null;
  return value instanceof Uint8Array ? value : Buffer.from(plainText(value) ?? "");
}

/** As PostgreSQL writes bytea. */
function hexText(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")}`;
}

function jsonRow(values: readonly SqlValue[], columns: readonly string[], indent?: string): string {
  const members = columns.map((name, index) => `${JSON.stringify(name)}: ${jsonValue(values[index] ?? null)}`);
  return indent === undefined ? `{${members.join(", ")}}` : `{\n${members.map((one) => indent + one).join(",\n")}\n}`;
}

function jsonValue(value: SqlValue): string {
  if (value === null) return "null";
  if (typeof value === "object") {
    // Line breaks in JSON are white space: inside texts they are escaped.
    return value instanceof Uint8Array ? JSON.stringify(hexText(value)) : value.json.replace(/[\r\n]+\s*/g, " ");
  }
  if (typeof value === "number" && !Number.isFinite(value)) return JSON.stringify(String(value));
  return typeof value === "bigint" ? String(value) : JSON.stringify(value);
}

function escapeCell(text: string): string {
  return text
    .replaceAll("\\", "\\\\")
    .replaceAll("|", "\\|")
    .replace(/\r\n|[\r\n]/g, "<br>");
}
