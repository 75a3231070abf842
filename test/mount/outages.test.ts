/** Mounts whose shared store of recordings fails. */
import { expect, setDefaultTimeout } from "bun:test";
import { RedisClient } from "bun";
import { contentOf, describeMounted, mounted, pathOf } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { BINARY, finished } from "../support/program.ts";
import { freePort, redisServer } from "../support/servers.ts";
import { tcpProxy, upstreamOf } from "../support/tcp-proxy.ts";

setDefaultTimeout(120_000);

const withRedis = testWith(programs("redis-server"));

describeMounted("a mount whose store", () => {
  withRedis("does not return has status 91 when it is unmounted, which names the files that only it has", async () => {
    await using redis = await redisServer();
    await using proxy = await tcpProxy(upstreamOf(redis.url));
    const args = ["--recordings", `redis://127.0.0.1:${proxy.port}`, "--timeout", "3s"];
    await using m = await mounted({ pending: ["a.txt", "b.txt"], args });
    expect(await m.out("cat a.txt")).toBe(contentOf("a.txt"));
    await proxy.cut();
    expect(await m.out("cat b.txt")).toBe(contentOf("b.txt"));
    const { status, stderr } = await m.sandbox.llmfs(["unmount", m.dir], { program: BINARY });
    expect(stderr).toContain("1 file (/b.txt) is recorded on this machine only");
    expect(status).toBe(91);
  });

  withRedis("returns brings its answers there, and unmounts with status 0", async () => {
    await using redis = await redisServer();
    await using proxy = await tcpProxy(upstreamOf(redis.url));
    const args = ["--recordings", `redis://127.0.0.1:${proxy.port}`, "--timeout", "3s"];
    await using m = await mounted({ pending: ["a.txt", "b.txt"], args });
    await m.out("cat a.txt");
    await proxy.cut();
    await m.out("cat b.txt");
    await proxy.restore();
    const { status, stderr } = await m.sandbox.llmfs(["unmount", m.dir], { program: BINARY });
    expect(stderr).not.toContain("this machine only");
    expect(status).toBe(0);
    const client = new RedisClient(redis.url);
    expect(await client.send("KEYS", ["llmfs:recording:*"])).toHaveLength(2);
    client.close();
  });

  withRedis("is required and away fails its files, and asks no model", async () => {
    await using redis = await redisServer();
    await using proxy = await tcpProxy(upstreamOf(redis.url));
    const url = `redis://127.0.0.1:${proxy.port}`;
    const args = ["--recordings", url, "--recordings-required", "--timeout", "3s"];
    await using m = await mounted({ pending: ["a.txt", "b.txt"], args });
    expect(await m.out("cat a.txt")).toBe(contentOf("a.txt"));
    await proxy.cut();
    const { status, stderr } = await m.sh("cat b.txt; getfattr --only-values -n user.llmfs.error b.txt");
    expect(stderr).toContain("Input/output error");
    expect(status).toBe(0);
    expect(m.server.requests.map(pathOf)).toEqual(["a.txt"]);
    await proxy.restore();
  });

  withRedis("was never there makes run end with status 91, and required with a failed file", async () => {
    const url = `redis://:hunter2@127.0.0.1:${freePort()}`;
    await using m = await mounted({ pending: ["a.txt"] });
    const flags = ["--from", "from.json", ...m.modelArgs(), "--recordings", url, "--timeout", "3s"];
    const run = await m.sandbox.llmfs(["run", ...flags, "--", "cat", "a.txt"], { program: BINARY });
    expect(run.stdout).toBe(contentOf("a.txt"));
    expect(run.stderr).toContain("recorded on this machine only");
    expect(run.status).toBe(91);
    const required = await m.sandbox.llmfs(["run", ...flags, "--recordings-required", "--warm", "--", "true"], {
      program: BINARY,
    });
    expect(required.status).toBe(90);
    expect(required.stderr).toContain("connection refused");
    expect(run.stderr + required.stderr).not.toContain("hunter2");
    expect(m.server.requests).toHaveLength(1);
  });

  withRedis("falls silent does not make a reader wait beyond --timeout", async () => {
    await using redis = await redisServer();
    await using proxy = await tcpProxy(upstreamOf(redis.url));
    const args = ["--recordings", `redis://127.0.0.1:${proxy.port}`, "--timeout", "6s"];
    await using m = await mounted({ pending: ["a.txt", "b.txt"], args });
    await m.out("cat a.txt");
    proxy.silence();
    const begun = performance.now();
    expect(await m.out("cat b.txt")).toBe(contentOf("b.txt"));
    expect(performance.now() - begun).toBeLessThan(6_000);
    await proxy.restore();
  });

  withRedis(
    "has a claim that is held for ever makes a reader wait as long as --timeout, and names the holder",
    async () => {
      await using redis = await redisServer();
      const client = new RedisClient(redis.url);
      const args = ["--recordings", redis.url, "--timeout", "2s"];
      await using m = await mounted({ pending: ["a.txt"], args, answer: () => ({ hang: true }) });
      const first = m.sh("cat a.txt");
      await m.server.request(0);
      const [claim = ""] = (await client.send("KEYS", ["llmfs:claim:*"])) as string[];
      const keep = setInterval(() => client.set(claim, "x llmfs process 7 on elsewhere"), 50);
      await first;
      const begun = performance.now();
      const child = m.start("cat a.txt");
      const { stderr } = await finished(child);
      clearInterval(keep);
      client.close();
      expect(stderr).toContain("timed out");
      expect(performance.now() - begun).toBeLessThan(10_000);
      expect(await m.sandbox.llmfs(["why", `${m.dir}/a.txt`], { program: BINARY })).toMatchObject({
        stdout: expect.stringContaining("llmfs process 7 on elsewhere"),
      });
    },
  );
});
