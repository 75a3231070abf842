import { describe, expect, test } from "bun:test";
import { FsError } from "../../src/errno.ts";
import { answerLength, planOf } from "../../src/offline/cost-estimate.ts";
import type { Foreseen } from "../../src/offline/dry-run.ts";
import type { Recording } from "../../src/recording/recording.ts";

function recording(label: string, outputTokens: number): Recording {
  const answer = { text: "x", model: "m", usage: { inputTokens: 1, outputTokens } };
  return { key: label, label, request: { model: "m", messages: [] }, answer };
}

function asks(
  path: string,
  inputTokens: number,
  more: { recorded?: boolean; model?: string; maxTokens?: number } = {},
) {
  const { recorded = false, model = "m", maxTokens } = more;
  const request = { model, messages: [], ...(maxTokens !== undefined && { maxTokens }) };
  const asked = { request, key: path, exact: true, inputTokens, ...(recorded && { recording: recording(path, 1) }) };
  return { path, generator: "llm", asks: asked } satisfies Foreseen;
}

describe("the estimated length of answers", () => {
  test("the estimate covers eight in ten recorded files, without layouts", () => {
    const files = Array.from({ length: 31 }, (_, index) => recording(`/${index}`, index * 100));
    expect(answerLength([...files, recording("structure", 99_999)])).toEqual({
      low: 300,
      high: 2700,
      from: "like most of 31 recorded ones",
    });
  });

  test("with few recordings the estimate is half to twice the recorded length", () => {
    const files = Array.from({ length: 11 }, (_, index) => recording(`/${index}`, index * 100));
    expect(answerLength(files)).toEqual({
      low: 50,
      high: 1800,
      from: "half to twice as long as most of 11 recorded ones",
    });
  });

  test("with too few recordings the estimate is a wide guess, and is called one", () => {
    expect(answerLength([recording("/a", 5)])).toEqual({ low: 100, high: 4000, from: "assumed" });
  });
});

describe("a plan", () => {
  const answers = { low: 10, high: 1000, from: "assumed" };

  test("a plan counts recorded answers as free, and prices the rest as a range", () => {
    const files = [asks("/a", 500), asks("/b", 300, { maxTokens: 50 }), asks("/c", 9999, { recorded: true })];
    const plan = planOf(files, answers, () => ({ input: 10, output: 100 }));
    expect(plan.models).toEqual([
      {
        model: "m",
        files: 3,
        recorded: 1,
        calls: 2,
        inputTokens: 800,
        shownTokens: { low: 0, high: 0 },
        outputTokens: { low: 20, high: 1050 },
        usd: { low: expect.closeTo(0.01), high: expect.closeTo(0.113) },
      },
    ]);
  });

  test("a plan has the longest chain, and estimates the tokens of shown files", () => {
    const uses = (path: string, tokens: number, pending: readonly string[]) => {
      const file = asks(path, 100 + tokens);
      return { ...file, asks: { ...file.asks, shown: { tokens, unknown: pending.length, pending } } };
    };
    const files = [asks("/a", 100), uses("/b", 20, ["/a"]), uses("/c", 0, ["/b", "/a"]), asks("/d", 100)];
    const plan = planOf(files, answers, () => ({ input: 1e6, output: 0 }));
    expect([plan.depth, plan.longestChain]).toEqual([3, ["/a", "/b", "/c"]]);
    expect(plan.models[0]).toMatchObject({ inputTokens: 420, shownTokens: { low: 50, high: 3020 } });
    expect(plan.models[0]?.usd).toEqual({ low: 450, high: 3420 });
    expect(planOf([], answers, () => undefined)).toMatchObject({ depth: 0, longestChain: [] });
  });

  test("a plan gives the date of its prices, unless the user set them", () => {
    const [listed, own] = [
      { input: 10, output: 100, asOf: "2026-11-05" },
      { input: 10, output: 100 },
    ];
    expect(planOf([asks("/a", 500)], answers, () => listed).models[0]?.priceAsOf).toBe("2026-11-05");
    expect(planOf([asks("/a", 500)], answers, () => own).models[0]).not.toHaveProperty("priceAsOf");
  });

  test("a plan invents no price, and lists separately what other generators make and what cannot be made", () => {
    const circle = { path: "/x", generator: "llm", failure: new FsError("EDEADLK", "x → y → x") };
    const plan = planOf([asks("/a", 1), { path: "/t", generator: "sql" }, circle], answers, () => undefined);
    expect(plan.models[0]?.usd).toBeUndefined();
    expect([plan.files, plan.others, plan.failed]).toEqual([
      3,
      { sql: 1 },
      [{ path: "/x", error: "EDEADLK: x → y → x" }],
    ]);
  });
});
