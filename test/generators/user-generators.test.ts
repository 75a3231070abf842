/** The user's own generators in their helper process, and programs, without a mount. */
import { Database } from "bun:sqlite";
import { afterAll, expect, spyOn, test } from "bun:test";
import { readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { FsError } from "../../src/errno.ts";
import { renderTemplate } from "../../src/generators/workers/templates.ts";
import { type Loaded, loaded } from "../support/generators.ts";
import { eventually, isAlive, Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

let count = 0;

/** Writes a configuration with this source. */
function config(source: string): string {
  const file = sandbox.at(`own${++count}.config.ts`);
  writeFileSync(file, source);
  return file;
}

const errno = (error: unknown) => (error instanceof FsError ? error.code : String(error));

test("a stream keeps its order and its bytes, even when it exceeds the window", async () => {
  const file = config(`export default { generators: { g: { async *pieces() {},
    generate: () => ({ content: (async function* () {
      for (let i = 0; i < 200; i++) yield new Uint8Array(100_000).fill(i % 251);
      yield "é\\u{1f600}";
    })() }) } }, rules: [{ match: "x", generator: "g" }] };`);
  await using one = await loaded(file);
  const bytes = await one.bytes("/x");
  expect(bytes.length).toBe(20_000_006);
  expect([bytes[0], bytes[100_000], bytes[19_999_999]]).toEqual([0, 1, 199]);
  expect(new TextDecoder().decode(bytes.slice(-6))).toBe("é\u{1f600}");
}, 20_000);

test("long text is split between characters only", async () => {
  const file =
    config(`export default { generators: { g: { generate: () => ({ content: "\\u{1f600}".repeat(400_001) }) } },
    rules: [{ match: "x", generator: "g" }] };`);
  await using one = await loaded(file);
  expect(await one.text("/x")).toBe("\u{1f600}".repeat(400_001));
});

test("a generator that exits the process does not fail the others", async () => {
  const file = config(`export default { generators: {
      good: { async generate(path) { await new Promise((done) => setTimeout(done, 150)); return { content: path }; } },
      bad: { async generate() { await new Promise((done) => setTimeout(done, 50)); process.exit(1); } },
    }, rules: [{ match: "good/*", generator: "good" }, { match: "bad", generator: "bad" }] };`);
  await using one = await loaded(file);
  const all = await Promise.all([
    one.text("/good/1"),
    one.text("/bad").catch(errno),
    one.text("/good/2"),
    one.text("/good/3"),
  ]);
  expect(all).toEqual(["/good/1", "EIO", "/good/2", "/good/3"]);
}, 20_000);

test("a generator's questions to its context are answered, and failures keep their errno", async () => {
  const file = config(`export default { generators: { g: { async generate(path, context) {
      const seen = { params: context.params, options: context.options, match: context.match, prompts: context.prompts,
        outline: (await context.outline()).map((entry) => entry.path), file: context.file.path,
        text: new TextDecoder().decode(await context.read("/in.txt")) };
      const failed = await context.read("/none").then(() => "read", (error) => error.code);
      context.log.info("it is noted");
      return { content: { ...seen, failed }, metadata: { n: 1, yes: true } };
    } } }, rules: [{ match: "{id}.json", generator: "g", options: { a: [1] } }] };`);
  await using one = await loaded(file, {}, { "/in.txt": "inside" });
  expect(JSON.parse(await one.text("/7.json"))).toEqual({
    params: { id: "7" },
    options: { a: [1] },
    match: "{id}.json",
    prompts: [],
    outline: ["/in.txt"],
    file: "/7.json",
    text: "inside",
    failed: "EIO",
  });
  expect(one.log).toContain("info: /7.json: it is noted");
});

test("the context says when different content is requested, and has `working` while listing", async () => {
  const file = config(`export default { generators: { g: {
      list: (path, context) => [typeof context.working + ".txt"],
      generate: (path, context) => ({ content: String(context.again) }),
    } }, rules: [{ match: "d/{name}.txt", generator: "g" }] };`);
  await using one = await loaded(file);
  expect(await one.list("/d", "g")).toEqual(["function.txt"]);
  expect(await one.text("/d/a.txt")).toBe("undefined");
  expect(new TextDecoder().decode(await one.bytes("/d/a.txt", undefined, { again: true }))).toBe("true");
});

test("a generator's process ends when the configuration is disposed, and its output is logged", async () => {
  const mark = sandbox.at("disposed");
  const file = config(`import { writeFileSync } from "node:fs";
    export default { generators: { g: { generate: () => { console.log("printed"); return { content: String(process.pid) }; },
      dispose: () => writeFileSync(${JSON.stringify(mark)}, "yes") } }, rules: [{ match: "x", generator: "g" }] };`);
  const one = await loaded(file);
  const pid = Number(await one.text("/x"));
  expect(isAlive(pid)).toBe(true);
  await eventually("it is logged", () => one.log.includes("printed"));
  await one[Symbol.asyncDispose]();
  await eventually("the process is gone", () => !isAlive(pid));
  expect(readFileSync(mark, "utf8")).toBe("yes");
});

/** The helper processes that are running, according to the configuration. */
function living(one: Loaded): ReadonlySet<number> {
  const pids = new Set<number>();
  one.config.groups.watch((pid, lives) => void (lives ? pids.add(pid) : pids.delete(pid)));
  return pids;
}

test("an idle process ends after a while, calling dispose, and is started again on demand", async () => {
  const file = config(`let count = 0; export default { generators: { g: {
    async generate() { await new Promise((done) => setTimeout(done, 400)); return { content: String(++count) }; },
    dispose() { console.log("over"); },
  } }, rules: [{ match: "x", generator: "g" }] };`);
  await using one = await loaded(file, {}, {}, undefined, undefined, 150);
  const pids = living(one);
  // A call takes longer than the process may be idle.
  expect(await Promise.all([one.text("/x"), one.text("/x")])).toEqual(["1", "2"]);
  const [first = 0] = pids;
  expect([isAlive(first), pids.size]).toEqual([true, 1]);
  await eventually("it has ended", () => pids.size === 0 && !isAlive(first));
  expect(one.log).toEqual(["over"]);
  expect(await Promise.all([one.text("/x"), one.text("/x")])).toEqual(["1", "2"]);
  expect(pids.size).toBe(1);
  await eventually("it has ended again", () => pids.size === 0);
});

test("an idle process that has used SQLite ends too", async () => {
  const file = sandbox.at("idle.config.json");
  const rule = { match: "n.csv", generator: "sql", options: { url: "sqlite:idle.db", query: "SELECT 1 AS n" } };
  writeFileSync(file, JSON.stringify({ rules: [rule] }));
  new Database(sandbox.at("idle.db")).run("CREATE TABLE t (n)");
  await using one = await loaded(file, {}, {}, undefined, undefined, 150);
  const pids = living(one);
  for (let round = 0; round < 2; round++) {
    expect(await one.text("/n.csv")).toBe("n\r\n1\r\n");
    expect(pids.size).toBe(1);
    await eventually("it has ended", () => pids.size === 0);
  }
});

test("exec: sizes, exit statuses, environment and input", async () => {
  const file = sandbox.at("exec.config.json");
  const rule = (match: string, options: object) => ({ match, generator: "exec", options });
  const sh = (script: string, more: object = {}) => ({ command: ["sh", "-c", script], ...more });
  writeFileSync(
    file,
    JSON.stringify({
      rules: [
        rule("env", sh("env | sort", { env: ["GIVEN"] })),
        rule("big", sh("head -c 100000 /dev/zero", { maxBytes: 99_999 })),
        rule("endless", sh("yes", { maxBytes: 1000 })),
        rule("none", { command: ["./not-there"] }),
        rule("nowhere", { command: ["date"], cwd: "./not-there" }),
        rule("66", sh("exit 66")),
        rule("9", sh("kill -9 $$")),
        rule("closes", sh("exec 0<&-; echo fine")),
        rule("leaves", sh("sleep 876543 & echo fine")),
        rule("in/{a}", { ...sh("cat"), list: ["printf", "in\\n"], input: { b: 2 } }),
      ],
    }),
  );
  await using one = await loaded(file, { GIVEN: "yes", SECRET: "no", OPENAI_API_KEY: "no" });
  const env = await one.text("/env");
  expect(env).toContain("GIVEN=yes");
  expect(env).not.toMatch(/^(SECRET|OPENAI_API_KEY)=/m);
  const outcomes = await Promise.all(
    ["big", "endless", "none", "66", "9", "closes", "leaves"].map((name) => one.text(`/${name}`).catch(errno)),
  );
  expect(outcomes).toEqual(["EFBIG", "EFBIG", "EIO", "ENOENT", "EIO", "fine\n", "fine\n"]);
  await expect(one.text("/nowhere")).rejects.toThrow('the option "cwd": the directory');
  expect(JSON.parse(await one.text("/in/1"))).toMatchObject({ path: "/in/1", params: { a: "1" }, options: { b: 2 } });
  expect(await one.list("/in", "exec")).toEqual(["in"]);
  await eventually("nothing is left running", () => !commandLines().includes("sleep\x00876543\x00"));
}, 20_000);

test("programs and user code get the path of their own mount in LLMFS_MOUNT; options cannot use it", async () => {
  const file = sandbox.at("told.config.ts");
  writeFileSync(
    file,
    `export default {
      generators: { own: { generate: () => ({ content: process.env.LLMFS_MOUNT ?? "nowhere" }) } },
      rules: [{ match: "own", generator: "own" },
        { match: "program", generator: "exec", options: { command: ["sh", "-c", 'printf "$LLMFS_MOUNT"'] } }],
    };`,
  );
  const told = async (mountpoint?: string) => {
    await using one = await loaded(file, { LLMFS_MOUNT: "/outer" }, {}, undefined, mountpoint);
    return [await one.text("/own"), await one.text("/program")];
  };
  expect(await told("/mnt/tree")).toEqual(["/mnt/tree", "/mnt/tree"]);
  expect(await told()).toEqual(["nowhere", ""]);
  const prompted = sandbox.at("prompted.config.json");
  const options = { prompt: "what lies in $" + "{LLMFS_MOUNT}" };
  writeFileSync(prompted, JSON.stringify({ rules: [{ match: "a", generator: "llm", options }] }));
  await expect(loaded(prompted, {}, {}, undefined, "/mnt/tree")).rejects.toThrow(
    "LLMFS_MOUNT is available only to programs",
  );
});

test("templates: variables, errors with file and line, and no way around the limits", async () => {
  const file = sandbox.at("template.config.json");
  writeFileSync(sandbox.at("t.liquid"), "a\nb {{ vars.x | minus: }}\n{% if %}\n");
  writeFileSync(
    file,
    JSON.stringify({
      rules: [
        {
          match: "v/{id}",
          generator: "template",
          options: {
            text: "{{ params.id }} {{ vars.x }} {{ env.NAME }} {{ env.HOME }}|",
            vars: { x: 1 },
            env: ["NAME"],
          },
        },
        { match: "t", generator: "template", options: { template: "./t.liquid" } },
        { match: "loop", generator: "template", options: { text: "{% for a in (1..100000000000) %}x{% endfor %}" } },
        { match: "gone", generator: "template", options: { text: "{% include '/nowhere' %}" } },
        { match: "typo", generator: "template", options: { text: "{{ '/d.json' | raed }}" } },
        {
          match: "data",
          generator: "template",
          options: {
            text: "{% assign d = '/d.json' | read | parse_json %}{{ d.list[1] }}{% for e in tree %} {{ e.path }}{% endfor %}",
          },
        },
      ],
    }),
  );
  await using one = await loaded(file, { NAME: "n", HOME: "/root" }, { "/d.json": '{"list":[1,22]}' });
  expect(await one.text("/v/7")).toBe("7 1 n |");
  expect(await one.text("/data")).toBe("22 /d.json");
  const broken = await one.text("/t").catch((error: FsError) => error.message);
  expect(broken).toMatch(/t\.liquid, line:3/);
  expect(await one.text("/loop").catch(errno)).toBe("EIO");
  expect(await one.text("/gone").catch(errno)).toBe("EIO");
  expect(await one.text("/typo").catch((error: FsError) => error.message)).toContain("undefined filter: raed");
}, 30_000);

test("helper processes do not outlive the process that started them", async () => {
  const file = config(
    `export default { generators: { g: { generate: () => { for (;;); } } }, rules: [{ match: "x", generator: "g" }] };`,
  );
  const child = Bun.spawn({
    cmd: [
      process.execPath,
      "-e",
      `import { loaded } from ${JSON.stringify(`${import.meta.dir}/../support/generators.ts`)};
      const one = await loaded(${JSON.stringify(file)}); one.text("/x").catch(() => {}); setInterval(() => {}, 1000);`,
    ],
    stdio: ["ignore", "inherit", "inherit"],
  });
  const helpers = () =>
    readdirSync("/proc").filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[1] === String(child.pid);
      } catch {
        return false;
      }
    });
  await eventually("the helper runs", () => helpers().length > 0);
  const [helper = "0"] = helpers();
  await Bun.sleep(300);
  child.kill("SIGKILL");
  await child.exited;
  await eventually("the helper is gone", () => !isAlive(Number(helper)));
}, 20_000);

