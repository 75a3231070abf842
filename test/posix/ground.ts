/**
 * Where POSIX programs run: a tmpfs, which is right by definition, and a mount of ours.
 *
 * A program consists of lines for driver.c, which runs in a process of its own, because a process that serves a mount
 * must not use it.
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFilesystem } from "../../src/mount/filesystem.ts";

const BINARY = join(import.meta.dir, "../../dist/llmfs");

export interface Ground extends AsyncDisposable {
  readonly name: string;
  readonly directory: string;
  /** The result of each line. */
  run(lines: readonly string[]): Promise<string[]>;
  /** The output of a shell script, including standard error. Throws if it fails. */
  sh(script: string): Promise<string>;
}

/** The reason why programs cannot run here, if they cannot. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root: it acts as several users, and mounts a tmpfs";
  if (!existsSync("/dev/fuse")) return "needs /dev/fuse";
  if (Bun.which("cc") === null) return "needs a C compiler";
  return undefined;
}

/** A C program in this folder, compiled once for each of its versions. */
export function compiled(name: string): string {
  const source = join(import.meta.dir, `${name}.c`);
  const hash = Bun.hash(readFileSync(source)).toString(36);
  const directory = join(tmpdir(), `llmfs-posix-${process.getuid?.() ?? 0}`);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const program = join(directory, `${name}-${hash}`);
  if (existsSync(program)) return program;
  const made = `${program}.${process.pid}`;
  const { exitCode, stderr } = Bun.spawnSync(["cc", "-O1", "-Wall", "-Wextra", "-o", made, source]);
  if (exitCode !== 0) throw new Error(`${source}: ${stderr.toString()}`);
  renameSync(made, program);
  return program;
}

/** Runs a program and returns its output. Throws if it fails. */
export async function execute(command: string[], input: string, cwd: string): Promise<string> {
  const child = Bun.spawn(command, { stdin: Buffer.from(input, "latin1"), stdout: "pipe", stderr: "pipe", cwd });
  const [code, out, error] = await Promise.all([
    child.exited,
    new Response(child.stdout).arrayBuffer(),
    new Response(child.stderr).text(),
  ]);
  const text = Buffer.from(out).toString("latin1");
  if (code !== 0) throw new Error(`${command.join(" ")}: ${child.signalCode ?? code} ${error}\n${text.slice(-4000)}`);
  return text;
}

/** Starts programs in a directory, with a command prefix that makes the directory visible. */
function runnersIn(directory: string, prefix: readonly string[] = []): Pick<Ground, "run" | "sh"> {
  const driver = compiled("driver");
  return {
    async run(lines) {
      const text = await execute([...prefix, driver], [`chdir ${directory}`, ...lines, ""].join("\n"), "/");
      return text.split("\n").slice(1, -1);
    },
    sh: (script) => execute([...prefix, "sh", "-ec", `cd "$0"; exec 2>&1; ${script}`, directory], "", "/"),
  };
}

async function command(...words: string[]): Promise<void> {
  await execute(words, "", "/");
}

/** With the options of our mounts, so that the filesystem is compared, not the mount. */
export async function tmpfs(): Promise<Ground> {
  const directory = mkdtempSync(join(tmpdir(), "posix-tmpfs-"));
  await command("mount", "-t", "tmpfs", "-o", "nosuid,nodev,mode=755,size=2g", "tmpfs", directory);
  return {
    name: "tmpfs",
    directory,
    ...runnersIn(directory),
    async [Symbol.asyncDispose]() {
      await command("umount", "-l", directory);
      rmSync(directory, { recursive: true });
    },
  };
}

/** A mount without the kernel's help, as for an ordinary user, and before Linux 6.9. */
export function unassisted(): Promise<Ground> {
  return llmfs({ passthrough: false });
}

/** A mount with `--low-power`. */
export function lowPower(): Promise<Ground> {
  return llmfs({ lowPower: true });
}

/** The same user id on every system. */
const NOBODY = 65_534;

/**
 * An ordinary user's mount with fusermount3 that other users can enter, because the driver is root. /etc/fuse.conf
 * decides whether that is allowed; a separate mount namespace has its own.
 */
export async function ordinary(): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), "posix-ordinary-"));
  const at = (name: string) => join(folder, name);
  chmodSync(folder, 0o755);
  copyFileSync(BINARY, at("llmfs"));
  writeFileSync(at("fuse.conf"), "user_allow_other\n");
  for (const directory of [at("mnt"), at("home")]) {
    mkdirSync(directory);
    chownSync(directory, NOBODY, NOBODY);
  }
  const user = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  const serving = [at("llmfs"), "mount", "-f", at("mnt"), "--allow-other", "--size", "2G"];
  // The copies of other mounts in the new namespace would outlive those mounts.
  const script = `awk '$3 == "fuse.llmfs" { print $2 }' /proc/mounts | xargs --no-run-if-empty umount --lazy &&
    mount --bind ${at("fuse.conf")} /etc/fuse.conf && exec "$@"`;
  const child = Bun.spawn({
    cmd: ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", ...user, ...serving],
    cwd: folder,
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: at("home"), XDG_STATE_HOME: at("home") },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const mounted = () => readFileSync(`/proc/${child.pid}/mounts`, "utf8").includes(` ${at("mnt")} fuse.llmfs `);
  while (!mounted()) {
    if (child.exitCode !== null) throw new Error(await new Response(child.stderr).text());
    await Bun.sleep(10);
  }
  return {
    name: "an ordinary user's llmfs",
    directory: at("mnt"),
    ...runnersIn(at("mnt"), ["nsenter", `--mount=/proc/${child.pid}/ns/mnt`]),
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
      rmSync(folder, { recursive: true });
    },
  };
}

export async function llmfs({ passthrough = true, lowPower = false } = {}): Promise<Ground> {
  const mountpoint = mkdtempSync(join(tmpdir(), "posix-llmfs-"));
  const filesystem = await startFilesystem({
    mountpoint,
    allowOther: true,
    size: 2 * 2 ** 30,
    passthrough,
    lowPower,
    generate: () => Promise.reject(new Error("nothing is generated here")),
    log: (level, tag, text) => {
      if (level === "warn" || level === "error") console.error(`${level} [${tag}] ${text}`);
    },
  });
  return {
    name: `llmfs${passthrough ? "" : " without passthrough"}${lowPower ? " --low-power" : ""}`,
    directory: mountpoint,
    ...runnersIn(mountpoint),
    async [Symbol.asyncDispose]() {
      await filesystem[Symbol.asyncDispose]();
      rmSync(mountpoint, { recursive: true });
    },
  };
}
