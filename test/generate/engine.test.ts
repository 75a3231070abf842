import { describe, expect, test } from "bun:test";
import { FsError } from "../../src/errno.ts";
import { createEngine, type EngineOptions } from "../../src/generate/engine.ts";
import { compileRules, Rules } from "../../src/generators/config/rules.ts";
import type { ContentGenerator } from "../../src/generators/contract.ts";
import { LlmError, type LlmErrorKind } from "../../src/llm/llm.ts";
import { createOpenaiModel } from "../../src/llm/openai.ts";
import type { GeneratedContent } from "../../src/rpc/generation.ts";
import { openaiServer } from "../support/openai-server.ts";
import { opened, scriptedModel } from "../support/scripted-model.ts";
import { type PlainPort, type PlainTree, treePort } from "../support/tree-port.ts";

const never = new AbortController().signal;
const PLAIN: PlainTree = { "/a.txt": { pending: "the first" }, "/b.txt": { pending: "the second" } };

/** An engine with one generator, named "mine". */
function engineWith(
  generate: ContentGenerator["generate"],
  { concurrency = 4, deadlineMs, ...more }: Partial<EngineOptions> = {},
  tree = treePort(PLAIN),
) {
  const generators = new Map([["mine", { generate }]]);
  const others = { concurrency, ...(deadlineMs !== undefined && { deadlineMs }) };
  return { tree, engine: createEngine({ openModel: opened(scriptedModel()), tree, generators, others, ...more }) };
}

async function generated(
  generate: ContentGenerator["generate"],
  more?: Partial<EngineOptions>,
): Promise<GeneratedContent> {
  const { engine, tree } = engineWith(generate, more);
  return engine.generate(tree.request("/a.txt", { generator: "mine" }), never);
}

async function failure(promise: Promise<unknown>): Promise<FsError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof FsError) return error;
  throw new Error(`not an FsError: ${String(error)}`);
}

/** Metadata that every content gets. */
const OURS = ["generator", "at", "ms"];

const text = (content: GeneratedContent) => new TextDecoder().decode(content.bytes);

describe("the input of a generator", () => {
  test("a generator's input does not depend on which files were generated before, or on their content", async () => {
    const shown = async (state: "pending" | "generating" | "ready" | "failed", xattrs: Record<string, string>) => {
      const tree = treePort({
        "/d/written.txt": "by hand",
        "/d/a.txt": { pending: "the first", state, xattrs },
        "/d/b.txt": { pending: "the second", state },
      });
      // A generated file has a size.
      const sized = async <T extends { state?: string }>(entries: Promise<readonly T[]>) =>
        (await entries).map((entry) => (entry.state === "ready" ? { ...entry, size: 7 } : entry));
      const port = {
        ...tree,
        outline: () => sized(tree.outline()),
        list: (path: string, requester?: number) => sized(tree.list(path, requester)),
      };
      const look: ContentGenerator["generate"] = async (_, { file, outline, list }) => ({
        content: JSON.stringify([file, [...file.xattrs], await outline(), await list("/d")]),
      });
      const { engine } = engineWith(look, {}, { ...port, calls: tree.calls, request: tree.request });
      return text(await engine.generate(tree.request("/d/a.txt", { generator: "mine" }), never));
    };
    const first = await shown("pending", { "user.llmfs.depends": "b.txt" });
    expect(first).toContain('"state":"static"');
    for (const state of ["generating", "ready", "failed"] as const) {
      expect(await shown(state, { "user.llmfs.depends": "b.txt", "user.llmfs.meta.ms": "12" })).toBe(first);
    }
  });
});

