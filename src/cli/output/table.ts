/** Text in columns. */
import { printableLine } from "../../text/printable.ts";

/** Separates two columns. */
const GAP = "  ";

/** Aligns columns by the width that their characters have on a terminal. The last one is not padded. */
export function formatColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const shown = rows.map((row) => row.map(printableLine));
  const widths: number[] = [];
  for (const row of shown) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell));
  }
  return shown.map((row) =>
    row
      .map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell)))
      .join(GAP)
      .trimEnd(),
  );
}

/** Cuts a line to a width, with an ellipsis if something is missing. */
export function cutLine(line: string, width: number): string {
  if (Bun.stringWidth(line) <= width) return line;
  let cut = "";
  for (const { segment } of new Intl.Segmenter().segment(line)) {
    if (Bun.stringWidth(cut + segment) > width - 1) break;
    cut += segment;
  }
  return `${cut}…`;
}
