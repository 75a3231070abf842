import { describe, expect, test } from "bun:test";
import { compareBytes, components, join, toBytes, toText } from "../../src/tree/path.ts";

const latin1 = (text: string) => Buffer.from(text, "utf8").toString("latin1");

describe("a name as text", () => {
  test("a name as text is decoded from UTF-8", () => {
    for (const text of ["", "abc", "é", "日本", "🎉", "\ufeffx", "\ufffd", "a\ufffdb", "\u0000\u007f"]) {
      expect(toText(latin1(text))).toBe(text);
      expect(toBytes(text)).toBe(latin1(text));
    }
  });

  test("a name as text has a lone surrogate for each byte that is not UTF-8", () => {
    expect(toText("caf\xe9")).toBe("caf\udce9");
    expect(toText("\xff\xfe")).toBe("\udcff\udcfe");
    expect(toText(`\xff${latin1("é\ufffd")}`)).toBe("\udcffé\ufffd");
    // Overlong, a surrogate, beyond Unicode, cut short.
    expect(toText("\xc0\xaf")).toBe("\udcc0\udcaf");
    expect(toText("\xed\xa0\x80")).toBe("\udced\udca0\udc80");
    expect(toText("\xf4\x90\x80\x80")).toBe("\udcf4\udc90\udc80\udc80");
    expect(toText("\xe2\x82")).toBe("\udce2\udc82");
  });

  test("any name is encoded to the same bytes again", () => {
    let state = 1;
    for (let round = 0; round < 5000; round++) {
      let bytes = "";
      for (let length = round % 9; length > 0; length--) {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        const piece = ["\xc3", "\xa9", "\xed", "\xf0\x9f", "a", latin1("\ufffd"), latin1("é"), "\xff"][
          (state >> 8) & 7
        ];
        bytes += piece ?? String.fromCharCode((state >> 12) & 255);
      }
      expect(toBytes(toText(bytes))).toBe(bytes);
    }
  });
});

test("components leave out empty names and dots", () => {
  expect(components("/a//b/./c/")).toEqual(["a", "b", "c"]);
  expect(components("/")).toEqual([]);
  expect(components("../a")).toEqual(["..", "a"]);
});

test("join handles the root", () => {
  expect([join("/", "a"), join("/a", "b")]).toEqual(["/a", "/a/b"]);
});

test("names are ordered by bytes", () => {
  expect(["é", "z", "Z", "a", "aa", "ÿ"].map(latin1).sort(compareBytes)).toEqual(
    ["Z", "a", "aa", "z", "é", "ÿ"].map(latin1),
  );
});
