/** Invalid configurations are refused when they are loaded, with what is wrong and where. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { describeConfiguration } from "../../../src/generators/config/document.ts";
import { loadConfig } from "../../../src/generators/config/load.ts";
import { Sandbox } from "../../support/program.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

let count = 0;

/** The error for a file with this text and extension, with FILE in place of its path. */
async function refusal(ending: string, text: string): Promise<string | undefined> {
  const file = sandbox.at(`refused${++count}.${ending}`);
  writeFileSync(file, text);
  try {
    await using _ = await loadConfig({ file }, { environment: { PATH: process.env.PATH }, print: () => {} });
    return undefined;
  } catch (error) {
    return String(error).replaceAll(file, "FILE");
  }
}

const refusedRule = (rule: unknown) => refusal("json", JSON.stringify({ rules: [rule] }));

test.each([
  ["ts", 'export default { rules: [ { match: "x" generator: 3 } ] };', '1:40: Expected "}" but found "generator"'],
  ["js", "export default {\n  rules: [,\n", "2:12: "],
  ["yaml", "rules:\n  - match: a\n  options: 3\n", "3:1: All mapping items must start at the same column"],
  ["toml", 'a = 1\nrules = [ { match = "a" \n', "2:25: "],
  ["json", '{ "rules": [ 1\n {"match": 3 } ] }', '2:2: Expected "," but found "{"'],
])("a syntax error is reported with line and column: %s", async (ending, text, told) => {
  expect(await refusal(ending, text)).toStartWith(`Error: FILE:${told}`);
});

test("a syntax error in an imported file is reported for that file", async () => {
  writeFileSync(sandbox.at("part.ts"), "export default [\n  1 2\n];");
  expect(await refusal("ts", 'import rules from "./part.ts"; export default { rules };')).toBe(
    `Error: FILE: ${sandbox.at("part.ts")}:2:5: Expected "]" but found "2"`,
  );
});

test("a rule whose generator is not a name, or that is not plain data, is reported", async () => {
  const before = 'export default { rules: [{ match: "a", generator: "static", options: { content: 1 } }, ';
  expect(await refusal("ts", `${before}{ match: "b", generator: { generate: () => ({ content: "" }) } }] };`)).toBe(
    'Error: FILE: rule 2: "generator" is an object; give it a name in "generators", and write that name here',
  );
  expect(await refusal("ts", `${before}{ match: "b", generator: "static", options: { content: () => 1 } }] };`)).toBe(
    'Error: FILE: rule 2: "options" must be plain data, without functions or the like',
  );
});

test.each([
  [
    { match: "a", generator: "static", options: { contents: "hi" } },
    'unknown option "contents"; expected one of: content',
  ],
  [{ match: "a", generator: "static" }, 'the option "content" is missing: text, or a JSON value'],
  [
    { match: "a", generator: "llm", options: { promt: "x" } },
    'unknown option "promt"; expected one of: prompt, model, description, depends, max-tokens, temperature',
  ],
  [{ match: "a", generator: "llm", options: { model: 3 } }, 'the option "model" must be text'],
  [{ match: "a", generator: "http", options: { url: "https://a.example", heders: {} } }, 'unknown option "heders"'],
  [{ match: "a", generator: "exec", options: { comand: ["date"] } }, 'unknown option "comand"'],
  [{ match: "a", generator: "template", options: { tekst: "a" } }, 'unknown option "tekst"'],
])("unknown options are rejected: %j", async (rule, told) => {
  expect(await refusedRule(rule)).toContain(`Error: FILE: rule 1 (generator "${rule.generator}"): ${told}`);
});

test("several statements are refused where SQLite would run only the first", async () => {
  const told =
    'Error: FILE: rule 1 (generator "sql"): a query must be one statement, but another follows the semicolon';
  const rule = (options: object) => refusedRule({ match: "{id}.csv", generator: "sql", options });
  expect(await rule({ url: "sqlite:a.db", query: "SELECT 1; DELETE FROM c" })).toBe(told);
  expect(await rule({ database: "/a.db", query: "SELECT 1", list: "SELECT 1; SELECT 2" })).toBe(told);
  expect(await rule({ url: "sqlite:a.db", query: "SELECT 1;" })).toBeUndefined();
});

