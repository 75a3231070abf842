/** Matching of paths: with the same result as a regular expression, in time proportional to both lengths. */
import { describe, expect, test } from "bun:test";
import { PathPattern, type PatternPiece, piecesOf } from "../../src/text/path-pattern.ts";
import { Random } from "../support/random.ts";

/** The equivalent regular expression. */
function expressionOf(pieces: readonly PatternPiece[]): RegExp {
  const quoted = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  const one = (piece: PatternPiece, index: number): string => {
    switch (piece.kind) {
      case "text":
        return quoted(pieces[index - 1]?.kind === "deep" ? piece.text.replace(/^\//, "") : piece.text);
      case "name":
        return "([^/]+?)";
      case "choice":
        return `(?:${piece.texts.map(quoted).join("|")})`;
      case "star":
        return "[^/]*";
      case "one":
        return "[^/]";
      case "deep": {
        const next = pieces[index + 1];
        return next?.kind === "text" && next.text.startsWith("/") ? "(?:[^/]+/)*" : ".*";
      }
    }
  };
  return new RegExp(`^/${pieces.map(one).join("")}$`, "su");
}

const PARTS = [
  "a",
  "b",
  "ab",
  ".",
  "-",
  "/",
  "/",
  "*",
  "?",
  "**",
  "**/",
  "{x}",
  "{y}",
  "{z}",
  "{a,ab}",
  "{b,}",
  "é",
  "😀",
];
const TEXTS = ["a", "b", "ab", "ba", ".", "-", "/", "/", "é", "😀", "x", "\n"];

test("random patterns match the right paths, with the same named parts", () => {
  let matched = 0;
  for (let seed = 0; seed < 3000; seed++) {
    const random = new Random(seed);
    const some = (from: readonly string[], most: number) =>
      Array.from({ length: 1 + random.below(most) }, () => random.pick(from)).join("");
    const source = `${some(PARTS, 7)}${random.chance(0.5) ? "" : "a"}`;
    if (/\/$/.test(source) || /^\/*$/.test(source)) continue;
    const pieces = piecesOf(source);
    const expression = expressionOf(pieces);
    const pattern = new PathPattern(pieces);
    for (let index = 0; index < 40; index++) {
      const path = `/${some(TEXTS, 9)}`;
      const found = expression.exec(path);
      if (found !== null) matched += 1;
      expect([source, path, pattern.parts(path)]).toEqual([source, path, found === null ? undefined : found.slice(1)]);
      expect(pattern.matches(path)).toBe(found !== null);
    }
  }
  expect(matched).toBeGreaterThan(1000);
});

describe("a hostile path is matched quickly:", () => {
  test.each([
    ["{a}-{b}-{c}-{d}-{e}-{f}.txt", `/${"-".repeat(250)}.txx`],
    ["*a*a*a*a*a*a*a*a*b", `/${"a".repeat(255)}`],
    ["**/a/**/a/**/a/**/a/**/b", `/${"a/".repeat(2000)}c`],
    ["**a**a**a**a**b", `/${"a/".repeat(2000)}c`],
    ["{a,aa}{a,aa}{a,aa}{a,aa}*{a,aa}*{a,aa}*b", `/${"a".repeat(255)}`],
    ["?*?*?*?*?*?*?*?*b", `/${"😀".repeat(120)}`],
  ])("%s", (source, path) => {
    const pattern = new PathPattern(piecesOf(source));
    const before = process.cpuUsage();
    expect(pattern.matches(path)).toBe(false);
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(500);
  });
});
