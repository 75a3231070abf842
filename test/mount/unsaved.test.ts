/** `unmount` succeeds only if the tree is saved; otherwise it reports what happened. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import type { MountRecord } from "../../src/app/running/mount-record.ts";
import { lateServerOf, serverOf } from "../../src/app/running/server-process.ts";
import { findMountAt } from "../../src/mountinfo.ts";
import { describeMounted, IS_ROOT, type Mounted, processesOf, unmounted } from "../support/mounted.ts";
import { mountNamespace, programs, testWith } from "../support/needs.ts";
import { BINARY, eventually, finished, isAlive, mountedType } from "../support/program.ts";
import { Terminal } from "../support/terminal.ts";

setDefaultTimeout(60_000);

const asRoot = testWith(IS_ROOT ? undefined : "root, to mount a small tmpfs");

/** An empty mount that saves to `tree.json` in the sandbox by default. */
async function saving(save = "tree.json", env: Readonly<Record<string, string>> = {}): Promise<Mounted> {
  const m = await unmounted();
  await m.mount(["--save", save], { env });
  return m;
}

/** A tmpfs of 64 kB, on which a tree with `big` in it does not fit; `more` enlarges it to 8 MB. */
async function smallDisk(m: Mounted) {
  const path = m.sandbox.directory("disk");
  await m.out(`mount -t tmpfs -o size=64k tmpfs ${path}`);
  return {
    path,
    more: () => m.out(`mount -o remount,size=8m ${path}`),
    async [Symbol.asyncDispose]() {
      await m.out(`cd /; umount -l ${path}`);
    },
  };
}

const FILL = "head -c 200000 /dev/urandom > big";

/** The record of the process behind the mount. */
function recordOf({ dir }: Mounted): MountRecord | undefined {
  const mount = findMountAt(dir);
  using server = mount && serverOf(mount);
  return server?.record;
}

function serverPid(m: Mounted): number {
  const [pid] = processesOf(m.dir, "--daemon");
  if (pid === undefined) throw new Error("no process serves the mount");
  return pid;
}

