/** Requests to this machine when the environment names a proxy: the proxy never sees them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { restoreOwnExceptions } from "../../../src/app/settings/proxies.ts";
import { mounting, testWith } from "../../support/needs.ts";
import { openaiServer } from "../../support/openai-server.ts";
import { BINARY, Sandbox } from "../../support/program.ts";

let sandbox: Sandbox;
let proxy: Server;
let proxied: string[];
let environment: Record<string, string>;
beforeEach(async () => {
  sandbox = new Sandbox();
  proxied = [];
  proxy = createServer((request, response) => {
    proxied.push(`${request.url} ${request.headers.authorization ?? ""}`);
    response.end("from the proxy");
  });
  proxy.on("connect", (request, socket) => {
    proxied.push(`CONNECT ${request.url}`);
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  const port = await listening(proxy);
  const url = `http://127.0.0.1:${port}`;
  environment = { HTTP_PROXY: url, HTTPS_PROXY: url };
});
afterEach(() => {
  proxy.closeAllConnections();
  proxy.close();
  sandbox[Symbol.dispose]();
});

async function listening(server: Server, host = "127.0.0.1"): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo; // of a server that listens on TCP
  return port;
}

describe.each([
  ["HTTP_PROXY", (url: string) => ({ HTTP_PROXY: url, HTTPS_PROXY: url })],
  ["http_proxy, and a NO_PROXY of one's own", (url: string) => ({ http_proxy: url, NO_PROXY: "example.com" })],
  ["http_proxy, and no_proxy", (url: string) => ({ http_proxy: url, no_proxy: "example.com", NO_PROXY: "*.org" })],
  ["ALL_PROXY", (url: string) => ({ ALL_PROXY: url })],
])("with %s", (_, variables) => {
  test("the generator http sends requests to a server on this machine directly, with its token", async () => {
    const asked: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      asked.push(request.headers.authorization);
      if (request.url === "/away") response.writeHead(302, { location: `http://localhost:${port}/there` });
      response.end("direct\n");
    });
    const port = await listening(server);
    const rule = (match: string, url: string) => ({
      match,
      generator: "http",
      options: {
        url,
        headers: { Authorization: `Bearer \${TOKEN}` },
        private: true,
        hosts: [`127.0.0.1:${port}`, `localhost:${port}`],
      },
    });
    const rules = [
      rule("a", `http://127.0.0.1:${port}/`),
      rule("b", `http://localhost:${port}/`),
      rule("c", `http://127.0.0.1:${port}/away`),
    ];
    writeFileSync(sandbox.at("c.json"), JSON.stringify({ rules }));
    const env = { ...variables(environment.HTTP_PROXY ?? ""), TOKEN: "token-of-mine" };
    for (const path of ["a", "b", "c"]) {
      const { stdout } = await sandbox.llmfs(["generators", "test", path, "--config", "c.json"], {
        program: BINARY,
        env,
      });
      expect([path, stdout]).toEqual([path, "direct\n"]);
    }
    expect(asked.slice(0, 2)).toEqual(["Bearer token-of-mine", "Bearer token-of-mine"]);
    expect(proxied).toEqual([]);
    server.close();
  });

  test("a model server on this machine gets requests directly, with its key", async () => {
    await using server = await openaiServer([{ status: 400 }]);
    const env = { ...variables(environment.HTTP_PROXY ?? ""), OPENAI_API_KEY: "sk-my-own-key" };
    for (const base of [server.baseUrl, server.baseUrl.replace("127.0.0.1", "localhost")]) {
      await sandbox.llmfs(["generate", "--prompt", "x", "--base-url", base], { program: BINARY, env });
    }
    expect(server.requests.length).toBe(2);
    expect(proxied).toEqual([]);
  });

  test("recordings on an S3 server on this machine are read directly", async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? "");
      response.writeHead(404).end();
    });
    const port = await listening(server);
    const env = {
      ...variables(environment.HTTP_PROXY ?? ""),
      ...{ AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`, AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" },
    };
    await sandbox.llmfs(["recordings", "ls", "--recordings", "s3://bucket/x"], { program: BINARY, env });
    expect(asked.length).toBeGreaterThan(0);
    expect(proxied).toEqual([]);
    server.close();
  });
});

test("the generator http sends other requests through the proxy, unless NO_PROXY names the host", async () => {
  const options = { url: "http://192.88.98.1/data", timeout: "2s", retries: 0 };
  writeFileSync(sandbox.at("c.json"), JSON.stringify({ rules: [{ match: "a", generator: "http", options }] }));
  const args = ["generators", "test", "a", "--config", "c.json"];
  const first = await sandbox.llmfs(args, { program: BINARY, env: environment });
  expect([first.stdout, proxied.length]).toEqual(["from the proxy", 1]);
  const second = await sandbox.llmfs(args, { program: BINARY, env: { ...environment, NO_PROXY: "192.88.98.0/24" } });
  expect([second.status, proxied.length]).toEqual([90, 1]);
});

testWith(mounting())("the command of `run` and programs of rules get the proxy variables unchanged", async () => {
  const rules = [
    { match: "seen", generator: "exec", options: { command: ["env"], env: ["NO_PROXY", "no_proxy", "HTTP_PROXY"] } },
  ];
  writeFileSync(sandbox.at("c.json"), JSON.stringify({ rules }));
  for (const own of [{}, { NO_PROXY: "example.com" }, { no_proxy: "a.org" }]) {
    const env = { ...environment, ...own };
    const { stdout } = await sandbox.llmfs(["run", "--config", "c.json", "--", "sh", "-c", "env; cat seen"], {
      program: BINARY,
      env,
    });
    const seen = stdout.split("\n").filter((line) => /^no_proxy=/i.test(line));
    const expected = Object.entries(own).map(([name, value]) => `${name}=${value}`);
    expect(seen).toEqual([...expected, ...expected]);
  }
});

test("the user's exceptions in NO_PROXY are kept", () => {
  expect(restoreOwnExceptions({ NO_PROXY: "example.com" })).toEqual({});
});
