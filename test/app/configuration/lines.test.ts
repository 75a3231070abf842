/** Each mistake in a configuration is reported with the file, the line and the key. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { configure } from "../../../src/app/configuration/configure.ts";
import { loadGenerators } from "../../../src/app/configured-generators.ts";
import { SETTING_NAMES, type SettingsArguments } from "../../../src/app/settings/table.ts";
import { Sandbox } from "../../support/program.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

const TAKEN: SettingsArguments = Object.fromEntries(SETTING_NAMES.map((name) => [name, undefined]));
const person = { say: () => {}, askForTrust: undefined };
let count = 0;

/** The error for a file with this text, with FILE in place of its path. */
async function mistake(format: string, text: string): Promise<string> {
  const folder = sandbox.at(`mistake${++count}`);
  mkdirSync(folder);
  const file = `${folder}/llmfs.config.${format}`;
  writeFileSync(file, text);
  try {
    const { configuration } = await configure({ ...TAKEN, config: file }, person);
    if (configuration !== undefined) await (await loadGenerators(configuration, { print() {} }))[Symbol.asyncDispose]();
    return "";
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll(file, "FILE") : String(error);
  }
}

const yaml = `# settings
model: small
SETTING
headers:
  X-Team: HEADER
generators:
  db: { use: GENERATOR, url: "sqlite:a.db" }
rules:
  - match: a.txt
    generator: static
    options: { content: hi }
  - match: b.txt
    generator: NAME
    RULE
    options:
      OPTION
`;
const json = `{
  "model": "small",
  SETTING,
  "headers": {
    "X-Team": HEADER
  },
  "generators": { "db": { "use": "GENERATOR", "url": "sqlite:a.db" } },
  "rules": [
    { "match": "a.txt", "generator": "static", "options": { "content": "hi" } },
    {
      "match": "b.txt",
      "generator": "NAME",
      RULE,
      "options": {
        OPTION
      }
    }
  ]
}`;
const ts = `import { defineConfig } from "llmfs";
const team = HEADER;
const rules = [
  // The first one.
  { match: "a.txt", generator: "static", options: { content: "hi" } },
  {
    match: "b.txt",
    generator: "NAME",
    RULE,
    options: {
      OPTION,
    },
  },
];
export default defineConfig({
  model: "small",
  SETTING,
  headers: { "X-Team": team },
  generators: { db: { use: "GENERATOR", url: "sqlite:a.db" } },
  rules,
});
`;

type Parts = Partial<Record<"SETTING" | "HEADER" | "GENERATOR" | "NAME" | "RULE" | "OPTION", string>>;

function fill(format: string, parts: Parts): string {
  const plain = format === "yaml";
  const pair = (key: string, value: string) => (plain ? `${key}: ${value}` : `"${key}": ${value}`);
  const all = {
    SETTING: pair("concurrency", "2"),
    HEADER: '"data"',
    GENERATOR: "sql",
    NAME: "static",
    RULE: pair("stale", "false"),
    OPTION: pair("content", '"hi"'),
    ...parts,
  };
  const text = format === "yaml" ? yaml : format === "json" ? json : ts;
  return Object.entries(all).reduce((filled, [name, value]) => filled.replace(name, () => value), text);
}

const LINES: Readonly<Record<string, Readonly<Record<keyof Parts, number>>>> = {
  yaml: { SETTING: 3, HEADER: 5, GENERATOR: 7, NAME: 13, RULE: 14, OPTION: 16 },
  json: { SETTING: 3, HEADER: 5, GENERATOR: 7, NAME: 12, RULE: 13, OPTION: 15 },
  ts: { SETTING: 17, HEADER: 18, GENERATOR: 19, NAME: 8, RULE: 9, OPTION: 11 },
};

