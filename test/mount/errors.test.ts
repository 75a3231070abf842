/** What a reader gets when the model fails, and where the reason can be read. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { describeMounted, mounted, unmounted } from "../support/mounted.ts";
import type { Behaviour } from "../support/openai-server.ts";
import { eventually } from "../support/program.ts";
import { freePort } from "../support/servers.ts";

setDefaultTimeout(30_000);

interface Failure {
  readonly answer: Behaviour;
  /** The message that programs print. */
  readonly told: string;
  readonly error: RegExp;
}

/** The behaviour of the server, by the name of the file. */
const FAILURES: Readonly<Record<string, Failure>> = {
  "key-refused": {
    answer: { status: 401, body: { error: { message: "bad key" } } },
    told: "Permission denied",
    error: /^EACCES: .*bad key/,
  },
  "rate-limited": {
    answer: { status: 429, headers: { "retry-after": "3600" }, body: { error: { message: "slow down" } } },
    told: "Device or resource busy",
    error: /^EBUSY: .*1 h/,
  },
  "quota-gone": {
    answer: { status: 429, body: { error: { message: "pay first", code: "insufficient_quota" } } },
    told: "Disk quota exceeded",
    error: /^EDQUOT: .*pay first/,
  },
  silent: {
    answer: { hang: true },
    told: "Connection timed out",
    error: /^ETIMEDOUT: .*(sent nothing|no complete answer)/,
  },
  "stops-midway": {
    answer: { stream: "half of it", after: "hang" },
    told: "Connection timed out",
    error: /^ETIMEDOUT: .*(stopped in the middle|no complete answer)/,
  },
  truncated: { answer: { stream: "half of it", finish: "length" }, told: "Input/output error", error: /^EIO: / },
  empty: { answer: { stream: "" }, told: "Input/output error", error: /^EIO: .*empty/ },
  blank: { answer: { stream: " \n" }, told: "Input/output error", error: /^EIO: .*empty/ },
  refused: { answer: { whole: "", refusal: "I will not" }, told: "Input/output error", error: /^EIO: .*I will not/ },
  "other-length": {
    answer: { stream: "half of it", finish: "MAX_TOKENS" },
    told: "Input/output error",
    error: /^EIO: .*truncated its answer/,
  },
  "tool-called": {
    answer: { stream: "half of it", finish: "tool_calls" },
    told: "Input/output error",
    error: /^EIO: .*called a tool/,
  },
  "thoughts-only": {
    answer: { stream: "<think>Well, let me see.</think>\n" },
    told: "Input/output error",
    error: /^EIO: .*reasoning but no answer/,
  },
  "spent-midway": {
    answer: { raw: 'data: {"error":{"message":"pay first","code":"insufficient_quota"}}\n\n' },
    told: "Disk quota exceeded",
    error: /^EDQUOT: .*pay first/,
  },
  moved: {
    answer: { status: 301, headers: { location: "https://elsewhere.invalid/v1/chat/completions" } },
    told: "Input/output error",
    error: /^EIO: .*it has moved to https:\/\/elsewhere\.invalid/,
  },
  "bad-request": {
    answer: { status: 400, body: { error: { message: "what?" } } },
    told: "Input/output error",
    error: /^EIO: .*what\?/,
  },
  "server-error": {
    answer: { status: 500, headers: { "retry-after": "3600" } },
    told: "Input/output error",
    error: /^EIO: .*500/,
  },
};

