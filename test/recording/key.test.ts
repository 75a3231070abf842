import { expect, test } from "bun:test";
import type { ChatRequest } from "../../src/llm/llm.ts";
import { requestKey } from "../../src/recording/key.ts";
import { canonicalJson } from "../../src/text/canonical-json.ts";
import { likeRequests } from "../support/like-requests.ts";

const request: ChatRequest = { model: "m", messages: [{ role: "user", content: "Hi" }], temperature: 0 };

test("the order of members does not change the key, and an undefined member counts as absent", () => {
  const reordered = { temperature: 0, maxTokens: undefined, messages: [{ content: "Hi", role: "user" }], model: "m" };
  expect(canonicalJson(reordered)).toBe(canonicalJson(request));
});

test("every other difference between requests changes the key", () => {
  const others: ChatRequest[] = [
    { ...request, model: "n" },
    { ...request, temperature: 1 },
    { ...request, maxTokens: 1 },
    { ...request, messages: [{ role: "user", content: "Hi " }] },
    { ...request, messages: [{ role: "system", content: "Hi" }] },
    { ...request, schema: { name: "s", schema: {} } },
  ];
  expect(new Set([request, ...others].map(requestKey)).size).toBe(others.length + 1);
});

test("the key is the SHA-256 of canonical JSON, so that other programs can compute it", () => {
  expect(canonicalJson(request)).toBe('{"messages":[{"content":"Hi","role":"user"}],"model":"m","temperature":0}');
  expect(requestKey(request)).toBe(new Bun.CryptoHasher("sha256").update(canonicalJson(request)).digest("hex"));
});

test("the key does not depend on earlier requests with the same prefix", () => {
  const plain = (one: ChatRequest) => new Bun.CryptoHasher("sha256").update(canonicalJson(one)).digest("hex");
  for (const one of likeRequests()) expect(requestKey(one)).toBe(plain(one));
});

test("a value that JSON cannot hold is an error", () => {
  for (const value of [Number.NaN, 1n, () => {}, Symbol("x")]) expect(() => canonicalJson({ value })).toThrow();
});

test("a member named __proto__ counts like any other", () => {
  expect(canonicalJson(JSON.parse('{"__proto__":1}'))).toBe('{"__proto__":1}');
});
