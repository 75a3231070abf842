import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { EXIT } from "../../src/cli/output/exit-codes.ts";
import { openaiServer } from "../support/openai-server.ts";
import { finished, Sandbox } from "../support/program.ts";

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

const TREE = JSON.stringify({
  directories: [],
  files: [
    { path: "README.md", description: "what it is about" },
    { path: "src/main.c", description: "the program" },
  ],
  symlinks: [{ path: "LATEST", target: "src/main.c" }],
  unfinished: [],
});

const asking = (baseUrl: string) => ({ OPENAI_BASE_URL: baseUrl, OPENAI_API_KEY: "sk-very-secret", LLMFS_MODEL: "m" });

test("progress is reported for a tree that takes many requests, even without a terminal", async () => {
  const parts = Array.from({ length: 20 }, (_, index) => ({ path: `d${index}`, brief: "one file", files: 1 }));
  await using server = await openaiServer([
    ({ body }) => {
      const part = /content of one directory only: (\S+)/.exec(body.messages.at(-1).content)?.[1];
      const files = part === undefined ? [] : [{ path: `${part}/x.txt`, description: "x" }];
      const unfinished = part === undefined ? parts : [];
      return { whole: JSON.stringify({ directories: [], files, symlinks: [], unfinished }) };
    },
  ]);
  const { status, stderr } = await sandbox.llmfs(["generate", "--prompt", "many", "--concurrency", "1"], {
    env: asking(server.baseUrl),
  });
  expect(status).toBe(0);
  const told = stderr.split("\n").filter((line) => line.includes(" of 21 requests"));
  expect(told).toHaveLength(9);
  expect(told[0]).toBe("2 files · 3 of 21 requests");
});

test("generate says that it replaced a file", async () => {
  await using server = await openaiServer([{ stream: TREE }]);
  const run = () =>
    sandbox.llmfs(["generate", "--prompt", "a small program", "-o", "t.json"], {
      cwd: sandbox.path,
      env: asking(server.baseUrl),
    });
  expect((await run()).stderr).not.toContain("replaced");
  expect((await run()).stderr).toEndWith("replaced t.json\n");
});

test("generate prints the tree as a snapshot: every file pending, with its description", async () => {
  await using server = await openaiServer([{ stream: TREE }]);
  const { status, stdout, stderr } = await sandbox.llmfs(["generate", "--prompt", "a small program"], {
    env: asking(server.baseUrl),
  });
  expect([status, stderr]).toEqual([0, "looking for a model …\nlaying out the tree (m) …\n"]);
  const { llmfs, entries } = JSON.parse(stdout);
  expect(llmfs).toBe(1);
  const found = new Map<string, { state?: string; type: string; xattrs?: Record<string, unknown> }>();
  for (const entry of entries) found.set(entry.path, entry);
  expect([...found.keys()]).toEqual(["/", "/LATEST", "/README.md", "/src", "/src/main.c"]);
  expect(found.get("/src/main.c")?.state).toBe("pending");
  expect(JSON.stringify(found.get("/src/main.c"))).toContain("the program");
  expect(JSON.stringify(found.get("/"))).toContain("a small program");
  expect(stdout + sandbox.log()).not.toContain("sk-very-secret");
});

test("a model that was chosen automatically is named with how to choose another; one that was set is not", async () => {
  await using server = await openaiServer([{ stream: TREE }], ["nomic-embed-text", "llama3", "qwen3"]);
  const args = ["generate", "--prompt", "a small program", "--mode", "off"];
  const env = { OPENAI_BASE_URL: server.baseUrl };
  const { status, stderr } = await sandbox.llmfs(args, { env });
  expect([status, stderr]).toEqual([
    0,
    "looking for a model …\n" +
      `no model was given; using llama3 at 127.0.0.1:${server.port} (the environment). ` +
      "Choose another with --model or LLMFS_MODEL: qwen3\n" +
      "laying out the tree (llama3) …\n",
  ]);
  expect(server.received(0).body.model).toBe("llama3");
  expect((await sandbox.llmfs([...args, "--model", "qwen3"], { env })).stderr).not.toContain("Choose another");
});