describe("what a generator returns is turned into bytes", () => {
  test("a string becomes UTF-8, without an added newline", async () => {
    expect(text(await generated(() => ({ content: "é" })))).toBe("é");
    expect(text(await generated(() => ({ content: "" })))).toBe("");
  });

  test("bytes are kept, and are copied", async () => {
    const own = Uint8Array.of(0, 255, 10);
    const { bytes } = await generated(() => ({ content: own }));
    expect([...bytes]).toEqual([0, 255, 10]);
    own[0] = 1;
    expect(bytes[0]).toBe(0);
  });

  test("a value becomes indented JSON with a final newline", async () => {
    expect(text(await generated(() => ({ content: { a: [1, null] } })))).toBe(
      '{\n  "a": [\n    1,\n    null\n  ]\n}\n',
    );
    expect(text(await generated(() => ({ content: 3 })))).toBe("3\n");
  });

  test("a value that JSON would change silently is an error", async () => {
    for (const content of [Number.NaN, new Uint16Array([1, 2])]) {
      const error = await failure(generated(() => ({ content }) as never));
      expect([error.code, error.message]).toEqual(["EIO", expect.stringContaining("bytes (a Uint8Array)")]);
    }
  });

  test("an async iterable may mix strings and bytes", async () => {
    async function* pieces() {
      yield "a";
      yield Uint8Array.of(0x62);
    }
    expect(text(await generated(() => ({ content: pieces() })))).toBe("ab");
  });

  test("metadata is stored as text", async () => {
    const { metadata } = await generated(() => ({ content: "", metadata: { rows: 3, fresh: true, __proto__x: "y" } }));
    expect([...metadata].filter(([name]) => !OURS.includes(name))).toEqual([
      ["rows", "3"],
      ["fresh", "true"],
      ["__proto__x", "y"],
    ]);
  });

  test("metadata too large for an extended attribute is omitted and reported", async () => {
    const log: string[] = [];
    const { metadata } = await generated(() => ({ content: "", metadata: { ["k".repeat(300)]: 1, ok: 1 } }), {
      log: (level, line) => log.push(`${level} ${line}`),
    });
    expect([...metadata.keys()].filter((name) => !OURS.includes(name))).toEqual(["ok"]);
    expect(log).toHaveLength(1);
  });
});

describe("a generator's mistake is EIO with a message:", () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  async function* badPieces() {
    yield 42;
  }
  // biome-ignore lint/suspicious/noExplicitAny: what a user's module written without types may return
  const cases: [string, any, RegExp][] = [
    ["nothing", undefined, /returned an object without "content"/],
    ["no content", {}, /returned an object without "content"/],
    ["undefined content", { content: undefined }, /returned nothing/],
    ["a function", { content: () => 1 }, /returned a function/],
    ["a cyclic value", { content: circular }, /JSON cannot represent/],
    ["a bigint", { content: 1n }, /JSON cannot represent/],
    ["a stream of numbers", { content: badPieces() }, /streamed a number/],
  ];
  for (const [what, result, message] of cases) {
    test(what, async () => {
      const error = await failure(generated(() => result));
      expect(error.code).toBe("EIO");
      expect(error.message).toMatch(message);
      expect(error.message).toContain('/a.txt: generator "mine"');
    });
  }

  test("a generator may throw an error of its own", async () => {
    const error = await failure(generated(() => Promise.reject(new Error("no such table: tides"))));
    expect(error.code).toBe("EIO");
    expect(error.message).toBe('/a.txt: generator "mine" failed: no such table: tides');
  });
});

test("a generator chooses the errno, even with its own FsError class", async () => {
  const ours = await failure(generated(() => Promise.reject(new FsError("ENXIO", "tide is out"))));
  expect([ours.code, ours.message]).toEqual(["ENXIO", "tide is out"]);
  const theirs = Object.assign(new Error("gone"), { name: "FsError", code: "ESTALE" });
  expect((await failure(generated(() => Promise.reject(theirs)))).code).toBe("ESTALE");
  // ENOENT from another file would tell the reader that this file does not exist.
  const stray = Object.assign(new Error("no config"), { code: "ENOENT" });
  expect((await failure(generated(() => Promise.reject(stray)))).code).toBe("EIO");
});

test("content over the size limit is EFBIG, and a stream is stopped at the limit", async () => {
  expect((await failure(generated(() => ({ content: "12345" }), { maxContentBytes: 4 }))).code).toBe("EFBIG");
  let stopped = false;
  async function* endless() {
    try {
      for (;;) yield "12345";
    } finally {
      stopped = true;
    }
  }
  const error = await failure(generated(() => ({ content: endless() }), { maxContentBytes: 100 }));
  expect([error.code, stopped]).toEqual(["EFBIG", true]);
});

