/** Where mounts are started: mount(8) and fstab, a service manager, a program that takes the place of fusermount3. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { contentOf, describeMounted, IS_ROOT, mounted, unmounted } from "../support/mounted.ts";
import { mountNamespace, programs, testWith } from "../support/needs.ts";
import { ordinary } from "../support/ordinary.ts";
import { BINARY, eventually, mountedType } from "../support/program.ts";

setDefaultTimeout(60_000);

const UNIT = join(import.meta.dir, "../../examples/systemd/llmfs@.service");

describeMounted("mount(8)", () => {
  // The helper's directory is that of the system, so the link is made in a namespace of its own.
  testWith(IS_ROOT ? mountNamespace() : "root")(
    "mounts, lists, remounts from fstab and unmounts the type fuse.llmfs",
    async () => {
      await using place = await unmounted();
      writeFileSync(
        place.sandbox.at("tree.json"),
        '{"llmfs":1,"entries":[{"path":"/a.txt","type":"file","mode":"0644","text":"hello"}]}',
      );
      writeFileSync(
        place.sandbox.at("fstab"),
        `${place.sandbox.at("tree.json")} ${place.dir} fuse.llmfs noauto,ro,size=8M 0 0\n`,
      );
      const script = `
      set -e
      mkdir upper work
      mount -t tmpfs none upper && mkdir upper/up upper/work
      mount -t overlay overlay -o lowerdir=/usr/sbin,upperdir=$PWD/upper/up,workdir=$PWD/upper/work /usr/sbin
      ln -s ${BINARY[0]} /usr/sbin/mount.fuse.llmfs
      mount -t fuse.llmfs tree.json mnt -o noexec,size=4M,nofail,save=saved.json
      findmnt -no FSTYPE,OPTIONS mnt
      cat mnt/a.txt; echo
      echo more > mnt/b.txt
      umount mnt
      until [ -e saved.json ]; do sleep 0.1; done
      mount -T fstab mnt
      findmnt -no OPTIONS mnt
      if touch mnt/new 2> /dev/null; then echo "it can be written"; fi
      umount mnt
      mount -t fuse.llmfs none mnt -o nonsense || echo "status $?"
      mount -t fuse.llmfs missing.json mnt || echo "status $?"
      mount -f -t fuse.llmfs none mnt; findmnt mnt || echo "nothing is mounted"`;
      writeFileSync(place.sandbox.at("script"), script);
      const { stdout, stderr } = await place.sh("unshare --mount --propagation private sh script", place.sandbox.path);
      expect(stdout.split("\n")).toEqual([
        expect.stringMatching(/^fuse\.llmfs rw,nosuid,nodev,noexec,/),
        "hello",
        expect.stringMatching(/^ro,nosuid,nodev,/),
        "status 1",
        "status 32",
        "nothing is mounted",
        "",
      ]);
      expect(stderr).toContain("unknown option nonsense");
      expect(stderr).toContain("missing.json");
      expect(readFileSync(place.sandbox.at("saved.json"), "utf8")).toContain('"/b.txt"');
    },
  );
});

describeMounted("a container", () => {
  testWith(IS_ROOT ? mountNamespace() : "root")("may hide /sys", async () => {
    await using place = await unmounted();
    const work = "for i in $(seq 200); do echo text > f$i; done; cat f200";
    const script = `mount -t tmpfs none /sys && exec ${BINARY[0]} run -- sh -c '${work}'`;
    writeFileSync(place.sandbox.at("script"), script);
    const { stdout } = await place.sh("unshare --mount --propagation private sh script", place.sandbox.path);
    expect(stdout).toBe("text\n");
  });
});

describeMounted("a service manager", () => {
  test("learns when the mount answers and when it ends", async () => {
    await using place = await unmounted();
    const { sandbox } = place;
    // Prints every message that it gets.
    const receiver = `import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind("notify")
while True: print(s.recv(4096).decode().replace("\\n", " "), flush=True)`;
    const manager = Bun.spawn({
      cmd: ["python3", "-c", receiver],
      cwd: sandbox.path,
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await eventually("the socket is there", () => Bun.spawnSync(["test", "-S", sandbox.at("notify")]).success);
      const messages = linesOf(manager.stdout);
      const env = { NOTIFY_SOCKET: sandbox.at("notify") };
      const service = sandbox.start(["mount", "--foreground", place.dir], { program: BINARY, env });
      expect(await messages.next()).toEqual({ done: false, value: `READY=1 STATUS=mounted at ${place.dir}` });
      expect(mountedType(place.dir)).toBe("fuse.llmfs");
      service.kill("SIGTERM");
      expect((await messages.next()).value).toBe("STOPPING=1");
      await service.exited;
      expect(mountedType(place.dir)).toBeUndefined();
    } finally {
      manager.kill();
      await manager.exited;
    }
  });

  test("a service whose socket is gone is mounted anyway", async () => {
    await using place = await mounted({ pending: ["a.md"], env: { NOTIFY_SOCKET: "/nowhere/notify" } });
    expect(await place.out("cat a.md")).toBe(contentOf("a.md"));
  });

  testWith(programs("systemd-analyze"))("systemd finds nothing wrong with the unit", () => {
    const { stdout, stderr, exitCode } = Bun.spawnSync(
      ["systemd-analyze", "verify", "--man=no", UNIT.replace("@", "@docs")],
      {
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    const said = `${stdout}${stderr}`;
    // The executable is not installed here.
    const others = said
      .split("\n")
      .filter((line) => line !== "" && !line.includes("/usr/local/bin/llmfs is not executable"));
    expect([others, exitCode === 0 || others.length === 0]).toEqual([[], true]);
  });
});

describeMounted("a program in place of fusermount3", () => {
  test("mounts and unmounts, even as root, with the environment of llmfs", async () => {
    await using user = await ordinary(["a.md"]);
    const { sandbox } = user.mounted;
    const proxy = sandbox.at("proxy");
    writeFileSync(proxy, `#!/bin/sh\necho "$PROXY_SOCKET $*" >> ${sandbox.at("calls")}\nexec fusermount3 "$@"\n`);
    chmodSync(proxy, 0o755);
    writeFileSync(sandbox.at("calls"), "");
    chmodSync(sandbox.at("calls"), 0o666);
    const env = { LLMFS_FUSERMOUNT: proxy, PROXY_SOCKET: "at-this-socket" };
    const run = (...args: string[]) => sandbox.llmfs(args, { program: BINARY, env });
    const { dir } = user.mounted;
    const flags = ["--from", "from.json", ...user.mounted.modelArgs()];
    expect((await run("mount", dir, ...flags)).stderr).toBe("");
    expect(mountedType(dir)).toBe("fuse.llmfs");
    expect((await run("unmount", dir)).stderr).toBe("");
    expect(mountedType(dir)).toBeUndefined();
    expect(readFileSync(sandbox.at("calls"), "utf8")).toMatch(/^at-this-socket -o .*subtype=llmfs/);
  });

  test("that cannot be executed is an error that names the variable", async () => {
    await using place = await unmounted();
    const env = { LLMFS_FUSERMOUNT: "/nowhere/proxy" };
    const { status, stderr } = await place.sandbox.llmfs(["mount", place.dir], { program: BINARY, env });
    expect([status, stderr]).toEqual([82, expect.stringContaining("LLMFS_FUSERMOUNT is /nowhere/proxy")]);
  });
});

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
