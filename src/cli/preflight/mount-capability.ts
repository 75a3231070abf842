/** Finds out whether and how this process may mount, before anything costs time or money. */
import { rmdirSync } from "node:fs";
import { UserError } from "../../app/errors.ts";
import { createTemporaryDirectory } from "../../app/machine/temporary-directory.ts";
import { findChosenHelper } from "../../fuse/mounting/chosen-helper.ts";
import { DEVICE_FLAG, describeFault, findDeviceFault } from "../../fuse/mounting/fuse-device.ts";
import { findRefusal, type HelperRefusal, tryHelper } from "../../fuse/mounting/fusermount.ts";
import { tryDirectly } from "../../fuse/mounting/mount.ts";
import { mayMount } from "../../fuse/mounting/unmount.ts";

/**
 * - "direct": mount(2), with CAP_SYS_ADMIN
 * - "helper": fusermount3, which is setuid root
 * - "none": neither; only a new user namespace may help
 */
export type MountMethod =
  | { readonly how: "direct" | "helper" }
  | { readonly how: "none"; readonly refusal: HelperRefusal };

/**
 * With `certain`, fusermount3 makes a trial mount, because it may refuse for reasons that only it knows. Throws
 * UserError("fuse") if this system has no FUSE.
 */
export async function findWayToMount({ certain }: { readonly certain: boolean }): Promise<MountMethod> {
  if (process.platform !== "linux") {
    throw new UserError(
      "fuse",
      `llmfs can mount only on Linux, and this is ${process.platform}; "llmfs generate" works here`,
    );
  }
  // A program that takes the place of fusermount3 opens the device where it runs.
  const elsewhere = findChosenHelper() !== undefined;
  const fault = elsewhere ? undefined : findDeviceFault();
  if (fault !== undefined) throw new UserError("fuse", describeFault(fault), { cause: fault.cause });
  if (mayMount()) return { how: "direct" };
  const refusal = findRefusal() ?? (certain ? await tryForRefusal() : undefined);
  return refusal === undefined ? { how: "helper" } : { how: "none", refusal };
}

/** Why fusermount3 refuses to mount. Undefined if it mounts, or if there is no directory to try it in. */
async function tryForRefusal(): Promise<HelperRefusal | undefined> {
  let directory: string;
  try {
    directory = createTemporaryDirectory();
  } catch {
    return undefined;
  }
  try {
    return await tryHelper(directory);
  } finally {
    rmdirSync(directory);
  }
}

/** Mounts on a new directory with mount(2), and unmounts it. Throws MountError if that fails. */
export async function tryDirectMount(): Promise<void> {
  const directory = createTemporaryDirectory();
  try {
    await tryDirectly(directory);
  } finally {
    rmdirSync(directory);
  }
}

/** The error if mounting is not permitted. `tried` is another way that failed, and its remedy. */
export function createNotPermittedError(
  { problem, cure }: HelperRefusal,
  tried?: Omit<HelperRefusal, "reason">,
): UserError {
  const problems = ["no CAP_SYS_ADMIN", problem, ...(tried === undefined ? [] : [tried.problem])];
  const cures = [
    ...(cure === undefined ? [] : [cure]),
    ...(tried === undefined ? ["use 'llmfs run' to give the tree to one command"] : []),
    ...(tried?.cure === undefined ? [] : [tried.cure]),
    ...(process.getuid?.() === 0 ? [] : ["run as root"]),
    `${DEVICE_FLAG} --cap-add SYS_ADMIN --security-opt apparmor=unconfined`,
  ];
  const listed = `${cures.slice(0, -1).join("; ")}; or ${cures.at(-1)}`;
  return new UserError("fuse", `mounting is not permitted: ${list(problems)}. Any one of these helps: ${listed}`);
}

function list(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")}, and ${parts.at(-1)}`;
}