/** The command lines of all processes, as in proc_pid_cmdline(5). */
function commandLines(): readonly string[] {
  return readdirSync("/proc").flatMap((name) => {
    try {
      return /^\d+$/.test(name) ? [readFileSync(`/proc/${name}/cmdline`, "latin1")] : [];
    } catch {
      // It has ended in the meantime.
      return [];
    }
  });
}

test("a file is valid content, a Map is not, and metadata too large to store is reported", async () => {
  writeFileSync(sandbox.at("given.bin"), Uint8Array.of(0, 255, 10));
  const file = config(`export default { generators: { g: { generate: (path) => ({
      content: path === "/file" ? Bun.file(${JSON.stringify(sandbox.at("given.bin"))}) : path === "/map" ? new Map([[1, 2]]) : {},
      metadata: { kept: 1, big: 10n },
    }) } }, rules: [{ match: ["file", "map", "empty"], generator: "g" }] };`);
  await using one = await loaded(file);
  expect([...(await one.bytes("/file"))]).toEqual([0, 255, 10]);
  expect(one.log.join()).toContain('the metadata "big" is not kept: it is a bigint');
  expect(await one.text("/map").catch(errno)).toBe("EIO");
  expect(await one.text("/empty")).toBe("{}\n");
});

test("the time that a template waits for other files does not count toward its limit", async () => {
  const text = "{% include '/slow.txt' %}{{ '/slow.txt' | read }}{% for i in (1..3) %}{{ i }}{% endfor %}";
  const now = performance.now.bind(performance);
  let later = 0;
  const clock = spyOn(performance, "now").mockImplementation(() => now() + later);
  try {
    const pieces: Uint8Array[] = [];
    await renderTemplate(
      { task: "template", path: "/t", name: "t.liquid", variables: {} },
      {
        signal: new AbortController().signal,
        input: async () => Buffer.from(text),
        // An hour each time, by the clock of this process.
        async ask() {
          later += 3_600_000;
          return new TextEncoder().encode("slow ");
        },
        log() {},
        result() {},
        piece: async (bytes) => void pieces.push(bytes),
      },
    );
    expect(Buffer.concat(pieces).toString()).toBe("slow slow 123");
  } finally {
    clock.mockRestore();
  }
});

