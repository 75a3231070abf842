import { expect, test } from "bun:test";
import {
  ATTRIBUTES_PAGE,
  attributesPage,
  CONFIGURATION_PAGE,
  configurationPage,
  MANUAL,
  manual,
} from "../../build/manual.ts";
import { EXIT } from "../../src/cli/output/exit-codes.ts";

test("docs/cli.md is what --help prints (npm run docs writes it)", async () => {
  expect(await Bun.file(MANUAL).text()).toBe(await manual());
});

test("docs/attributes.md lists the attributes of the filesystem (npm run docs writes it)", async () => {
  expect(await Bun.file(ATTRIBUTES_PAGE).text()).toBe(attributesPage());
});

test("docs/configuration.md lists the settings (npm run docs writes it)", async () => {
  expect(await Bun.file(CONFIGURATION_PAGE).text()).toBe(configurationPage());
});

test("no two failures share an exit status, and llmfs's own avoid those of common programs", () => {
  const codes = Object.values(EXIT).map(({ code }) => code);
  expect(new Set(codes).size).toBe(codes.length);
  const own = codes.filter((code) => code > 2 && code < 126);
  expect(Math.min(...own)).toBeGreaterThanOrEqual(80);
});
