/**
 * The filesystems that are compared. Each is mounted again for every round, over a tmpfs of its own if it needs one.
 */
import { chmodSync, chownSync, copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

export interface Mounted extends AsyncDisposable {
  readonly path: string;
}

export interface Contestant {
  readonly name: string;
  /** The start of a command that runs as the user who mounted it. */
  readonly as?: readonly string[];
  mount(): Promise<Mounted>;
}

const LLMFS = join(import.meta.dir, "../dist/llmfs");

/**
 * The installed filesystems; missing ones are reported on stderr. tmpfs first, then the others, then llmfs, as root and
 * as a user.
 */
export async function contestants(scratch: string): Promise<Contestant[]> {
  const all: [string, string, (tmpfs: string, at: string) => string[]][] = [
    ["bindfs", "bindfs", (tmpfs, at) => ["bindfs", join(tmpfs, "lower"), at]],
    [
      "fuse-overlayfs",
      "fuse-overlayfs",
      (tmpfs, at) => [
        "fuse-overlayfs",
        "-o",
        `lowerdir=${join(tmpfs, "lower")},upperdir=${join(tmpfs, "upper")},workdir=${join(tmpfs, "work")}`,
        at,
      ],
    ],
  ];
  const peers = all.flatMap(([name, program, command]) => {
    if (Bun.which(program) !== null) return [peer(name, scratch, command)];
    console.error(`${program} is not installed, so it is left out; try: apt-get install ${program}`);
    return [];
  });
  return [tmpfs(scratch), ...peers, llmfs(scratch), llmfsOfUser(scratch)];
}

function tmpfs(scratch: string): Contestant {
  return {
    name: "tmpfs",
    async mount() {
      const path = directory(scratch, "tmpfs");
      run(["mount", "-t", "tmpfs", "-o", "size=4g", "bench", path]);
      return { path, [Symbol.asyncDispose]: async () => run(["umount", path]) };
    },
  };
}

function peer(name: string, scratch: string, command: (tmpfs: string, at: string) => string[]): Contestant {
  return {
    name,
    async mount() {
      const below = await tmpfs(scratch).mount();
      for (const part of ["lower", "upper", "work"]) mkdirSync(join(below.path, part));
      const path = directory(scratch, name);
      run(command(below.path, path));
      return {
        path,
        [Symbol.asyncDispose]: async () => {
          run(["umount", path]);
          await below[Symbol.asyncDispose]();
        },
      };
    },
  };
}

function llmfs(scratch: string): Contestant {
  return {
    name: "llmfs",
    async mount() {
      const path = directory(scratch, "llmfs");
      run([LLMFS, "mount", path, "--allow-other", "--size", "4G"]);
      return { path, [Symbol.asyncDispose]: async () => run([LLMFS, "unmount", path]) };
    },
  };
}

const WITHOUT_ROOT = "llmfs without root";

/** As an ordinary user mounts it, with fusermount3: the kernel then never reads or writes a file by itself. */
function llmfsOfUser(scratch: string): Contestant {
  const [uid, gid] = [65534, 65534];
  const home = directory(scratch, "home");
  chownSync(home, uid, gid);
  chmodSync(scratch, 0o755);
  const program = join(home, "llmfs");
  copyFileSync(LLMFS, program);
  const as = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "env", `HOME=${home}`];
  return {
    name: WITHOUT_ROOT,
    as,
    async mount() {
      const path = join(home, "mnt");
      run([...as, "mkdir", "-p", path]);
      run([...as, program, "mount", path, "--size", "4G"]);
      return { path, [Symbol.asyncDispose]: async () => run([...as, program, "unmount", path]) };
    },
  };
}

function directory(scratch: string, name: string): string {
  const path = join(scratch, name);
  mkdirSync(path, { recursive: true });
  return path;
}

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit ${exitCode}: ${stderr.toString()}`);
}
