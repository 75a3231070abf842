import { expect, test } from "bun:test";
import { stamp } from "../../src/generate/provenance.ts";

test("content is stored with its generator, the time, and how long it took", async () => {
  let elapsed = 1000;
  const clock = { date: () => Date.UTC(2026, 10, 5, 10, 20, 30, 400), elapsed: () => elapsed };
  const made = await stamp(
    "llm",
    async () => {
      elapsed += 812.3;
      return { bytes: Buffer.from("text"), metadata: new Map([["model", "m"]]) };
    },
    clock,
  );
  expect(Buffer.from(made.bytes).toString()).toBe("text");
  expect(Object.fromEntries(made.metadata)).toEqual({
    model: "m",
    generator: "llm",
    at: "2026-11-05T10:20:30Z",
    ms: "812",
  });
});

test("content that was revalidated keeps its original time", async () => {
  const unchanged = { bytes: new Uint8Array(0), metadata: new Map(), unchanged: true } as const;
  expect(await stamp("sql", async () => unchanged)).toBe(unchanged);
});
