/** Configurations that are wrong are refused when they are loaded, by what is wrong and where. */
import { afterAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { loadConfig } from "../../src/generators/load.ts";
import { Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

let count = 0;

/** What loading a file of this text and ending says, the file itself as FILE. */
async function refusal(ending: string, text: string): Promise<string | undefined> {
  const file = sandbox.at(`refused${++count}.${ending}`);
  writeFileSync(file, text);
  try {
    await using _ = await loadConfig(file, { environment: { PATH: process.env.PATH }, print: () => {} });
    return undefined;
  } catch (error) {
    return String(error).replaceAll(file, "FILE");
  }
}

const refusedRule = (rule: unknown) => refusal("json", JSON.stringify({ rules: [rule] }));

test.each([
  ["ts", 'export default { rules: [ { match: "x" generator: 3 } ] };', '1:40: Expected "}" but found "generator"'],
  ["js", "export default {\n  rules: [,\n", "2:11: "],
  ["yaml", "rules:\n  - match: a\n  options: 3\n", "3:3: "],
  ["toml", 'a = 1\nrules = [ { match = "a" \n', "2:25: "],
  ["json", '{ "rules": [ 1\n {"match": 3 } ] }', '2:2: Expected "," but found "{"'],
])("a mistake in the syntax is told with line and column: %s", async (ending, text, told) => {
  expect(await refusal(ending, text)).toStartWith(`Error: FILE:${told}`);
});

test("a mistake in a file that it imports is told of that file", async () => {
  writeFileSync(sandbox.at("part.ts"), "export default [\n  1 2\n];");
  expect(await refusal("ts", 'import rules from "./part.ts"; export default { rules };')).toBe(
    `Error: FILE: ${sandbox.at("part.ts")}:2:5: Expected "]" but found "2"`,
  );
});

test("a rule whose generator is no name, or that is no plain data, is named", async () => {
  const before = 'export default { rules: [{ match: "a", generator: "static", options: { content: 1 } }, ';
  expect(await refusal("ts", `${before}{ match: "b", generator: { generate: () => ({ content: "" }) } }] };`)).toBe(
    'Error: FILE: rule 2: "generator" is an object; give it a name in "generators", and write that name here',
  );
  expect(await refusal("ts", `${before}{ match: "b", generator: "static", options: { content: () => 1 } }] };`)).toBe(
    'Error: FILE: rule 2: "options" must be plain data, without functions or the like',
  );
});
