/** Compares JSON that a command printed with the example of it in docs/json.md. */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const PAGE = readFileSync(join(import.meta.dir, "../../docs/json.md"), "utf8");

/** Parses the output of `llmfs COMMAND --json`, and checks that the page documents every member of it. */
// biome-ignore lint/suspicious/noExplicitAny: tests access any member
export function documented(command: string, output: string): any {
  const value: unknown = JSON.parse(output);
  const section = PAGE.split(/^## /m).find((part) => part.startsWith(`llmfs ${command}\n`));
  const example = /```json\n([\s\S]*?)```/.exec(section ?? "")?.[1];
  if (example === undefined) throw new Error(`docs/json.md has no example for llmfs ${command}`);
  const known = membersOf(JSON.parse(example));
  expect([...membersOf(value)].filter((member) => !known.has(member))).toEqual([]);
  return value;
}

/** The members at any depth, as "usage.limits.usd". */
function membersOf(value: unknown, prefix = ""): Set<string> {
  if (Array.isArray(value)) return new Set(value.flatMap((one) => [...membersOf(one, prefix)]));
  if (typeof value !== "object" || value === null) return new Set();
  return new Set(
    Object.entries(value).flatMap(([name, inner]) => [`${prefix}${name}`, ...membersOf(inner, `${prefix}${name}.`)]),
  );
}
