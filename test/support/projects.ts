/**
 * Three projects of twelve files, and a model that writes them with a memory of nothing but its request.
 *
 * In each project one file differs from its description, as models' answers do: a function has another name, a column is called
 * something else, a program has one more flag. Other files follow the text of that file if it is shown to them, and otherwise
 * its description. So the project's check passes only if they were shown it.
 */

export interface ProjectFile {
  readonly description: string;
  readonly uses?: readonly string[];
  /** Its content. `shown` returns the text of another file, if the request shows it. */
  readonly write: (shown: (path: string) => string | undefined) => string;
}

export interface Project {
  readonly name: string;
  readonly files: Readonly<Record<string, ProjectFile>>;
  /** A shell command that passes if the files fit each other. */
  readonly check: string;
}

/** The answer to a request for a layout. */
export function layoutOf(project: Project, uses: boolean): string {
  const files = Object.entries(project.files).map(([path, file]) => ({
    path,
    description: file.description,
    uses: uses ? (file.uses ?? []) : [],
  }));
  return JSON.stringify({ files, directories: [], symlinks: [], unfinished: [] });
}

/** The answer to a request for a file. Its only source is the text of the request. */
export function writeFrom(project: Project, path: string, message: string): string {
  const shown = new Map<string, string>();
  for (const [, name = "", , content = ""] of message.matchAll(
    /^(\S+) \(this file depends on it[^)]*\):\n\n(`{3,})\n([\s\S]*?)^\2$/gm,
  )) {
    shown.set(name, content);
  }
  const file = project.files[path];
  if (file === undefined) throw new Error(`the project has no file ${path}`);
  return file.write((other) => shown.get(other));
}

/** A name from a text that is shown, or what one would expect. */
function find(text: string | undefined, pattern: RegExp, expected: string): string {
  return pattern.exec(text ?? "")?.[1] ?? expected;
}

const counter = (text: string | undefined) => find(text, /(\w+)\(const char \*text\)/, "count_words");

export const C_TOOL: Project = {
  name: "a C tool with a renamed function",
  check: "make -s test",
  files: {
    Makefile: {
      description: "builds build/words and build/test_count, and runs the tests with `make test`",
      write: () => `CFLAGS = -std=c11 -Wall -Wextra -Werror -Iinclude
LIBRARY = src/count.c src/buffer.c src/options.c

build/words: src/main.c $(LIBRARY)
	mkdir -p build && $(CC) $(CFLAGS) -o $@ $^

build/test_count: test/test_count.c src/count.c
	mkdir -p build && $(CC) $(CFLAGS) -o $@ $^

test: build/words build/test_count
	build/test_count
	sh test/run.sh

.PHONY: test
`,
    },
    "include/count.h": {
      description: "declares count_words(const char *text), which returns the number of words",
      write: () => "#pragma once\n\n/* The number of words. */\nunsigned long words_in(const char *text);\n",
    },
    "src/count.c": {
      description: "count_words(), as declared in count.h",
      uses: ["include/count.h"],
      write: (shown) => `#include "count.h"

unsigned long ${counter(shown("include/count.h"))}(const char *text)
{
  unsigned long count = 0;
  int inside = 0;
  for (; *text != '\\0'; text++) {
    int blank = *text == ' ' || *text == '\\n' || *text == '\\t';
    if (!blank && !inside) count++;
    inside = !blank;
  }
  return count;
}
`,
    },
    "include/buffer.h": {
      description: "declares read_all(FILE *in), which returns the whole input",
      write: () => "#pragma once\n#include <stdio.h>\n\nchar *read_all(FILE *in);\n",
    },
    "src/buffer.c": {
      description: "read_all(), as declared in buffer.h",
      uses: ["include/buffer.h"],
      write: (shown) => `#include "buffer.h"
#include <stdlib.h>

char *${find(shown("include/buffer.h"), /char \*(\w+)\(/, "read_all")}(FILE *in)
{
  size_t size = 0, room = 4096;
  char *text = malloc(room);
  for (int c; text != NULL && (c = getc(in)) != EOF; text[size++] = (char)c)
    if (size + 2 > room) text = realloc(text, room *= 2);
  if (text != NULL) text[size] = '\\0';
  return text;
}
`,
    },
    "include/options.h": {
      description: "declares struct options and parse_options()",
      write: () =>
        "#pragma once\n\nstruct options { int quiet; };\n\n/* Returns 0, or 2 for an unknown flag. */\nint parse_options(int argc, char **argv, struct options *into);\n",
    },
    "src/options.c": {
      description: "parse_options(), as declared in options.h: --quiet",
      uses: ["include/options.h"],
      write: () => `#include "options.h"
#include <string.h>

int parse_options(int argc, char **argv, struct options *into)
{
  into->quiet = 0;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--quiet") != 0) return 2;
    into->quiet = 1;
  }
  return 0;
}
`,
    },
    "src/main.c": {
      description: "prints count_words() of standard input",
      uses: ["include/count.h", "include/buffer.h", "include/options.h"],
      write: (shown) => `#include "buffer.h"
#include "count.h"
#include "options.h"

int main(int argc, char **argv)
{
  struct options options;
  int status = parse_options(argc, argv, &options);
  if (status != 0) return status;
  unsigned long count = ${counter(shown("include/count.h"))}(read_all(stdin));
  if (!options.quiet) printf("%lu\\n", count);
  return 0;
}
`,
    },
    "test/test_count.c": {
      description: "tests count_words()",
      uses: ["include/count.h"],
      write: (shown) => `#include "count.h"
#include <assert.h>

int main(void)
{
  assert(${counter(shown("include/count.h"))}("") == 0);
  assert(${counter(shown("include/count.h"))}(" two words\\n") == 2);
  return 0;
}
`,
    },
    "test/run.sh": {
      description: "runs build/words on a short text and compares its output",
      uses: ["Makefile"],
      write: (shown) =>
        `#!/bin/sh\ntest "$(echo one two three | ${find(shown("Makefile"), /^(build\/words):/m, "build/words")})" = 3\n`,
    },
    "README.md": {
      description: "how to build and use it",
      uses: ["src/options.c"],
      write: (shown) => `# words\n\nFlags: ${find(shown("src/options.c"), /"(--\w+)"/, "none")}\n`,
    },
    "docs/api.md": {
      description: "documents the functions of the headers",
      uses: ["include/count.h", "include/buffer.h"],
      write: (shown) => `# Functions\n\n- \`${counter(shown("include/count.h"))}\`\n- \`read_all\`\n`,
    },
  },
};

