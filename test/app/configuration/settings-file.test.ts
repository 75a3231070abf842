/** The settings in a configuration file: what they may be, how they are called, and which value counts. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readConfigurations } from "../../../src/app/configuration/configure.ts";
import { readSettings } from "../../../src/app/configuration/settings-file.ts";
import { UserError } from "../../../src/app/errors.ts";
import type { SettingsFile } from "../../../src/app/settings/given.ts";
import { readConfig } from "../../../src/app/settings/settings.ts";
import {
  isSetting,
  keyOf,
  NOT_SETTINGS,
  rowOf,
  SETTING_NAMES,
  type SettingsArguments,
} from "../../../src/app/settings/table.ts";
import { COMMANDS } from "../../../src/cli/llmfs.ts";
import { Sandbox } from "../../support/program.ts";

/** Every setting is taken, and none is given. */
const TAKEN: SettingsArguments = Object.fromEntries(SETTING_NAMES.map((name) => [name, undefined]));

const file = (settings: Readonly<Record<string, unknown>>, path = "/project/llmfs.config.yaml") =>
  readSettings(path, settings);
const read = (files: readonly SettingsFile[], args: SettingsArguments = {}, environment = {}) =>
  readConfig({ ...TAKEN, ...args }, { HOME: "/home/me", ...environment }, files);

function problem(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return error instanceof UserError ? `${error.exit}: ${error.message}` : "";
  }
  return "";
}

describe("which value counts", () => {
  const near = file({ model: "near", concurrency: 8, "read-only": true });
  const far = file({ model: "far", concurrency: 16, timeout: "90s" }, "/home/me/.config/llmfs/config.yaml");

  test("a flag counts before a variable, that before the nearest file, and that before the next", () => {
    const model = (args: SettingsArguments, environment = {}) =>
      read([near, far], args, environment).providers.find((layer) => layer.model !== undefined)?.model;
    expect(model({ model: "flag" }, { LLMFS_MODEL: "variable" })).toBe("flag");
    expect(model({}, { LLMFS_MODEL: "variable" })).toBe("variable");
    expect(model({})).toBe("near");
    expect(read([near, far]).concurrency).toBe(8);
    expect(read([near, far]).timeoutMs).toBe(90_000);
    expect(read([near, far], { concurrency: "2" }).concurrency).toBe(2);
  });

  test("a switch that a file sets can be switched off by its flag", () => {
    expect(read([near]).readOnly).toBe(true);
    expect(read([near], { readOnly: false }).readOnly).toBe(false);
    expect(read([file({ "recordings-required": true, recordings: "r" })]).recordingsRequired).toBe(true);
    expect(
      read([file({ "recordings-required": true, recordings: "r" })], {}, { LLMFS_RECORDINGS_REQUIRED: "0" })
        .recordingsRequired,
    ).toBe(false);
  });

  test("a command that does not take a setting as a flag ignores it in a file", () => {
    expect(readConfig({ model: undefined }, { HOME: "/" }, [file({ save: "tree.json" })]).save).toBeUndefined();
  });

  test("one file cannot set both a prompt and a snapshot; between two places, the nearer one wins", () => {
    const both = file({ prompt: "two words", from: "tree.json" });
    expect(problem(() => read([both]))).toStartWith(
      "input: /project/llmfs.config.yaml: prompt and /project/llmfs.config.yaml: from exclude each other",
    );
    const prompt = file({ prompt: "two words" });
    expect(read([prompt], { from: "x.json" }).prompt).toBeUndefined();
    expect(read([file({ from: "tree.json" })], {}, { LLMFS_PROMPT: "two words" }).from).toBeUndefined();
    expect(read([prompt, file({ from: "tree.json" })]).prompt?.text).toBe("two words");
  });

  test("headers of several places are merged, and the nearest of the same name counts", async () => {
    const { chooseProvider } = await import("../../../src/llm/provider.ts");
    const config = read(
      [file({ headers: { "api-key": "file", "X-Team": "data" }, "base-url": "http://127.0.0.1:9/v1", model: "m" })],
      { header: ["Api-Key: flag"] },
      { OPENAI_CUSTOM_HEADERS: "X-More: variable" },
    );
    expect((await chooseProvider(config.providers)).headers).toEqual({
      "Api-Key": "flag",
      "X-More": "variable",
      "X-Team": "data",
    });
  });
});

