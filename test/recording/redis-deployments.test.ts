/** Redis with TLS and client certificates, with users, behind Sentinel, and as a cluster: real servers. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient } from "bun";
import { createRedisStore } from "../../src/recording/stores/remote/redis.ts";
import { CERTIFICATE, CERTIFICATE_KEY } from "../support/certificate.ts";
import { programs, testWith } from "../support/needs.ts";
import { freePort } from "../support/servers.ts";
import { recordingOf } from "../support/store-contract.ts";

const withRedis = testWith(programs("redis-server"));

let folder: string;
const children: Bun.Subprocess[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-deployments-"));
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map(({ exited }) => exited));
  rmSync(folder, { recursive: true, force: true });
});

function start(...args: readonly string[]): Bun.Subprocess {
  const directory = mkdtempSync(join(folder, "server-"));
  const command = ["redis-server", ...args, "--save", "", "--dir", directory, "--daemonize", "no"];
  const child = Bun.spawn(command, { stdout: "ignore", stderr: "inherit" });
  children.push(child);
  return child;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 30_000; !(await holds().catch(() => false)); await Bun.sleep(50)) {
    if (performance.now() > end) throw new Error("it did not happen within 30 s");
  }
}

/** The passwords of servers that have one, by port. */
const passwords = new Map<number, string>();

async function send(port: number, command: string, ...args: string[]): Promise<unknown> {
  const password = passwords.get(port);
  const userinfo = password === undefined ? "" : `:${password}@`;
  const client = new RedisClient(`redis://${userinfo}127.0.0.1:${port}`, { autoReconnect: false });
  try {
    return await client.send(command, args);
  } finally {
    client.close();
  }
}

const answers = (port: number) => until(async () => (await send(port, "PING")) === "PONG");

describe("Redis with TLS", () => {
  withRedis(
    "the address of Redis can name a client certificate and its authority, without which it refuses connections",
    async () => {
      const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
      writeFileSync(cert, CERTIFICATE);
      writeFileSync(key, CERTIFICATE_KEY);
      const port = freePort();
      start(
        "--port",
        "0",
        "--tls-port",
        String(port),
        "--tls-cert-file",
        cert,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        cert,
      );
      const query = `tls-ca=${encodeURIComponent(cert)}&tls-cert=${encodeURIComponent(cert)}&tls-key=${encodeURIComponent(key)}`;
      const one = recordingOf("x");
      await until(async () => {
        const store = createRedisStore(`rediss://localhost:${port}?${query}`);
        await store.put(one).finally(() => store.close?.());
        return true;
      });
      const store = createRedisStore(`rediss://localhost:${port}?${query}`);
      expect(await store.get(one.key)).toEqual(one);
      await store.close?.();
      const stranger = createRedisStore(`rediss://localhost:${port}?tls-ca=${encodeURIComponent(cert)}`, {
        timeoutMs: 2_000,
      });
      await expect(stranger.get(one.key)).rejects.toThrow(`rediss://localhost:${port}`);
      await stranger.close?.();
      const untrusting = createRedisStore(`rediss://localhost:${port}`, { timeoutMs: 2_000 });
      await expect(untrusting.get(one.key)).rejects.toThrow(/certificate/i);
      await untrusting.close?.();
    },
  );
});

describe("Redis with users", () => {
  withRedis(
    "a user and a password with any characters work, and a wrong one is named without the password",
    async () => {
      const port = freePort();
      start("--port", String(port));
      await answers(port);
      await send(port, "ACL", "SETUSER", "ci", "on", ">p@ss#1/?%", "~llmfs:*", "+@all");
      const store = createRedisStore(`redis://ci:${encodeURIComponent("p@ss#1/?%")}@127.0.0.1:${port}`);
      const one = recordingOf("x");
      await store.put(one);
      expect(await store.get(one.key)).toEqual(one);
      await store.close?.();
      const wrong = createRedisStore(`redis://ci:hunter2@127.0.0.1:${port}`);
      const error = await wrong.get(one.key).catch(String);
      expect(error).toContain("WRONGPASS");
      expect(error).not.toContain("hunter2");
      await wrong.close?.();
    },
  );
});

