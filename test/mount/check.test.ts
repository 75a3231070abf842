/** `llmfs check` on a real mount: repairs, and freezing what passed. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { check, FIXED, kindOf, mountedProject, PROJECT } from "../support/checked.ts";
import { describeMounted, IS_ROOT, type Mounted } from "../support/mounted.ts";
import { BINARY } from "../support/program.ts";

setDefaultTimeout(120_000);

/** Each file of the recordings with its text. */
function recordings(m: Mounted): Record<string, string> {
  const names = readdirSync(m.sandbox.at("rec")).filter((name) => name.endsWith(".txt"));
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(m.sandbox.at(`rec/${name}`), "utf8")]));
}

function permutations<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length < 2) return [items];
  return items.flatMap((one, index) => permutations(items.toSpliced(index, 1)).map((rest) => [one, ...rest]));
}

const kinds = (m: Mounted) => m.server.requests.map(kindOf);

describeMounted("a check that fails", () => {
  test("after a failed check the faulty file is rewritten, the check passes, and nothing else is left in the tree", async () => {
    await using m = await mountedProject();
    const done = await check(m);
    expect(done.status).toBe(0);
    expect(done.stdout).toContain("undefined reference to `tide_height'");
    expect(done.stderr).toContain(
      "command failed: exit status 2: tides.c defines height, and main.c calls tide_height\n  written again: /tides.c: rename height to tide_height\n",
    );
    expect(done.stderr).toContain("check passed (2 runs; 1 file written again; 6 calls, 66 + 42 tokens)\n");
    expect(done.stderr).toEndWith("frozen: 4 files, 1 recording written; --mode replay gives this tree\n");
    expect(await m.out("cat tides.c; ls")).toBe(`${FIXED}Makefile\nmain.c\ntides.c\ntides.h\n`);
    expect(kinds(m)).toEqual([...Array(4).fill("content"), "diagnosis", "rewriting"]);
    const [, content, instruction] = m.server.received(5).body.messages.slice(-3);
    expect(content).toEqual({ role: "assistant", content: PROJECT["/tides.c"] });
    expect(instruction.content).toContain("rename height to tide_height");
    const diagnosis: string = m.server.received(4).body.messages.at(-1).content;
    expect(diagnosis).toContain("undefined reference to `tide_height'");
    expect(diagnosis).not.toContain("llmfs-check-");
  });

  test("the provenance of a repaired file says how often it was rewritten, and why", async () => {
    await using m = await mountedProject({
      diagnosis: (_, count) => ({
        why: "",
        checkIsWrong: false,
        files: [{ path: "tides.c", instruction: count === 1 ? "call it\nheight" : "call it tide_height" }],
      }),
      rewritten: (_, request) => (JSON.stringify(request.body).includes("call it tide_height") ? FIXED : "int x;\n"),
    });
    expect((await check(m)).status).toBe(0);
    const why = async (...args: string[]) => {
      const { stdout } = await m.sandbox.llmfs(["why", ...args], { program: BINARY });
      return stdout.replace(/\s+/g, " ");
    };
    const told = "written again twice, because a check failed: (1) call it height (2) call it tide_height";
    expect(await why(`${m.dir}/tides.c`)).toContain(told);
    expect(await why(`${m.dir}/tides.c`)).toContain("today the same request; the answer is recorded");
    expect(await why(`${m.dir}/main.c`)).not.toContain("written again");
    await m.sandbox.llmfs(["save", m.dir, "tree.json"], { program: BINARY });
    expect(await why("tides.c", "--from", "tree.json", "--recordings", "rec", "--model", "scripted")).toContain(told);
  });

  test("a repair never changes a file that the user wrote, even if the model names it", async () => {
    const named = ["Makefile", "tides.h", "../../etc/passwd"].map((path) => ({ path, instruction: "drop the test" }));
    await using m = await mountedProject({
      diagnosis: (_, count) => ({
        why: "the test is too strict",
        checkIsWrong: false,
        files: count === 1 ? named.slice(0, 1) : [...named, { path: "tides.c", instruction: "rename it" }],
      }),
    });
    const makefile = (PROJECT["/Makefile"] ?? "").replaceAll("\t", "\\t").replaceAll("\n", "\\n");
    await m.out(`printf '${makefile}' > Makefile; cat tides.h; echo >> tides.h`);
    const done = await check(m);
    expect(done.status).toBe(0);
    expect(done.stderr).toContain("  left alone: /Makefile: somebody wrote or changed it\n");
    expect(done.stderr).toContain("  left alone: /tides.h: somebody wrote or changed it\n");
    expect(done.stderr).toContain("  left alone: /etc/passwd: there is no such file\n");
    expect(await m.out("cat Makefile tides.h")).toBe(`${PROJECT["/Makefile"]}${PROJECT["/tides.h"]}\n`);
    // A round without a change does not run the command again; the next request says what was refused.
    expect(done.stderr).toContain("check passed (2 runs;");
    const second = m.server.requests.filter((request) => kindOf(request) === "diagnosis")[1];
    expect(second?.body.messages.at(-1).content).toContain("/Makefile was not changed: somebody wrote or changed it");
  });

  test("a check that cannot be repaired ends with the command's status, and records nothing", async () => {
    await using m = await mountedProject({ rewritten: (path) => `int still_wrong_${path.length};\n` });
    const before = check(m, "--repairs", "0");
    expect((await before).status).toBe(2);
    const recorded = recordings(m);
    const done = await check(m, "--repairs", "2", "--", "sh", "-c", "make test || exit 7");
    expect(done.status).toBe(7);
    expect(done.stderr).toContain("check failed: exit status 7 (3 runs; 1 file written again;");
    expect(done.stderr).toContain("it still fails after 2 of 2 repairs\n");
    expect(recordings(m)).toEqual(recorded);
    await m.sandbox.llmfs(["regen", "--undo", `${m.dir}/tides.c`], { program: BINARY });
    expect(kinds(m).filter((kind) => kind !== "content")).toHaveLength(4);
  });

  test("a check ends if the model says that the check itself is wrong, or if the budget is spent", async () => {
    await using m = await mountedProject(
      { diagnosis: () => ({ why: "there is\u001b[2J no make", checkIsWrong: true, files: [] }) },
      { args: ["--max-calls", "5"] },
    );
    const wrong = await check(m);
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toContain("the check itself is wrong: there is\\u001b[2J no make\n");
    const spent = await check(m);
    expect(spent.status).toBe(2);
    expect(spent.stderr).toMatch(/the model did not say what to repair: EDQUOT: .*5/);
    expect(m.server.requests).toHaveLength(5);
  });

  test("a check does not run if files cannot be generated", async () => {
    await using m = await mountedProject({}, { args: ["--max-calls", "3"] });
    const done = await check(m, "--json", "--", "sh", "-c", `echo > ${m.sandbox.path}/ran`);
    expect(done.status).toBe(90);
    expect(JSON.parse(done.stdout)).toMatchObject({
      passed: false,
      status: 90,
      ending: "it did not run: 1 file could not be generated",
      runs: 0,
      generated: 3,
      failed: [{ error: expect.stringContaining("EDQUOT") }],
      calls: 3,
    });
    expect(readdirSync(m.sandbox.path)).not.toContain("ran");
  });

  test("the result of a check is reported as JSON", async () => {
    await using m = await mountedProject();
    const done = await check(m, "--json");
    expect(JSON.parse(done.stdout)).toEqual({
      command: ["make", "test"],
      passed: true,
      status: 0,
      ending: "exit status 0",
      runs: 2,
      rounds: [
        {
          status: 2,
          ending: "exit status 2",
          seconds: expect.any(Number),
          why: "tides.c defines height, and main.c calls tide_height",
          rewritten: [{ path: "/tides.c", instruction: "rename height to tide_height" }],
          refused: [],
        },
      ],
      rewritten: ["/tides.c"],
      frozen: { files: 4, written: 1 },
      freezingFailed: false,
      reason: null,
      output: "cc -o prog main.c tides.c\n./prog | grep -q 7\n",
      generated: 4,
      calls: 6,
      inputTokens: 66,
      outputTokens: 42,
      usd: 0,
      seconds: expect.any(Number),
    });
    expect(done.stderr).toContain("undefined reference");
  });
});

