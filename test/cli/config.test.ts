/** `llmfs init` and `llmfs config`, and the JSON Schema of configurations. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { createJsonSchema } from "../../src/app/configuration/schema.ts";
import { FORMATS, starterText } from "../../src/app/configuration/starter.ts";
import { keyOf, rowOf, SETTING_NAMES } from "../../src/app/settings/table.ts";
import { documented } from "../support/json-shapes.ts";
import { describeMounted } from "../support/mounted.ts";
import { openaiServer } from "../support/openai-server.ts";
import { BINARY, Sandbox, type StartOptions } from "../support/program.ts";

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = new Sandbox();
});
afterAll(() => sandbox[Symbol.dispose]());

const untrusted = { LLMFS_TRUST: "" };
const llmfs = (args: readonly string[], options: StartOptions = {}) =>
  sandbox.llmfs(args, { program: BINARY, ...options, env: { ...untrusted, ...options.env } });

describe("llmfs init", () => {
  test.each([...FORMATS])("what init writes is loaded, and trusted: %s", async (format) => {
    const cwd = sandbox.directory(`init-${format}`);
    const made = await llmfs(["init", "--format", format, "--json"], { cwd });
    expect([made.status, documented("init", made.stdout)]).toEqual([
      0,
      { config: `${cwd}/llmfs.config.${format}`, prompt: `${cwd}/prompt.md` },
    ]);
    const seen = await llmfs(["config", "--json"], { cwd });
    const { settings } = documented("config", seen.stdout);
    expect(settings.find(({ key }: { key: string }) => key === "max-calls")).toEqual({
      key: "max-calls",
      value: "500",
      from: "file",
      source: `${cwd}/llmfs.config.${format}`,
      line:
        starterText(format)
          .split("\n")
          .findIndex((line) => /^\s*"?max-?calls"?:/i.test(line)) + 1,
    });
    writeFileSync(`${cwd}/tree.json`, '{ "llmfs": 1, "entries": [] }');
    expect((await llmfs(["plan", "tree.json"], { cwd })).stdout).toContain("1 file is pending");
    const tested = await llmfs(["generators", "test", "hello.txt"], { cwd });
    expect([tested.status, tested.stdout]).toEqual([0, "Hello from /hello.txt.\n"]);
    const run = await llmfs(["run", "--no-mount", "--", "cat", "hello.txt"], { cwd });
    expect([run.status, run.stdout]).toEqual([0, "Hello from /hello.txt.\n"]);
  });

  test("init overwrites nothing, and writes nothing inside a mount or next to another configuration", async () => {
    const cwd = sandbox.directory("twice");
    writeFileSync(`${cwd}/llmfs.config.toml`, "");
    const again = await llmfs(["init"], { cwd });
    expect([again.status, again.stderr]).toEqual([
      84,
      `llmfs: ${cwd}/llmfs.config.toml exists already; nothing was written\n`,
    ]);
    expect(existsSync(`${cwd}/prompt.md`)).toBe(false);
    const other = sandbox.directory("example");
    writeFileSync(`${other}/prompt.md`, "mine");
    expect((await llmfs(["init", other])).status).toBe(84);
    expect([existsSync(`${other}/llmfs.config.yaml`), readFileSync(`${other}/prompt.md`, "utf8")]).toEqual([
      false,
      "mine",
    ]);
    const wrong = await llmfs(["init", "--format", "xml"], { cwd });
    expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining("expected yaml, ts, json")]);
  });
});

describeMounted("a mount with the configuration of init", () => {
  test("the example mounts, with the prompt too, and the same configuration serves plan", async () => {
    const files = [{ path: "README.md", description: "what it is", uses: [] }];
    const layout = { files, directories: [], symlinks: [], unfinished: [] };
    await using server = await openaiServer([{ stream: JSON.stringify(layout) }]);
    const cwd = sandbox.directory("mounted");
    await llmfs(["init"], { cwd });
    const first = await llmfs(["run", "--", "cat", "hello.txt"], { cwd });
    expect([first.status, first.stdout]).toEqual([0, "Hello from /hello.txt.\n"]);
    const file = `${cwd}/llmfs.config.yaml`;
    const text = readFileSync(file, "utf8").replace("# prompt:", "prompt:").replace("# model:", "model:");
    writeFileSync(file, text.replace("# base-url: http://127.0.0.1:11434/v1", `base-url: ${server.baseUrl}`));
    const refused = await llmfs(["run", "--", "ls"], { cwd });
    expect([refused.status, server.requests.length]).toEqual([84, 0]);
    await llmfs(["trust"], { cwd });
    const run = await llmfs(["run", "--", "ls"], { cwd });
    expect([run.status, run.stdout.split("\n").includes("hello.txt")]).toEqual([0, true]);
    expect(server.requests.length).toBeGreaterThan(0);
    expect(existsSync(`${cwd}/recordings`)).toBe(true);
  });
});

describeMounted("why", () => {
  test("why names the file and the line of the rule for a file, in a snapshot and in a mount", async () => {
    const cwd = sandbox.directory("rules");
    const rules = [
      "model: m",
      "rules:",
      "  - match: made.txt",
      "    generator: static",
      "    options: { content: made }",
      "  - match: [other.md, 'notes/*.md']",
      "    generator: llm",
      "    options: { prompt: a note }",
    ];
    writeFileSync(`${cwd}/rules.yaml`, `${rules.join("\n")}\n`);
    const pending = ["/free.md", "/notes/a.md"].map((path) => ({ path, type: "file", mode: "0644", state: "pending" }));
    const entries = [pending[0], { path: "/notes", type: "directory", mode: "0755" }, pending[1]];
    writeFileSync(`${cwd}/tree.json`, JSON.stringify({ llmfs: 1, entries }));
    const at = ["--config", "rules.yaml"];
    const ruleOf = (stdout: string) => /^rule +(.*)$/m.exec(stdout)?.[1];
    const expected = {
      "made.txt": `${cwd}/rules.yaml:3, rule 1 (made.txt)`,
      "notes/a.md": `${cwd}/rules.yaml:6, rule 2 (notes/*.md)`,
      "free.md": undefined,
    };
    for (const [path, rule] of Object.entries(expected)) {
      expect(ruleOf((await llmfs(["why", `tree.json/${path}`, ...at], { cwd })).stdout)).toBe(rule);
    }
    const why = `cat made.txt >/dev/null; for path in ${Object.keys(expected).join(" ")}; do ${BINARY.join(" ")} why $path; done`;
    const script = ["run", "--from", "tree.json", ...at, "--", "sh", "-c", `cd "$LLMFS_MOUNT" && ${why}`];
    const { stdout } = await llmfs(script, { cwd });
    expect(stdout.split("\n").filter((line) => line.startsWith("rule "))).toEqual(
      Object.values(expected).flatMap((rule) => (rule === undefined ? [] : [`rule         ${rule}`])),
    );
    expect(stdout).toContain("made by      static\n");
  });
});

describe("llmfs config", () => {
  test("config shows each value with its origin, and masks secrets", async () => {
    const cwd = sandbox.directory("origins");
    const own = sandbox.at("xdg/llmfs");
    mkdirSync(own, { recursive: true });
    writeFileSync(`${own}/config.yaml`, "timeout: 90s\nconcurrency: 2\n");
    writeFileSync(
      `${cwd}/llmfs.config.yaml`,
      `concurrency: 8
recordings: redis://:hunter2@cache
base-url: https://me:pass@host.example/v1?key=topsecret&api-version=2024-10-21
headers:
  api-key: \${AZURE_KEY}
prompt: a tree
`,
    );
    const env = {
      XDG_CONFIG_HOME: sandbox.at("xdg"),
      LLMFS_TRUST: cwd,
      AZURE_KEY: "azure-secret",
      OPENAI_API_KEY: "sk-secret",
      LLMFS_MODEL: "from-variable",
    };
    writeFileSync(`${cwd}/x.json`, '{ "llmfs": 1, "entries": [] }');
    const { status, stdout } = await llmfs(["config", "--json", "--size", "1G", "--from", "x.json"], { cwd, env });
    expect(status).toBe(0);
    const { files, rules, settings } = documented("config", stdout);
    expect([files, rules]).toEqual([[`${cwd}/llmfs.config.yaml`, `${own}/config.yaml`], undefined]);
    const find = (key: string) => settings.find((one: { key: string }) => one.key === key);
    expect(find("size")).toEqual({ key: "size", value: "1G", from: "flag", source: "--size" });
    expect(find("model")).toEqual({ key: "model", value: "from-variable", from: "variable", source: "LLMFS_MODEL" });
    const source = `${cwd}/llmfs.config.yaml`;
    expect(find("concurrency")).toEqual({ key: "concurrency", value: "8", from: "file", source, line: 1 });
    expect(find("timeout")).toEqual({
      key: "timeout",
      value: "90s",
      from: "file",
      source: `${own}/config.yaml`,
      line: 1,
    });
    expect(find("headers.api-key")).toEqual({ key: "headers.api-key", value: "***", from: "file", source, line: 5 });
    expect(find("mode")).toEqual({ key: "mode", value: "auto", from: "default" });
    expect(find("prompt")).toEqual({ key: "prompt", from: "default" });
    expect(find("base-url").value).toBe("https://host.example/v1?key=***&api-version=2024-10-21");
    for (const secret of ["hunter2", "topsecret", "azure-secret", "sk-secret", "pass"])
      expect(stdout).not.toContain(secret);
    const table = await llmfs(["config"], { cwd, env });
    expect(table.stdout).toMatch(/^concurrency +8 +.*llmfs\.config\.yaml:1$/m);
    expect(table.stdout).toMatch(/^mode +auto +default$/m);
    expect(table.stdout).not.toMatch(/hunter2|topsecret|azure-secret|sk-secret/);
  });

  test("config reports every mistake in a value, with its line", async () => {
    const cwd = sandbox.directory("mistakes");
    writeFileSync(`${cwd}/llmfs.config.yaml`, "model: m\nrepairs: often\n");
    const { status, stderr } = await llmfs(["config", "--config", "llmfs.config.yaml"], { cwd });
    expect([status, stderr]).toEqual([
      84,
      expect.stringContaining(`${cwd}/llmfs.config.yaml:2: repairs often: expected a whole number, from 0 to 100`),
    ]);
  });

  test.each<[string, string, number, string]>([
    ["a rule", "rules:\n  - match: a\n    generator: static\n    options: { contens: x }\n", 84, "4: rule 1 "],
    ["a generator", "generators:\n  db: { use: sqll }\n", 84, '2: generator "db": unknown built-in generator sqll'],
    ["a setting without another", "model: m\nsave-every: 5s\n", 84, "2: save-every needs --save FILE"],
    ["a snapshot", "model: m\nfrom: absent.json\n", 85, "2: from CWD/absent.json: cannot be opened"],
    ["a file that is not a snapshot", "from: llmfs.config.yaml\n", 85, "1: from CWD/llmfs.config.yaml, line 1"],
    ["a place to save", "save: absent/tree.json\n", 89, "1: save CWD/absent/tree.json: the folder cannot be written"],
    ["an audit", "audit: absent/a\naudit-required: true\n", 84, "1: audit CWD/absent/a cannot be written"],
  ])("config reports what would prevent a mount, with its line: %s", async (what, text, code, message) => {
    const cwd = sandbox.directory(`prevents ${what}`);
    writeFileSync(`${cwd}/llmfs.config.yaml`, text);
    const { status, stdout, stderr } = await llmfs(["config", "--config", "llmfs.config.yaml"], { cwd });
    expect([status, stdout]).toEqual([code, ""]);
    expect(stderr.replaceAll(cwd, "CWD")).toContain(`llmfs: CWD/llmfs.config.yaml:${message}`);
  });

  test("config shows one setting, and the default of each setting whose help has one", async () => {
    const cwd = sandbox.directory("one setting");
    const show = async (...args: string[]) => llmfs(["config", ...args], { cwd });
    expect((await show("mode", "--mode", "replay")).stdout).toBe("mode  replay  --mode\n");
    expect(documented("config", (await show("mode", "--json")).stdout).settings).toHaveLength(1);
    const wrong = await show("modde");
    expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining("did you mean mode?")]);
    const lines = (await show()).stdout.split("\n");
    const unset = SETTING_NAMES.filter((name) => rowOf(name).description.includes("default: "))
      .map(keyOf)
      .filter((key) => lines.some((line) => line.startsWith(`${key} `) && line.includes("not set")));
    expect(unset).toEqual([]);
  });

  test("a variable that is not set is reported with the line that needs it", async () => {
    const cwd = sandbox.directory("variable");
    writeFileSync(`${cwd}/llmfs.config.yaml`, `model: m\nbase-url: "\${NOPE}/v1"\n`);
    const args = ["generate", "--prompt", "a b", "--config", "llmfs.config.yaml"];
    const { status, stderr } = await llmfs(args, { cwd });
    expect([status === 0, stderr]).toEqual([
      false,
      expect.stringContaining("llmfs.config.yaml:2: base-url: the environment"),
    ]);
  });

  test.each([
    ["a key", "modle: m\n", "1: unknown key"],
    ["a generator", "rules:\n  - { match: a, generator: exce }\n", "2: "],
  ])("trust reports a mistake in the file, and does not run programs to find one: %s", async (what, text, message) => {
    const cwd = sandbox.directory(`mistake in ${what}`);
    writeFileSync(`${cwd}/llmfs.config.yaml`, text);
    const { status, stderr } = await llmfs(["trust"], { cwd });
    expect(status).toBe(0);
    expect(stderr).toContain(
      `trusted: ${cwd}/llmfs.config.yaml\nwarning: it cannot be used as it is. ${cwd}/llmfs.config.yaml:${message}`,
    );
  });

  test("a trusted file that has changed is refused with that reason", async () => {
    const cwd = sandbox.directory("changed");
    writeFileSync(`${cwd}/llmfs.config.yaml`, "mode: replay\n");
    expect(await llmfs(["trust"], { cwd })).toMatchObject({ status: 0, stderr: `trusted: ${cwd}/llmfs.config.yaml\n` });
    writeFileSync(`${cwd}/llmfs.config.yaml`, "mode: auto\n");
    const { status, stderr } = await llmfs(["config"], { cwd });
    expect([status, stderr]).toEqual([84, expect.stringContaining("has changed since you trusted it")]);
  });

  test("config uses no file that is not trusted", async () => {
    const cwd = sandbox.directory("stranger");
    writeFileSync(`${cwd}/llmfs.config.yaml`, "base-url: https://evil.example/v1\n");
    const { status, stdout, stderr } = await llmfs(["config"], { cwd });
    expect([status, stdout]).toEqual([84, ""]);
    expect(stderr).toContain("is not trusted");
    expect((await llmfs(["config", "--config", "none"], { cwd })).status).toBe(0);
  });
});

test("the code of a configuration runs once in a command, although it has settings and rules", async () => {
  const cwd = sandbox.directory("once");
  const config = `${cwd}/llmfs.config.ts`;
  const runs = `${cwd}/runs`;
  const code = [
    'import { appendFileSync } from "node:fs";',
    `appendFileSync(${JSON.stringify(runs)}, "x");`,
    'const content = "built in";',
    'const rules = [{ match: "/a.txt", generator: "static", options: { content } }];',
    "export default { maxCalls: 3, rules };",
  ];
  writeFileSync(config, code.join("\n"));
  writeFileSync(`${cwd}/tree.json`, '{ "llmfs": 1, "entries": [] }');
  const commands = [["config"], ["plan", "tree.json"], ["cat", "tree.json/a.txt"], ["generators"]];
  for (const args of [...commands, ["run", "--no-mount", "--", "cat", "a.txt"]]) {
    writeFileSync(runs, "");
    const { status } = await llmfs([...args], { cwd, env: { LLMFS_TRUST: config } });
    expect([args[0], status, readFileSync(runs, "utf8")]).toEqual([args[0], 0, "x"]);
  }
});

describe("the JSON Schema", () => {
  const schema = z.fromJSONSchema(createJsonSchema());

  test.each(["yaml", "json"] as const)("the schema accepts the configuration of init: %s", (format) => {
    const text = starterText(format).replace(/^(\s*)(?:#|\/\/) ("?(?:prompt|model|base-url)"?:)/gm, "$1$2");
    const value = format === "yaml" ? Bun.YAML.parse(text) : Bun.JSONC.parse(text);
    expect(schema.safeParse(value).error?.issues).toBeUndefined();
    expect(value).toMatchObject({ prompt: "prompt.md", "max-calls": 500 });
  });

  test("the schema rejects misspelt keys and values of the wrong kind", () => {
    for (const wrong of [
      { sise: "1G" },
      { mode: "reply" },
      { "read-only": "yes" },
      { rules: [{ match: "a" }] },
      { rules: [{ match: "a", generator: "static", refresh: "sometimes" }] },
      { generators: { db: { url: "x" } } },
    ]) {
      expect([wrong, schema.safeParse(wrong).success]).toEqual([wrong, false]);
    }
  });
});