describe("values in a file", () => {
  test("paths start from the directory of the file", () => {
    const config = read([file({ recordings: "rec", from: "tree.json", save: "out/s.json", "log-file": "../l" })]);
    expect([config.recordings, config.from, config.save, config.logFile]).toEqual([
      "/project/rec",
      "/project/tree.json",
      "/project/out/s.json",
      "/l",
    ]);
  });

  test("a prompt may name a file beside the configuration", () => {
    using sandbox = new Sandbox();
    writeFileSync(sandbox.at("design.md"), "a small project");
    const path = sandbox.at("llmfs.config.yaml");
    expect(read([file({ prompt: "design.md" }, path)]).prompt?.text).toBe("a small project");
    expect(problem(() => read([file({ prompt: "absent.md" }, path)]))).toBe(
      `input: ${path}: prompt absent.md: looks like a file name, but does not exist; to use it as text, add a word`,
    );
    expect(problem(() => read([file({ prompt: "-" }, path)]))).toContain("only a flag can stand for standard input");
  });

  test("numbers may be written as numbers, and lists as lists", () => {
    const config = read([file({ "max-usd": 0.5, "max-calls": 3, price: ["a=1/2", "b=3/4"], size: 2 ** 22 })]);
    expect(config.limits).toEqual({ usd: 0.5, calls: 3 });
    expect(config.prices.map(([model]) => model)).toEqual(["a", "b"]);
    expect(config.size).toBe(2 ** 22);
  });

  test.each([
    [{ size: "5X" }, "size 5X: expected a size such as 512M, 2G or 25%"],
    [{ concurrency: 1000 }, "concurrency 1000: expected a whole number, from 1 to 256"],
    [{ timeout: "soon" }, "timeout soon: expected a time such as 30s, 10m or 1h"],
    [{ "base-url": "ftp://x" }, "base-url is not an http:// or https:// URL; an example is http://127.0.0.1:11434/v1"],
    [{ price: "cheap" }, 'price: "cheap"'],
    [{ "api-key": "sk-x" }, 'unknown key "api-key"; a secret is never in a file: set OPENAI_API_KEY'],
    [{ sise: "1G" }, 'unknown key "sise"; did you mean size?'],
    [{ max_usd: 1 }, 'unknown key "max_usd"; did you mean max-usd?'],
    [{ maxUsd: 1 }, 'unknown key "maxUsd"; did you mean max-usd?'],
    [{ rule: [] }, 'unknown key "rule"; did you mean rules?'],
    [{ "read-only": "yes" }, "read-only: expected true or false"],
    [{ mode: "reply" }, "mode: expected one of auto, record, replay, off"],
    [{ model: null }, "model: expected text or a number"],
    [{ headers: "X: y" }, "headers: expected an object, such as { X-Team: data }"],
    [{ headers: { "bad name": "x" } }, "headers: line 1 does not start with a header name"],
  ])("a mistake is reported with the file and the key: %j", (settings, message) => {
    expect(problem(() => read([file(settings)]))).toStartWith(`input: /project/llmfs.config.yaml: ${message}`);
  });

  test("in code, keys may be written as identifiers, but not in both ways at once", () => {
    const path = "/project/llmfs.config.ts";
    expect(read([file({ maxUsd: 1, "max-calls": 2, headers: { a: "b" } }, path)]).limits).toEqual({ usd: 1, calls: 2 });
    expect(problem(() => file({ maxUsd: 1, "max-usd": 2 }, path))).toContain("max-usd: max-usd is there too");
  });
});

/** How a configuration refers to a variable. */
const of = (name: string) => `\${${name}}`;

describe("references to environment variables", () => {
  const config = (environment: Readonly<Record<string, string>>) =>
    read(
      [file({ headers: { Authorization: `Bearer ${of("KEY")}` }, "base-url": `https://${of("HOST")}/v1` })],
      {},
      environment,
    ).providers.at(-1);

  test("headers, addresses and places of recordings may refer to variables", () => {
    expect(config({ KEY: "k-1", HOST: "a.example" })).toMatchObject({
      headers: { Authorization: "Bearer k-1" },
      baseUrl: "https://a.example/v1",
    });
    const recordings = `redis://:${of("PASSWORD")}@cache`;
    expect(read([file({ recordings })], {}, { PASSWORD: "p" }).recordings).toBe("redis://:p@cache");
    expect(problem(() => read([file({ recordings })]))).toBe(
      "input: /project/llmfs.config.yaml: recordings: the environment variable PASSWORD is not set",
    );
  });

  test("a missing variable matters only when a server is needed: recordings may be enough", async () => {
    const layer = config({ HOST: "a.example", KEY: "" });
    expect(layer?.problem).toBe("/project/llmfs.config.yaml: headers: the environment variable KEY is not set");
    const { chooseProvider } = await import("../../../src/llm/provider.ts");
    expect(chooseProvider([layer ?? { from: "" }])).rejects.toThrow("the environment variable KEY is not set");
  });

  test("a prompt is not searched for variables", () => {
    expect(read([file({ prompt: `print ${of("HOME")} in sh` })]).prompt?.text).toBe(`print ${of("HOME")} in sh`);
  });
});

