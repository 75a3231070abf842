/** Checks that the symlinks of a proposed tree do not leave the tree or form circles. */

/** As in fs/namei.c: more symlinks than this in a path lookup is ELOOP. */
const MAX_SYMLINKS = 40;

/** Limits on the names walked for one symlink and for a tree. Nested links with long targets could take forever. */
const MOST_STEPS = 2000;
const MOST_STEPS_IN_ALL = 500_000;

/**
 * Takes the targets of a tree's symlinks by path, and returns one sentence for each bad symlink.
 *
 * A path is walked like the kernel walks it, following symlinks: "a/../.." may seem to stay inside the tree, but leaves it
 * if "a" is itself a symlink. Names that do not exist are treated as directories.
 */
export function checkSymlinks(targets: ReadonlyMap<string, string>): readonly string[] {
  const problems: string[] = [];
  const root = plantEntries(targets);
  let left = MOST_STEPS_IN_ALL;
  for (const [path, target] of targets) {
    if (left <= 0) return [...problems, "the symlinks are too many, or lead through each other too often"];
    const { fault, steps } = target.startsWith("/")
      ? { fault: "is absolute; it must be relative to the link's directory", steps: 1 }
      : walk(path, root);
    left -= steps;
    if (fault !== undefined) {
      const shown = target.length > 80 ? `${target.slice(0, 80)}…` : target;
      problems.push(`symlink ${JSON.stringify(path.slice(1, 80))}: its target ${JSON.stringify(shown)} ${fault}`);
    }
  }
  return problems;
}

/** A symlink, or a directory that leads to symlinks. */
interface SymlinkPlace {
  readonly names: Map<string, SymlinkPlace>;
  target?: string;
}

function plantEntries(targets: ReadonlyMap<string, string>): SymlinkPlace {
  const root: SymlinkPlace = { names: new Map() };
  for (const [path, target] of targets) {
    let place = root;
    for (const name of path.split("/").slice(1)) {
      const below = place.names.get(name) ?? { names: new Map() };
      place.names.set(name, below);
      place = below;
    }
    place.target = target;
  }
  return root;
}

interface Walk {
  readonly fault?: string;
  readonly steps: number;
}

function walk(link: string, root: SymlinkPlace): Walk {
  /** The current location, from the child of the root. Undefined for a name without symlinks below it. */
  const at: (SymlinkPlace | undefined)[] = [];
  // The remaining names, the next one last.
  const ahead = link.split("/").slice(1).reverse();
  let followed = 0;
  let steps = 0;
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    steps += 1;
    if (steps > MOST_STEPS) return { fault: "is too long, or leads through symlinks that are", steps };
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (at.length === 0) return { fault: "leaves the tree", steps };
      at.pop();
      continue;
    }
    const place = (at.length === 0 ? root : at.at(-1))?.names.get(name);
    if (place?.target === undefined) {
      at.push(place);
      continue;
    }
    followed += 1;
    if (followed > MAX_SYMLINKS) return { fault: "leads in a circle, or through too many symlinks", steps };
    if (place.target.startsWith("/")) return { fault: "leads to an absolute path", steps };
    ahead.push(...place.target.split("/").reverse());
  }
  return { steps };
}
