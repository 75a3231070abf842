/** Generating files ahead of time: `warm`, `mount --warm`, `run --warm`. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { contentOf, describeMounted, Gate, mounted, pathOf, snapshotOf, unmounted } from "../support/mounted.ts";
import { BINARY, eventually, finished, Sandbox } from "../support/program.ts";
import { Random } from "../support/random.ts";

setDefaultTimeout(60_000);

const paths = (count: number) => Array.from({ length: count }, (_, index) => `dir${index % 3}/file${index}.txt`);

/** A snapshot with files that depend on others. */
function dependent(depends: Readonly<Record<string, string>>): string {
  const snapshot = JSON.parse(snapshotOf(Object.keys(depends)));
  for (const entry of snapshot.entries) {
    const lines = depends[entry.path.slice(1)];
    if (lines) entry.xattrs["user.llmfs.depends"] = lines;
  }
  return JSON.stringify(snapshot);
}

describeMounted("warm", () => {
  test("llmfs warm generates every file once, as many concurrently as the mount allows", async () => {
    let now = 0;
    let most = 0;
    const full = Promise.withResolvers<void>();
    await using m = await mounted({
      pending: paths(60),
      args: ["--concurrency", "12"],
      answer: async (path) => {
        most = Math.max(most, ++now);
        // Held until the allowed number has arrived; one too many would follow at once.
        if (now === 12) setTimeout(full.resolve, 50);
        await full.promise;
        now -= 1;
        return { stream: contentOf(path) };
      },
    });
    const { status, stdout, stderr } = await m.sandbox.llmfs(["warm", "--json", m.dir], { program: BINARY });
    expect([status, JSON.parse(stdout)]).toMatchObject([0, { total: 60, done: 60, failed: [], calls: 60 }]);
    expect(stderr).toContain("60 of 60 files generated");
    expect(stderr).toContain("60 calls, 660 + 420 tokens");
    expect([m.server.requests.length, most]).toEqual([60, 12]);
    expect(m.status().files).toMatchObject({ pending: 0, ready: 60 });
    expect(await m.out("cat dir1/file1.txt")).toBe(contentOf("dir1/file1.txt"));
    expect(m.server.requests.length).toBe(60);
    const again = await m.sandbox.llmfs(["warm", m.dir], { program: BINARY });
    expect([again.status, again.stderr]).toEqual([0, expect.stringContaining("nothing to generate")]);
  });

  test("recordings are on the disk when llmfs warm returns", async () => {
    using programs = new Sandbox();
    const log = join(programs.path, "flushed");
    writeFileSync(log, "");
    writeFileSync(join(programs.path, "sync"), `#!/bin/sh\necho "$@" >> ${log}\nexec ${Bun.which("sync")} "$@"\n`, {
      mode: 0o755,
    });
    await using m = await mounted({
      pending: paths(120),
      args: ["--recordings", programs.at("recordings")],
      env: { PATH: `${programs.path}:${process.env.PATH}` },
    });
    const { status } = await m.sandbox.llmfs(["warm", m.dir], { program: BINARY });
    expect(status).toBe(0);
    expect(readFileSync(log, "utf8")).toContain(`-f -- ${programs.at("recordings")}`);
  });

  test("llmfs warm accepts globs and directories, and generates first what their files depend on", async () => {
    await using m = await mounted({ snapshot: dependent({ "src/a": "../z", "src/b": "", other: "", z: "" }) });
    const { status } = await m.sandbox.llmfs(["warm", m.dir, "src/*"], { program: BINARY });
    expect(status).toBe(0);
    expect(m.server.requests.map(pathOf).sort()).toEqual(["src/a", "src/b", "z"]);
    expect(m.asked("z")).toBe(1);
    expect(m.server.requests.findIndex((one) => pathOf(one) === "z")).toBeLessThan(
      m.server.requests.findIndex((one) => pathOf(one) === "src/a"),
    );
    expect(JSON.stringify(m.server.requests.find((one) => pathOf(one) === "src/a")?.body)).toContain("content of z");
  });

  test("llmfs warm names every failed file with its reason, and exits with a status for it", async () => {
    await using m = await mounted({
      snapshot: dependent({ good: "", bad: "", left: "right", right: "left" }),
      args: ["--timeout", "700ms"],
      answer: (path) => (path === "bad" ? { status: 400, body: { error: { message: "what?" } } } : { stream: "x" }),
    });
    const { status, stderr } = await m.sandbox.llmfs(["warm", m.dir], { program: BINARY });
    expect(status).toBe(90);
    expect(stderr).toContain("1 of 4 files generated");
    expect(stderr).toMatch(/failed: \/bad: EIO: .*what\?/);
    expect(stderr).toMatch(/failed: \/left: EDEADLK: .*depend on each other: .*\/left.*\/right/);
    expect(stderr).toMatch(/failed: \/right: EDEADLK: /);
    expect(await m.out("cat good")).toBe("x\n");
  });

  test("llmfs warm stops at Ctrl-C, keeps what is done, and cancels what is in progress", async () => {
    const gate = new Gate();
    const held = gate.holds();
    await using m = await mounted({
      pending: paths(30),
      answer: (path, request) => (path.startsWith("dir0/") ? { stream: contentOf(path) } : held(path, request)),
    });
    const child = m.sandbox.start(["warm", m.dir], { program: BINARY });
    const ended = finished(child);
    await eventually(
      "ten are done, and four are held",
      () => m.status().files.ready === 10 && m.server.requests.length === 14,
    );
    child.kill("SIGINT");
    const { status, stderr } = await ended;
    expect([status, stderr]).toEqual([130, expect.stringMatching(/stopped with \d+ left; finished files are kept/)]);
    await eventually("nothing is under way", () => m.status().generating === 0);
    // Four at a time: the requests in progress were cancelled, and no further request is sent.
    const { calls } = JSON.parse(await m.out("cat .llmfs/usage.json"));
    expect([m.server.requests.length, calls, stderr]).toEqual([14, 14, expect.stringContaining("; 14 calls, ")]);
    expect(m.status().files.ready).toBe(10);
    gate.open();
    expect((await m.sandbox.llmfs(["warm", m.dir], { program: BINARY })).status).toBe(0);
    expect(m.status().files.ready).toBe(30);
  });

  test("llmfs warm works on a read-only mount", async () => {
    await using m = await mounted({ pending: ["a", "dir/b"], args: ["--read-only"] });
    const { status, stderr } = await m.sandbox.llmfs(["warm", m.dir], { program: BINARY });
    expect([status, stderr]).toEqual([0, expect.stringContaining("2 of 2 files generated")]);
    expect(await m.out("cat dir/b")).toBe(contentOf("dir/b"));
  });

  test("llmfs warm cancels what is in progress when it is killed, except for what other readers wait for", async () => {
    const gate = new Gate();
    await using m = await mounted({ pending: ["a", "b"], answer: gate.holds() });
    const child = m.sandbox.start(["warm", m.dir], { program: BINARY });
    const ended = finished(child);
    await eventually("both are asked for", () => m.server.requests.length === 2);
    const reader = m.sh("cat b");
    await eventually("the reader waits", () => Number(m.status().requests.open) >= 2);
    child.kill("SIGKILL");
    await ended;
    await eventually("one is cancelled", () => m.status().generating === 1);
    gate.open();
    expect((await reader).stdout).toBe(contentOf("b"));
    expect(m.status().files).toMatchObject({ pending: 1, ready: 1 });
  });

  test("llmfs warm reports when the mount goes away during its work", async () => {
    const gate = new Gate();
    await using m = await mounted({ pending: ["a", "b"], answer: gate.holds() });
    const child = m.sandbox.start(["warm", m.dir], { program: BINARY });
    const ended = finished(child);
    await eventually("both are asked for", () => m.server.requests.length === 2);
    process.kill(m.status().pid, "SIGKILL");
    const { status, stderr } = await ended;
    expect(status).not.toBe(0);
    expect([status, stderr]).toEqual([83, expect.stringContaining("is no longer mounted")]);
    expect(stderr).toContain("0 of 2 files generated");
    expect(stderr).not.toContain("    at ");
    gate.open();
  });

  test("mount --warm returns when everything is generated, names what failed, and keeps the mount", async () => {
    await using m = await unmounted((path) => (path === "bad" ? { status: 400 } : { stream: contentOf(path) }));
    writeFileSync(m.sandbox.at("from.json"), snapshotOf(["a", "b", "bad"]));
    const args = ["mount", m.dir, "--warm", "--from", "from.json", ...m.modelArgs()];
    const { status, stderr } = await m.sandbox.llmfs(args, { program: BINARY });
    expect([status, stderr]).toEqual([90, expect.stringMatching(/2 of 3 files generated[\s\S]*failed: \/bad: /)]);
    expect(m.status().files).toMatchObject({ pending: 0, ready: 2, failed: 1 });
    expect(m.server.requests).toHaveLength(3);
  });

  test("llmfs warm rejects a pattern that matches no file, pending or not", async () => {
    await using m = await mounted({ pending: ["src/a", "b"] });
    const warm = (...patterns: string[]) => m.sandbox.llmfs(["warm", m.dir, ...patterns], { program: BINARY });
    expect((await warm("src", "b")).status).toBe(0);
    expect((await warm("src/*")).status).toBe(0);
    // As a shell expands m/src/*.
    expect((await warm(`${m.dir}/src/a`)).status).toBe(0);
    const typo = await warm("src", "zzz*");
    expect([typo.status, typo.stderr]).toEqual([2, expect.stringContaining(`zzz*: no file in ${m.dir} matches`)]);
  });

  test("mount --warm, when interrupted, leaves no mount behind, and says what happens to files that are done", async () => {
    await using m = await unmounted(() => ({ hang: true }));
    writeFileSync(m.sandbox.at("from.json"), snapshotOf(["a", "b"]));
    const child = m.sandbox.start(
      ["mount", m.dir, "--warm", "--from", "from.json", "--mode", "off", ...m.modelArgs()],
      {
        program: BINARY,
      },
    );
    const ended = finished(child);
    await m.server.request(1);
    child.kill("SIGINT");
    const { status, stderr } = await ended;
    expect([status, stderr]).toEqual([
      130,
      expect.stringContaining("stopped with 2 left; finished files are lost with the mount"),
    ]);
    await eventually("it is gone", () => !readFileSync("/proc/self/mounts", "utf8").includes(` ${m.dir} `));
  });

  test("run --warm and mount --warm print one line for a cause that many files share; the log names every file", async () => {
    await using m = await unmounted();
    const files = paths(20);
    writeFileSync(m.sandbox.at("from.json"), snapshotOf(files));
    const args = ["--warm", "--mode", "replay", "--from", "from.json", ...m.modelArgs()];
    for (const command of [
      ["run", ...args, "--", "echo", "begun"],
      ["mount", m.dir, ...args],
    ]) {
      const { status, stdout, stderr } = await m.sandbox.llmfs(command, { program: BINARY });
      expect([status, stdout]).toEqual([90, ""]);
      expect(stderr.match(/no recording for/g)).toHaveLength(1);
      expect(stderr).toMatch(/^failed: 20 files \(\S+, \S+, \S+ and 17 more\): EIO: no recording for the file: /m);
    }
    const log = m.sandbox.log();
    for (const path of files) expect(log).toContain(`/${path}: EIO: no recording for /${path}`);
  });

  test("run --warm starts the command when everything is generated, and not at all if something failed", async () => {
    await using m = await unmounted();
    writeFileSync(m.sandbox.at("from.json"), snapshotOf(["a", "b"]));
    const run = (script: string) =>
      m.sandbox.llmfs(
        ["run", "--warm", "--mode", "off", "--from", "from.json", ...m.modelArgs(), "--", "sh", "-c", script],
        { program: BINARY },
      );
    const whole = await run("getfattr --only-values -n user.llmfs.state a b");
    expect([whole.status, whole.stdout]).toEqual([0, "readyready"]);
    m.answer = (path) => (path === "b" ? { status: 400 } : { stream: "x" });
    const half = await run("echo begun");
    expect([half.status, half.stdout, half.stderr]).toEqual([90, "", expect.stringContaining("failed: /b: ")]);
  });
});