test("the default model is the recorded one, if the server still offers it", async () => {
  await using server = await openaiServer([{ stream: TREE }], ["llama3", "qwen3"]);
  const args = ["generate", "--prompt", "a small program", "--recordings", "rec"];
  const env = { OPENAI_BASE_URL: server.baseUrl };
  await sandbox.llmfs([...args, "--model", "qwen3"], { env });
  const { status, stderr } = await sandbox.llmfs(args, { env });
  expect([status, server.requests.length]).toEqual([0, 1]);
  expect(stderr).toContain("using qwen3 at");
});

test("if no model can chat, no request is sent, and the exit status is that of a model error", async () => {
  await using server = await openaiServer([{ stream: TREE }], ["dall-e-3", "embedding-001"]);
  const { status, stderr } = await sandbox.llmfs(["generate", "--prompt", "a small program"], {
    env: { OPENAI_BASE_URL: server.baseUrl },
  });
  expect([status, stderr]).toEqual([86, expect.stringContaining("dall-e-3 (images), embedding-001 (embeddings)")]);
  expect(server.requests).toEqual([]);
});

test("headers from the environment are sent; malformed ones are an error that repeats no value", async () => {
  await using server = await openaiServer([{ stream: TREE }]);
  const generate = (headers: string) =>
    sandbox.llmfs(["generate", "--prompt", "a small program", "--mode", "off"], {
      env: { ...asking(server.baseUrl), OPENAI_CUSTOM_HEADERS: headers },
    });
  expect((await generate("X-Team: tides\r\n\nX-Empty:\n")).status).toBe(0);
  expect(server.received(0).headers).toMatchObject({ "x-team": "tides", "x-empty": "" });
  for (const [headers, line] of [
    ["secret-value", "line 1 has no colon"],
    ["X-Team: tides\nBad Name: secret-value", "line 2 does not start with a header name"],
    [": secret-value", "line 1 does not start with a header name"],
    ["X-Team: secret-value\u2603", "line 1 has a character that is not allowed in headers"],
    ["X-Team: secret-value\u0001", "line 1 has a character that is not allowed in headers"],
  ] as const) {
    const { status, stderr } = await generate(headers);
    expect([status, stderr]).toEqual([2, expect.stringContaining(`llmfs: OPENAI_CUSTOM_HEADERS: ${line}`)]);
    expect(stderr).not.toContain("secret-value");
  }
  expect(server.requests).toHaveLength(1);
});

test("the output of generate can be mounted, and its files are generated when they are read", async () => {
  await using server = await openaiServer([{ stream: TREE }, { stream: "int main(void) { return 0; }\n" }]);
  const env = asking(server.baseUrl);
  const flags = ["--prompt", "a small program", "--content-prompt", "in old-fashioned style", "-o", "tree.json"];
  expect((await sandbox.llmfs(["generate", ...flags], { env })).stdout).toBe("");
  const { stdout } = await sandbox.llmfs(["run", "--from", "tree.json", "--", "cat", "src/main.c"], { env });
  expect(stdout).toBe("int main(void) { return 0; }\n");
  const sent = JSON.stringify(server.received(1).body);
  expect(sent).toContain("a small program");
  expect(sent).toContain("in old-fashioned style");
});

test("the answer is recorded: the same command sends no request", async () => {
  await using server = await openaiServer([{ stream: TREE }]);
  const args = ["generate", "--prompt", "a small program", "--recordings", "rec"];
  const first = await sandbox.llmfs(args, { env: asking(server.baseUrl) });
  const again = await sandbox.llmfs([...args, "--mode", "replay"], { env: { LLMFS_MODEL: "m" } });
  expect([again.status, again.stdout]).toEqual([0, first.stdout]);
  expect(server.requests).toHaveLength(1);
});

test("the prompt may come from a file, from standard input, or from the environment", async () => {
  await using server = await openaiServer([{ stream: TREE }]);
  await Bun.write(sandbox.at("idea.md"), "from a file");
  const env = { ...asking(server.baseUrl), LLMFS_MODE: "off" };
  await sandbox.llmfs(["generate", "-F", "idea.md"], { env });
  await sandbox.llmfs(["generate", "--prompt", "-"], { env, stdin: "from standard input" });
  await sandbox.llmfs(["generate"], { env: { ...env, LLMFS_PROMPT: "from the environment" } });
  const sent = server.requests.map(({ body }) => JSON.stringify(body));
  expect(sent[0]).toContain("from a file");
  expect(sent[1]).toContain("from standard input");
  expect(sent[2]).toContain("from the environment");
});

