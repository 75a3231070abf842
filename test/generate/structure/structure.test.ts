import { describe, expect, test } from "bun:test";
import { createBudget } from "../../../src/generate/spending/budget.ts";
import type { BudgetLimits } from "../../../src/generate/spending/ledger.ts";
import {
  type BaseTree,
  generateStructure,
  previewStructure,
  type Structure,
  type StructureOptions,
  type StructureProgress,
} from "../../../src/generate/structure/structure.ts";
import { type ChatMessage, type ChatRequest, type LanguageModel, LlmError } from "../../../src/llm/llm.ts";
import { createOpenaiModel } from "../../../src/llm/openai.ts";
import { createRecordedModel } from "../../../src/recording/recorded-model.ts";
import { createMemoryStore } from "../../../src/recording/stores/memory.ts";
import { openaiServer } from "../../support/openai-server.ts";
import { scriptedModel } from "../../support/scripted-model.ts";

const tree = (files: readonly string[], unfinished: readonly (readonly [string, number])[] = []) =>
  JSON.stringify({
    directories: [],
    files: files.map((path) => ({ path, description: `what ${path} is` })),
    symlinks: [],
    unfinished: unfinished.map(([path, count]) => ({ path, brief: `all about ${path}`, files: count })),
  });

const lay = (model: LanguageModel, more: Partial<StructureOptions> = {}) =>
  generateStructure({ prompt: "a tide table", model, modelName: "m", ...more });

async function failure(promise: Promise<unknown>): Promise<LlmError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof LlmError) return error;
  throw new Error(`not an LlmError: ${String(error)}`);
}

test("a prompt becomes a validated tree with one request and a schema", async () => {
  const model = scriptedModel(tree(["a.txt", "d/b.txt"]));
  const structure = await lay(model);
  expect(structure.entries.map(({ path }) => path)).toEqual(["/", "/a.txt", "/d", "/d/b.txt"]);
  expect(structure.entries[0]).toEqual({ type: "directory", path: "/", prompt: "a tide table" });
  expect(structure).toMatchObject({ model: "m", requests: 1, usage: { inputTokens: 11, outputTokens: 7 } });
  expect(model.requests).toHaveLength(1);
  expect(model.requests[0]?.schema?.name).toBe("directory_tree");
  expect(model.requests[0]?.messages.at(-1)?.content).toContain("a tide table");
  expect(model.labels).toEqual(["layout"]);
});

test("a configured maximum length is sent with every request, and none is sent otherwise", async () => {
  const model = scriptedModel("not even JSON", tree(["a"]));
  await lay(model, { maxTokens: 30_000 });
  expect(model.requests.map(({ maxTokens }) => maxTokens)).toEqual([30_000, 30_000]);
  const other = scriptedModel(tree(["a"]));
  await lay(other);
  expect(Object.keys(other.requests[0] ?? {})).toEqual(["model", "messages", "schema"]);
});

test("an empty prompt sends no request", async () => {
  const model = scriptedModel(tree(["a"]));
  expect((await failure(lay(model, { prompt: " \n" }))).message).toContain("the prompt is empty");
  expect(model.requests).toHaveLength(0);
});

test("a secret in the prompt is not sent", async () => {
  const model = scriptedModel(tree(["a"]));
  const token = `ghp_${"a1B2".repeat(9)}`;
  await lay(model, { prompt: `a tree for ${token} please` });
  expect(JSON.stringify(model.requests)).not.toContain(token);
  await lay(model, { prompt: `a tree for ${token} please`, redact: false });
  expect(JSON.stringify(model.requests)).toContain(token);
});

