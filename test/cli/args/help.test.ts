import { expect, test } from "bun:test";
import { formatCommandHelp, formatGeneralHelp, helpWidth } from "../../../src/cli/args/help.ts";
import { COMMANDS } from "../../../src/cli/llmfs.ts";

/** Lines that no space could shorten: a flag and its value, or one long word. */
const UNBREAKABLE = /^ +(?:-\w, )?--[\w-]+ \S+$|^ *\S+$/;

test.each([40, 60, 80])("help for %d columns has no longer line", async (width) => {
  const texts = await Promise.all(
    [...COMMANDS].map(async ([name, { summary, load }]) => formatCommandHelp(name, summary, await load(), width)),
  );
  texts.push(
    formatGeneralHelp(
      "Mount a directory tree. Each file is generated the first time something reads it.",
      [...COMMANDS].map(([name, { summary }]) => [name, summary]),
      width,
    ),
  );
  const long = texts.flatMap((text) => text.split("\n").filter((line) => line.length > width));
  expect(long.filter((line) => !UNBREAKABLE.test(line))).toEqual([]);
});

test("help says the same at every width", async () => {
  const words = (text: string) => text.split(/\s+/);
  for (const [name, { summary, load }] of COMMANDS) {
    const command = await load();
    expect(words(formatCommandHelp(name, summary, command, 50))).toEqual(
      words(formatCommandHelp(name, summary, command)),
    );
  }
});

test("the width of help is that of the terminal, within bounds", () => {
  expect([undefined, 10, 40, 72, 100, 300].map(helpWidth)).toEqual([100, 40, 40, 72, 100, 100]);
});
