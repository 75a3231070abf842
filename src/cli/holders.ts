/** Which processes keep a mount busy, from /proc: as fuser(1) finds them. Other users' processes stay unseen. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** As "vim (4711)", lowest process id first. Never touches the mount: links in /proc are read, not followed. */
export function holders(mountpoint: string): readonly string[] {
  const inside = (path: string) => path === mountpoint || path.startsWith(`${mountpoint}/`);
  const found: string[] = [];
  for (const pid of list("/proc").filter((name) => /^\d+$/.test(name))) {
    const places = ["cwd", "root", "exe", ...list(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`)];
    const holds =
      places.some((place) => inside(link(`/proc/${pid}/${place}`))) || mapped(pid).some((path) => inside(path));
    if (holds) found.push(`${read(`/proc/${pid}/comm`).trim()} (${pid})`);
  }
  return found;
}

/** The files a process has mapped into its memory. */
function mapped(pid: string): readonly string[] {
  return read(`/proc/${pid}/maps`)
    .split("\n")
    .flatMap((line) => /^\S+ \S+ \S+ \S+ \S+\s+(\/.*)$/.exec(line)?.[1] ?? []);
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
