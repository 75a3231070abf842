/** llmfs diff in the compiled binary: of snapshots, directories and mounts. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { documented } from "../support/json-shapes.ts";
import { describeMounted, mounted } from "../support/mounted.ts";
import { BINARY, Sandbox } from "../support/program.ts";

setDefaultTimeout(60_000);

let sandbox: Sandbox;
const run = (...args: string[]) => sandbox.llmfs(["diff", ...args], { program: BINARY });

beforeAll(async () => {
  sandbox = new Sandbox();
  mkdirSync(sandbox.at("one/src"), { recursive: true });
  writeFileSync(sandbox.at("one/a.md"), "first\nsecond\n");
  writeFileSync(sandbox.at("one/src/b"), "same\n");
  writeFileSync(sandbox.at("one/gone"), "x\n");
  writeFileSync(sandbox.at("one/bin"), Buffer.from([0, 1, 2]));
  symlinkSync("a.md", sandbox.at("one/link"));
  await sandbox.llmfs(["import", "one", "one.json"], { program: BINARY });
  Bun.spawnSync(["cp", "-a", "one", "two"], { cwd: sandbox.path });
  writeFileSync(sandbox.at("two/a.md"), "first\n2nd\nthird\n");
  chmodSync(sandbox.at("two/src/b"), 0o755);
  writeFileSync(sandbox.at("two/bin"), Buffer.from([0, 1, 3]));
  Bun.spawnSync(["sh", "-c", "rm two/gone; echo new > two/new; ln -sfn src two/link"], { cwd: sandbox.path });
});
afterAll(() => sandbox[Symbol.dispose]());

test("two equal trees have no differences, and the exit status is 0", async () => {
  expect(await run("one", "one.json")).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(await run("--json", "one.json/src", "one/src")).toMatchObject({ status: 0, stdout: "[]\n" });
});

test("names, modes, targets and contents are compared, and the exit status is 1", async () => {
  const { status, stdout } = await run("one.json", "two");
  expect(status).toBe(1);
  expect(stdout).toContain("changed: a.md\n--- a/a.md\n+++ b/a.md\n@@ -1,2 +1,3 @@\n first\n-second\n+2nd\n+third\n");
  expect(stdout).toContain("changed: bin\nthe contents are binary, and differ\n");
  expect(stdout).toContain("removed: gone\n--- a/gone\n+++ /dev/null\n");
  expect(stdout).toContain("changed: link\ntarget a.md -> src\n");
  expect(stdout).toContain("added: new\n");
  expect(stdout).toContain("changed: src/b\nmode 0644 -> 0755\n");
  expect(stdout).not.toContain("\u001b");
});

test("--stat prints a line for each difference, and --json all of them", async () => {
  const stat = await run("--stat", "one.json", "two");
  expect([stat.status, stat.stdout]).toEqual([
    1,
    "a.md   changed  content  +2 -1\nbin    changed  content\ngone   removed           +0 -1\nlink   changed  target\nnew    added             +1 -0\nsrc/b  changed  mode\n6 differences\n",
  ]);
  const json = documented("diff", (await run("--json", "one.json", "two")).stdout);
  expect(json[0]).toEqual({
    path: "a.md",
    change: "changed",
    aspects: ["content"],
    before: { type: "file", mode: "0644", size: 13 },
    after: { type: "file", mode: "0644", size: 16 },
    added: 2,
    removed: 1,
  });
});

test("long texts without common lines are compared quickly, and the patch can be applied", async () => {
  const folder = (name: string, text: string) => {
    mkdirSync(sandbox.at(name));
    writeFileSync(sandbox.at(`${name}/long`), text);
  };
  const lines = (from: number) => Array.from({ length: 20_000 }, (_, index) => `${from + index}`);
  folder("old", lines(0).join("\n"));
  folder("new", `${lines(20_000).join("\n")}\n`);
  folder("empty", "");
  const { status, stdout } = await run("old", "new");
  expect(status).toBe(1);
  writeFileSync(sandbox.at("a.patch"), stdout);
  expect(Bun.spawnSync(["patch", "-d", sandbox.at("old"), "-i", sandbox.at("a.patch")]).exitCode).toBe(0);
  expect(await run("old", "new")).toMatchObject({ status: 0, stdout: "" });
  expect((await run("--stat", "empty", "new")).stdout).toContain("+20000 -0");
});

test("the patch can be applied whatever the lines and names contain", async () => {
  const names = ["Makefile", "dos.txt", "with space", "escape", 'quo"te\\', "marked", "open end"];
  const texts = (recipe: string) => [
    `all:\n\t${recipe}\n`,
    `one\r\n${recipe}\r\n`,
    `${recipe}\n`,
    `\u001b[1m\u200b${recipe}\n`,
    `${recipe}\n`,
    recipe === "cc" ? "text\n" : "\ufefftext\n",
    recipe,
  ];
  for (const [folder, recipe] of [
    ["from", "cc"],
    ["to", "gcc"],
  ] as const) {
    mkdirSync(sandbox.at(folder));
    for (const [index, text] of texts(recipe).entries()) writeFileSync(sandbox.at(`${folder}/${names[index]}`), text);
  }
  writeFileSync(sandbox.at("to/added one"), "\tnew\n");
  Bun.spawnSync(["cp", "-a", "from", "again"], { cwd: sandbox.path });
  const { stdout } = await run("from", "to");
  writeFileSync(sandbox.at("b.patch"), stdout);
  const apply = (...command: string[]) => Bun.spawnSync(command, { cwd: sandbox.at("again") }).stderr.toString();
  Bun.spawnSync(["git", "init", "-q"], { cwd: sandbox.at("from") });
  Bun.spawnSync(["git", "apply", "../b.patch"], { cwd: sandbox.at("from") });
  Bun.spawnSync(["rm", "-r", ".git"], { cwd: sandbox.at("from") });
  expect(await run("from", "to")).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(apply("patch", "--binary", "-p1", "-i", "../b.patch")).toBe("");
  expect(await run("again", "to")).toEqual({ status: 0, stdout: "", stderr: "" });
});

test("a name cannot add a line to the patch", async () => {
  for (const folder of ["plain", "forged"]) mkdirSync(sandbox.at(folder));
  writeFileSync(sandbox.at("forged/a\n--- a\u0085"), "x\n");
  const { stdout } = await run("plain", "forged");
  expect(stdout).toContain('--- /dev/null\n+++ "b/a\\012--- a\\302\\205"\n');
});

test("binary content that only one tree has does not differ", async () => {
  for (const folder of ["less", "more"]) mkdirSync(sandbox.at(folder));
  writeFileSync(sandbox.at("more/bin"), Buffer.from([0, 1]));
  expect(await run("less", "more")).toMatchObject({ stdout: "added: bin\nthe content is binary\n" });
});

test("an error has a status greater than 1", async () => {
  expect((await run("one", "missing")).status).toBe(85);
  expect((await run("one.json/nothing", "one")).status).toBe(84);
  expect((await run("one")).status).toBe(2);
  expect((await run("--stat", "--json", "one", "two")).status).toBe(2);
});

describeMounted("of a mount,", () => {
  test("pending files are compared without generating them", async () => {
    await using m = await mounted({ pending: ["a.md", "b.md"] });
    const compare = (...args: string[]) => m.sandbox.llmfs(["diff", ...args], { program: BINARY });
    expect(await compare(m.dir, "from.json")).toEqual({ status: 0, stdout: "", stderr: "" });
    await m.out("cat a.md");
    const { status, stdout } = await compare("from.json", m.dir);
    expect([status, stdout]).toEqual([1, expect.stringContaining("changed: a.md (was pending)\n")]);
    expect(m.asked("b.md")).toBe(0);
  });
});
