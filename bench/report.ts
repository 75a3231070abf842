/** Puts a report into docs/performance.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Replaces what is between the marks of the section. */
export function writeReport(section: "figures" | "work" | "cost" | "placement", report: string): void {
  const file = join(import.meta.dir, "../docs/performance.md");
  const [before, after] = [`<!-- ${section} -->`, `<!-- end of ${section} -->`];
  const text = readFileSync(file, "utf8");
  const from = text.indexOf(before);
  const to = text.indexOf(after);
  if (from < 0 || to < 0) throw new Error(`${file}: the place between ${before} and ${after} is gone`);
  writeFileSync(file, `${text.slice(0, from + before.length)}\n\n${report.trim()}\n\n${text.slice(to)}`);
}