const column = (text: string | undefined) => find(text, /^time,(\w+)/m, "height");
const loader = (text: string | undefined) => find(text, /^def (\w+)\(path/m, "load");

export const PYTHON_LIBRARY: Project = {
  name: "a Python library with a column of another name",
  check: "python3 -B -m unittest discover -q tests",
  files: {
    "data/tides.csv": {
      description: "tides, with the columns time and height",
      write: () => "time,level_m\n00:00,0.4\n06:00,3.1\n12:00,0.5\n",
    },
    "tides/__init__.py": { description: "the package", write: () => '"""Tides."""\n' },
    "tides/load.py": {
      description: "load(path) returns a list of (time, height) from data/tides.csv",
      uses: ["data/tides.csv"],
      write: (shown) => `import csv


def load(path):
    with open(path, newline="") as file:
        return [(row["time"], float(row["${column(shown("data/tides.csv"))}"])) for row in csv.DictReader(file)]
`,
    },
    "tides/model.py": {
      description: "highest(rows) and lowest(rows)",
      uses: ["tides/load.py"],
      write: () =>
        "def highest(rows):\n    return max(rows, key=lambda row: row[1])\n\n\ndef lowest(rows):\n    return min(rows, key=lambda row: row[1])\n",
    },
    "tides/report.py": {
      description: "report(path) returns a line about the highest tide",
      uses: ["tides/load.py", "tides/model.py"],
      write: (shown) => `from tides.load import ${loader(shown("tides/load.py"))}
from tides.model import highest


def report(path):
    time, height = highest(${loader(shown("tides/load.py"))}(path))
    return f"{time} {height:.1f}"
`,
    },
    "tides/__main__.py": {
      description: "prints report()",
      uses: ["tides/report.py"],
      write: () => 'from tides.report import report\n\nprint(report("data/tides.csv"))\n',
    },
    "tests/__init__.py": { description: "empty", write: () => "# tests\n" },
    "tests/test_load.py": {
      description: "tests load()",
      uses: ["tides/load.py", "data/tides.csv"],
      write: (shown) => `import unittest

from tides.load import ${loader(shown("tides/load.py"))}


class Load(unittest.TestCase):
    def test_rows(self):
        self.assertEqual(${loader(shown("tides/load.py"))}("data/tides.csv")[0], ("00:00", 0.4))
`,
    },
    "tests/test_report.py": {
      description: "tests report()",
      uses: ["tides/report.py", "data/tides.csv"],
      write: () => `import unittest

from tides.report import report


class Report(unittest.TestCase):
    def test_highest(self):
        self.assertEqual(report("data/tides.csv"), "06:00 3.1")
`,
    },
    "docs/data.md": {
      description: "documents the columns of data/tides.csv",
      uses: ["data/tides.csv"],
      write: (shown) => `# Data\n\n- time\n- ${column(shown("data/tides.csv"))}\n`,
    },
    "pyproject.toml": { description: "the project", write: () => '[project]\nname = "tides"\nversion = "1"\n' },
    "README.md": {
      description: "how to use it",
      uses: ["tides/__main__.py"],
      write: () => "# tides\n\n    python3 -m tides\n",
    },
  },
};

const flags = (text: string | undefined) => {
  const found = [...(text ?? "").matchAll(/"(--[a-z]+)"/g)].map(([, flag = ""]) => flag);
  return found.length === 0 ? ["--from", "--to"] : [...new Set(found)];
};

/** Its check runs with Bun. */
export const TYPESCRIPT_SERVICE: Project = {
  name: "a TypeScript service with a flag that its description does not have",
  check: '"$BUN" check.ts',
  files: {
    "package.json": { description: "the package", write: () => '{ "name": "clock", "type": "module" }\n' },
    "src/types.ts": {
      description: "the type Span, with from and to",
      write: () => "export interface Span {\n  readonly from: number;\n  readonly to: number;\n}\n",
    },
    "src/parse.ts": {
      description: "parseSpan(args) returns a Span",
      uses: ["src/types.ts", "src/flags.ts"],
      write: () => `import { FLAGS } from "./flags.ts";
import type { Span } from "./types.ts";

export function parseSpan(args: readonly string[]): Span {
  const value = (flag: (typeof FLAGS)[number]) => Number(args[args.indexOf(flag) + 1] ?? 0);
  return { from: value("--from"), to: value("--to") };
}
`,
    },
    "src/flags.ts": {
      description: "FLAGS: --from and --to",
      write: () => 'export const FLAGS = ["--from", "--to", "--json"] as const;\n',
    },
    "src/format.ts": {
      description: "formatSpan(span) returns text",
      uses: ["src/types.ts"],
      write: () =>
        'import type { Span } from "./types.ts";\n\nexport const formatSpan = ({ from, to }: Span) => [from, to].join("-");\n',
    },
    "src/server.ts": {
      description: "serve(span)",
      uses: ["src/types.ts", "src/format.ts"],
      write: () =>
        'import { formatSpan } from "./format.ts";\nimport type { Span } from "./types.ts";\n\nexport const serve = (span: Span) => formatSpan(span);\n',
    },
    "src/main.ts": {
      description: "the entry",
      uses: ["src/parse.ts", "src/server.ts"],
      write: () =>
        'import { parseSpan } from "./parse.ts";\nimport { serve } from "./server.ts";\n\nconsole.log(serve(parseSpan(process.argv)));\n',
    },
    "test/parse.test.ts": {
      description: "tests parseSpan()",
      uses: ["src/parse.ts"],
      write: () =>
        'import { parseSpan } from "../src/parse.ts";\n\nif (parseSpan(["--from", "1"]).from !== 1) throw new Error("from");\n',
    },
    "check.ts": {
      description: "checks that README.md has every flag",
      uses: ["src/flags.ts"],
      write: () => `import { readFileSync } from "node:fs";
import { FLAGS } from "./src/flags.ts";
import "./test/parse.test.ts";
import "./src/main.ts";

const readme = readFileSync("README.md", "utf8");
const missing = FLAGS.filter((flag) => !readme.includes(flag));
if (missing.length > 0) throw new Error(\`README.md lacks \${missing.join(", ")}\`);
`,
    },
    "README.md": {
      description: "the flags: --from and --to",
      uses: ["src/flags.ts"],
      write: (shown) =>
        `# clock\n\n${flags(shown("src/flags.ts"))
          .map((flag) => `- \`${flag}\``)
          .join("\n")}\n`,
    },
    "CHANGELOG.md": {
      description: "what changed",
      uses: ["README.md"],
      write: (shown) => `# Changes\n\n${flags(shown("src/flags.ts")).length} flags\n`,
    },
    "docs/usage.md": {
      description: "every flag with an example",
      uses: ["src/flags.ts", "src/main.ts"],
      write: (shown) =>
        flags(shown("src/flags.ts"))
          .map((flag) => `    main.ts ${flag} 1\n`)
          .join(""),
    },
  },
};
