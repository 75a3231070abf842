/**
 * The uses of a layout's files: which other files a file is written from.
 *
 * A model names them as it names all paths, and sometimes as its language would: relative to the file, by directory, or
 * through a symlink. Everything that exists under exactly one of these readings is accepted. What does not exist, and
 * circles, are reported to the model; in its last answer they are left out, because the tree is usable without them.
 */
import { posix } from "node:path";
import { findCircles, findUsesToDrop, findUsesTooDeep, type Graph } from "./circles.ts";
import type { KnownEntry, ProposedEntry } from "./proposed-entry.ts";
import { quotePath } from "./quote.ts";

/** How many files a file should use at most, as the instructions say. */
export const MOST_USES_ADVISED = 8;
/** How many it can use. A few more than advised are not worth sending an answer back. */
const MOST_USES = 32;
/** How many files can be written one after the other for the last one of them: each waits for the one before. */
const LONGEST_CHAIN = 1000;
/** A directory stands for the files directly in it if they are at most this many. */
const MOST_FILES_OF_DIRECTORY = 16;

/** As in fs/namei.c. */
const MOST_SYMLINKS = 40;
/** Limits the names walked for all uses of an answer: nested symlinks with long targets could take forever. */
const MOST_STEPS = 500_000;
/** The number of files of a circle that are shown. */
const MOST_SHOWN = 12;

export interface UseScope {
  /** Everything that exists, by path: the entries of this answer and those that it continues. */
  readonly entries: ReadonlyMap<string, KnownEntry>;
  /** Whether a later or parallel request lays out this path. */
  readonly isLater?: (path: string) => boolean;
  /** The directory that the answer is about; "" for the whole tree. */
  readonly within?: string;
  /** Whether a file's content may be sent to the model. */
  readonly maySend?: (path: string) => boolean;
}

/** The list of a file's uses as the model wrote it, in any form with one meaning. Undefined if it has no meaning. */
export function readUses(value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null || value === "") return [];
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  const uses = new Set<string>();
  for (const item of items) {
    const path = typeof item === "object" && item !== null && "path" in item ? item.path : item;
    if (typeof path !== "string") return undefined;
    if (path !== "") uses.add(path);
  }
  return [...uses];
}

interface ResolvedUses {
  /** By the path of the file that uses them. They are absolute paths; those that nothing resolved are as they were. */
  readonly uses: ReadonlyMap<string, readonly string[]>;
  /** What is wrong with them, in sentences for the model. */
  readonly problems: readonly string[];
}

/** Resolves the uses of some files, and checks them together with the uses of all files in the scope. */
export function resolveUses(files: readonly ProposedEntry[], scope: UseScope): ResolvedUses {
  const uses = new Map<string, readonly string[]>();
  const problems: string[] = [];
  const resolver = new UseResolver(scope);
  for (const file of files) {
    if (file.type !== "file" || file.uses === undefined) continue;
    const kept = new Set<string>();
    const tooMany = file.uses.length > MOST_USES;
    if (tooMany) problems.push(explainTooManyUses(file.path, file.uses.length));
    for (const use of file.uses.slice(0, MOST_USES + 1)) {
      const found = resolver.resolve(use, file.path);
      if (found.problem !== undefined && !tooMany) problems.push(found.problem);
      for (const path of found.paths) kept.add(path);
    }
    if (kept.size > MOST_USES && file.uses.length <= MOST_USES) problems.push(explainTooManyUses(file.path, kept.size));
    uses.set(file.path, [...kept].slice(0, MOST_USES + 1));
  }
  const graph = new Map<string, readonly string[]>();
  for (const entry of scope.entries.values()) {
    const named = uses.get(entry.path) ?? entry.uses;
    if (named === undefined) continue;
    // A file that uses itself has been reported already.
    const others = named.filter((use) => use !== entry.path);
    graph.set(entry.path, others);
  }
  const circles = findCircles(graph).map(explainCircle);
  const tooDeep = circles.length > 0 ? [] : findUsesTooDeep(graph, LONGEST_CHAIN);
  // The last problems may not be shown.
  return { uses, problems: [...circles, ...tooDeep.map(([from, to]) => explainTooDeep(from, to)), ...problems] };
}

