/**
 * Finds in /proc what keeps a mount busy: programs that use it, as fuser(1) does, and other places where the same
 * filesystem is mounted. Processes of other users and in other containers are not visible. Never accesses the mount.
 */
import { findMountAt, type MountPoint, readMounts } from "../../mountinfo.ts";
import { listFolder, listProcesses, mountNamespaceOf, nameOf, readLink, readText } from "../../procfs.ts";

/** The programs that use a mount, such as "vim (4711)", lowest pid first. */
export function listHolders(mountpoint: string): readonly string[] {
  const inside = isIn(mountpoint);
  const here = mountNamespaceOf("self");
  const id = findMountAt(mountpoint)?.id;
  const users = listProcesses().filter((pid) =>
    mountNamespaceOf(pid) === here ? uses(pid, inside) : hasOpen(pid, inside, id),
  );
  return [...users.map(nameOf), ...listLoopDevices(inside)];
}

/** For a process in the same mount namespace. */
function uses(pid: number, inside: (path: string) => boolean): boolean {
  const places = ["cwd", "root", "exe", ...listFolder(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`)];
  return places.some((place) => inside(readLink(`/proc/${pid}/${place}`))) || listMappedFiles(pid).some(inside);
}

/**
 * For a process in another mount namespace. There the same path usually belongs to a copy of the mount, which does not keep
 * this one busy, but a file opened before the namespace was created does. `id` is the id of this mount.
 */
function hasOpen(pid: number, inside: (path: string) => boolean, id: string | undefined): boolean {
  return listFolder(`/proc/${pid}/fd`).some((fd) => {
    if (!inside(readLink(`/proc/${pid}/fd/${fd}`))) return false;
    return /^mnt_id:\s*(\d+)$/m.exec(readText(`/proc/${pid}/fdinfo/${fd}`))?.[1] === id;
  });
}

/** Loop devices with a backing file in the mount. The kernel itself keeps that file open. */
function listLoopDevices(inside: (path: string) => boolean): readonly string[] {
  return listFolder("/sys/block")
    .filter((name) => name.startsWith("loop") && inside(readText(`/sys/block/${name}/loop/backing_file`).trimEnd()))
    .map((name) => `the loop device /dev/${name}`);
}

/** The files that a process has mapped into memory. */
function listMappedFiles(pid: number): readonly string[] {
  return Buffer.from(readText(`/proc/${pid}/maps`), "latin1")
    .toString("utf8")
    .split("\n")
    .flatMap((line) => /^\S+ \S+ \S+ \S+ \S+\s+(\/.*)$/.exec(line)?.[1] ?? []);
}

/** A place where a filesystem is mounted. */
export interface Copy {
  readonly path: string;
  /** A process in the mount namespace of the copy. Absent for the namespace of this process. */
  readonly pid?: number;
}

/**
 * The places where a filesystem is still mounted, or used as an overlay layer, in this mount namespace and every other
 * visible one. `known` is the process to name for its namespace, if that is a different one.
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

/** The layer directories of an overlay. */
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
