/** However a check ends, it ends clearly: nothing of it is left, and nothing is half done. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { check, kindOf, mountedProject, PROJECT } from "../support/checked.ts";
import { describeMounted, Gate, IS_ROOT, type Mounted } from "../support/mounted.ts";
import { BINARY, eventually, finished, isAlive } from "../support/program.ts";

setDefaultTimeout(120_000);

/** The project without a mistake. */
const correct = () =>
  mountedProject({ content: (path) => (PROJECT[path] ?? "").replace("int height", "int tide_height") });

const copies = (m: Mounted) => readdirSync(m.sandbox.path).filter((name) => name.startsWith("llmfs-check-"));

/** The process id that a command of the check has written to a file. */
async function pidIn(m: Mounted, name: string): Promise<number> {
  await eventually(`${name} is written`, () => existsSync(m.sandbox.at(name)));
  await eventually(`${name} is complete`, () => /^\d+\n$/.test(readFileSync(m.sandbox.at(name), "utf8")));
  return Number(readFileSync(m.sandbox.at(name), "utf8"));
}

const inCheck = (m: Mounted, script: string, ...flags: string[]) =>
  check(m, "--repairs", "0", ...flags, "--", "sh", "-c", script.replaceAll("OUT", m.sandbox.path));

describeMounted("the copy that a check runs in", () => {
  test("a check runs in a copy with the modes, times, links and special files of the tree", async () => {
    await using m = await correct();
    await m.out(`
      mkdir -m 750 d; echo x > d/a; ln d/a d/b; ln -s ../Makefile d/link; mkfifo -m 640 d/fifo; chmod 4711 d/a
      touch -h -d '2001-02-03 04:05:06.123456789' d/a d/link d/fifo; touch -d '2002-03-04 05:06:07.987654321' d`);
    const look = "find . ! -name . -printf '%p %y %m %n %T@ %l\\n' | sort; cat d/b Makefile";
    const done = await inCheck(m, look);
    expect(done).toMatchObject({ status: 0 });
    expect(done.stdout).toBe(await m.out(look));
    expect(done.stdout).toContain("./d/a f 4711 2 981173106.1234567890");
  });

  test("the command of a check works in the copy, which is removed whatever the command leaves in it", async () => {
    await using m = await correct();
    const script = 'pwd; echo "$LLMFS_MOUNT"; mkdir -p x/y; touch x/y/z; chmod 0 x/y x; rm Makefile; echo >> main.c';
    const { stdout, status } = await inCheck(m, script);
    expect(status).toBe(0);
    const [cwd = "", mount] = stdout.split("\n");
    expect(cwd).toStartWith(`${m.sandbox.path}/llmfs-check-`);
    expect(mount).toBe(cwd);
    expect(existsSync(cwd)).toBe(false);
    expect(await m.out("ls; cat main.c")).toBe(`Makefile\nmain.c\ntides.c\ntides.h\n${PROJECT["/main.c"]}`);
  });

  test("a copy that a killed process left behind is removed by the next check", async () => {
    await using m = await correct();
    await m.out('cd "$OUT" && mkdir -p llmfs-check-999999999-abc/x && touch -d "2 days ago" llmfs-check-999999999-abc');
    expect((await inCheck(m, "true")).status).toBe(0);
    expect(copies(m)).toEqual([]);
  });

  test("other users cannot enter the copy, whatever the mode of the tree is", async () => {
    await using m = await correct();
    const done = await inCheck(m, 'stat -c %a .. . && test "$PWD" = "$LLMFS_MOUNT"');
    expect(done).toMatchObject({ status: 0, stdout: "700\n755\n" });
  });

  test.skipIf(!IS_ROOT)("what others have given the name of an abandoned copy stays as it is", async () => {
    await using m = await correct();
    await m.out(`cd "$OUT" && mkdir kept && touch kept/a && chmod 400 kept/a && touch -d "2 days ago" kept
      ln -s kept llmfs-check-999999999-link
      mkdir llmfs-check-999999999-other && touch -d "2 days ago" llmfs-check-999999999-other
      chown 65534 llmfs-check-999999999-other`);
    expect((await inCheck(m, "true")).status).toBe(0);
    expect(copies(m).sort()).toEqual(["llmfs-check-999999999-link", "llmfs-check-999999999-other"]);
    expect(await m.out('stat -c %a "$OUT/kept/a"')).toBe("400\n");
  });

  test("a check needs space for its copy", async () => {
    await using m = await correct();
    const done = await m.sandbox.llmfs(["check", m.dir, "--", "true"], {
      program: BINARY,
      env: { TMPDIR: "/proc" },
    });
    // TMPDIR cannot be used; /tmp can.
    expect(done.status).toBe(0);
  });
});

