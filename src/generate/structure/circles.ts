/**
 * Files that use each other in a circle, so that none of them could be written first.
 *
 * A graph has each file's uses by its path. All functions depend only on the graph and on the order of its keys, and take
 * time in proportion to its size, because the graph comes from a model.
 */

export type Graph = ReadonlyMap<string, readonly string[]>;

/** One circle of each group of files that use each other: its files in order, without repeating the first one. */
export function findCircles(graph: Graph): readonly (readonly string[])[] {
  return findGroups(graph).map((group) => findShortestCircle(graph, group));
}

/**
 * The uses to drop so that no circle is left. In each group, uses are followed from the file that the fewest other files
 * use; if there are several, from the one whose path is last. A use that leads back to a file on the way is dropped.
 *
 * So a test keeps using the code that it tests, and a source its header: the file that few others need is written last.
 */
export function findUsesToDrop(graph: Graph): readonly (readonly [from: string, to: string])[] {
  const groups = findGroups(graph);
  if (groups.length === 0) return [];
  const users = countUsers(graph);
  return groups.flatMap((group) => {
    const first = group.reduce((best, path) => {
      const difference = (users.get(path) ?? 0) - (users.get(best) ?? 0);
      return difference < 0 || (difference === 0 && path > best) ? path : best;
    });
    return findUsesBack(graph, first, new Set(group));
  });
}

/**
 * The uses to drop so that no chain of files is longer than `most`: those of the last file of such a chain. Precondition:
 * the graph has no circles.
 */
export function findUsesTooDeep(graph: Graph, most: number): readonly (readonly [from: string, to: string])[] {
  const found: (readonly [string, string])[] = [];
  /** The length of the longest chain that ends with a file. */
  const lengths = new Map<string, number>();
  const trail: VisitedFile[] = [];
  const enter = (path: string) => trail.push({ path, uses: graph.get(path) ?? [], next: 0 });
  for (const start of graph.keys()) {
    if (!lengths.has(start)) enter(start);
    for (let step = trail.at(-1); step !== undefined; step = trail.at(-1)) {
      const { path, uses } = step;
      const use = uses[step.next++];
      if (use !== undefined) {
        if (!lengths.has(use)) enter(use);
        continue;
      }
      trail.pop();
      let length = 1;
      for (const other of uses) {
        const before = lengths.get(other) ?? 0;
        if (before >= most) found.push([path, other]);
        else length = Math.max(length, before + 1);
      }
      lengths.set(path, length);
    }
  }
  return found;
}

function countUsers(graph: Graph): ReadonlyMap<string, number> {
  const users = new Map<string, number>();
  for (const [path, uses] of graph) {
    for (const use of uses) if (use !== path) users.set(use, (users.get(use) ?? 0) + 1);
  }
  return users;
}

function findUsesBack(graph: Graph, first: string, group: ReadonlySet<string>): readonly (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  const onTheWay = new Set<string>();
  const done = new Set<string>();
  const trail: VisitedFile[] = [];
  const enter = (path: string) => {
    onTheWay.add(path);
    trail.push({ path, uses: graph.get(path) ?? [], next: 0 });
  };
  enter(first);
  for (let step = trail.at(-1); step !== undefined; step = trail.at(-1)) {
    const use = step.uses[step.next++];
    if (use === undefined) {
      onTheWay.delete(step.path);
      done.add(step.path);
      trail.pop();
    } else if (onTheWay.has(use)) found.push([step.path, use]);
    else if (group.has(use) && !done.has(use)) enter(use);
  }
  return found;
}

/** A file whose uses are being followed. */
interface VisitedFile {
  readonly path: string;
  readonly uses: readonly string[];
  next: number;
}

/** The strongly connected components with a circle, by Tarjan's algorithm, without recursion. */
function findGroups(graph: Graph): readonly (readonly string[])[] {
  const groups: (readonly string[])[] = [];
  const numbers = new Map<string, number>();
  /** The smallest number that a file leads to. */
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const isOpen = new Set<string>();
  const trail: VisitedFile[] = [];
  const enter = (path: string) => {
    lowest.set(path, numbers.size);
    numbers.set(path, numbers.size);
    open.push(path);
    isOpen.add(path);
    trail.push({ path, uses: graph.get(path) ?? [], next: 0 });
  };
  const lower = (path: string, number: number | undefined) => {
    lowest.set(path, Math.min(lowest.get(path) ?? 0, number ?? 0));
  };
  for (const start of graph.keys()) {
    if (!numbers.has(start)) enter(start);
    for (let step = trail.at(-1); step !== undefined; step = trail.at(-1)) {
      const { path } = step;
      const use = step.uses[step.next++];
      if (use !== undefined) {
        if (!numbers.has(use)) {
          if (graph.has(use)) enter(use);
        } else if (isOpen.has(use)) lower(path, numbers.get(use));
        continue;
      }
      trail.pop();
      const below = trail.at(-1);
      if (below !== undefined) lower(below.path, lowest.get(path));
      if (lowest.get(path) !== numbers.get(path)) continue;
      const group = open.splice(open.lastIndexOf(path));
      for (const member of group) isOpen.delete(member);
      if (group.length > 1 || graph.get(path)?.includes(path)) groups.push(group);
    }
  }
  return groups;
}

/** The shortest circle through the group's first file. */
function findShortestCircle(graph: Graph, group: readonly string[]): readonly string[] {
  const [first = ""] = group;
  const members = new Set(group);
  const cameFrom = new Map<string, string>();
  const queue = [first];
  for (const path of queue) {
    for (const use of graph.get(path) ?? []) {
      if (use === first) {
        const circle = [path];
        for (let at = path; at !== first; ) {
          at = cameFrom.get(at) ?? first;
          circle.push(at);
        }
        return circle.reverse();
      }
      if (!members.has(use) || cameFrom.has(use)) continue;
      cameFrom.set(use, path);
      queue.push(use);
    }
  }
  return group;
}
