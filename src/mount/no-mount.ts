/** What stands in for a mount where nothing is mounted. */
import type { KernelMount } from "../fuse/mounting/mount.ts";

export type MountHandle = Omit<KernelMount, "fd"> & { readonly fd: number | "none" };

/** There is no guardian either: programs of generators end with this process only if it ends in order. */
export const NO_MOUNT: MountHandle = {
  fd: "none",
  device: "",
  guard() {},
  guardProcess() {},
  release() {},
  async unmount() {},
};
