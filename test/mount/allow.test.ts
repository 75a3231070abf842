/** --confirm-over and llmfs allow. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { contentOf, describeMounted, mounted } from "../support/mounted.ts";
import { BINARY } from "../support/program.ts";

setDefaultTimeout(60_000);

describeMounted("a mount with --confirm-over", () => {
  test("refuses to generate after N requests, until somebody allows N more", async () => {
    const pending = ["a", "b", "c", "d"];
    await using m = await mounted({ pending, args: ["--confirm-over", "2", "--mode", "off"] });
    const llmfs = (...args: string[]) => m.sandbox.llmfs(args, { program: BINARY });
    expect(await m.out("cat a b")).toBe(contentOf("a") + contentOf("b"));
    const refused = await m.sh("cat c");
    expect([refused.status, refused.stdout, refused.stderr]).toEqual([
      1,
      "",
      expect.stringContaining("quota exceeded"),
    ]);
    expect(await m.xattr("c", "error")).toContain(`To allow 2 requests more, run: llmfs allow ${m.dir}; or`);
    expect(m.server.requests.length).toBe(2);
    expect(JSON.parse(readFileSync(`${m.dir}/.llmfs/usage.json`, "utf8"))).toMatchObject({
      calls: 2,
      confirmed: { calls: 2 },
    });

    expect(await llmfs("allow", m.dir)).toEqual({ status: 0, stdout: "allowed 2 more requests\n", stderr: "" });
    const warm = await llmfs("warm", m.dir);
    expect([warm.status, m.server.requests.length]).toEqual([0, 4]);
    expect(JSON.parse((await llmfs("allow", "--json", `${m.dir}/a`)).stdout)).toEqual({ calls: 2 });
  });

  test("names one request as one", async () => {
    await using m = await mounted({ pending: ["a", "b"], args: ["--confirm-over", "1", "--mode", "off"] });
    await m.out("cat a");
    expect((await m.sh("cat b")).status).toBe(1);
    expect(await m.xattr("b", "error")).toMatch(
      /more than 1 request would .*; 1 request was made\. To allow 1 request more/,
    );
    expect((await m.sandbox.llmfs(["allow", m.dir], { program: BINARY })).stdout).toBe("allowed 1 more request\n");
  });

  test("counts an amount of money in the same way", async () => {
    const received = { a: 2000, b: 2000, c: 100 };
    const answer = (path: string) => ({
      stream: path,
      usage: { prompt_tokens: 1000, completion_tokens: received[path as keyof typeof received] },
    });
    // Ten dollars for a million tokens received.
    const args = ["--price", "scripted=0/10", "--mode", "off", "--confirm-over", "$0.05"];
    await using m = await mounted({ pending: Object.keys(received), answer, args });
    expect(await m.out("cat a b")).toBe("a\nb\n");
    expect((await m.sh("cat c")).stdout).toBe("");
    expect(await m.xattr("c", "error")).toMatch(/--confirm-over: more than \$0\.05 .*for \$0\.04/);
    expect((await m.sandbox.llmfs(["allow", m.dir], { program: BINARY })).stdout).toBe("allowed $0.05 more\n");
    expect(await m.out("cat c")).toBe("c\n");
  });
});

describeMounted("llmfs allow", () => {
  test("is refused by a mount without --confirm-over, and outside of mounts", async () => {
    await using m = await mounted({ pending: ["a"] });
    const refused = await m.sandbox.llmfs(["allow", m.dir], { program: BINARY });
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining("the mount has no --confirm-over")]);
    expect((await m.sandbox.llmfs(["allow"], { program: BINARY })).status).toBe(83);
  });

  test.each(["0", "$0", "-1", "many"])("--confirm-over %p is refused", async (value) => {
    await using m = await mounted();
    const { status, stderr } = await m.sandbox.llmfs(["run", "--confirm-over", value, "--", "true"], {
      program: BINARY,
    });
    expect([status, stderr]).toEqual([2, expect.stringContaining("--confirm-over")]);
  });
});
