/** The commands that look at mounts: list, status and tree, in the compiled binary, on a terminal and off it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { documented } from "../support/json-shapes.ts";
import { describeMounted, Gate, IS_ROOT, killBoth, mounted, processesOf, snapshotOf } from "../support/mounted.ts";
import { mountNamespace, testWith } from "../support/needs.ts";
import { BINARY, eventually, type Finished, finished, Sandbox, stopProcess } from "../support/program.ts";
import { Terminal } from "../support/terminal.ts";

setDefaultTimeout(60_000);

interface Listed {
  readonly mountpoint: string;
  readonly state: string;
}

function find<T extends { readonly mountpoint: string }>(all: readonly T[], mountpoint: string): T {
  const found = all.find((one) => one.mountpoint === mountpoint);
  if (found === undefined) throw new Error(`${mountpoint} is not in ${JSON.stringify(all)}`);
  return found;
}

describeMounted("llmfs list", () => {
  test("llmfs list shows files by state, age, cost and prompt of every mount, also as JSON", async () => {
    await using m = await mounted({
      snapshot: JSON.stringify({
        llmfs: 1,
        entries: [
          { path: "/", type: "directory", mode: "0755", xattrs: { "user.llmfs.prompt": "a tide\ntable" } },
          { path: "/a.md", type: "file", mode: "0644", state: "pending" },
          { path: "/b.md", type: "file", mode: "0644", state: "pending" },
          { path: "/own", type: "file", mode: "0644", text: "x" },
        ],
      }),
    });
    await m.out("cat a.md");
    const text = await m.sandbox.llmfs(["list"], { program: BINARY });
    expect([text.status, text.stderr]).toEqual([0, ""]);
    const line = text.stdout.split("\n").find((one) => one.startsWith(m.dir)) ?? "";
    expect(line).toMatch(/serving +\d+ +\d+ s +1 ready, 1 pending, 1 static +1 call +a tide table$/);
    const json = await m.sandbox.llmfs(["list", "--json"], { program: BINARY });
    const one = find(documented("list", json.stdout), m.dir);
    expect(one).toMatchObject({
      state: "serving",
      pid: processesOf(m.dir, "--daemon")[0],
      prompt: "a tide\ntable",
      from: m.sandbox.at("from.json"),
      files: { ready: 1, pending: 1, static: 1, failed: 0, generating: 0 },
      usage: { calls: 1 },
    });
  });

  test("llmfs list shows a dead mount and how to remove it, and a stopped one, without waiting for either", async () => {
    await using dead = await mounted();
    await using stopped = await mounted({ pending: ["a"] });
    await killBoth(dead.dir);
    const [pid = 0] = processesOf(stopped.dir, "--daemon");
    using _ = stopProcess(pid);
    const { status, stdout, stderr } = await dead.sandbox.llmfs(["list"], { program: BINARY });
    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`^${dead.dir} +dead `, "m"));
    expect(stdout).toMatch(new RegExp(`^${stopped.dir} +stopped +${pid} `, "m"));
    expect(stderr).toContain(`llmfs unmount ${dead.dir}`);
    const all: Listed[] = documented(
      "list",
      (await dead.sandbox.llmfs(["list", "--json"], { program: BINARY })).stdout,
    );
    expect([find(all, dead.dir).state, find(all, stopped.dir).state]).toEqual(["dead", "stopped"]);
  });

  testWith(IS_ROOT ? mountNamespace() : "root")("shows a mount in another mount namespace", async () => {
    using sandbox = new Sandbox();
    const child = Bun.spawn({
      cmd: ["unshare", "--mount", ...BINARY, "run", "--", "sh", "-c", "echo $LLMFS_MOUNT; read line"],
      cwd: sandbox.path,
      env: sandbox.environment(),
      stdio: ["pipe", "pipe", "inherit"],
    });
    const { value } = await child.stdout.getReader().read();
    const dir = new TextDecoder().decode(value).trim();
    const json = await sandbox.llmfs(["list", "--json"], { program: BINARY });
    expect(find(documented("list", json.stdout), dir)).toMatchObject({ state: "serving", elsewhere: true });
    child.stdin.end();
    await child.exited;
  });
});

describeMounted("llmfs status", () => {
  test("llmfs status shows requests in progress, errors with reasons and spending, from any path below the mount", async () => {
    const gate = new Gate();
    const held = gate.holds();
    await using m = await mounted({
      pending: ["a/slow.md", "b/bad.md", "c.md"],
      answer: (path, request) => (path === "b/bad.md" ? { status: 400 } : held(path, request)),
      args: ["--max-calls", "9"],
    });
    await m.sh("cat b/bad.md");
    const reader = m.start("cat a/slow.md");
    await eventually("the file is being generated", () => m.status().generating === 1);
    const { status, stdout, stderr } = await m.sandbox.llmfs(["status", join(m.dir, "a")], { program: BINARY });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`${m.dir}: serving, process `);
    expect(stdout).toContain("1 generating, 1 pending, 1 failed");
    expect(stdout).toMatch(/requests +1 under way, at most 4 in parallel\n +\/a\/slow\.md/);
    expect(stdout).toMatch(/failed +\/b\/bad\.md: EIO: /);
    expect(stdout).toContain("of at most 9");
    expect(stdout).not.toContain("\u001b");
    const json = documented(
      "status",
      (await m.sandbox.llmfs(["status", "--json"], { program: BINARY, cwd: m.dir })).stdout,
    );
    expect(json).toMatchObject({
      mountpoint: m.dir,
      underWay: [{ path: "/a/slow.md", generator: "llm" }],
      failed: [{ path: "/b/bad.md" }],
      usage: { limits: { calls: 9 } },
    });
    expect(json.memoryBytes).toBeGreaterThan(1 << 20);
    gate.open();
    await finished(reader);
  });

  test("llmfs status shows which file waits for which", async () => {
    const gate = new Gate();
    await using m = await mounted({
      snapshot: JSON.stringify({
        llmfs: 1,
        entries: [
          { path: "/", type: "directory", mode: "0755" },
          { path: "/base.h", type: "file", mode: "0644", state: "pending" },
          {
            path: "/main.c",
            type: "file",
            mode: "0644",
            state: "pending",
            xattrs: { "user.llmfs.depends": "base.h" },
          },
        ],
      }),
      answer: gate.holds(),
    });
    const reader = m.start("cat main.c");
    await eventually("both are being generated", () => m.status().generating === 2);
    const { stdout } = await m.sandbox.llmfs(["status", m.dir], { program: BINARY });
    expect(stdout).toMatch(/\/main\.c for \d+ s, waits for \/base\.h\n/);
    const json = documented("status", (await m.sandbox.llmfs(["status", "--json", m.dir], { program: BINARY })).stdout);
    expect(json.underWay).toContainEqual({
      path: "/main.c",
      generator: "llm",
      since: expect.stringMatching(/^20..-..-..T..:..:..\....Z$/),
      waitsFor: ["/base.h"],
    });
    gate.open();
    await finished(reader);
  });

  test("llmfs status fails with a reason outside of a mount, for a dead mount and for a stopped one", async () => {
    await using m = await mounted();
    const run = (...args: string[]) => m.sandbox.llmfs(["status", ...args], { program: BINARY });
    expect(await run()).toMatchObject({ status: 83, stdout: "" });
    expect((await run()).stderr).toContain("the current directory is not in an llmfs mount");
    expect(await run("--every", "1s")).toMatchObject({ status: 2 });
    const [pid = 0] = processesOf(m.dir, "--daemon");
    const process = stopProcess(pid);
    const stopped = await run(m.dir);
    process.resume();
    expect(stopped).toMatchObject({ status: 92, stdout: "" });
    await killBoth(m.dir);
    expect(await run(m.dir)).toMatchObject({ status: 92, stdout: "" });
  });

  test("llmfs status --watch without a terminal prints a line for each change, and ends when the mount is unmounted", async () => {
    await using m = await mounted({ pending: ["a.md", "b.md"] });
    const child = m.sandbox.start(["status", "--watch", "--every", "100ms", m.dir], { program: BINARY });
    let text = "";
    const reading = (async () => {
      for await (const chunk of child.stdout) text += new TextDecoder().decode(chunk);
    })();
    await eventually("the first line", () => text.includes("2 pending"));
    await m.out("cat a.md");
    await eventually("a line about the change", () => text.includes("1 ready, 1 pending"));
    // The mount is in use for a moment at each look.
    expect((await m.unmount()).status).toBe(0);
    expect(await child.exited).toBe(0);
    await reading;
    expect(text).not.toContain("\u001b");
    for (const line of text.trimEnd().split("\n")) expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z \d .*; /);
  });

  test("llmfs status --watch --json prints one object a line", async () => {
    await using m = await mounted({ pending: ["a.md"] });
    const child = m.sandbox.start(["status", "-w", "--json", m.dir], { program: BINARY });
    const { value } = await child.stdout.getReader().read();
    expect(documented("status", new TextDecoder().decode(value).split("\n")[0] ?? "").files.pending).toBe(1);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });

  test("llmfs status --watch on a terminal redraws the view, and Ctrl-C ends it and restores the cursor", async () => {
    await using m = await mounted({ pending: ["a.md", "b.md"] });
    await using terminal = new Terminal([...BINARY, "status", "--watch", "--every", "100ms", m.dir], {
      cwd: m.sandbox.path,
      env: m.sandbox.environment(),
    });
    await terminal.shows("2 pending");
    await m.out("cat a.md");
    await terminal.shows("1 ready, 1 pending");
    await terminal.shows("files/s");
    terminal.type("\u0003");
    await terminal.shows("\u001b[?25h");
  });

  test("llmfs status --watch shows the cursor while it is stopped by Ctrl-Z, and redraws afterwards", async () => {
    await using m = await mounted({ pending: ["a.md"] });
    await using terminal = new Terminal(["bash", "--norc", "-i"], {
      cwd: m.sandbox.path,
      env: m.sandbox.environment(),
    });
    terminal.type(`${BINARY[0]} status --watch --every 100ms ${m.dir}\r`);
    await terminal.shows("\u001b[?25l");
    await terminal.shows("1 pending");
    terminal.type("\u001a");
    await terminal.shows("\u001b[?25h");
    await terminal.shows("Stopped");
    terminal.type("fg\r");
    await terminal.shows("\u001b[?25l");
    await terminal.shows("1 pending");
    terminal.type("\u0003");
    await terminal.shows("\u001b[?25h");
  });

  test("llmfs status --watch ends when nobody reads its output any more", async () => {
    await using m = await mounted({ pending: ["a.md", "b.md"] });
    const child = m.sandbox.start(["status", "--watch", "--every", "100ms", m.dir], { program: BINARY });
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    await m.out("cat a.md");
    expect(await child.exited).toBe(0);
  });
});

describeMounted("llmfs tree", () => {
  test("llmfs tree shows states, sizes and generators of a mount, and the same for its snapshot, and generates nothing", async () => {
    await using m = await mounted({ pending: ["src/a.md", "src/deep/b.md", "c.md"] });
    await m.out("cat c.md; printf xyz > own; ln -s own link");
    const run = (...args: string[]): Promise<Finished> => m.sandbox.llmfs(["tree", ...args], { program: BINARY });
    const { status, stdout } = await run(m.dir);
    expect(status).toBe(0);
    expect(stdout).toBe(`${m.dir}
├── c.md          ready          39 B  llm
├── link -> own
├── own           static          3 B
└── src/
    ├── a.md      pending              llm
    └── deep/
        └── b.md  pending              llm

2 directories, 4 files: 1 ready, 2 pending, 1 static
`);
    expect((await m.sandbox.llmfs(["save", m.dir, "tree.json"], { program: BINARY })).status).toBe(0);
    expect((await run("tree.json")).stdout.split("\n").slice(1)).toEqual(stdout.split("\n").slice(1));
    expect((await run("tree.json/src/deep")).stdout).toContain("└── b.md  pending");
    expect((await run(join(m.dir, "src"), "--depth", "1")).stdout).not.toContain("b.md");
    const entries = documented("tree", (await run(m.dir, "--json")).stdout);
    expect(entries).toContainEqual({
      path: "/c.md",
      type: "file",
      mode: "0644",
      state: "ready",
      size: 39,
      generator: "llm",
    });
    expect(documented("tree", (await run("tree.json", "--json")).stdout)).toEqual(entries);
    expect(m.asked("src/a.md")).toBe(0);
  });

  test("a failed refresh is shown by llmfs why, status and tree, and is gone after the next one", async () => {
    const script = 'test -e "$FLAG" || { echo the source is down >&2; exit 69; }; echo content';
    using sandbox = new Sandbox();
    await Bun.write(
      sandbox.at("llmfs.config.json"),
      JSON.stringify({
        rules: [
          {
            match: "view.txt",
            generator: "exec",
            refresh: "always",
            options: { command: ["sh", "-c", script], env: ["FLAG"] },
          },
        ],
      }),
    );
    const dir = sandbox.directory("mnt");
    const env = { FLAG: sandbox.at("up") };
    const run = async (...args: string[]) => (await sandbox.llmfs(args, { program: BINARY, env })).stdout;
    const read = () => finished(Bun.spawn({ cmd: ["cat", join(dir, "view.txt")], stdio: ["pipe", "pipe", "pipe"] }));
    await Bun.write(sandbox.at("up"), "");
    expect(
      await sandbox.llmfs(["mount", dir, "--config", "llmfs.config.json"], { program: BINARY, env }),
    ).toMatchObject({
      status: 0,
    });
    try {
      expect((await read()).stdout).toBe("content\n");
      rmSync(sandbox.at("up"));
      expect((await read()).status).toBe(1);
      const reason = /the last refresh failed at \d{4}-\S+Z:\s+EHOSTUNREACH: .*69.*the source is down/;
      expect((await run("why", join(dir, "view.txt"))).replace(/\s+/g, " ")).toMatch(reason);
      expect(await run("status", dir)).toMatch(new RegExp(`failed +/view.txt: ${reason.source}`));
      expect(documented("status", await run("status", dir, "--json"))).toMatchObject({
        failed: [],
        failedRenewals: [{ path: "/view.txt", what: "refresh" }],
      });
      const tree = await run("tree", dir);
      expect(tree).toMatch(/view\.txt +ready .*refresh failed/);
      expect(tree).toContain("1 ready; 1 not renewed");
      documented("tree", await run("tree", dir, "--json"));
      await Bun.write(sandbox.at("up"), "");
      expect((await read()).status).toBe(0);
      for (const command of ["why", "status", "tree"]) expect(await run(command, dir)).not.toContain("refresh failed");
    } finally {
      await run("unmount", dir);
    }
  });

  test("llmfs tree has colors on a terminal, but not with NO_COLOR", async () => {
    using sandbox = new Sandbox();
    await Bun.write(sandbox.at("tree.json"), snapshotOf(["src/a.md"]));
    for (const [NO_COLOR, colored] of [
      ["", true],
      ["1", false],
    ] as const) {
      await using terminal = new Terminal([...BINARY, "tree", "tree.json"], {
        cwd: sandbox.path,
        env: { ...sandbox.environment(), NO_COLOR },
      });
      await terminal.shows(colored ? "\u001b[33mpending" : "pending");
      expect(terminal.text.includes("\u001b[")).toBe(colored);
    }
  });

  test("llmfs tree rejects a path that is neither a mount nor a snapshot", async () => {
    using sandbox = new Sandbox();
    await Bun.write(sandbox.at("note.txt"), "hello");
    const run = async (...args: string[]) => (await sandbox.llmfs(["tree", ...args], { program: BINARY })).status;
    expect(await run()).toBe(83);
    expect(await run(".")).toBe(83);
    expect(await run("missing")).toBe(85);
    expect(await run("note.txt")).toBe(85);
    expect(await run("--depth", "none", ".")).toBe(2);
  });
});
