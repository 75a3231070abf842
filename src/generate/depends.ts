/** `user.llmfs.depends`: the files that a file depends on, and the resulting order. */
import { posix } from "node:path";

/** Returns absolute paths. `lines` has one path per line, relative to the file's directory or absolute within the mount. */
export function parseDependencies(path: string, lines: string | undefined): readonly string[] {
  const named = (lines ?? "").split("\n").map((line) => line.trim());
  return [...new Set(named.filter((line) => line !== "").map((line) => posix.resolve(posix.dirname(path), line)))];
}

/** Sorts files after their dependencies, and otherwise keeps their order. Files in a circle keep their position. */
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
