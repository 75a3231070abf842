/**
 * The guardian: a small process that outlives the one that serves a mount by just long enough to take the mount away.
 *
 * The kernel ends a FUSE connection with its server, but leaves the dead mount in the tree, where every call fails with
 * ENOTCONN. A process that is killed cannot unmount, so another one does: it sleeps on a pipe whose other end only the
 * server holds, and wakes when that is closed, however it came about.
 */
import * as libc from "../libc.ts";
import { FS_TYPE, mountAt } from "./mountinfo.ts";
import { isDead, unmountPath } from "./unmount.ts";

/** First argument of the guardian; the second is the mountpoint. */
export const GUARDIAN = "--guardian";

const DISMISSED = "dismissed\n";

export interface Guardian {
  /** Tells which mount it is: "major:minor". */
  watch(device: string): void;
  /** There is nothing to guard any more. */
  dismiss(): void;
}

/** Starts a guardian. Call it before the mount is made, so that there is no moment without one. */
export function startGuardian(mountpoint: string): Guardian {
  const compiled = Bun.main.startsWith("/$bunfs/");
  const self = compiled ? [process.execPath] : [process.execPath, new URL("../main.ts", import.meta.url).pathname];
  const child = Bun.spawn([...self, GUARDIAN, mountpoint], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    cwd: "/",
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  child.unref();
  function say(text: string): void {
    child.stdin.write(text);
    child.stdin.flush();
  }
  return {
    watch: (device) => say(`${device}\n`),
    dismiss() {
      say(DISMISSED);
      child.stdin.end();
    },
  };
}

/** The guardian's whole life. */
export async function guard(mountpoint: string): Promise<void> {
  // Out of the terminal's reach, and of whoever ends the server's process group.
  libc.setsid();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  const said = await Bun.stdin.text();
  if (said.endsWith(DISMISSED)) return;
  const device = said.trim();
  const there = mountAt(mountpoint);
  // Killed before it could say which: whatever of ours is there is the one, as the mountpoint was free before.
  if (there?.type !== FS_TYPE || (device !== "" && there.device !== device)) return;
  // Device numbers are used again at once: what lives there is another mount, which came after ours was cleared away.
  if (!(await isDead(mountpoint))) return;
  await unmountPath(mountpoint);
}
