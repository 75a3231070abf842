/** How much memory this process may use: that of the machine, or the limit of its control group if that is lower. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export function availableMemory(): number {
  const total = /^MemTotal:\s+(\d+) kB/m.exec(readText("/proc/meminfo"))?.[1];
  const limits = [...groupLimits()].filter((limit) => limit > 0);
  // Assume 1 GiB if there is no /proc.
  return Math.min(total === undefined ? 2 ** 30 : Number(total) * 1024, ...limits);
}

/** The limits of this process's group and all groups above it (cgroup v2, and the memory controller of v1). */
function* groupLimits(): Generator<number> {
  for (const line of readText("/proc/self/cgroup").split("\n")) {
    const [, controllers, group] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (group === undefined) continue;
    const [root, file] =
      controllers === "" ? ["/sys/fs/cgroup", "memory.max"] : ["/sys/fs/cgroup/memory", "memory.limit_in_bytes"];
    if (controllers !== "" && controllers?.split(",").includes("memory") !== true) continue;
    for (let at = group; ; at = dirname(at)) {
      // "max" becomes NaN. A container often sees its own group at the root, even if /proc names another path.
      const limit = Number(readText(join(root, at, file)).trim() || Number.NaN);
      if (Number.isFinite(limit)) yield limit;
      if (at === "/" || at === ".") break;
    }
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
