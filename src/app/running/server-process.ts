/**
 * Finds the process behind a mount without accessing the mount: by its record (mount-record.ts), or by its open FUSE
 * device. Processes of other users and in other containers are not visible.
 */

import { lstatSync } from "node:fs";
import type { MountPoint } from "../../mountinfo.ts";
import { listFolder, listProcesses, ownerOf, readLink, readText, startTimeOf } from "../../procfs.ts";
import { type MountRecord, RECORD_LINK, RecordReader } from "./mount-record.ts";

/** A process that serves a mount, or that served one and still has its tree. Must be disposed. */
export class ServerProcess implements Disposable {
  readonly pid: number;
  readonly #born: string;
  readonly #reader: RecordReader;

  constructor(pid: number, born: string, reader: RecordReader) {
    this.pid = pid;
    this.#born = born;
    this.#reader = reader;
  }

  get lives(): boolean {
    return startTimeOf(this.pid) === this.#born;
  }

  /** Its record, which stays readable after its end. Undefined for another version of llmfs. */
  get record(): MountRecord | undefined {
    return this.#reader.read();
  }

  /** Requests a save and returns the id of its answer in the record. Undefined if the process does not accept requests. */
  requestSave(): string | undefined {
    const id = crypto.randomUUID().replaceAll("-", "");
    return this.#reader.request(id) ? id : undefined;
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }
}

/** The process that serves a mount. */
export function serverOf(mount: MountPoint): ServerProcess | undefined {
  return search(mounterOf(mount), (record) => record.device === mount.device);
}

/** The user id of whoever mounted it. */
export function mounterOf({ superOptions }: Pick<MountPoint, "superOptions">): number {
  return Number(/(?:^|,)user_id=(\d+)/.exec(superOptions)?.[1] ?? 0);
}

/** Whether the user of a process may say that it serves this mount: nobody but the mount's owner and root is believed. */
export function isBelieved({ pid }: Pick<ServerProcess, "pid">, mount: Pick<MountPoint, "superOptions">): boolean {
  const user = ownerOf(pid);
  return user === 0 || user === mounterOf(mount);
}

/** A process that still has the tree of a mount that is gone, because the tree could not be saved yet. */
export function lateServerOf(mountpoint: string): ServerProcess | undefined {
  return search(
    process.getuid?.() ?? 0,
    (record) => record.insisting === true && record.state === "ended" && record.mountpoint === mountpoint,
  );
}

/** A process of any version of llmfs that has the FUSE connection of this mount open. Requires Linux 6.17. */
export function openerOf({ device }: Pick<MountPoint, "device">): number | undefined {
  const connection = new RegExp(`^fuse_connection:\\s*${device.split(":")[1]}$`, "m");
  return listProcesses().find((pid) =>
    listFolder(`/proc/${pid}/fd`).some(
      (fd) =>
        readLink(`/proc/${pid}/fd/${fd}`) === "/dev/fuse" && connection.test(readText(`/proc/${pid}/fdinfo/${fd}`)),
    ),
  );
}

/** Every process with a readable record. Each must be disposed. */
export function listServers(): readonly ServerProcess[] {
  return [...servers(() => true)];
}

/**
 * Nobody but the mount's owner and root is believed. Of several the one that mounted last: the kernel uses the number of a
 * device again, and a process that is stopped cannot take back that it had it.
 */
function search(owner: number, wanted: (record: MountRecord) => boolean): ServerProcess | undefined {
  let found: { readonly server: ServerProcess; readonly since: number } | undefined;
  for (const server of servers((uid) => uid === 0 || uid === owner)) {
    const record = server.record;
    const since = record?.mountedAt ?? 0;
    if (record === undefined || !wanted(record) || since < (found?.since ?? 0)) {
      server[Symbol.dispose]();
      continue;
    }
    found?.server[Symbol.dispose]();
    found = { server, since };
  }
  return found?.server;
}

/** The processes of some users that have written a record. */
function* servers(ofUser: (uid: number) => boolean): Generator<ServerProcess> {
  for (const pid of listProcesses()) {
    if (!ofUser(ownerOf(pid) ?? -1)) continue;
    const born = startTimeOf(pid);
    for (const fd of listFolder(`/proc/${pid}/fd`)) {
      const file = `/proc/${pid}/fd/${fd}`;
      if (readLink(file) !== RECORD_LINK || !isWriter(file) || born === undefined) continue;
      const reader = open(pid, file);
      if (reader !== undefined) yield new ServerProcess(pid, born, reader);
    }
  }
}

/** Whether a descriptor in /proc/PID/fd is open for writing. Processes that read a record have it open, too. */
function isWriter(file: string): boolean {
  try {
    return (lstatSync(file).mode & 0o200) !== 0;
  } catch {
    // The process has closed it, or has ended.
    return false;
  }
}

function open(pid: number, file: string): RecordReader | undefined {
  try {
    return new RecordReader(pid, file);
  } catch {
    return undefined;
  }
}
