/** Puts a report into docs/performance.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Replaces what is between the marks of the section. With a kind of machine, only the part about that kind is replaced or
 * added, and the parts about others stay.
 */
export function writeReport(
  section: "figures" | "work" | "cost" | "placement",
  report: string,
  kindOfMachine?: string,
): void {
  const file = join(import.meta.dir, "../docs/performance.md");
  const [before, after] = [`<!-- ${section} -->`, `<!-- end of ${section} -->`];
  const text = readFileSync(file, "utf8");
  const from = text.indexOf(before) + before.length;
  const to = text.indexOf(after);
  if (from < before.length || to < 0) throw new Error(`${file}: the place between ${before} and ${after} is gone`);
  const body =
    kindOfMachine === undefined ? report.trim() : replacePart(text.slice(from, to), kindOfMachine, report.trim());
  writeFileSync(file, `${text.slice(0, from)}\n\n${body}\n\n${text.slice(to)}`);
}

/** A part begins with a heading, and ends at the next one. */
function replacePart(body: string, title: string, report: string): string {
  const heading = `### ${title}`;
  const parts = body.trim().split(/\n+(?=### )/);
  const index = parts.findIndex((part) => part.split("\n", 1)[0] === heading);
  return parts.toSpliced(index < 0 ? parts.length : index, 1, `${heading}\n\n${report}`).join("\n\n");
}
