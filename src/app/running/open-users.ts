/**
 * What keeps a mount from ending, from /proc: programs that use it, as fuser(1) finds them, and other places where the
 * same filesystem is mounted. Other users' processes, and what is in other containers, stay unseen. The mount is never
 * asked.
 */
import { findMountAt, type MountPoint, readMounts } from "../../mountinfo.ts";
import { listFolder, listProcesses, mountNamespaceOf, nameOf, readLink, readText } from "../../procfs.ts";

/** As "vim (4711)", lowest process id first. */
export function listHolders(mountpoint: string): readonly string[] {
  const inside = isIn(mountpoint);
  const here = mountNamespaceOf("self");
  const id = findMountAt(mountpoint)?.id;
  const users = listProcesses().filter((pid) =>
    mountNamespaceOf(pid) === here ? uses(pid, inside) : hasOpen(pid, inside, id),
  );
  return [...users.map(nameOf), ...listLoopDevices(inside)];
}

/** Of a process that sees the mount. */
function uses(pid: number, inside: (path: string) => boolean): boolean {
  const places = ["cwd", "root", "exe", ...listFolder(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`)];
  return places.some((place) => inside(readLink(`/proc/${pid}/${place}`))) || listMappedFiles(pid).some(inside);
}

/**
 * Of a process in another mount namespace, where the same path is most often that of a copy, which does not keep this one
 * busy; but a file that was opened before does. `id` is that of the mount.
 */
function hasOpen(pid: number, inside: (path: string) => boolean, id: string | undefined): boolean {
  return listFolder(`/proc/${pid}/fd`).some((fd) => {
    if (!inside(readLink(`/proc/${pid}/fd/${fd}`))) return false;
    return /^mnt_id:\s*(\d+)$/m.exec(readText(`/proc/${pid}/fdinfo/${fd}`))?.[1] === id;
  });
}

/** Whose file is in the mount: the kernel itself holds it open. */
function listLoopDevices(inside: (path: string) => boolean): readonly string[] {
  return listFolder("/sys/block")
    .filter((name) => name.startsWith("loop") && inside(readText(`/sys/block/${name}/loop/backing_file`).trimEnd()))
    .map((name) => `the loop device /dev/${name}`);
}

/** The files a process has mapped into its memory. */
function listMappedFiles(pid: number): readonly string[] {
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
 * Where a filesystem that was mounted at a place is still mounted: in this mount namespace, as a part of an overlay too,
 * and in every other one in sight. `known` is the process by which its namespace is called, if it has another one.
 */
export function copiesOf({ device, path }: Pick<MountPoint, "device" | "path">, known: number): readonly Copy[] {
  const here = mountNamespaceOf("self");
  const seen = new Set([here, ""]);
  const overlays = readMounts().filter(
    ({ type, superOptions }) => type === "overlay" && overlayLayers(superOptions).some(isIn(path)),
  );
  const found: Copy[] = [...mountsOf(device), ...overlays.map((overlay) => overlay.path)].map((place) => ({
    path: place,
  }));
  for (const pid of [known, ...listProcesses()]) {
    const namespace = mountNamespaceOf(pid);
    if (seen.has(namespace)) continue;
    seen.add(namespace);
    for (const place of mountsOf(device, pid)) found.push({ path: place, pid });
  }
  return found;
}

/** The directories that an overlay is made of. */
function overlayLayers(superOptions: string): readonly string[] {
  const options = superOptions.split(",").filter((option) => /^(lowerdir\+?|upperdir|workdir)=/.test(option));
  return options.flatMap((option) => option.slice(option.indexOf("=") + 1).split(":"));
}

function isIn(directory: string): (path: string) => boolean {
  return (path) => path === directory || path.startsWith(`${directory}/`);
}

function mountsOf(device: string, pid?: number): readonly string[] {
  const table = pid === undefined ? readMounts() : readMounts(readText(`/proc/${pid}/mountinfo`));
  return table.filter((mount) => mount.device === device).map(({ path }) => path);
}
