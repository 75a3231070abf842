/** Files that were made from others: which ones wait, and which ones are outdated. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { describeMounted, Gate, type Mounted, mounted, snapshotOf } from "../support/mounted.ts";
import { BINARY, eventually } from "../support/program.ts";

setDefaultTimeout(60_000);

const CHAIN = { "a.h": "", "b.c": "a.h", "c.c": "b.c", "other.txt": "" };

/** A snapshot of pending files that depend on each other. */
function chain(): string {
  const snapshot = JSON.parse(snapshotOf(Object.keys(CHAIN)));
  for (const entry of snapshot.entries) {
    const depends = new Map(Object.entries(CHAIN)).get(entry.path.slice(1));
    if (depends) entry.xattrs["user.llmfs.depends"] = depends;
  }
  return JSON.stringify(snapshot);
}

const llmfs = (m: Mounted, ...args: string[]) => m.sandbox.llmfs(args, { program: BINARY });
const outdated = (m: Mounted) => JSON.parse(readFileSync(`${m.dir}/.llmfs/status.json`, "utf8")).outdated;

describeMounted("files that were made from others", () => {
  test("status.json, why and the log show which file waits for which", async () => {
    const gate = new Gate();
    await using m = await mounted({ snapshot: chain(), answer: gate.holds(), args: ["--log-file", "mount.log"] });
    const reader = m.sh("cat c.c");
    await eventually("the first file is asked for", () => m.asked("a.h") === 1);
    const waiting = JSON.parse(readFileSync(`${m.dir}/.llmfs/status.json`, "utf8")).waiting;
    expect(waiting.sort((a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1))).toEqual([
      { path: "/b.c", waitsFor: ["/a.h"] },
      { path: "/c.c", waitsFor: ["/b.c"] },
    ]);
    const why = (await llmfs(m, "why", `${m.dir}/b.c`)).stdout;
    expect(why).toMatch(/^waits for {4}\/a\.h$/m);
    expect(why).toMatch(/^awaited by {3}\/c\.c$/m);
    const asked = (await llmfs(m, "why", `${m.dir}/a.h`)).stdout;
    expect(asked).toStartWith("/a.h: generating\n");
    expect(asked).toMatch(/^today {8}a request for it is under way/m);
    const log = readFileSync(m.sandbox.at("mount.log"), "utf8");
    for (const line of ["/c.c waits for /b.c", "/b.c waits for /a.h"]) expect(log).toContain(line);
    gate.open();
    expect((await reader).status).toBe(0);
    expect(JSON.parse(readFileSync(`${m.dir}/.llmfs/status.json`, "utf8")).waiting).toEqual([]);
  });

  test("are outdated when a used file changes, stay as they are, and are written again in order", async () => {
    let version = 1;
    await using m = await mounted({ snapshot: chain(), answer: (path) => ({ stream: `${path} ${version}\n` }) });
    expect((await llmfs(m, "warm", m.dir)).status).toBe(0);
    expect(outdated(m)).toBe(0);
    expect((await llmfs(m, "warm", "--outdated", m.dir)).stderr).toContain("nothing is outdated");

    await m.out("echo 'by hand' > a.h");
    expect(outdated(m)).toBe(2);
    const tree = await m.out("cat .llmfs/tree");
    for (const line of ["a.h\n", "b.c (ready, outdated)\n", "c.c (ready, outdated)\n", "other.txt (ready)\n"]) {
      expect(tree).toContain(line);
    }
    expect((await llmfs(m, "why", `${m.dir}/b.c`)).stdout).toContain("it was written before these changed: /a.h");
    expect(await m.out("cat b.c c.c")).toBe("b.c 1\nc.c 1\n");
    expect(m.server.requests.length).toBe(4);

    version = 2;
    expect((await llmfs(m, "status", m.dir)).stdout).toContain("outdated   2 files");
    const drawn = (await llmfs(m, "tree", m.dir)).stdout;
    expect(drawn).toMatch(/b\.c +ready .* outdated\n/);
    expect(drawn).toMatch(/other\.txt +ready (?!.*outdated)/);
    expect(drawn).toContain("; 2 outdated\n");
    const { status, stderr } = await llmfs(m, "warm", "--outdated", m.dir);
    expect([status, stderr]).toEqual([0, expect.stringContaining("2 of 2 files generated")]);
    expect(await m.out("cat b.c c.c other.txt")).toBe("b.c 2\nc.c 2\nother.txt 1\n");
    expect(outdated(m)).toBe(0);
    expect(m.server.received(4).body.messages.at(-1).content).toContain("by hand");
    expect(m.server.received(5).body.messages.at(-1).content).toContain("b.c 2");
  });

  test("llmfs plan reports the steps and the longest chain of dependent files, and what it costs to show them", async () => {
    await using m = await mounted({ snapshot: chain() });
    const { stdout } = await llmfs(m, "plan", m.dir);
    expect(stdout).toContain("Files depend on each other: 3 steps, the longest chain is /a.h → /b.c → /c.c");
    expect(stdout).toMatch(/; 200 to 8,000 tokens of shown files/);
    expect(stdout).toContain("2 depend on files that have not been generated yet");
    expect(JSON.parse((await llmfs(m, "plan", "--json", m.dir)).stdout)).toMatchObject({
      depth: 3,
      longestChain: ["/a.h", "/b.c", "/c.c"],
    });
    expect(m.server.requests.length).toBe(0);
  });

  test("do not follow a used file that turns out the same", async () => {
    await using m = await mounted({ snapshot: chain(), answer: (path) => ({ stream: `${path}\n` }) });
    expect((await llmfs(m, "warm", m.dir)).status).toBe(0);
    await m.out("echo 'by hand' > a.h");
    expect(outdated(m)).toBe(2);
    expect((await llmfs(m, "warm", "--outdated", m.dir)).status).toBe(0);
    // "b.c" was written again with the same content, so "c.c" needs no request.
    expect([m.asked("b.c"), m.asked("c.c"), outdated(m)]).toEqual([2, 1, 0]);
  });

  test("are outdated after a snapshot too, and an undo brings that back", async () => {
    await using m = await mounted({ snapshot: chain() });
    expect((await llmfs(m, "warm", m.dir)).status).toBe(0);
    await m.out("echo changed > a.h");
    expect((await llmfs(m, "save", m.dir, m.sandbox.at("saved.json"))).status).toBe(0);
    expect((await m.unmount()).status).toBe(0);
    const offline = await llmfs(m, "why", "--from", m.sandbox.at("saved.json"), "b.c");
    expect(offline.stdout).toContain("it was written before these changed: /a.h");
    expect((await llmfs(m, "tree", m.sandbox.at("saved.json"))).stdout).toContain("; 2 outdated\n");
    await m.mount(["--from", "saved.json", ...m.modelArgs()]);
    expect(outdated(m)).toBe(2);
    expect((await llmfs(m, "warm", "--outdated", m.dir)).status).toBe(0);
    expect(outdated(m)).toBe(0);
    expect((await llmfs(m, "regen", "--undo", `${m.dir}/b.c`)).status).toBe(0);
    expect(outdated(m)).toBeGreaterThan(0);
  });

  test("are written again from recordings in a replay", async () => {
    await using m = await mounted({ snapshot: chain(), args: ["--recordings", "answers"] });
    await m.out("cat c.c && echo changed > a.h");
    expect((await llmfs(m, "warm", "--outdated", m.dir)).status).toBe(0);
    const now = await m.out("cat b.c c.c");
    expect((await m.unmount()).status).toBe(0);
    writeFileSync(m.sandbox.at("again.json"), chain());
    await m.mount(["--from", "again.json", "--mode", "replay", "--recordings", "answers", ...m.modelArgs()]);
    await m.out("cat c.c && echo changed > a.h");
    const requests = m.server.requests.length;
    expect((await llmfs(m, "warm", "--outdated", m.dir)).status).toBe(0);
    expect([await m.out("cat b.c c.c"), m.server.requests.length]).toEqual([now, requests]);
  });
});