describe("an invalid answer", () => {
  test("an invalid answer is sent back with all its mistakes, and the corrected one is used", async () => {
    const model = scriptedModel(tree(["../etc/passwd", "a", "a"]), tree(["a", "b"]));
    const seen: StructureProgress[] = [];
    const structure = await lay(model, { onProgress: (progress) => seen.push(progress) });
    expect(structure.entries.map(({ path }) => path)).toEqual(["/", "/a", "/b"]);
    const [, , assistant, user] = model.requests[1]?.messages ?? [];
    expect(assistant).toEqual({ role: "assistant", content: tree(["../etc/passwd", "a", "a"]) });
    expect(user?.content).toContain('"../etc/passwd"');
    expect(user?.content).toContain('"a" occurs more than once');
    expect(seen.some(({ problems }) => problems?.length === 2)).toBe(true);
    expect(structure.usage.inputTokens).toBe(22);
  });

  test("repeatedly invalid answers fail with an explanation after a bounded number of attempts", async () => {
    const model = scriptedModel("not even JSON");
    const error = await failure(lay(model, { repairs: 1 }));
    expect(model.requests).toHaveLength(2);
    expect(error.kind).toBe("unusable");
    expect(error.message).toMatch(/^m did not return a usable tree in 2 answers; try .*not JSON/s);
  });

  test("each correction is a request of its own, and is announced only if it is sent", async () => {
    const model = scriptedModel("not even JSON");
    const seen: StructureProgress[] = [];
    await failure(lay(model, { onProgress: (progress) => seen.push(progress) }));
    expect(new Set(model.requests.map((request) => JSON.stringify(request))).size).toBe(3);
    expect(seen.filter(({ problems }) => problems !== undefined)).toHaveLength(2);
  });

  test("a huge invalid answer is not quoted in full", async () => {
    const model = scriptedModel(tree(Array.from({ length: 20_000 }, (_, i) => `f${i}`)), tree(["a"]));
    await lay(model);
    expect(JSON.stringify(model.requests[1]).length).toBeLessThan(20_000);
  });
});

test("a failure of the model is passed on unchanged", async () => {
  const error = new LlmError("rate-limited", "slow down");
  expect(await failure(lay(scriptedModel(error)))).toBe(error);
});

test("progress counts files while the answer streams in from a real server", async () => {
  const text = tree(["a.txt", "b.txt", "c.txt"]);
  const pieces = text.match(/.{1,17}/gs) ?? [];
  await using server = await openaiServer([{ stream: pieces }]);
  const seen: StructureProgress[] = [];
  await lay(createOpenaiModel({ baseUrl: server.baseUrl }), { onProgress: (progress) => seen.push(progress) });
  expect(seen.map(({ files }) => files)).toEqual([0, 1, 2, 3, 3]);
  expect(seen.at(-1)).toMatchObject({ latest: "c.txt", characters: text.length, requests: { done: 1, total: 1 } });
});

test("progress starts over when the request is retried", async () => {
  await using server = await openaiServer([{ stream: tree(["a", "b"]), after: "cut" }, { stream: tree(["c"]) }]);
  const seen: number[] = [];
  const model = createOpenaiModel({ baseUrl: server.baseUrl, retries: { baseMs: 1 } });
  const onProgress = ({ files }: StructureProgress) => {
    seen.push(files);
    if (files > 0) server.heard();
  };
  await lay(model, { onProgress });
  expect(seen).toEqual([0, 2, 1, 1]);
});

test("a server without strict schemas can still propose a tree", async () => {
  await using server = await openaiServer([
    ({ body }) =>
      body.response_format
        ? { status: 400, body: { error: { message: "response_format is not supported" } } }
        : { stream: `Here you are:\n\`\`\`json\n${tree(["a"])}\n\`\`\`\n` },
  ]);
  expect((await lay(createOpenaiModel({ baseUrl: server.baseUrl }))).entries).toHaveLength(2);
});

test("cancelling stops the proposal", async () => {
  await using server = await openaiServer([{ hang: true }]);
  const abort = new AbortController();
  const pending = failure(lay(createOpenaiModel({ baseUrl: server.baseUrl }), { signal: abort.signal }));
  const request = await server.request(0);
  abort.abort();
  expect((await pending).kind).toBe("cancelled");
  await request.disconnected;
});

