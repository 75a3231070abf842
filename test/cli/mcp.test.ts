/** llmfs mcp with the protocol's own client, in the compiled binary: on a mount, and on a snapshot without any mount. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { type CallToolResult, Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { contentOf, describeMounted, type Mounted, snapshotOf, unmounted } from "../support/mounted.ts";
import { BINARY, eventually } from "../support/program.ts";

setDefaultTimeout(60_000);

const FILES = ["a.md", "src/b.md", "src/c.md"];
const LOOKING = ["list", "read", "search", "plan", "why"];
const CHANGING = ["write", "edit", "regenerate", "grow"];

let place: Mounted;
let clients: Client[];

beforeEach(async () => {
  place = await unmounted();
  clients = [];
  writeFileSync(place.sandbox.at("tree.json"), snapshotOf(FILES));
});
afterEach(async () => {
  for (const client of clients) await client.close();
  await place[Symbol.asyncDispose]();
});

async function connect(...args: string[]): Promise<Client> {
  const client = new Client({ name: "test", version: "1" });
  const [command = ""] = BINARY;
  const env = place.sandbox.environment();
  await client.connect(
    new StdioClientTransport({ command, args: ["mcp", ...args], env, cwd: place.sandbox.path, stderr: "pipe" }),
  );
  clients.push(client);
  return client;
}

const call = async (client: Client, name: string, args: Record<string, unknown> = {}) =>
  // This client asks for nothing else.
  (await client.callTool({ name, arguments: args })) as CallToolResult;

function textOf({ content }: CallToolResult): string {
  return content.map((part) => (part.type === "text" ? part.text : part.type)).join("\n");
}

async function succeed(client: Client, name: string, args?: Record<string, unknown>): Promise<string> {
  const result = await call(client, name, args);
  expect([name, result.isError ?? false, textOf(result)]).toEqual([name, false, expect.anything()]);
  return textOf(result);
}

async function fail(client: Client, name: string, args?: Record<string, unknown>): Promise<string> {
  const result = await call(client, name, args);
  expect([name, result.isError, textOf(result)]).toEqual([name, true, expect.anything()]);
  return textOf(result);
}

const model = (): readonly string[] => [...place.modelArgs(), "--mode", "off"];
const paths = () =>
  place.server.requests.map(({ body }) => /Write the file (.*)/.exec(body.messages.at(-1).content)?.[1]);

/** What a client writes that reads these files. */
function conversation(files: readonly string[]): string {
  const clientInfo = { name: "test", version: "1" };
  const first = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo };
  const messages = [
    { id: 0, method: "initialize", params: first },
    { method: "notifications/initialized" },
    ...files.map((path, index) => ({
      ...{ id: index + 1, method: "tools/call" },
      params: { name: "read", arguments: { path } },
    })),
  ];
  return messages.map((message) => `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`).join("");
}

/** Without a name, the model is the one that the server has. */
async function expectModelInUse(client: Client): Promise<void> {
  await succeed(client, "read", { path: "a.md" });
  const used: string = place.server.received(0).body.model;
  expect(await succeed(client, "plan")).toContain(used);
  expect(await succeed(client, "why", { path: "src/b.md" })).toMatch(new RegExp(`^model +${used}$`, "m"));
}

const unnamed = (): readonly string[] => ["--base-url", place.server.baseUrl, "--mode", "off"];

