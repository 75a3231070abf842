import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as terminal from "../../src/cli/output/terminal.ts";
import { printable, printableLine } from "../../src/text/printable.ts";

const EVIL =
  "\u001b]0;owned\u0007\u001b[2J\u009b31m\u0090\u0085\u007f\b\r\0\u202ertl\u2066\u200b\ufeff\u2028\u{e0041}\ud800";

test("characters that a terminal would obey are written as in JSON", () => {
  expect(printable("\u001b[31mred\u009b0m")).toBe("\\u001b[31mred\\u009b0m");
  expect(printable("a\rb\bc\u007fd\0e")).toBe("a\\u000db\\u0008c\\u007fd\\u0000e");
  expect(printable("\u{e0041}")).toBe("\\udb40\\udc41");
  expect(printable("\ud800 and \udc00")).toBe("\\ud800 and \\udc00");
});

test("invisible characters and those that change the direction of writing are escaped", () => {
  expect(printable("file\u202egpj.exe")).toBe("file\\u202egpj.exe");
  expect(printable("\u2066\u2069\u200f\u061c\u200b\ufeff\u2060\u2028")).toBe(
    "\\u2066\\u2069\\u200f\\u061c\\u200b\\ufeff\\u2060\\u2028",
  );
});

test("text of any script, and emoji, are unchanged", () => {
  for (const text of ["plain\n\ttext", "Žluťoučký kůň", "日本語", "שלום", "नमस्ते", "می‌خواهم", "👩‍👩‍👧 🏴‍☠️ e\u0301"]) {
    expect(printable(text)).toBe(text);
  }
});

test("one line of text stays one line", () => {
  expect(printableLine("a\nllmfs: all is well\tb")).toBe("a\\nllmfs: all is well\\tb");
});

test("escaped JSON is equivalent JSON", () => {
  const value = { [EVIL]: [EVIL, "a\nb"] };
  expect(JSON.parse(printable(JSON.stringify(value, null, 2)))).toEqual(value);
});

test("every control character and lone surrogate is escaped, and the text grows at most six times", () => {
  for (let unit = 0; unit < 0x10000; unit++) {
    const text = printable(String.fromCharCode(unit));
    if (/\p{Cc}|\p{Cs}/u.test(String.fromCharCode(unit)) && unit !== 9 && unit !== 10)
      expect(text).toMatch(/^\\u[0-9a-f]{4}$/);
    expect(text.length).toBeLessThanOrEqual(6);
  }
});

describe("text written to the terminal", () => {
  /** Each of these functions writes EVIL. */
  const WRITERS: Readonly<Record<string, string>> = {
    say: "say(EVIL); say('warning: ' + EVIL, { length: 9, color: 33 }); say(EVIL, { length: 5, color: 33 })",
    overwrite: "overwrite(EVIL)",
    show: "show(EVIL)",
    showBold: "showBold(EVIL)",
    showJson: "showJson({ [EVIL]: EVIL }); showJson(EVIL, 0)",
    showPieces: "showPieces([{ text: EVIL, color: '' }, { text: EVIL, color: '33' }], true)",
    Screen: "{ using screen = new Screen(); screen.draw([EVIL, EVIL]); screen.draw([EVIL]); }",
  };
  /** These write bytes as they are, unless to a terminal; and one only reads. */
  const OTHERS = [
    "columnsOf",
    "formatJson",
    "isOutputUnread",
    "isOutputClosed",
    "isTerminal",
    "passOn",
    "readLine",
    "showBytes",
    "showContentLine",
    "showExactly",
  ];

  async function written(body: string): Promise<string> {
    const script = `import * as t from ${JSON.stringify(join(import.meta.dir, "../../src/cli/output/terminal.ts"))};
      const { say, overwrite, show, showBold, showJson, showPieces, showContentLine, showExactly, Screen } = t;
      const EVIL = ${JSON.stringify(EVIL)};
      ${body}`;
    const child = Bun.spawn({ cmd: [process.execPath, "-e", script], stdio: ["ignore", "pipe", "pipe"] });
    const both = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    expect(await child.exited).toBe(0);
    return both.join("");
  }

  test("text written to the terminal comes only from the functions in this list", () => {
    const functions = Object.entries(terminal).flatMap(([name, value]) => (typeof value === "function" ? [name] : []));
    expect(functions.sort()).toEqual([...Object.keys(WRITERS), ...OTHERS].sort());
  });

  test.each(Object.entries(WRITERS))(
    "text written by %s contains nothing that a terminal would interpret, except colours",
    async (_, body) => {
      const text = await written(body);
      expect(text).toContain("owned");
      const own = [
        ...["\r\u001b[K", "\u001b[K", "\u001b[J", "\u001b[2A", "\u001b[?25l", "\u001b[?25h"],
        ...["\u001b[1m", "\u001b[22m", "\u001b[33m", "\u001b[39m", "\u001b[0m"],
      ];
      const others = own.reduce((rest, sequence) => rest.replaceAll(sequence, ""), text);
      expect(others.match(/[^\P{Cc}\n\t]|\u202e|\u2066|\u200b|\ufeff|\u2028|\ufffd/gu)).toBeNull();
    },
  );

  test("text written to the terminal is exact for results, unless they go to a terminal", async () => {
    const body = "showExactly(Buffer.from(EVIL.slice(0, 30)))";
    expect(await written(body)).toBe(EVIL.slice(0, 30));
    expect(await written("showContentLine(EVIL.slice(0, 30), '')")).toBe(`${EVIL.slice(0, 30)}\n`);
  });
});