describe("a tree too large for one answer", () => {
  const directories = Array.from({ length: 12 }, (_, i) => `part${String(i).padStart(2, "0")}`);

  /** The first answer leaves twelve directories unfinished; each later answer has 100 files. */
  function large() {
    return scriptedModel(({ messages }) => {
      const part = /content of one directory only: (\S+)/.exec(messages.at(-1)?.content ?? "")?.[1];
      if (part === undefined)
        return tree(
          ["README.md"],
          directories.map((path) => [path, 100]),
        );
      return tree(Array.from({ length: 100 }, (_, i) => `${part}/file${i}.txt`));
    });
  }

  test("a large tree is proposed in rounds, in parallel, within the concurrency limit", async () => {
    const model = large();
    const seen: StructureProgress[] = [];
    const structure = await lay(model, { concurrency: 3, onProgress: (progress) => seen.push(progress) });
    expect(structure.entries).toHaveLength(2 + 12 + 1200);
    expect(structure.requests).toBe(13);
    expect(model.load.most).toBe(3);
    expect(seen.at(-1)).toMatchObject({ files: 1201, requests: { done: 13, total: 13 } });
  });

  test("the request for each directory does not depend on the order of the others", async () => {
    const one = large();
    const other = large();
    await lay(one, { concurrency: 1 });
    await lay(other, { concurrency: 12 });
    const keys = (model: typeof one) => model.requests.map((request) => JSON.stringify(request)).sort();
    expect(keys(one)).toEqual(keys(other));
    expect(one.labels.slice(1).sort()).toEqual(directories.map((path) => `layout of /${path}`));
  });

  test("an answer that would exceed the limit is rejected before the rounds start", async () => {
    const model = large();
    const error = await failure(lay(model, { limits: { entries: 500 } }));
    expect(error.message).toContain(
      "it has 1213 entries; at most 500 are allowed, those of unfinished directories counted",
    );
    expect(model.requests).toHaveLength(3);
    expect(model.requests[1]?.messages.at(-1)?.content).toContain("at most 500 are allowed");
  });

  test("if the rounds together exceed the limit, no answer is kept, so that the same prompt can be tried again", async () => {
    const model = scriptedModel(({ messages }) => {
      const part = /content of one directory only: (\S+)/.exec(messages.at(-1)?.content ?? "")?.[1];
      if (part === undefined) return tree(["README.md"], [["d", 1]]);
      return tree(Array.from({ length: 100 }, (_, index) => `${part}/file${index}.txt`));
    });
    const forgotten: string[] = [];
    const forget = async (request: ChatRequest) => void forgotten.push(JSON.stringify(request));
    const error = await failure(lay({ ...model, forget }, { limits: { entries: 101 } }));
    expect(error.message).toContain("102 entries so far; at most 101 are allowed");
    expect(forgotten.sort()).toEqual(model.requests.map((request) => JSON.stringify(request)).sort());
  });

  test("on failure, rejected answers are forgotten, and those that led to a complete part are kept", async () => {
    const requests = new Map<string, ChatRequest[]>();
    const b = Promise.withResolvers<void>();
    const model = scriptedModel(async (request, { signal }) => {
      const user = request.messages.findLast(({ content }) => /content of one directory only/.test(content))?.content;
      const part = /only: (\S+)/.exec(user ?? "")?.[1] ?? "all";
      const earlier = requests.get(part) ?? [];
      requests.set(part, [...earlier, request]);
      if (part === "all")
        return tree(
          [],
          [
            ["a", 1],
            ["b", 1],
            ["c", 1],
          ],
        );
      // The first answer for a part names a file outside of it.
      if (earlier.length === 0) return tree(["../elsewhere"]);
      if (part === "a") return tree(["a/file"]);
      if (part === "b") {
        b.resolve();
        return new Promise((_, reject) =>
          signal?.addEventListener("abort", () => reject(new LlmError("cancelled", "stopped"))),
        );
      }
      await b.promise;
      throw new LlmError("server", "overloaded");
    });
    const forgotten: ChatRequest[] = [];
    const forget = async (request: ChatRequest) => void forgotten.push(request);
    expect((await failure(lay({ ...model, forget }))).message).toBe("overloaded");
    const first = (part: string) => JSON.stringify(requests.get(part)?.[0]);
    expect(forgotten.map((request) => JSON.stringify(request)).sort()).toEqual([first("b"), first("c")].sort());
  });

  test("after a failure only the rejected parts are requested again", async () => {
    const store = createMemoryStore("a test");
    const asked: string[] = [];
    let broken = true;
    const inner = scriptedModel((request) => {
      const user = request.messages.findLast(({ content }) => /content of one directory only/.test(content))?.content;
      const part = /only: (\S+)/.exec(user ?? "")?.[1] ?? "all";
      asked.push(part);
      if (part === "all")
        return tree(
          [],
          [
            ["a", 1],
            ["b", 1],
          ],
        );
      if (!broken) return tree([`${part}/file`]);
      if (part === "a") return "not even JSON";
      throw new LlmError("server", "overloaded");
    });
    const model = createRecordedModel(inner, store, { mode: "auto" });
    await failure(lay(model, { concurrency: 1 }));
    broken = false;
    asked.length = 0;
    const { requests } = await lay(model, { concurrency: 1 });
    expect([asked, requests]).toEqual([["a", "b"], 3]);
  });

  test("a failure in one directory fails the whole tree and stops the others", async () => {
    let stopped = 0;
    const model = scriptedModel(({ messages }, { signal }) => {
      const part = /content of one directory only: (\S+)/.exec(messages.at(-1)?.content ?? "")?.[1];
      if (part === undefined)
        return tree(
          [],
          [
            ["a", 1],
            ["b", 1],
          ],
        );
      if (part === "a") throw new LlmError("quota", "nothing left");
      return new Promise((_, reject) =>
        signal?.addEventListener("abort", () => {
          stopped += 1;
          reject(new LlmError("cancelled", "stopped"));
        }),
      );
    });
    expect((await failure(lay(model))).kind).toBe("quota");
    expect(stopped).toBe(1);
  });

  test("unfinished directories may be nested, up to a limit", async () => {
    const depth = (messages: readonly ChatMessage[]) => {
      const asked = messages.map(({ content }) => /content of one directory only: (\S+)/.exec(content)?.[1] ?? "");
      return asked.find((part) => part !== "") ?? "";
    };
    const stubborn = scriptedModel(({ messages }) => {
      const part = depth(messages);
      return tree([], [[part === "" ? "d" : `${part}/d`, 1]]);
    });
    expect((await failure(lay(stubborn))).message).toContain('"unfinished" has to be empty here');
    expect(stubborn.requests).toHaveLength(4 + 3);
    const sensible = scriptedModel(({ messages }) => {
      const part = depth(messages);
      const corrected = messages.at(-1)?.content.includes("has to be empty here") === true;
      return corrected ? tree([`${part}/x.txt`]) : tree([], [[part === "" ? "d" : `${part}/d`, 1]]);
    });
    expect((await lay(sensible)).entries.at(-1)?.path).toBe("/d/d/d/d/x.txt");
  });

  test("an unfinished directory may not be listed twice", async () => {
    const twice = tree(
      [],
      [
        ["d", 1],
        ["d", 2],
      ],
    );
    const model = scriptedModel(twice, tree(["d/x.txt"]));
    expect((await lay(model)).entries.map(({ path }) => path)).toEqual(["/", "/d", "/d/x.txt"]);
    expect(model.requests[1]?.messages.at(-1)?.content).toContain('"d" occurs more than once');
  });

  test("the tree is validated as a whole: symlinks of two rounds that form a cycle are rejected", async () => {
    const model = scriptedModel(({ messages }) => {
      const part = /content of one directory only: (\S+)/.exec(messages.at(-1)?.content ?? "")?.[1];
      if (part === undefined)
        return tree(
          [],
          [
            ["a", 1],
            ["b", 1],
          ],
        );
      const target = part === "a" ? "../b/x" : "../a/x";
      return JSON.stringify({ files: [], symlinks: [{ path: `${part}/x`, target }] });
    });
    expect((await failure(lay(model))).message).toContain("circle");
  });
});

