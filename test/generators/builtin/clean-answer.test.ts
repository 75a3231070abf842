import { describe, expect, test } from "bun:test";
import { extractJson, readFileAnswer, readFileText } from "../../../src/generators/builtin/clean-answer.ts";

describe("a code fence", () => {
  test("a fence around the whole answer is removed, whatever language it names", () => {
    expect(readFileText("```c\nint x;\n```", "/a.c")).toBe("int x;\n");
    expect(readFileText("```\nint x;\n```\n", "/a.c")).toBe("int x;\n");
    expect(readFileText("\n\n~~~~c\nint x;\n~~~~\n\n", "/a.c")).toBe("int x;\n");
    expect(readFileText("```c\r\nint x;\r\n```\r\n", "/a.c")).toBe("int x;\r\n");
  });

  test("removing a fence keeps indentation and blank lines inside, except blank lines at the top", () => {
    expect(readFileText("```c\n\n  int x;\n\n\n```", "/a.c")).toBe("  int x;\n\n\n");
  });

  test("a fence that closes before the end of the answer is content", () => {
    const answer = "```c\nint x;\n```\nand\n```c\nint y;\n```\n";
    expect(readFileText(answer, "/a.c")).toBe(answer);
  });

  test("a fence with prose around it is kept in a prose file, where an introduction may be content", () => {
    for (const path of ["/README.md", "/notes.txt", "/LICENSE", "/page.rst", "/letter.j2"]) {
      const answer = "Here it is:\n```c\nint x;\n```\nThat is all.\n";
      expect(readFileAnswer(answer, path)).toEqual({ text: answer });
    }
  });

  test("a fence that never closes is content", () => {
    expect(readFileText("```c\nint x;\n", "/a.c")).toBe("```c\nint x;\n");
    expect(readFileText("```", "/a.c")).toBe("```\n");
  });

  test("a fence may contain indented fences, shorter fences, and fences of the other kind", () => {
    expect(readFileText('```py\n"""\n    ```\n    x\n    ```\n~~~\n"""\n```', "/a.py")).toBe(
      '"""\n    ```\n    x\n    ```\n~~~\n"""\n',
    );
    expect(readFileText("````md\n```sh\nls\n```\n````", "/a.md")).toBe("```sh\nls\n```\n");
  });

  test("a fence around Markdown may contain fences that name a language", () => {
    expect(readFileText("```markdown\n# T\n```sh\nls\n```\nend\n```", "/README.md")).toBe("# T\n```sh\nls\n```\nend\n");
  });

  test("a fence that is the whole Markdown file is kept, unless it is clearly a wrapper", () => {
    expect(readFileText("```sh\nls\n```\n", "/howto.md")).toBe("```sh\nls\n```\n");
    expect(readFileText("```\nls\n```\n", "/howto.md")).toBe("```\nls\n```\n");
    expect(readFileText("```\n# Title\n\ntext\n```\n", "/howto.md")).toBe("# Title\n\ntext\n");
    expect(readFileText("```md\ntext\n```\n", "/howto.md")).toBe("text\n");
  });

  test("an empty fence in an answer means that the file is empty", () => {
    expect(readFileText("```\n```", "/__init__.py")).toBe("");
    expect(readFileText("```\n\n```\n", "/empty.md")).toBe("");
  });

  test("a fence in the middle of a line is content", () => {
    expect(readFileText("```x``` is code\n```\n", "/a.txt")).toBe("```x``` is code\n```\n");
  });
});

describe("text", () => {
  test("a final newline is added if it is missing", () => {
    expect(readFileText("a", "/a")).toBe("a\n");
    expect(readFileText("a\n", "/a")).toBe("a\n");
    expect(readFileText("a\n\n", "/a")).toBe("a\n\n");
    expect(readFileText("  a\n", "/a")).toBe("  a\n");
  });

  test("a model's thoughts before the text are removed", () => {
    expect(readFileText("<think>\nhm\n```c\n</think>\n\n```c\nint x;\n```", "/a.c")).toBe("int x;\n");
    expect(readFileText("<think> in the text\n", "/a.txt")).toBe("<think> in the text\n");
  });
});

describe("invisible characters at the beginning", () => {
  test("are removed before a fence, and before what must be at the very beginning", () => {
    for (const mark of ["\ufeff", "\u200b", "\u2060\ufeff"]) {
      expect(readFileText(`${mark}\`\`\`py\nx = 1\n\`\`\``, "/m.py")).toBe("x = 1\n");
      expect(readFileText(`${mark}#!/bin/sh\n`, "/run")).toBe("#!/bin/sh\n");
      expect(readFileText(`\`\`\`sh\n${mark}#!/bin/sh\n\`\`\``, "/run.sh")).toBe("#!/bin/sh\n");
      expect(readFileText(`${mark}{"a":1}`, "/a.json")).toBe('{"a":1}\n');
      expect(readFileText(`${mark}<!doctype html>\n`, "/i.html")).toBe("<!doctype html>\n");
    }
  });

  test("stay elsewhere: a spreadsheet needs a byte order mark", () => {
    expect(readFileText("\ufeffname;größe\n", "/a.csv")).toBe("\ufeffname;größe\n");
  });
});

