/** The stores of the matrix: real servers, each with the faults that it can have. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient } from "bun";
import { conditionalProxy, freePort, S3_KEYS, S3RVER, type Server } from "../support/servers.ts";

export type StoreKind = "Redis" | "S3" | "S3 without conditions";
export type Condition = "well" | "full" | "read-only" | "rights missing";

export interface TestStore extends AsyncDisposable {
  readonly port: number;
  /** The URL for a machine that reaches it at this address, and the environment that goes with it. */
  location(host: string, port: number): { readonly url: string; readonly env: Record<string, string> };
  /** What must not be shown: passwords, keys, and what was derived from them. */
  readonly secrets: ReadonlySet<string>;
  /** How many recordings it has. */
  count(): Promise<number>;
  /** From now on, nothing can be written. */
  fill(): Promise<void>;
  /** Ends as in a crash, and comes back without any data. */
  restartEmpty(): Promise<void>;
}

export function createTestStore(kind: StoreKind, condition: Condition): Promise<TestStore> {
  return kind === "Redis" ? createRedis(condition) : createS3(kind === "S3", condition);
}

async function createRedis(condition: Condition): Promise<TestStore> {
  // The URL has it in another form than the server.
  const password = `p@ss/${crypto.randomUUID()}`;
  const folder = mkdtempSync(join(tmpdir(), "llmfs-fleet-redis-"));
  const port = freePort();
  const start = async () => {
    const flags = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder];
    const child = Bun.spawn(["redis-server", ...flags], { stdout: "ignore", stderr: "ignore" });
    await untilAnswers(port);
    const admin = new RedisClient(`redis://127.0.0.1:${port}`);
    await admin.send("CONFIG", ["SET", "requirepass", password]);
    if (condition === "full") await admin.send("CONFIG", ["SET", "maxmemory", "1"]);
    const rights = RIGHTS[condition];
    if (rights !== undefined) {
      await admin.send("ACL", ["SETUSER", "runner", "on", `>${password}`, "~*", "resetchannels", "-@all", ...rights]);
    }
    return { child, admin };
  };
  let running = await start();
  const stop = async () => {
    running.admin.close();
    running.child.kill("SIGKILL");
    await running.child.exited;
  };
  return {
    port,
    secrets: new Set([password, encodeURIComponent(password)]),
    location(host, at) {
      const user = RIGHTS[condition] === undefined ? "" : "runner";
      return { url: `redis://${user}:${encodeURIComponent(password)}@${host}:${at}`, env: {} };
    },
    async count() {
      const keys: unknown = await running.admin.send("KEYS", ["llmfs:recording:*"]);
      return Array.isArray(keys) ? keys.length : 0;
    },
    async fill() {
      await running.admin.send("CONFIG", ["SET", "maxmemory", "1"]);
    },
    async restartEmpty() {
      await stop();
      await Bun.sleep(500);
      running = await start();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What a runner may do. Undefined: everything. */
const RIGHTS: Readonly<Record<Condition, readonly string[] | undefined>> = {
  well: undefined,
  full: undefined,
  "read-only": ["+get", "+getrange", "+scan", "+time", "+pttl", "+zrangebylex", "+zrange"],
  // No scripts, no index, no time.
  "rights missing": ["+get", "+getrange", "+set", "+del", "+pttl", "+pexpire"],
};

async function createS3(conditions: boolean, condition: Condition): Promise<TestStore> {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-fleet-s3-"));
  // The server knows only keys that are not secret, so it accepts every signature.
  const [secret, token] = [crypto.randomUUID(), crypto.randomUUID()];
  const secrets = new Set<string>([secret, token]);
  let state = condition;
  const start = async () => {
    const port = freePort();
    for (const name of ["claims", "labels", "recordings"]) {
      mkdirSync(join(folder, "fleet/runs", name), { recursive: true });
      // s3rver removes an empty directory, and ends if something is written to it at that moment.
      writeFileSync(join(folder, "fleet/runs", name, "keep"), "");
    }
    const flags = ["-d", folder, "-a", "127.0.0.1", "-p", String(port), "--silent", "--configure-bucket", "fleet"];
    const accept = "--allow-mismatched-signatures";
    const child = Bun.spawn([process.execPath, S3RVER, ...flags, accept], { stdout: "ignore", stderr: "ignore" });
    await untilAnswers(port);
    const url = `http://127.0.0.1:${port}`;
    const exact: Server | undefined = conditions ? conditionalProxy(url) : undefined;
    return { child, exact, url: exact?.url ?? url };
  };
  let running: Awaited<ReturnType<typeof start>> | undefined = await start();
  const stop = async () => {
    const ended = running;
    running = undefined;
    await ended?.exact?.kill();
    ended?.child.kill("SIGKILL");
    await ended?.child.exited;
  };
  const gate = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 120,
    async fetch(request) {
      const { method, headers } = request;
      const { pathname, search, searchParams } = new URL(request.url);
      const lists = method === "GET" && pathname.replaceAll("/", "") === "fleet" && searchParams.size > 0;
      const authorization = headers.get("authorization") ?? "";
      const signature = /Signature=([0-9a-f]{64})/.exec(authorization)?.[1] ?? searchParams.get("X-Amz-Signature");
      if (!signature || headers.get("x-amz-security-token") !== token) return new Response(null, { status: 401 });
      secrets.add(signature);
      const refusal = refuse(state, method, lists);
      if (refusal !== undefined) return refusal;
      const body = method === "PUT" || method === "POST" ? await request.arrayBuffer() : undefined;
      if (running === undefined) return new Response("<Error><Code>ServiceUnavailable</Code></Error>", { status: 503 });
      return fetch(`${running.url}${pathname}${search}`, { method, headers, ...(body && { body }) }).catch(
        () => new Response(null, { status: 503 }),
      );
    },
  });
  return {
    port: gate.port ?? 0,
    secrets,
    location: (host, port) => ({
      url: "s3://fleet/runs",
      env: {
        AWS_ENDPOINT_URL: `http://${host}:${port}`,
        AWS_ACCESS_KEY_ID: S3_KEYS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: secret,
        AWS_SESSION_TOKEN: token,
        AWS_REGION: S3_KEYS.region,
      },
    }),
    count: async () => {
      try {
        const names = readdirSync(join(folder, "fleet/runs/recordings"));
        return names.filter((name) => name.endsWith("._S3rver_object")).length;
      } catch {
        return 0;
      }
    },
    async fill() {
      state = "full";
    },
    async restartEmpty() {
      await stop();
      rmSync(join(folder, "fleet"), { recursive: true, force: true });
      await Bun.sleep(500);
      running = await start();
    },
    async [Symbol.asyncDispose]() {
      gate.stop(true);
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The answer of a server with this condition, as Amazon's gives it; undefined if it does what it is asked. */
function refuse(condition: Condition, method: string, lists: boolean): Response | undefined {
  const error = (status: number, code: string) =>
    new Response(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`, {
      status,
      headers: { "content-type": "application/xml" },
    });
  if (condition === "full" && method === "PUT") return error(507, "InsufficientStorage");
  if (condition === "read-only" && method !== "GET" && method !== "HEAD") return error(403, "AccessDenied");
  if (condition === "rights missing" && (method === "DELETE" || lists)) return error(403, "AccessDenied");
  return undefined;
}

async function untilAnswers(port: number): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; await Bun.sleep(20)) {
    const connected = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } }).then(
      (socket) => socket.end() !== undefined || true,
      () => false,
    );
    if (connected) return;
  }
  throw new Error(`nothing answers at port ${port}`);
}