describeMounted("a check that", () => {
  test("a check that does not end is stopped, with everything that it started", async () => {
    await using m = await correct();
    const script =
      "sh -c 'echo $$ > OUT/in; exec sleep 1000' & setsid sh -c 'echo $$ > OUT/out; exec sleep 1000' & wait";
    const done = await inCheck(m, script, "--check-timeout", "1s");
    expect(done.status).toBe(124);
    expect(done.stderr).toContain(
      "check failed: it did not end within 1 s and was stopped (1 run; no calls)\n".slice(0, 54),
    );
    for (const name of ["in", "out"]) expect(isAlive(await pidIn(m, name))).toBe(false);
    expect(copies(m)).toEqual([]);
  });

  test("a check that ignores signals is killed", async () => {
    await using m = await correct();
    const done = await inCheck(m, "trap '' TERM INT HUP; while :; do sleep 1; done", "--check-timeout", "500ms");
    expect(done.status).toBe(124);
  });

  test("a check that leaves processes behind does not wait for them", async () => {
    await using m = await correct();
    const done = await inCheck(m, "setsid sleep 1000 & echo $! > OUT/left; (sleep 1000) & echo done");
    expect(done).toMatchObject({ status: 0, stdout: "done\n" });
    await eventually("it is gone", () => !isAlive(Number(readFileSync(m.sandbox.at("left"), "utf8"))));
  });

  test("a check that kills its parent is reported with the signal", async () => {
    await using m = await correct();
    const done = await inCheck(m, "kill -9 $PPID; sleep 1000");
    expect(done.status).toBe(137);
    expect(done.stderr).toContain("check failed: it ended the shell that ran it, with SIGKILL");
    expect(copies(m)).toEqual([]);
  });

  test("a check that kills llmfs itself leaves nothing behind", async () => {
    await using m = await correct();
    const script =
      "echo $$ > OUT/command; trap '' TERM; kill -9 $(awk '{print $4}' /proc/$PPID/stat); while :; do sleep 1; done";
    expect((await inCheck(m, script)).status).toBe(-1);
    const pid = await pidIn(m, "command");
    await eventually("the command is gone", () => !isAlive(pid));
    await eventually("the copy is gone", () => copies(m).length === 0);
    // The mount is still there, and can be checked.
    expect((await inCheck(m, "make test")).status).toBe(0);
  });

  test("a check that is ended by a signal has the status that a shell reports", async () => {
    await using m = await correct();
    const done = await inCheck(m, "kill -SEGV $$");
    expect(done.status).toBe(139);
    expect(done.stderr).toContain("check failed: exit status 139 (signal 11)");
    expect((await check(m, "--", "no-such-command")).status).toBe(127);
    expect(m.server.requests.map(kindOf)).not.toContain("diagnosis");
  });

  test("a check that fills the disk is stopped, and not repaired", async () => {
    await using m = await correct();
    const done = await check(m, "--check-space", "4M", "--", "sh", "-c", "dd if=/dev/urandom of=big bs=1M; sleep 1000");
    expect(done.status).not.toBe(0);
    expect(done.stderr).toContain("check failed: it wrote more than 4 MiB, so it was stopped");
    expect(done.stderr).toContain("it is not repaired: a check without space says nothing about the files");
    expect(m.server.requests.map(kindOf)).not.toContain("diagnosis");
    expect(copies(m)).toEqual([]);
  });

  test("a check that prints without end is read without end, and only the end of the output is sent", async () => {
    await using m = await mountedProject();
    const script = "yes a-long-line-of-output | head -c 30000000; make test";
    const done = await check(m, "--json", "--", "sh", "-c", script);
    expect(done.status).toBe(0);
    expect(JSON.parse(done.stdout).output.length).toBeLessThan(70_000);
    const diagnosis = m.server.requests.find((request) => kindOf(request) === "diagnosis");
    expect(JSON.stringify(diagnosis?.body).length).toBeLessThan(60_000);
  });

  test("a check whose command, output and instructions are very long is repaired anyway", async () => {
    const long = "very ".repeat(200_000);
    await using m = await mountedProject({
      diagnosis: () => ({
        why: long,
        checkIsWrong: false,
        files: [{ path: "tides.c", instruction: `rename it ${long}` }],
      }),
    });
    const script = `: ${"x".repeat(100_000)}; head -c 1000000 /dev/zero; make test`;
    const done = await check(m, "--", "sh", "-c", script);
    expect(done.status).toBe(0);
    expect(done.stderr.length).toBeLessThan(5000);
  });

  test("a check that reads its standard input gets end of file", async () => {
    await using m = await correct();
    expect(await inCheck(m, "cat; echo end")).toMatchObject({ status: 0, stdout: "end\n" });
  });
});

