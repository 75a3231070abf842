/** What happens when a resource is exhausted: docs/limits-and-crashes.md describes it for users. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describeMounted, IS_ROOT, mounted, unmounted } from "../support/mounted.ts";
import { testWith } from "../support/needs.ts";
import { BINARY, eventually, finished, mountedType } from "../support/program.ts";

setDefaultTimeout(60_000);

describeMounted("an exhausted resource", () => {
  test("out of space: a write fails with ENOSPC, earlier content stays, and freed space can be used again", async () => {
    await using m = await unmounted();
    await m.mount(["--size", "4M"]);
    await m.out("echo precious > kept");
    const { status, stderr } = await m.sh("head -c 5000000 /dev/zero > big");
    expect([status, stderr]).toEqual([1, expect.stringContaining("No space left on device")]);
    expect(await m.out("cat kept; rm big; head -c 3000000 /dev/zero > big; stat -c %s big")).toBe(
      "precious\n3000000\n",
    );
  });

  test("the space of a file can be used as soon as it is removed, replaced, emptied or closed", async () => {
    await using m = await unmounted();
    await m.mount(["--size", "4M", "--inodes", "20"]);
    writeFileSync(
      m.sandbox.at("reuse.py"),
      `
import os, time
def fill(fd):
    for _ in range(48): assert os.write(fd, bytes(65536)) == 65536
    os.close(fd)
def new(name): return os.open(name, os.O_CREAT | os.O_RDWR)
# After a pause the thread that serves the mount sleeps, and the program is ahead of it.
def pause(): time.sleep(0.008)
for i in range(40):
    fill(new("a"))
    other = new("b")
    pause(); os.unlink("a"); fill(other)
    other = new("c")
    os.close(new("d"))
    pause(); os.rename("d", "b"); fill(other)
    pause(); os.unlink("c"); fill(new("e"))
    fd = os.open("e", os.O_RDWR); os.unlink("e")
    pause(); os.close(fd); fill(new("f"))
    pause(); fill(os.open("f", os.O_TRUNC | os.O_WRONLY))
    for name in "bf": os.unlink(name)
    for kind in range(16): os.mkdir("d%d" % kind)
    for kind in range(16): os.rmdir("d%d" % kind)
`,
    );
    expect(await m.sh("python3 $OUT/reuse.py")).toMatchObject({ status: 0, stderr: "" });
  });

  test("out of inodes: neither names nor attributes can be added", async () => {
    await using m = await unmounted();
    await m.mount(["--inodes", "100"]);
    await m.out("seq 90 | xargs touch");
    const attributes = await m.sh("setfattr -n user.a -v $(head -c 20000 /dev/zero | tr '\\0' a) 1");
    expect([attributes.status, attributes.stderr]).toEqual([1, expect.stringContaining("No space left on device")]);
    expect((await m.sh("for i in $(seq 20); do ln 1 link$i || exit 7; done")).status).toBe(7);
    expect((await m.sh("touch another")).status).toBe(1);
    expect(await m.out("rm 1 link1; touch another && ls | wc -l")).toBe("98\n");
  });

  test("out of file descriptors: files work as before", async () => {
    await using m = await unmounted();
    const mounting = `ulimit -n 48; exec '${BINARY[0]}' mount '${m.dir}' ${m.modelArgs().join(" ")}`;
    expect((await m.sh(mounting, m.sandbox.path)).status).toBe(0);
    writeFileSync(
      m.sandbox.at("many.py"),
      `
import os
content = lambda i: bytes([i]) * 300000
fds = [os.open("f%d" % i, os.O_CREAT | os.O_RDWR) for i in range(150)]
for i, fd in enumerate(fds): os.write(fd, content(i))
for i, fd in enumerate(fds): assert os.pread(fd, 300001, 0) == content(i), i
for fd in fds: os.close(fd)
for i in range(150): assert open("f%d" % i, "rb").read() == content(i), i
`,
    );
    expect(await m.sh("python3 $OUT/many.py && ls | wc -l")).toMatchObject({ status: 0, stdout: "150\n" });
  });

  testWith(IS_ROOT ? undefined : "root, to mount a small tmpfs")(
    "disk space for --save: the previous save stays, and the tree is saved elsewhere",
    async () => {
      await using m = await unmounted();
      const disk = m.sandbox.directory("disk");
      await m.out(`mount -t tmpfs -o size=64k tmpfs ${disk}`);
      try {
        const saved = m.sandbox.at("disk/tree.json");
        await m.mount(["--save", saved]);
        await m.out("echo first > file");
        expect((await m.unmount()).status).toBe(0);
        const before = readFileSync(saved, "utf8");
        await m.mount(["--from", saved, "--save", saved]);
        await m.out("head -c 200000 /dev/urandom > big");
        const { status, stderr } = await m.unmount();
        expect(status).toBe(89);
        expect(readFileSync(saved, "utf8")).toBe(before);
        expect(await m.out(`ls -A ${disk}`)).toBe("tree.json\n");
        const rescue = /it is saved in (\S+\.json) instead/.exec(stderr)?.[1] ?? "";
        await m.mount(["--from", rescue]);
        expect(await m.out("cat file; stat -c %s big")).toBe("first\n200000\n");
      } finally {
        await m.out(`cd /; umount -l ${disk}`);
      }
    },
  );

  test("a file size limit of the mounting shell does not limit later writers and saving, but does limit the command of run", async () => {
    await using m = await unmounted();
    const limited = (command: string) => m.sh(`ulimit -S -f 64; exec '${BINARY[0]}' ${command}`, m.sandbox.path);
    expect(await limited(`mount '${m.dir}' --save tree.json`)).toMatchObject({ status: 0, stderr: "" });
    expect(await m.out("head -c 500000 /dev/urandom > big; wc -c < big")).toBe("500000\n");
    expect(await m.unmount()).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain("/big");
    const asked = `sh -c 'ulimit -f; head -c 500000 /dev/zero > big || echo refused'`;
    expect((await limited(`run -- ${asked}`)).stdout).toBe("64\nrefused\n");
  });

  test("a file size limit makes llmfs save fail with the reason and leave the old file", async () => {
    await using m = await mounted();
    await m.out("head -c 300000 /dev/urandom > big; echo old > $OUT/tree.json");
    const save = `ulimit -f 64; exec '${BINARY[0]}' save '${m.dir}' $OUT/tree.json`;
    const { status, stderr } = await m.sh(save);
    expect([status, stderr]).toEqual([89, expect.stringContaining("ulimit -f")]);
    expect(await m.out("cat $OUT/tree.json; ls -A $OUT | grep tmp || echo clean")).toBe("old\nclean\n");
  });

  test("when the mounting shell goes away, a mount in the background stays, and one in the foreground is saved", async () => {
    await using m = await unmounted();
    const started = m.start(`'${BINARY[0]}' mount '${m.dir}' && echo mounted && exec sleep 1000`, m.sandbox.path);
    const reader = started.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    started.kill("SIGKILL");
    await started.exited;
    expect(await m.out("echo alive > file; cat file")).toBe("alive\n");
    expect((await m.unmount()).status).toBe(0);

    const saved = m.sandbox.at("tree.json");
    const foreground = m.sandbox.start(["mount", "-f", m.dir, "--save", saved], { program: BINARY });
    await eventually("it is mounted", () => mountedType(m.dir) !== undefined);
    await m.out("echo kept > file");
    foreground.kill("SIGHUP");
    await finished(foreground);
    expect([mountedType(m.dir), existsSync(saved)]).toEqual([undefined, true]);
    expect(readFileSync(saved, "utf8")).toContain("kept");
  });
});
