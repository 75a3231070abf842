/** S3 that is slow, busy, silent or lacks conditional writes, and clients with wrong clocks: a real server behind a proxy. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChatRequest } from "../../src/llm/llm.ts";
import { writeRecording } from "../../src/recording/record.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { createS3Store } from "../../src/recording/stores/remote/s3.ts";
import { createSharedStore } from "../../src/recording/stores/shared.ts";
import { testWith } from "../support/needs.ts";
import { scriptedModel } from "../support/scripted-model.ts";
import { conditionalProxy, S3_KEYS, type S3ProxyOptions, S3RVER, type Server, s3Server } from "../support/servers.ts";
import { recordingOf } from "../support/store-contract.ts";
import { tcpProxy, upstreamOf } from "../support/tcp-proxy.ts";

const withS3 = testWith(existsSync(S3RVER) ? undefined : "s3rver");

const ask = (content: string): ChatRequest => ({ model: "m", messages: [{ role: "user", content }] });
const KEY = "a".repeat(64);

let s3: Server;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-outages-s3-"));
  if (existsSync(S3RVER)) s3 = await s3Server();
});

afterAll(async () => {
  await s3?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 20_000; !(await holds()); await Bun.sleep(20)) {
    if (performance.now() > end) throw new Error("it did not happen within 20 s");
  }
}

/** A store on S3, with conditions unless `options` says otherwise, behind a proxy that the test controls. */
function open(
  prefix: string,
  options: S3ProxyOptions & { claimMs?: number; timeoutMs?: number; warnings?: string[] } = {},
) {
  const { claimMs = 60_000, timeoutMs = 15_000, warnings = [] } = options;
  const proxy = conditionalProxy(s3.url, options);
  const warn = (line: string) => warnings.push(line);
  const settings = { ...S3_KEYS, endpoint: proxy.url, claimMs, timeoutMs, warn };
  return { proxy, endpoint: proxy.url, store: createS3Store(`s3://fleet/${prefix}`, settings) };
}

const isClaim = (request: Request) =>
  request.method === "PUT" && new URL(request.url).pathname.includes(`/claims/${KEY}`);

describe("S3 that is busy", () => {
  for (const [status, code] of [
    [503, "SlowDown"],
    [500, "InternalError"],
    [429, "TooManyRequests"],
  ] as const) {
    withS3(`status ${status} on a claim and on a recording is retried`, async () => {
      let claims = 0;
      let recordings = 0;
      const busy = () => new Response(`<Error><Code>${code}</Code><Message>later</Message></Error>`, { status });
      const { store, proxy } = open(`busy-${status}`, {
        intercept: (request) => {
          if (isClaim(request)) return ++claims < 3 ? busy() : undefined;
          return request.method === "PUT" && request.url.includes("/recordings/") && ++recordings < 3
            ? busy()
            : undefined;
        },
      });
      await using _claim = await store.claim?.(KEY);
      expect(_claim).toBeDefined();
      const one = recordingOf("x");
      expect(await store.offer(one)).toEqual(one);
      expect(await store.get(one.key)).toEqual(one);
      expect([claims, recordings]).toEqual([3, 3]);
      await store.close?.();
      await proxy.kill();
    });
  }

  withS3("a connection that ends before the answer is replaced, and our own claim is recognized", async () => {
    const proxy = conditionalProxy(s3.url);
    await using wire = await tcpProxy(upstreamOf(proxy.url));
    const endpoint = `http://127.0.0.1:${wire.port}`;
    const store = createS3Store("s3://fleet/lost", { ...S3_KEYS, endpoint, claimMs: 60_000 });
    await store.get(KEY);
    const claim = store.claim?.(KEY);
    wire.delayMs = 150;
    for (let i = 0; i < 3; i += 1) {
      await Bun.sleep(100);
      wire.drop();
    }
    wire.delayMs = 0;
    expect(await claim).toBeDefined();
    await store.close?.();
    await proxy.kill();
  });
});

