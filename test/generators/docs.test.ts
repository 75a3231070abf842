/** The examples in docs/generators.md compile against the published type, and the first one works as described. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY, Sandbox } from "../support/program.ts";

const ROOT = join(import.meta.dir, "../..");
const TEXT = readFileSync(join(ROOT, "docs/generators.md"), "utf8");
const EXAMPLES = [...TEXT.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? "");

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

test("every documented example compiles in strict mode, with the package's own types", () => {
  const folder = sandbox.directory("types");
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const [index, code] of EXAMPLES.entries()) writeFileSync(join(folder, `example${index}.ts`), code);
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: join(ROOT, "tsconfig.json"),
      compilerOptions: { noEmit: true, paths: { llmfs: [join(ROOT, "src/index.ts")] } },
      include: ["example*.ts"],
    }),
  );
  const { stdout, exitCode } = Bun.spawnSync({ cmd: [join(ROOT, "node_modules/.bin/tsc"), "-p", folder] });
  expect([stdout.toString(), exitCode]).toEqual(["", 0]);
  expect(EXAMPLES.length).toBeGreaterThan(4);
}, 60_000);

test("the first documented example is a working generator in ten lines", async () => {
  const folder = sandbox.directory("first");
  const [first = ""] = EXAMPLES;
  expect(first.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("//")).length).toBeLessThanOrEqual(
    10,
  );
  writeFileSync(join(folder, "llmfs.config.ts"), first);
  const made = await sandbox.llmfs(["generators", "test", "hello.txt"], { cwd: folder });
  expect(made.stdout).toBe("Hello from /hello.txt\n");
  expect(made.stderr).toMatch(/rule 1: hello.txt → hello; 22 bytes in [\d.]+ ms/);
  const { stdout } = await sandbox.llmfs(["generators", "--config", "llmfs.config.ts"], { cwd: folder });
  expect(stdout).toContain("hello.txt  hello, once");
});

test("documented examples that are a whole configuration load", async () => {
  for (const [index, code] of EXAMPLES.entries()) {
    if (!code.includes("export default")) continue;
    const folder = sandbox.directory(`load${index}`);
    writeFileSync(join(folder, "llmfs.config.ts"), code);
    const env = { DATABASE_URL: "sqlite:shop.db", API_TOKEN: "t" };
    const args = ["generators", "--json", "--config", "llmfs.config.ts"];
    const { status, stderr } = await sandbox.llmfs(args, { cwd: folder, env });
    expect([index, status, stderr]).toEqual([index, 0, `configuration: ${join(folder, "llmfs.config.ts")}\n`]);
  }
}, 30_000);

test("a directory's files can be tested without a mount, including one that reads another", async () => {
  const folder = sandbox.directory("house");
  const house = EXAMPLES.find((code) => code.includes("house/")) ?? "";
  writeFileSync(join(folder, "llmfs.config.ts"), house);
  expect((await sandbox.llmfs(["generators", "test", "/house/cellar.txt"], { cwd: folder })).stdout).toBe("dark\n");
  const unruled = await sandbox.llmfs(["generators", "test", "attic.txt"], { cwd: folder });
  expect([unruled.status, unruled.stderr]).toEqual([84, expect.stringContaining("/attic.txt: no rule matches it")]);
  const missing = await sandbox.llmfs(["generators", "test", "house/attic.txt"], { cwd: folder });
  expect([missing.status, missing.stderr]).toEqual([90, expect.stringContaining("there is no such room (ENOENT)")]);
});

test("the documented test runs with the package from a checkout, by Bun and by the llmfs executable", async () => {
  const folder = sandbox.directory("testing");
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  writeFileSync(join(folder, "upper.test.ts"), EXAMPLES.find((code) => code.includes("bun:test")) ?? "");
  const install = ["npm", "install", "--save-dev", "--offline", "--no-audit", "--no-fund", ROOT];
  expect(Bun.spawnSync({ cmd: install, cwd: folder, env: sandbox.environment() }).exitCode).toBe(0);
  for (const program of [[process.execPath], BINARY]) {
    const { status, stderr } = await sandbox.llmfs(["test"], { program, cwd: folder, env: { BUN_BE_BUN: "1" } });
    expect([status, stderr]).toEqual([0, expect.stringMatching(/\(pass\) upper keeps the contract[\s\S]* 1 pass\n/)]);
  }
  const compiler = { strict: true, noEmit: true, moduleResolution: "bundler", allowImportingTsExtensions: true };
  const other = EXAMPLES.find((code) => code.includes("defineConfig") && code.includes("FsError")) ?? "";
  writeFileSync(join(folder, "llmfs.config.ts"), other);
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { ...compiler, module: "preserve" }, include: ["llmfs.config.ts"] }),
  );
  const { stdout } = Bun.spawnSync({ cmd: [join(ROOT, "node_modules/.bin/tsc"), "-p", folder] });
  expect(stdout.toString()).toBe("");
}, 60_000);

test("the documented template is rendered without a mount, from a file that a program writes", async () => {
  const folder = sandbox.directory("template");
  const liquid = /```liquid\n([\s\S]*?)```/.exec(TEXT)?.[1] ?? "";
  writeFileSync(join(folder, "out.liquid"), liquid);
  writeFileSync(
    join(folder, "llmfs.config.yaml"),
    `rules:
  - { match: out.md, generator: template, options: { template: out.liquid } }
  - { match: orders.csv, generator: exec, options: { command: [printf, 'id,customer\\n1,Ann\\n2,Bob\\n'] } }
`,
  );
  const { stdout, stderr } = await sandbox.llmfs(["generators", "test", "out.md"], { cwd: folder });
  expect([stdout, stderr]).toEqual(["\n2 orders, the last by Bob.\n", expect.stringContaining("28 bytes")]);
  const { stdout: shown } = await sandbox.llmfs(["generators"], { cwd: folder });
  expect(shown).toMatch(/^ {2}llm +built in$/m);
});

test("without a mount, files that are read are generated once, cycles are reported, and unknown files do not exist", async () => {
  const folder = sandbox.directory("reading");
  writeFileSync(
    join(folder, "llmfs.config.ts"),
    `let made = 0;
    const reading = (...paths: string[]) => ({
      generate: async (_: string, { read }: { read(path: string): Promise<Uint8Array> }) => ({
        content: Buffer.concat(await Promise.all(paths.map((path) => read(path)))),
      }),
    });
    export default {
      generators: {
        counted: { generate: () => ({ content: String(++made) }) },
        twice: reading("/one", "/one", "/other"), other: reading("/one"),
        here: reading("/there"), there: reading("/here"), astray: reading("/nowhere"),
      },
      rules: [{ match: "one", generator: "counted" },
        ...["twice", "other", "here", "there", "astray"].map((name) => ({ match: name, generator: name }))],
    };`,
  );
  const testing = async (path: string) => await sandbox.llmfs(["generators", "test", path], { cwd: folder });
  expect((await testing("twice")).stdout).toBe("111");
  const circle = await testing("here");
  expect([circle.status, circle.stderr]).toEqual([90, expect.stringContaining("/there → /here → /there (EDEADLK)")]);
  const astray = await testing("astray");
  expect([astray.status, astray.stderr]).toEqual([90, expect.stringContaining("/nowhere: no rule creates this file")]);
});

test("an error of a generator names the file once", async () => {
  const folder = sandbox.directory("failing");
  writeFileSync(
    join(folder, "llmfs.config.ts"),
    `export default { generators: { empty: { generate: () => 3 } }, rules: [
      { match: "empty", generator: "empty" }, { match: "page", generator: "template", options: { template: "no.liquid" } } ] };`,
  );
  const failing = async (path: string) => {
    const { stderr } = await sandbox.llmfs(["generators", "test", path], { cwd: folder });
    return stderr.slice(stderr.indexOf("\n") + 1);
  };
  expect(await failing("empty")).toBe('llmfs: /empty: generator "empty" failed: it did not return { content } (EIO)\n');
  expect(await failing("page")).toBe(`llmfs: /page: the template does not exist: ${folder}/no.liquid (ENOENT)\n`);
});

test("the contract's example keeps the contract, and violations are reported", async () => {
  const { contractTest } = await import("../../src/generators/contract-test.ts");
  const reads = {
    generate: async (_path: string, { read }: { read(path: string): Promise<Uint8Array> }) => ({
      content: await read("/in"),
    }),
  };
  expect(await contractTest(reads, { path: "/out", files: { "/in": "x" } })).toEqual([]);
  expect(await contractTest(reads, { path: "/out" })).not.toEqual([]);
  // biome-ignore lint/suspicious/noExplicitAny: what a generator without types may be
  const bad: any = { generate: () => ({ content: () => 1 }), list: () => ["../x"] };
  const problems = await contractTest(bad, { path: "/out", directory: "/d" });
  expect(problems.join("\n")).toMatch(/content is neither/);
  expect(problems.join("\n")).toMatch(/"\.\.\/x" is not a path/);
});