/**
 * The entries with the uses that files can be written from: existing files, without circles. Call it with all new entries,
 * and with those that the tree had before. `leftOut` has a sentence for every use that was dropped.
 */
export function settleUses(
  entries: readonly ProposedEntry[],
  known: ReadonlyMap<string, KnownEntry>,
  maySend: (path: string) => boolean,
): { readonly entries: readonly ProposedEntry[]; readonly leftOut: readonly string[] } {
  const all = new Map<string, KnownEntry>(known);
  for (const entry of entries) all.set(entry.path, entry);
  const leftOut: string[] = [];
  const graph = new Map<string, readonly string[]>();
  const resolver = new UseResolver({ entries: all, maySend });
  for (const file of entries) {
    if (file.type !== "file" || file.uses === undefined) continue;
    const kept = new Set<string>();
    for (const use of file.uses) {
      const { paths, problem } = resolver.resolve(use, file.path);
      if (problem === undefined) for (const path of paths) kept.add(path);
      else leftOut.push(problem);
    }
    if (kept.size > MOST_USES)
      leftOut.push(`${quotePath(file.path)} uses more than ${MOST_USES} files; only the first count`);
    graph.set(file.path, [...kept].slice(0, MOST_USES));
  }
  const circular = findUsesToDrop(graph);
  const circles = circular.map(
    ([from, to]) => `${quotePath(from)} does not use ${quotePath(to)}, because that would be a circle`,
  );
  const acyclic = withoutUses(graph, circular);
  const tooDeep = findUsesTooDeep(acyclic, LONGEST_CHAIN);
  const remaining = withoutUses(acyclic, tooDeep);
  const settled = entries.map((entry): ProposedEntry => {
    const uses = remaining.get(entry.path);
    if (entry.type !== "file" || uses === undefined) return entry;
    const { uses: _, ...file } = entry;
    return uses.length === 0 ? file : { ...file, uses };
  });
  const chains = tooDeep.map(([from, to]) => explainTooDeep(from, to));
  return { entries: settled, leftOut: [...circles, ...chains, ...leftOut] };
}

function withoutUses(graph: Graph, dropped: readonly (readonly [from: string, to: string])[]): Graph {
  if (dropped.length === 0) return graph;
  const byUser = new Map<string, Set<string>>();
  for (const [from, to] of dropped) byUser.set(from, (byUser.get(from) ?? new Set()).add(to));
  return new Map([...graph].map(([path, uses]) => [path, uses.filter((use) => byUser.get(path)?.has(use) !== true)]));
}

interface ResolvedUse {
  readonly paths: readonly string[];
  readonly problem?: string;
}

class UseResolver {
  readonly #scope: UseScope;
  readonly #hasSymlinks: boolean;
  #folders: ReadonlyMap<string, readonly string[]> | undefined;
  #stepsLeft = MOST_STEPS;

  constructor(scope: UseScope) {
    this.#scope = scope;
    this.#hasSymlinks = [...scope.entries.values()].some(({ type }) => type === "symlink");
  }

  resolve(use: string, user: string): ResolvedUse {
    const readings = listReadings(use, user, this.#scope.within ?? "");
    let first: ResolvedUse | undefined;
    for (const reading of readings) {
      const path = this.#find(reading);
      if (path === undefined) continue;
      const found = this.#checkFound(path, use, user);
      if (found.problem === undefined) return found;
      first ??= found;
    }
    if (first !== undefined) return first;
    const { isLater = () => false } = this.#scope;
    const later = readings.find(isLater);
    if (later !== undefined) return { paths: [later] };
    return { paths: [use], problem: `${quotePath(user)} uses ${quotePath(use)}, which is not in the tree` };
  }

  #checkFound(path: string, use: string, user: string): ResolvedUse {
    const { isLater = () => false, maySend = () => true } = this.#scope;
    if (path === user) return { paths: [path], problem: `${quotePath(user)} uses itself` };
    const entry = this.#scope.entries.get(path);
    if (entry?.type === "file") {
      if (maySend(path)) return { paths: [path] };
      return { paths: [path], problem: `${quotePath(user)} uses ${quotePath(path)}, which is kept out of requests` };
    }
    // Its files are not known before all of them are laid out.
    if (isLater(path)) return { paths: [path] };
    const all = this.#listFolder(path);
    const files = all.length > MOST_FILES_OF_DIRECTORY + 1 ? all : all.filter((file) => file !== user && maySend(file));
    if (files.length > 0 && files.length <= MOST_FILES_OF_DIRECTORY) return { paths: files };
    const reason =
      files.length === 0 ? "has no files directly in it" : `has ${files.length} files; name the few it needs`;
    return { paths: [path], problem: `${quotePath(user)} uses the directory ${quotePath(use)}, which ${reason}` };
  }