describe("Redis behind Sentinel", () => {
  withRedis("behind Sentinel, the master is found with both passwords, and after its end its replica", async () => {
    const [master, replica, sentinel] = [freePort(), freePort(), freePort()];
    for (const port of [master, replica]) passwords.set(port, "of-the-data");
    passwords.set(sentinel, "of-sentinel");
    const secured = ["--requirepass", "of-the-data", "--masterauth", "of-the-data"];
    const first = start("--port", String(master), ...secured);
    await answers(master);
    const follows = ["--replicaof", "127.0.0.1", String(master), "--repl-diskless-sync-delay", "0"];
    start("--port", String(replica), ...follows, ...secured);
    await answers(replica);
    const file = join(folder, "sentinel.conf");
    const lines = [
      `port ${sentinel}`,
      `sentinel monitor main 127.0.0.1 ${master} 1`,
      "sentinel down-after-milliseconds main 500",
      "sentinel failover-timeout main 5000",
      "sentinel auth-pass main of-the-data",
      "requirepass of-sentinel",
    ];
    writeFileSync(file, `${lines.join("\n")}\n`);
    const child = Bun.spawn(["redis-server", file, "--sentinel"], { stdout: "ignore", stderr: "inherit" });
    children.push(child);
    const place = `127.0.0.1:${sentinel}/main`;
    const url = `redis+sentinel://:of-the-data@${place}?sentinel-password=of-sentinel`;
    const store = createRedisStore(url, { timeoutMs: 10_000 });
    const one = recordingOf("x");
    await answers(sentinel);
    await store.put(one);
    const stranger = createRedisStore(url.replace("=of-sentinel", "=wrong-one"), { timeoutMs: 3_000 });
    const error = await stranger.get(one.key).catch(String);
    expect(error).toContain(`redis+sentinel://${place}`);
    expect(error).not.toMatch(/wrong-one|of-the-data/);
    await stranger.close?.();
    await until(async () => (await send(replica, "EXISTS", `llmfs:recording:${one.key}`)) === 1);
    // Sentinel must know the replica before it can make it the master.
    await until(async () =>
      JSON.stringify(await send(sentinel, "SENTINEL", "replicas", "main")).includes(String(replica)),
    );
    first.kill("SIGKILL");
    await until(async () => String(await send(replica, "ROLE")).startsWith("master"));
    await until(async () => (await store.get(one.key)) !== undefined);
    const two = recordingOf("y", "/b.txt");
    await store.put(two);
    expect(await store.list()).toEqual([one, two]);
    await store.close?.();
  });
});

describe("a Redis cluster", () => {
  withRedis("a Redis cluster keeps recordings and claims on all its nodes", async () => {
    const ports = [freePort(), freePort(), freePort()];
    for (const port of ports) {
      start("--port", String(port), "--cluster-enabled", "yes", "--cluster-port", String(freePort()));
    }
    for (const port of ports) await answers(port);
    const create = ["--cluster", "create", ...ports.map((port) => `127.0.0.1:${port}`), "--cluster-yes"];
    const made = Bun.spawnSync(["redis-cli", ...create], { stdout: "pipe", stderr: "inherit" });
    expect(made.stdout.toString()).toContain("All 16384 slots covered");
    for (const port of ports) {
      await until(async () => String(await send(port, "CLUSTER", "INFO")).includes("cluster_state:ok"));
    }
    const store = createRedisStore(`redis+cluster://127.0.0.1:${ports[0]},127.0.0.1:${ports[1]}?prefix=spread`);
    const all = Array.from({ length: 30 }, (_, index) => recordingOf("x", `/${String(index).padStart(2, "0")}`));
    for (const one of all) expect(await store.offer(one)).toEqual(one);
    expect(await Promise.all(all.map(({ key }) => store.get(key)))).toEqual(all);
    expect(await store.list()).toEqual(all);
    for (const port of ports) expect(await send(port, "DBSIZE")).toBeGreaterThan(0);
    const key = "c".repeat(64);
    const claim = await store.claim?.(key);
    expect(claim).toBeDefined();
    expect(await store.claim?.(key)).toBeUndefined();
    await claim?.[Symbol.asyncDispose]();
    await until(async () => (await store.claim?.(key)) !== undefined);
    await store.close?.();
  });
});
