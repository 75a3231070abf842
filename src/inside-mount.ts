/**
 * Whether a path leads through an llmfs mount, so that a model may have written the file.
 *
 * The path is followed as the kernel follows it, and every directory on the way is checked: a file on a filesystem that
 * is mounted inside an llmfs mount still has neighbours in that mount, and a symlink may lead into a mount and out
 * again.
 */
import { lstatSync, readlinkSync, type Stats, statfsSync, statSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { FS_TYPE, type MountPoint, readMounts } from "./mountinfo.ts";

/** As in fs/namei.c: following more symlinks than this is ELOOP. */
const MOST_SYMLINKS = 40;
/** An overlay may be a layer of another one. */
const MOST_LAYERS = 8;

/**
 * Describes the mount that an absolute path leads through; undefined if there is none, or if the path does not exist.
 */
export function findMountOnPath(
  path: string,
  all: readonly MountPoint[] = readMounts(),
  depth = 0,
): string | undefined {
  const look = (stats: Stats | undefined) => stats && mountOf(stats, all, depth);
  const ahead = ["/", ...splitPath(path)].reverse();
  let at = "/";
  let symlinks = 0;
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    const next = name === ".." ? dirname(at) : join(at, name);
    // Known without a system call, which may block if the mount does not answer.
    if (all.findLast((mount) => mount.path === next)?.type === FS_TYPE) return describeMount(next);
    const stats = tryStat(lstatSync, next);
    const found = look(stats);
    if (found !== undefined) return found;
    if (stats === undefined || (stats.isSymbolicLink() && ++symlinks > MOST_SYMLINKS)) break;
    if (!stats.isSymbolicLink()) {
      at = next;
      continue;
    }
    const target = readlinkSync(next);
    if (isAbsolute(target)) at = "/";
    ahead.push(...splitPath(target).reverse());
  }
  // Links in /proc do not lead where their text says, for example into another mount namespace.
  return look(tryStat(statSync, dirname(path))) ?? checkEnd(path, all, look);
}

/** Returns undefined for a path that cannot be reached, because nothing can use it either. */
function tryStat(stat: (path: string) => Stats, path: string): Stats | undefined {
  try {
    return stat(path);
  } catch {
    return undefined;
  }
}

function splitPath(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

function checkEnd(
  path: string,
  all: readonly MountPoint[],
  look: (stats: Stats | undefined) => string | undefined,
): string | undefined {
  const stats = tryStat(statSync, path);
  if (stats === undefined) return undefined;
  const known = all.some(({ device }) => device === deviceOf(stats));
  const FUSE_SUPER_MAGIC = 0x65735546;
  const strange = !known && statfsSync(path).type === FUSE_SUPER_MAGIC;
  return look(stats) ?? (strange ? "a FUSE mount of another mount namespace" : undefined);
}

/** How an inode's filesystem is related to llmfs. */
function mountOf(stats: Stats, all: readonly MountPoint[], depth: number): string | undefined {
  const device = deviceOf(stats);
  for (const mount of all) {
    if (mount.device !== device) continue;
    if (mount.type === FS_TYPE) return describeMount(mount.path);
    if (mount.type !== "overlay" || depth > MOST_LAYERS) continue;
    const below = overlayLayers(mount, all)
      .map((layer) => findMountOnPath(layer, all, depth + 1))
      .find((found) => found !== undefined);
    if (below !== undefined) return `an overlay of ${below}`;
  }
  return undefined;
}

function describeMount(place: string): string {
  return `the llmfs mount at ${place}`;
}

/**
 * The directories that an overlay shows, as far as they are known. A relative path started in the directory from which
 * the overlay was mounted, which cannot be found out afterwards: it may be any directory above one of our mounts.
 */
function overlayLayers({ superOptions }: MountPoint, all: readonly MountPoint[]): readonly string[] {
  const values = superOptions.matchAll(/(?:^|,)(?:lowerdir\+?|upperdir|datadir\+)=((?:\\.|[^,\\])*)/g);
  const given = [...values].flatMap(([, value = ""]) => value.split(/(?<!\\):/));
  const paths = given.map((path) => path.replace(/\\(.)/g, "$1")).filter((path) => path !== "");
  const above = new Set(all.filter(({ type }) => type === FS_TYPE).flatMap(({ path }) => ancestors(path)));
  return paths.flatMap((path) => (isAbsolute(path) ? [path] : [...above].map((start) => join(start, path))));
}

/** The parent directories of a path, nearest first. */
function ancestors(path: string): readonly string[] {
  const above = dirname(path);
  return above === path ? [] : [above, ...ancestors(above)];
}

/** "major:minor", as in linux/kdev_t.h:new_decode_dev(). */
function deviceOf({ dev }: Stats): string {
  return `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`;
}
