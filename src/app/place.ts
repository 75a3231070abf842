/**
 * What a command line names: a place in a running mount, or in a snapshot without any mount.
 *
 * A snapshot is a file, and what follows its name is a path in it: `tree.json/src/main.c`. Every command accepts both, and
 * finds a mount from any path below it.
 */
import { statSync } from "node:fs";
import { DEFAULT_GENERATOR } from "../attributes.ts";
import { codeOf, messageOf } from "../errno.ts";
import { rulesOf } from "../generators/config/rule-summary.ts";
import type { DetailedEntry } from "../rpc/tree-port.ts";
import { UserError } from "./errors.ts";
import { absolutePath, currentDirectory } from "./machine/current-directory.ts";
import { readAbout } from "./mount-info.ts";
import { findMount } from "./running/find-mount.ts";
import { findMountedFile, readEntries } from "./running/mounted.ts";

export type Place = MountPlace | SnapshotPlace;

export interface MountPlace {
  readonly kind: "mount";
  readonly mountpoint: string;
  /** In the mount: "/" or "/src/main.c". */
  readonly path: string;
}

export interface SnapshotPlace {
  readonly kind: "snapshot";
  /** Absolute. */
  readonly file: string;
  /** In the tree: "/" or "/src/main.c". */
  readonly path: string;
}

/** Without `named`, the mount that contains the current directory. Rejects with UserError. */
export async function findPlace(named: string | undefined): Promise<Place> {
  if (named === undefined || named === "") return await findMountHere();
  if (findMount(named) !== undefined) return await inMount(named);
  const snapshot = findSnapshot(named);
  if (snapshot !== undefined) return snapshot;
  const { kind, error } = examine(absolutePath(named));
  if (kind === "directory")
    throw new UserError("notMounted", `${named} is not in an llmfs mount, and is not a snapshot`);
  if (kind === "missing") throw new UserError("snapshot", `${named} does not exist`);
  throw new UserError("input", `${named} cannot be used: ${error ?? "it is neither a directory nor a file"}`);
}

/** The mount that contains the current directory. */
async function findMountHere(choice = "a mount or a snapshot"): Promise<MountPlace> {
  const here = currentDirectory();
  if (here === undefined || findMount(here) === undefined) {
    throw new UserError(
      "notMounted",
      `the current directory is not in an llmfs mount; name ${choice}. llmfs list shows all mounts`,
    );
  }
  return await inMount(here);
}

/** A mount alone, for commands that have no use for a snapshot. */
export async function findMountPlace(named: string | undefined): Promise<MountPlace> {
  return named === undefined ? await findMountHere("one") : await inMount(named);
}

async function inMount(named: string): Promise<MountPlace> {
  return { kind: "mount", ...(await findMountedFile(named)) };
}

/** Whether the path is an ordinary directory, outside of all mounts of llmfs. */
export function isDirectoryOnDisk(named: string): boolean {
  return findMount(named) === undefined && examine(absolutePath(named)).kind === "directory";
}

/** The longest beginning of the path that is a file is the snapshot, and the rest is the path in it. */
function findSnapshot(named: string): SnapshotPlace | undefined {
  const parts = absolutePath(named).split("/");
  for (let length = parts.length; length > 1; length--) {
    const file = parts.slice(0, length).join("/");
    const { kind } = examine(file);
    if (kind === "file") return { kind: "snapshot", file, path: `/${parts.slice(length).join("/")}` };
    if (kind === "directory") return undefined;
  }
  return undefined;
}

function examine(path: string): { readonly kind: "file" | "directory" | "missing" | "other"; readonly error?: string } {
  try {
    const stats = statSync(path);
    // A device or fifo may hold a snapshot, too: <(llmfs generate …).
    return { kind: stats.isDirectory() ? "directory" : "file" };
  } catch (error) {
    const code = codeOf(error);
    return code === "ENOENT" || code === "ENOTDIR" ? { kind: "missing" } : { kind: "other", error: messageOf(error) };
  }
}

export interface FoundEntries {
  /** The entry at the path; undefined for the root. */
  readonly self: DetailedEntry | undefined;
  /** All entries below it. */
  readonly below: readonly DetailedEntry[];
  /** What a listing shows: a file itself, or the entries of a directory, with `recursive` also those below. */
  list(recursive: boolean): readonly DetailedEntry[];
}

/** Finds the entry at a path and the entries below it. Undefined if nothing is at the path. */
export function findEntries(all: readonly DetailedEntry[], path: string): FoundEntries | undefined {
  const self = all.find((entry) => entry.path === path);
  if (path !== "/" && self === undefined) return undefined;
  const base = path === "/" ? "/" : `${path}/`;
  const below = all.filter((entry) => entry.path.startsWith(base));
  return {
    self,
    below,
    list(recursive) {
      if (self !== undefined && self.type !== "directory") return [self];
      return recursive ? below : below.filter((entry) => !entry.path.includes("/", base.length));
    },
  };
}

/** The entries at and below a place. Generates nothing. Rejects with UserError or SnapshotError. */
export async function listPlace(place: Place, warn: (message: string) => void): Promise<FoundEntries> {
  const all = place.kind === "mount" ? await listMount(place.mountpoint) : await listSnapshot(place.file, warn);
  const found = findEntries(all, place.path);
  if (found === undefined) throw new UserError("input", `${describePlace(place)} does not exist`);
  return found;
}

/** As a person would name it. */
export function describePlace(place: Place): string {
  const start = place.kind === "mount" ? place.mountpoint : place.file;
  return place.path === "/" ? start : `${start}${place.path}`;
}

async function listMount(mountpoint: string): Promise<readonly DetailedEntry[]> {
  const entries = await readEntries(mountpoint);
  const { rules = [] } = await readAbout(mountpoint);
  const bound = rulesOf(rules);
  return entries.map((entry) => nameGenerator(entry, (path) => bound.bind(path, DEFAULT_GENERATOR).generator));
}

async function listSnapshot(file: string, warn: (message: string) => void): Promise<readonly DetailedEntry[]> {
  const { OfflineTree } = await import("../offline/offline-tree.ts");
  return new OfflineTree({ file }, { warn }).entries().map((entry) => nameGenerator(entry, () => DEFAULT_GENERATOR));
}

function nameGenerator(entry: DetailedEntry, otherwise: (path: string) => string): DetailedEntry {
  if (entry.state === undefined || entry.state === "static" || entry.generator !== undefined) return entry;
  return { ...entry, generator: otherwise(entry.path) };
}
