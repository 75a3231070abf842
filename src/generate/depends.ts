/** `user.llmfs.depends`: the files that a file is made from, and the order that follows. */
import { posix } from "node:path";

/** Absolute paths; `lines` are paths, one a line, relative to the file's own directory or absolute within the mount. */
export function parseDependencies(path: string, lines: string | undefined): readonly string[] {
  const named = (lines ?? "").split("\n").map((line) => line.trim());
  return [...new Set(named.filter((line) => line !== "").map((line) => posix.resolve(posix.dirname(path), line)))];
}

/** The same paths, each after those it depends on, else in their order. What depends on itself stands where it stood. */
export function sortByDependencies<T extends { readonly path: string; readonly depends?: string }>(
  files: readonly T[],
): readonly T[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const placed = new Set<T>();
  const ordered: T[] = [];
  for (const first of files) {
    const trail: { readonly file: T; readonly left: string[] }[] = [];
    const enter = (file: T) => {
      placed.add(file);
      trail.push({ file, left: parseDependencies(file.path, file.depends).toReversed() });
    };
    if (!placed.has(first)) enter(first);
    for (let top = trail.at(-1); top !== undefined; top = trail.at(-1)) {
      const next = top.left.pop();
      const file = next === undefined ? undefined : byPath.get(next);
      if (next === undefined) {
        ordered.push(top.file);
        trail.pop();
      } else if (file !== undefined && !placed.has(file)) enter(file);
    }
  }
  return ordered;
}
