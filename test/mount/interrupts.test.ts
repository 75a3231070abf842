/** Readers that leave before the content arrives: what happens to the request, and to files that were needed for it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { SHORT_GRACE_MS } from "../../src/fs/waiting/grace.ts";
import {
  contentOf,
  describeMounted,
  type FileAnswer,
  Gate,
  type Mounted,
  mounted,
  pathOf,
  unmounted,
} from "../support/mounted.ts";
import type { ReceivedRequest } from "../support/openai-server.ts";
import { eventually, finished } from "../support/program.ts";
import { freePort, silentServer } from "../support/servers.ts";

setDefaultTimeout(60_000);

const UNREACHABLE = {
  "refuses connections": async () => ({ url: `http://127.0.0.1:${freePort()}/v1`, async [Symbol.asyncDispose]() {} }),
  "does not answer": silentServer,
};

describeMounted("interrupted reads", () => {
  for (const [how, server] of Object.entries(UNREACHABLE)) {
    test(`interrupted reads from a server that ${how} do not count against --max-calls`, async () => {
      await using unreachable = await server();
      const pending = ["a", "b", "c", "d"];
      await using m = await mounted({ pending, baseUrl: unreachable.url, args: ["--max-calls", "3"] });
      for (const name of pending) {
        const { stderr } = await m.sh(`timeout -s KILL 0.7 cat ${name}`);
        expect(stderr).not.toContain("quota");
      }
      const usage = () => m.out("cat .llmfs/usage.json").then(JSON.parse);
      await eventually("nothing is under way", () => m.status().generating === 0);
      while ((await usage()).reserved.calls > 0) await Bun.sleep(20);
      expect(await usage()).toMatchObject({ calls: 0, inputTokens: 0, outputTokens: 0 });
    });
  }
});

/** Resolves with the request for a file as soon as there is one. */
async function asked(m: Mounted, path: string): Promise<ReceivedRequest> {
  await eventually(`${path} is asked for`, () => m.asked(path) > 0);
  const request = m.server.requests.find((one) => pathOf(one) === path);
  if (request === undefined) throw new Error(`${path} was not asked for`);
  return request;
}

describeMounted("a request whose reader was interrupted", () => {
  test("the request of an interrupted reader is used by the same program when it tries again", async () => {
    const gate = new Gate();
    await using m = await mounted({ pending: ["a"], answer: gate.holds() });
    const reader = m.start(`exec python3 -c '
try: open("a").read()
except KeyboardInterrupt: print(end="again\\n" + open("a").read())'`);
    const request = await asked(m, "a");
    reader.kill("SIGINT");
    // The second try is another open.
    await m.opened(2);
    expect(request.gone).toBe(false);
    gate.open();
    expect(await finished(reader)).toEqual({ status: 0, stdout: `again\n${contentOf("a")}`, stderr: "" });
    expect(m.asked("a")).toBe(1);
  });

  test("the request of an interrupted reader is used by the next program, even if other files were generated in the meantime", async () => {
    const gate = new Gate();
    const held = gate.holds();
    const answer: FileAnswer = (path, request) => (path === "a" ? held(path, request) : { stream: contentOf(path) });
    await using m = await mounted({ pending: ["a", "b", "c"], answer });
    for (const [index, signal] of (["SIGINT", "SIGKILL"] as const).entries()) {
      const reader = m.start("exec cat a");
      await m.opened(index + 1);
      await asked(m, "a");
      reader.kill(signal);
      await reader.exited;
    }
    // Longer than a generation continues if another file waits for its slot.
    await Bun.sleep(SHORT_GRACE_MS * 1.2);
    expect(await m.out("cat b c")).toBe(contentOf("b") + contentOf("c"));
    const reader = m.sh("cat a");
    await m.opened(5);
    gate.open();
    expect((await reader).stdout).toBe(contentOf("a"));
    expect(m.asked("a")).toBe(1);
  });

  test("the request of an interrupted reader is cancelled for another file's request if only one may run", async () => {
    const answer = (path: string) => (path === "a" ? { hang: true as const } : { stream: contentOf(path) });
    await using m = await mounted({ pending: ["a", "b"], answer, args: ["--concurrency", "1"] });
    const reader = m.start("exec cat a");
    const request = await asked(m, "a");
    reader.kill("SIGKILL");
    await reader.exited;
    expect(await m.out("cat b")).toBe(contentOf("b"));
    expect(request.gone).toBe(true);
  });

  test("no request is sent for files whose readers were interrupted before their turn", async () => {
    const pending = Array.from({ length: 12 }, (_, index) => `f${index}`);
    await using m = await mounted({ pending, answer: () => ({ hang: true }), args: ["--concurrency", "2"] });
    const readers = pending.map((path) => m.start(`exec cat ${path}`));
    await m.server.request(1);
    await m.opened(pending.length);
    for (const reader of readers) reader.kill("SIGINT");
    await Promise.all(readers.map(({ exited }) => exited));
    await eventually("nothing is under way", () => m.status().generating === 0);
    await Promise.all(m.server.requests.map(({ disconnected }) => disconnected));
    expect(m.server.requests).toHaveLength(2);
  });
});