describe("files of every format", () => {
  const sandbox = new Sandbox();
  afterAll(() => sandbox[Symbol.dispose]());
  const said: string[] = [];
  const person = { say: (line: string) => void said.push(line), askForTrust: undefined };

  test.each([
    ["yaml", "max-usd: 0.5\nmodel: small\nread-only: true\nheaders:\n  X-Team: data\n"],
    ["json", '{ "max-usd": 0.5, "model": "small", "read-only": true, "headers": { "X-Team": "data" } }'],
    ["toml", 'max-usd = 0.5\nmodel = "small"\nread-only = true\n[headers]\nX-Team = "data"\n'],
    ["ts", 'export default { maxUsd: 0.5, model: "small", "read-only": true, headers: { "X-Team": "data" } };'],
  ])("%s", async (format, text) => {
    mkdirSync(sandbox.at(format));
    const path = sandbox.at(`${format}/llmfs.config.${format}`);
    writeFileSync(path, text);
    const { settings, rules } = await readConfigurations(path, person);
    expect(rules).toBeUndefined();
    expect(Object.fromEntries(settings[0]?.values ?? [])).toEqual({
      maxUsd: ["0.5"],
      model: ["small"],
      readOnly: ["true"],
      header: ["X-Team: data"],
    });
    expect(said).toContain(`configuration: ${path}`);
  });
});

describe("the table", () => {
  test("the description of a setting names its variable", () => {
    for (const name of SETTING_NAMES) {
      const { variable, description } = rowOf(name);
      if (variable !== undefined) expect(description).toContain(variable);
    }
  });

  test("the type of configurations in TypeScript has the settings of the table", () => {
    const types = readFileSync(join(import.meta.dir, "../../../src/generators/config/config.ts"), "utf8");
    const body = /interface ConfigSettings \{([^}]*)\}/.exec(types)?.[1] ?? "";
    const declared = [...body.matchAll(/readonly (\w+)\?: ([^;]+);/g)].map(([, key, type]) => [key, type]);
    const wanted = SETTING_NAMES.map((name) => {
      const { key = name, type, options, multiple, list, valueHint = "" } = rowOf(name);
      if (type === "boolean") return [key, "boolean"];
      if (type === "enum") return [key, options?.map((option) => JSON.stringify(option)).join(" | ")];
      if (multiple) return [key, "Readonly<Record<string, string>>"];
      if (list) return [key, "string | readonly string[]"];
      return [key, /^(N|SIZE|TIME|DOLLARS|N\|DOLLARS)$/.test(valueHint) ? "string | number" : "string"];
    });
    expect(declared).toEqual(wanted);
  });

  test("no two settings share a key", () => {
    const keys = SETTING_NAMES.map(keyOf);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test("every flag of every command is a setting, or gives the reason why it is not one", async () => {
    const unknown: string[] = [];
    const used = new Set<string>();
    for (const [command, { load }] of COMMANDS) {
      for (const [name, arg] of Object.entries((await load()).args)) {
        if (arg.type === "positional") continue;
        used.add(name);
        if (!isSetting(name) && !Object.hasOwn(NOT_SETTINGS, name)) unknown.push(`${command} --${name}`);
      }
    }
    expect(unknown).toEqual([]);
    expect(Object.keys(NOT_SETTINGS).filter((name) => !used.has(name) || isSetting(name))).toEqual([]);
  });

  test("a flag of the same name as a setting means the same, except for those of single files and snapshots", async () => {
    const others: string[] = [];
    for (const [command, { load }] of COMMANDS) {
      for (const [name, arg] of Object.entries((await load()).args)) {
        if (arg.type === "positional" || !isSetting(name)) continue;
        const { type, variable } = rowOf(name);
        const same = arg.type === type && ("variable" in arg ? arg.variable : undefined) === variable;
        if (!same || (variable === undefined && arg.description !== rowOf(name).description))
          others.push(`${command} ${name}`);
      }
    }
    expect(others).toEqual([
      "unmount timeout",
      "cat save",
      "generate logFile",
      "context from",
      "regen prompt",
      "why from",
      "grow prompt",
      "grow from",
      "add prompt",
      "mcp readOnly",
    ]);
  });

  test("some command takes each setting as a flag", async () => {
    const commands = await Promise.all([...COMMANDS.values()].map(({ load }) => load()));
    const flags = new Set(commands.flatMap(({ args }) => Object.keys(args)));
    expect(SETTING_NAMES.filter((name) => !flags.has(name))).toEqual([]);
  });
});
