/**
 * What keeps a mount from ending, from /proc: programs that use it, as fuser(1) finds them, and other places where the
 * same filesystem is mounted. Other users' processes, and what is in other containers, stay unseen. The mount is never
 * asked.
 */
import { mounts } from "../fuse/mountinfo.ts";
import { listFolder, mountNamespaceOf, nameOf, processes, readLink, readText } from "../procfs.ts";

/** As "vim (4711)", lowest process id first. */
export function holders(mountpoint: string): readonly string[] {
  const inside = (path: string) => path === mountpoint || path.startsWith(`${mountpoint}/`);
  const namespace = mountNamespaceOf("self");
  return processes()
    .filter((pid) => mountNamespaceOf(pid) === namespace)
    .filter((pid) => {
      const places = ["cwd", "root", "exe", ...listFolder(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`)];
      return places.some((place) => inside(readLink(`/proc/${pid}/${place}`))) || mapped(pid).some(inside);
    })
    .map(nameOf);
}

/** The files a process has mapped into its memory. */
function mapped(pid: number): readonly string[] {
  return Buffer.from(readText(`/proc/${pid}/maps`), "latin1")
    .toString("utf8")
    .split("\n")
    .flatMap((line) => /^\S+ \S+ \S+ \S+ \S+\s+(\/.*)$/.exec(line)?.[1] ?? []);
}

/** A place where a filesystem is mounted. */
export interface Copy {
  readonly path: string;
  /** A process in whose mount namespace it is; absent: in that of this process. */
  readonly pid?: number;
}

/**
 * Where a filesystem, named by its device number, is mounted: in this mount namespace, and in every other one in sight.
 * `known` is the process by which its namespace is called, if it has another one.
 */
export function copiesOf(device: string, known: number): readonly Copy[] {
  const here = mountNamespaceOf("self");
  const seen = new Set([here, ""]);
  const found: Copy[] = mountsOf(device).map((path) => ({ path }));
  for (const pid of [known, ...processes()]) {
    const namespace = mountNamespaceOf(pid);
    if (seen.has(namespace)) continue;
    seen.add(namespace);
    for (const path of mountsOf(device, pid)) found.push({ path, pid });
  }
  return found;
}

function mountsOf(device: string, pid?: number): readonly string[] {
  const table = pid === undefined ? mounts() : mounts(readText(`/proc/${pid}/mountinfo`));
  return table.filter((mount) => mount.device === device).map(({ path }) => path);
}
