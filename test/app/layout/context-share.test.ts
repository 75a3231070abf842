import { expect, test } from "bun:test";
import { shareContext } from "../../../src/app/layout/context-share.ts";

test.each([
  [undefined, {}],
  [1_000_000, {}],
  [36_000, {}],
  [32_768, { contextTokens: 16_384 }],
  [16_384, { contextTokens: 8192, filesPerAnswer: 160 }],
  [4096, { contextTokens: 2048, filesPerAnswer: 40 }],
  [512, { contextTokens: 256, filesPerAnswer: 10 }],
])("a context of %p tokens is shared between requests and answers", (length, expected) => {
  expect(shareContext(length)).toEqual(expected);
});
