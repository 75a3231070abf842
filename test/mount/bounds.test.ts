/** Input from outside is bounded: long answers do not delay a mount, and budgets let calls run concurrently. */
import { expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { describeMounted, Gate, IS_ROOT, mounted } from "../support/mounted.ts";
import { Sandbox } from "../support/program.ts";

describeMounted("an answer that ends in many newlines", () => {
  const long = `begin${"\n".repeat(200_000)}`;

  test.each([
    ["with a limit of tokens", ["--max-tokens", "1000000"]],
    ["without one", []],
  ])("an answer that ends in many newlines becomes the file's content soon, %s", async (_name, args) => {
    // The server reports no usage, so the tokens are counted here.
    const events = [{ choices: [{ index: 0, delta: { content: long }, finish_reason: "stop" }] }, "[DONE]"];
    const raw = events
      .map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`)
      .join("");
    await using m = await mounted({ pending: ["a.txt", "b.txt"], answer: () => ({ raw }), args });
    expect(await m.out("wc -c < a.txt")).toBe(`${long.length}\n`);
    // In processor time, which other programs do not add to: with quadratic time it was minutes.
    const ticks = Number(await m.out(`cut -d' ' -f14 /proc/${m.status().pid}/stat`));
    expect(ticks / 100).toBeLessThan(10);
  });
});

describeMounted("files that take long to search", () => {
  /** Each is as long as the longest file that is searched. */
  const LONG: Readonly<Record<string, string>> = {
    newlines: "\n",
    keys: "sk-a-",
    tokens: "-eyJ",
    secrets: "xoxb-client-key-data:PWD1 TOKEN=PWD ",
    imports: `from${" ".repeat(1900)}\n`,
    dots: `${".".repeat(1900)}a\n`,
  };

  test("files that take long to search are sent to the model soon, and do not hold up others", async () => {
    const entries = Object.entries(LONG).flatMap(([name, unit]) =>
      [1, 2, 3].map((index) => ({
        path: `/${name}${index}.py`,
        type: "file",
        text: unit.repeat(65_000 / unit.length).slice(0, 65_000 - index),
      })),
    );
    const snapshot = JSON.stringify({
      llmfs: 1,
      entries: [
        ...entries,
        { path: "/a.py", type: "file", state: "pending", xattrs: { "user.llmfs.generator": "llm" } },
      ],
    });
    await using m = await mounted({ snapshot });
    const reading = m.out("cat a.py");
    // Static files are read all the time, and so are the control files.
    while (m.server.requests.length === 0) {
      expect(m.status().generating).toBeLessThan(2);
      await Bun.sleep(10);
    }
    expect(await reading).toContain("content of a.py");
    const ticks = Number(await m.out(`cut -d' ' -f14 /proc/${m.status().pid}/stat`));
    expect(ticks / 100).toBeLessThan(20);
  });
});

describeMounted("a budget of tokens", () => {
  test("a budget of tokens lets sixteen files be generated concurrently", async () => {
    const pending = Array.from({ length: 16 }, (_, index) => `file${index}.txt`);
    let open = 0;
    const all = Promise.withResolvers<void>();
    const answer = async () => {
      open += 1;
      if (open === 16) all.resolve();
      await all.promise;
      return { stream: "content\n" };
    };
    const args = ["--concurrency", "16", "--max-tokens", "250000"];
    await using m = await mounted({ pending, answer, args });
    const contents = await Promise.all(pending.map((path) => m.out(`cat ${path}`)));
    expect(contents).toEqual(Array.from({ length: 16 }, () => "content\n"));
    expect(JSON.parse(await m.out("cat .llmfs/usage.json"))).toMatchObject({ calls: 16, reserved: { tokens: 0 } });
  });
});

describeMounted("an answer that another mount is generating", () => {
  test("an answer that another mount is generating is waited for until --timeout, and the error names the other mount", async () => {
    using shared = new Sandbox();
    const recordings = shared.directory("recordings");
    chmodSync(recordings, 0o755);
    const gate = new Gate();
    const pending = ["a.txt"];
    await using first = await mounted({ pending, answer: gate.holds(), args: ["--recordings", recordings] });
    const reader = first.start("cat a.txt");
    await first.server.request(0);
    await using second = await mounted({ pending, args: ["--recordings", recordings, "--timeout", "2s"] });
    const late = await second.sh("cat a.txt; getfattr --only-values -n user.llmfs.error a.txt");
    expect(late.stderr).toContain("Connection timed out");
    expect(late.stdout).toContain(`, which serves ${first.dir}, since `);
    expect(late.stdout).toContain(`llmfs process ${first.status().pid} on `);
    expect(second.server.requests).toEqual([]);
    // No other user can join and make everyone wait.
    expect(await first.out(`stat -c %a ${recordings}/.claims`)).toBe("600\n");
    if (IS_ROOT) {
      const stranger = await first.sh(`runuser -u nobody -- cat ${recordings}/.claims`);
      expect(stranger.stderr).toContain("Permission denied");
    }
    gate.open();
    await reader.exited;
    expect(await second.out("cat a.txt")).toBe(await first.out("cat a.txt"));
    expect(second.server.requests).toEqual([]);
  });
});
