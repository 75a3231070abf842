/** Where a proposed tree's symlinks lead: never outside, never in a circle. */
import type { StructureEntry } from "./proposal.ts";

/** As fs/namei.c: more symlinks than this on the way is ELOOP. */
const MAX_SYMLINKS = 40;

/**
 * One sentence for each bad symlink.
 *
 * The path is walked as the kernel walks it, symlinks on the way included: by its letters alone, "a/../.." may seem to
 * stay inside and yet leave, when "a" is itself a symlink. What does not exist is walked by its letters.
 */
export function checkSymlinks(entries: readonly StructureEntry[]): readonly string[] {
  const targets = new Map<string, string>();
  for (const entry of entries) if (entry.type === "symlink") targets.set(entry.path, entry.target);
  const problems: string[] = [];
  for (const [path, target] of targets) {
    const fault = target.startsWith("/")
      ? "is absolute; it must be relative to the link's directory"
      : walk(path, targets);
    if (fault !== undefined) {
      const shown = target.length > 80 ? `${target.slice(0, 80)}…` : target;
      problems.push(`symlink ${JSON.stringify(path.slice(1, 80))}: its target ${JSON.stringify(shown)} ${fault}`);
    }
  }
  return problems;
}

function walk(link: string, targets: ReadonlyMap<string, string>): string | undefined {
  const at: string[] = [];
  // What is still to be walked, the next name last.
  const ahead = link.split("/").slice(1).reverse();
  let followed = 0;
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (at.pop() === undefined) return "leaves the tree";
      continue;
    }
    const target = targets.get(`/${[...at, name].join("/")}`);
    if (target === undefined) {
      at.push(name);
      continue;
    }
    followed += 1;
    if (followed > MAX_SYMLINKS) return "leads in a circle, or through too many symlinks";
    if (target.startsWith("/")) return "leads to an absolute path";
    ahead.push(...target.split("/").reverse());
  }
  return undefined;
}