describe("the uses of a layout", () => {
  const laid = (files: Readonly<Record<string, readonly string[]>>, unfinished: readonly string[] = []) =>
    JSON.stringify({
      files: Object.entries(files).map(([path, uses]) => ({ path, description: "d", uses })),
      unfinished: unfinished.map((path) => ({ path, brief: `all about ${path}`, files: 2 })),
    });
  const usesOf = ({ entries }: Structure) =>
    Object.fromEntries(entries.flatMap((entry) => ("uses" in entry ? [[entry.path, entry.uses]] : [])));

  test("a cycle of uses is sent back with the whole cycle, and the corrected layout is used", async () => {
    const model = scriptedModel(laid({ a: ["b"], b: ["a"] }), laid({ a: ["b"], b: [] }));
    const structure = await lay(model);
    expect(model.requests[1]?.messages.at(-1)?.content).toContain('"a" → "b" → "a"');
    expect([usesOf(structure), structure.leftOut]).toEqual([{ "/a": ["/b"] }, []]);
  });

  test("if a model repeats a cycle and unknown files, the tree is laid out without these uses", async () => {
    const model = scriptedModel(laid({ a: ["b", "../x"], b: ["a"], c: ["a"] }));
    const structure = await lay(model);
    expect(model.requests).toHaveLength(3);
    expect(usesOf(structure)).toEqual({ "/b": ["/a"], "/c": ["/a"] });
    expect(structure.leftOut).toEqual([
      '"a" does not use "b", because that would be a circle',
      '"a" uses "../x", which is not in the tree',
    ]);
  });

  test("parts of a tree use files of each other, in any order of answers, and no circle between them remains", async () => {
    const answers: Readonly<Record<string, string>> = {
      all: laid({ "main.c": ["lib/a.h", "docs/no.md"] }, ["lib", "docs"]),
      lib: laid({ "a.h": ["docs/format.md", "docs/missing.md"], "a.c": ["a.h"] }),
      docs: laid({ "docs/format.md": ["lib/a.h"] }),
    };
    const part = (request: ChatRequest) => /only: (\S+)/.exec(request.messages.at(-1)?.content ?? "")?.[1] ?? "all";
    const slow = (name: string) =>
      scriptedModel(async (request) => {
        if (part(request) === name) await Bun.sleep(20);
        return answers[part(request)] ?? "";
      });
    for (const structure of [await lay(slow("lib")), await lay(slow("docs"))]) {
      expect(structure.requests).toBe(3);
      expect(usesOf(structure)).toEqual({
        "/docs/format.md": ["/lib/a.h"],
        "/lib/a.c": ["/lib/a.h"],
        "/main.c": ["/lib/a.h"],
      });
      expect(structure.leftOut).toEqual([
        '"lib/a.h" does not use "docs/format.md", because that would be a circle',
        '"lib/a.h" uses "docs/missing.md", which is not in the tree',
        '"main.c" uses "docs/no.md", which is not in the tree',
      ]);
    }
  });

  test("the request for a part of a tree describes the other parts", async () => {
    const model = scriptedModel(({ messages }) => {
      const part = /Every path begins with "(\w+)/.exec(messages.at(-1)?.content ?? "")?.[1];
      return part === undefined ? laid({ a: [] }, ["lib", "docs"]) : laid({ [`${part}/x`]: [] });
    });
    await lay(model);
    const [, ...parts] = model.requests.map(({ messages }) => messages.at(-1)?.content);
    expect(parts).toHaveLength(2);
    for (const asked of parts) expect(asked).toContain("all about docs");
  });

  test("a file that is kept out of requests is not used", async () => {
    const structure = await lay(
      scriptedModel(laid({ "node_modules/x.js": [], "a.js": ["node_modules/x.js", "b.js"], "b.js": [] })),
    );
    expect(usesOf(structure)).toEqual({ "/a.js": ["/b.js"] });
    expect(structure.requests).toBe(1);
  });

  test("a layout of independent files mentions uses neither in its instructions nor in its schema", async () => {
    const model = scriptedModel(tree(["a"]));
    await lay(model, { uses: false });
    expect(JSON.stringify(model.requests)).not.toMatch(/"uses\\?"/);
    await lay(model);
    expect(JSON.stringify(model.requests[1]).match(/"uses\\?"/g)?.length).toBeGreaterThan(3);
  });
});