describe("a claim on S3", () => {
  withS3("a claim on S3 that its client gave up, and that is written later, expires", async () => {
    const { promise: gate, resolve: go } = Promise.withResolvers<void>();
    const { store, endpoint, proxy } = open("late", {
      claimMs: 1_000,
      timeoutMs: 800,
      intercept: async (request) => {
        if (isClaim(request)) await gate;
        return undefined;
      },
    });
    const settings = { ...S3_KEYS, endpoint, claimMs: 1_000 };
    await store.get(KEY);
    await expect(store.claim?.(KEY)).rejects.toThrow("no answer within");
    go();
    const other = createS3Store("s3://fleet/late", settings);
    await until(async () => (await other.holder?.(KEY)) !== undefined);
    // Another machine gets the claim after its usual lifetime, although its maker still lives.
    await until(async () => (await other.claim?.(KEY)) !== undefined);
    await Promise.all([store.close?.(), other.close?.()]);
    await proxy.kill();
  });

  withS3("a claim on S3 that was given up and is written later is recognized by its client", async () => {
    const { promise: gate, resolve: go } = Promise.withResolvers<void>();
    const { store, endpoint, proxy } = open("given-up", {
      timeoutMs: 800,
      intercept: async (request) => {
        if (isClaim(request)) await gate;
        return undefined;
      },
    });
    await store.get(KEY);
    await expect(store.claim?.(KEY)).rejects.toThrow("no answer within");
    go();
    const other = createS3Store("s3://fleet/given-up", { ...S3_KEYS, endpoint });
    await until(async () => (await other.holder?.(KEY)) !== undefined);
    expect(await store.claim?.(KEY)).toBeDefined();
    expect(await other.claim?.(KEY)).toBeUndefined();
    await Promise.all([store.close?.(), other.close?.()]);
    await proxy.kill();
  });

  withS3(
    "a claim that S3 lost is made again by its holder, but a claim that another client took over is not",
    async () => {
      const { store, endpoint, proxy } = open("forgot", { claimMs: 600 });
      const outside = createS3Store("s3://fleet/forgot", { ...S3_KEYS, endpoint, claimMs: 60_000 });
      const remove = () => fetchAs("DELETE", endpoint, `forgot/claims/${KEY}`);
      await using _claim = await store.claim?.(KEY);
      await remove();
      await until(async () => (await outside.holder?.(KEY)) !== undefined);
      await remove();
      let theirs = await outside.claim?.(KEY);
      for (; theirs === undefined; theirs = await outside.claim?.(KEY)) await remove();
      await Bun.sleep(600);
      await _claim?.[Symbol.asyncDispose]();
      await store.close?.();
      expect(await outside.holder?.(KEY)).toBeDefined();
      await theirs[Symbol.asyncDispose]();
      await outside.close?.();
      expect(await createS3Store("s3://fleet/forgot", { ...S3_KEYS, endpoint }).holder?.(KEY)).toBeUndefined();
      await proxy.kill();
    },
  );

  withS3("a claim on S3 does not delay a finished answer when the server stops responding", async () => {
    const { promise: gate, resolve: go } = Promise.withResolvers<void>();
    const proxy = conditionalProxy(s3.url);
    await using wire = await tcpProxy(upstreamOf(proxy.url));
    const endpoint = `http://127.0.0.1:${wire.port}`;
    const shared = createS3Store("s3://fleet/silent", { ...S3_KEYS, endpoint, timeoutMs: 1_000 });
    const local = createFolderStore(join(folder, "silent"));
    const store = createSharedStore(shared, { local, warn() {}, readyMs: 200, lastMs: 5_000 });
    const model = scriptedModel(async () => {
      await gate;
      return "ready";
    });
    const answer = createRecordedModel(model, store, { mode: "auto" }).complete(ask("silent"), { label: "/silent" });
    await until(() => model.requests.length === 1);
    wire.silence();
    go();
    const begun = performance.now();
    expect((await answer).text).toBe("ready");
    expect(performance.now() - begun).toBeLessThan(2_000);
    await wire.restore();
    await until(
      async () => (await createS3Store("s3://fleet/silent", { ...S3_KEYS, endpoint: s3.url }).list()).length === 1,
    );
    expect(await store.settle?.()).toEqual([]);
    await store.close?.();
    await proxy.kill();
  });
});

