/** A mount that belongs to an ordinary user: "nobody" where the tests run as root. */
import { chownSync, copyFileSync, statSync, writeFileSync } from "node:fs";
import { IS_ROOT, LACKING, type Mounted, snapshotOf, unmounted } from "./mounted.ts";
import { BINARY, type Finished, mountedType } from "./program.ts";

/** The same user id on every system. */
export const NOBODY = 65_534;
export const AS_USER = IS_ROOT ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : [];

const forAll = LACKING === undefined && (statSync("/dev/fuse").mode & 0o006) === 0o006;
/** What an ordinary user lacks for any mount here, and for one with fusermount3; undefined if nothing. */
export const device = forAll ? undefined : "a /dev/fuse that everybody may open";
export const helper = device ?? (Bun.which("fusermount3") === null ? "fusermount3" : undefined);

/**
 * A sandbox and a mountpoint that belong to an ordinary user, with the program in a place which that user can reach.
 */
export async function ordinary(pending: readonly string[]): Promise<User> {
  const mounted = await unmounted();
  const { sandbox } = mounted;
  copyFileSync(BINARY[0] ?? "", sandbox.at("llmfs"));
  writeFileSync(sandbox.at("from.json"), snapshotOf(pending));
  if (IS_ROOT) for (const path of [sandbox.path, mounted.dir]) chownSync(path, NOBODY, NOBODY);
  return new User(mounted);
}

export class User implements AsyncDisposable {
  readonly mounted: Mounted;

  constructor(mounted: Mounted) {
    this.mounted = mounted;
  }

  start(cmd: readonly string[], path = process.env.PATH ?? "/usr/bin:/bin") {
    const { sandbox } = this.mounted;
    return Bun.spawn({
      cmd: [...AS_USER.map((word) => (word === "setpriv" ? (Bun.which("setpriv") ?? word) : word)), ...cmd],
      cwd: sandbox.path,
      env: { ...sandbox.environment({ LC_ALL: "C" }), PATH: path },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  async run(cmd: readonly string[], path?: string): Promise<Finished> {
    const child = this.start(cmd, path);
    const [stdout, stderr, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { status, stdout, stderr };
  }

  llmfs(args: readonly string[], path?: string): Promise<Finished> {
    return this.run([this.mounted.sandbox.at("llmfs"), ...args], path);
  }

  async sh(script: string): Promise<string> {
    const { status, stdout, stderr } = await this.run(["/bin/sh", "-c", `cd mnt && ${script}`]);
    if (status !== 0) throw new Error(`${script}: status ${status}: ${stderr}`);
    return stdout;
  }

  mount(...flags: string[]): Promise<Finished> {
    return this.llmfs(["mount", "mnt", "--from", "from.json", ...this.mounted.modelArgs(), ...flags]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (mountedType(this.mounted.dir) !== undefined) await this.llmfs(["unmount", "--lazy", "mnt"]);
    await this.mounted[Symbol.asyncDispose]();
  }
}
