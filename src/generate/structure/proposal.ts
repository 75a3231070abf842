/**
 * A model's proposal for a tree, and the rules that it must follow.
 *
 * The proposal is untrusted. All of it is checked here, and all problems are reported together. The result can be created
 * without further checks. Names are only used as keys of Maps, because "__proto__" is a valid file name.
 *
 * Problems are sent to the model, so their words are part of the request keys.
 */

import { CONTROL_NAME } from "../../attributes.ts";
import { extractJson } from "../../generators/builtin/clean-answer.ts";
import type { ChatSchema } from "../../llm/llm.ts";
import { comparePaths } from "../context/outline.ts";
import { checkSymlinks } from "./symlinks.ts";

/** Paths are absolute within the mount. A directory comes before its entries, which are in byte order. */
export type ProposedEntry =
  | { readonly type: "directory"; readonly path: string; readonly description?: string; readonly prompt?: string }
  | { readonly type: "file"; readonly path: string; readonly description: string }
  | { readonly type: "symlink"; readonly path: string; readonly target: string };

/** A directory that a later request completes. */
export interface Unfinished {
  readonly path: string;
  readonly brief: string;
  readonly files: number;
}

export interface StructureLimits {
  /** The total number of entries, including implied directories. */
  readonly entries: number;
  /** The number of names in a path. */
  readonly depth: number;
  /** NAME_MAX. */
  readonly nameBytes: number;
  /** PATH_MAX without the terminating NUL. */
  readonly pathBytes: number;
}

export const DEFAULT_LIMITS: StructureLimits = { entries: 10_000, depth: 64, nameBytes: 255, pathBytes: 4095 };

export interface Proposal {
  readonly entries: readonly ProposedEntry[];
  readonly unfinished: readonly Unfinished[];
}

const text = { type: "string" };

/** Uses OpenAI's strict subset: all properties required, no additional properties, no recursion. */
export const STRUCTURE_SCHEMA: ChatSchema = {
  name: "directory_tree",
  schema: objectSchema({
    directories: listSchema({ path: text, description: text, prompt: text }),
    files: listSchema({ path: text, description: text }),
    symlinks: listSchema({ path: text, target: text }),
    unfinished: listSchema({ path: text, brief: text, files: { type: "integer" } }),
  }),
};

function objectSchema(properties: Record<string, unknown>) {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}

function listSchema(properties: Record<string, unknown>) {
  return { type: "array", items: objectSchema(properties) };
}

/** Enough for ten thousand files with long descriptions. Parsing that takes about ten milliseconds. */
const LONGEST_ANSWER = 4 * 1024 * 1024;

/** The maximum number of problems to report. A model usually repeats the same mistake. */
const MAX_PROBLEMS = 20;

/**
 * Parses an answer. `within` is the directory that a later round completes ("" for the whole tree); all paths must be below
 * it. Returns a proposal that follows every rule, or its problems in sentences that the model can act on.
 */
export function readProposal(
  answer: string,
  limits: StructureLimits,
  within = "",
  { last = false }: { readonly last?: boolean } = {},
): Proposal | { readonly problems: readonly string[] } {
  if (answer.length > LONGEST_ANSWER) return { problems: [`it is longer than ${LONGEST_ANSWER} characters`] };
  let value: unknown;
  try {
    value = JSON.parse(extractJson(answer));
  } catch (error) {
    return { problems: [`it is not JSON: ${error instanceof Error ? error.message : String(error)}`] };
  }
  const checker = new Checker(limits, within, last);
  const proposal = checker.read(value);
  return checker.problems.length === 0 ? proposal : { problems: checker.report() };
}

/** Checks the rules for the tree as a whole, after all rounds. */
export function checkWhole(entries: readonly ProposedEntry[], limits: StructureLimits): readonly string[] {
  const targets = new Map<string, string>();
  for (const entry of entries) if (entry.type === "symlink") targets.set(entry.path, entry.target);
  const problems = checkSymlinks(targets);
  return entries.length > limits.entries ? [explainTooMany(entries.length, limits), ...problems] : problems;
}

