/** Laying out more files for a tree that exists: what the model is shown, what it may add, and what is left out. */
import { describe, expect, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { type GrowthOptions, layOutGrowth } from "../../../src/generate/growth/growth.ts";
import { loadTokenCounter } from "../../../src/generate/spending/tokens.ts";
import { LlmError } from "../../../src/llm/llm.ts";
import { requestKey } from "../../../src/recording/key.ts";
import type { NewEntry } from "../../../src/rpc/growth.ts";
import { type ScriptedModel, scriptedModel } from "../../support/scripted-model.ts";
import { type PlainTree, treePort } from "../../support/tree-port.ts";

interface Answer {
  readonly files?: readonly {
    readonly path: string;
    readonly description?: string;
    readonly uses?: readonly string[];
  }[];
  readonly directories?: readonly unknown[];
  readonly symlinks?: readonly unknown[];
  readonly unfinished?: readonly unknown[];
}

const answer = (parts: Answer) =>
  JSON.stringify({ directories: [], symlinks: [], unfinished: [], files: [], ...parts });
const oneTest = answer({ files: [{ path: "tests/test_a.py", description: "tests of a", uses: ["src/a.py"] }] });

const PROJECT: PlainTree = {
  "/": { folder: { "user.llmfs.prompt": "Python 3.12 only." } },
  "/README.md": "# Tides\n",
  "/src": { folder: { "user.llmfs.prompt": "No classes." } },
  "/src/a.py": `import os\n\n\ndef level(t: float) -> float:\n    """The water level."""\n${"    t += 1  # secret of the body\n".repeat(30)}    return t\n`,
  "/src/b.py": { pending: "the harbour: berths()" },
  "/data/tides.csv": "time,level\n0,1\n1,2\n",
};

async function grow(tree: PlainTree, model: ScriptedModel, more: Partial<GrowthOptions> = {}) {
  const port = treePort(tree);
  const outline = async () => (await port.outline()).filter(({ path }) => path !== "/");
  return layOutGrowth({
    tree: { ...port, outline },
    within: "/",
    prompt: "pytest tests",
    model,
    modelName: "m",
    ...more,
  });
}

/** The message that the model gets for a tree. */
async function sent(tree: PlainTree, more: Partial<GrowthOptions> = {}): Promise<string> {
  const model = scriptedModel(oneTest);
  await grow(tree, model, more).catch(() => {});
  return model.requests[0]?.messages.at(-1)?.content ?? "";
}

const paths = ({ entries }: { readonly entries: readonly NewEntry[] }) => entries.map(({ path }) => path);

describe("the part of a growing tree that the model sees", () => {
  test("the model sees names, descriptions, instructions, and the declarations of programs instead of their bodies", async () => {
    const text = await sent(PROJECT);
    for (const shown of [
      "b.py — the harbour: berths()",
      "def level(t: float) -> float:",
      "The water level.",
      "time,level",
      "# Tides",
      "Python 3.12 only.",
      "What to add:\n\npytest tests",
    ]) {
      expect(text).toContain(shown);
    }
    expect(text).not.toContain("secret of the body");
    // The instructions of a directory count only there.
    expect(text).not.toContain("No classes.");
    expect(text).toContain('among its "uses"');
    expect(await sent(PROJECT, { uses: false })).not.toContain('"uses"');
    expect(await sent(PROJECT, { within: "/src/new/deep" })).toContain("Python 3.12 only.\n\nNo classes.");
  });

  test("the model sees neither ignored files nor secrets", async () => {
    const token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    const text = await sent(
      {
        ...PROJECT,
        "/.gitignore": "private/\n",
        "/private/plan.md": "the plan\n",
        "/.llmfsignore": "*.csv\n",
        "/.env": `TOKEN=${token}\n`,
        "/src/c.py": `TOKEN = "${token}"\n`,
        "/src/d.py": { pending: `uses ${token}` },
      },
      { prompt: `use ${token}` },
    );
    for (const hidden of ["plan", "tides.csv", ".env", ".llmfsignore", token]) expect(text).not.toContain(hidden);
    expect(text).toContain("src/c.py");
  });

  test("the model sees files that the prompt names first, then programs, nearest first", async () => {
    const many: Record<string, string> = {};
    for (let index = 0; index < 60; index++) {
      many[`/far/away/m${index}.py`] = `def far${index}():\n    pass\n`;
      many[`/docs/d${index}.txt`] = `text ${index}\n`;
      many[`/near/n${index}.py`] = `def near${index}():\n    pass\n`;
    }
    const text = await sent(
      { ...many, "/deep/down/named.txt": "by name\n" },
      {
        within: "/near",
        prompt: "tests as named.txt says, for all",
        tokens: 5000,
      },
    );
    expect(text).toContain("by name");
    expect(text).toContain("def near59()");
    expect(text).not.toContain("text 7\n");
  });

  test("the model sees files first whose paths have the words of the prompt", async () => {
    const many: Record<string, string> = {};
    for (let index = 0; index < 80; index++) {
      many[`/src/a${index}/code.ts`] = `export function other${index}(): void {}\n`.repeat(20);
    }
    const tree = { ...many, "/src/zeta/harbourMaster/berths.ts": "export function berth(): void {}\n" };
    const text = await sent(tree, { prompt: "unit tests for the harbour", tokens: 6000 });
    expect(text).toContain("export function berth(): void {}");
  });

  test("if there is little room, comments and imports give way to declarations", async () => {
    const many: Record<string, string> = {};
    const comment = "/**\n * A long comment about the license of this file.\n */\n".repeat(10);
    for (let index = 0; index < 60; index++) {
      const body = "  console.log(1);\n".repeat(20);
      many[`/src/m${index}.ts`] =
        `${comment}import { x } from "./x.ts";\n\nexport function shown${index}(): void {\n${body}}\n`;
    }
    const text = await sent(many, { tokens: 6000 });
    expect(text.match(/export function shown\d+\(\)/g)?.length).toBeGreaterThan(30);
  });

  test("the model sees at most the token budget, and an equal share of each file", async () => {
    const many: Record<string, string> = {};
    for (let index = 0; index < 100; index++) many[`/src/m${index}.py`] = `def f${index}():\n    pass\n`.repeat(60);
    const count = await loadTokenCounter();
    for (const tokens of [3000, 12_000]) {
      const model = scriptedModel(oneTest);
      await grow(many, model, { tokens }).catch(() => {});
      const all = model.requests[0]?.messages.map(({ content }) => content).join("\n\n") ?? "";
      expect(count(all)).toBeLessThanOrEqual(tokens);
      expect(count(all)).toBeGreaterThan(tokens * 0.6);
    }
    await expect(grow(many, scriptedModel(oneTest), { tokens: 300 })).rejects.toThrow(
      /^the instructions and the prompt alone need \d+ tokens, but --context-tokens is 300$/,
    );
  });

  test("what the model sees does not depend on which files were generated before", async () => {
    const key = async (state: "pending" | "ready" | "failed" | "generating") => {
      const model = scriptedModel(oneTest);
      await grow({ ...PROJECT, "/src/b.py": { pending: "the harbour", state } }, model);
      return model.requests.map(requestKey);
    };
    expect(await key("ready")).toEqual(await key("pending"));
    expect(await key("failed")).toEqual(await key("generating"));
  });
});

describe("what a model may add", () => {
  test("a model may add files that use existing files, with the prompt where the new part begins", async () => {
    const model = scriptedModel(
      answer({
        files: [
          { path: "tests/unit/test_a.py", description: "tests of a", uses: ["src/a.py", "src/b.py"] },
          { path: "src/c.py", description: "more code" },
        ],
        directories: [{ path: "tests", description: "", prompt: "Be brief." }],
      }),
    );
    const growth = await grow(PROJECT, model);
    expect(growth.entries).toEqual([
      { type: "file", path: "/src/c.py", description: "more code", prompt: "pytest tests" },
      { type: "directory", path: "/tests", prompt: "pytest tests\n\nBe brief." },
      { type: "directory", path: "/tests/unit" },
      { type: "file", path: "/tests/unit/test_a.py", description: "tests of a", uses: ["/src/a.py", "/src/b.py"] },
    ]);
    expect(growth).toMatchObject({ clashes: [], leftOut: [], requests: 1, inputTokens: 11, outputTokens: 7 });
  });

  test("a file that exists is not added but reported, even if the model could not see it", async () => {
    const model = scriptedModel(
      answer({
        files: [{ path: "src/a.py" }, { path: "src/b.py" }, { path: ".env" }, { path: "new.py" }],
        directories: [{ path: "src", description: "mine", prompt: "Use classes." }],
      }),
    );
    const growth = await grow({ ...PROJECT, "/.env": "X=1\n" }, model);
    expect(growth.entries).toEqual([{ type: "file", path: "/new.py", description: "", prompt: "pytest tests" }]);
    expect(growth.clashes).toEqual(["/src/a.py", "/src/b.py", "/.env"]);
  });

  test("uses of excluded or missing files are left out and reported", async () => {
    const model = scriptedModel(answer({ files: [{ path: "t.py", uses: ["src/a.py", ".env", "none.py"] }] }));
    const growth = await grow({ ...PROJECT, "/.env": "X=1\n" }, model);
    expect(growth.entries).toMatchObject([{ path: "/t.py", uses: ["/src/a.py"] }]);
    expect(growth.leftOut.join("\n")).toContain("none.py");
    expect(growth.leftOut.join("\n")).toContain(".env");
  });

  test("a model may add files only below the directory, which need not exist", async () => {
    const model = scriptedModel(oneTest, answer({ files: [{ path: "spec/unit/test_a.py", uses: ["src/a.py"] }] }));
    const growth = await grow(PROJECT, model, { within: "/spec/unit" });
    expect(paths(growth).at(-1)).toMatch(/^\/spec\/unit\//);
    expect(growth.entries.find(({ type }) => type === "file")).toMatchObject({ uses: ["/src/a.py"] });
  });

  test("several answers may extend a tree, and each knows what exists", async () => {
    const model = scriptedModel(
      answer({ files: [{ path: "tests/all.py" }], unfinished: [{ path: "tests/unit", brief: "one each", files: 2 }] }),
      answer({ files: [{ path: "tests/unit/test_a.py", uses: ["src/a.py"] }] }),
    );
    const growth = await grow(PROJECT, model);
    expect(paths(growth)).toEqual(["/tests", "/tests/all.py", "/tests/unit", "/tests/unit/test_a.py"]);
    const round = model.requests[1]?.messages.at(-1)?.content;
    for (const shown of ["def level(t: float)", "all.py", 'Every path begins with "tests/unit/"', "one each"]) {
      expect(round).toContain(shown);
    }
  });

  test("a symlink that leaves the tree through an existing one is rejected", async () => {
    const tree = { ...PROJECT, "/out": { link: "/etc" } };
    const model = scriptedModel(
      answer({ files: [{ path: "x" }], symlinks: [{ path: "passwd", target: "out/passwd" }] }),
    );
    await expect(grow(tree, model)).rejects.toThrow(
      /symlink "passwd": its target "out\/passwd" leads to an absolute path/,
    );
    const harmless = answer({ files: [{ path: "x" }], symlinks: [{ path: "latest", target: "src/a.py" }] });
    expect(paths(await grow(tree, scriptedModel(harmless)))).toEqual(["/latest", "/x"]);
  });

  test("a proposal without anything new fails, and its recording is deleted", async () => {
    const forgotten: unknown[] = [];
    const model = scriptedModel(answer({ files: [{ path: "src/a.py" }] }));
    const forgetting = { ...model, forget: async (request: unknown) => void forgotten.push(request) };
    const failed = await grow(PROJECT, forgetting).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(LlmError);
    expect(String(failed)).toContain("m proposed only what exists already (src/a.py); say what is missing");
    expect(forgotten).toEqual(model.requests);
  });

  test("a place that is not a directory is refused before the model is asked", async () => {
    const model = scriptedModel(oneTest);
    for (const within of ["/src/a.py", "/src/a.py/below"]) {
      const failed = await grow(PROJECT, model, { within }).catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(FsError);
      expect(String(failed)).toContain("/src/a.py: not a directory");
    }
    await expect(grow(PROJECT, model, { within: "/.llmfs/x" })).rejects.toThrow("/.llmfs/x: this name is reserved");
    expect(model.requests).toHaveLength(0);
  });

  test("a prompt that cannot become an attribute is refused before the model is asked", async () => {
    const model = scriptedModel(oneTest);
    await expect(grow(PROJECT, model, { prompt: "word ".repeat(14_000) })).rejects.toThrow(/more than 65536 bytes/);
    expect(model.requests).toHaveLength(0);
  });
});
