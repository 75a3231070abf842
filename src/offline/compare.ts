/** Compares two trees by names, types, modes, contents and targets of symlinks. */
import type { OfflineTree } from "./offline-tree.ts";

export type Aspect = "type" | "mode" | "content" | "target";

export interface Side {
  readonly type: "file" | "directory" | "symlink" | "other";
  readonly mode: string;
  /** Of a file. Absent if it has no content yet. */
  readonly content?: Uint8Array;
  /** Whether a file waits to be generated. */
  readonly pending?: true;
  readonly target?: string;
}

export interface Difference {
  /** Relative to what is compared: "src/main.c". */
  readonly path: string;
  readonly change: "added" | "removed" | "changed";
  /** What differs, if both have it. */
  readonly aspects: readonly Aspect[];
  readonly before?: Side;
  readonly after?: Side;
}

export interface ComparedTree {
  readonly tree: OfflineTree;
  /** The directory that is compared. */
  readonly path: string;
}

/** In byte order of the paths. Throws FsError if a path is not there. */
export function compareTrees(before: ComparedTree, after: ComparedTree): readonly Difference[] {
  const [old, now] = [sidesOf(before), sidesOf(after)];
  const paths = [...new Set([...old.keys(), ...now.keys()])].sort();
  return paths.flatMap((path): Difference[] => {
    const [one, other] = [old.get(path)?.(), now.get(path)?.()];
    if (one === undefined) return other === undefined ? [] : [{ path, change: "added", aspects: [], after: other }];
    if (other === undefined) return [{ path, change: "removed", aspects: [], before: one }];
    const aspects = aspectsOf(one, other);
    return aspects.length === 0 ? [] : [{ path, change: "changed", aspects, before: one, after: other }];
  });
}

function aspectsOf(one: Side, other: Side): readonly Aspect[] {
  if (one.type !== other.type) return ["type"];
  return [
    ...(one.mode === other.mode ? [] : (["mode"] as const)),
    ...(one.target === other.target ? [] : (["target"] as const)),
    ...(isSameContent(one, other) ? [] : (["content"] as const)),
  ];
}

/** Two files that wait to be generated are the same. */
function isSameContent(one: Side, other: Side): boolean {
  if (one.content === undefined || other.content === undefined) return one.content === other.content;
  return Buffer.compare(one.content, other.content) === 0;
}

/** Contents are read when they are compared. */
function sidesOf({ tree, path: from }: ComparedTree): ReadonlyMap<string, () => Side> {
  const base = from === "/" ? "/" : `${from}/`;
  const sides = new Map<string, () => Side>();
  for (const { path, type, mode, state, target } of tree.entries(from)) {
    sides.set(path.slice(base.length), () => {
      const common = { type, mode: type === "symlink" ? "0777" : mode, ...(target === undefined ? {} : { target }) };
      if (type !== "file") return common;
      const content = state === "pending" || state === "failed" ? undefined : tree.read(path);
      return content === undefined ? { ...common, pending: true } : { ...common, content };
    });
  }
  return sides;
}