test("endless output of user code is dropped after a while, and counted", async () => {
  const file = config(`export default { generators: { g: { async generate(path, { log }) {
      for (let i = 0; i < 200_000; i++) path === "/prints" ? console.log("an error again") : log.info("an error again");
      return { content: "done" };
    } } }, rules: [{ match: ["prints", "logs"], generator: "g" }] };`);
  await using one = await loaded(file);
  for (const path of ["/prints", "/logs"]) {
    one.log.length = 0;
    expect(await one.text(path)).toBe("done");
    await eventually("the end of what it said", () => one.log.some((line) => line.includes("dropped here")));
    expect(one.log.length).toBeLessThan(10_000);
  }
}, 30_000);

test("single messages from user code are limited: errors, metadata, lists", async () => {
  const file = config(`const long = "x".repeat(50_000_000);
    export default { generators: { g: {
      generate: (path) => { if (path === "/fails") throw new Error(long); return { content: "x", metadata: { long, short: 1 } }; },
      *list() { for (;;) yield { path: "x".repeat(100_000) }; },
    } }, rules: [{ match: ["fails", "kept"], generator: "g" }, { match: "d/{n}", generator: "g" }] };`);
  await using one = await loaded(file);
  const error = await one.text("/fails").catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(FsError);
  expect(String(error).length).toBeLessThan(20_000);
  expect(await one.text("/kept")).toBe("x");
  expect(one.log.join()).toContain('the metadata "long" is not kept: it is too large for an xattr');
  expect(await one.list("/d", "g").catch(errno)).toBe("EFBIG");
}, 30_000);