/** Ways to make a file "top" from the file "slow", which a model never finishes. */
const CONFIG = `
import { defineConfig } from "llmfs";
const reads = { async generate(_path, { read }) { return { content: await read("/slow") }; } };
const lists = {
  generate: () => ({ content: "x" }),
  async list(_directory, { read }) { await read("/slow"); return ["x"]; },
};
export default defineConfig({
  generators: { reads, lists },
  rules: [
    { match: "by-own-code", generator: "reads" },
    { match: "by-template", generator: "template", options: { text: "{{ '/slow' | read }}" } },
    { match: "by-program", generator: "exec", options: { command: ["sh", "-c", "cat $LLMFS_MOUNT/slow; :"] } },
    { match: "by-program-that-waits", generator: "exec",
      options: { command: ["sh", "-c", "trap '' TERM; cat $LLMFS_MOUNT/slow & wait; wait"] } },
    { match: "by-listing/{name}", generator: "lists" },
    { match: "named/{name}", generator: "reads" },
  ],
});
`;

describeMounted("a file that another one depends on", () => {
  async function made(concurrency = 1): Promise<Mounted> {
    const m = await unmounted((path) => (path === "slow" ? { hang: true } : { stream: contentOf(path) }));
    writeFileSync(m.sandbox.at("llmfs.config.ts"), CONFIG);
    const entry = (name: string, xattrs = {}) => ({ path: `/${name}`, type: "file", state: "pending", xattrs });
    const entries = [entry("slow"), entry("other"), entry("by-dependency", { "user.llmfs.depends": "slow" })];
    writeFileSync(m.sandbox.at("from.json"), JSON.stringify({ llmfs: 1, entries }));
    await m.mount(["--from", "from.json", ...m.modelArgs(), "--concurrency", String(concurrency)]);
    return m;
  }

  const ways = [
    "cat by-dependency",
    "cat by-own-code",
    "cat by-template",
    "cat by-program",
    "cat by-program-that-waits",
    "ls by-listing",
    "cat by-listing/x",
    "cat named/x",
  ];
  for (const command of ways) {
    test(`a dependency's generation is cancelled with its last reader: ${command}`, async () => {
      await using m = await made();
      const reader = m.start(`exec ${command}`);
      const request = await asked(m, "slow");
      reader.kill("SIGKILL");
      await reader.exited;
      // It gives up its slot to a file that waits for one.
      expect(await m.out("cat other")).toBe(contentOf("other"));
      await request.disconnected;
      await eventually("nothing is under way", () => m.status().generating === 0);
      expect(await m.state("slow")).toBe("pending");
    });
  }

  test("a dependency's generation continues for another reader", async () => {
    await using m = await made(4);
    const first = m.start("exec cat by-dependency");
    const second = m.start("exec cat slow");
    const third = m.start("exec cat by-own-code");
    const request = await asked(m, "slow");
    await m.opened(3);
    await eventually("the code waits for it", () => m.status().waiting.some(({ path }) => path === "/by-own-code"));
    for (const reader of [first, second]) {
      reader.kill("SIGKILL");
      await reader.exited;
    }
    // Longer than a generation continues without a waiter.
    await Bun.sleep(4000);
    expect([request.gone, m.asked("slow")]).toEqual([false, 1]);
    third.kill("SIGKILL");
    await request.disconnected;
  });
});