describeMounted("a frozen tree", () => {
  /** main.c and the Makefile are made from tides.c, so their requests show what it contains. */
  const chained = async () => {
    const m = await mountedProject();
    await m.out("setfattr -n user.llmfs.depends -v tides.c main.c; setfattr -n user.llmfs.depends -v main.c Makefile");
    await m.sandbox.llmfs(["save", m.dir, "layout.json"], { program: BINARY });
    return m;
  };

  test("a frozen tree has no outdated files, and one that is only repaired has", async () => {
    await using m = await chained();
    expect((await check(m, "--repairs", "1", "--", "sh", "-c", "make test; exit 1")).status).toBe(1);
    expect(await m.out("cat .llmfs/tree")).toContain("main.c (ready, outdated)");
    expect((await check(m)).status).toBe(0);
    expect(await m.out("cat .llmfs/tree")).not.toContain("outdated");
  });

  test("replay gives the frozen tree in a new process, whatever is read first", async () => {
    await using m = await chained();
    expect((await check(m)).stderr).toContain("frozen: 4 files, 2 recordings written;");
    await m.out('cp -r . "$OUT/passed"');
    await m.unmount();
    const asked = m.server.requests.length;
    // Root can show that there is no network.
    const program = IS_ROOT ? ["unshare", "-n", ...BINARY] : BINARY;
    for (const order of permutations(["tides.c", "tides.h", "main.c", "Makefile"])) {
      const args = ["--from", "layout.json", "--recordings", "rec", "--mode", "replay", "--model", "scripted"];
      const script = `cat ${order.join(" ")} > /dev/null && diff -r . "$OUT/passed"`;
      const done = await m.sandbox.llmfs(["run", ...args, "--", "sh", "-c", script], {
        program,
        env: { OUT: m.sandbox.path },
      });
      expect(done).toEqual({ status: 0, stdout: "", stderr: "" });
    }
    expect(m.server.requests).toHaveLength(asked);
  });

  test("a frozen tree passes another check at once, without a request or a change in the recordings", async () => {
    await using m = await chained();
    await check(m);
    const recorded = recordings(m);
    const asked = m.server.requests.length;
    const again = await check(m);
    expect(again.stderr).toContain("check passed (1 run; no calls)\nfrozen: 4 files, 0 recordings written;");
    expect(recordings(m)).toEqual(recorded);
    await m.unmount();
    const args = ["--from", "layout.json", "--recordings", "rec", ...m.modelArgs()];
    const fresh = await m.sandbox.llmfs(["run", ...args, "--check", "make test", "--", "cat", "tides.c"], {
      program: BINARY,
    });
    expect(fresh).toMatchObject({ status: 0 });
    expect(fresh.stdout).toEndWith(FIXED);
    expect(recordings(m)).toEqual(recorded);
    expect(m.server.requests).toHaveLength(asked);
  });

  test("in replay mode a check is only run and reported", async () => {
    await using m = await chained();
    await m.out("cat tides.h tides.c main.c Makefile > /dev/null");
    await m.unmount();
    const asked = m.server.requests.length;
    const recorded = recordings(m);
    await m.mount(["--from", "layout.json", "--recordings", "rec", "--mode", "replay", "--model", "scripted"]);
    const done = await check(m);
    expect(done.status).toBe(2);
    expect(done.stderr).toContain("it is not repaired: the tree is replayed from recordings\n");
    expect((await check(m, "--", "true")).status).toBe(0);
    expect(recordings(m)).toEqual(recorded);
    expect(m.server.requests).toHaveLength(asked);
  });

  test("a tree is not frozen if it was changed while the check ran", async () => {
    await using m = await mountedProject({ content: (path) => (path === "/tides.c" ? FIXED : (PROJECT[path] ?? "")) });
    await m.out("cat tides.h tides.c main.c Makefile > /dev/null");
    const recorded = recordings(m);
    const done = await check(m, "--", "sh", "-c", `make test && echo >> ${m.dir}/tides.h`);
    expect(done.status).toBe(91);
    expect(done.stderr).toContain("not frozen: EBUSY: the tree was changed in the meantime\n");
    expect(recordings(m)).toEqual(recorded);
  });

  test("a tree is not frozen with --mode off", async () => {
    await using m = await mountedProject({}, { args: ["--mode", "off"] });
    const done = await check(m);
    expect(done.status).toBe(0);
    expect(done.stderr).toContain("not frozen: with --mode off, nothing is recorded\n");
  });

  test("a tree is frozen as a whole or not at all", async () => {
    await using m = await chained();
    await m.out("cat tides.h tides.c main.c Makefile > /dev/null");
    const recorded = recordings(m);
    // As root, permissions would not keep anybody from writing: something else has the name of a file that must be replaced.
    const [name = ""] = Object.keys(recorded).filter((one) => one.startsWith("tides.c"));
    await m.sh(`mv rec/${name} kept; mkdir -p rec/${name}/x; cp -r rec before`, m.sandbox.path);
    const done = await check(m);
    expect(done.status).toBe(91);
    expect(done.stderr).toContain("not frozen: EIO: nothing is frozen, because recordings in ");
    expect((await m.sh("diff -r rec before", m.sandbox.path)).stdout).toBe("");
  });
});

