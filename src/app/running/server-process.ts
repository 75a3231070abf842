/**
 * The process behind a mount, found without asking the mount: by its record (mount-record.ts), or by the FUSE device that
 * it holds open. Processes of other users and of other containers stay unseen.
 */

import { incarnation } from "../../fuse/mounting/process.ts";
import type { MountPoint } from "../../mountinfo.ts";
import { listFolder, ownerOf, processes, readLink, readText } from "../../procfs.ts";
import { type MountRecord, RECORD_LINK, RecordReader } from "./mount-record.ts";

/** A process that serves a mount, or did, and still holds its tree. Dispose it. */
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
    return incarnation(this.pid) === this.#born;
  }

  /** What it says; also after its end. Undefined where it is of another version of llmfs. */
  get record(): MountRecord | undefined {
    return this.#reader.read();
  }

  /** Asks for a save; the answer will be in the record, by this id. Undefined where it takes no requests. */
  requestSave(): string | undefined {
    const id = crypto.randomUUID().replaceAll("-", "");
    return this.#reader.request(id) ? id : undefined;
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }
}

/** The process that serves a mount. */
export function serverOf({ device, superOptions }: MountPoint): ServerProcess | undefined {
  const owner = Number(/(?:^|,)user_id=(\d+)/.exec(superOptions)?.[1] ?? 0);
  return search(owner, (record) => record.device === device);
}

/** A process that still holds the tree of a mount that is gone, because it could not be saved yet. */
export function lateServerOf(mountpoint: string): ServerProcess | undefined {
  return search(
    process.getuid?.() ?? 0,
    (record) => record.insisting === true && record.state === "ended" && record.mountpoint === mountpoint,
  );
}

/** A process that has the connection of this mount open, whatever version of llmfs it is. The kernel tells since 6.17. */
export function openerOf({ device }: Pick<MountPoint, "device">): number | undefined {
  const connection = new RegExp(`^fuse_connection:\\s*${device.split(":")[1]}$`, "m");
  return processes().find((pid) =>
    listFolder(`/proc/${pid}/fd`).some(
      (fd) =>
        readLink(`/proc/${pid}/fd/${fd}`) === "/dev/fuse" && connection.test(readText(`/proc/${pid}/fdinfo/${fd}`)),
    ),
  );
}

/** Nobody but the mount's owner and root is believed. */
function search(owner: number, wanted: (record: MountRecord) => boolean): ServerProcess | undefined {
  for (const pid of processes()) {
    if (![0, owner].includes(ownerOf(pid) ?? -1)) continue;
    const born = incarnation(pid);
    for (const fd of listFolder(`/proc/${pid}/fd`)) {
      const file = `/proc/${pid}/fd/${fd}`;
      if (readLink(file) !== RECORD_LINK || born === undefined) continue;
      const reader = open(pid, file);
      const record = reader?.read();
      if (reader !== undefined && record !== undefined && wanted(record)) return new ServerProcess(pid, born, reader);
      reader?.[Symbol.dispose]();
    }
  }
  return undefined;
}

function open(pid: number, file: string): RecordReader | undefined {
  try {
    return new RecordReader(pid, file);
  } catch {
    return undefined;
  }
}