  /** In any order, if they are too many to use them. */
  #listFolder(folder: string): readonly string[] {
    if (this.#folders === undefined) {
      const folders = new Map<string, string[]>();
      for (const { path, type } of this.#scope.entries.values()) {
        if (type !== "file") continue;
        const parent = posix.dirname(path);
        const files = folders.get(parent);
        if (files === undefined) folders.set(parent, [path]);
        else files.push(path);
      }
      this.#folders = folders;
    }
    const files = this.#folders.get(folder) ?? [];
    return files.length > MOST_FILES_OF_DIRECTORY + 1 ? files : files.toSorted();
  }

  /** The path without symlinks, if it exists. */
  #find(path: string): string | undefined {
    if (path === "/") return path;
    const there = this.#scope.entries.get(path);
    if (there !== undefined && there.type !== "symlink") return path;
    return this.#hasSymlinks ? this.#walk(path) : undefined;
  }

  #walk(path: string): string | undefined {
    const ahead = path.split("/").reverse();
    let at = "";
    let symlinks = 0;
    for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
      this.#stepsLeft -= 1;
      if (this.#stepsLeft < 0) return undefined;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        at = at.slice(0, Math.max(0, at.lastIndexOf("/")));
        continue;
      }
      const entry = this.#scope.entries.get(`${at}/${name}`);
      if (entry === undefined) return undefined;
      if (entry.type !== "symlink") {
        at = entry.path;
        continue;
      }
      symlinks += 1;
      const target = entry.target ?? "";
      if (symlinks > MOST_SYMLINKS || target === "" || target.startsWith("/")) return undefined;
      ahead.push(...target.split("/").reverse());
    }
    return at === "" ? "/" : at;
  }
}

/** The absolute paths that a use can mean, the most likely first: from the root, in the answer's directory, by the user. */
function listReadings(use: string, user: string, within: string): readonly string[] {
  const named = use.replace(/^(?:\.?\/)+/, "");
  const readings = [named, ...(within === "" ? [] : [`${within.slice(1)}/${named}`])];
  if (!use.startsWith("/")) readings.push(`${posix.dirname(user).slice(1)}/${use}`.replace(/^\//, ""));
  return [...new Set(readings.flatMap(normalize))];
}

/** Nothing for a path that leaves the tree. */
function normalize(path: string): readonly string[] {
  const normal = posix.normalize(path).replace(/\/$/, "");
  if (normal === "." || normal === "") return ["/"];
  return normal === ".." || normal.startsWith("../") ? [] : [`/${normal}`];
}

function explainTooManyUses(path: string, count: number): string {
  return `${quotePath(path)} uses ${count} files; name the few it needs, at most ${MOST_USES_ADVISED}`;
}

function explainTooDeep(from: string, to: string): string {
  return `${quotePath(from)} uses ${quotePath(to)}, which is the last of a chain of ${LONGEST_CHAIN} files that use each other; that is too long`;
}

function explainCircle(circle: readonly string[]): string {
  const [first = ""] = circle;
  const shown = circle.length > MOST_SHOWN ? [...circle.slice(0, MOST_SHOWN - 1)] : circle;
  const more = circle.length - shown.length;
  const spelled = [...shown.map(quotePath), ...(more > 0 ? [`… ${more} more …`] : []), quotePath(first)].join(" → ");
  return `files use each other in a circle, so that none of them can be written first: ${spelled}; leave out one of these uses`;
}