describe("a streamed content", () => {
  const PIECE = "x".repeat(100_000);

  /** What a generation wrote to its sink, and how it ended. */
  async function streamed(
    count: number,
    write?: (length: number) => Promise<void>,
    more: Partial<EngineOptions> = {},
  ): Promise<{ sizes: number[]; made: number; finished: boolean; outcome: GeneratedContent | FsError }> {
    let made = 0;
    let finished = false;
    async function* pieces() {
      try {
        for (; made < count; made++) yield PIECE;
      } finally {
        finished = true;
      }
    }
    const sizes: number[] = [];
    const sink = {
      async write(bytes: Uint8Array) {
        sizes.push(bytes.length);
        await write?.(bytes.length);
      },
      setStage() {},
    };
    const { engine, tree } = engineWith(() => ({ content: pieces() }), more);
    const outcome = await engine
      .generate(tree.request("/a.txt", { generator: "mine" }), never, sink)
      .catch((error: FsError) => error);
    return { sizes, made, finished, outcome };
  }

  test("a stream is passed on in pieces of some hundred kilobytes, and nothing is left for the end", async () => {
    const { sizes, outcome } = await streamed(50);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(50 * PIECE.length);
    expect(Math.max(...sizes)).toBeLessThan(500_000);
    expect(outcome).toMatchObject({ streamed: true, bytes: new Uint8Array(0) });
  });

  test("a short stream is passed on in one piece", async () => {
    const { sizes, outcome } = await streamed(2);
    expect(sizes).toEqual([]);
    expect(outcome).not.toHaveProperty("streamed");
    expect(outcome).toMatchObject({ bytes: Buffer.from(PIECE + PIECE) });
  });

  test("a stream is read no faster than its reader consumes it", async () => {
    const gate = Promise.withResolvers<void>();
    const running = streamed(50, () => gate.promise);
    let ended = false;
    void running.then(() => {
      ended = true;
    });
    for (let turn = 0; turn < 1000; turn++) await Promise.resolve();
    expect(ended).toBe(false);
    gate.resolve();
    expect((await running).made).toBe(50);
  });

  test("a stream stops when its reader refuses more, or at the size limit", async () => {
    const full = await streamed(1000, () => Promise.reject(new FsError("ENOSPC", "no room")));
    expect(full.outcome).toMatchObject({ code: "ENOSPC" });
    expect([full.finished, full.made < 10]).toEqual([true, true]);
    const large = await streamed(1000, undefined, { maxContentBytes: 1_000_000 });
    expect(large.outcome).toMatchObject({ code: "EFBIG", message: expect.stringContaining('"maxBytes"') });
    expect([large.finished, large.made]).toEqual([true, 10]);
  });
});

test("an unknown generator is reported with a list of the known ones", async () => {
  const { engine, tree } = engineWith(() => ({ content: "" }));
  const error = await failure(engine.generate(tree.request("/a.txt", { generator: "mien" }), never));
  expect(error.code).toBe("EIO");
  expect(error.message).toContain('"mien"');
  expect(error.message).toContain("llm, mine, static");
});

test("the tree is asked only for what the generator requests", async () => {
  const tree = treePort(PLAIN);
  const { engine } = engineWith(() => ({ content: "" }), {}, tree);
  await engine.generate(tree.request("/a.txt", { generator: "mine" }), never);
  expect(tree.calls).toEqual([]);
});

test("every model failure has its errno and keeps its message", async () => {
  const errno: Record<LlmErrorKind, string> = {
    unconfigured: "EIO",
    "refused-key": "EACCES",
    "no-connection": "EHOSTUNREACH",
    timeout: "ETIMEDOUT",
    "rate-limited": "EBUSY",
    recordings: "EIO",
    quota: "EDQUOT",
    server: "EIO",
    "bad-request": "EIO",
    refusal: "EIO",
    truncated: "EIO",
    unusable: "EIO",
    empty: "EIO",
    cancelled: "EINTR",
    unrecorded: "EIO",
  };
  for (const [kind, code] of Object.entries(errno) as [LlmErrorKind, string][]) {
    const tree = treePort(PLAIN);
    const engine = createEngine({ openModel: opened(scriptedModel(new LlmError(kind, `it is ${kind}`))), tree });
    const error = await failure(engine.generate(tree.request("/a.txt"), never));
    expect<[string, string]>([error.code, error.message]).toEqual([code, `it is ${kind}`]);
  }
});