test("a program may print any amount to stderr: the excess is dropped, and the last line is kept", async () => {
  const flood = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); head -c 100000 /dev/zero | tr '\\0' x; echo; done >&2";
  const file = sandbox.at("talks.config.json");
  const options = (end: string) => ({
    command: ["sh", "-c", `${flood}; ${end}`],
    list: ["sh", "-c", "yes | head -n 3"],
  });
  writeFileSync(
    file,
    JSON.stringify({
      rules: [
        { match: "works", generator: "exec", options: options("echo done") },
        { match: "fails", generator: "exec", options: options("echo the reason >&2; exit 1") },
      ],
    }),
  );
  await using one = await loaded(file);
  expect(await one.text("/works")).toBe("done\n");
  const said = one.log.join("\n");
  expect(said.length).toBeLessThan(400_000);
  expect(said).toMatch(/\(\d+ bytes dropped here because they came too fast\)/);
  const error = await one.text("/fails").catch((reason: unknown) => reason);
  expect(String(error)).toContain("ended with status 1: the reason");
}, 30_000);

test("a program that prints an endless line while listing is stopped", async () => {
  const file = sandbox.at("lists.config.json");
  const list = (script: string) => ({ command: ["true"], list: ["sh", "-c", script] });
  writeFileSync(
    file,
    JSON.stringify({
      rules: [
        { match: "endless/{n}", generator: "exec", options: list("yes | tr -d '\\n'") },
        { match: "some/{n}", generator: "exec", options: list("printf 'a\\n\\nb'") },
      ],
    }),
  );
  await using one = await loaded(file);
  expect(await one.list("/endless", "exec").catch(errno)).toBe("EIO");
  expect(await one.list("/some", "exec")).toEqual(["a", "b"]);
});