describeMounted("unmount with --save", () => {
  test("on a terminal, unmount says that what programs wrote is not saved, unless it was", async () => {
    const unmountAfter = async (script: string, args: readonly string[] = []) => {
      await using m = await unmounted();
      await m.mount(args);
      await m.out(script);
      const options = { cwd: m.sandbox.path, env: m.sandbox.environment() };
      await using terminal = new Terminal(["sh", "-c", '"$@"; echo over', "sh", ...BINARY, "unmount", m.dir], options);
      await eventually("unmount has ended", () => terminal.text.includes("over"));
      return terminal.text;
    };
    const warning = "files that were written by hand or by programs are not saved";
    expect(await unmountAfter("echo mine > notes")).toContain(warning);
    expect(await unmountAfter("ls")).not.toContain(warning);
    expect(await unmountAfter(`echo mine > notes; ${BINARY.join(" ")} save . $OUT/tree.json`)).not.toContain(warning);
    expect(await unmountAfter("echo mine > notes", ["--save", "tree.json"])).not.toContain(warning);
  });

  test("unmount --save saves to a file that only its owner can read, and leaves no temporary files", async () => {
    await using m = await saving();
    await m.out("echo mine > own");
    expect(await m.unmount()).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(statSync(m.sandbox.at("tree.json")).mode & 0o777).toBe(0o600);
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain("mine");
    expect(readdirSync(m.sandbox.path).filter((name) => name.includes("tmp"))).toEqual([]);
  });

  test("unmount --save writes the tree only once if nothing changes during the unmount", async () => {
    await using m = await unmounted();
    // A writer to a fifo waits for a reader, and a second save would have none.
    await m.out(`mkfifo ${m.sandbox.at("fifo")}`);
    await m.mount(["--save", "fifo"]);
    await m.out("echo mine > own");
    const reader = m.sh(`cat fifo`, m.sandbox.path);
    expect((await m.unmount()).status).toBe(0);
    expect(JSON.parse((await reader).stdout).entries.length).toBe(2);
  });

  asRoot("a failed save names the file with the rescued tree, whatever the environment of the caller", async () => {
    await using m = await unmounted();
    await using disk = await smallDisk(m);
    await m.mount(["--save", `${disk.path}/tree.json`]);
    await m.out(FILL);
    const { status, stderr } = await m.sandbox.llmfs(["unmount", m.dir], {
      program: BINARY,
      env: { XDG_STATE_HOME: "/nowhere", HOME: "/nowhere" },
    });
    expect([status, mountedType(m.dir)]).toEqual([89, undefined]);
    const rescue = /it is saved in (\S+\.json) instead/.exec(stderr)?.[1] ?? "";
    expect(rescue).toStartWith(m.sandbox.at("state/llmfs/unsaved-"));
    expect([statSync(rescue).mode & 0o777, readdirSync(disk.path)]).toEqual([0o600, []]);
    expect(readFileSync(rescue, "utf8")).toContain("/big");
  });

  asRoot(
    "unmount leaves the mount in place if the tree can be saved nowhere, and works once there is space",
    async () => {
      await using m = await unmounted();
      await using disk = await smallDisk(m);
      await m.mount(["--save", `${disk.path}/tree.json`], { env: { XDG_STATE_HOME: disk.path } });
      await m.out(`${FILL}; echo mine > own`);
      for (let tries = 0; tries < 2; tries++) {
        const { status, stderr } = await m.unmount();
        expect([status, mountedType(m.dir)]).toEqual([89, "fuse.llmfs"]);
        expect(stderr).toContain(
          `${m.dir} stays mounted because the tree could not be saved to ${disk.path}/tree.json`,
        );
        expect(stderr).toContain("no space left on the device");
        expect(stderr).toContain(`nor to ${disk.path}/llmfs/unsaved-`);
        expect(await m.out("cat own; ls")).toBe("mine\nbig\nown\n");
      }
      await disk.more();
      expect((await m.unmount()).status).toBe(0);
      expect([mountedType(m.dir), readdirSync(disk.path).sort()]).toEqual([undefined, ["llmfs", "tree.json"]]);
      expect(readFileSync(`${disk.path}/tree.json`, "utf8")).toContain("mine");
    },
  );

  asRoot("a rescued tree is removed once the tree is saved to its destination", async () => {
    await using m = await unmounted();
    await using disk = await smallDisk(m);
    await m.mount(["--save", `${disk.path}/tree.json`]);
    await m.out(FILL);
    const rescued = () => readdirSync(m.sandbox.at("state/llmfs")).filter((name) => name.startsWith("unsaved-"));
    const user = m.start("exec sleep 60");
    expect((await m.unmount()).status).toBe(81);
    expect(rescued().length).toBe(1);
    user.kill();
    await user.exited;
    await disk.more();
    await m.out("echo more > another");
    expect((await m.unmount()).status).toBe(0);
    expect(rescued()).toEqual([]);
  });

  test("unmount --save fails if its process is killed while it saves", async () => {
    await using m = await unmounted();
    await m.out(`mkfifo ${m.sandbox.at("fifo")}`);
    await m.mount(["--save", "fifo"]);
    const pid = serverPid(m);
    const unmounting = m.unmount();
    await eventually("the tree is being saved", () => recordOf(m)?.saving !== undefined);
    process.kill(pid, "SIGKILL");
    const { status, stderr } = await unmounting;
    expect([status, stderr]).toEqual([89, expect.stringContaining(`process ${pid} ended without reporting`)]);
  });

  test("unmount --save gives up after --timeout if saving makes no progress, and the mount stays", async () => {
    await using m = await unmounted();
    await m.out(`mkfifo ${m.sandbox.at("fifo")}`);
    await m.mount(["--save", "fifo"]);
    const { status, stderr } = await m.unmount("--timeout", "1s");
    expect([status, mountedType(m.dir)]).toEqual([89, "fuse.llmfs"]);
    expect(stderr).toContain(`is saving to ${m.sandbox.at("fifo")} and made no progress for 1 s`);
    // One save is still waiting for a reader, and the next one writes the same tree.
    const reader = m.sh("cat fifo", m.sandbox.path);
    expect((await m.unmount()).status).toBe(0);
    expect(JSON.parse((await reader).stdout).entries.length).toBe(1);
  });

  test("unmount --save by several callers at once saves the tree, and each gets a true result", async () => {
    await using m = await saving();
    await m.out("echo mine > own");
    const results = await Promise.all([m.unmount(), m.unmount(), m.unmount("--lazy")]);
    expect(results.some(({ status }) => status === 0)).toBe(true);
    // The others find that the mount is gone.
    expect(results.filter(({ status }) => status !== 0 && status !== 83)).toEqual([]);
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain("mine");
  });
});

