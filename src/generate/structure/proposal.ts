/**
 * A model's proposal for a tree, and the rules that it must follow.
 *
 * The proposal is untrusted. All of it is checked here, and all problems are reported together. The result can be created
 * without further checks. Names are only used as keys of Maps, because "__proto__" is a valid file name.
 *
 * Problems are sent to the model, so their words are part of the request keys.
 */

import { CONTROL_NAME } from "../../attributes.ts";
import { comparePaths } from "../../text/tree-paths.ts";
import { readLists } from "./answer-json.ts";
import type { KnownEntry, ProposedEntry, Unfinished } from "./proposed-entry.ts";
import { quote, quotePath } from "./quote.ts";
import { checkSymlinks } from "./symlinks.ts";
import { readUses, resolveUses } from "./uses.ts";

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
  /** Entries that exist already and were therefore left out. */
  readonly clashes: readonly string[];
}

/** What an answer is about. The default is a whole tree. */
export interface ProposalPlace {
  /** The directory that the answer is about; "" for the whole tree. All paths must be below it. */
  readonly within?: string;
  /** What exists already. Files may use it, and entries that have its paths are left out. */
  readonly known?: ReadonlyMap<string, KnownEntry>;
  /** The directories that other requests lay out. Files may use what will be in them. */
  readonly elsewhere?: readonly string[];
  /** Whether no further request may complete a directory. */
  readonly last?: boolean;
  /** Whether the answer cannot be sent back. What a tree can do without is then left out instead of reported. */
  readonly final?: boolean;
}

/** Enough for ten thousand files with long descriptions. Parsing that takes about ten milliseconds. */
const LONGEST_ANSWER = 4 * 1024 * 1024;

/** The maximum number of problems to report. A model usually repeats the same mistake. */
const MAX_PROBLEMS = 20;

/**
 * Parses an answer. Returns a proposal that follows every rule, or its problems in sentences that the model can act on.
 * Mistakes in the form that leave one meaning are corrected.
 */