/** What both kinds of tree do alike. `saved` reads a file where the changes are kept. */
function describeTools(open: (...flags: string[]) => Promise<Client>): void {
  test("the client sees the tools, which of them change files, and none of those with --read-only", async () => {
    const { tools } = await (await open()).listTools();
    expect(tools.map(({ name }) => name)).toEqual([...LOOKING, ...CHANGING]);
    const safe = tools.filter(({ annotations }) => annotations?.readOnlyHint === true).map(({ name }) => name);
    expect(safe).toEqual(LOOKING);
    const reader = await open("--read-only");
    expect((await reader.listTools()).tools.map(({ name }) => name)).toEqual(LOOKING);
    expect(await succeed(reader, "read", { path: "a.md" })).toBe(contentOf("a.md"));
  });

  test("list and plan show pending files and generate nothing", async () => {
    const client = await open();
    const all = await call(client, "list");
    expect(textOf(all)).toContain("/src/b.md (pending");
    expect(all.structuredContent).toMatchObject({
      left: 0,
      entries: [{ path: "/a.md", state: "pending" }, { path: "/src" }, { path: "/src/b.md" }, { path: "/src/c.md" }],
    });
    expect(await succeed(client, "list", { recursive: false })).not.toContain("b.md");
    expect(await succeed(client, "plan")).toStartWith("3 files are pending");
    expect(await fail(client, "list", { path: "nothing" })).toContain("ENOENT");
    expect(place.server.requests).toEqual([]);
  });

  test("read generates a pending file once, and gives the lines that are asked for", async () => {
    const client = await open();
    const [one, other] = await Promise.all([
      succeed(client, "read", { path: "src/b.md" }),
      succeed(client, "read", { path: "./src/../src/b.md" }),
    ]);
    expect([one, other]).toEqual([contentOf("src/b.md"), contentOf("src/b.md")]);
    expect(paths()).toEqual(["src/b.md"]);
    const second = await succeed(client, "read", { path: "/src/b.md", offset: 2, limit: 1 });
    expect(second).toBe("again: content of src/b.md\n[lines 2 to 2 of 2]");
    expect(await succeed(client, "why", { path: "src/b.md" })).toContain("/src/b.md: ready");
    for (const path of ["nothing", "../a.md", "src"]) await fail(client, "read", { path });
  });

  test("write, edit and search work on files and never generate what is written", async () => {
    const client = await open();
    await succeed(client, "write", { path: "a.md", content: "one\ntwo\none\n" });
    await succeed(client, "write", { path: "new/dir/d.txt", content: "three\n" });
    expect(await fail(client, "edit", { path: "a.md", old: "one", new: "1" })).toContain("occurs 2 times");
    expect(await fail(client, "edit", { path: "a.md", old: "four", new: "4" })).toContain("does not occur");
    await succeed(client, "edit", { path: "a.md", old: "one", new: "1$&", all: true });
    expect(await succeed(client, "read", { path: "a.md" })).toBe("1$&\ntwo\n1$&\n");
    expect(await succeed(client, "search", { pattern: "^T(wo|hree)$", ignoreCase: true })).toBe(
      "/a.md:2: two\n/new/dir/d.txt:1: three\nnot searched: 2 pending files",
    );
    expect(await succeed(client, "search", { pattern: "1$", literal: true, path: "new" })).toContain("no matches");
    expect(await fail(client, "search", { pattern: "(" })).toContain("the pattern is wrong");
    expect(place.server.requests).toEqual([]);
  });

  test("search answers in time for a pattern that backtracking engines never finish", async () => {
    const client = await open();
    await succeed(client, "write", { path: "a.md", content: `${"a".repeat(50_000)}!` });
    expect(await succeed(client, "search", { pattern: "^(a+)+$" })).toContain("no matches");
  });

  test("regenerate asks the model again, and leaves alone what somebody wrote", async () => {
    const client = await open();
    await succeed(client, "read", { path: "a.md" });
    place.answer = (_, { body }) => ({ stream: `again, ${body.messages.at(-1).content.includes("in verse")}` });
    await succeed(client, "regenerate", { path: "a.md", prompt: "Write it in verse." });
    expect(await succeed(client, "read", { path: "a.md" })).toBe("again, true\n");
    await succeed(client, "write", { path: "src/b.md", content: "mine" });
    await fail(client, "regenerate", { path: "src/b.md" });
    expect(await succeed(client, "read", { path: "src/b.md" })).toBe("mine");
  });

  test("grow lays out more files, which are pending", async () => {
    const client = await open();
    place.tree = { stream: JSON.stringify({ files: [{ path: "src/more.md", description: "more" }] }) };
    expect(await succeed(client, "grow", { prompt: "one more", dryRun: true })).toContain("would add 1 entries");
    expect(await succeed(client, "list")).not.toContain("more.md");
    expect(await succeed(client, "grow", { prompt: "one more" })).toContain("/src/more.md");
    expect(await succeed(client, "list")).toContain("/src/more.md (pending");
  });

  test("an answer that the model refuses is an error with the reason, and the next call works", async () => {
    const client = await open();
    place.answer = (path) =>
      path === "a.md" ? { status: 400, body: { error: { message: "no such luck" } } } : { stream: "b" };
    expect(await fail(client, "read", { path: "a.md" })).toContain("no such luck");
    expect(await succeed(client, "read", { path: "src/b.md" })).toBe("b\n");
  });

  test("a call that the client cancels ends, and the next one works", async () => {
    const client = await open();
    place.answer = (path) => (path === "a.md" ? { hang: true } : { stream: "b" });
    const cancelled = new AbortController();
    const reading = client.callTool({ name: "read", arguments: { path: "a.md" } }, { signal: cancelled.signal });
    reading.catch(() => {});
    await place.server.request(0);
    cancelled.abort();
    await expect(reading).rejects.toThrow();
    expect(await succeed(client, "read", { path: "src/b.md" })).toBe("b\n");
  });
}