describeMounted("a mount that ends without unmount and can be saved nowhere", () => {
  asRoot("an unsaved mount stays on the first SIGTERM, and ends on the next one once there is space", async () => {
    await using m = await unmounted();
    await using disk = await smallDisk(m);
    await m.mount(["--save", `${disk.path}/tree.json`], { env: { XDG_STATE_HOME: disk.path } });
    await m.out(FILL);
    const pid = serverPid(m);
    process.kill(pid, "SIGTERM");
    const log = () => readFileSync(`${disk.path}/llmfs/llmfs.log`, "utf8");
    await eventually("the log says so", () => log().includes(`${m.dir} stays mounted`));
    expect(await m.out("ls")).toBe("big\n");
    await disk.more();
    process.kill(pid, "SIGTERM");
    await eventually("the process has ended", () => !isAlive(pid));
    expect([mountedType(m.dir), readdirSync(disk.path).includes("tree.json")]).toEqual([undefined, true]);
  });

  asRoot(
    "after umount an unsaved tree stays in the process until there is space, and unmount reports that",
    async () => {
      await using m = await unmounted();
      await using disk = await smallDisk(m);
      await m.mount(["--save", `${disk.path}/tree.json`], { env: { XDG_STATE_HOME: disk.path } });
      await m.out(`${FILL}; echo mine > own`);
      const pid = serverPid(m);
      expect((await m.sh(`umount ${m.dir}`, "/")).status).toBe(0);
      await eventually("it has tried", () => keptBy(m) === pid);
      const { status, stderr } = await m.unmount();
      expect([status, stderr]).toEqual([89, expect.stringContaining(`process ${pid} keeps the tree and retries`)]);
      await disk.more();
      await eventually("the process has ended", () => !isAlive(pid), 20_000);
      expect(readFileSync(`${disk.path}/tree.json`, "utf8")).toContain("mine");
      expect((await m.unmount()).status).toBe(83);
    },
  );

  asRoot("a delayed save does not overwrite what somebody else saved in the meantime", async () => {
    await using m = await unmounted();
    await using disk = await smallDisk(m);
    await m.mount(["--save", `${disk.path}/tree.json`], { env: { XDG_STATE_HOME: disk.path } });
    await m.out(FILL);
    const pid = serverPid(m);
    expect((await m.sh(`umount ${m.dir}`, "/")).status).toBe(0);
    await eventually("it has tried", () => keptBy(m) === pid);
    await m.out(`echo theirs > ${disk.path}/tree.json`);
    await disk.more();
    await eventually("the process has ended", () => !isAlive(pid), 20_000);
    expect(readFileSync(`${disk.path}/tree.json`, "utf8")).toBe("theirs\n");
    const rescued = readdirSync(`${disk.path}/llmfs`).find((name) => name.startsWith("unsaved-")) ?? "";
    expect(readFileSync(`${disk.path}/llmfs/${rescued}`, "utf8")).toContain("/big");
  });

  asRoot("after umount a foreground mount that cannot save ends on a signal with status 89", async () => {
    await using m = await unmounted();
    await using disk = await smallDisk(m);
    const args = ["mount", "-f", "--json", m.dir, "--save", `${disk.path}/tree.json`];
    const child = m.sandbox.start(args, { program: BINARY, env: { XDG_STATE_HOME: disk.path } });
    await eventually("it is mounted", () => mountedType(m.dir) !== undefined);
    await m.out(FILL);
    expect((await m.sh(`umount ${m.dir}`, "/")).status).toBe(0);
    await eventually("it has tried", () => keptBy(m) === child.pid);
    child.kill("SIGTERM");
    const { status, stderr } = await finished(child);
    expect([status, stderr]).toEqual([89, expect.stringContaining("retrying until it works or a signal comes")]);
  });

  asRoot("llmfs run without a terminal tries to save once, and then fails", async () => {
    await using m = await unmounted();
    await using disk = await smallDisk(m);
    const args = ["run", "--save", `${disk.path}/tree.json`, "--", "sh", "-c", FILL];
    const { status, stderr } = await m.sandbox.llmfs(args, { program: BINARY, env: { XDG_STATE_HOME: disk.path } });
    expect([status, stderr]).toEqual([89, expect.stringContaining("no space left on the device")]);
  });

  function keptBy({ dir }: Mounted): number | undefined {
    using server = lateServerOf(dir);
    return server?.pid;
  }
});

