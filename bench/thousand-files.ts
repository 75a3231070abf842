import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes a snapshot of a thousand small files into the folder, and returns its path. */
export function writeThousandFiles(folder: string): string {
  const entries = Array.from({ length: 1000 }, (_, index) => ({
    path: `/f${index}`,
    type: "file",
    text: `file ${index}\n`.repeat(100),
  }));
  const file = join(folder, "thousand.json");
  writeFileSync(file, JSON.stringify({ llmfs: 1, entries }));
  return file;
}