describeMounted("llmfs mcp on a mount", () => {
  describeTools(async (...flags) => {
    if (!existsSync(`${place.dir}/.llmfs`)) await place.mount(["--from", "tree.json", ...model()]);
    return await connect(place.dir, ...flags);
  });

  test("plan and why of a mount name the model that read used", async () => {
    await place.mount(["--from", "tree.json", ...unnamed()]);
    await expectModelInUse(await connect(place.dir));
  });

  test("what a tool writes is in the mount, and what a program writes is seen by the tools", async () => {
    await place.mount(["--from", "tree.json", ...model()]);
    const client = await connect(place.dir);
    await succeed(client, "write", { path: "x/y.txt", content: "from the tool\n" });
    expect(await place.out("cat x/y.txt")).toBe("from the tool\n");
    await place.out("echo from a program >x/y.txt");
    expect(await succeed(client, "read", { path: "x/y.txt" })).toBe("from a program\n");
  });

  test("no tool follows a symlink out of the mount", async () => {
    await place.mount(["--from", "tree.json", ...model()]);
    const outside = place.sandbox.at("outside");
    mkdirSync(outside);
    writeFileSync(`${outside}/secret`, "secret");
    symlinkSync(`${outside}/secret`, `${place.dir}/file`);
    symlinkSync(outside, `${place.dir}/folder`);
    const client = await connect(place.dir);
    for (const path of ["file", "folder/secret"]) {
      expect(await fail(client, "read", { path })).not.toContain("content");
      await fail(client, "write", { path, content: "overwritten" });
    }
    await fail(client, "write", { path: "folder/new/deep", content: "new" });
    expect(readFileSync(`${outside}/secret`, "utf8")).toBe("secret");
    expect(existsSync(`${outside}/new`)).toBe(false);
  });

  test("the snippets of docs/mcp.md start a server", async () => {
    await place.mount(["--from", "tree.json", ...model()]);
    const snippets = readFileSync(`${import.meta.dir}/../../docs/mcp.md`, "utf8").matchAll(/^```json\n([^`]*)^```/gm);
    const shown = [...snippets].map(([, text = ""]) => JSON.parse(text));
    expect(shown.map((snippet) => Object.keys(snippet))).toEqual([["mcpServers"], ["servers"]]);
    for (const { llmfs } of shown.flatMap((snippet) => Object.values<{ llmfs: { args: string[] } }>(snippet))) {
      const [command, mount, ...rest] = llmfs.args;
      expect([command, mount, rest]).toEqual(["mcp", "/abs/path/to/mount", []]);
      expect((await (await connect(place.dir)).listTools()).tools.length).toBe(LOOKING.length + CHANGING.length);
    }
  });

  test("a spent budget is an error that names the budget", async () => {
    await place.mount(["--from", "tree.json", ...model(), "--max-calls", "1"]);
    const client = await connect(place.dir);
    await succeed(client, "read", { path: "a.md" });
    expect(await fail(client, "read", { path: "src/b.md" })).toMatch(/EDQUOT.*--max-calls/s);
  });
});

describe("llmfs mcp on a snapshot", () => {
  const open = (...flags: string[]) => connect("tree.json", ...model(), ...flags);
  const saved = () => readFileSync(place.sandbox.at("tree.json"), "utf8");

  describeTools(open);

  test("plan and why of a snapshot name the model that read used", async () => {
    await expectModelInUse(await connect("tree.json", ...unnamed()));
  });

  test("a change is in the snapshot as soon as the tool has answered", async () => {
    const client = await open();
    await succeed(client, "write", { path: "a.md", content: "written by hand" });
    expect(saved()).toContain("written by hand");
  });

  test("generated content is in the snapshot soon, and when the client has left", async () => {
    const client = await open();
    await succeed(client, "read", { path: "a.md" });
    await eventually("the snapshot has the content", () => saved().includes("again: content of a.md"));
    await succeed(client, "read", { path: "src/b.md" });
    await client.close();
    await eventually("the snapshot has the content", () => saved().includes("again: content of src/b.md"));
  });

  test("with --read-only the snapshot stays as it is", async () => {
    const before = saved();
    const client = await open("--read-only");
    await succeed(client, "read", { path: "a.md" });
    await client.close();
    expect(saved()).toBe(before);
  });

  test("a snapshot that cannot be written is an error of the tool, and the client can go on", async () => {
    const client = await open();
    await succeed(client, "read", { path: "a.md" });
    place.sandbox.directory("moved");
    renameSync(place.sandbox.at("tree.json"), place.sandbox.at("moved/tree.json"));
    mkdirSync(place.sandbox.at("tree.json"));
    expect(await fail(client, "write", { path: "a.md", content: "x" })).toContain("could not be saved");
    expect(await succeed(client, "read", { path: "a.md" })).toBe("x");
  });

  test("a name with a newline is one line of a listing and of what was found", async () => {
    const client = await open();
    const path = "evil\n/fake.md (ready)";
    await succeed(client, "write", { path, content: "needle" });
    const listing = await call(client, "list");
    expect(textOf(listing).split("\n")).toContain("/evil\\n/fake.md (ready) (6 B)");
    expect(await succeed(client, "search", { pattern: "needle" })).toContain("/evil\\n/fake.md (ready):1: needle");
    expect(JSON.stringify(listing.structuredContent)).toContain(JSON.stringify(`/${path}`));
  });

  test("what another command writes to the snapshot in the meantime is never undone", async () => {
    const client = await open();
    await succeed(client, "write", { path: "mine.md", content: "1" });
    const { status } = await place.sandbox.llmfs(["write", "tree.json/theirs.md"], { program: BINARY, stdin: "2" });
    expect(status).toBe(0);
    expect(await fail(client, "write", { path: "mine.md", content: "3" })).toContain("was changed by another program");
    await client.close();
    const text = readFileSync(place.sandbox.at("tree.json"), "utf8");
    expect(JSON.parse(text).entries.map(({ path }: { path: string }) => path)).toContain("/theirs.md");
    // A server that changed nothing does not write the snapshot when it ends.
    await (await open()).close();
    expect(readFileSync(place.sandbox.at("tree.json"), "utf8")).toBe(text);
  });

  test("requests that came before the end of standard input are answered", async () => {
    const { status, stdout, stderr } = await place.sandbox.llmfs(["mcp", "tree.json", ...model()], {
      program: BINARY,
      stdin: conversation(["a.md", "src/b.md"]),
    });
    const answers = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect([status, stderr, answers.map(({ id }) => id).sort()]).toEqual([0, "", [0, 1, 2]]);
    expect(answers.filter(({ id }) => id > 0).map(({ result }) => result.isError ?? false)).toEqual([false, false]);
    expect(saved()).toContain("content of src/b.md");
  });

  test.each(["SIGTERM", "SIGINT"] as const)("%s ends it although an answer is under way", async (signal) => {
    const flags = [...place.modelArgs(), "--mode", "off"];
    place.server.script({ hang: true });
    const child = Bun.spawn({
      cmd: [...BINARY, "mcp", "tree.json", ...flags],
      cwd: place.sandbox.path,
      env: place.sandbox.environment(),
      stdio: [new TextEncoder().encode(conversation(["a.md"])), "pipe", "pipe"],
    });
    await place.server.request(0);
    child.kill(signal);
    expect(await child.exited).toBe(signal === "SIGTERM" ? 143 : 130);
  });

  test("a path in the tree is refused, because the tools have the whole of it", async () => {
    const { status, stderr } = await place.sandbox.llmfs(["mcp", "tree.json/src"], { program: BINARY });
    expect([status, stderr]).toEqual([2, expect.stringContaining("tree.json/src")]);
  });
});
