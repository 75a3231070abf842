import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../../src/app/errors.ts";
import { readPrompt } from "../../../src/app/settings/prompt.ts";

let folder = "";
const before = process.cwd();

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-prompt-"));
  process.chdir(folder);
  writeFileSync("site", "a web site\n");
  writeFileSync("two words.md", "two words\n");
  writeFileSync("empty.md", " \n");
  writeFileSync("picture.png", new Uint8Array([0x89, 0x50, 0xff, 0xfe]));
  writeFileSync("binary.txt", "a\0b");
  mkdirSync("docs");
});

afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

const text = (value: string) => readPrompt("--prompt", value).text;

function refusal(value: string): string {
  try {
    readPrompt("--prompt", value);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    if (error instanceof UserError) {
      expect(error.exit).toBe("input");
      return error.message;
    }
  }
  throw new Error(`${value} was accepted`);
}

describe("a prompt is text", () => {
  test("a prompt is text when no file has that name", () => {
    expect(text("a web site")).toBe("a web site");
    expect(text("website")).toBe("website");
    expect(text("docs for a/b testing, in notes.txt")).toBe("docs for a/b testing, in notes.txt");
  });

  test("a prompt is text when only a directory has that name", () => {
    expect(text("docs")).toBe("docs");
  });

  test("a prompt is text when it is longer than any file name", () => {
    const long = "word ".repeat(2000);
    expect(text(long)).toBe(long);
    expect(text("many\nlines")).toBe("many\nlines");
  });
});

describe("a prompt is the content of a file", () => {
  test("a prompt that is the name of a file is read from that file, even if the name contains blanks", () => {
    expect(text("site")).toBe("a web site\n");
    expect(text("two words.md")).toBe("two words\n");
    expect(text(join(folder, "site"))).toBe("a web site\n");
  });

  test("a prompt is the content of a file when it begins with @", () => {
    expect(text("@site")).toBe("a web site\n");
    expect(refusal("@missing file")).toContain("missing file cannot be read");
  });

  test("the origin of a prompt from a file names the file", () => {
    expect(readPrompt("LLMFS_PROMPT", "site").origin).toBe("the file site");
    expect(readPrompt("LLMFS_PROMPT", "a site").origin).toBe("LLMFS_PROMPT");
  });
});

describe("a prompt is rejected", () => {
  test("a prompt is rejected when it looks like the name of a missing file", () => {
    expect(refusal("prompts/site.md")).toContain("looks like a file name, but does not exist");
    expect(refusal("site.txt")).toContain("looks like a file name, but does not exist");
    expect(refusal("./x")).toContain("looks like a file name, but does not exist");
    expect(refusal("docs/")).toContain("looks like a file name, but is a directory");
  });

  test("a prompt is rejected when it is empty, or not text", () => {
    expect(refusal("")).toContain("--prompt is empty");
    expect(refusal("empty.md")).toContain("the file empty.md is empty");
    expect(refusal("picture.png")).toContain("picture.png is not UTF-8 text");
    expect(refusal("binary.txt")).toContain("NUL");
  });

  test("a prompt is rejected when it is too long, or has no end", () => {
    expect(refusal("x".repeat(1_048_577))).toContain("longer than 1048576 characters; shorten it");
    expect(refusal("/dev/zero")).toContain("/dev/zero is longer than 1048576 characters");
    expect(refusal("@/dev/zero")).toContain("/dev/zero is longer than 1048576 characters");
  });
});
