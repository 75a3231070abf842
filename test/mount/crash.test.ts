/** However the process behind a mount ends: no dead mount is left, and what should be saved is saved. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { contentOf, describeMounted, IS_ROOT, killBoth, mounted, processesOf, unmounted } from "../support/mounted.ts";
import { testWith } from "../support/needs.ts";
import { BINARY, eventually, isAlive, mountedType } from "../support/program.ts";

setDefaultTimeout(60_000);

const UNMOUNT = IS_ROOT ? "umount" : "fusermount3 -u";

describeMounted("a daemon that is killed", () => {
  test("killing the mount's process fifty times under load leaves no dead mount, and the next mount works", async () => {
    await using m = await unmounted();
    const load = `
while echo x > w && cat a.txt >/dev/null && ls -lR >/dev/null && cp w v && mv v u && rm u; do :; done &
while cat a.txt b.txt >/dev/null && dd if=/dev/zero of=big bs=64k count=16 status=none; do :; done &
cat slow.txt & wait`;
    m.answer = (path) => (path === "slow.txt" ? { hang: true } : { stream: contentOf(path) });
    writeFileSync(
      m.sandbox.at("from.json"),
      JSON.stringify({
        llmfs: 1,
        entries: ["a", "b", "slow"].map((name) => ({ path: `/${name}.txt`, type: "file", state: "pending" })),
      }),
    );
    let longest = 0;
    for (let round = 0; round < 50; round++) {
      await m.mount(["--from", "from.json", "--mode", "off", ...m.modelArgs()]);
      const asked = m.asked("slow.txt");
      const users = m.sh(load);
      await eventually("they are at work", () => m.asked("slow.txt") > asked);
      process.kill(m.status().pid, "SIGKILL");
      const begun = performance.now();
      await eventually("the mount is gone", () => mountedType(m.dir) === undefined);
      longest = Math.max(longest, performance.now() - begun);
      expect((await users).status).not.toBe(undefined);
      expect([round, readdirSync(m.dir)]).toEqual([round, []]);
    }
    expect(longest).toBeLessThan(1000);
    await m.mount(["--from", "from.json", ...m.modelArgs()]);
    expect(await m.out("cat a.txt")).toBe(contentOf("a.txt"));
  });

  test("killing the mount's process and its guardian leaves a dead mount, and mounting over it works", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    await killBoth(m.dir);
    expect(mountedType(m.dir)).toBe("fuse.llmfs");
    expect((await m.sh("ls", m.sandbox.path)).status).toBe(0);
    // A caller gets ECONNABORTED while the connection ends, and ENOTCONN later.
    expect((await m.sh(`ls ${m.dir}`, m.sandbox.path)).stderr).toMatch(
      /Transport endpoint is not connected|Software caused connection abort/,
    );
    await m.mount(["--from", "from.json", ...m.modelArgs()]);
    expect(await m.out("cat a.txt")).toBe(contentOf("a.txt"));
    expect((await m.unmount()).status).toBe(0);
    expect(mountedType(m.dir)).toBeUndefined();
  });

  test("after both are killed, programs in the mount get errors, and mounting over it works", async () => {
    await using m = await mounted({ pending: ["a.txt"], answer: () => ({ hang: true }) });
    const reader = m.sh("cat a.txt");
    const inside = m.start("exec sleep 60");
    await m.server.request(0);
    await killBoth(m.dir);
    const { status, stdout } = await reader;
    expect([status, stdout]).toEqual([1, ""]);
    m.answer = (path) => ({ stream: contentOf(path) });
    await m.mount(["--from", "from.json", ...m.modelArgs()]);
    expect(await m.out("cat a.txt")).toBe(contentOf("a.txt"));
    inside.kill();
    await inside.exited;
  });

  test("after both are killed, llmfs unmount removes the dead mount", async () => {
    await using m = await mounted();
    await killBoth(m.dir);
    // It is unknown whether the tree should have been saved, so it is not.
    expect(await m.unmount()).toMatchObject({ status: 89, stderr: expect.stringContaining("removed the dead mount") });
    expect(mountedType(m.dir)).toBeUndefined();
  });

  test("killing the mount's process leaves no process behind", async () => {
    await using m = await mounted({ args: ["--log-file", "mount.log"] });
    const all = processesOf(m.dir);
    expect(all.length).toBe(2);
    const { pid } = m.status();
    process.kill(pid, "SIGKILL");
    await eventually("both are gone", () => !all.some(isAlive));
    expect(processesOf(m.dir)).toEqual([]);
    // Before Linux 6.15 the signal is known only until the parent has asked for it.
    const last = readFileSync(m.sandbox.at("mount.log"), "utf8").trimEnd().split("\n").at(-1);
    expect(last).toMatch(
      /error fuse: llmfs \(process \d+\), which served \S+, (was killed by SIGKILL|ended without unmounting)\b.*was unmounted\. What was written in the mount is lost, because it had no --save/,
    );
    expect(last).toContain(`(process ${pid}), which served ${m.dir}, `);
  });

  test("a guardian that is killed is replaced, and its successor removes the mount and ends the generators", async () => {
    await using m = await unmounted();
    const config = m.sandbox.at("llmfs.config.json");
    const options = { command: ["sh", "-c", `echo $$ > ${m.sandbox.at("pid")}; exec sleep 600`] };
    writeFileSync(config, JSON.stringify({ rules: [{ match: "slow.txt", generator: "exec", options }] }));
    await m.mount(["--config", config]);
    const reader = m.sh("cat slow.txt");
    const pidOf = () => Number(existsSync(m.sandbox.at("pid")) && readFileSync(m.sandbox.at("pid"), "utf8"));
    await eventually("the generator runs", () => pidOf() > 0);
    const [guardian] = processesOf(m.dir, "--guardian");
    process.kill(guardian!, "SIGKILL");
    await eventually("there is another", () => {
      const [successor] = processesOf(m.dir, "--guardian");
      return successor !== undefined && successor !== guardian;
    });
    process.kill(m.status().pid, "SIGKILL");
    await eventually("the mount is gone", () => mountedType(m.dir) === undefined);
    await eventually("the generator has ended", () => !isAlive(pidOf()));
    expect((await reader).status).toBe(1);
    await eventually("no process is left", () => processesOf(m.dir).length === 0);
  });

  test("the guardian of a killed mount does not remove a later mount at the same place", async () => {
    await using m = await mounted();
    const [guardian] = processesOf(m.dir, "--guardian");
    process.kill(guardian!, "SIGSTOP");
    process.kill(m.status().pid, "SIGKILL");
    await eventually("it is dead", () => processesOf(m.dir, "--daemon").length === 0);
    await m.mount(["--from", "from.json", ...m.modelArgs()]);
    process.kill(guardian!, "SIGCONT");
    await eventually("its guardian has ended", () => !isAlive(guardian!));
    expect(mountedType(m.dir)).toBe("fuse.llmfs");
    expect(await m.out("echo works > file; cat file")).toBe("works\n");
  });
});

describeMounted("a mount that ends", () => {
  test("a mount that ends on SIGTERM is saved, and its processes are gone", async () => {
    await using m = await mounted({ pending: ["a.txt"], args: ["--save", "tree.json"] });
    await m.out("echo mine > own.txt");
    const all = processesOf(m.dir);
    process.kill(m.status().pid, "SIGTERM");
    await eventually("all are gone", () => !all.some(isAlive));
    expect(mountedType(m.dir)).toBeUndefined();
    const saved = JSON.parse(readFileSync(m.sandbox.at("tree.json"), "utf8"));
    expect(saved.entries.map(({ path, state }: { path: string; state?: string }) => [path, state])).toEqual([
      ["/", undefined],
      ["/a.txt", "pending"],
      ["/own.txt", undefined],
    ]);
  });

  test("a mount that ends during generation is saved with pending files, and the server sees the requests cancelled", async () => {
    await using m = await mounted({
      pending: ["a.txt"],
      args: ["--save", "tree.json"],
      answer: () => ({ hang: true }),
    });
    const reader = m.sh("cat a.txt");
    const request = await m.server.request(0);
    const { pid } = m.status();
    process.kill(pid, "SIGTERM");
    await eventually("it is gone from sight", () => mountedType(m.dir) === undefined);
    process.kill(pid, "SIGTERM");
    await request.disconnected;
    expect((await reader).status).toBe(1);
    await eventually("the process has ended", () => !isAlive(pid));
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain('"state": "pending"');
  });

  test("a mount that ends by umount is saved too", async () => {
    await using m = await mounted({ args: ["--save", "tree.json"] });
    await m.out("echo mine > own.txt");
    const all = processesOf(m.dir);
    expect((await m.sh(`${UNMOUNT} ${m.dir}`, "/")).status).toBe(0);
    await eventually("all are gone", () => !all.some(isAlive));
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain('"mine\\n"');
  });

  test("a mount is not unmounted while a program is in it, and nothing is lost", async () => {
    await using m = await mounted();
    await m.out("echo mine > own.txt");
    const user = m.start("exec sleep 60");
    const { status, stderr } = await m.unmount();
    expect(status).toBe(81);
    expect(stderr).toContain(`sleep (${user.pid})`);
    expect(await m.out("cat own.txt")).toBe("mine\n");
    user.kill();
    await user.exited;
    expect((await m.unmount()).status).toBe(0);
  });
});

describeMounted("a mountpoint", () => {
  test("a mountpoint that is missing, a file, not empty or in use is refused, and stays untouched", async () => {
    await using m = await mounted();
    const { sandbox } = m;
    writeFileSync(sandbox.at("file"), "a file");
    mkdirSync(`${sandbox.directory("full")}/inside`);
    const refused: readonly (readonly [string, number])[] = [
      ["nowhere", 80],
      ["file", 80],
      ["full", 80],
      ["mnt", 81],
      ["/proc", 80],
    ];
    for (const [place, code] of refused) {
      const { status, stdout, stderr } = await sandbox.llmfs(["mount", place], { program: BINARY });
      expect([place, status, stdout]).toEqual([place, code, ""]);
      expect(stderr).toContain(place);
    }
    expect(readFileSync(sandbox.at("file"), "utf8")).toBe("a file");
    expect(readdirSync(sandbox.at("full"))).toEqual(["inside"]);
    expect(await m.out("ls -A")).toBe("");
  });

  testWith(IS_ROOT ? undefined : "root")(
    "may be an empty filesystem of another type, such as a container's volume",
    async () => {
      await using m = await unmounted();
      const volume = m.sandbox.directory("volume");
      const on = async (command: string) => expect([command, (await m.sh(command)).status]).toEqual([command, 0]);
      await on(`mount -t tmpfs volume ${volume}`);
      try {
        expect((await m.sandbox.llmfs(["mount", "volume"], { program: BINARY })).status).toBe(0);
        expect(mountedType(volume)).toBe("fuse.llmfs");
        expect((await m.sandbox.llmfs(["unmount", "volume"], { program: BINARY })).status).toBe(0);
        expect(mountedType(volume)).toBe("tmpfs");
      } finally {
        await on(`umount ${volume}`);
      }
    },
  );
});
