/**
 * A model for the evaluation that remembers nothing but its request.
 *
 * In each case, one file decides on a name (a function, a column, a flag). The others take that name from the text of this
 * file if the request shows it, and otherwise use the name that one would expect, which is wrong.
 */
import type { Behaviour, ReceivedRequest } from "./openai-server.ts";

interface ScriptedFile {
  readonly uses: readonly string[];
  /** NAME stands for the name that one file decides on. */
  readonly text: string;
}

interface ScriptedCase {
  /** Words of the prompt. */
  readonly about: string;
  /** The file that decides on the name, and the position of the name in it. The file may exist already. */
  readonly decides: { readonly path: string; readonly pattern: RegExp; readonly name: string };
  readonly expected: string;
  readonly files: Readonly<Record<string, ScriptedFile>>;
  readonly executable?: readonly string[];
}

const C_TOOL: ScriptedCase = {
  about: "command-line tool in C11",
  decides: { path: "wordfreq.h", pattern: /(\w+)\(FILE/, name: "tally_words" },
  expected: "count_words",
  executable: ["tests/run.sh"],
  files: {
    "wordfreq.h": {
      uses: [],
      text: "#include <stdio.h>\n\nstruct word { char *text; long count; };\n\n/* Returns the number of words in *words, sorted. */\nlong NAME(FILE *in, struct word **words);\n",
    },
    "wordfreq.c": {
      uses: ["wordfreq.h"],
      text: `#include "wordfreq.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *one, const void *other) {
    const struct word *a = one, *b = other;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    return strcmp(a->text, b->text);
}

static void count(struct word **words, long *length, const char *text) {
    for (long at = 0; at < *length; at++)
        if (strcmp((*words)[at].text, text) == 0) { (*words)[at].count++; return; }
    *words = realloc(*words, (size_t)(*length + 1) * sizeof **words);
    (*words)[*length].text = strcpy(malloc(strlen(text) + 1), text);
    (*words)[(*length)++].count = 1;
}

long NAME(FILE *in, struct word **words) {
    char text[256];
    long length = 0;
    size_t used = 0;
    *words = NULL;
    for (int c;;) {
        c = fgetc(in);
        if (c != EOF && isalpha(c) && used < sizeof text - 1) { text[used++] = (char)tolower(c); continue; }
        text[used] = 0;
        if (used > 0) count(words, &length, text);
        used = 0;
        if (c == EOF) break;
    }
    if (length > 0) qsort(*words, (size_t)length, sizeof **words, compare);
    return length;
}
`,
    },
    "main.c": {
      uses: ["wordfreq.h"],
      text: `#include "wordfreq.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    long most = -1;
    for (int at = 1; at < argc; at++) {
        if (strcmp(argv[at], "--help") == 0) { puts("wordfreq [-n N] < text"); return 0; }
        if (strcmp(argv[at], "-n") == 0 && at + 1 < argc) { most = atol(argv[++at]); continue; }
        fprintf(stderr, "wordfreq: unknown flag %s\\n", argv[at]);
        return 2;
    }
    struct word *words;
    long length = NAME(stdin, &words);
    for (long at = 0; at < length && at != most; at++) printf("%ld %s\\n", words[at].count, words[at].text);
    return 0;
}
`,
    },
    Makefile: {
      uses: ["wordfreq.c", "main.c"],
      text: "CFLAGS = -std=c11 -Wall -Werror\n\nwordfreq: main.c wordfreq.c wordfreq.h\n\t$(CC) $(CFLAGS) -o $@ main.c wordfreq.c\n\ntest: wordfreq\n\tsh tests/run.sh\n\n.PHONY: test\n",
    },
    "tests/run.sh": {
      uses: ["main.c"],
      text: '#!/bin/sh\nset -e\ntest "$(printf \'a b a\' | ./wordfreq)" = "2 a\n1 b"\n',
    },
  },
};

const PYTHON_LIBRARY: ScriptedCase = {
  about: "Python 3 package `intervals`",
  decides: { path: "intervals/core.py", pattern: /^def (\w+)\(text\)/m, name: "read_text" },
  expected: "parse_text",
  files: {
    "intervals/core.py": {
      uses: [],
      text: `"""Sets of integers, as intervals."""


class IntervalSet:
    def __init__(self, pairs=()):
        self._numbers = set()
        for first, last in pairs:
            self.add(first, last)

    def add(self, first, last):
        self._numbers.update(range(first, last + 1))

    def remove(self, first, last):
        self._numbers.difference_update(range(first, last + 1))

    def union(self, other):
        return _of(self._numbers | other._numbers)

    def intersection(self, other):
        return _of(self._numbers & other._numbers)

    def __contains__(self, number):
        return number in self._numbers

    def __iter__(self):
        return iter(sorted(self._numbers))

    def __len__(self):
        return len(self._numbers)

    def __eq__(self, other):
        return self._numbers == other._numbers

    def __str__(self):
        pairs = []
        for number in self:
            if pairs and pairs[-1][1] == number - 1:
                pairs[-1][1] = number
            else:
                pairs.append([number, number])
        return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in pairs)


def _of(numbers):
    return IntervalSet((number, number) for number in numbers)


def NAME(text):
    pairs = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            pairs.append((int(first), int(last or first)))
        except ValueError:
            raise ValueError(f"not an interval: {part}") from None
    return IntervalSet(pairs)
`,
    },
    "intervals/__init__.py": {
      uses: ["intervals/core.py"],
      text: "from .core import IntervalSet\nfrom .core import NAME as parse\n",
    },
    "intervals/__main__.py": {
      uses: ["intervals/core.py"],
      text: `import sys

from .core import NAME

_, command, one, other = sys.argv
print(getattr(NAME(one), command)(NAME(other)))
`,
    },
    "tests/__init__.py": { uses: [], text: "" },
    "tests/test_core.py": {
      uses: ["intervals/core.py"],
      text: `import unittest

from intervals.core import NAME


class TestText(unittest.TestCase):
    def test_text(self):
        self.assertEqual(str(NAME("3,1-2,7")), "1-3,7")
`,
    },
  },
};

const TYPESCRIPT_SERVICE: ScriptedCase = {
  about: "HTTP service in TypeScript",
  decides: { path: "src/store.ts", pattern: /(\w+)\(text: string/, name: "insert" },
  expected: "add",
  files: {
    "src/store.ts": {
      uses: [],
      text: `export interface Note {
  readonly id: number;
  readonly text: string;
  readonly tags: readonly string[];
}

export class NoteStore {
  readonly #notes = new Map<number, Note>();
  #next = 1;

  NAME(text: string, tags: readonly string[]): Note {
    const note = { id: this.#next++, text, tags };
    this.#notes.set(note.id, note);
    return note;
  }

  list(tag: string | null): readonly Note[] {
    return [...this.#notes.values()].filter(({ tags }) => tag === null || tags.includes(tag));
  }

  find(id: number): Note | undefined {
    return this.#notes.get(id);
  }

  remove(id: number): boolean {
    return this.#notes.delete(id);
  }
}
`,
    },
    "src/routes.ts": {
      uses: ["src/store.ts"],
      text: `import { NoteStore } from "./store.ts";

const store = new NoteStore();

export async function answer(request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const id = /^\\/notes\\/(\\d+)$/.exec(pathname)?.[1];
  if (id !== undefined && request.method === "DELETE") return new Response(null, { status: store.remove(Number(id)) ? 204 : 404 });
  if (id !== undefined) {
    const note = store.find(Number(id));
    return note === undefined ? new Response(null, { status: 404 }) : Response.json(note);
  }
  if (request.method === "GET") return Response.json(store.list(searchParams.get("tag")));
  const body = await request.json().catch(() => undefined);
  if (typeof body?.text !== "string" || body.text === "") return Response.json({ error: "text is missing" }, { status: 400 });
  return Response.json(store.NAME(body.text, body.tags ?? []), { status: 201 });
}
`,
    },
    "src/server.ts": {
      uses: ["src/routes.ts"],
      text: `import { answer } from "./routes.ts";

export function startServer(port: number) {
  return Bun.serve({ port, fetch: answer });
}
`,
    },
    "test/store.test.ts": {
      uses: ["src/store.ts"],
      text: `import { expect, test } from "bun:test";
import { NoteStore } from "../src/store.ts";

test("a note gets an id", () => {
  expect(new NoteStore().NAME("one", []).id).toBe(1);
});
`,
    },
  },
};

const DATA_SET: ScriptedCase = {
  about: "data set of lighthouses",
  decides: { path: "data/lighthouses.csv", pattern: /^name,country,(\w+),/m, name: "height_m" },
  expected: "height",
  files: {
    "data/lighthouses.csv": {
      uses: [],
      text: `name,country,NAME,built\n${Array.from({ length: 12 }, (_, n) => `Lighthouse ${n},${n % 2 ? "France" : "Norway"},${20 + n},${1850 + n}\n`).join("")}`,
    },
    "data/lighthouses.schema.json": {
      uses: ["data/lighthouses.csv"],
      text: '{"columns": [\n  {"name": "name", "type": "text", "required": true},\n  {"name": "country", "type": "text", "required": true},\n  {"name": "NAME", "type": "integer", "required": true},\n  {"name": "built", "type": "integer", "required": true}\n]}\n',
    },
    "load.py": {
      uses: ["data/lighthouses.schema.json"],
      text: `import csv
import json
import sqlite3
import sys

columns = json.load(open("data/lighthouses.schema.json"))["columns"]
rows = list(csv.DictReader(open("data/lighthouses.csv", newline="")))
for line, row in enumerate(rows, 2):
    for column in columns:
        name = column["name"]
        if name not in row:
            sys.exit(f"data/lighthouses.schema.json: data/lighthouses.csv has no column {name}")
        if column["type"] == "integer" and not row[name].isdigit():
            sys.exit(f"line {line}, column {name}: not a whole number")
database = sqlite3.connect(sys.argv[1])
types = ", ".join(f"{column['name']} {column['type']}" for column in columns)
database.execute(f"create table lighthouses ({types})")
marks = ", ".join("?" for _ in columns)
database.executemany(f"insert into lighthouses values ({marks})", [[row[c["name"]] for c in columns] for row in rows])
database.commit()
`,
    },
    "queries/tallest.sql": {
      uses: ["data/lighthouses.csv"],
      text: "select name, NAME from lighthouses order by NAME desc limit 3\n",
    },
    "queries/by_country.sql": {
      uses: ["data/lighthouses.csv"],
      text: "select country, count(*) from lighthouses group by country\n",
    },
  },
};

const DOCUMENTATION: ScriptedCase = {
  about: "Documentation for this program",
  decides: { path: "inventory/__main__.py", pattern: /"(--\w+)", type=int/, name: "--amount" },
  expected: "--count",
  files: {
    "README.md": {
      uses: ["inventory/__main__.py"],
      text: "# Inventory\n\nKeeps track of what is in the cupboard.\n\n```console\n$ python3 -m inventory put rice NAME 2\n$ python3 -m inventory show\n2 rice (top)\n```\n",
    },
    "docs/commands.md": {
      uses: ["inventory/__main__.py"],
      text: "# Commands\n\n`--database FILE` comes first.\n\n## put\n\n`put NAME-OF-IT NAME N --shelf SHELF`\n\n## take\n\n`take NAME-OF-IT NAME N`\n\n## show\n\n`show --only-shelf SHELF`\n",
    },
  },
};

const TESTS: ScriptedCase = {
  about: "Tests for the code in this tree",
  decides: { path: "ledger/account.py", pattern: /class (\w+)\(Exception/, name: "InsufficientFunds" },
  expected: "OverdraftError",
  files: {
    "tests/__init__.py": { uses: [], text: "" },
    "tests/test_account.py": {
      uses: ["ledger/account.py"],
      text: `import unittest

from ledger.account import Account, NAME


class TestAccount(unittest.TestCase):
    def test_rules(self):
        account = Account("Ada", 10)
        for refused in (0, -1):
            self.assertRaises(ValueError, account.deposit, refused)
            self.assertRaises(ValueError, account.withdraw, refused)
        self.assertRaises(ValueError, Account, "Bob", -1)
        account.deposit(5)
        account.withdraw(15)
        self.assertEqual(account.balance, -10)
        self.assertRaises(NAME, account.withdraw, 1)
`,
    },
    "tests/test_transfer.py": {
      uses: ["ledger/transfer.py"],
      text: `import unittest

from ledger.account import Account
from ledger.transfer import transfer


class TestTransfer(unittest.TestCase):
    def test_rules(self):
        one, other = Account("Ada", 1000), Account("Bob")
        self.assertEqual(transfer(one, other, 100), 100)
        self.assertEqual(transfer(one, other, 100, express=True), 125)
        self.assertEqual((one.balance, other.balance), (-225, 200))
        self.assertRaises(ValueError, transfer, one, one, 1)
`,
    },
  },
};

const EVAL_MODEL_CASES = [C_TOOL, PYTHON_LIBRARY, TYPESCRIPT_SERVICE, DATA_SET, DOCUMENTATION, TESTS];

/** The contents that a request shows, by path. */
function shownIn(message: string): ReadonlyMap<string, string> {
  const shown = new Map<string, string>();
  for (const [, path = "", , content = ""] of message.matchAll(/^(\S+) \([^\n]*\):\n\n(`{3,})\n([\s\S]*?)^\2$/gm)) {
    shown.set(path, content);
  }
  return shown;
}

function nameFor({ decides, expected }: ScriptedCase, path: string, shown: ReadonlyMap<string, string>): string {
  if (path === decides.path) return decides.name;
  return decides.pattern.exec(shown.get(decides.path) ?? "")?.[1] ?? expected;
}

function wholeWord(word: string): RegExp {
  return new RegExp(`(?<![\\w-])${RegExp.escape(word)}(?![\\w-])`, "g");
}

const REPLACE = /replace (\S+) by (\S+)/;

/** The case of a request for a file, by its path and by the names in the tree that the request shows. */
function caseOf(path: string, message: string): ScriptedCase {
  const paths = (one: ScriptedCase) => [...Object.keys(one.files), one.decides.path];
  const fitting = EVAL_MODEL_CASES.filter((one) => Object.hasOwn(one.files, path));
  const names = (one: ScriptedCase) =>
    paths(one).filter((other) => message.includes(other.slice(other.lastIndexOf("/") + 1))).length / paths(one).length;
  const [best] = fitting.toSorted((a, b) => names(b) - names(a));
  if (best === undefined) throw new Error(`no case has the file ${path}`);
  return best;
}

export function answerEvaluation({ body }: Pick<ReceivedRequest, "body">): Behaviour {
  const message: string = body.messages.at(-1).content;
  const schema: string | undefined = body.response_format?.json_schema?.name;
  if (schema === "diagnosis") return { stream: JSON.stringify(diagnose(message)) };
  if (schema !== undefined) {
    const scripted = EVAL_MODEL_CASES.find(({ about }) => message.includes(about));
    if (scripted === undefined) throw new Error(`no case has the prompt ${message}`);
    const { files, executable = [] } = scripted;
    const listed = Object.entries(files).map(([path, { uses }]) => ({ path, description: `a file of ${path}`, uses }));
    return { stream: JSON.stringify({ files: listed, directories: [], symlinks: [], executable, unfinished: [] }) };
  }
  if (message.startsWith("That content has to change:")) {
    const [, from = "", to = ""] = REPLACE.exec(message) ?? [];
    return { stream: String(body.messages.at(-2).content).replaceAll(wholeWord(from), to) };
  }
  const path = /^Write the file (\S+)/m.exec(message)?.[1] ?? "";
  const scripted = caseOf(path, message);
  const text = scripted.files[path]?.text ?? "";
  return {
    stream: text === "" ? "```\n```" : text.replaceAll(/\bNAME\b(?!-)/g, nameFor(scripted, path, shownIn(message))),
  };
}

/** What a person would see who looks at the files that are shown: one of them uses a name that another does not have. */
function diagnose(message: string): object {
  const shown = shownIn(message);
  for (const scripted of EVAL_MODEL_CASES) {
    const { decides, expected } = scripted;
    const name = decides.pattern.exec(shown.get(decides.path) ?? "")?.[1];
    if (name === undefined) continue;
    const instruction = `replace ${expected} by ${name}`;
    const wrong = [...shown].filter(([path, text]) => path !== decides.path && wholeWord(expected).test(text));
    const files = wrong.map(([path]) => ({ path, instruction }));
    if (files.length > 0) return { why: `${expected} does not exist`, checkIsWrong: false, files };
  }
  return { why: "nothing that is shown is wrong", checkIsWrong: true, files: [] };
}
