/** Turns a generator's listing of a directory into entries for the filesystem. */

import { policyText } from "../attributes.ts";
import type { Rule } from "../generators/config/rules.ts";
import type { ContentGenerator, ListContext } from "../generators/contract.ts";
import type { Listing, ListingEntry } from "../rpc/generation.ts";
import { Pace } from "../text/pace.ts";

/** The maximum number of names, so that a generator that never ends does not fill the memory, or list for ever. */
const MOST_ENTRIES = 1_000_000;

/** Rejects with the error of the generator, or the reason of the context's signal. Skips names that no file can have, and reports them. */
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
    let names = 0;
    const about = context(rule);
    const pace = new Pace(about.signal);
    for await (const listed of (await generator.list?.(directory, about)) ?? []) {
      if (pace.due) await pace.pause();
      if (++names > MOST_ENTRIES) throw new Error(`it lists more than ${MOST_ENTRIES} entries`);
      const entry = typeof listed === "string" ? { path: listed } : listed;
      const path = entry.path.replace(/\/$/, "");
      const type = entry.type === "directory" || entry.path.endsWith("/") ? "directory" : "file";
      if (!isRelative(path) || (type === "file" && rule.match.match(joinPath(directory, path)) === undefined)) {
        if (left++ === 0) warn(`skipped ${JSON.stringify(entry.path)}: ${explainMismatch(path, rule)}`);
        continue;
      }
      if (!entries.has(path)) {
        const more = entry.description === undefined ? {} : { description: entry.description };
        entries.set(path, { path, type, generator: rule.generator, ...more });
      }
    }
    if (left > 1) warn(`skipped ${left} names in total`);
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
  return isRelative(path) ? `it does not match ${rule.match.source}` : "it is not a valid name below the directory";
}