describe("S3 over a slow link", () => {
  withS3("a long recording is read as long as it makes progress", async () => {
    const one = recordingOf("x".repeat(1_000));
    const text = writeRecording(one);
    const { store, proxy } = open("long", {
      timeoutMs: 1_500,
      intercept: (request) => {
        if (request.method !== "GET") return undefined;
        const body = async function* () {
          for (let at = 0; at < text.length; at += 100) {
            yield Buffer.from(text.slice(at, at + 100));
            await Bun.sleep(200);
          }
        };
        return new Response(body(), { headers: { etag: '"x"', "last-modified": new Date().toUTCString() } });
      },
    });
    const begun = performance.now();
    expect(await store.get(one.key)).toEqual(one);
    expect(performance.now() - begun).toBeGreaterThan(1_500);
    await store.close?.();
    await proxy.kill();
  });
});

describe("clocks", () => {
  for (const seconds of [-90, 90, -3_600, 3_600]) {
    withS3(`a client whose clock is wrong by ${seconds} s reads, writes and claims on S3`, async () => {
      const proxy = conditionalProxy(s3.url);
      const STORE = `s3://fleet/clock${seconds}`;
      const env = { STORE, ENDPOINT: proxy.url, KEY, CLOCK_MS: String(seconds * 1_000) };
      const start = () =>
        Bun.spawn([process.execPath, join(import.meta.dir, "../support/s3-clock.ts")], {
          env,
          stdin: "pipe",
          stdout: "pipe",
        });
      await using child = start();
      const line = async (from: ReadableStream<Uint8Array>) =>
        JSON.parse(new TextDecoder().decode((await from.getReader().read()).value));
      const label = `/${seconds * 1_000}`;
      expect(await line(child.stdout)).toEqual({ stored: label, found: label, claimed: true });
      // Neither a machine with a right clock nor one with the same wrong clock thinks that the claim has expired.
      const right = createS3Store(STORE, { ...S3_KEYS, endpoint: proxy.url });
      expect(await right.claim?.(KEY)).toBeUndefined();
      await using second = start();
      expect(await line(second.stdout)).toEqual({ stored: label, found: label, claimed: false });
      second.stdin.end();
      child.stdin.end();
      await Promise.all([child.exited, second.exited]);
      await until(async () => (await right.claim?.(KEY)) !== undefined);
      await right.close?.();
      await proxy.kill();
    });
  }
});

describe("S3 that ignores conditions on writes", () => {
  withS3("S3 that ignores conditions on writes is recognized, and a warning says what is not guaranteed", async () => {
    const warnings: string[] = [];
    const { store, proxy } = open("ignores", { conditional: false, warnings });
    await using _claim = await store.claim?.(KEY);
    await store.offer(recordingOf("x"));
    expect(warnings).toEqual([expect.stringContaining("two machines may pay for the same answer")]);
    await store.close?.();
    await proxy.kill();
  });

  withS3("S3 that rejects conditions on writes gets the same warning", async () => {
    const warnings: string[] = [];
    const { store, proxy } = open("rejects", {
      conditional: false,
      warnings,
      intercept: (request) =>
        request.headers.has("if-none-match") || request.headers.has("if-match")
          ? new Response("<Error><Code>NotImplemented</Code></Error>", { status: 501 })
          : undefined,
    });
    await using claim = await store.claim?.(KEY);
    expect(claim).toBeDefined();
    const one = recordingOf("x");
    expect(await store.offer(one)).toEqual(one);
    expect(warnings).toHaveLength(1);
    await store.close?.();
    await proxy.kill();
  });

  withS3("with slow writes and without conditions, machines that get different answers report it", async () => {
    // Each write takes up to a second, so that claims and recordings overtake each other.
    const proxy = conditionalProxy(s3.url, {
      conditional: false,
      intercept: async (request) => {
        if (request.method === "PUT") await Bun.sleep(Math.random() * 1_000);
        return undefined;
      },
    });
    const machines = Array.from({ length: 3 }, (_, index) => {
      const shared = createS3Store("s3://fleet/slow", { ...S3_KEYS, endpoint: proxy.url, claimMs: 60_000 });
      const store = createSharedStore(shared, { local: createFolderStore(join(folder, `slow${index}`)), warn() {} });
      const model = scriptedModel(`from machine ${index}`);
      return { store, model, recorded: createRecordedModel(model, store, { mode: "auto", pollMs: 50 }) };
    });
    const files = Array.from({ length: 12 }, (_, index) => `file ${index}`);
    const trees = await Promise.all(
      machines.map(async ({ recorded, store }) => {
        const texts = await Promise.all(
          files.map(async (file) => (await recorded.complete(ask(file), { label: `/${file}` })).text),
        );
        return { texts, problems: (await store.settle?.()) ?? [] };
      }),
    );
    const right = trees.filter(({ problems }) => problems.length === 0).map(({ texts }) => texts.join());
    expect(new Set(right).size).toBeLessThanOrEqual(1);
    await Promise.all(machines.map(({ store }) => store.close?.()));
    await proxy.kill();
  });

  withS3("a recording that is replaced after it was used is reported at the end", async () => {
    const { store, proxy, endpoint } = open("replaced", { conditional: false });
    await using _claim = await store.claim?.(KEY);
    await store.offer(recordingOf("mine"));
    await createS3Store("s3://fleet/replaced", { ...S3_KEYS, endpoint }).put(recordingOf("theirs"));
    expect(await store.settle?.()).toEqual([expect.stringContaining("1 file (/a.txt) is not what other machines got")]);
    await store.close?.();
    await proxy.kill();
  });
});