test("a template that is not a regular file, or too long, is refused without being read to its end", async () => {
  const file = sandbox.at("endless.config.json");
  symlinkSync("/dev/zero", sandbox.at("endless.liquid"));
  writeFileSync(sandbox.at("huge.liquid"), "");
  truncateSync(sandbox.at("huge.liquid"), 20 * 1024 * 1024);
  const rules = ["endless", "huge"].map((match) => ({
    match,
    generator: "template",
    options: { template: `./${match}.liquid` },
  }));
  writeFileSync(file, JSON.stringify({ rules }));
  await using one = await loaded(file);
  const said = (path: string) => one.text(path).catch((error: unknown) => String(error));
  expect(await said("/endless")).toContain("endless.liquid cannot be read: it is not a regular file");
  expect(await said("/huge")).toContain("huge.liquid cannot be read: it is longer than 16 MiB");
});

test("an endless loop in a template blocks no other file, and stops with its reader", async () => {
  const file = sandbox.at("loops.config.json");
  const loop = "{% for a in (1..10000000) %}{% for b in (1..10000000) %}{% endfor %}{% endfor %}";
  const sorts =
    "{% assign all = '' %}{% for a in (1..300) %}{% assign all = '/d.txt' | read | split: '' | sort | join %}{% endfor %}";
  writeFileSync(
    file,
    JSON.stringify({
      rules: [
        { match: "loop", generator: "template", options: { text: loop } },
        { match: "sorts", generator: "template", options: { text: sorts } },
        { match: "fine", generator: "template", options: { text: "fine" } },
      ],
    }),
  );
  await using one = await loaded(file, {}, { "/d.txt": "dcba".repeat(200_000) });
  for (const path of ["/loop", "/sorts"]) {
    const stop = new AbortController();
    const reading = one.text(path, stop.signal).catch(errno);
    // Timers of this process keep running.
    for (let ticks = 0; ticks < 60; ticks++) await Bun.sleep(5);
    stop.abort();
    expect(await reading).toBe("EINTR");
  }
  expect(await one.text("/fine")).toBe("fine");
}, 30_000);