describe("a failure has its own exit status and writes nothing:", () => {
  const generate = (env: Record<string, string>, ...more: string[]) =>
    sandbox.llmfs(["generate", "--prompt", "a small program", "-o", "tree.json", ...more], { env });

  test("a missing model has its own exit status and writes nothing", async () => {
    const { status, stderr } = await generate({});
    expect(status).toBe(86);
    expect(stderr).toContain("no language model is configured");
    expect(stderr).toContain("OPENAI_API_KEY");
  });

  test("a model's refusal has its own exit status and writes nothing", async () => {
    await using server = await openaiServer([{ whole: "", refusal: "I would rather not" }]);
    const { status } = await generate(asking(server.baseUrl));
    expect([status, existsSync(sandbox.at("tree.json"))]).toEqual([87, false]);
  });

  test("invalid answers, after all corrections, have their own exit status and write nothing", async () => {
    await using server = await openaiServer([{ stream: '{"files": "none"}' }]);
    const { status, stderr } = await generate(asking(server.baseUrl));
    expect([status, existsSync(sandbox.at("tree.json"))]).toEqual([87, false]);
    expect(stderr).toContain("did not return a usable tree");
  });

  test("an exhausted budget has its own exit status, before the model gets a request", async () => {
    await using server = await openaiServer([{ stream: TREE }]);
    const { status, stderr } = await generate(asking(server.baseUrl), "--max-calls", "0");
    expect([status, server.requests.length]).toEqual([86, 0]);
    expect(stderr).toContain("--max-calls");
  });

  test("a missing recording has its own exit status and writes nothing", async () => {
    const { status, stderr } = await generate({ LLMFS_MODEL: "m" }, "--mode", "replay", "--recordings", "rec");
    expect([status, existsSync(sandbox.at("tree.json"))]).toEqual([88, false]);
    expect(stderr).toContain("no recording");
  });

  test("an output path that cannot be written fails before the model gets a request", async () => {
    await using server = await openaiServer([{ stream: TREE }]);
    const { status } = await sandbox.llmfs(["generate", "--prompt", "a b", "-o", "no/such/tree.json"], {
      env: asking(server.baseUrl),
    });
    expect([status, server.requests.length]).toEqual([89, 0]);
  });

  test("an interrupt exits with status 130 and cancels the request", async () => {
    await using server = await openaiServer([{ hang: true }]);
    const child = sandbox.start(["generate", "--prompt", "a small program"], { env: asking(server.baseUrl) });
    const request = await server.request(0);
    child.kill("SIGINT");
    expect((await finished(child)).status).toBe(130);
    await request.disconnected;
  });
});

test("a full device is a failed save, not a crash", async () => {
  await using server = await openaiServer([{ stream: TREE }]);
  const child = Bun.spawn({
    cmd: [
      "/bin/sh",
      "-c",
      '"$@" > /dev/full',
      "sh",
      process.execPath,
      `${import.meta.dir}/../../src/main.ts`,
      "generate",
      "--prompt",
      "a b",
    ],
    env: sandbox.environment(asking(server.baseUrl)),
    stdio: ["ignore", "ignore", "pipe"],
  });
  expect(await new Response(child.stderr).text()).toContain("standard output: ENOSPC");
  expect(await child.exited).toBe(89);
});

describe("generate --show-request", () => {
  test("the shown request is the one that is sent, and showing it sends nothing to the model", async () => {
    await using server = await openaiServer([{ whole: '{"files":[{"path":"a","description":"b","uses":[]}]}' }]);
    const args = ["generate", "--prompt", "a \u001b[31mred\u001b[0m tree", "--layout-tokens", "900", "--base-url"];
    const flags = [server.baseUrl, "--model", "m", "--mode", "off"];
    const shown = await sandbox.llmfs([...args, ...flags, "--show-request"]);
    expect([shown.status, server.requests.length]).toEqual([0, 0]);
    const sent = await sandbox.llmfs([...args, ...flags]);
    expect(sent.status).toBe(0);
    expect(JSON.parse(shown.stdout)).toEqual(server.received(0).body);
    expect(JSON.stringify(server.received(0).body)).toContain("stack.py");
  });

  test("a request can be shown without a server, as for the default model", async () => {
    const shown = await sandbox.llmfs(["generate", "--prompt", "a tree", "--show-request", "--mode", "replay"]);
    expect(shown.status).toBe(0);
    expect(JSON.parse(shown.stdout).messages[1]).toEqual({ role: "user", content: "Lay out this tree:\n\na tree" });
  });
});

