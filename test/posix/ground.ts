/**
 * Where POSIX programs run: a tmpfs, which is right by definition, and a mount of ours.
 *
 * A program is lines for driver.c, which runs in a process of its own: whoever serves a mount must not use it.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFilesystem } from "../../src/fs/filesystem.ts";

export interface Ground extends AsyncDisposable {
  readonly name: string;
  readonly directory: string;
  /** What each line answered. */
  run(lines: readonly string[]): Promise<string[]>;
}

/** Why programs cannot run here, if they cannot. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root: it acts as several users, and mounts a tmpfs";
  if (!existsSync("/dev/fuse")) return "needs /dev/fuse";
  if (Bun.which("cc") === null) return "needs a C compiler";
  return undefined;
}

/** A C program beside this file, compiled once for each of its versions. */
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

/** Runs a program and returns what it printed. Throws if it does not end well. */
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

function runnerIn(directory: string): Ground["run"] {
  const driver = compiled("driver");
  return async (lines) => {
    const text = await execute([driver], [`chdir ${directory}`, ...lines, ""].join("\n"), "/");
    return text.split("\n").slice(1, -1);
  };
}

async function command(...words: string[]): Promise<void> {
  await execute(words, "", "/");
}

/** With the options that our mounts have: what is compared is the filesystem, not the mount. */
export async function tmpfs(): Promise<Ground> {
  const directory = mkdtempSync(join(tmpdir(), "posix-tmpfs-"));
  await command("mount", "-t", "tmpfs", "-o", "nosuid,nodev,mode=755,size=2g", "tmpfs", directory);
  return {
    name: "tmpfs",
    directory,
    run: runnerIn(directory),
    async [Symbol.asyncDispose]() {
      await command("umount", "-l", directory);
      rmSync(directory, { recursive: true });
    },
  };
}

/** What a mount is without the kernel's help: as for an ordinary user, and before Linux 6.9. */
export function unassisted(): Promise<Ground> {
  return llmfs({ passthrough: false });
}

export async function llmfs({ passthrough = true } = {}): Promise<Ground> {
  const mountpoint = mkdtempSync(join(tmpdir(), "posix-llmfs-"));
  const filesystem = await startFilesystem({
    mountpoint,
    allowOther: true,
    size: 2 * 2 ** 30,
    passthrough,
    generate: () => Promise.reject(new Error("nothing is generated here")),
    log: (level, tag, text) => {
      if (level === "warn" || level === "error") console.error(`${level} [${tag}] ${text}`);
    },
  });
  return {
    name: passthrough ? "llmfs" : "llmfs without passthrough",
    directory: mountpoint,
    run: runnerIn(mountpoint),
    async [Symbol.asyncDispose]() {
      await filesystem[Symbol.asyncDispose]();
      rmSync(mountpoint, { recursive: true });
    },
  };
}
