/** The kernel's side of a filesystem, or what stands in for it where nothing is mounted. */
import { type CrashNotes, createGuardian } from "../fuse/mounting/guardian.ts";
import { type KernelMount, mountFuse } from "../fuse/mounting/mount.ts";
import { mayMount } from "../fuse/mounting/unmount.ts";

export type MountHandle = Omit<KernelMount, "fd"> & { readonly fd: number | "none" };

/** There is no guardian either: if this process is killed, the programs of generators keep running. */
export const NO_MOUNT: MountHandle = {
  fd: "none",
  device: "",
  guard() {},
  guardProcess() {},
  startGuardian() {},
  release() {},
  async unmount() {},
};

/** A mount that can be made at any time. */
export interface PreparedMount {
  /** Rejects with MountError, with nothing mounted. */
  mount(): Promise<MountHandle>;
  /** Ends the guardian, if it was started. */
  cancel(): void;
}

export const NOTHING_TO_MOUNT: PreparedMount = { mount: async () => NO_MOUNT, cancel() {} };

export interface MountOptions {
  /** An absolute path. */
  readonly mountpoint: string;
  /** Other users may enter; the kernel still checks permissions. */
  readonly allowOther?: boolean;
  /** The source in mount tables. Default: "llmfs". */
  readonly source?: string;
  readonly readOnly?: boolean;
  readonly noExec?: boolean;
  /** The mountpoint was created for this mount, and is removed with it, even if this process is killed. */
  readonly temporary?: boolean;
  /**
   * Another process removes the mount if this one ends before the mount answers. The guardian then starts after that, unless
   * fusermount3 mounts: that is a process of its own, which can complete the mount after this process has ended.
   */
  readonly watched?: boolean;
  /** What is reported if this process ends without unmounting. Absent: nothing. */
  readonly crashNotes?: CrashNotes | undefined;
}

export function prepareMount(options: MountOptions): PreparedMount {
  const { mountpoint, source = "llmfs", temporary = false, crashNotes } = options;
  const { readOnly = false, allowOther = false, noExec = false } = options;
  const guardian = createGuardian(mountpoint, temporary, crashNotes);
  if (options.watched !== true || !mayMount()) guardian.start();
  return {
    mount: () => mountFuse({ mountpoint, source, readOnly, allowOther, noExec, temporary }, guardian),
    cancel: () => guardian.dismiss(),
  };
}
