/**
 * The filesystems that are compared. Each is mounted again for every round, over a tmpfs of its own if it needs one, and
 * its server runs in the foreground, so that its processor time can be read.
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { type Peer, run } from "./peers.ts";

export interface Mounted extends AsyncDisposable {
  readonly path: string;
  /** The microseconds of processor time that its server has taken; undefined if it has none. */
  cpu(): number | undefined;
  /** Ends a server that does not answer, so that whoever waits for it gets an error. */
  kill(): void;
}

export interface Contestant {
  readonly name: string;
  /** The start of a command that runs as the user who mounted it. */
  readonly as?: readonly string[];
  /** `within`: the start of a command that limits the server, such as taskset. */
  mount(within?: readonly string[]): Promise<Mounted>;
}

const LLMFS = join(import.meta.dir, "../dist/llmfs");

/** tmpfs first, then the others, then llmfs: as root, as root without keeping processors awake, and as a user. */
export function contestants(peers: readonly Peer[], scratch: string): readonly Contestant[] {
  return [
    tmpfs(scratch),
    ...peers.map((one) => peer(one, scratch)),
    llmfs(scratch),
    llmfs(scratch, "--low-power"),
    llmfsOfUser(scratch),
  ];
}

function tmpfs(scratch: string): Contestant {
  return {
    name: "tmpfs",
    async mount() {
      const path = directory(scratch, "tmpfs");
      run(["mount", "-t", "tmpfs", "-o", "size=4g", "bench", path]);
      return {
        path,
        cpu: () => undefined,
        kill() {},
        [Symbol.asyncDispose]: async () => void run(["umount", "-l", path]),
      };
    },
  };
}

function peer({ name, command }: Peer, scratch: string): Contestant {
  return {
    name,
    async mount(within = []) {
      const below = await tmpfs(scratch).mount();
      for (const part of ["lower", "upper", "work"]) mkdirSync(join(below.path, part));
      const path = directory(scratch, name);
      const device = statSync(path).dev;
      const server = Bun.spawn([...within, ...command(below.path, path)], { stdout: "ignore", stderr: "pipe" });
      while (statSync(path).dev === device) {
        if (server.exitCode !== null)
          throw new Error(`${name} ended with ${server.exitCode}: ${await new Response(server.stderr).text()}`);
        await Bun.sleep(20);
      }
      return {
        path,
        cpu: () => cpuOf(server.pid),
        kill: () => server.kill("SIGKILL"),
        [Symbol.asyncDispose]: async () => {
          run(["umount", "-l", path]);
          // Not every server ends with its mount.
          const late = setTimeout(() => server.kill("SIGKILL"), 2000);
          await server.exited;
          clearTimeout(late);
          await below[Symbol.asyncDispose]();
        },
      };
    },
  };
}

function llmfs(scratch: string, ...options: readonly string[]): Contestant {
  return otherBuild(["llmfs", ...options].join(" "), LLMFS, scratch, ...options);
}

/** `program`: the llmfs of another checkout, for example. */
export function otherBuild(name: string, program: string, scratch: string, ...options: readonly string[]): Contestant {
  return {
    name,
    mount: async (within = []) =>
      mountLlmfs([program], directory(scratch, "llmfs"), ["--allow-other", ...options], within),
  };
}

/** `llmfs`: the command, after what it is run with. */
function mountLlmfs(
  llmfs: readonly string[],
  path: string,
  options: readonly string[],
  within: readonly string[],
): Mounted {
  run([...within, ...llmfs, "mount", path, "--size", "4G", ...options]);
  const { pid }: { readonly pid: number } = JSON.parse(run([...llmfs, "status", "--json", path]));
  return {
    path,
    cpu: () => cpuOf(pid),
    kill: () => process.kill(pid, "SIGKILL"),
    [Symbol.asyncDispose]: async () => void run([...llmfs, "unmount", path]),
  };
}

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
    name: "llmfs without root",
    as,
    async mount(within = []) {
      const path = join(home, "mnt");
      run([...as, "mkdir", "-p", path]);
      return mountLlmfs([...as, program], path, [], within);
    },
  };
}

/** Of all threads. Those that have ended are missing, but servers keep their threads while requests come. */
function cpuOf(pid: number): number | undefined {
  if (!existsSync(`/proc/${pid}`)) return undefined;
  let nanoseconds = 0;
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "utf8").split(" ")[0]);
  }
  return nanoseconds / 1000;
}

function directory(scratch: string, name: string): string {
  const path = join(scratch, name);
  mkdirSync(path, { recursive: true });
  return path;
}
