/** What commands report about contents, before and after generation: `plan`, `context`, `why`, `recordings`. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readdirSync, writeFileSync } from "node:fs";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { contentOf, describeMounted, type Mounted, mounted, unmounted } from "../support/mounted.ts";
import { BINARY } from "../support/program.ts";
import { recordingOf } from "../support/store-contract.ts";

setDefaultTimeout(60_000);

const SNAPSHOT = JSON.stringify({
  llmfs: 1,
  entries: [
    { path: "/", type: "directory", xattrs: { "user.llmfs.prompt": "Plain words." } },
    { path: "/README.md", type: "file", text: "# Tides\n" },
    { path: "/src", type: "directory", xattrs: { "user.llmfs.model": "big", "user.llmfs.temperature": "0.2" } },
    {
      path: "/src/a.py",
      type: "file",
      state: "pending",
      xattrs: { "user.llmfs.generator": "llm", "user.llmfs.description": "computes the tides" },
    },
    {
      path: "/src/b.py",
      type: "file",
      state: "pending",
      xattrs: { "user.llmfs.generator": "llm", "user.llmfs.depends": "a.py" },
    },
  ],
});

async function tides(...args: string[]): Promise<Mounted> {
  return mounted({ snapshot: SNAPSHOT, args: ["--content-prompt", "Use SI units.", "--recordings", "rec", ...args] });
}

const llmfs = (m: Mounted, ...args: string[]) => m.sandbox.llmfs(args, { program: BINARY });

describeMounted("context", () => {
  test("llmfs context prints exactly the request, with the reason for every part, and sends nothing", async () => {
    await using m = await tides();
    const { status, stdout } = await llmfs(m, "context", "mnt/src/a.py");
    const json = JSON.parse((await llmfs(m, "context", "mnt/src/a.py", "--json")).stdout);
    expect([status, m.server.requests.length]).toEqual([0, 0]);
    await m.out("cat src/a.py");
    const { body } = m.server.received(0);
    expect([json.request.messages, json.request.model, json.request.temperature]).toEqual([body.messages, "big", 0.2]);
    expect(json.key).toBe(await m.xattr("src/a.py", "meta.request"));
    for (const { content } of body.messages) expect(stdout).toContain(content);
    expect(stdout).toContain("model        big (user.llmfs.model of /src)");
    expect(stdout).toContain("temperature  0.2 (user.llmfs.temperature of /src)");
    expect(stdout).toMatch(/tokens {2}prompts: --content-prompt; user\.llmfs\.prompt of \/\n/);
    expect(stdout).toMatch(/tokens {2}README\.md: README of \/\n/);
    expect(stdout).toMatch(/tokens {2}the task: its path and user\.llmfs\.description\n/);
  });

  test("llmfs context prints the same for a snapshot as for the mount, and says when a file depends on a pending one", async () => {
    await using m = await tides();
    const flags = ["--model", "scripted", "--content-prompt", "Use SI units.", "--recordings", "rec"];
    const look = async (...args: string[]) => (await llmfs(m, "context", ...args)).stdout;
    expect(await look("/src/a.py", "--from", "from.json", ...flags)).toBe(await look("mnt/src/a.py"));
    expect(await look("mnt/src/b.py")).toContain("not exact    it depends on a file that has not been generated yet");
    await m.out("cat src/a.py");
    const after = await look("mnt/src/b.py");
    expect(after).not.toContain("not exact");
    expect(after).toContain("src/a.py: this file depends on it");
    expect(after).toContain(contentOf("src/a.py"));
    expect(m.server.requests.length).toBe(1);
  });

  test("llmfs context and llmfs plan see the files of rules in a snapshot, as in a mount", async () => {
    await using m = await unmounted();
    writeFileSync(m.sandbox.at("from.json"), SNAPSHOT);
    const rules = [
      { match: "units.txt", generator: "static", options: { content: "SI" } },
      { match: "src/notes.md", generator: "llm" },
    ];
    writeFileSync(m.sandbox.at("c.json"), JSON.stringify({ rules }));
    const flags = ["--config", "c.json", "--model", "scripted", "--recordings", "rec"];
    await m.mount(["--from", "from.json", ...m.modelArgs(), "--config", "c.json", "--recordings", "rec"]);
    const keys = async (...args: string[]) => {
      const plan = JSON.parse((await llmfs(m, "plan", "--json", ...args)).stdout);
      return plan.each.map(({ path, key }: Record<string, unknown>) => [path, key]);
    };
    const planned = await keys("from.json", ...flags);
    expect(planned).toEqual(await keys("mnt"));
    expect(planned.map(([path]: string[]) => path)).toContain("/src/notes.md");
    await m.out("cat src/a.py");
    expect(await m.xattr("src/a.py", "meta.request")).toBe(planned.find(([path]: string[]) => path === "/src/a.py")[1]);
    const look = await llmfs(m, "context", "/src/notes.md", "--from", "from.json", ...flags);
    expect(look.stdout).toContain("units.txt");
  });

  test("llmfs context of a missing file, or of one that no model generates, is an error", async () => {
    await using m = await tides();
    const gone = await llmfs(m, "context", "mnt/nothing");
    expect([gone.status, gone.stderr]).toEqual([84, expect.stringContaining("/nothing does not exist")]);
    const outside = await llmfs(m, "context", "from.json");
    expect([outside.status, outside.stderr]).toEqual([83, expect.stringContaining("is not in an llmfs mount")]);
  });
});

describeMounted("plan", () => {
  test("llmfs plan reports what is pending, what is recorded and what the rest costs, and sends no request", async () => {
    await using m = await tides();
    const plan = async (...args: string[]) => JSON.parse((await llmfs(m, "plan", "mnt", "--json", ...args)).stdout);
    const before = await plan("--price", "big=10/100");
    expect(before).toMatchObject({ files: 2, inexact: 1, models: [{ model: "big", calls: 2, recorded: 0 }] });
    expect(before.models[0].usd.high).toBeGreaterThan(before.models[0].usd.low);
    expect((await plan()).models[0].usd).toBeUndefined();
    expect(m.server.requests).toHaveLength(0);
    await m.out("cat src/*.py");
    expect((await llmfs(m, "plan", "mnt")).stdout).toBe("no pending files\n");
    const flags = ["--model", "scripted", "--content-prompt", "Use SI units.", "--recordings", "rec"];
    const again = await llmfs(m, "plan", "from.json", "--files", ...flags);
    expect(again.stdout).toContain("2 files are pending\n  by big: 2; 2 already recorded; 0 calls\n");
    expect(again.stdout).toContain("/src/b.py: big, recorded, ");
  });
});

describeMounted("why", () => {
  test("llmfs why reports the whole story of a file: what generated it, from what, when, and at what cost", async () => {
    await using m = await tides("--price", "big=10/100");
    const why = async (path: string) => (await llmfs(m, "why", path)).stdout;
    expect(await why("mnt/src/a.py")).toContain("/src/a.py: pending\n");
    await m.out("cat src/a.py");
    const story = await why("mnt/src/a.py");
    expect(story).toContain("/src/a.py: ready, ");
    expect(story).toMatch(/^when +20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ, in \d+ ms$/m);
    expect(story).toMatch(/^model +big \(user\.llmfs\.model of \/src\)$/m);
    expect(story).toMatch(/^tokens +11 sent, 7 received, \$0\.000810$/m);
    expect(story).toMatch(/^request +[0-9a-f]{64},\n +answered by the server$/m);
    expect(story).toMatch(/^settings +temperature 0\.2 \(of \/src\)$/m);
    expect(story).toMatch(/^prompts +--content-prompt: Use SI units\.\n +\/: Plain words\.$/m);
    expect(story).toMatch(
      /^sent +about \d+ tokens, .*\n +\d+ {2}the tree: .*\n(.*\n)* +\d+ {2}README\.md: README of \/$/m,
    );
    expect(story).toMatch(/^today +the same request; the answer is recorded$/m);
    await m.out("setfattr -n user.llmfs.prompt -v 'Rhyme.' src");
    const changed = (await why("mnt/src/a.py")).replace(/\n {13}/g, " ");
    expect(changed).toMatch(/^today +a different request, .*: the prompt differs at line \d+: /m);
    expect(await why("mnt/README.md")).toMatch(/static, 8 bytes\nmade by +a user or program that wrote it/);
    await m.out("echo 'print(1)' > src/a.py");
    const edited = await why("mnt/src/a.py");
    expect(edited).toMatch(/static, 9 bytes\n.*\nmade by +a user or program that wrote it; no generator is used\n/);
    expect(edited).toMatch(/^before +made by llm, big, 20\d\d-.*Z, in \d+ ms$/m);
  });

  test("the output of llmfs why fits on a screen, however much there is to report", async () => {
    const long = "a rather long text, ".repeat(400);
    const entries: object[] = [{ path: "/", type: "directory", xattrs: { "user.llmfs.prompt": long } }];
    let folder = "";
    for (let depth = 0; depth < 20; depth++) {
      folder += `/folder-with-a-long-name-${depth}`;
      entries.push({ path: folder, type: "directory", xattrs: { "user.llmfs.prompt": long } });
    }
    for (let index = 0; index < 200; index++) {
      entries.push({ path: `${folder}/f${String(index).padStart(3, "0")}.c`, type: "file", text: `int f${index};\n` });
    }
    const xattrs = { "user.llmfs.description": long, "user.llmfs.generator": "llm" };
    entries.push({ path: `${folder}/new.c`, type: "file", state: "pending", xattrs });
    await using m = await unmounted();
    writeFileSync(m.sandbox.at("from.json"), JSON.stringify({ llmfs: 1, entries }));
    for (const path of [`${folder}/new.c`, `${folder}/f001.c`, folder, "/"]) {
      const { status, stdout } = await llmfs(m, "why", path, "--from", "from.json");
      const [, ...lines] = stdout.split("\n");
      expect([path, status, lines.length <= 40]).toEqual([path, 0, true]);
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
      expect(stdout).toMatch(path.endsWith("new.c") ? /… {2}and \d+ more files\n/ : /^made by/m);
    }
    expect((await llmfs(m, "why", "/", "--from", "from.json")).stdout).toContain("201 files: 1 pending, 200 static");
  });

  test("llmfs why says that a file which was generated without recordings is kept", async () => {
    await using m = await mounted({ pending: ["a"], args: ["--mode", "off"] });
    expect((await llmfs(m, "why", "mnt/a")).stdout).toContain("the first read will ask scripted");
    await m.out("cat a");
    expect((await llmfs(m, "why", "mnt/a")).stdout).toContain("the content is kept");
  });

  test("llmfs why gives the reason if the file has failed", async () => {
    await using m = await mounted({
      pending: ["a"],
      answer: () => ({ status: 400, body: { error: { message: "what?" } } }),
    });
    await m.sh("cat a");
    expect((await llmfs(m, "why", "mnt/a")).stdout).toMatch(/^\/a: failed\nfailed +EIO: .*what\?/);
  });
});

describeMounted("recordings", () => {
  test("recordings can be listed, verified, and pruned to those that a tree needs", async () => {
    await using m = await tides();
    await m.out("cat src/*.py");
    const run = (...args: string[]) => llmfs(m, "recordings", ...args, "--recordings", "rec");
    const listed = (await run("ls")).stdout.replace(/^[-\d]{10}T\d\d:\d\dZ {2}[0-9a-f]{16}/gm, "TIME  KEY");
    expect(listed).toBe("TIME  KEY  /src/a.py  big  11 + 7 tokens\nTIME  KEY  /src/b.py  big  11 + 7 tokens\n");
    expect(await run("verify")).toMatchObject({ status: 0, stderr: "2 recordings are valid\n" });
    const [file = ""] = readdirSync(m.sandbox.at("rec"));
    const kept = await Bun.file(m.sandbox.at(`rec/${file}`)).text();
    writeFileSync(m.sandbox.at(`rec/${file}`), `${kept}more`);
    const broken = await run("verify");
    expect([broken.status, broken.stdout]).toEqual([91, expect.stringContaining(`${file}: its answer was changed`)]);
    writeFileSync(m.sandbox.at(`rec/${file}`), kept);
    await m.out("setfattr -n user.llmfs.prompt -v 'Rhyme.' src");
    expect((await run("prune", "--for", "mnt")).stderr).toMatch(
      /^0 removed, 0 kept, 2 left because they are too young/,
    );
    const dry = await run("prune", "--for", "mnt", "--older-than", "0", "--dry-run");
    expect([dry.status, dry.stderr]).toEqual([0, expect.stringMatching(/^2 would be removed, 0 kept/)]);
    expect(readdirSync(m.sandbox.at("rec"))).toHaveLength(2);
    const unchanged = await run(
      "prune",
      "--for",
      "from.json",
      "--content-prompt",
      "Use SI units.",
      "--model",
      "scripted",
    );
    expect([unchanged.status, unchanged.stderr]).toEqual([0, expect.stringMatching(/^0 removed, 2 kept/)]);
    expect((await run("prune", "--for", "mnt", "--older-than", "0")).stderr).toMatch(/^2 removed, 0 kept/);
    expect(readdirSync(m.sandbox.at("rec"))).toEqual([]);
  });

  test("recordings are pruned in the mount's own store; a store of several trees must be named", async () => {
    await using m = await tides();
    await m.out("cat src/*.py");
    await m.out("setfattr -n user.llmfs.prompt -v 'Rhyme.' src");
    const dry = await llmfs(m, "recordings", "prune", "--for", "mnt", "-n", "--older-than", "0");
    expect(dry.stderr).toMatch(/^2 would be removed, 0 kept/);
    const own = m.sandbox.at("cache/llmfs/recordings");
    cpSync(m.sandbox.at("rec"), own, { recursive: true });
    const env = { XDG_CACHE_HOME: m.sandbox.at("cache") };
    const prune = ["recordings", "prune", "--for", "from.json", "--model", "scripted"];
    const refused = await m.sandbox.llmfs(prune, { program: BINARY, env });
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining("of all your trees")]);
    expect(readdirSync(own)).toHaveLength(2);
  });

  test("without --model recordings of any model are kept, and flags that do not match prune nothing", async () => {
    await using m = await mounted({ pending: ["a.txt"], args: ["--recordings", "rec"] });
    await m.out("cat a.txt");
    const prune = (...args: string[]) =>
      llmfs(m, "recordings", "prune", "--recordings", "rec", "--for", "from.json", ...args);
    expect((await prune()).stderr).toMatch(/^0 removed, 1 kept/);
    const { status, stderr } = await prune("--model", "another");
    expect([status, stderr]).toEqual([2, expect.stringContaining("matches its requests")]);
    expect(readdirSync(m.sandbox.at("rec"))).toHaveLength(1);
  });

  test("recordings are kept if one of several trees needs them", async () => {
    await using m = await tides();
    await m.out("cat src/a.py");
    writeFileSync(m.sandbox.at("other.json"), SNAPSHOT.replaceAll("tides", "waves").replaceAll("b.py", "c.py"));
    const prune = (trees: string) =>
      llmfs(m, "recordings", "prune", "--recordings", "rec", "--content-prompt", "Use SI units.", "--for", trees);
    expect((await prune("other.json")).status).toBe(2);
    expect((await prune("from.json,mnt")).stderr).toMatch(/^0 removed, 1 kept/);
  });

  test("recordings are listed without the control characters in their names", async () => {
    await using m = await unmounted();
    const folder = m.sandbox.directory("rec");
    await createFolderStore(folder).put(recordingOf("x", "/a\n\u001b[31m\u009bb"));
    const { stdout } = await llmfs(m, "recordings", "ls", "--recordings", "rec");
    expect(stdout).toContain(String.raw`  /a\n\u001b[31m\u009bb  `);
    expect(stdout.trim()).not.toMatch(/\p{Cc}/u);
  });

  test("a missing folder of recordings is an error, because nothing was checked", async () => {
    await using m = await unmounted();
    for (const action of ["ls", "verify", "prune"]) {
      const { status, stderr } = await llmfs(m, "recordings", action, "--recordings", "typo");
      expect([action, status, stderr]).toEqual([action, 91, expect.stringContaining("/typo does not exist")]);
    }
  });

  test("a recordings server that does not answer is reported as such, not as a failure of the model", async () => {
    await using m = await unmounted();
    const replay = [
      "run",
      "--prompt",
      "a tree",
      "--model",
      "m",
      "--mode",
      "replay",
      "--recordings",
      "redis://127.0.0.1:1",
    ];
    const { status, stderr } = await llmfs(m, ...replay, "--", "true");
    expect([status, stderr]).toEqual([91, expect.stringContaining("redis://127.0.0.1:1 cannot be used")]);
  });

  test("llmfs recordings rejects an unknown action, and pruning for a tree that needs no recordings", async () => {
    await using m = await unmounted();
    expect((await llmfs(m, "recordings", "list")).status).toBe(2);
    writeFileSync(m.sandbox.at("plain.json"), JSON.stringify({ llmfs: 1, entries: [] }));
    m.sandbox.directory("rec");
    const all = await llmfs(m, "recordings", "prune", "--for", "plain.json", "--recordings", "rec");
    expect([all.status, all.stderr]).toEqual([2, expect.stringContaining("it has no generated files")]);
  });
});

describeMounted("plan, for a tree with rules,", () => {
  test("llmfs plan for a tree with rules needs no environment variables of the mount", async () => {
    await using m = await unmounted();
    const rule = { match: "a.json", generator: "http", options: { url: ["http://127.0.0.1:1/$", "{TOKEN}"].join("") } };
    writeFileSync(m.sandbox.at("rules.json"), JSON.stringify({ rules: [rule] }));
    writeFileSync(m.sandbox.at("from.json"), SNAPSHOT);
    const args = ["--from", "from.json", "--config", "rules.json", ...m.modelArgs()];
    await m.mount(args, { env: { TOKEN: "t0ken" } });
    const { status, stdout } = await llmfs(m, "plan", "mnt", "--json");
    expect([status, JSON.parse(stdout).models]).toEqual([0, [expect.objectContaining({ model: "big", files: 2 })]]);
    expect((await llmfs(m, "plan", "from.json", "--config", "rules.json")).stderr).toContain("TOKEN is not set");
  });

  test("llmfs plan names the generator of each file, and counts only files generated by the model", async () => {
    await using m = await tides();
    const folder = m.sandbox.directory("ruled");
    const rule = { match: "src/**/a.*", generator: "exec", options: { command: ["false"] } };
    writeFileSync(`${folder}/llmfs.config.json`, JSON.stringify({ rules: [rule] }));
    writeFileSync(`${folder}/tree.json`, SNAPSHOT);
    const args = ["plan", "tree.json", "--json", "--recordings", "none"];
    const { stdout } = await m.sandbox.llmfs(args, { program: BINARY, cwd: folder });
    const plan = JSON.parse(stdout);
    expect(plan.others).toEqual({ exec: 1 });
    expect(plan.models).toEqual([expect.objectContaining({ model: "big", files: 1, calls: 1 })]);
    expect(plan.each.map(({ path, generator }: Record<string, string>) => [path, generator])).toEqual([
      ["/src/a.py", "exec"],
      ["/src/b.py", "llm"],
    ]);
  });
});