describeMounted("a budget of three calls", () => {
  test("a budget of three calls allows exactly three, however many of twenty concurrent readers ask; the others get EDQUOT", async () => {
    const pending = paths(20);
    await using m = await mounted({ pending, args: ["--max-calls", "3", "--concurrency", "20"] });
    const results = await Promise.all(pending.map((path) => m.sh(`cat ${path}`)));
    expect(m.server.requests).toHaveLength(3);
    expect(results.filter(({ status }) => status === 0)).toHaveLength(3);
    const refused = results.filter(({ status }) => status !== 0);
    expect(refused.map(({ stderr }) => /Disk quota exceeded/.test(stderr))).toEqual(Array(17).fill(true));
    expect(JSON.parse(await m.out("cat .llmfs/usage.json"))).toMatchObject({ calls: 3, limits: { calls: 3 } });
  });

  test("a budget of three calls allows exactly three to a failing server, including retries", async () => {
    const pending = paths(20);
    const answer = () => ({ status: 503 });
    await using m = await mounted({ pending, answer, args: ["--max-calls", "3", "--concurrency", "20"] });
    const results = await Promise.all(pending.map((path) => m.sh(`cat ${path}`)));
    expect(m.server.requests).toHaveLength(3);
    expect(results.map(({ status }) => status)).toEqual(Array(20).fill(1));
    expect(JSON.parse(await m.out("cat .llmfs/usage.json"))).toMatchObject({ calls: 3, failures: 20 });
  });
});

