/**
 * Mounting and unmounting. Runs in the main thread, never in the thread that serves the mount.
 *
 * The first possible way is used: mount(2) with CAP_SYS_ADMIN (root, and root of a user namespace), otherwise
 * fusermount3, or fusermount. A guardian (guardian.ts) removes the mount however this process ends, even by SIGKILL.
 */
import { ERRNO } from "../../errno.ts";
import * as libc from "../../libc.ts";
import { FS_TYPE, findMountAt, type MountPoint, readMounts } from "../../mountinfo.ts";
import { describeFault, LOAD_MODULE, openDevice } from "./fuse-device.ts";
import { askHelper } from "./fusermount.ts";
import type { Guardian } from "./guardian.ts";
import { checkMountpoint } from "./mountpoint.ts";
import { MountError, mayMount, unmountPath } from "./unmount.ts";

export interface MountRequest {
  /** An absolute path. */
  readonly mountpoint: string;
  /** The source in mount tables. A number is added if another mount already has it. */
  readonly source: string;
  readonly readOnly: boolean;
  /** Other users may enter; the kernel still checks permissions. */
  readonly allowOther: boolean;
  /** No program in the mount can be executed. */
  readonly noExec: boolean;
  /** The mountpoint was created for this mount, and is removed with it, even if this process is killed. */
  readonly temporary: boolean;
}

export interface KernelMount {
  /** The descriptor of /dev/fuse: read requests here. The kernel ends the mount when the last copy is closed. */
  readonly fd: number;
  /** "major:minor". */
  readonly device: string;
  /**
   * Removes the mount: at once if nothing uses it, otherwise lazily, so that it ends with its last user. Does nothing
   * if the mount is gone.
   */
  unmount(): Promise<void>;
  /**
   * Reports that a process group has begun to work for the mount, or has ended. It is ended however this process ends.
   */
  guard(group: number, living: boolean): void;
  /** Like `guard`, for one process that shares its group with others. */
  guardProcess(pid: number, living: boolean): void;
  /** Starts the guardian, unless it is running. Call this before whoever `watched` the mount leaves. */
  startGuardian(): void;
  /** Call this when the mount is known to be gone. Ends the guardian once nothing works for it. */
  release(): void;
}

/** The guardian is dismissed if the mount fails. */
export async function mountFuse(wanted: MountRequest, guardian: Guardian): Promise<KernelMount> {
  const request = { ...wanted, source: chooseSource(wanted.source) };
  const { mountpoint } = request;
  try {
    if (checkMountpoint(mountpoint) === "dead") await unmountPath(mountpoint);
    const fd = mayMount() ? mountDirectly(request) : await mountByHelper(request);
    const mounted = findMountAt(mountpoint);
    if (mounted === undefined)
      throw new MountError("failed", `${mountpoint}: the mount vanished as soon as it was made`);
    guardian.watch(mounted.device);
    return createKernelMount(fd, mountpoint, mounted, guardian);
  } catch (error) {
    guardian.dismiss();
    throw error;
  }
}

/** Makes the source unique, so that two mounts of one snapshot can be distinguished. */
function chooseSource(source: string): string {
  const taken = new Set(readMounts().map((mount) => mount.source));
  let name = source;
  for (let number = 2; taken.has(name); number++) name = `${source}-${number}`;
  return name;
}

function createKernelMount(fd: number, mountpoint: string, mounted: MountPoint, guardian: Guardian): KernelMount {
  let open = true;
  return {
    fd,
    device: mounted.device,
    async unmount() {
      const there = findMountAt(mountpoint);
      if (there?.device === mounted.device) await unmountPath(mountpoint);
    },
    startGuardian: () => guardian.start(),
    guard: (group, living) => guardian.group(group, living),
    guardProcess: (pid, living) => guardian.process(pid, living),
    release() {
      if (!open) return;
      open = false;
      libc.close(fd);
      guardian.dismiss();
    },
  };
}

function mountDirectly(request: MountRequest): number {
  const { mountpoint } = request;
  const fd = openDevice();
  if (typeof fd !== "number") throw new MountError(fd.reason, describeFault(fd), { cause: fd.cause });
  const options = [
    `fd=${fd}`,
    "rootmode=40000",
    `user_id=${libc.getuid()}`,
    `group_id=${libc.getgid()}`,
    "default_permissions",
    ...(request.allowOther ? ["allow_other"] : []),
  ];
  const flags =
    libc.MS_NOSUID | libc.MS_NODEV | (request.readOnly ? libc.MS_RDONLY : 0) | (request.noExec ? libc.MS_NOEXEC : 0);
  try {
    libc.mount(request.source, mountpoint, FS_TYPE, flags, options.join(","));
    return fd;
  } catch (error) {
    libc.close(fd);
    if (!(error instanceof libc.SystemError)) throw error;
    if (error.number === ERRNO.EPERM || error.number === ERRNO.EACCES) {
      throw new MountError(
        "not-permitted",
        `${mountpoint}: mount(2) is not permitted here although CAP_SYS_ADMIN is set; in a container, ` +
          "its seccomp or AppArmor profile forbids it: 'docker run --device /dev/fuse --cap-add SYS_ADMIN " +
          "--security-opt apparmor=unconfined …'",
        { cause: error },
      );
    }
    if (error.number === ERRNO.ENODEV) {
      throw new MountError("no-device", `this kernel has no FUSE; ${LOAD_MODULE}`, { cause: error });
    }
    throw new MountError("failed", error.message, { cause: error });
  }
}

/** Mounts on an empty directory with mount(2), and unmounts it again. Throws MountError if that is not possible. */
export async function tryDirectly(directory: string): Promise<void> {
  const request = { mountpoint: directory, source: "llmfs", readOnly: true, allowOther: false, noExec: true };
  libc.close(mountDirectly({ ...request, temporary: false }));
  await unmountPath(directory);
}

async function mountByHelper(request: MountRequest): Promise<number> {
  const mounted = await askHelper(request);
  if (typeof mounted === "number") return mounted;
  const { reason, problem, cure } = mounted;
  const without = "use 'llmfs run' for one command, which needs no fusermount3 where user namespaces are allowed";
  const cures = [cure, reason === "no-helper" || reason === "not-permitted" ? without : undefined];
  const listed = cures.filter((one) => one !== undefined).join("; or ");
  throw new MountError(reason, `${request.mountpoint}: ${problem}${listed === "" ? "" : `; ${listed}`}`);
}
