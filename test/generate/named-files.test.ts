import { describe, expect, test } from "bun:test";
import { bindRequest } from "../../src/generate/binding.ts";
import { namedFiles } from "../../src/generate/named-files.ts";
import { parsePattern } from "../../src/generators/config/patterns.ts";
import { rulesOf, summarize } from "../../src/generators/config/rule-summary.ts";
import { treePort } from "../support/tree-port.ts";

describe("the files that a prompt names", () => {
  const files = new Set(["/data.csv", "/docs/a.md", "/docs/b c.md", "/a.md", "/Makefile"]);
  const named = (text: string, path = "/docs/summary.md") => namedFiles([text], path, (one) => files.has(one));

  test("files in a prompt are found by absolute and relative paths, in the order of the text, each once", () => {
    expect(named("Summarize /data.csv, as ./a.md and ../Makefile do. Again: /data.csv.")).toEqual([
      "/data.csv",
      "/docs/a.md",
      "/Makefile",
    ]);
    expect(named("see `data.csv` (or 'b c.md')?")).toEqual(["/data.csv", "/docs/b c.md"]);
    expect(named('see "a.md" and "the file data.csv"')).toEqual(["/docs/a.md", "/data.csv"]);
  });

  test("files in a prompt do not include the file itself, ordinary words, or missing files", () => {
    expect(named("/docs/a.md data csv /gone.csv ../../../etc/passwd", "/docs/a.md")).toEqual([]);
  });
});

describe("a rule for the model", () => {
  const rules = rulesOf([
    { match: "customers/{id}.json", generator: "sql", onDemand: true },
    {
      match: "reports/{id}.md",
      generator: "llm",
      prompt: "Write about /customers/7.json and /all.csv.",
      description: "a report",
      depends: ["/data/{id}.csv", "style.md"],
      "max-tokens": 500,
      temperature: 0.2,
      model: "big",
    },
  ]);
  const tree = (xattrs: Readonly<Record<string, string>> = {}) =>
    treePort({ "/reports/x%2Fy.md": { pending: "", xattrs }, "/all.csv": "a\n" });
  const asked = (xattrs: Readonly<Record<string, string>> = {}) => {
    const request = tree(xattrs).request("/reports/x%2Fy.md");
    const { description: _, ...file } = request.file;
    return bindRequest({ ...request, file }, { rules }).request;
  };

  test("a rule for the model sets description, dependencies, max-tokens and temperature of its files", () => {
    const found = asked();
    expect(found).toMatchObject({
      model: "big",
      prompts: ["Write about /customers/7.json and /all.csv."],
      rulePrompt: "Write about /customers/7.json and /all.csv.",
      file: { description: "a report" },
    });
    expect(Object.fromEntries(found?.file.xattrs ?? [])).toEqual({
      "user.llmfs.description": "a report",
      // The file of another rule need not exist before somebody looks for it.
      "user.llmfs.depends": "/data/x%2Fy.csv\nstyle.md\n/customers/7.json",
      "user.llmfs.max-tokens": "500",
      "user.llmfs.temperature": "0.2",
    });
  });

  test("attributes of the file override a rule for the model, except that its dependencies are added", () => {
    const found = asked({ "user.llmfs.temperature": "1", "user.llmfs.depends": "/own.txt" });
    expect(found?.file.xattrs.get("user.llmfs.temperature")).toBe("1");
    expect(found?.file.xattrs.get("user.llmfs.depends")).toStartWith("/own.txt\n/data/");
  });

  test("a rule for the model is published with everything that a request needs", () => {
    expect(rulesOf(summarize(rules)).all.map(({ options, looksUp }) => [options, looksUp])).toEqual(
      rules.all.map(({ options, looksUp }) => [options, looksUp]),
    );
    expect(rules.all[0]?.match.source).toBe(parsePattern("customers/{id}.json").source);
  });
});
