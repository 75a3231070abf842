import { expect, test } from "bun:test";
import { checkContext } from "../../../src/generate/spending/context-check.ts";
import type { ChatRequest, LanguageModel } from "../../../src/llm/llm.ts";

/** Completes requests of about 3,000 tokens with these counts, and returns the warnings. */
async function warnings(counts: readonly number[], content = "some words of a prompt ".repeat(600)): Promise<string[]> {
  const said: string[] = [];
  const left = [...counts];
  const model: LanguageModel = {
    complete: async ({ model }) => ({ text: "x", model, usage: { inputTokens: left.shift() ?? 0, outputTokens: 1 } }),
  };
  const checked = checkContext(model, { host: "127.0.0.1:11434", warn: (text) => void said.push(text) });
  const request: ChatRequest = { model: "m", messages: [{ role: "user", content }] };
  for (const _ of counts) await checked.complete(request, { label: "structure" });
  return said;
}

test("a server that counted less than half of what was sent is reported once, with what to do", async () => {
  const said = await warnings([1024, 1024]);
  expect(said).toHaveLength(1);
  expect(said[0]).toMatch(/^127\.0\.0\.1:11434 counted 1024 of about 3\d\d\d tokens sent for structure/);
  expect(said[0]).toContain("OLLAMA_CONTEXT_LENGTH=8192");
  expect(said[0]).toContain("--context-tokens 512");
});

test("a server that counts with another tokenizer, reports a placeholder or nothing is not reported", async () => {
  expect(await warnings([3000, 2000, 1600, 11, 0])).toEqual([]);
});

test("a text with many bytes in a token is not taken for a cut request", async () => {
  expect(await warnings([2000], "internationalization ".repeat(1500))).toEqual([]);
});
