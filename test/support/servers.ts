/** Real servers, started by the test and stopped with it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Server extends AsyncDisposable {
  readonly url: string;
  /** Stops the server as a crash does. */
  kill(): Promise<void>;
}

export const REDIS = Bun.which("redis-server");

/** Debian's redis-server, on its own socket, without persistence. In the same folder it has the same URL. */
export async function redisServer(folder = mkdtempSync(join(tmpdir(), "llmfs-redis-"))): Promise<Server> {
  if (REDIS === null) throw new Error("redis-server is not installed");
  const socket = join(folder, "socket");
  rmSync(socket, { force: true });
  const command = [REDIS, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder];
  const child = Bun.spawn(command, { stdout: "ignore", stderr: "inherit" });
  await until(() => listens(socket), child);
  return server(`redis+unix://${socket}`, child, folder);
}

export const S3RVER = join(import.meta.dir, "../../node_modules/s3rver/bin/s3rver.js");
export const S3_KEYS = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER", region: "us-east-1" };

/** s3rver from npm, with a bucket named "fleet". `url` is the endpoint. */
export async function s3Server(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-s3-"));
  const port = freePort();
  const options = ["-d", folder, "-a", "127.0.0.1", "-p", String(port), "--silent", "--configure-bucket", "fleet"];
  const child = Bun.spawn([process.execPath, S3RVER, ...options], { stdout: "ignore", stderr: "inherit" });
  const url = `http://127.0.0.1:${port}`;
  await until(() => answers(url), child);
  return server(url, child, folder);
}

export interface S3ProxyOptions {
  /** Called before each request; a response is sent instead of that of the server. */
  readonly intercept?: (request: Request) => Response | undefined | Promise<Response | undefined>;
  /** Whether conditions on a write are honoured. Default: true. */
  readonly conditional?: boolean;
}

/**
 * A proxy in front of an S3 server that ignores If-Match and If-None-Match on writes: it honours them, as Amazon's
 * does. The requests pass unchanged, so their signatures stay valid.
 */
export function conditionalProxy(upstream: string, options: S3ProxyOptions = {}): Server {
  const { intercept = () => undefined, conditional = true } = options;
  const etags = new Map<string, string>();
  const proxy = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const body = await request.arrayBuffer();
      const instead = await intercept(request);
      if (instead !== undefined) return instead;
      const standing = etags.get(pathname);
      const [match, noneMatch] = [request.headers.get("if-match"), request.headers.get("if-none-match")];
      if (request.method === "PUT") {
        if (!conditional) etags.delete(pathname);
        else if ((noneMatch === "*" && standing !== undefined) || (match !== null && match !== standing)) {
          return new Response("<Error><Code>PreconditionFailed</Code></Error>", { status: 412 });
        }
        etags.set(pathname, "being written");
      }
      const { method, headers } = request;
      const response = await fetch(`${upstream}${pathname}${search}`, {
        method,
        headers,
        ...(method === "PUT" && { body }),
      }).catch(() => new Response(null, { status: 503 }));
      if (method === "PUT") etags.set(pathname, response.headers.get("etag") ?? "");
      if (method === "DELETE") etags.delete(pathname);
      return response;
    },
  });
  const stop = () => proxy.stop(true);
  return { url: `http://127.0.0.1:${proxy.port}`, kill: stop, [Symbol.asyncDispose]: stop };
}

/** A port on which connections stay half open, as with a host that does not answer: the listener's queue is full. */
export async function silentServer(): Promise<Server & { readonly connecting: () => number }> {
  const script = `
import select, socket, time
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(0)
queued = []
while True:
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(listener.getsockname())
    queued.append(one)
    if not select.select([], [one], [], 0.2)[1]:
        break
print(listener.getsockname()[1], flush=True)
time.sleep(1000)
`;
  const child = Bun.spawn(["python3", "-c", script], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  const port = Number(Buffer.from(value ?? []));
  const kill = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} 02 `;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    /** The number of connections to it that are being opened. */
    connecting: () => readFileSync("/proc/net/tcp", "latin1").split(remote).length - 1,
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

function server(url: string, child: Bun.Subprocess, folder: string): Server {
  const kill = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  return {
    url,
    kill,
    async [Symbol.asyncDispose]() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The socket exists a moment before the server listens on it. */
async function listens(socket: string): Promise<boolean> {
  try {
    (await Bun.connect({ unix: socket, socket: { data() {} } })).end();
    return true;
  } catch {
    return false;
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    await fetch(url);
    return true;
  } catch {
    return false;
  }
}

async function until(ready: () => boolean | Promise<boolean>, child: Bun.Subprocess): Promise<void> {
  for (const end = performance.now() + 10_000; performance.now() < end; await Bun.sleep(10)) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    if (await ready()) return;
  }
  child.kill();
  throw new Error("the server did not come up");
}