describeMounted("run --check", () => {
  const run = (m: Mounted, ...args: string[]) =>
    m.sandbox.llmfs(["run", "--from", "from.json", "--recordings", "rec", ...m.modelArgs(), ...args], {
      program: BINARY,
    });

  test("run --check runs the command when the check passes, in the tree that passed", async () => {
    await using m = await mountedProject();
    await m.unmount();
    const done = await run(m, "--check", "make test", "--", "sh", "-c", "pwd; ls; cat tides.c");
    expect(done.status).toBe(0);
    expect(done.stdout).toEndWith(`Makefile\nmain.c\ntides.c\ntides.h\n${FIXED}`);
    expect(done.stderr).toContain("frozen: 4 files");
  });

  test("run --check ends with the status of the check if it does not pass", async () => {
    await using m = await mountedProject({ rewritten: () => "int wrong;\n" });
    await m.unmount();
    const done = await run(m, "--check", "make test || exit 9", "--repairs", "1", "--", "echo", "never");
    expect(done.status).toBe(9);
    expect(done.stdout).not.toContain("never");
    expect(await run(m, "--repairs", "1", "--", "true")).toMatchObject({ status: 2 });
    expect(await run(m, "--check", "true", "--repairs", "many", "--", "true")).toMatchObject({ status: 2 });
  });
});