class Checker {
  readonly problems: string[] = [];
  readonly #limits: StructureLimits;
  readonly #within: string;
  readonly #last: boolean;
  readonly #entries = new Map<string, ProposedEntry>();
  readonly #unfinished = new Map<string, Unfinished>();

  constructor(limits: StructureLimits, within: string, last: boolean) {
    this.#limits = limits;
    this.#within = within;
    this.#last = last;
  }

  read(value: unknown): Proposal {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      this.problems.push("it is not a JSON object");
      return { entries: [], unfinished: [] };
    }
    const lists = new Map(Object.entries(value));
    const named = (name: string) => this.#list(lists, name);
    const [directories, files, symlinks, unfinished] = ["directories", "files", "symlinks", "unfinished"].map(named);
    const count = [directories, files, symlinks, unfinished].reduce((sum, some) => sum + (some?.length ?? 0), 0);
    if (count > this.#limits.entries) {
      // Checking each of them would take too long and give no more information.
      this.problems.push(explainTooMany(count, this.#limits));
      return { entries: [], unfinished: [] };
    }
    for (const item of directories ?? []) this.#directory(membersOf(item));
    for (const item of files ?? []) this.#file(membersOf(item));
    for (const item of symlinks ?? []) this.#symlink(membersOf(item));
    for (const item of unfinished ?? []) this.#later(membersOf(item));
    this.#addParents();
    this.#checkUnfinished();
    const entries = [...this.#entries.values()].sort((a, b) => comparePaths(a.path, b.path));
    if (this.problems.length === 0) this.problems.push(...checkWhole(entries, this.#limits));
    if (this.problems.length === 0 && entries.length === 0) this.problems.push("the tree is empty");
    return { entries, unfinished: [...this.#unfinished.values()] };
  }

  report(): readonly string[] {
    const more = this.problems.length - MAX_PROBLEMS;
    const shown = this.problems.slice(0, MAX_PROBLEMS);
    return more > 0 ? [...shown, `and ${more} more of the kind`] : shown;
  }

  #list(lists: ReadonlyMap<string, unknown>, name: string): readonly unknown[] {
    const items = lists.get(name) ?? [];
    if (Array.isArray(items)) return items;
    this.problems.push(`"${name}" is not a list`);
    return [];
  }

  #directory(item: ReadonlyMap<string, unknown>): void {
    const path = this.#path(item, "directory");
    if (path === undefined) return;
    const description = toOneLine(item.get("description"));
    const prompt = typeof item.get("prompt") === "string" ? String(item.get("prompt")).trim() : "";
    this.#add({ type: "directory", path, ...(description && { description }), ...(prompt && { prompt }) });
  }

  #file(item: ReadonlyMap<string, unknown>): void {
    const path = this.#path(item, "file");
    if (path !== undefined) this.#add({ type: "file", path, description: toOneLine(item.get("description")) });
  }

  #symlink(item: ReadonlyMap<string, unknown>): void {
    const path = this.#path(item, "symlink");
    if (path === undefined) return;
    const target = item.get("target");
    if (typeof target !== "string" || target === "") this.problems.push(`symlink ${quote(path)} has no target`);
    else if (target.includes("\0") || !target.isWellFormed() || Buffer.byteLength(target) > this.#limits.pathBytes) {
      this.problems.push(`symlink ${quote(path)}: its target ${quote(target)} cannot be one`);
    } else this.#add({ type: "symlink", path, target });
  }

  #later(item: ReadonlyMap<string, unknown>): void {
    const path = this.#path(item, "unfinished directory");
    if (path === undefined) return;
    const files = Number(item.get("files"));
    const asked = Number.isFinite(files) ? Math.max(1, Math.round(files)) : 1;
    if (this.#unfinished.has(path)) this.problems.push(`${quote(path.slice(1))} occurs more than once`);
    this.#unfinished.set(path, { path, brief: toOneLine(item.get("brief")), files: asked });
    if (this.#entries.get(path)?.type !== "directory") this.#add({ type: "directory", path });
  }

  #checkUnfinished(): void {
    const unfinished = [...this.#unfinished.values()];
    if (this.#last && unfinished.length > 0) {
      this.problems.push('"unfinished" has to be empty here: list the files of these directories themselves, or fewer');
    }
    const count = unfinished.reduce((sum, { files }) => sum + files, this.#entries.size);
    if (unfinished.length > 0 && count > this.#limits.entries) {
      this.problems.push(`${explainTooMany(count, this.#limits)}, those of unfinished directories counted`);
    }
  }

  /** Returns the item's path as an absolute path in the mount, or reports a problem. */
  #path(item: ReadonlyMap<string, unknown>, kind: string): string | undefined {
    const raw = item.get("path");
    if (typeof raw !== "string") {
      this.problems.push(`a ${kind} has no path`);
      return undefined;
    }
    // A trailing slash ("src/") is a common way to write a directory.
    const path = kind.endsWith("directory") ? raw.replace(/(?<=.)\/$/, "") : raw;
    const fault = this.#fault(path);
    if (fault === undefined) return `/${path}`;
    this.problems.push(`${kind} ${quote(raw)}: ${fault}`);
    return undefined;
  }

  #fault(path: string): string | undefined {
    const { depth, nameBytes, pathBytes } = this.#limits;
    if (path === "") return "the path is empty";
    if (path.startsWith("/")) return "paths are relative to the root of the tree, without a / at the beginning";
    if (!path.isWellFormed()) return "it cannot be written in UTF-8";
    const control = [...path].find((character) => character < " " || character === "\u007f");
    if (control !== undefined) return `it holds the control character U+${toHex(control)}`;
    if (Buffer.byteLength(path) + 1 > pathBytes) return `it is longer than ${pathBytes} bytes`;
    const names = path.split("/");
    if (names.length > depth) return `it is ${names.length} levels deep; at most ${depth} are allowed`;
    if (names.includes("")) return "a name in it is empty";
    if (names.includes(".") || names.includes("..")) return '"." and ".." are not allowed';
    if (names.some((name) => Buffer.byteLength(name) > nameBytes))
      return `a name in it is longer than ${nameBytes} bytes`;
    if (names[0] === CONTROL_NAME) return `"${CONTROL_NAME}" in the root is reserved`;
    if (this.#within !== "" && !`/${path}`.startsWith(`${this.#within}/`))
      return `it is not below ${this.#within.slice(1)}/`;
    return undefined;
  }

  #add(entry: ProposedEntry): void {
    const there = this.#entries.get(entry.path);
    if (there === undefined) this.#entries.set(entry.path, entry);
    else if (there.type === entry.type) this.problems.push(`${quote(entry.path.slice(1))} occurs more than once`);
    else this.problems.push(`${quote(entry.path.slice(1))} is both a ${there.type} and a ${entry.type}`);
  }

  /** Adds the directories implied by paths. Reports a parent that is not a directory. */
  #addParents(): void {
    const faults = new Set<string>();
    for (const { path } of [...this.#entries.values()]) {
      for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
        const parent = path.slice(0, end);
        const there = this.#entries.get(parent);
        if (there === undefined) {
          if (!`${this.#within}/`.startsWith(`${parent}/`))
            this.#entries.set(parent, { type: "directory", path: parent });
        } else if (there.type !== "directory") {
          faults.add(`${quote(parent.slice(1))} is a ${there.type}, so ${quote(path.slice(1))} cannot be in it`);
        } else if (this.#unfinished.has(parent)) {
          faults.add(
            `${quote(parent.slice(1))} is unfinished, so ${quote(path.slice(1))} does not belong in this answer`,
          );
        }
        if (there !== undefined) break;
      }
    }
    this.problems.push(...faults);
  }
}

function membersOf(item: unknown): ReadonlyMap<string, unknown> {
  return new Map(Object.entries(typeof item === "object" && item !== null ? item : {}));
}

function explainTooMany(count: number, limits: StructureLimits): string {
  return `it has ${count} entries; at most ${limits.entries} are allowed`;
}

/** Shows names from a model in JSON notation, so that control characters are visible and have no effect. */
function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

function toHex(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
}

function toOneLine(value: unknown): string {
  return typeof value === "string"
    ? value
        .replace(/[\s\p{Cc}]+/gu, " ")
        .trim()
        .slice(0, 1000)
    : "";
}
