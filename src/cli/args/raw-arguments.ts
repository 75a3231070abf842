/**
 * Arguments as they were given. JavaScript gets them as text, in which bytes that are not UTF-8 are replaced: a command
 * would act on another file, or pass another argument to the program that it runs.
 */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { EXIT } from "../output/exit-codes.ts";
import { say } from "../output/terminal.ts";

/** If an argument is not UTF-8, reports it and returns the exit status. Otherwise returns undefined. */
export function refuseDamaged(argv: readonly string[]): number | undefined {
  const words = splitWords(readFileSync("/proc/self/cmdline")).slice(-argv.length);
  const index = words.findIndex((word) => !isUtf8(word));
  if (index < 0) return undefined;
  say(
    `llmfs: the argument ${JSON.stringify(argv[index])} is not valid UTF-8; use a directory above it, or rename the file`,
  );
  return EXIT.usage.code;
}

function splitWords(line: Buffer): readonly Buffer[] {
  const words: Buffer[] = [];
  for (let at = 0; at < line.length; ) {
    const end = line.indexOf(0, at);
    words.push(line.subarray(at, end < 0 ? line.length : end));
    at = end < 0 ? line.length : end + 1;
  }
  return words;
}
