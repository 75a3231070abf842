/** The time to read a server's output depends on its length only, not on its content. */
import { describe, expect, test } from "bun:test";
import { textOfPage } from "../../src/llm/connection/page-text.ts";
import { Failure, fromErrorBody, type Party, scrub } from "../../src/llm/failure.ts";
import { readAnswer } from "../../src/llm/stream.ts";
import { expectLinear, type Input, mixture, RUNS, repeated } from "../support/growth.ts";

const PARTY: Party = { host: "models.test", model: "m", secrets: ["sk-very-secret"] };
const LIMITS = { characters: 16 * 1024 * 1024, restMs: 10 };

const FRAGMENTS = [
  ...[
    "<",
    ">",
    "<script",
    "<script>",
    "</script>",
    "<style>",
    "</style",
    "<p>",
    "a",
    " ",
    "\n",
    "key-",
    "sk-a",
    "Bearer ",
  ],
  ...[
    '"',
    "{",
    "[",
    '{"error":',
    "at most 9",
    "> 9",
    "[0, 9",
    "role",
    "system",
    "max_tokens",
    "too long",
    "prompt is ",
  ],
];

const INPUTS: readonly Input[] = [
  ...Object.values(RUNS),
  ...FRAGMENTS.map((one) => repeated(one)),
  ...FRAGMENTS.flatMap((one) => ["<", " ", "a", "9"].map((two) => repeated(two, one))),
  ...[1, 2, 3, 4].map((seed) => mixture(seed, FRAGMENTS)),
];

const WORK: Readonly<Record<string, (text: string) => unknown>> = {
  "an error in words": (text) => fromErrorBody(text, PARTY),
  "an error with a message": (text) => fromErrorBody({ error: { message: text, code: text } }, PARTY),
  "an error whose body is a page": (text) => Failure.from(refused(400, `<${text}`), PARTY),
  "a failed connection": (text) => Failure.from(Object.assign(new Error("x"), { cause: new Error(text) }), PARTY),
  "a page": (text) => textOfPage(text),
  "a message that may hold a key": (text) => scrub(text, PARTY.secrets),
};

function refused(status: number, message: string): Error {
  return Object.assign(new Error(`${status} ${message}`), { status });
}

test.each(Object.entries(WORK))("%s", async (_name, work) => {
  for (const input of INPUTS) await expectLinear(input, work);
});

test("an error nested 100,000 levels deep is described quickly", () => {
  for (const [open, close] of [
    ["[", "]"],
    ['{"a":', "}"],
    ['{"error":', "}"],
  ] as const) {
    const body: unknown = JSON.parse(`${open.repeat(100_000)}1${close.repeat(100_000)}`);
    const before = process.cpuUsage();
    expect(fromErrorBody(body, PARTY).message.length).toBeLessThan(1000);
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(500);
  }
});

test("the text of a web page is its visible text", () => {
  const page = "<html><head><style>p{}</style><script>a<b</script></head><body><h1>Bad\n</h1><p>gateway</body>";
  expect(textOfPage(page)).toBe("Bad gateway");
  expect(textOfPage("<script>for ever <p>and ever</p>")).toBe("for ever and ever");
  expect(textOfPage("<STYLE>x</STYLE>a<br")).toBe("a");
  expect(textOfPage(`<p>${"word ".repeat(10_000)}`).length).toBeLessThan(60_000);
});

describe("the time to read a stream is proportional to its length", () => {
  const event = (content: string) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;
  const streams: Readonly<Record<string, Input>> = {
    "of many short events": repeated(event("a")),
    "of one event that never ends": repeated("a", "data: "),
    "of data lines that belong to one event": repeated("data: a\n"),
    "of comments": repeated(": comment\n"),
    "of lines that mean nothing": repeated("x\n"),
    "of one line that means nothing": repeated("x"),
    "of carriage returns": repeated("\r"),
    "of empty lines": repeated("\n"),
    "of a document that never ends": repeated(" ", "{"),
    "of a document of one string": repeated("a", '{"a":"'),
  };
  for (const [name, input] of Object.entries(streams)) {
    test(name, () =>
      expectLinear(input, async (text) => {
        const bytes = Buffer.from(text);
        let at = 0;
        const body = new ReadableStream<Uint8Array>({
          pull(controller) {
            if (at >= bytes.length) return controller.close();
            controller.enqueue(bytes.subarray(at, at + 97));
            at += 97;
          },
        });
        await readAnswer(new Response(body), PARTY, () => {}, undefined, LIMITS).catch(() => {});
      }),
    );
  }
});