describeMounted("a mount that is also mounted elsewhere", () => {
  asRoot("a mount with a bind mount is saved and unmounted at once, and the bind mount is named", async () => {
    await using m = await saving();
    const other = m.sandbox.directory("other");
    await m.out(`echo mine > own; mount --bind ${m.dir} ${other}`);
    const { status, stderr } = await m.unmount();
    expect([status, mountedType(m.dir)]).toEqual([81, undefined]);
    expect(stderr).toContain(`is unmounted here and saved to ${m.sandbox.at("tree.json")}`);
    expect(stderr).toContain(`To end that, run: umount ${other}`);
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain("mine");
    const [pid] = processesOf(m.dir, "--daemon");
    await m.sh(`echo later > ${other}/later; umount ${other}`, "/");
    await eventually("the process has ended", () => !isAlive(pid!));
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain("later");
  });

  asRoot("unmount names an overlay whose lower layer is the mount", async () => {
    await using m = await saving();
    const other = m.sandbox.directory("other");
    const upper = m.sandbox.directory("upper");
    await m.out(`mount -t tmpfs none ${upper}; mkdir ${upper}/u ${upper}/w; echo mine > own`);
    await m.out(`mount -t overlay none -o lowerdir=${m.dir},upperdir=${upper}/u,workdir=${upper}/w ${other}`);
    const { status, stderr } = await m.unmount();
    expect([status, mountedType(m.dir)]).toEqual([81, undefined]);
    expect(stderr).toContain(`To end that, run: umount ${other}`);
    const [pid] = processesOf(m.dir, "--daemon");
    await m.sh(`umount ${other} ${upper}`, "/");
    await eventually("the process has ended", () => !isAlive(pid!));
  });

  asRoot("a mount does not end when only a bind mount of it is unmounted", async () => {
    await using m = await saving();
    const other = m.sandbox.directory("other");
    await m.out(`mkdir sub; mount --bind ${m.dir}/sub ${other}`);
    const result = await m.sandbox.llmfs(["unmount", "other"], { program: BINARY });
    expect(result).toEqual({ status: 0, stdout: "", stderr: "" });
    expect([mountedType(other), mountedType(m.dir)]).toEqual([undefined, "fuse.llmfs"]);
    expect((await m.unmount()).status).toBe(0);
  });

  const loop = programs("losetup") ?? (existsSync("/dev/loop-control") ? undefined : "loop devices");

  testWith(IS_ROOT ? loop : "root, to make a loop device")(
    "unmount names a loop device that uses the mount",
    async () => {
      await using m = await unmounted();
      await m.mount([]);
      await m.out("head -c 1M /dev/zero > disk");
      const device = (await m.sh(`losetup --find --show ${m.dir}/disk`, "/")).stdout.trim();
      try {
        const { status, stderr } = await m.unmount();
        expect([status, stderr]).toEqual([81, expect.stringContaining(`is still used by the loop device ${device}`)]);
      } finally {
        await m.sh(`losetup -d ${device}`, "/");
      }
      await eventually("the file is let go", () => (Bun.spawnSync(["losetup", device]).exitCode ?? 1) !== 0);
      expect((await m.unmount()).status).toBe(0);
    },
  );

  const inNamespace = testWith(IS_ROOT ? mountNamespace() : "root, to make mount namespaces");

  inNamespace("unmount names the process in another mount namespace and a way to end it that works", async () => {
    await using m = await saving();
    await m.out("echo mine > own");
    const script = `unshare --mount sh -c 'echo ready; exec sleep 60'`;
    const holder = m.start(script, "/");
    await holder.stdout.getReader().read();
    const { status, stderr } = await m.unmount();
    expect([status, mountedType(m.dir)]).toEqual([81, undefined]);
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain("mine");
    const cure = /To end that, run: (nsenter .*)$/m.exec(stderr)?.[1] ?? "false";
    const [pid] = processesOf(m.dir, "--daemon");
    expect((await m.sh(cure, "/")).status).toBe(0);
    await eventually("the process has ended", () => !isAlive(pid!));
    holder.kill("SIGKILL");
  });

  inNamespace(
    "unmount of a busy mount names only the program with a file opened before the namespace was made",
    async () => {
      await using m = await saving();
      await m.out("echo mine > own");
      const copy = m.start("unshare --mount sh -c 'echo ready; exec sleep 60'", "/");
      const open = m.start(`exec 9< ${m.dir}/own; exec unshare --mount sh -c 'echo ready; exec sleep 60'`, "/");
      for (const child of [copy, open]) await child.stdout.getReader().read();
      const { status, stderr } = await m.unmount();
      expect([status, stderr]).toEqual([
        81,
        `llmfs: ${m.dir} is still used by sleep (${open.pid}); end it or use --lazy\n`,
      ]);
      for (const child of [copy, open]) child.kill("SIGKILL");
    },
  );

  inNamespace(
    "unmount works even if the other process cannot be seen: the mount itself reports that the tree is saved",
    async () => {
      await using m = await saving();
      await m.out("echo mine > own");
      const container = "unshare --mount --pid --fork --mount-proc";
      const { status, stderr } = await m.sh(`${container} ${BINARY[0]} unmount ${m.dir}`, "/");
      expect([status, stderr, mountedType(m.dir)]).toEqual([0, "", "fuse.llmfs"]);
      expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain("mine");
    },
  );
});
