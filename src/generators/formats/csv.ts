/** CSV as in RFC 4180, which `sql` writes and templates read. */
import { parse } from "csv-parse/sync";

/** Formats a field and quotes it if needed. An empty string is quoted to distinguish it from an absent value. */
export function formatCsvField(value: string | undefined, separator = ","): string {
  if (value === undefined) return "";
  return value === "" || value.includes(separator) || /["\r\n]/.test(value) || /^\s|\s$/.test(value)
    ? `"${value.replaceAll('"', '""')}"`
    : value;
}

/** The maximum number of missing cells in a file. Filling in more would take longer than reading the file. */
const MOST_MISSING = 100_000;

/**
 * Rows as objects with the names of the first line. Missing cells are empty. Throws Error if too many cells are missing, and
 * for a quote that is never closed.
 */
export function parseCsv(text: string, separator = ","): readonly Readonly<Record<string, string>>[] {
  const [header = [], ...rows] = parseCsvRows(text, separator);
  const missing = rows.reduce((sum, row) => sum + Math.max(0, header.length - row.length), 0);
  if (missing > MOST_MISSING + text.length) {
    throw new Error(`not a table: the first line has ${header.length} columns, but most rows have far fewer`);
  }
  return rows.map((row) => Object.fromEntries(header.map((name, index) => [name, row[index] ?? ""])));
}

export function parseCsvRows(text: string, separator = ","): string[][] {
  return parse(text, {
    delimiter: separator,
    relax_column_count: true,
    // A quote inside of a field is part of it: 3.5" disk
    relax_quotes: true,
    // By default only the first kind that occurs ends a line.
    record_delimiter: ["\r\n", "\n", "\r"],
  });
}
