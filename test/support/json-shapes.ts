/** Compares JSON that a command printed with the example of it in docs/json.md. */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const PAGE = readFileSync(join(import.meta.dir, "../../docs/json.md"), "utf8");

/** Members that may be null, as the text of the page says. */
const NULLABLE: ReadonlySet<string> = new Set(["reachable", "since", "frozen", "reason"]);

/** The commands that the page describes: "list", "recordings ls". */
export const DESCRIBED: readonly string[] = [...PAGE.matchAll(/^## llmfs (.+)$/gm)].map(([, name = ""]) => name);

/** Parses the output of `llmfs COMMAND --json`, and checks that the page documents every member of it, and its type. */
// biome-ignore lint/suspicious/noExplicitAny: tests access any member
export function documented(command: string, output: string): any {
  const value: unknown = JSON.parse(output);
  const { error } = shapeOf(command).safeParse(value);
  expect(error === undefined ? "" : `docs/json.md, llmfs ${command}: ${z.prettifyError(error)}`).toBe("");
  return value;
}

/** The shape of a command's output, from its example. */
function shapeOf(command: string): z.ZodType {
  const section = PAGE.split(/^## /m).find((part) => part.startsWith(`llmfs ${command}\n`));
  const example = /```json\n([\s\S]*?)```/.exec(section ?? "")?.[1];
  if (example === undefined) throw new Error(`docs/json.md has no example for llmfs ${command}`);
  return shape([JSON.parse(example)]);
}

/** What all examples of one value have in common. A member may be absent; one that is called `…` stands for any name. */
function shape(examples: readonly unknown[]): z.ZodType {
  const [first] = examples;
  // The text says what else it may be.
  if (first === null) return z.unknown();
  if (Array.isArray(first)) return z.array(shape(examples.flat()));
  if (typeof first === "string") return z.string();
  if (typeof first === "number") return z.number();
  if (typeof first === "boolean") return z.boolean();
  if (typeof first !== "object" || first === null) return z.never();
  const members = new Map<string, unknown[]>();
  for (const one of examples) {
    for (const [name, value] of Object.entries(one ?? {})) members.set(name, [...(members.get(name) ?? []), value]);
  }
  const any = members.get("…");
  if (any !== undefined) return z.record(z.string(), shape(any));
  const known = [...members].map(([name, values]) => {
    const own = shape(values);
    return [name, (NULLABLE.has(name) ? own.nullable() : own).optional()] as const;
  });
  return z.strictObject(Object.fromEntries(known));
}
