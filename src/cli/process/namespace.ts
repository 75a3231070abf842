/**
 * Mounting without any privilege: this program once more, in a user and a mount namespace of its own.
 *
 * unshare(2) refuses to make a user namespace for a process with threads, and Bun has threads; so unshare(1) does it,
 * and starts llmfs anew inside. There the process has CAP_SYS_ADMIN over its own mount namespace, and mount(2) works.
 * Nobody outside sees the mount, and it is gone with its last process, whatever happens.
 */

import { childEnvironment, insideNamespace, NAMESPACE_VARIABLE, outerProcess } from "../../app/settings/settings.ts";
import type { HelperRefusal } from "../../fuse/mounting/fusermount.ts";
import { isAdministrator } from "../../fuse/mounting/unmount.ts";
import { dieWithParent } from "../../libc.ts";
import { selfCommandForOthers } from "../../self.ts";
import { createNotPermittedError } from "../preflight/mount-capability.ts";
import { forwardSignals } from "./run-child.ts";
import { Interrupted } from "./signals.ts";

/** For who has every right in a user namespace, but for that of a mount namespace of its own. */
const MOUNT_ALONE = ["--mount"];

/** Best first. With the first the user keeps the own uid; older util-linux and busybox know the second only: uid 0 inside. */
const WITH_USER: readonly (readonly string[])[] = [
  ["--user", "--map-current-user", "--mount", "--keep-caps"],
  ["--user", "--map-root-user", "--mount"],
];

/**
 * Runs the whole command line in a namespace; resolves with its exit status. Throws UserError("fuse") if that can't be,
 * and names `refusal` in it, which says why fusermount3 does not mount.
 */
export async function runInNamespace(argv: readonly string[], refusal: HelperRefusal): Promise<number> {
  if (insideNamespace()) {
    throw createNotPermittedError(refusal, {
      problem: "the user namespace that was made gives no right to mount",
      cure: "on Ubuntu, run 'sysctl kernel.apparmor_restrict_unprivileged_userns=0' as root",
    });
  }
  const unshare = Bun.which("unshare");
  if (unshare === null) {
    throw createNotPermittedError(refusal, {
      problem: "unshare, which makes user namespaces, is not in PATH",
      cure: "install util-linux",
    });
  }
  const flags = findWorkingFlags(unshare, refusal);
  const child = Bun.spawn({
    cmd: [unshare, ...flags, "--", ...selfCommandForOthers(), ...argv],
    env: childEnvironment({ [NAMESPACE_VARIABLE]: String(process.pid) }),
    stdio: ["inherit", "inherit", "inherit"],
  });
  return await forwardSignals(child);
}

/** In the llmfs inside: it ends with the one outside, however that ends, and has its guardian clear up. */
export function endWithOuter(): void {
  const outer = outerProcess();
  if (outer === undefined) return;
  dieWithParent();
  if (process.ppid !== outer) throw new Interrupted("SIGKILL");
}

function findWorkingFlags(unshare: string, refusal: HelperRefusal): readonly string[] {
  let reason = "";
  // Rights that were given, over the network for example, are kept.
  for (const flags of isAdministrator() ? [MOUNT_ALONE, ...WITH_USER] : WITH_USER) {
    const trial = Bun.spawnSync({ cmd: [unshare, ...flags, "--", "true"], stdio: ["ignore", "ignore", "pipe"] });
    if (trial.success) return flags;
    reason = trial.stderr.toString().trim().split("\n")[0] ?? "";
  }
  throw createNotPermittedError(refusal, {
    problem: `no user namespace can be made (${reason || `${unshare} failed and said nothing`})`,
    cure:
      "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 and user.max_user_namespaces; " +
      "Docker: --security-opt seccomp=unconfined)",
  });
}