describeMounted("an interrupted check", () => {
  const start = (m: Mounted, ...command: string[]) =>
    m.sandbox.start(["check", m.dir, "--", ...command], { program: BINARY });

  test("an interrupted check ends its command, removes the copy, and records nothing", async () => {
    await using m = await correct();
    const child = start(m, "sh", "-c", `echo $$ > ${m.sandbox.path}/pid; sleep 1000; true`);
    const pid = await pidIn(m, "pid");
    child.kill("SIGINT");
    expect((await finished(child)).status).toBe(130);
    expect(isAlive(pid)).toBe(false);
    expect(copies(m)).toEqual([]);
  });

  test("an interrupted check cancels a rewrite, and the file keeps its content", async () => {
    await using m = await mountedProject();
    const gate = new Gate();
    const { server } = m;
    const answers = gate.holds();
    let rewriting = false;
    const files = [{ path: "tides.c", instruction: "rename it" }];
    server.script(async (request) => {
      const kind = kindOf(request);
      if (kind === "diagnosis") return { stream: JSON.stringify({ why: "", checkIsWrong: false, files }) };
      if (kind === "content")
        return { stream: PROJECT[`/${/Write the file (.*)/.exec(request.body.messages.at(-1).content)?.[1]}`] ?? "" };
      rewriting = true;
      return answers("tides.c", request);
    });
    const child = start(m, "make", "test");
    await eventually("it is being written", () => rewriting, 30_000);
    const before = readdirSync(m.sandbox.at("rec"));
    child.kill("SIGTERM");
    expect((await finished(child)).status).toBe(143);
    gate.open();
    expect(await m.out("cat tides.c")).toBe(PROJECT["/tides.c"] ?? "");
    expect(readdirSync(m.sandbox.at("rec"))).toEqual(before);
  });

  test("a check ends if the tree is unmounted", async () => {
    await using m = await correct();
    const child = start(m, "sh", "-c", `echo $$ > ${m.sandbox.path}/pid; sleep 1000; true`);
    const pid = await pidIn(m, "pid");
    await m.unmount("--lazy");
    expect((await finished(child)).status).toBe(83);
    await eventually("the command is gone", () => !isAlive(pid));
    expect(copies(m)).toEqual([]);
  });
});

describeMounted("a check on a disk of its own", () => {
  test.skipIf(!IS_ROOT)("is stopped when the disk is full, and needs room for its copy (as root)", async () => {
    await using m = await correct();
    const small = m.sandbox.directory("small");
    const sh = (script: string) => m.sh(script.replaceAll("SMALL", small), "/");
    expect((await sh("mount -t tmpfs -o size=24M tmpfs SMALL")).status).toBe(0);
    try {
      const run = (script: string) =>
        m.sandbox.llmfs(["check", m.dir, "--", "sh", "-c", script], { program: BINARY, env: { TMPDIR: small } });
      for (const script of ["dd if=/dev/zero of=big bs=1M", "dd if=/dev/zero of=big bs=1M; sleep 1000"]) {
        const done = await run(script);
        expect(done.status).not.toBe(0);
        expect(done.stderr).toContain("check failed: the disk is full, so it was stopped");
        expect(readdirSync(small)).toEqual([]);
      }
      // The tree does not fit, so the copy is made elsewhere.
      await m.out("dd if=/dev/zero of=large bs=1M count=30 status=none");
      expect((await run("pwd")).stdout).not.toStartWith(small);
    } finally {
      await sh("umount -l SMALL");
    }
  });
});