test.each(["yaml", "json", "ts"])(
  "each mistake is reported with file, line and key: %s",
  async (format) => {
    const pair = (key: string, value: string) => (format === "yaml" ? `${key}: ${value}` : `"${key}": ${value}`);
    expect(await mistake(format, fill(format, {}))).toBe("");
    const cases: readonly (readonly [keyof Parts, string, string])[] = [
      ["SETTING", pair("size", '"5X"'), "size 5X: expected a size such as 512M, 2G or 25%"],
      ["SETTING", pair("max-cals", "5"), 'unknown key "max-cals"; did you mean max-calls?'],
      ["SETTING", pair("read-only", '"yes"'), "read-only: expected true or false"],
      ["HEADER", "3", "headers.X-Team: expected text"],
      ["GENERATOR", "sqll", 'generator "db": unknown built-in generator sqll; expected one of: '],
      ["NAME", "statik", 'rule 2: unknown generator "statik"; expected one of: '],
      ["RULE", pair("timeuot", '"5s"'), 'rule 2: unknown key "timeuot"; did you mean timeout?'],
      ["RULE", pair("timeout", '"soon"'), 'rule 2: the option "timeout" must be a time'],
      ["OPTION", pair("contents", '"x"'), 'rule 2 (generator "static"): unknown option "contents"'],
    ];
    for (const [part, value, message] of cases) {
      const told = await mistake(format, fill(format, { [part]: value }));
      expect(told).toStartWith(`FILE:${LINES[format]?.[part]}: ${message}`);
    }
  },
  60_000,
);

test("a mistake in TOML is reported with its line", async () => {
  expect(await mistake("toml", 'model = "m"\nsise = 3\n[headers]\nA = "b"\n')).toBe(
    'FILE:2: unknown key "sise"; did you mean size?',
  );
  const rules = '[[rules]]\nmatch = "a"\ngenerator = "static"\noptions = { content = "x" }\n[[rules]]\nmatch = "b"\n';
  expect(await mistake("toml", `${rules}generator = "statik"\n`)).toStartWith("FILE:7: rule 2: unknown generator");
});

test.each([
  ["yaml", "model: a\nmode: auto\nmodel: b\n", 'FILE:3: the key "model" is given twice, first in line 1'],
  ["yaml", 'model: a\n"model": b\n', 'FILE:2: the key "model" is given twice, first in line 1'],
  ["yml", "headers:\n  A: b\n  A: c\n", 'FILE:3: the key "A" is given twice, first in line 2'],
  ["yaml", "headers: { A: b, A: c }\n", 'FILE:1: the key "A" is given twice, first in line 1'],
  [
    "yaml",
    "rules:\n  - match: a\n    generator: static\n    options:\n      content: a\n      content: b\n",
    'FILE:6: the key "content" is given twice, first in line 5',
  ],
  ["yaml", "rules: []\nmodel: m\nrules: []\n", 'FILE:3: the key "rules" is given twice, first in line 1'],
  ["json", '{\n"model": "a",\n"model": "b" }', 'FILE:3: the key "model" is given twice, first in line 2'],
  [
    "json",
    '{ // "model": 1\n"rules": [{\n"match": "a", /* \n */ "generator": "static",\n"m\\u0061tch": "b" }] }',
    'FILE:5: the key "match" is given twice, first in line 3',
  ],
  ["toml", 'model = "a"\nmodel = "b"\n', "FILE:2:"],
  ["toml", '[[rules]]\nmatch = "a"\nmatch = "b"\n', "FILE:3:"],
  ["toml", '[headers]\nA = "a"\n[headers]\nB = "b"\n', "FILE:3:"],
])("a key that is given twice is a mistake: %s %j", async (format, text, message) => {
  expect(await mistake(format, text)).toStartWith(message);
});

test("equal keys of different objects, and keys that YAML merges, are not repeated", async () => {
  const rules = "- { match: a, generator: static, options: { content: match } }";
  expect(await mistake("yaml", `rules:\n  ${rules}\n  ${rules.replace("match: a", "match: b")}\n`)).toBe("");
  const rule = '{ "match": "a:b", "generator": "static", "options": { "content": "a" } }';
  expect(await mistake("json", `{ "rules": [${rule}, ${rule}], }`)).toBe("");
  const merged = "generators:\n  a: &a { use: static, content: x }\n  b: { <<: *a, content: y }\n";
  expect(await mistake("yaml", merged)).toBe("");
});