test("a table without a recognizable format is refused if the paths are known", async () => {
  const sql = { url: "sqlite:x.db", query: "SELECT 1" };
  const http = { url: "https://a.example", collect: true };
  const rule = (match: string, generator: string, options: object) => refusedRule({ match, generator, options });
  const told = (path: string, generator: string) =>
    `Error: FILE: rule 1 (generator "${generator}"): ${path}: cannot infer the format from the file extension; set the option "format" to csv, tsv, json, ndjson, md`;
  expect(await rule("a/b.txt", "sql", sql)).toBe(told("/a/b.txt", "sql"));
  expect(await rule("a.{csv,xml}", "sql", sql)).toBe(told("/a.xml", "sql"));
  expect(await rule("{id}/x.txt", "sql", sql)).toBe(told("{id}/x.txt", "sql"));
  expect(await rule("x", "http", http)).toBe(told("/x", "http"));
  for (const match of ["a.csv", "**", "*.{csv,md}", "{id}", "d/{id}.json"])
    expect(await rule(match, "sql", sql)).toBeUndefined();
  expect(await rule("a.txt", "sql", { ...sql, format: "csv" })).toBeUndefined();
  expect(await rule("a.png", "sql", { ...sql, column: "image" })).toBeUndefined();
  expect(await rule("a.txt", "http", { url: "https://a.example" })).toBeUndefined();
});

describe.each(["json", "yaml", "toml", "ts", "js"])("a configuration with the extension %s", (ending) => {
  const refused = (file: string, reason: string) =>
    expect(loadConfig({ file }, { environment: {}, print: () => {} })).rejects.toThrow(reason);

  test("a configuration that is a device is refused", async () => {
    const file = sandbox.at(`endless.${ending}`);
    symlinkSync("/dev/zero", file);
    await refused(file, "it is not a regular file");
  });

  // Opening it would block the whole process until there is a writer.
  test("a configuration that is a fifo is refused", async () => {
    const file = sandbox.at(`fifo.${ending}`);
    expect(Bun.spawnSync(["mkfifo", file]).success).toBe(true);
    await refused(file, "it is not a regular file");
  });

  test("a configuration that is too long is refused", async () => {
    const file = sandbox.at(`long.${ending}`);
    writeFileSync(file, " ".repeat(16 * 1024 * 1024 + 1));
    await refused(file, "it is longer than ");
  });
});

test("a configuration that has been read runs again only where its own generators are called", async () => {
  const file = sandbox.at("counted.ts");
  const runs = sandbox.at("runs");
  const code = [
    'import { appendFileSync } from "node:fs";',
    `appendFileSync(${JSON.stringify(runs)}, "x");`,
    'const own = { generate: () => ({ content: "made" }) };',
    'export default { maxCalls: 3, generators: { own }, rules: [{ match: "/a", generator: "own" }] };',
  ];
  writeFileSync(file, code.join("\n"));
  const options = { environment: { PATH: process.env.PATH }, print: () => {} };
  const read = await describeConfiguration({ file }, options);
  expect(read.description.settings).toEqual({ maxCalls: 3 });
  await using loaded = await loadConfig(read, options);
  expect(loaded.plants).toMatchObject([{ path: "/a", generator: "own" }]);
  expect(readFileSync(runs, "utf8")).toBe("x");
  const context = { file: undefined, prompts: [], options: {}, params: {}, signal: new AbortController().signal };
  // The code asks for nothing, so the other half of a context is not needed.
  const made = await loaded.generators.get("own")?.generator.generate("/a", context as never);
  if (made === undefined || !("content" in made)) throw new Error("no content");
  const pieces = await Array.fromAsync(made.content as AsyncIterable<Uint8Array>);
  expect(Buffer.concat(pieces).toString()).toBe("made");
  expect(readFileSync(runs, "utf8")).toBe("xx");
});
