/**
 * Finds every llmfs mount of this user: in this mount namespace, alive or dead, and in those of the processes that serve
 * one elsewhere, such as `run` in a namespace. Never waits long for a mount that does not answer.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CONTROL_NAME } from "../../attributes.ts";
import { codeOf } from "../../errno.ts";
import { isDeadError } from "../../fuse/mounting/unmount.ts";
import type { Usage } from "../../generate/spending/usage-counter.ts";
import { nanosecondsSinceBoot } from "../../libc.ts";
import { FS_TYPE, readMounts } from "../../mountinfo.ts";
import { conditionOf, mountNamespaceOf, ownerOf } from "../../procfs.ts";
import type { MountRecord } from "./mount-record.ts";
import { isBelieved, listServers, mounterOf, openerOf } from "./server-process.ts";

/**
 * - "serving": it answers
 * - "stopped", "busy": its process is stopped, or does not answer in time
 * - "dead": its process has ended, and the mount is still there
 * - "unsaved": the mount is gone, and its process still tries to save the tree
 * - "unreadable": this user may not enter it
 */
export type MountState = "serving" | "stopped" | "busy" | "dead" | "unsaved" | "unreadable";

/** The files of a mount by the state of their content. */
export type FileCounts = Readonly<Record<"static" | "pending" | "generating" | "ready" | "failed", number>>;

/** JSON-able: `llmfs list --json` prints a list of them. */
export interface SurveyedMount {
  readonly mountpoint: string;
  readonly state: MountState;
  /** The process that serves it. Absent if it has ended or is not visible. */
  readonly pid?: number;
  /** The id of the user who mounted it. */
  readonly user: number;
  /** What mount tables show as the source. */
  readonly source?: string;
  /** Other places where the same filesystem is mounted. */
  readonly alsoAt?: readonly string[];
  /** Whether it is in another mount namespace: that of its process. */
  readonly elsewhere?: true;
  readonly ageSeconds?: number;
  readonly prompt?: string;
  /** The snapshot that it started from. */
  readonly from?: string;
  /** Where it is saved when it ends. */
  readonly save?: string;
  readonly files?: FileCounts;
  readonly usage?: Usage;
}

/** How long a mount may take to answer. */
const PATIENCE_MS = 2_000;

/** The mounts, in the order of the mount table. Root sees those of everybody. */
export async function surveyMounts(): Promise<readonly SurveyedMount[]> {
  const own = process.getuid?.() ?? 0;
  const servers = listServers();
  try {
    const table = readMounts().filter(({ type }) => type === FS_TYPE);
    const devices = Map.groupBy(table, ({ device }) => device);
    const here = [...devices.values()].map(async ([first, ...others]): Promise<SurveyedMount[]> => {
      if (first === undefined || (own !== 0 && mounterOf(first) !== own)) return [];
      const server = servers.find((one) => one.record?.device === first.device && isBelieved(one, first));
      const pid = server?.pid ?? openerOf(first);
      const base = {
        mountpoint: first.path,
        user: mounterOf(first),
        source: first.source,
        ...(others.length > 0 && { alsoAt: others.map(({ path }) => path) }),
      };
      return [{ ...base, ...(await look(first.path, pid)), ...describe(pid, server?.record) }];
    });
    const namespace = mountNamespaceOf("self");
    const elsewhere = servers.map(async ({ pid, record }): Promise<SurveyedMount[]> => {
      if (record === undefined) return [];
      const base = { mountpoint: record.mountpoint, user: ownerOf(pid) ?? own, ...describe(pid, record) };
      if (record.insisting === true && record.state === "ended") return [{ ...base, state: "unsaved" }];
      if (record.device === "" || devices.has(record.device) || mountNamespaceOf(pid) === namespace) return [];
      return [{ ...base, ...(await look(`/proc/${pid}/root${record.mountpoint}`, pid)), elsewhere: true }];
    });
    return (await Promise.all([...here, ...elsewhere])).flat();
  } finally {
    for (const server of servers) server[Symbol.dispose]();
  }
}

/** What the record of a mount says about it. */
export function describe(
  pid: number | undefined,
  record: MountRecord | undefined,
): Pick<SurveyedMount, "pid" | "ageSeconds" | "prompt" | "from" | "save"> {
  const { mountedAt, prompt, from, save } = record ?? {};
  return {
    ...(pid === undefined ? {} : { pid }),
    ...(mountedAt === undefined ? {} : { ageSeconds: Math.floor((nanosecondsSinceBoot() - mountedAt) / 1e9) }),
    ...(prompt === undefined ? {} : { prompt }),
    ...(from === undefined ? {} : { from }),
    ...(save === undefined ? {} : { save }),
  };
}

/** Does not send a mount a request if its process is known to be stopped. */
async function look(path: string, pid: number | undefined): Promise<Pick<SurveyedMount, "state" | "files" | "usage">> {
  if (pid !== undefined && conditionOf(pid) === "stopped") return { state: "stopped" };
  const texts = Promise.all([readText(path, "status.json"), readText(path, "usage.json")]);
  try {
    const found = await Promise.race([texts, sleep(PATIENCE_MS)]);
    if (found === undefined) return { state: pid !== undefined && conditionOf(pid) === "stopped" ? "stopped" : "busy" };
    const [status, usage] = found.map((text): unknown => JSON.parse(text));
    return {
      state: "serving",
      ...(hasFiles(status) && { files: status.files }),
      ...(hasAnswers(usage) && { usage }),
    };
  } catch (error) {
    if (isDeadError(error)) return { state: "dead" };
    const code = codeOf(error);
    return { state: code === "EACCES" || code === "EPERM" ? "unreadable" : "serving" };
  } finally {
    texts.catch(() => {});
  }
}

function readText(mountpoint: string, name: string): Promise<string> {
  return readFile(join(mountpoint, CONTROL_NAME, name), "utf8");
}

function hasFiles(status: unknown): status is { readonly files: FileCounts } {
  return typeof status === "object" && status !== null && "files" in status;
}

function hasAnswers(usage: unknown): usage is Usage {
  return typeof usage === "object" && usage !== null && "answers" in usage;
}
