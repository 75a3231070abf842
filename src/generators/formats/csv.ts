/** CSV as in RFC 4180, which `sql` writes and templates read. */

/** Formats a field and quotes it if needed. An empty string is quoted to distinguish it from an absent value. */
export function formatCsvField(value: string | undefined, separator = ","): string {
  if (value === undefined) return "";
  return value === "" || value.includes(separator) || /["\r\n]/.test(value) || /^\s|\s$/.test(value)
    ? `"${value.replaceAll('"', '""')}"`
    : value;
}

/** The maximum number of missing cells in a file. Filling in more would take longer than reading the file. */
const MOST_MISSING = 100_000;

/** Rows as objects with the names of the first line. Missing cells are empty. Throws Error if there are too many of them. */
export function parseCsv(text: string, separator = ","): readonly Readonly<Record<string, string>>[] {
  const [header = [], ...rows] = parseCsvRows(text, separator);
  const missing = rows.reduce((sum, row) => sum + Math.max(0, header.length - row.length), 0);
  if (missing > MOST_MISSING + text.length) {
    throw new Error(`not a table: the first line has ${header.length} columns, but most rows have far fewer`);
  }
  return rows.map((row) => Object.fromEntries(header.map((name, index) => [name, row[index] ?? ""])));
}

export function parseCsvRows(text: string, separator = ","): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (let at = 0; at < text.length; ) {
    let field = "";
    if (text[at] === '"') {
      for (at += 1; at < text.length; ) {
        const end = text.indexOf('"', at);
        const stop = end < 0 ? text.length : end;
        field += text.slice(at, stop);
        at = stop + 1;
        if (text[at] !== '"') break;
        field += '"';
        at += 1;
      }
    } else {
      let end = at;
      while (end < text.length && text[end] !== separator && text[end] !== "\n" && text[end] !== "\r") end += 1;
      field = text.slice(at, end);
      at = end;
    }
    row.push(field);
    if (text[at] === separator) {
      at += 1;
      if (at === text.length) row.push("");
      continue;
    }
    if (text[at] === "\r") at += 1;
    if (text[at] === "\n") at += 1;
    rows.push(row);
    row = [];
  }
  if (row.length > 0) rows.push(row);
  return rows;
}