export function readProposal(
  answer: string,
  limits: StructureLimits,
  place: ProposalPlace = {},
): Proposal | { readonly problems: readonly string[] } {
  if (answer.length > LONGEST_ANSWER) return { problems: [`it is longer than ${LONGEST_ANSWER} characters`] };
  const lists = readLists(answer);
  if (typeof lists === "string") return { problems: [lists] };
  const checker = new Checker(limits, place);
  const proposal = checker.read(lists);
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
  readonly #known: ReadonlyMap<string, KnownEntry>;
  readonly #place: ProposalPlace;
  readonly #entries = new Map<string, ProposedEntry>();
  readonly #unfinished = new Map<string, Unfinished>();
  readonly #clashes: string[] = [];
  #hasUses = false;

  constructor(limits: StructureLimits, place: ProposalPlace) {
    this.#limits = limits;
    this.#within = place.within ?? "";
    this.#known = place.known ?? new Map();
    this.#place = place;
  }

  read(members: ReadonlyMap<string, unknown>): Proposal {
    const listOf = (name: string) => this.#list(members, name);
    const [directories, files, symlinks, unfinished] = ["directories", "files", "symlinks", "unfinished"].map(listOf);
    const executables = listOf("executable");
    const lists = [directories, files, symlinks, unfinished, executables];
    const count = lists.reduce((sum, some) => sum + (some?.length ?? 0), 0);
    if (count > this.#limits.entries) {
      // Checking each of them would take too long and give no more information.
      this.problems.push(explainTooMany(count, this.#limits));
      return { entries: [], unfinished: [], clashes: [] };
    }
    for (const item of directories ?? []) this.#directory(membersOf(item));
    for (const item of files ?? []) this.#file(membersOf(item));
    for (const item of symlinks ?? []) this.#symlink(membersOf(item));
    for (const item of unfinished ?? []) this.#later(membersOf(item));
    this.#addParents();
    this.#checkUnfinished();
    this.#markExecutables(executables);
    if (this.#hasUses) this.#checkUses();
    const entries = [...this.#entries.values()].sort((a, b) => comparePaths(a.path, b.path));
    if (this.problems.length === 0) this.problems.push(...checkWhole(entries, this.#limits));
    if (this.problems.length === 0 && entries.length === 0 && this.#clashes.length === 0)
      this.problems.push("the tree is empty");
    return { entries, unfinished: [...this.#unfinished.values()], clashes: this.#clashes };
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
    if (path === undefined) return;
    const uses = readUses(item.get("uses"));
    if (uses === undefined && this.#place.final !== true) {
      this.problems.push(`"uses" of ${quotePath(path)} is not a list of paths`);
    }
    if (uses !== undefined && uses.length > 0) this.#hasUses = true;
    this.#add({
      type: "file",
      path,
      description: toOneLine(item.get("description")),
      ...(uses !== undefined && uses.length > 0 && { uses }),
      ...(item.get("executable") === true && { executable: true }),
    });
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

  /** The model lists them by path, because few files are executable. */
  #markExecutables(paths: readonly unknown[]): void {
    for (const raw of paths) {
      const item = typeof raw === "object" ? membersOf(raw) : new Map([["path", raw]]);
      const path = this.#path(item, "executable file");
      const file = path === undefined ? undefined : this.#entries.get(path);
      if (file?.type === "file") this.#entries.set(file.path, { ...file, executable: true });
      else if (path !== undefined && this.#place.final !== true)
        this.problems.push(`executable ${quotePath(path)} is not one of the files`);
    }
  }

  #checkUses(): void {
    const { elsewhere = [], final = false } = this.#place;
    const later = new Set([...elsewhere, ...this.#unfinished.keys()]);
    const { uses, problems } = resolveUses([...this.#entries.values()], {
      entries: this.#known.size === 0 ? this.#entries : new Map([...this.#known, ...this.#entries]),
      isLater: (path) => listFolders(path).some((folder) => later.has(folder)),
      within: this.#within,
    });
    if (!final) this.problems.push(...problems);
    for (const [path, found] of uses) {
      const file = this.#entries.get(path);
      if (file?.type === "file") this.#entries.set(path, { ...file, uses: found });
    }
  }

  #checkUnfinished(): void {
    const unfinished = [...this.#unfinished.values()];
    if (this.#place.last === true && unfinished.length > 0) {
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
      this.problems.push(`${/^[eu]/.test(kind) ? "an" : "a"} ${kind} has no path`);
      return undefined;
    }
    // A leading "/" or "./" and the trailing slash of a directory ("src/") do not change the meaning.
    const fromRoot = raw.replace(/^(?:\.?\/)+(?=.)/, "");
    const named = kind.endsWith("directory") ? fromRoot.replace(/(?<=.)\/$/, "") : fromRoot;
    // Models repeat the root, and the directory that a round is about, as an entry of itself.
    if (kind === "directory" && (named === "." || named === "/" || `/${named}` === this.#within)) return undefined;
    const path = this.#placeWithin(named);
    const fault = this.#fault(path);
    if (fault === undefined) return `/${path}`;
    this.problems.push(`${kind} ${quote(raw)}: ${fault}`);
    return undefined;
  }

  /** Adds the directory that the answer is about, unless the path names something else that exists. */
  #placeWithin(path: string): string {
    const within = this.#within.slice(1);
    if (within === "" || path === "" || path === within || path.startsWith(`${within}/`)) return path;
    const [top = ""] = path.split("/");
    if (this.#known.has(`/${top}`)) return path;
    const names = within.split("/");
    // In "packages/core", "core/a.c" is short for "packages/core/a.c".
    const overlap = names.findIndex((_, index) => path.startsWith(`${names.slice(index).join("/")}/`));
    return [...names.slice(0, overlap < 0 ? names.length : overlap), path].join("/");
  }

  #fault(path: string): string | undefined {
    const { depth, nameBytes, pathBytes } = this.#limits;
    if (path === "") return "the path is empty";
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
    const known = this.#known.get(entry.path);
    if (known !== undefined && known.type !== entry.type) {
      this.problems.push(`${quotePath(entry.path)} already exists, as a ${known.type}`);
      return;
    }
    if (known !== undefined) {
      if (entry.type !== "directory") this.#clashes.push(entry.path);
      return;
    }
    const there = this.#entries.get(entry.path);
    if (there === undefined) this.#entries.set(entry.path, entry);
    else if (there.type === entry.type) this.problems.push(`${quotePath(entry.path)} occurs more than once`);
    else this.problems.push(`${quotePath(entry.path)} is both a ${there.type} and a ${entry.type}`);
  }

  /** Adds the directories implied by paths. Reports a parent that is not a directory. */
  #addParents(): void {
    const faults = new Set<string>();
    for (const { path, type } of [...this.#entries.values()]) {
      for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
        const parent = path.slice(0, end);
        const there = this.#entries.get(parent) ?? this.#known.get(parent);
        if (there === undefined) {
          if (!`${this.#within}/`.startsWith(`${parent}/`))
            this.#entries.set(parent, { type: "directory", path: parent });
        } else if (there.type !== "directory") {
          faults.add(`${quotePath(parent)} is a ${there.type}, so ${quotePath(path)} cannot be in it`);
        } else if (this.#unfinished.has(parent) && type !== "file") {
          faults.add(`${quotePath(parent)} is unfinished, so ${quotePath(path)} does not belong in this answer`);
        }
        if (there !== undefined) break;
      }
    }
    this.problems.push(...faults);
  }
}

/** The path and the directories above it. */
function listFolders(path: string): readonly string[] {
  const folders: string[] = [];
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) folders.push(path.slice(0, end));
  return folders;
}

/** A string is short for an object with that path. */
function membersOf(item: unknown): ReadonlyMap<string, unknown> {
  if (typeof item === "string") return new Map([["path", item]]);
  return new Map(Object.entries(typeof item === "object" && item !== null ? item : {}));
}

function explainTooMany(count: number, limits: StructureLimits): string {
  return `it has ${count} entries; at most ${limits.entries} are allowed`;
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
