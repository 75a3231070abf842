import { describe, expect, test } from "bun:test";
import { policyText } from "../../../src/attributes.ts";
import { decodeName, encodeName, parsePattern } from "../../../src/generators/config/patterns.ts";
import { compileRules, Rules } from "../../../src/generators/config/rules.ts";
import { checkRules } from "../../../src/generators/config/schema.ts";
import { formatCsvField, parseCsv, parseCsvRows } from "../../../src/generators/formats/csv.ts";

describe("a pattern", () => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["a.txt", ["/a.txt"], ["/b/a.txt", "/axtxt", "/a.txt/"]],
    ["/a.txt", ["/a.txt"], ["/a"]],
    ["*.csv", ["/a.csv", "/.csv"], ["/d/a.csv", "/a.csvx"]],
    ["d/?.c", ["/d/x.c"], ["/d/xy.c", "/d//.c"]],
    ["reports/**/*.csv", ["/reports/a.csv", "/reports/x/y/a.csv"], ["/reports.csv", "/reportsx/a.csv"]],
    ["**", ["/a", "/a/b/c"], []],
    ["docs/**", ["/docs/a", "/docs/a/b"], ["/docsx", "/doc"]],
    ["**/Makefile", ["/Makefile", "/a/b/Makefile"], ["/xMakefile"]],
    ["x.{csv,json}", ["/x.csv", "/x.json"], ["/x.md"]],
    ["{id}.json", ["/1.json", "/a b.json"], ["/.json", "/a/1.json"]],
  ];
  for (const [source, fits, misses] of cases) {
    test(`${source} matches the right paths`, () => {
      for (const path of fits) expect([path, parsePattern(source).match(path) !== undefined]).toEqual([path, true]);
      for (const path of misses) expect([path, parsePattern(source).match(path) !== undefined]).toEqual([path, false]);
    });
  }

  test("a pattern names parts of the path, and can be filled in with them again", () => {
    const shape = parsePattern("by/{country}/{name}.v2.json");
    expect([...(shape.match("/by/DK/Bo.v2.json") ?? [])]).toEqual([
      ["country", "DK"],
      ["name", "Bo"],
    ]);
    expect(
      shape.fill(
        new Map([
          ["country", "DK"],
          ["name", "a/b"],
        ]),
      ),
    ).toBe("/by/DK/a%2Fb.v2.json");
    expect(shape.fill(new Map([["country", "DK"]]))).toBeUndefined();
    expect([shape.root, shape.literal, parsePattern("a/b").literal, parsePattern("{x}").root]).toEqual([
      "/by",
      false,
      true,
      "/",
    ]);
  });

  test("an ambiguous pattern is refused", () => {
    for (const source of ["", "a/", "{a", "a}", "{a b}", "{a}/{a}"]) expect(() => parsePattern(source)).toThrow();
  });
});

test("any value can become a file name and be read back from it", () => {
  for (const value of ["a", "a/b", "..", ".", "%2F", "100%", "%", "%zz", "é", "\0", "a%2", "%25", "...", ".a"]) {
    const name = encodeName(value);
    expect([value, decodeName(name)]).toEqual([value, value]);
    expect(name).not.toMatch(/[/\0]|^\.{1,2}$/);
  }
});

describe("rules", () => {
  const parts = { named: new Map(), known: ["a", "b", "llm"], environment: { TOKEN: "t" } };
  const rules = new Rules(
    compileRules(
      [
        {
          match: "x/{id}.csv",
          generator: "a",
          options: { deep: [{ key: `is \${TOKEN}` }] },
          refresh: "5m",
          stale: true,
        },
        { match: "x/*", generator: "b", timeout: "2s" },
      ],
      parts,
    ),
  );

  test("the first matching rule wins, with its options", () => {
    const found = rules.bind("/x/7.csv", "llm");
    expect([found.generator, found.params, found.options]).toEqual(["a", { id: "7" }, { deep: [{ key: "is t" }] }]);
    expect(found.refresh && policyText(found.refresh)).toBe("5m stale");
    expect(rules.bind("/x/7.md", "llm")).toMatchObject({ generator: "b", timeoutMs: 2000 });
    expect(rules.bind("/y", "llm")).toEqual({ generator: "llm", options: {}, params: {} });
  });

  test("a generator chosen by the file wins, with the options of the first rule that names it", () => {
    expect(rules.bind("/x/7.csv", "b")).toMatchObject({ generator: "b", match: "x/*" });
    expect(rules.bind("/x/7.csv", "static")).toMatchObject({ generator: "static", options: {} });
  });

  test("an invalid rule is reported by name", () => {
    const wrong = (rule: unknown) => () => compileRules(checkRules([{ match: "ok", generator: "a" }, rule]), parts);
    expect(wrong({ match: "a", generator: "c" })).toThrow('rule 2: unknown generator "c"');
    expect(wrong({ generator: "a" })).toThrow('rule 2: "match" is missing');
    expect(wrong({ match: "a", generator: "a", option: {} })).toThrow(
      'rule 2: unknown key "option"; did you mean options?',
    );
    expect(wrong({ match: "a", generater: "a" })).toThrow('rule 2: unknown key "generater"; did you mean generator?');
    expect(wrong({ match: "a", generator: "a", refresh: "sometimes" })).toThrow("expected once, always");
    expect(wrong({ match: "a", generator: "a", options: { x: `\${NOT_SET}` } })).toThrow("NOT_SET is not set");
    expect(wrong(7)).toThrow("rule 2: a rule must be an object");
  });

  test("a rule for a path that no file in a mount can have is refused", () => {
    const wrong = (match: string) => () => compileRules([{ match, generator: "a" }], parts);
    for (const match of [".llmfs", ".llmfs/foo", "/.llmfs/{id}", "{a,.llmfs}/b"])
      expect(wrong(match)).toThrow(/^rule 1: "match" .*: \/\.llmfs is reserved for llmfs; choose another name$/);
    expect(wrong("../x.txt")).toThrow('rule 1: "match" "../x.txt" has the name "..": a match is a path below the root');
    expect(wrong("a/./{id}")).toThrow('has the name "."');
    expect(wrong("a//b")).toThrow("has an empty name");
    expect(wrong("x".repeat(256))).toThrow("longer than the limit of 255 bytes");
    for (const match of [".llmfsx", "a/.llmfs", "a..b", "..."]) expect(wrong(match)).not.toThrow();
  });
});

test("CSV keeps every text apart, and parses back to the same texts", () => {
  const texts = ["", "a", 'say "hi"', "a,b", "line\nend", "\r", " lead", "trail ", "é", '"', ";", "\t"];
  const line = texts.map((text) => formatCsvField(text)).join(",");
  expect(parseCsvRows(`${line}\r\n`)).toEqual([texts]);
  expect(formatCsvField(undefined)).toBe("");
  expect(parseCsvRows("a,b\r\n1,\r\n")).toEqual([
    ["a", "b"],
    ["1", ""],
  ]);
  expect(parseCsv("a,b\n1,2\n")).toEqual([{ a: "1", b: "2" }]);
});

test("a CSV file may mix line ends and contain quotes inside of fields, but a quote must be closed", () => {
  expect(parseCsvRows('a,b\r\n1,"x ""y"""\n3.5" disk,2\r')).toEqual([
    ["a", "b"],
    ["1", 'x "y"'],
    ['3.5" disk', "2"],
  ]);
  expect(() => parseCsvRows('a,b\n"1,2\n')).toThrow("Quote Not Closed");
});
