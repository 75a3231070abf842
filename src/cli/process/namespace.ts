/**
 * Mounts without privileges, by running this program again in a new user namespace and mount namespace.
 *
 * unshare(2) refuses to create a user namespace for a process with threads, and Bun has threads. Therefore unshare(1)
 * creates it and starts llmfs again inside. There the process has CAP_SYS_ADMIN over its own mount namespace, so mount(2)
 * works. The mount is not visible outside, and it always disappears with its last process.
 */

import { childEnvironment, insideNamespace, NAMESPACE_VARIABLE, outerProcess } from "../../app/settings/settings.ts";
import type { HelperRefusal } from "../../fuse/mounting/fusermount.ts";
import { SERVER_ENVIRONMENT } from "../../fuse/mounting/process.ts";
import { isAdministrator } from "../../fuse/mounting/unmount.ts";
import { dieWithParent } from "../../libc.ts";
import { selfCommandForOthers } from "../../self.ts";
import { createNotPermittedError } from "../preflight/mount-capability.ts";
import { forwardSignals } from "./run-child.ts";
import { Interrupted } from "./signals.ts";

/** For a process that has all rights in its user namespace, but no mount namespace of its own. */
const MOUNT_ALONE = ["--mount"];

/** Best first. The first keeps the user's uid. Older util-linux and busybox support only the second, with uid 0 inside. */
const WITH_USER: readonly (readonly string[])[] = [
  ["--user", "--map-current-user", "--mount", "--keep-caps"],
  ["--user", "--map-root-user", "--mount"],
];

/**
 * Runs the whole command line in a namespace and resolves with its exit status. If that is not possible, throws
 * UserError("fuse"), which also mentions `refusal`, the reason why fusermount3 does not mount.
 */
export async function runInNamespace(argv: readonly string[], refusal: HelperRefusal): Promise<number> {
  if (insideNamespace()) {
    throw createNotPermittedError(refusal, {
      problem: "the new user namespace does not permit mounting",
      cure: "on Ubuntu, run 'sysctl kernel.apparmor_restrict_unprivileged_userns=0' as root",
    });
  }
  const unshare = Bun.which("unshare");
  if (unshare === null) {
    throw createNotPermittedError(refusal, {
      problem: "unshare, which creates user namespaces, is not in PATH",
      cure: "install util-linux",
    });
  }
  const flags = findWorkingFlags(unshare, refusal);
  const child = Bun.spawn({
    cmd: [unshare, ...flags, "--", ...selfCommandForOthers(), ...argv],
    env: childEnvironment({ [NAMESPACE_VARIABLE]: String(process.pid), ...SERVER_ENVIRONMENT }),
    stdio: ["inherit", "inherit", "inherit"],
  });
  return await forwardSignals(child);
}

/** For the llmfs inside the namespace: ends it when the outer one ends, however that happens. Its guardian cleans up. */
export function endWithOuter(): void {
  const outer = outerProcess();
  if (outer === undefined) return;
  dieWithParent();
  if (process.ppid !== outer) throw new Interrupted("SIGKILL");
}

function findWorkingFlags(unshare: string, refusal: HelperRefusal): readonly string[] {
  let reason = "";
  // Keep rights that this process already has, for example over the network.
  for (const flags of isAdministrator() ? [MOUNT_ALONE, ...WITH_USER] : WITH_USER) {
    const trial = Bun.spawnSync({ cmd: [unshare, ...flags, "--", "true"], stdio: ["ignore", "ignore", "pipe"] });
    if (trial.success) return flags;
    reason = trial.stderr.toString().trim().split("\n")[0] ?? "";
  }
  throw createNotPermittedError(refusal, {
    problem: `no user namespace can be created (${reason || `${unshare} failed without a message`})`,
    cure:
      "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 and user.max_user_namespaces; " +
      "Docker: --security-opt seccomp=unconfined)",
  });
}
