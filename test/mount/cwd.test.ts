/** llmfs started in a directory that has been removed, in a dead mount, or in the mount that it should unmount. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describeMounted, killBoth, unmounted } from "../support/mounted.ts";
import { BINARY, eventually, type Finished, finished, mountedType, type Sandbox } from "../support/program.ts";

setDefaultTimeout(60_000);

/** Runs the compiled binary in a directory that a shell removes first. */
async function inRemoved(sandbox: Sandbox, ...args: string[]): Promise<Finished> {
  const folder = sandbox.at("removed");
  mkdirSync(folder);
  const child = Bun.spawn({
    cmd: ["/bin/sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", ...BINARY, ...args],
    cwd: folder,
    env: sandbox.environment(),
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end();
  return finished(child);
}

describeMounted("a current directory that has been removed", () => {
  test("a removed current directory does not matter for commands with absolute paths", async () => {
    await using m = await unmounted();
    expect((await inRemoved(m.sandbox, "--version")).status).toBe(0);
    expect(await inRemoved(m.sandbox, "mount", m.dir)).toMatchObject({ status: 0, stderr: "" });
    writeFileSync(`${m.dir}/a.txt`, "kept");
    const saved = m.sandbox.at("saved.json");
    expect(await inRemoved(m.sandbox, "save", m.dir, saved)).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(saved, "utf8")).toContain("kept");
    expect((await inRemoved(m.sandbox, "plan", saved)).status).toBe(0);
    expect((await inRemoved(m.sandbox, "warm", m.dir, "*.txt")).status).toBe(0);
    expect(await inRemoved(m.sandbox, "unmount", m.dir)).toMatchObject({ status: 0, stderr: "" });
    expect(mountedType(m.dir)).toBeUndefined();
    expect(await inRemoved(m.sandbox, "run", "--", "ls", "-A")).toMatchObject({ status: 0, stderr: "", stdout: "" });
  });

  test("in a removed current directory a relative path is an error that names it, and no other directory is searched", async () => {
    await using m = await unmounted();
    // It would be found if the path were resolved from the directory of the executable or from the root.
    const lines = [
      ["mount", "bin"],
      ["unmount", "bin"],
      ["save", m.dir, "bin"],
      ["plan", "bin"],
      ["generate", "--prompt", "@bin"],
      ["run", "--from", "bin", "--", "true"],
      ["run", "--config", "bin", "--", "true"],
      ["run", "--recordings", "bin", "--", "true"],
      ["why", "--from", "bin", "/a"],
    ];
    await m.mount([]);
    for (const line of lines) {
      const { status, stderr } = await inRemoved(m.sandbox, ...line);
      expect([line, status]).toEqual([line, 84]);
      expect(stderr).toContain("llmfs: bin: the current directory has been removed or unmounted; use an absolute path");
    }
  });
});

describeMounted("a current directory that is a dead mount", () => {
  test("a dead mount as current directory does not matter for absolute paths, for text as a prompt, and for unmounting it", async () => {
    await using m = await unmounted();
    const other = m.sandbox.directory("other");
    await m.mount([]);
    await killBoth(m.dir);
    const there = (...args: string[]) => m.sandbox.llmfs(args, { program: BINARY, cwd: m.dir });
    expect((await there("--version")).status).toBe(0);
    expect(await there("mount", other)).toMatchObject({ status: 0, stderr: "" });
    expect(await there("unmount", other)).toMatchObject({ status: 0, stderr: "" });
    expect((await there("run", "--", "ls", "-A")).status).toBe(0);
    const replayed = await there("generate", "--mode", "replay", "--prompt", "two words");
    expect([replayed.status, replayed.stderr]).toEqual([88, expect.stringContaining("no recording for layout")]);
    expect(await there("unmount", m.dir)).toMatchObject({
      status: 89,
      stderr: expect.stringContaining("removed the dead mount"),
    });
    expect(mountedType(m.dir)).toBeUndefined();
  });
});

describeMounted("a current directory in the mount that should be unmounted", () => {
  test("llmfs's own current directory does not keep the mount busy", async () => {
    await using m = await unmounted();
    await m.mount([]);
    mkdirSync(`${m.dir}/sub`);
    expect(await m.sandbox.llmfs(["unmount", ".."], { program: BINARY, cwd: `${m.dir}/sub` })).toMatchObject({
      status: 0,
      stderr: "",
    });
    expect(mountedType(m.dir)).toBeUndefined();
  });

  test("in a mount, save needs no DIR, and unmount without DIR says that it is busy and how to leave", async () => {
    await using m = await unmounted();
    await m.mount(["--mode", "off"]);
    mkdirSync(`${m.dir}/deep`);
    writeFileSync(`${m.dir}/deep/a.txt`, "kept");
    const here = (...args: string[]) => m.sandbox.llmfs(args, { program: BINARY, cwd: `${m.dir}/deep` });
    const saved = m.sandbox.at("here.json");
    expect(await here("save", saved)).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(readFileSync(saved, "utf8")).toContain("kept");
    expect((await here("save", "-")).stdout).toContain("kept");
    expect(await here("save", m.dir)).toMatchObject({ status: 2, stderr: expect.stringContaining("FILE is missing") });
    const busy = `the current directory is in ${m.dir}, which your shell keeps busy; leave it first: cd / && llmfs unmount ${m.dir}\n`;
    expect(await here("unmount")).toMatchObject({ status: 81, stderr: `llmfs: ${busy}` });
    expect(mountedType(m.dir)).toBe("fuse.llmfs");
    expect((await here("unmount", "--lazy")).status).toBe(0);
    await eventually("it is unmounted", () => mountedType(m.dir) === undefined);
  });

  test("a current directory in the mount is reported with the program that keeps the mount busy, which is not llmfs", async () => {
    await using m = await unmounted();
    await m.mount([]);
    const inside = m.start("exec sleep 60");
    await eventually("it runs", () => readFileSync(`/proc/${inside.pid}/comm`, "utf8") === "sleep\n");
    const { status, stderr } = await m.sandbox.llmfs(["unmount", "."], { program: BINARY, cwd: m.dir });
    expect(status).toBe(81);
    expect(stderr).toContain(`sleep (${inside.pid})`);
    expect(stderr).not.toContain("llmfs (");
    inside.kill();
    await inside.exited;
  });
});