describe("the concurrency limit", () => {
  test("the concurrency limit is never exceeded, and all files are generated in the end", async () => {
    let now = 0;
    let most = 0;
    const { engine, tree } = engineWith(
      async () => {
        now += 1;
        most = Math.max(most, now);
        await Bun.sleep(1);
        now -= 1;
        return { content: "x" };
      },
      { concurrency: 3 },
    );
    const one = () => engine.generate(tree.request("/a.txt", { generator: "mine" }), never);
    await Promise.all(Array.from({ length: 20 }, one));
    expect(most).toBe(3);
  });

  test("a chain of files that read each other does not deadlock", async () => {
    const length = 8;
    const plain = Object.fromEntries(Array.from({ length }, (_, i) => [`/${i}`, { pending: "" }]));
    const tree: PlainPort = treePort(plain, async (path) => (await engine.generate(request(path), never)).bytes);
    const request = (path: string) => tree.request(path, { generator: "mine" });
    const { engine } = engineWith(
      async (path, context) => {
        const next = Number(path.slice(1)) + 1;
        if (next === length) return { content: "end" };
        const [same, other] = await Promise.all([context.read(`/${next}`), context.read(`/${next}`)]);
        expect(same).toEqual(other);
        return { content: `${path} ${new TextDecoder().decode(same)}` };
      },
      { concurrency: 1 },
      tree,
    );
    expect(text(await engine.generate(request("/0"), never))).toBe("/0 /1 /2 /3 /4 /5 /6 end");
  });

  test("a generation counts toward the limit again once it has read the file that it waited for", async () => {
    const running = new Set<string>();
    let most = 0;
    const tree: PlainPort = treePort(PLAIN, async () => Uint8Array.of());
    const { engine } = engineWith(
      async (path, context) => {
        await context.read("/b.txt");
        running.add(path + Math.random());
        most = Math.max(most, running.size);
        await Bun.sleep(1);
        running.clear();
        return { content: "" };
      },
      { concurrency: 1 },
      tree,
    );
    const one = () => engine.generate(tree.request("/a.txt", { generator: "mine" }), never);
    await Promise.all([one(), one(), one()]);
    expect(most).toBe(1);
  });
});

describe("cancellation and timeouts", () => {
  test("cancelling fails with EINTR at once, even if the generator ignores the signal, and frees its slot", async () => {
    const { engine, tree } = engineWith((path) => (path === "/a.txt" ? new Promise(() => {}) : { content: "b" }), {
      concurrency: 1,
    });
    const abort = new AbortController();
    const hanging = failure(engine.generate(tree.request("/a.txt", { generator: "mine" }), abort.signal));
    const waiting = engine.generate(tree.request("/b.txt", { generator: "mine" }), never);
    abort.abort();
    expect((await hanging).code).toBe("EINTR");
    expect(text(await waiting)).toBe("b");
  });

  test("a generation cancelled in the queue does not take a slot later", async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const ran: string[] = [];
    const { engine, tree } = engineWith(
      async (path) => {
        ran.push(path);
        await gate;
        return { content: "" };
      },
      { concurrency: 1 },
    );
    const first = engine.generate(tree.request("/a.txt", { generator: "mine" }), never);
    const abort = new AbortController();
    const second = failure(engine.generate(tree.request("/b.txt", { generator: "mine" }), abort.signal));
    abort.abort();
    expect((await second).code).toBe("EINTR");
    open();
    await first;
    expect(ran).toEqual(["/a.txt"]);
  });

  test("cancelling aborts the request to the model's server", async () => {
    await using server = await openaiServer([{ stream: "some", after: "hang" }]);
    const tree = treePort(PLAIN);
    const engine = createEngine({ openModel: opened(createOpenaiModel({ baseUrl: server.baseUrl })), tree });
    const abort = new AbortController();
    const pending = failure(engine.generate(tree.request("/a.txt"), abort.signal));
    const request = await server.request(0);
    abort.abort();
    expect((await pending).code).toBe("EINTR");
    await request.disconnected;
  });

  test("a file that failed before and is waiting to be retried can be cancelled without running its generator", async () => {
    const ran: string[] = [];
    const { engine, tree } = engineWith((path) => {
      ran.push(path);
      return { content: "" };
    });
    const abort = new AbortController();
    const request = tree.request("/a.txt", { generator: "mine", pause: 60_000 });
    const pending = failure(engine.generate(request, abort.signal));
    abort.abort();
    expect((await pending).code).toBe("EINTR");
    expect(ran).toEqual([]);
    await engine.generate({ ...request, pause: 1 }, never);
    expect(ran).toEqual(["/a.txt"]);
  });

  test("after the deadline the read fails with ETIMEDOUT, and the generator's signal is aborted", async () => {
    let fired = false;
    const { engine, tree } = engineWith(
      (_path, { signal }) => {
        signal.addEventListener("abort", () => {
          fired = true;
        });
        return new Promise(() => {});
      },
      { deadlineMs: 20 },
    );
    const error = await failure(engine.generate(tree.request("/a.txt", { generator: "mine" }), never));
    expect([error.code, fired]).toEqual(["ETIMEDOUT", true]);
    expect(error.message).toContain("0.02 s");
  });
});

