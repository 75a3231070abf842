/** What a mount says of the model it asks. */
import { expect, test } from "bun:test";
import { readConfig } from "../../src/cli/config.ts";
import { openGeneration } from "../../src/cli/generation.ts";
import { createProgress } from "../../src/cli/progress.ts";
import { createLog } from "../../src/log.ts";
import { openaiServer } from "../support/openai-server.ts";
import { treePort } from "../support/tree-port.ts";

test.each([{ OPENAI_API_KEY: "sk-test" }, {}])(
  "a password in the server's address reaches the server alone, neither .llmfs/config.json nor the log (%o)",
  async (environment) => {
    await using server = await openaiServer([{ status: 401, body: { error: { message: "no" } } }], ["small"]);
    const baseUrl = server.baseUrl.replace("http://", "http://somebody:hunter2@");
    const config = readConfig({ baseUrl, mode: "off" }, { HOME: "/nowhere", LLMFS_MODEL: "small", ...environment });
    const said: string[] = [];
    const print = (line: string) => void said.push(line);
    const log = createLog({ terminal: "debug", file: "debug", path: undefined, print, color: false, secrets: [] });
    await using generation = openGeneration(config, log);
    generation.attach({
      tree: treePort({}),
      publish: (name, text) => void said.push(`${name}: ${text()}`),
      beganPending: false,
    });
    const { signal } = new AbortController();
    await expect(generation.layOut("a tree", createProgress(), signal)).rejects.toThrow("answered 401");
    expect(server.requests).toHaveLength(1);
    expect(said.filter((line) => line.startsWith("config.json: ")).at(-1)).toContain(`"server": "${server.baseUrl}"`);
    expect(said.join("\n")).not.toMatch(/hunter2|somebody/);
  },
);
