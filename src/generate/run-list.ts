/** From what generators say is in a directory to what the filesystem puts there. */

import { policyText } from "../attributes.ts";
import type { Rule } from "../generators/config/rules.ts";
import type { ContentGenerator, ListContext } from "../generators/contract.ts";
import type { Listing, ListingEntry } from "../rpc/generation.ts";

/** More would be no directory anybody looks at, and a generator that never ends would fill the memory. */
const MOST_ENTRIES = 1_000_000;

/** Rejects with what the generator threw. A name that no file can have is left out and told. */
export async function listDirectory(
  directory: string,
  generator: ContentGenerator,
  rules: readonly Rule[],
  context: (rule: Rule) => ListContext,
  warn: (text: string) => void,
): Promise<Listing> {
  const entries = new Map<string, ListingEntry>();
  for (const rule of rules) {
    let left = 0;
    for await (const listed of (await generator.list?.(directory, context(rule))) ?? []) {
      const entry = typeof listed === "string" ? { path: listed } : listed;
      const path = entry.path.replace(/\/$/, "");
      const type = entry.type === "directory" || entry.path.endsWith("/") ? "directory" : "file";
      if (!isRelative(path) || (type === "file" && rule.match.match(joinPath(directory, path)) === undefined)) {
        if (left++ === 0) warn(`${JSON.stringify(entry.path)} is left out: ${explainMismatch(path, rule)}`);
        continue;
      }
      if (!entries.has(path)) {
        const about = entry.description === undefined ? {} : { description: entry.description };
        entries.set(path, { path, type, generator: rule.generator, ...about });
      }
      if (entries.size > MOST_ENTRIES) throw new Error(`it lists more than ${MOST_ENTRIES} entries`);
    }
    if (left > 1) warn(`${left} names in all are left out`);
  }
  const shortest = rules.flatMap(({ refresh }) => refresh ?? []).sort((a, b) => a.ms - b.ms)[0];
  return { entries: [...entries.values()], ...(shortest && { refresh: policyText(shortest) }) };
}

function isRelative(path: string): boolean {
  if (path.includes("\0")) return false;
  return path
    .split("/")
    .every((name) => name !== "" && name !== "." && name !== ".." && Buffer.byteLength(name) <= 255);
}

function joinPath(directory: string, path: string): string {
  return directory === "/" ? `/${path}` : `${directory}/${path}`;
}

function explainMismatch(path: string, rule: Rule): string {
  return isRelative(path) ? `it does not match ${rule.match.source}` : "no file below the directory can have that name";
}
