/** What the filesystem thread is started with. */
import * as libc from "../libc.ts";
import type { NamedFiles, Plant } from "../rpc/generation.ts";
import type { StartingTree, WorkerOptions } from "../rpc/messages.ts";
import type { ProgramSettings } from "../rpc/programs.ts";

/** The options of a filesystem that its thread needs. */
export interface ThreadOptions {
  /** An absolute path. */
  readonly mountpoint: string;
  readonly allowOther?: boolean;
  /** The maximum number of bytes for contents. Absent: no limit. */
  readonly size?: number;
  readonly inodes?: number;
  /** Absent: an empty tree. */
  readonly from?: StartingTree;
  /** Files and directories that exist from the start, in addition to those of the snapshot. */
  readonly plants?: readonly Plant[];
  /** Files that exist if their generator says so when their name is looked up. */
  readonly named?: readonly NamedFiles[];
  /**
   * The time, in seconds since 1970, of everything that the snapshot and generators create. Absent: the current time.
   */
  readonly epoch?: number;
  /** Log every request of the kernel. */
  readonly debug?: boolean;
  /** Lets the kernel read and write large files by itself, if it supports that. Default: true. */
  readonly passthrough?: boolean;
  /** Sleep at once when there is no request, instead of polling for a while. Default: false. */
  readonly lowPower?: boolean;
  /** Default: none of them is treated in a special way. */
  readonly programs?: ProgramSettings;
  /** The size in bytes that a pending file reports. For experiments. */
  readonly claimedSize?: number;
}

export function workerOptions(options: ThreadOptions): WorkerOptions {
  return {
    mountpoint: options.mountpoint,
    debug: options.debug ?? false,
    passthrough: options.passthrough ?? true,
    lowPower: options.lowPower ?? false,
    owner: { uid: libc.getuid(), gid: libc.getgid() },
    shared: options.allowOther ?? false,
    ...(options.size === undefined ? {} : { size: options.size }),
    ...(options.inodes === undefined ? {} : { inodes: options.inodes }),
    ...(options.from === undefined ? {} : { from: options.from }),
    ...(options.claimedSize === undefined ? {} : { claimedSize: options.claimedSize }),
    ...(options.programs === undefined ? {} : { programs: options.programs }),
    ...(options.epoch === undefined ? {} : { epoch: options.epoch }),
    ...(options.plants === undefined ? {} : { plants: options.plants }),
    ...(options.named === undefined ? {} : { named: options.named }),
  };
}
