/** What a mount reports about its model. */
import { afterAll, expect, test } from "bun:test";
import { openGeneration } from "../../src/app/generation.ts";
import { readConfig } from "../../src/app/settings/settings.ts";
import { createProgress } from "../../src/cli/output/progress.ts";
import { createLog } from "../../src/log.ts";
import { openaiServer } from "../support/openai-server.ts";
import { Sandbox } from "../support/program.ts";
import { treePort } from "../support/tree-port.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

test("progress of the layout names the model, and no model if only recordings are used", async () => {
  await using server = await openaiServer([{ status: 401, body: { error: { message: "no" } } }], ["small"]);
  const { signal } = new AbortController();
  const steps = async (args: Parameters<typeof readConfig>[0]) => {
    const said: string[] = [];
    const progress = { ...createProgress(false), step: (text: string) => void said.push(text) };
    const config = readConfig({ model: "small", recordings: sandbox.at("none"), ...args }, { HOME: "/nowhere" });
    const log = createLog({
      terminal: "error",
      file: "error",
      path: undefined,
      print: () => {},
      color: false,
      secrets: [],
    });
    await using generation = openGeneration(config, log);
    await expect(generation.layOut("a tree", progress, signal)).rejects.toThrow();
    return said;
  };
  expect(await steps({ baseUrl: server.baseUrl })).toEqual(["looking for a model", "laying out the tree (small)"]);
  expect(await steps({})).toEqual([
    "looking for a model",
    "no model server can be used; looking for a recorded layout",
  ]);
  expect(await steps({ mode: "replay" })).toEqual(["laying out the tree (from recordings)"]);
});

test.each([{ OPENAI_API_KEY: "sk-test" }, {}])(
  "a password in the server's address is sent to the server, but is not in .llmfs/config.json or the log (%o)",
  async (environment) => {
    await using server = await openaiServer([{ status: 401, body: { error: { message: "no" } } }], ["small"]);
    const baseUrl = server.baseUrl.replace("http://", "http://somebody:hunter2@");
    const config = readConfig({ baseUrl, mode: "off" }, { HOME: "/nowhere", LLMFS_MODEL: "small", ...environment });
    const said: string[] = [];
    const print = (line: string) => void said.push(line);
    const log = createLog({ terminal: "debug", file: "debug", path: undefined, print, color: false, secrets: [] });
    await using generation = openGeneration(config, log);
    generation.attach(
      {
        tree: treePort({}),
        publish: (name, text) => void said.push(`${name}: ${text()}`),
        beganPending: false,
        guard() {},
      },
      "/mnt",
    );
    const { signal } = new AbortController();
    await expect(generation.layOut("a tree", createProgress(), signal)).rejects.toThrow("answered 401");
    expect(server.requests).toHaveLength(1);
    expect(said.filter((line) => line.startsWith("config.json: ")).at(-1)).toContain(`"server": "${server.baseUrl}"`);
    expect(said.join("\n")).not.toMatch(/hunter2|somebody/);
  },
);

test.each([
  [
    { maxUsd: "1", model: "small" },
    {},
    "the price of small is not known, so --max-usd does not limit it, only --max-calls and --max-tokens do",
  ],
  [{ maxUsd: "1", model: "gpt-4o" }, {}, "the price of gpt-4o is not known"],
  [{ maxUsd: "1", model: "gpt-4o" }, { OPENAI_API_KEY: "sk-test" }, undefined],
  [{ maxUsd: "1" }, { OPENAI_API_KEY: "sk-test" }, undefined],
  [{ maxUsd: "1", model: "small", price: "small=1/2" }, {}, undefined],
  [{ maxUsd: "1", model: "small", mode: "replay" }, {}, undefined],
  [{ model: "small" }, {}, undefined],
  [{ maxUsd: "1" }, {}, undefined],
] as const)(
  "a warning that --max-usd has no effect comes before the mount (%o, %o)",
  async (args, environment, told) => {
    const said: string[] = [];
    const print = (line: string) => void said.push(line);
    const log = createLog({ terminal: "warn", file: "warn", path: undefined, print, color: false, secrets: [] });
    await using generation = openGeneration(readConfig(args, { HOME: "/nowhere", ...environment }), log);
    await generation.checkPrices();
    await generation.checkPrices();
    expect(said).toEqual(told === undefined ? [] : [expect.stringContaining(told)]);
  },
);

test("the warning that --max-usd has no effect is given only once, not again with the first request", async () => {
  await using server = await openaiServer([{ status: 401 }], ["small"]);
  const config = readConfig(
    { baseUrl: server.baseUrl, model: "small", maxUsd: "1", mode: "off" },
    { HOME: "/nowhere" },
  );
  const said: string[] = [];
  const print = (line: string) => void said.push(line);
  const log = createLog({ terminal: "warn", file: "warn", path: undefined, print, color: false, secrets: [] });
  await using generation = openGeneration(config, log);
  await generation.checkPrices();
  const { signal } = new AbortController();
  await expect(generation.layOut("a tree", createProgress(), signal)).rejects.toThrow("answered 401");
  expect(said.filter((line) => line.includes("the price of small is not known"))).toHaveLength(1);
});
