/** What stands in for a mount where nothing is mounted. */
import type { KernelMount } from "../fuse/mounting/mount.ts";

export type MountHandle = Omit<KernelMount, "fd"> & { readonly fd: number | "none" };

/** There is no guardian either: if this process is killed, the programs of generators keep running. */
export const NO_MOUNT: MountHandle = {
  fd: "none",
  device: "",
  guard() {},
  guardProcess() {},
  release() {},
  async unmount() {},
};
