/** What programs print besides their results: it is read slowly, and the excess is dropped and counted. */
import { expect, test } from "bun:test";
import { Allowance, limitTalk, readTalk } from "../../src/generators/talk.ts";

function streamOf(...pieces: readonly string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(Buffer.from(piece));
      controller.close();
    },
  });
}

async function talk(
  ...pieces: readonly string[]
): Promise<{ readonly lines: readonly string[]; readonly last: string }> {
  const lines: string[] = [];
  const last = await readTalk(streamOf(...pieces), (line) => lines.push(line));
  return { lines, last };
}

test("every line except a blank one is logged, and the last one is remembered", async () => {
  expect(await talk("one\ntw", "o\n\n", "  \nthr", "ee\n\n")).toEqual({
    lines: ["one", "two", "three"],
    last: "three",
  });
  expect(await talk("no end")).toEqual({ lines: ["no end"], last: "no end" });
  expect(await talk()).toEqual({ lines: [], last: "" });
});

test("a character that arrives in two pieces is put together", async () => {
  const bytes = Buffer.from("é\n");
  const lines: string[] = [];
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.subarray(0, 1));
      controller.enqueue(bytes.subarray(1));
      controller.close();
    },
  });
  await readTalk(stream, (line) => lines.push(line));
  expect(lines).toEqual(["é"]);
});

test("of a flood of lines the first are logged, the rest are counted, and the last is still remembered", async () => {
  const flood = Array.from({ length: 40 }, () => "again and again\n".repeat(4096));
  const { lines, last } = await talk(...flood, "the reason\n");
  expect(last).toBe("the reason");
  const said = lines.join("\n").length;
  expect(said).toBeLessThan(300_000);
  const dropped = lines.map((line) => Number(/^\((\d+) bytes dropped here/.exec(line)?.[1] ?? 0));
  const all = flood.join("").length;
  expect(dropped.reduce((sum, one) => sum + one)).toBeGreaterThan(all / 2);
});

test("an endless line is truncated, and the log says by how much", async () => {
  const { lines } = await talk("x".repeat(20_000), "y\nend\n");
  expect(lines[0]).toBe(`${"x".repeat(8192)}… (11808 more characters)`);
  expect(lines.at(-1)).toBe("end");
});

test("a silenced generator may log again after a while", () => {
  let now = 0;
  const lines: string[] = [];
  const say = limitTalk((line) => lines.push(line), new Allowance(() => now));
  for (let index = 0; index < 100_000; index++) say("too much");
  const before = lines.length;
  now += 1000;
  say("too soon");
  expect(lines).toHaveLength(before);
  now += 10_000;
  say("in time");
  expect(lines.slice(before)).toEqual([
    expect.stringMatching(/^\(\d+ bytes dropped here because they came too fast\)$/),
    "in time",
  ]);
});
