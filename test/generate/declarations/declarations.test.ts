import { describe, expect, test } from "bun:test";
import { declarationsOf } from "../../../src/generate/declarations/declarations.ts";

const LONG = "x".repeat(50);
const MANY = Array.from({ length: 100 }, (_, index) => `"name${index}"`).join(", ");

/** A program, and all that is left of it. */
const PROGRAMS: Readonly<Record<string, readonly [whole: string, declarations: string]>> = {
  "tides.py": [
    `"""Tides."""
import os
from typing import List

NAMES = [${MANY}]

@dataclass
class Tide(Base):
    """A tide."""
    height: float

    def level(self, t: float) -> float:
        """The level at t."""
        x = 1
        for i in range(10):
            x += 1
        return x

async def fetch(url, *, timeout=3):
    answer = await get(url, timeout=timeout)
    return answer

if __name__ == "__main__":
    ${"main()\n    ".repeat(50)}
`,
    `"""Tides."""
import os
from typing import List

NAMES = [${MANY.slice(0, 159)} … ]

@dataclass
class Tide(Base):
    """A tide."""
    height: float

    def level(self, t: float) -> float:
        """The level at t."""
        …

async def fetch(url, *, timeout=3):
    …

if __name__ == "__main__": …

`,
  ],
  "tides.ts": [
    `import { a } from "./b.ts";
/** What it is. */
export interface X { readonly a: string; f(x: number): void }
export type Y = { a: 1 } | { b: 2 };
export const f = (x: number): string => {
  const y = x + 1;
  return String(y) + "${LONG}";
};
export class C<T> extends D implements E {
  constructor(readonly a: string) { super(); this.b = "${LONG}"; }
  async run(x: T): Promise<void> {
    await x("${LONG}");
  }
}
`,
    `import { a } from "./b.ts";
/** What it is. */
export interface X { readonly a: string; f(x: number): void }
export type Y = { a: 1 } | { b: 2 };
export const f = (x: number): string => { … };
export class C<T> extends D implements E {
  constructor(readonly a: string) { … }
  async run(x: T): Promise<void> { … }
}
`,
  ],
  "app.jsx": [
    `import React from "react";\nexport function App({ name }) {\n  return <div>{name}${LONG}</div>;\n}\n`,
    `import React from "react";\nexport function App({ name }) { … }\n`,
  ],
  "tides.h": [
    `#define MAX 10\n/* the level */\ndouble level(double t);\nstatic inline int half(int x)\n{\n  return x / 2; /* ${LONG} */\n}\n`,
    `#define MAX 10\n/* the level */\ndouble level(double t);\nstatic inline int half(int x)\n{ … }\n`,
  ],
  "tides.cpp": [
    `namespace a {\nclass T : public B {\n public:\n  T() : x_(1) { run("${LONG}"); }\n  int x() const;\n};\n}\n`,
    `namespace a {\nclass T : public B {\n public:\n  T() : x_(1) { … }\n  int x() const;\n};\n}\n`,
  ],
  "tides.go": [
    `package tides\n\ntype Tide struct{ Height float64 }\n\nfunc (t *Tide) Level(at float64) (float64, error) {\n\treturn f("${LONG}"), nil\n}\n`,
    "package tides\n\ntype Tide struct{ Height float64 }\n\nfunc (t *Tide) Level(at float64) (float64, error) { … }\n",
  ],
  "tides.rs": [
    `pub struct T { pub h: f64 }\nimpl T {\n  pub fn level(&self, t: f64) -> f64 {\n    run("${LONG}")\n  }\n}\n`,
    "pub struct T { pub h: f64 }\nimpl T {\n  pub fn level(&self, t: f64) -> f64 { … }\n}\n",
  ],
  "Tides.java": [
    `public class Tides {\n  private int x;\n  public int level(int t) throws E {\n    return run("${LONG}");\n  }\n}\n`,
    "public class Tides {\n  private int x;\n  public int level(int t) throws E { … }\n}\n",
  ],
  "Tides.cs": [
    `class A { public int X { get; set; } public int F(int t) { return Run("${LONG}"); } }\n`,
    "class A { public int X { get; set; } public int F(int t) { … } }\n",
  ],
  "tides.rb": [
    `class A < B\n  attr_reader :x\n  def level(t, k: 1)\n    run "${LONG}"\n  end\nend\n`,
    "class A < B\n  attr_reader :x\n  def level(t, k: 1)\n    …\n  end\nend\n",
  ],
  "tides.php": [
    `<?php\nclass T { public function level(float $t): float { return run("${LONG}"); } }\n`,
    "<?php\nclass T { public function level(float $t): float { … } }\n",
  ],
  build: [
    `#!/usr/bin/env bash\nset -e\nNAME=x\nusage() {\n  echo "usage: ${LONG}"\n}\n`,
    "#!/usr/bin/env bash\nset -e\nNAME=x\nusage() { … }\n",
  ],
};

