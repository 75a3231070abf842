/** What one running mount is doing: its files, requests, cost, memory and errors. Reading it generates nothing. */
import type { Usage } from "../../generate/spending/usage-counter.ts";
import { findMountAt } from "../../mountinfo.ts";
import { statusOf } from "../../procfs.ts";
import type { StoreStatus } from "../../recording/metrics.ts";
import type { PendingFile } from "../../rpc/messages.ts";
import type { FailedRenewal } from "../../rpc/tree-port.ts";
import { UserError } from "../errors.ts";
import { isAbout, isUsage } from "../mount-info.ts";
import { readControlFile, readEntries } from "./mounted.ts";
import { serverOf } from "./server-process.ts";
import { describe, type FileCounts } from "./survey.ts";

/** JSON-able: `llmfs status --json` prints it. */
export interface MountStatus {
  readonly mountpoint: string;
  readonly pid: number;
  readonly ageSeconds?: number;
  readonly prompt?: string;
  readonly from?: string;
  readonly save?: string;
  readonly model?: string;
  readonly server?: string;
  readonly mode: string;
  readonly recordings: string;
  /** How the store of recordings does. Absent before it was asked for the first time. */
  readonly store?: StoreStatus;
  /** The maximum number of parallel requests to the model. */
  readonly concurrency: number;
  readonly files: FileCounts;
  /** The files that are being generated. */
  readonly underWay: readonly RunningGeneration[];
  /** How many files were made from others that have changed since. */
  readonly outdated: number;
  readonly failed: readonly { readonly path: string; readonly error: string }[];
  /** What could not be renewed and keeps what it has: files after a refresh or a regeneration, and listed directories. */
  readonly failedRenewals: readonly ({ readonly path: string } & FailedRenewal)[];
  /** What the contents take, in bytes. */
  readonly bytes: number;
  readonly inodes: number;
  /** The memory of the process, in bytes. */
  readonly memoryBytes: number;
  readonly usage: Usage;
}

export interface RunningGeneration {
  readonly path: string;
  readonly generator: string;
  /** When it began, in ISO 8601. */
  readonly since?: string;
  /** It waits until fewer requests to the model are running. */
  readonly queued?: true;
  /** The files that are generated first, because this one uses them. */
  readonly waitsFor?: readonly string[];
}

/** What `.llmfs/status.json` has: see fs/control/files.ts. */
interface ControlStatus {
  readonly pid: number;
  readonly files: FileCounts;
  readonly inodes: number;
  readonly bytes: number;
  readonly generating: number;
  /** Whether a program wrote to a file since the tree was last saved. */
  readonly unsavedWrites: boolean;
  readonly outdated: number;
  readonly failedRenewals: number;
  /** Empty before the store was asked for the first time. */
  readonly recordings: StoreStatus | Readonly<Record<string, never>>;
}

/** Rejects with UserError if the mount does not answer, or is served by another version of llmfs. */
export async function readMountStatus(mountpoint: string): Promise<MountStatus> {
  const [status, usage, about] = await Promise.all([
    readJson(mountpoint, "status.json"),
    readJson(mountpoint, "usage.json"),
    readJson(mountpoint, "config.json"),
  ]);
  if (!isStatus(status) || !isUsage(usage) || !isAbout(about)) throw createVersionError(mountpoint);
  const { files, pid, inodes, bytes, outdated, recordings: store } = status;
  const pending = files.generating > 0 || files.failed > 0 ? await readJson(mountpoint, "pending.json") : [];
  if (!isPendingList(pending)) throw createVersionError(mountpoint);
  const entries = status.failedRenewals > 0 ? await readEntries(mountpoint) : [];
  const mount = findMountAt(mountpoint);
  using server = mount && serverOf(mount);
  const { model, server: address, mode, recordings, concurrency } = about;
  return {
    mountpoint,
    ...describe(pid, server?.record),
    pid,
    ...(model === undefined ? {} : { model }),
    ...(address === undefined ? {} : { server: address }),
    mode,
    recordings,
    ...(isAsked(store) ? { store } : {}),
    concurrency,
    files,
    outdated,
    underWay: pending.flatMap(({ state, depends: _, error: __, ...running }) =>
      state === "generating" ? [running] : [],
    ),
    failed: pending.flatMap(({ path, state, error = "" }) => (state === "failed" ? [{ path, error }] : [])),
    failedRenewals: entries.flatMap(({ path, failedRenewal }) =>
      failedRenewal === undefined ? [] : [{ path, ...failedRenewal }],
    ),
    bytes,
    inodes,
    memoryBytes: 1024 * Number.parseInt(statusOf(pid, "VmRSS") ?? "0", 10),
    usage,
  };
}

/** Whether a program wrote to a file of a mount since the tree was last saved. Rejects like `readMountStatus`. */
export async function hasUnsavedWrites(mountpoint: string): Promise<boolean> {
  const status = await readJson(mountpoint, "status.json");
  if (!isStatus(status)) throw createVersionError(mountpoint);
  return status.unsavedWrites;
}

async function readJson(
  mountpoint: string,
  name: "status.json" | "usage.json" | "config.json" | "pending.json",
): Promise<unknown> {
  const text = (await readControlFile(mountpoint, name)).toString("utf8");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw createVersionError(mountpoint, cause);
  }
}

function createVersionError(mountpoint: string, cause?: unknown): UserError {
  return new UserError("notMounted", `${mountpoint}: another version of llmfs serves this mount`, { cause });
}

/** Written by this same version of llmfs (see fs/control/files.ts), so one member is enough to recognize it. */
function isStatus(value: unknown): value is ControlStatus {
  return typeof value === "object" && value !== null && "files" in value;
}

function isAsked(store: ControlStatus["recordings"]): store is StoreStatus {
  return "store" in store;
}

function isPendingList(value: unknown): value is readonly PendingFile[] {
  return Array.isArray(value);
}