test("a layout that failed three times leaves its last answer where the message says", async () => {
  let answers = 0;
  await using server = await openaiServer([() => ({ whole: `I would rather not, for the ${++answers}th time.` })]);
  const { status, stderr } = await sandbox.llmfs([
    ...["generate", "--prompt", "a tree", "--base-url", server.baseUrl, "--model", "m"],
  ]);
  expect(status).toBe(EXIT.answer.code);
  const [, file = ""] = /The last answer is in (\/.*)\n/.exec(stderr) ?? [];
  expect(readFileSync(file, "utf8")).toBe("I would rather not, for the 3th time.");
});

describe("a local server with a short context", () => {
  const props = new Map([["/props", { default_generation_settings: { n_ctx: 4096 } }]]);
  const words = "Tides rise and fall twice a day, and a little later each day.\n".repeat(2000);
  const entries = [
    { path: "/", type: "directory" },
    { path: "/a.md", type: "file", state: "pending", xattrs: { "user.llmfs.description": "about notes.md" } },
    { path: "/notes.md", type: "file", text: words },
  ];

  test("a layout asks for fewer files an answer, and a replay without the server does the same", async () => {
    await using server = await openaiServer([{ stream: TREE }], ["m"], undefined, props);
    const args = ["generate", "--prompt", "a tree", "--recordings", "answers", "--model", "m"];
    const made = await sandbox.llmfs([...args, "--base-url", server.baseUrl]);
    expect(made.status).toBe(0);
    expect(made.stderr).toContain("the model's context has 4096 tokens, so a request for a file takes at most 2048");
    expect(server.received(0).body.messages[0].content).toContain("more than about 40 files");
    const replayed = await sandbox.llmfs([...args, "--mode", "replay"]);
    expect([replayed.status, replayed.stdout]).toEqual([0, made.stdout]);
    const gone = await sandbox.llmfs([...args, "--base-url", "http://127.0.0.1:9/v1"]);
    expect([gone.status, gone.stdout]).toEqual([0, made.stdout]);
  });

  test("a request for a file takes half of the context, unless --context-tokens says otherwise", async () => {
    await using server = await openaiServer([{ stream: "x\n" }], ["m"], undefined, props);
    writeFileSync(sandbox.at("tree.json"), JSON.stringify({ llmfs: 1, entries }));
    const args = ["run", "--from", "tree.json", "--recordings", "answers", "--model", "m"];
    const read = ["--", "cat", "a.md"];
    const length = () => JSON.stringify(server.requests.at(-1)?.body.messages).length;
    expect((await sandbox.llmfs([...args, "--base-url", server.baseUrl, ...read])).stdout).toBe("x\n");
    expect(length()).toBeLessThan(12_000);
    expect((await sandbox.llmfs([...args, "--mode", "replay", ...read])).stdout).toBe("x\n");
    const more = ["--context-tokens", "6000", "--base-url", server.baseUrl, ...read];
    expect((await sandbox.llmfs([...args, ...more])).stdout).toBe("x\n");
    expect(length()).toBeGreaterThan(12_000);
  });

  test("a server that cuts requests is reported once, with what to do", async () => {
    const usage = { prompt_tokens: 1024, completion_tokens: 7 };
    await using server = await openaiServer([{ stream: "x\n", usage }]);
    const two = [...entries, { ...entries[1], path: "/b.md" }];
    writeFileSync(sandbox.at("tree.json"), JSON.stringify({ llmfs: 1, entries: two }));
    const { stderr } = await sandbox.llmfs([
      ...["run", "--from", "tree.json", "--base-url", server.baseUrl, "--model", "m", "--", "cat", "a.md", "b.md"],
    ]);
    expect(server.requests).toHaveLength(2);
    expect(stderr.match(/counted 1024 of about \d+ tokens/g)).toHaveLength(1);
    expect(stderr).toContain("OLLAMA_CONTEXT_LENGTH=");
    expect(stderr).toContain("--context-tokens 512");
  });
});