describeMounted("the requests of a tree", () => {
  test("the requests of a tree are the same in whatever order its files are read, one by one or concurrently", async () => {
    const depends = Object.fromEntries(paths(12).map((path, index) => [path, index % 4 === 0 ? "../shared.md" : ""]));
    const snapshot = JSON.parse(dependent({ ...depends, "shared.md": "", "late.md": "dir0/file0.txt" }));
    snapshot.entries.push({ path: "/NOTES.md", type: "file", text: "static\n" });
    const all = [...Object.keys(depends), "shared.md", "late.md"];
    const seen: Record<string, string>[] = [];
    for (const [round, shell] of ["cat $@", "cat $@", "for f; do cat $f & done; wait"].entries()) {
      await using m = await mounted({ snapshot: JSON.stringify(snapshot), args: ["--mode", "off"] });
      const random = new Random(round);
      const order = all.map((path) => ({ path, at: random.next() })).sort((a, b) => a.at - b.at);
      await m.out(`set -- ${order.map(({ path }) => path).join(" ")}; ${shell}`);
      seen.push(Object.fromEntries(m.server.requests.map((one) => [pathOf(one), JSON.stringify(one.body)]).sort()));
    }
    expect(Object.keys(seen[0]!)).toHaveLength(all.length);
    expect(seen[1]).toEqual(seen[0]!);
    expect(seen[2]).toEqual(seen[0]!);
  });
});
