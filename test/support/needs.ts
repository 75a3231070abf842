/**
 * Tests that need a tool or a right which a machine may lack: they are skipped there, and a line says so. Where
 * LLMFS_TEST_ALL is set, as in CI, nothing is left out: what is lacking is a failure.
 */

import { test } from "bun:test";
import { accessSync, constants, existsSync, statSync } from "node:fs";

const ALL = process.env.LLMFS_TEST_ALL === "1";

type TestCase = (name: string, body: () => void | Promise<void>, timeout?: number) => void;

/** `test`, or a test that is left out because `lacking` says what is not there. */
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

/** What of these programs is not in PATH; undefined when all are. */
export function programs(...names: readonly string[]): string | undefined {
  const missing = names.filter((name) => Bun.which(name) === null);
  return missing.length === 0 ? undefined : missing.join(", ");
}

/** /dev/fuse, open to this user; with `everybody`, open to all, as udev makes it. */
export function fuse(everybody = false): string | undefined {
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    if (!everybody || (statSync("/dev/fuse").mode & 0o6) === 0o6) return undefined;
    return "/dev/fuse with mode 0666 (chmod 666 /dev/fuse)";
  } catch {
    return "/dev/fuse, open to this user";
  }
}

/** Whether unshare(1) can make a user namespace here. */
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

/** Whether unshare(1) can make a mount namespace here; in a chroot it can't. */
export function mountNamespace(): string | undefined {
  const unshare = programs("unshare");
  if (unshare !== undefined) return unshare;
  return Bun.spawnSync(["unshare", "--mount", "true"]).success ? undefined : "a mount namespace (unshare --mount)";
}
