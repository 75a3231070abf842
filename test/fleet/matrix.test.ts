/** A few cells of the matrix: the others take too long for every run of the tests. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { describeMounted } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { S3RVER } from "../support/servers.ts";
import { KINDS, type MatrixOptions, PAGE, runCell, SCENARIOS } from "./matrix.ts";
import { canMakeNamespaces } from "./network.ts";
import type { StoreKind } from "./stores.ts";

setDefaultTimeout(240_000);

const withRedis = testWith(programs("redis-server"));
const withS3 = existsSync(S3RVER) ? test : test.skip;

const CELLS: readonly (readonly [StoreKind, string])[] = [
  ["Redis", "healthy"],
  ["Redis", "one machine cut off during"],
  ["Redis", "rights missing"],
  ["S3", "round trip of 50 ms"],
];

describeMounted("three machines that share a store", () => {
  const options: MatrixOptions = { files: 24, timeoutS: 60, namespaces: canMakeNamespaces() };

  for (const [kind, name] of CELLS) {
    const run = kind === "Redis" ? withRedis : withS3;
    run(`pay for each answer once and get the same trees: ${kind}, ${name}`, async () => {
      const scenario = SCENARIOS.find((one) => one.name === name);
      if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
      expect((await runCell(kind, scenario, options)).problems).toEqual([]);
    });
  }
});

test("docs/fleet.md has the result of every cell of the matrix", () => {
  const page = readFileSync(PAGE, "utf8");
  for (const { name } of SCENARIOS) {
    for (const kind of KINDS) expect(page).toContain(`| ${name} | ${kind} |`);
  }
  expect(page).not.toContain("**");
});