describe("credentials for S3", () => {
  /** Lists a store in a process of its own, with this environment. */
  async function list(environment: Record<string, string>): Promise<{ status: number; stderr: string }> {
    const code = `
      import { createS3Store } from ${JSON.stringify(join(import.meta.dir, "../../src/recording/stores/remote/s3.ts"))};
      console.log((await createS3Store("s3://fleet/credentials").list()).length);
    `;
    const child = Bun.spawn([process.execPath, "-e", code], {
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        AWS_ENDPOINT_URL_S3: s3.url,
        AWS_EC2_METADATA_DISABLED: "true",
        ...environment,
      },
      stderr: "pipe",
      stdout: "ignore",
    });
    return { stderr: await child.stderr.text(), status: await child.exited };
  }

  withS3("credentials for S3 come from a profile", async () => {
    const file = join(folder, "credentials");
    writeFileSync(file, "[ci]\naws_access_key_id = S3RVER\naws_secret_access_key = S3RVER\n");
    const profile = { AWS_SHARED_CREDENTIALS_FILE: file, AWS_PROFILE: "ci" };
    expect(await list(profile)).toEqual({ status: 0, stderr: "" });
    const { status, stderr } = await list({ ...profile, AWS_PROFILE: "other" });
    expect(status).not.toBe(0);
    expect(stderr).toContain("AWS_PROFILE");
  });

  withS3("credentials for S3 come from a web identity and from a role of a profile", async () => {
    const asked: string[] = [];
    const credentials =
      "<Credentials><AccessKeyId>S3RVER</AccessKeyId><SecretAccessKey>S3RVER</SecretAccessKey>" +
      "<SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>";
    await using sts = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const action = new URLSearchParams(await request.text()).get("Action") ?? "";
        asked.push(action);
        const body = `<${action}Response><${action}Result>${credentials}</${action}Result></${action}Response>`;
        return new Response(body, { headers: { "content-type": "text/xml" } });
      },
    });
    const token = join(folder, "token");
    writeFileSync(token, "a.b.c");
    const common = { AWS_ENDPOINT_URL_STS: `http://127.0.0.1:${sts.port}`, AWS_REGION: "us-east-1" };
    const role = "arn:aws:iam::123456789012:role/ci";
    expect(await list({ ...common, AWS_ROLE_ARN: role, AWS_WEB_IDENTITY_TOKEN_FILE: token })).toEqual({
      status: 0,
      stderr: "",
    });
    const file = join(folder, "config");
    writeFileSync(
      file,
      `[profile base]\naws_access_key_id = x\naws_secret_access_key = y\n[profile ci]\nrole_arn = ${role}\nsource_profile = base\n`,
    );
    expect(await list({ ...common, AWS_CONFIG_FILE: file, AWS_PROFILE: "ci" })).toEqual({ status: 0, stderr: "" });
    expect(asked).toEqual(["AssumeRoleWithWebIdentity", "AssumeRole"]);
  });
});

/** A request with the keys of the server. */
async function fetchAs(method: "DELETE", endpoint: string, path: string): Promise<void> {
  const { S3Client } = await import("bun");
  const client = new S3Client({ ...S3_KEYS, endpoint, bucket: "fleet" });
  if (method === "DELETE") await client.delete(path);
}
