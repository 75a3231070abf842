/** Whether this process may mount, and how, told before anything costs time or money. */
import { accessSync, constants, existsSync, rmdirSync } from "node:fs";
import { UserError } from "../../app/errors.ts";
import { createTemporaryDirectory } from "../../app/machine/temporary-directory.ts";
import {
  DEVICE,
  DEVICE_FLAG,
  deviceModeCure,
  findRefusal,
  type HelperRefusal,
  tryHelper,
} from "../../fuse/mounting/fusermount.ts";
import { mayMount } from "../../fuse/mounting/unmount.ts";

/**
 * - "direct": mount(2), with CAP_SYS_ADMIN
 * - "helper": fusermount3, which is setuid root
 * - "none": neither; only a user namespace of its own is left
 */
export type Way = { readonly how: "direct" | "helper" } | { readonly how: "none"; readonly refusal: HelperRefusal };

/**
 * With `certain`, fusermount3 mounts something for a moment, because it may refuse for reasons of its own. Throws
 * UserError("fuse") when there is no FUSE here at all.
 */
export async function findWayToMount({ certain }: { readonly certain: boolean }): Promise<Way> {
  if (process.platform !== "linux") {
    throw new UserError(
      "fuse",
      `llmfs mounts on Linux only, and this is ${process.platform}; "llmfs generate" works here`,
    );
  }
  if (!existsSync(DEVICE)) {
    throw new UserError("fuse", `${DEVICE} not found; load the module with "modprobe fuse", or ${DEVICE_FLAG}`);
  }
  checkDevice();
  if (mayMount()) return { how: "direct" };
  const refusal = findRefusal() ?? (certain ? await tryForRefusal() : undefined);
  return refusal === undefined ? { how: "helper" } : { how: "none", refusal };
}

/** Why fusermount3 does not mount; undefined if it does, or if there is no place to try it. */
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

/** Throws UserError("fuse") when the device cannot be opened by this process: fusermount3 opens it as its caller, too. */
function checkDevice(): void {
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
  } catch (error) {
    const who = process.getuid?.() ?? "?";
    throw new UserError("fuse", `${DEVICE} may not be opened by user ${who}; ${deviceModeCure()}`, { cause: error });
  }
}

/** What to do where nothing permits mounting. `tried`: what failed besides, and what would help there. */
export function createNotPermittedError(
  { problem, cure }: HelperRefusal,
  tried?: Omit<HelperRefusal, "reason">,
): UserError {
  const problems = ["no CAP_SYS_ADMIN", problem, ...(tried === undefined ? [] : [tried.problem])];
  const cures = [
    ...(cure === undefined ? [] : [cure]),
    ...(tried === undefined ? ["give the tree to one command, with 'llmfs run'"] : []),
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
