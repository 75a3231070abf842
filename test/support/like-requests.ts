/** Requests whose long texts have the same start, and end or differ in awkward places. */
import type { ChatRequest } from "../../src/llm/llm.ts";
import { Random } from "./random.ts";

const LINES = [
  "a line of text",
  "",
  "| quoted",
  "größer — 文",
  "\u{1f600}\u{1f601}",
  '"quotes" \\\\',
  "\ttab",
  "answer",
  "```",
];

export function likeRequests(): readonly ChatRequest[] {
  const random = new Random(7);
  const text = (lines: number) => Array.from({ length: lines }, () => random.pick(LINES)).join("\n");
  const heads = Array.from({ length: 24 }, (_, index) => text(40 + 40 * (index % 5)));
  const common = "x".repeat(5000);
  const tails = ["", "\n", "\u{1f600}", "\u{1f601}", "\u{1f602}!", "\n\nanswer\n", text(3), text(30)];
  const requests: ChatRequest[] = [];
  for (const [index, head] of [...heads, common, `${common}\ud83d`, ...heads].entries()) {
    for (const tail of tails) {
      const system = index % 3 === 0 ? "be brief" : "be exact";
      requests.push({
        model: "m",
        messages: [
          { role: "system", content: system },
          { role: "user", content: (head + tail).toWellFormed() },
        ],
      });
    }
  }
  return requests;
}