describe("the declarations of", () => {
  for (const [name, [whole, declarations]] of Object.entries(PROGRAMS)) {
    test(`the declarations of ${name} are its signatures, types and exports, without function bodies`, async () => {
      expect(await declarationsOf(`/src/${name}`, whole)).toBe(declarations);
    });
  }

  test("the declarations of a table are its column names and first records, even if a name contains a line break", async () => {
    const rows = Array.from({ length: 100 }, (_, index) => `${index},n\n`).join("");
    expect(await declarationsOf("/a.csv", `id,"long\nname"\n${rows}`)).toBe(
      'id,"long\nname"\n0,n\n1,n\n2,n\n… (97 more records)\n',
    );
  });

  test("the declarations of JSON are its members, with the first element of each list", async () => {
    const items = Array.from({ length: 50 }, (_, id) => ({ id, text: LONG.repeat(3) }));
    const text = `${JSON.stringify({ version: 1, items })}\n`;
    expect(await declarationsOf("/a.json", text)).toBe(
      `${JSON.stringify({ version: 1, items: [{ id: 0, text: `${"x".repeat(60)}…` }, "… (49 more)"] }, null, 2)}\n`,
    );
    expect(await declarationsOf("/a.ndjson", items.map((one) => JSON.stringify(one)).join("\n"))).toContain(
      "… (47 more lines)",
    );
  });

  test("the declarations of YAML are its members, and an alias cannot make them larger", async () => {
    const items = Array.from({ length: 50 }, (_, id) => `  - id: ${id}\n    name: n${id}\n`).join("");
    expect(await declarationsOf("/a.yaml", `version: 1\nitems:\n${items}`)).toBe(
      "version: 1\nitems:\n  - id: 0\n    name: n0\n  - … (49 more)\n",
    );
    const letters = "abcdefghijklm".split("");
    const level = (at: number) =>
      `${letters[at]}: &${letters[at]} {${letters.map((key) => `${key}: *${letters[at - 1]}`).join(", ")}}`;
    const bomb = ["a: &a 1", ...letters.slice(1).map((_, index) => level(index + 1))].join("\n");
    expect(await declarationsOf("/bomb.yml", bomb)).toBeUndefined();
    expect(await declarationsOf("/prose.yml", "some words\n".repeat(100))).toBeUndefined();
  });

  test("the declarations of Markdown are its headings, without those that only look like one in code", async () => {
    const text = `# Title\n\n${LONG}\n\n## Use \`x\`\n\n\`\`\`sh\n# no heading\n\`\`\`\n\nSetext\n------\n\n${LONG}\n`;
    expect(await declarationsOf("/a.md", text)).toBe("# Title\n## Use `x`\n## Setext\n");
  });

  test("the declarations of SQL are its definitions, without the statements that fill tables", async () => {
    const text = `-- ${LONG}
CREATE TABLE a (id INT, name TEXT DEFAULT 'x;y');
INSERT INTO a VALUES (1, 'create table;');
CREATE FUNCTION f() RETURNS int AS $$ SELECT 1; ${LONG.repeat(5)} $$ LANGUAGE sql;
`;
    expect(await declarationsOf("/a.sql", text)).toBe(`CREATE TABLE a (id INT, name TEXT DEFAULT 'x;y');

CREATE FUNCTION f() RETURNS int AS $$ … $$ LANGUAGE sql;
`);
  });
});

test("a format without a parser, and a file that would not become shorter, have no declarations", async () => {
  expect(await declarationsOf("/a.txt", "words\n".repeat(1000))).toBeUndefined();
  expect(await declarationsOf("/__proto__", "words\n")).toBeUndefined();
  expect(await declarationsOf("/a.constructor", "words\n")).toBeUndefined();
  expect(await declarationsOf("/a.c", "int x;\n")).toBeUndefined();
  expect(await declarationsOf("/a.json", "{ no JSON")).toBeUndefined();
});

test("text that is not a program is handled quickly, however long it is", async () => {
  const begun = performance.now();
  for (const path of ["/a.c", "/a.rs", "/a.ts", "/a.py", "/a.sh", "/a.go", "/A.java"]) {
    for (const unit of ["a b c\n", "(((( {", 'It is "not" a program; it is prose.\n']) {
      await declarationsOf(path, unit.repeat(60_000 / unit.length));
    }
  }
  expect(performance.now() - begun).toBeLessThan(60_000);
}, 120_000);