describeMounted("a reader of a file that cannot be generated", () => {
  test("a reader of a file that cannot be generated gets the errno of the reason, with user.llmfs.error to explain it, and never an empty file with status 0", async () => {
    const pending = Object.keys(FAILURES);
    await using m = await mounted({
      pending,
      args: ["--timeout", "700ms", "--concurrency", "20"],
      answer: (path) => FAILURES[path]?.answer ?? { status: 500 },
    });
    const results = await Promise.all(
      pending.map(async (path) => {
        const { status, stdout, stderr } = await m.sh(`cat ${path}`);
        return { path, status, stdout, stderr, state: await m.state(path), error: await m.xattr(path, "error") };
      }),
    );
    for (const { path, ...result } of results) {
      const { told, error } = FAILURES[path]!;
      expect({ path, ...result }).toEqual({
        path,
        status: 1,
        stdout: "",
        stderr: `cat: ${path}: ${told}\n`,
        state: "failed",
        error: expect.stringMatching(error),
      });
    }
    expect(m.status().files.failed).toBe(pending.length);
    m.answer = (path) => ({ stream: `now there is ${path}` });
    const again = await m.out(`cat ${pending.join(" ")}`);
    expect(again).toBe(pending.map((path) => `now there is ${path}\n`).join(""));
  });

  test("a reader of a file that cannot be generated gets nothing of an incomplete answer, however often the connection is cut, and all of a complete one", async () => {
    const broken: readonly Behaviour[] = [
      { stream: "half of it", after: "cut" },
      { stream: "half of it", finish: null, done: false },
      { drop: true },
      { raw: "<html>", contentType: "text/html" },
    ];
    const paths = broken.map((_, index) => `${index}.txt`);
    await using m = await mounted({
      pending: [...paths, "late.txt"],
      args: ["--concurrency", "20"],
      answer: (path) => {
        // It does not matter whether the client has already received the first half.
        setTimeout(() => m.server.heard(), 50);
        if (path === "late.txt") return m.asked(path) < 2 ? broken[0]! : { stream: "whole" };
        return broken[Number.parseInt(path, 10)]!;
      },
    });
    const late = m.sh("cat late.txt");
    for (const { status, stdout } of await Promise.all(paths.map((path) => m.sh(`cat ${path}`)))) {
      expect([status, stdout]).toEqual([1, ""]);
    }
    for (const path of paths) expect(await m.xattr(path, "error")).toMatch(/^(EIO|EHOSTUNREACH): /);
    expect(await late).toEqual({ status: 0, stdout: "whole\n", stderr: "" });
  });

  test("a reader of a file that cannot be generated gets EHOSTUNREACH if no server listens", async () => {
    const nobody = `http://127.0.0.1:${freePort()}/v1`;
    await using m = await mounted({ pending: ["a.txt"], args: ["--timeout", "700ms"], baseUrl: nobody });
    const { status, stdout, stderr } = await m.sh("cat a.txt");
    expect([status, stdout, stderr]).toEqual([1, "", "cat: a.txt: No route to host\n"]);
    expect(await m.xattr("a.txt", "error")).toMatch(/^EHOSTUNREACH: no connection to 127\.0\.0\.1/);
  });

  test.each([
    ["with a model's name", ["--model", "tiny"]],
    ["without one", []],
  ])("reading many files %s fails quickly while no server listens, and works when one does", async (_name, args) => {
    const port = freePort();
    const names = Array.from({ length: 12 }, (_, index) => `/${index}.txt`);
    const entries = [...names, "/base.txt"].map((path) => ({
      path,
      type: "file",
      mode: "0644",
      state: "pending",
      ...(path === "/base.txt" ? {} : { xattrs: { "user.llmfs.depends": "/base.txt" } }),
    }));
    const snapshot = JSON.stringify({
      llmfs: 1,
      entries: [{ path: "/", type: "directory", mode: "0755" }, ...entries],
    });
    await using m = await unmounted();
    writeFileSync(m.sandbox.at("from.json"), snapshot);
    await m.mount(["--from", "from.json", "--base-url", `http://127.0.0.1:${port}/v1`, ...args]);
    await m.sh("cat base.txt");
    const before = performance.now();
    expect((await m.sh("cat *.txt")).stderr.match(/No route to host/g)).toHaveLength(13);
    // With five attempts for each file, or with the pauses of its failed dependency, it would take a minute.
    expect(performance.now() - before).toBeLessThan(15_000);
    expect(await m.xattr("7.txt", "error")).toContain("is the server running");
    const message = { role: "assistant", content: "text" };
    using _server = Bun.serve({
      hostname: "127.0.0.1",
      port,
      fetch: ({ url }) =>
        url.endsWith("/models")
          ? Response.json({ data: [{ id: "tiny" }] })
          : Response.json({ choices: [{ index: 0, message, finish_reason: "stop" }] }),
    });
    await m.out("until cat *.txt; do sleep 0.1; done");
  });

  test("a reader of a file that cannot be generated finds the reason in the log too, without the key", async () => {
    await using m = await mounted({
      pending: ["a.txt"],
      env: { OPENAI_API_KEY: "sk-a-secret-of-theirs" },
      answer: () => ({ status: 401, body: { error: { message: "bad key: sk-a-secret-of-theirs" } } }),
    });
    await m.sh("cat a.txt");
    // The log is written by another thread than the one that answers.
    await eventually("the reason in the log", () => m.sandbox.log().includes("a.txt: EACCES: "));
    expect(m.server.received(0).headers.authorization).toBe("Bearer sk-a-secret-of-theirs");
    expect(m.sandbox.log() + (await m.out("getfattr -d a.txt; cat .llmfs/snapshot.json"))).not.toContain(
      "sk-a-secret-of-theirs",
    );
  });

  test("a reader of a file that cannot be generated does not wait after the first failure of a file, but after the next ones", async () => {
    await using m = await mounted({ pending: ["a.txt"], answer: () => ({ status: 400 }) });
    const times: number[] = [];
    for (let attempt = 0; attempt < 4; attempt++) {
      const begun = performance.now();
      expect((await m.sh("cat a.txt")).status).toBe(1);
      times.push(performance.now() - begun);
    }
    expect(m.server.requests.length).toBe(4);
    // At least 250 ms, then at least 500 ms.
    expect(times[2]).toBeGreaterThan(240);
    expect(times[3]).toBeGreaterThan(490);
    // Ctrl-C works during the pause too.
    const reader = m.start("exec cat a.txt");
    await m.opened(5);
    reader.kill("SIGINT");
    await reader.exited;
    expect([reader.signalCode, m.server.requests.length]).toEqual(["SIGINT", 4]);
  });
});
