/** CSV as RFC 4180 has it: what `sql` writes and templates read. */

/** A field, quoted where it has to be. An empty text is quoted, so that it differs from an absent value. */
export function formatCsvField(value: string | undefined, separator = ","): string {
  if (value === undefined) return "";
  return value === "" || value.includes(separator) || /["\r\n]/.test(value) || /^\s|\s$/.test(value)
    ? `"${value.replaceAll('"', '""')}"`
    : value;
}

/** Cells that rows may lack, in a file of any length: more, and filling them in would take longer than reading it. */
const MOST_MISSING = 100_000;

/** Rows as objects, by the names in the first line; cells that a row lacks are empty. Throws Error for too many of these. */
export function parseCsv(text: string, separator = ","): readonly Readonly<Record<string, string>>[] {
  const [header = [], ...rows] = parseCsvRows(text, separator);
  const missing = rows.reduce((sum, row) => sum + Math.max(0, header.length - row.length), 0);
  if (missing > MOST_MISSING + text.length) {
    throw new Error(`this is no table: its first line has ${header.length} columns, and most rows have far fewer`);
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