test("disposing the engine disposes every generator, even after one of them throws", async () => {
  const disposed: string[] = [];
  const bad = { generate: () => ({ content: "" }), dispose: () => Promise.reject(new Error("stuck")) };
  const good = { generate: () => ({ content: "" }), dispose: () => void disposed.push("good") };
  const generators = new Map<string, ContentGenerator>([
    ["bad", bad],
    ["good", good],
  ]);
  await createEngine({ openModel: opened(scriptedModel()), tree: treePort({}), generators })[Symbol.asyncDispose]();
  expect(disposed).toEqual(["good"]);
});

describe("a long listing", () => {
  const list = (names: () => AsyncIterable<string>, signal = never) => {
    const generators = new Map([["mine", { generate: () => ({ content: "" }), list: names }]]);
    const parts = { named: new Map(), known: ["mine"], environment: {}, lists: () => true };
    const rules = new Rules(compileRules([{ match: "d/{name}.txt", generator: "mine" }], parts));
    const engine = createEngine({ openModel: opened(scriptedModel()), tree: treePort(PLAIN), generators, rules });
    return engine.list({ ticket: 1, ino: 2, path: "/d", generator: "mine", pause: 0 }, signal);
  };

  test("lets everything else run", async () => {
    let ends = false;
    setTimeout(() => (ends = true), 0);
    const { entries } = await list(async function* () {
      while (!ends) yield "a.txt";
    });
    expect(entries.map(({ path }) => path)).toEqual(["a.txt"]);
  });

  test("ends when nobody waits for it", async () => {
    const reader = new AbortController();
    setTimeout(() => reader.abort(new FsError("EINTR", "nobody waits")), 0);
    const ended = Promise.withResolvers<void>();
    const error = await failure(
      list(async function* () {
        try {
          for (;;) yield "a.txt";
        } finally {
          ended.resolve();
        }
      }, reader.signal),
    );
    expect(error.code).toBe("EINTR");
    await ended.promise;
  });

  test("fails after a million names, even if none of them can be used", async () => {
    for (const name of ["a.txt", "b.md"]) {
      const error = await failure(
        list(async function* () {
          for (;;) yield name;
        }),
      );
      expect([error.code, error.message]).toEqual(["EIO", expect.stringContaining("more than 1000000 entries")]);
    }
  });
});

test("a generator that waits for a directory listing gives up its slot to the lister", async () => {
  const tree = treePort(PLAIN);
  const listed = Promise.withResolvers<void>();
  const port: PlainPort = {
    ...tree,
    async list() {
      await listed.promise;
      return [];
    },
  };
  const { engine } = engineWith(
    async (path, { list }) => {
      if (path === "/b.txt") listed.resolve();
      else await list("/");
      return { content: path };
    },
    { concurrency: 1 },
    port,
  );
  const both = ["/a.txt", "/b.txt"].map((path) => engine.generate(tree.request(path, { generator: "mine" }), never));
  expect((await Promise.all(both)).map(text)).toEqual(["/a.txt", "/b.txt"]);
});

test("a rule's options are passed to the generator", async () => {
  const tree = treePort(PLAIN);
  const parts = { named: new Map(), known: ["static"], environment: {} };
  const rules = new Rules(
    compileRules([{ match: "*.txt", generator: "static", options: { content: { version: 2 } } }], parts),
  );
  const engine = createEngine({ openModel: opened(scriptedModel()), tree, rules });
  expect(text(await engine.generate(tree.request("/a.txt", { generator: "static" }), never))).toBe(
    '{\n  "version": 2\n}\n',
  );
});
