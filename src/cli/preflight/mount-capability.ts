/** Finds out whether and how this process may mount, before anything costs time or money. */
import { accessSync, constants, rmdirSync, statSync } from "node:fs";
import { UserError } from "../../app/errors.ts";
import { createTemporaryDirectory } from "../../app/machine/temporary-directory.ts";
import { findChosenHelper } from "../../fuse/mounting/chosen-helper.ts";
import {
  DEVICE,
  DEVICE_FLAG,
  deviceModeCure,
  findRefusal,
  type HelperRefusal,
  tryHelper,
} from "../../fuse/mounting/fusermount.ts";
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
  if (!elsewhere) checkDevice();
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

/** The device's number in every Linux, 10:229 (Documentation/admin-guide/devices.txt). */
const DEVICE_NUMBER = (10 << 8) | 229;

/** "other": something else has the device's name, as can happen in a container. */
export function findDevice(): "there" | "missing" | "other" {
  const found = statSync(DEVICE, { throwIfNoEntry: false });
  if (found === undefined) return "missing";
  return found.isCharacterDevice() && found.rdev === DEVICE_NUMBER ? "there" : "other";
}

/** Throws UserError("fuse") if this process cannot open the device. fusermount3 opens it with its caller's rights, too. */
function checkDevice(): void {
  const found = findDevice();
  if (found === "missing") {
    throw new UserError("fuse", `${DEVICE} not found; load the module with "modprobe fuse", or ${DEVICE_FLAG}`);
  }
  if (found === "other") {
    throw new UserError("fuse", `${DEVICE} is not the FUSE device, which has the number 10:229; ${DEVICE_FLAG}`);
  }
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
  } catch (error) {
    const who = process.getuid?.() ?? "?";
    throw new UserError("fuse", `user ${who} is not permitted to open ${DEVICE}; ${deviceModeCure()}`, {
      cause: error,
    });
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
