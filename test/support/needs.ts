/**
 * Tests that need a tool or right that a machine may lack: they are skipped there, with a line that says so. If
 * LLMFS_TEST_ALL is set, as in CI, nothing is skipped: what is missing is a failure.
 */

import { test } from "bun:test";
import { accessSync, constants, existsSync, statSync } from "node:fs";

const ALL = process.env.LLMFS_TEST_ALL === "1";

type TestCase = (name: string, body: () => void | Promise<void>, timeout?: number) => void;

/** `test`, or a test that is skipped because `lacking` is missing. */
export function testWith(lacking: string | undefined): TestCase {
  if (lacking === undefined) return test;
  if (!ALL) console.warn(`LEFT OUT: tests that need ${lacking}`);
  return (name, body, timeout) => {
    if (!ALL) return test.skip(`${name} (needs ${lacking})`, body, timeout);
    test(name, () => {
      throw new Error(`this test needs ${lacking}`);
    });
  };
}

/** Which of these programs are not in PATH; undefined if all are. */
export function programs(...names: readonly string[]): string | undefined {
  const missing = names.filter((name) => Bun.which(name) === null);
  return missing.length === 0 ? undefined : missing.join(", ");
}

/** What is missing for opening /dev/fuse as this user; with `everybody`, as any user, which is how udev sets it up. */
export function fuse(everybody = false): string | undefined {
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    if (!everybody || (statSync("/dev/fuse").mode & 0o6) === 0o6) return undefined;
    return "/dev/fuse with mode 0666 (chmod 666 /dev/fuse)";
  } catch {
    return "/dev/fuse, open to this user";
  }
}

/** What is missing for unshare(1) to create a user namespace. */
export function userNamespace(): string | undefined {
  const unshare = programs("unshare");
  if (unshare !== undefined) return unshare;
  const { success } = Bun.spawnSync({ cmd: ["unshare", "--user", "--map-root-user", "--mount", "true"] });
  return success
    ? undefined
    : "user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)";
}

/** What is missing for a mount by this user. */
export function mounting(): string | undefined {
  const device = fuse();
  // fusermount3 opens the device with the rights of its caller.
  return process.getuid?.() === 0 ? device : (device ?? programs("fusermount3"));
}

/** What is missing for a C program against the kernel's headers. */
export function compiling(): string | undefined {
  if (programs("gcc") !== undefined) return programs("gcc");
  return existsSync("/usr/include/linux/fuse.h") ? undefined : "the kernel's headers (linux-libc-dev)";
}

/** What is missing for unshare(1) to create a mount namespace; in a chroot it cannot. */
export function mountNamespace(): string | undefined {
  const unshare = programs("unshare");
  if (unshare !== undefined) return unshare;
  return Bun.spawnSync(["unshare", "--mount", "true"]).success ? undefined : "a mount namespace (unshare --mount)";
}
