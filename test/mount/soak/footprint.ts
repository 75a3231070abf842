/** The resources that a mount uses, and whether their use returns to its earlier level. */
import { readdirSync, readFileSync, readlinkSync, statfsSync, statSync } from "node:fs";

/** These must be exactly as before, because only the tree decides them. */
export interface Exact {
  /** As statfs(2) reports it: files with names, and those that are only open. */
  readonly inodes: number;
  readonly bytes: number;
  readonly generating: number;
}

/** These may be less than before; `tolerances` says how much more is allowed. */
export interface Bounded {
  /** Inodes that the kernel holds and may ask about. */
  readonly kernelInodes: number;
  /** Open descriptors of the serving process, without sockets, pipes and the memory files of contents. */
  readonly descriptors: number;
  /** Memory files that hold contents, without spare ones. */
  readonly memoryFiles: number;
  /** Sockets and pipes of the serving process. */
  readonly channels: number;
  /** Processes that the serving process or its children started. */
  readonly processes: number;
  /** Resident memory of the serving process, in KiB. */
  readonly memory: number;
  /** Resident memory of the processes that it started, together. */
  readonly helperMemory: number;
}

export const tolerances: Bounded = {
  // The kernel drops inodes whenever it needs memory, and loads them again as names are looked up.
  kernelInodes: 0,
  descriptors: 2,
  // Empty ones are kept for the next content and not counted. Small contents wait in one for the next pause. And which
  // files have one is decided by chance in the first rounds: without passthrough, a file that was once large keeps it.
  memoryFiles: 6,
  // Connections to the model and to other servers are kept for the next request until one side closes them.
  channels: 8,
  // Helper processes end after a while without work, and are started again, one of each kind.
  processes: 0,
  // A JavaScript heap grows to a multiple of its live data before it is collected, and the allocator returns pages with
  // a delay. So it is the minimum of several rounds that must not rise by more than this.
  memory: 32 * 1024,
  helperMemory: 48 * 1024,
};

export interface Footprint {
  readonly exact: Exact;
  readonly bounded: Bounded;
}

export function footprintOf(mountpoint: string): Footprint {
  const { pid, generating, kernelInodes } = JSON.parse(readFileSync(`${mountpoint}/.llmfs/status.json`, "utf8"));
  const { files, ffree, blocks, bfree, bsize } = statfsSync(mountpoint);
  const children = descendants(pid);
  return {
    exact: { inodes: files - ffree, bytes: (blocks - bfree) * bsize, generating },
    bounded: {
      kernelInodes,
      ...openBy(pid),
      processes: children.length,
      memory: resident(pid),
      helperMemory: children.reduce((sum, child) => sum + resident(child), 0),
    },
  };
}

function openBy(pid: number): { descriptors: number; memoryFiles: number; channels: number } {
  let [descriptors, memoryFiles, channels] = [0, 0, 0];
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const path = `/proc/${pid}/fd/${fd}`;
    try {
      const target = readlinkSync(path);
      if (/^(socket|pipe):/.test(target)) channels++;
      else if (!/^\/(#\d+|memfd:llmfs) \(deleted\)$/.test(target)) descriptors++;
      else if (statSync(path).size > 0) memoryFiles++;
    } catch {
      // It has been closed since.
    }
  }
  return { descriptors, memoryFiles, channels };
}

/** Memory in KiB; 0 for a process that has ended. */
function resident(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Every process below this one, including zombies, which nobody has waited for. */
export function descendants(pid: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It has ended.
    }
  }
  const below = (one: number): boolean => {
    const parent = parents.get(one);
    return parent !== undefined && (parent === pid || below(parent));
  };
  return [...parents.keys()].filter(below);
}
