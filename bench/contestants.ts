/** The filesystems that are compared: each mounted afresh for every round, on a tmpfs of its own where it needs one. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";

export interface Mounted extends AsyncDisposable {
  readonly path: string;
}

export interface Contestant {
  readonly name: string;
  mount(): Promise<Mounted>;
}

const LLMFS = join(import.meta.dir, "../dist/llmfs");

/** Those that are installed; what is missing is said on stderr. tmpfs first, llmfs last. */
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
  return [tmpfs(scratch), ...peers, llmfs(scratch)];
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

function directory(scratch: string, name: string): string {
  const path = join(scratch, name);
  mkdirSync(path, { recursive: true });
  return path;
}

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit ${exitCode}: ${stderr.toString()}`);
}
