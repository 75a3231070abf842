/** `.llmfs/control` on a real mount: from a shell, by `llmfs regen`, and what happens to its requests. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { MNT_DETACH, umount } from "../../src/libc.ts";
import { contentOf, describeMounted, Gate, IS_ROOT, mounted, pathOf } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { BINARY, eventually, finished } from "../support/program.ts";

setDefaultTimeout(60_000);

describeMounted("the control file", () => {
  test("the control file takes requests from a shell and returns the answers", async () => {
    await using m = await mounted({ pending: ["a", "b"], answer: (path) => ({ stream: `${path} ${m.asked(path)}` }) });
    const answers = await m.out(`
      exec 3<>.llmfs/control
      echo '{"id": 1, "op": "make", "path": "/a"}' >&3; cat <&3
      echo '{"id": 2, "op": "regen", "path": "/a"}' >&3; cat <&3
      printf '%s\\n' '{"id": 3, "op": "undo", "path": "/a"}' '{"id": 4, "op": "make", "path": "/none"}' >&3; cat <&3`);
    const lines = answers.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { id: 1, ok: true, usage: { calls: 1 } },
      { id: 2, ok: true, usage: { calls: 2 } },
      { id: 3, ok: true },
      { id: 4, errno: "ENOENT", message: "/none: no such file or directory" },
    ]);
    expect(await m.out("cat a; stat -c %A .llmfs .llmfs/control .llmfs/status.json")).toBe(
      "a 1\ndr-x------\n-rw-------\n-r--------\n",
    );
  });

  test("the control file can be read and written by two threads with one descriptor", async () => {
    const gate = new Gate();
    await using m = await mounted({ pending: ["a", "b"], answer: gate.holds() });
    const script = `
import os, threading
fd = os.open(".llmfs/control", os.O_RDWR)
got = []
def read():
    while data := os.read(fd, 65536): got.append(data)
os.write(fd, b'{"id": 1, "op": "make", "path": "/a"}\\n')
thread = threading.Thread(target=read); thread.start()
os.write(fd, b'{"id": 2, "op": "make", "path": "/b"}\\n')
print("written", flush=True)
thread.join()
print(b"".join(got).count(b'"ok":true'))
`;
    const child = Bun.spawn(["python3", "-c", script], { cwd: m.dir, stdout: "pipe", stderr: "inherit" });
    await eventually("both are asked for", () => m.server.requests.length === 2);
    gate.open();
    expect(await child.stdout.text()).toBe("written\n2\n");
  });

  test("the control file generates files of a read-only mount, and regenerates none", async () => {
    await using m = await mounted({ pending: ["a", "b"], args: ["--read-only"] });
    const warm = await m.sandbox.llmfs(["warm", m.dir, "a"], { program: BINARY });
    expect([warm.status, m.asked("a")]).toEqual([0, 1]);
    const regen = await m.sandbox.llmfs(["regen", `${m.dir}/a`, `${m.dir}/b`], { program: BINARY });
    expect([regen.status, regen.stderr]).toEqual([90, expect.stringContaining("EROFS: the mount is read-only")]);
    expect(m.server.requests).toHaveLength(1);
  });
});

describeMounted("llmfs regen", () => {
  testWith(programs("strace"))("of many files is one process", async () => {
    await using m = await mounted({ pending: ["a", "b", "c"] });
    const log = m.sandbox.at("log");
    const child = Bun.spawn(
      ["strace", "-f", "-qq", "-e", "trace=execve", "-o", log, ...BINARY, "regen", "a", "b", "c"],
      {
        cwd: m.dir,
        env: m.sandbox.environment(),
        stdio: ["ignore", "ignore", "ignore"],
      },
    );
    expect(await child.exited).toBe(0);
    expect(m.server.requests).toHaveLength(3);
    expect(readFileSync(log, "utf8").match(/execve\(/g)).toHaveLength(1);
  });

  test.each([[["a"]], [["a", "b"]]])(
    "llmfs regen of %p cancels work in progress when it is interrupted",
    async (paths) => {
      const gate = new Gate();
      await using m = await mounted({ pending: ["a", "b"] });
      await m.out("cat a b");
      m.answer = gate.holds();
      const child = m.sandbox.start(["regen", ...paths], { program: BINARY, cwd: m.dir });
      const ended = finished(child);
      await eventually("all are asked for", () => m.server.requests.length === 2 + paths.length);
      child.kill("SIGINT");
      const { status, stderr } = await ended;
      expect([status, stderr]).toEqual([130, expect.not.stringContaining("failed")]);
      await eventually("the server is let go", () => m.server.requests.slice(2).every(({ gone }) => gone));
      gate.open();
      expect(await m.out("cat a")).toBe(contentOf("a"));
    },
  );

  test.each([[["a"]], [["a", "b"]]])(
    "llmfs regen of %p reports when the mount goes away during its work",
    async (paths) => {
      await using m = await mounted({ pending: ["a", "b"] });
      await m.out("cat a b");
      m.answer = new Gate().holds();
      const child = m.sandbox.start(["regen", ...paths.map((path) => `${m.dir}/${path}`)], { program: BINARY });
      const ended = finished(child);
      await eventually("all are asked for", () => m.server.requests.length === 2 + paths.length);
      process.kill(m.status().pid, "SIGKILL");
      const { status, stderr } = await ended;
      expect([status, stderr]).toEqual([83, expect.stringContaining("is no longer mounted")]);
    },
  );

  testWith(IS_ROOT ? undefined : "to be root")(
    "finds the mount of a file that is seen through a bind mount",
    async () => {
      await using m = await mounted({ pending: ["dir/a"], answer: (path) => ({ stream: `${path} ${m.asked(path)}` }) });
      const bound = m.sandbox.directory("bound");
      await Bun.$`mount --bind ${m.dir}/dir ${bound}`.quiet();
      try {
        await m.out("cat dir/a");
        expect((await m.sandbox.llmfs(["regen", "bound/a"], { program: BINARY })).status).toBe(0);
        expect(await m.out("cat dir/a")).toBe("dir/a 2\n");
      } finally {
        umount(bound, MNT_DETACH);
      }
    },
  );

  test("llmfs regen of an invalid path fails with the reason", async () => {
    await using m = await mounted({ pending: ["a"] });
    const { status, stderr } = await m.sandbox.llmfs(["regen", `${m.dir}/a/b`], { program: BINARY });
    expect([status, stderr]).toEqual([90, expect.stringContaining("ENOTDIR: /a/b: not a directory")]);
    expect(m.server.requests.map(pathOf)).toEqual([]);
  });
});