describe("a fence around a whole page", () => {
  test("is removed although bare fences inside it look like its end", () => {
    const page = "# Tides\n\n```\nmake\n```\n\nRun it:\n\n```\n./tides\n```\n";
    expect(readFileText(`\`\`\`markdown\n${page}\`\`\`\n`, "/README.md")).toBe(page);
  });

  test("is not assumed if a block stays open, or if the first block is an example", () => {
    for (const page of [
      "```markdown\n# Tides\n```\n\nRun it:\n\n```\n./tides\n```\nDone.\n",
      "```markdown\n*Tides*\n```\n\nor\n\n```\n./tides\n```\n",
      "```markdown\n# Tides\n```\n\n```sh\n./tides\n```\n",
    ])
      expect(readFileText(page, "/README.md")).toBe(page);
  });
});

test("two fences around a code file are both removed", () => {
  expect(readFileText("```\n```python\nx = 1\n```\n```\n", "/m.py")).toBe("x = 1\n");
});

describe("sentences around a code fence, in a code file,", () => {
  const cases: readonly (readonly [name: string, path: string, answer: string, content: string])[] = [
    ["before it", "/a.c", "Here it is:\n```c\nint x;\n```\n", "int x;\n"],
    ["after it", "/a.c", "```c\nint x;\n```\n\nThis declares an integer.\n", "int x;\n"],
    ["on both sides", "/m.py", "Sure! Here's `m.py`:\n\n```python\nx = 1\n```\n\nNote: run it.\n", "x = 1\n"],
    [
      "with a heading and a list",
      "/m.py",
      "**m.py**\n\n```py\nx = 1\n```\n\n- It sets `x`\n- Nothing else\n",
      "x = 1\n",
    ],
    ["in CRLF", "/a.c", "Here:\r\n```c\r\nint x;\r\n```\r\nDone it is.\r\n", "int x;\r\n"],
    [
      "and a block of another language",
      "/m.py",
      "The file:\n```python\nx = 1\n```\nRun it:\n```bash\npython m.py\n```\n",
      "x = 1\n",
    ],
    ["where the fence names no language", "/a.ts", "Here is the file:\n\n```\nlet x = 1;\n```\n", "let x = 1;\n"],
    ["where the fence names the file", "/src/a.ts", "Here:\n\n```src/a.ts\nlet x = 1;\n```\n", "let x = 1;\n"],
    ["where the fence names more", "/a.ts", 'Here it is:\n```ts title="a.ts"\nlet x = 1;\n```\n', "let x = 1;\n"],
    [
      "with fences in a docstring of it",
      "/m.py",
      'Here:\n```python\n"""\n```python\nf()\n```\n"""\nx = 1\n```\nEnjoy this.\n',
      '"""\n```python\nf()\n```\n"""\nx = 1\n',
    ],
    ["of YAML", "/ci.yml", "This is the workflow:\n```yaml\non: push\n```\n", "on: push\n"],
    ["of JSON", "/p.json", "Here is the JSON:\n```json\n{}\n```\n", "{}\n"],
    ["of HTML", "/i.html", "Here is the page:\n```html\n<p>hi</p>\n```\nIt greets.\n", "<p>hi</p>\n"],
    ["of a Makefile", "/Makefile", "The build:\n```makefile\nall:\n\ttrue\n```\n", "all:\n\ttrue\n"],
    ["of a Dockerfile", "/Dockerfile", "Use this one:\n```dockerfile\nFROM scratch\n```\n", "FROM scratch\n"],
    ["of a shell script", "/x.sh", "The script:\n```bash\n#!/bin/sh\nls\n```\n", "#!/bin/sh\nls\n"],
    ["after thoughts", "/m.py", "<think>\nhm\n</think>\nHere:\n```python\nx = 1\n```\n", "x = 1\n"],
  ];
  test.each(cases)("%s, are removed", (_, path, answer, content) => {
    expect(readFileAnswer(answer, path)).toEqual({ text: content });
  });

  const unclear: readonly (readonly [name: string, path: string, answer: string])[] = [
    ["two blocks that fit", "/a.c", "```c\nint x;\n```\nand\n```c\nint y;\n```\n"],
    ["no block that fits", "/m.py", "Run this first:\n```bash\nls\n```\n"],
    ["code beside the block", "/m.py", "import os\n\nUsage:\n```python\nos.getcwd()\n```\n"],
    ["a block that is never closed", "/m.py", "Here it is:\n```python\nx = 1\n"],
    ["a fence at the end that was never opened", "/m.py", "x = 1\n```\n"],
    ["a block that is never closed, alone", "/a.c", "```c\nint x;\n"],
  ];
  test.each(unclear)("%s: unclear, so the text is kept", (_, path, answer) => {
    expect(readFileAnswer(answer, path)).toEqual({ text: answer, unclear: true });
  });

  const content: readonly (readonly [name: string, path: string, text: string])[] = [
    ["a docstring", "/m.py", '"""Example:\n\n```python\nf()\n```\n"""\n\ndef f(): pass\n'],
    ["a comment", "/a.ts", "/*\nExample:\n```ts\nf()\n```\n*/\nexport const x = 1;\n"],
    ["a template literal", "/a.js", "const md = `\n~~~js\nf()\n~~~\n`;\n"],
    ["a here-document", "/x.sh", "cat > README.md <<'EOF'\n# Title\n```sh\nls\n```\nEOF\n"],
    ["a text block", "/A.java", 'String s = """\n```java\nf();\n```\n""";\n'],
    ["a heredoc of Ruby", "/a.rb", "MD = <<~TEXT\n```ruby\nf\n```\nTEXT\n"],
    ["a long string of Lua", "/a.lua", "local s = [[\n```lua\nf()\n```\n]]\n"],
    ["a doc comment of Julia", "/a.jl", '"""\n    f()\n\n```julia\nf()\n```\n"""\nfunction f() end\n'],
    ["an element of HTML", "/i.html", "<pre>\n```\nls\n```\n</pre>\n"],
    ["a cell", "/a.csv", 'id,text\n1,"Run:\n```sh\nls\n```\n"\n'],
    ["nested quotes of LaTeX", "/a.tex", "He said\n```Tis' he said.''\n"],
    ["a comment of HTML", "/i.html", "<!--\n```html\n<p>\n```\n-->\n<p>hi</p>\n"],
    ["a doc comment", "/a.rs", "/// ```rust\n/// f();\n/// ```\nfn f() {}\n"],
    ["an indented block of YAML", "/a.yml", "text: |\n  ```sh\n  ls\n  ```\n"],
  ];
  test.each(content)("sentences that are content are kept: in %s", (_, path, text) => {
    expect(readFileAnswer(text, path)).toEqual({ text });
  });
});

