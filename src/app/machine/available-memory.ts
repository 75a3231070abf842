/** How much memory this process may use: the machine's, or less where a control group says so. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export function availableMemory(): number {
  const total = /^MemTotal:\s+(\d+) kB/m.exec(readText("/proc/meminfo"))?.[1];
  const limits = [...groupLimits()].filter((limit) => limit > 0);
  // 1 GiB where even /proc is missing.
  return Math.min(total === undefined ? 2 ** 30 : Number(total) * 1024, ...limits);
}

/** The limits of the group this process is in and of every group above it (cgroup v2, and v1's memory controller). */
function* groupLimits(): Generator<number> {
  for (const line of readText("/proc/self/cgroup").split("\n")) {
    const [, controllers, group] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (group === undefined) continue;
    const [root, file] =
      controllers === "" ? ["/sys/fs/cgroup", "memory.max"] : ["/sys/fs/cgroup/memory", "memory.limit_in_bytes"];
    if (controllers !== "" && controllers?.split(",").includes("memory") !== true) continue;
    for (let at = group; ; at = dirname(at)) {
      // "max" is NaN. A container often sees its own group at the root, whatever /proc says.
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
