import { describe, expect, test } from "bun:test";
import { fileText, jsonText } from "../../src/generators/answer.ts";

describe("a code fence", () => {
  test("around the whole answer is removed, whatever language it names", () => {
    expect(fileText("```c\nint x;\n```", "/a.c")).toBe("int x;\n");
    expect(fileText("```\nint x;\n```\n", "/a.c")).toBe("int x;\n");
    expect(fileText("\n\n~~~~c\nint x;\n~~~~\n\n", "/a.c")).toBe("int x;\n");
    expect(fileText("```c\r\nint x;\r\n```\r\n", "/a.c")).toBe("int x;\r\n");
  });

  test("keeps blank lines and indentation inside", () => {
    expect(fileText("```py\n\n  x = 1\n\n\n```", "/a.py")).toBe("\n  x = 1\n\n\n");
  });

  test("that closes before the end is content", () => {
    const answer = "```c\nint x;\n```\nand\n```c\nint y;\n```\n";
    expect(fileText(answer, "/a.c")).toBe(answer);
  });

  test("with prose around it is left alone: nobody can tell prose from content", () => {
    const answer = "Here it is:\n```c\nint x;\n```\n";
    expect(fileText(answer, "/a.c")).toBe(answer);
  });

  test("that never closes is content", () => {
    expect(fileText("```c\nint x;\n", "/a.c")).toBe("```c\nint x;\n");
    expect(fileText("```", "/a.c")).toBe("```\n");
  });

  test("may hold indented fences, and fences of the other kind or shorter", () => {
    expect(fileText('```py\n"""\n    ```\n    x\n    ```\n~~~\n"""\n```', "/a.py")).toBe(
      '"""\n    ```\n    x\n    ```\n~~~\n"""\n',
    );
    expect(fileText("````md\n```sh\nls\n```\n````", "/a.md")).toBe("```sh\nls\n```\n");
  });

  test("around Markdown may hold fences that name a language", () => {
    expect(fileText("```markdown\n# T\n```sh\nls\n```\nend\n```", "/README.md")).toBe("# T\n```sh\nls\n```\nend\n");
  });

  test("that is all of a Markdown file stays, unless it is plainly a wrapping", () => {
    expect(fileText("```sh\nls\n```\n", "/howto.md")).toBe("```sh\nls\n```\n");
    expect(fileText("```\nls\n```\n", "/howto.md")).toBe("```\nls\n```\n");
    expect(fileText("```\n# Title\n\ntext\n```\n", "/howto.md")).toBe("# Title\n\ntext\n");
    expect(fileText("```md\ntext\n```\n", "/howto.md")).toBe("text\n");
  });

  test("that is empty is how a model says that the file is empty", () => {
    expect(fileText("```\n```", "/__init__.py")).toBe("");
    expect(fileText("```\n\n```\n", "/empty.md")).toBe("");
  });

  test("in the middle of a line is content", () => {
    expect(fileText("```x``` is code\n```\n", "/a.txt")).toBe("```x``` is code\n```\n");
  });
});

describe("text", () => {
  test("gets a final newline when it has none, and keeps what it has", () => {
    expect(fileText("a", "/a")).toBe("a\n");
    expect(fileText("a\n", "/a")).toBe("a\n");
    expect(fileText("a\n\n", "/a")).toBe("a\n\n");
    expect(fileText("  a\n", "/a")).toBe("  a\n");
  });

  test("loses the thoughts before it", () => {
    expect(fileText("<think>\nhm\n```c\n</think>\n\n```c\nint x;\n```", "/a.c")).toBe("int x;\n");
    expect(fileText("<think> in the text\n", "/a.txt")).toBe("<think> in the text\n");
  });
});

describe("JSON", () => {
  test("is found bare, fenced, after thoughts, and between prose", () => {
    for (const answer of ['{"a":1}', '```json\n{"a":1}\n```', '<think>{</think>{"a":1}', 'Sure!\n{"a":1}\nDone.']) {
      expect(JSON.parse(jsonText(answer))).toEqual({ a: 1 });
    }
  });

  test("that is not there leaves the text to be complained about", () => {
    expect(jsonText("I'd rather not.")).toBe("I'd rather not.");
  });
});