describe("the first line", () => {
  test("empty lines before the first line are removed", () => {
    expect(readFileText("\n\n#!/bin/sh\nls\n", "/x.sh")).toBe("#!/bin/sh\nls\n");
    expect(readFileText("\r\n \t\r\n# Title\r\n", "/README.md")).toBe("# Title\r\n");
    expect(readFileText("```sh\n\n#!/bin/sh\n```", "/x.sh")).toBe("#!/bin/sh\n");
  });

  test("the first line is not indented where that would be an error or change the meaning", () => {
    expect(readFileText(" import os\n\nx = 1\n", "/m.py")).toBe("import os\n\nx = 1\n");
    expect(readFileText("\n    import os\n", "/m.py")).toBe("import os\n");
    expect(readFileText(" name: x\non: push\n", "/ci.yml")).toBe("name: x\non: push\n");
    expect(readFileText(" node_modules\ndist\n", "/.gitignore")).toBe("node_modules\ndist\n");
    expect(readFileText(" id,name\n1,x\n", "/a.csv")).toBe("id,name\n1,x\n");
  });

  test("a Python file that is indented as a whole loses that indentation", () => {
    expect(readFileText("    def f():\n        pass\n\n    f()\n", "/m.py")).toBe("def f():\n    pass\n\nf()\n");
  });

  test("text that must start a file, such as #!, loses its indentation in any file", () => {
    expect(readFileText(" #!/usr/bin/env lua\nx()\n", "/run")).toBe("#!/usr/bin/env lua\nx()\n");
    expect(readFileText(' <?xml version="1.0"?>\n<a/>\n', "/a.xml")).toBe('<?xml version="1.0"?>\n<a/>\n');
    expect(readFileText(" <?php\nheader('x');\n", "/a.php")).toBe("<?php\nheader('x');\n");
    expect(readFileText(" -----BEGIN CERTIFICATE-----\n", "/a.pem")).toBe("-----BEGIN CERTIFICATE-----\n");
    expect(readFileText(" ---\ntitle: x\n---\n# T\n", "/page.md")).toBe("---\ntitle: x\n---\n# T\n");
  });

  test("the first line keeps its indentation elsewhere, as in a drawing, a centred title or a list", () => {
    for (const [path, text] of [
      ["/cat.txt", " /\\_/\\\n( o.o )\n > ^ <\n"],
      ["/LICENSE", "          GNU GENERAL PUBLIC LICENSE\nVersion 3\n"],
      ["/code.md", "    indented code\n\ntext\n"],
      ["/a.f", "      PROGRAM X\nC comment\n"],
      ["/a.s", "\t.text\nmain:\n"],
      ["/a.diff", " context\n+added\n"],
      ["/a.yml", "  - one\n  - two\n"],
    ] as const) {
      expect(readFileText(text, path)).toBe(text);
    }
  });
});

describe("JSON", () => {
  test("JSON is found bare, fenced, after thoughts, and between prose", () => {
    for (const answer of ['{"a":1}', '```json\n{"a":1}\n```', '<think>{</think>{"a":1}', 'Sure!\n{"a":1}\nDone.']) {
      expect(JSON.parse(extractJson(answer))).toEqual({ a: 1 });
    }
  });

  test("if there is no JSON, the text is returned for the error message", () => {
    expect(extractJson("I'd rather not.")).toBe("I'd rather not.");
  });
});
