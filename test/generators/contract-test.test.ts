/** Every built-in generator keeps the generator contract. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { contractTest } from "../../src/generators/contract-test.ts";
import { createSourceGenerators } from "../../src/generators/index.ts";
import { ProcessGroups } from "../../src/generators/workers/process-groups.ts";
import { Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request) => (request.url.endsWith("/all") ? Response.json(["a", "b"]) : new Response("one")),
});
afterAll(() => {
  server.stop(true);
  sandbox[Symbol.dispose]();
});

const base = `http://127.0.0.1:${server.port}`;
const CASES: Readonly<Record<string, { options: Readonly<Record<string, unknown>>; directory?: string }>> = {
  exec: { options: { command: ["cat"], list: ["echo", "a.csv"] }, directory: "/x" },
  http: { options: { url: `${base}/{id}`, list: `${base}/all`, private: true }, directory: "/x" },
  sql: {
    options: { url: "sqlite:shop.db", query: "SELECT :id AS id", list: "SELECT 1 AS id" },
    directory: "/x",
  },
  static: { options: { content: { a: [1] } } },
  template: { options: { text: "{{ params.id }} {{ '/in.txt' | read }}" } },
};

for (const [name, { options, directory }] of Object.entries(CASES)) {
  test(`${name} keeps the generator contract`, async () => {
    new Database(sandbox.at("shop.db"), { create: true }).run("CREATE TABLE IF NOT EXISTS t (a)");
    const parts = {
      base: sandbox.path,
      environment: { PATH: process.env.PATH },
      print: () => {},
      groups: new ProcessGroups(),
    };
    const generator = createSourceGenerators(parts).get(name);
    if (generator === undefined) throw new Error(`there is no ${name}`);
    const problems = await contractTest(generator, {
      path: "/x/7.csv",
      match: "x/{id}.csv",
      params: { id: "7" },
      options,
      files: { "/in.txt": "in" },
      ...(directory !== undefined && { directory }),
    });
    expect(problems).toEqual([]);
  });
}

test("every built-in generator is covered by the contract test", () => {
  const parts = { base: "/", environment: {}, print: () => {}, groups: new ProcessGroups() };
  expect([...createSourceGenerators(parts).keys()].sort()).toEqual(Object.keys(CASES).sort());
});