test("files for an existing tree use its files, and replace none of them", async () => {
  const base: BaseTree = {
    entries: [
      { path: "/src", type: "directory" },
      { path: "/src/a.py", type: "file", state: "static" },
    ],
    message: (prompt) => `Add files: ${prompt}`,
    roundMessage: async (prompt, outline, { path }) => `Add files below ${path}: ${prompt}\n${outline}`,
    outlineTokens: 1000,
  };
  const answer = JSON.stringify({
    files: [
      { path: "src/a.py", description: "mine", uses: [] },
      { path: "test/test_a.py", description: "tests it", uses: ["src/a.py"] },
    ],
  });
  const model = scriptedModel(answer);
  const structure = await lay(model, { base });
  expect(model.requests[0]?.messages.at(-1)?.content).toBe("Add files: a tide table");
  expect(structure.entries).toEqual([
    { type: "directory", path: "/test" },
    { type: "file", path: "/test/test_a.py", description: "tests it", uses: ["/src/a.py"] },
  ]);
  expect(structure.clashes).toEqual(["/src/a.py"]);
});

test("the preview of a layout is its first request", async () => {
  const model = scriptedModel(tree(["a"]));
  const options = { modelName: "m", maxTokens: 9, temperature: 0.5, uses: false, filesPerAnswer: 40 };
  await lay(model, options);
  expect([await previewStructure({ ...options, prompt: "a tide table" })]).toEqual(model.requests);
});

describe("a budget for the structure", () => {
  const names = Array.from({ length: 8 }, (_, index) => `d${index}`);
  const rounds = ({ messages }: ChatRequest): string => {
    const within = /Every path begins with "([^"]+)\/"/.exec(messages.at(-1)?.content ?? "")?.[1];
    return within === undefined
      ? tree(
          ["a"],
          names.map((name) => [name, 1]),
        )
      : tree([`${within}/b`]);
  };
  const limited = (model: LanguageModel, limits: BudgetLimits) =>
    createBudget({ limits, priceOf: () => undefined }).limit(model);

  test("three calls are three requests, although eight directories are requested at once", async () => {
    const model = scriptedModel(rounds);
    const error = await failure(lay(limited(model, { calls: 3 }), { concurrency: 8 }));
    expect(error.kind).toBe("quota");
    expect(error.message).toContain("--max-calls 3 is used up: 3 calls were made");
    expect(model.requests).toHaveLength(3);
  });

  test("a budget that is just enough completes the tree", async () => {
    const model = scriptedModel(rounds);
    const { entries } = await lay(limited(model, { calls: 9 }), { concurrency: 8 });
    expect(entries.filter(({ type }) => type === "file")).toHaveLength(9);
  });
});
