import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { FsError } from "../../../src/errno.ts";
import { isPrivate } from "../../../src/generators/builtin/http/addresses.ts";
import { findNextLink } from "../../../src/generators/builtin/http/link-header.ts";
import { indentJson } from "../../../src/generators/formats/indented.ts";
import { type Loaded, loaded } from "../../support/generators.ts";
import { expectLinear, repeated } from "../../support/growth.ts";
import { programs, testWith } from "../../support/needs.ts";
import { Sandbox } from "../../support/program.ts";

const sandbox = new Sandbox();
const asked: { path: string; headers: Headers; method: string; body: string }[] = [];
let flaky = 0;

const other = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request) => new Response(`key: ${request.headers.get("authorization")}`),
});

/** Sends five megabytes of the six it announces. */
const cutLate = createServer((_, response) => {
  response.writeHead(200, { "content-length": "6000000" });
  response.write(Buffer.alloc(5_000_000, 65), () => response.destroy());
});
await new Promise<void>((resolve) => cutLate.listen(0, "127.0.0.1", resolve));

/** Announces more than it sends. */
const cut = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data(socket) {
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    },
  },
});

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 60,
  async fetch(request) {
    const url = new URL(request.url);
    const path = url.pathname + url.search;
    asked.push({ path, headers: request.headers, method: request.method, body: await request.text() });
    const [, first = "", second = ""] = url.pathname.split("/");
    switch (first) {
      case "status":
        return new Response("no", { status: Number(second) });
      case "flaky":
        return ++flaky < 3
          ? new Response("", { status: 503, headers: { "retry-after": "0.01" } })
          : new Response("yes");
      case "away":
        return Response.redirect(`http://127.0.0.1:${other.port}/`, 302);
      case "metadata":
        return Response.redirect("http://169.254.169.254/latest", 302);
      case "redirect":
        return new Response(null, { status: 302, headers: { location: "file:///etc/passwd?a" } });
      case "round":
        return Response.redirect("/round", 302);
      case "big":
        return new Response("x".repeat(100_000));
      case "never":
        return new Promise(() => {});
      case "json":
        return new Response('{"big":12345678901234567890,"a":[1.10,{}],"t":"x, {\\"y\\"}","e":[]}');
      case "users": {
        const page = Number(url.searchParams.get("page") ?? "1");
        const results = [{ id: page * 2 - 1 }, { id: page * 2 }];
        const next = page < 3 ? `/users?page=${page + 1}` : null;
        return Response.json({ results, next });
      }
      case "linked": {
        const page = Number(url.searchParams.get("page") ?? "1");
        const headers: Record<string, string> = page < 2 ? { link: `</linked?page=${page + 1}>; rel="next"` } : {};
        return Response.json(page === 1 ? ["a/b", ".."] : ["c"], { headers });
      }
      case "pages": {
        const count = Number(second);
        const { searchParams: given } = url;
        const page = Number(given.get("page") ?? given.get("after") ?? Number(given.get("offset") ?? 0) / 2 + 1);
        const items =
          page > count
            ? []
            : [
                { id: page * 2 - 1, name: `n"${page}` },
                { id: page * 2, price: JSON.rawJSON("1.50") },
              ];
        if (given.has("strict") && page > count) return new Response("no such page", { status: 404 });
        if (given.has("broken") && page === count) return new Response("oh", { status: 500 });
        return Response.json({ items, cursor: page < count ? page + 1 : null, self: url.pathname });
      }
      case "many": {
        const items = Array.from({ length: Number(second) }, (_, id) => ({
          id,
          price: JSON.rawJSON("1.50"),
          name: "x".repeat(40),
        }));
        return Response.json({ items, next: null });
      }
      case "deaf":
        return Response.json({ items: [1, 2] });
      case "latin":
        return new Response(Buffer.from('[{"name":"caf\xe9"}]', "latin1"), {
          headers: second === "" ? {} : { "content-type": `application/json; charset=${second}` },
        });
      case "deep":
        return new Response(`${"[".repeat(Number(second))}${"]".repeat(Number(second))}`);
      case "wide":
        return Response.json(Array.from({ length: Number(second) }, (_, id) => ({ [`member${id}`]: 1 })));
      case "large":
        return new Response("x".repeat(6_000_000));
      case "tagged":
        return request.headers.get("if-none-match") === '"1"'
          ? new Response(null, { status: 304 })
          : new Response("tagged", { headers: { etag: '"1"' } });
    }
    return new Response(`${request.method} ${path}`);
  },
});

afterAll(() => {
  server.stop(true);
  other.stop(true);
  cut.stop(true);
  cutLate.close();
  sandbox[Symbol.dispose]();
});

const BASE = `http://127.0.0.1:${server.port}`;

async function with_(
  options: Readonly<Record<string, unknown>>,
  match = "x/{id}.txt",
  environment: Readonly<Record<string, string>> = {},
): Promise<Loaded> {
  const file = sandbox.at(`${Bun.randomUUIDv7()}.json`);
  const rule = { match, generator: "http", options: { private: true, url: `${BASE}/echo/{id}`, ...options } };
  writeFileSync(file, JSON.stringify({ rules: [rule] }));
  return loaded(file, environment);
}

async function outcome(options: Readonly<Record<string, unknown>>, path = "/x/1.txt"): Promise<string> {
  await using one = await with_(options);
  return one.text(path).catch((error: unknown) => (error instanceof FsError ? error.code : String(error)));
}

test("parts of the path are encoded in the URL, whatever characters they contain", async () => {
  await using one = await with_({});
  expect(await one.text("/x/7.txt")).toBe("GET /echo/7");
  for (const [part, encoded] of [
    ["a b", "a%20b"],
    ["%2Fadmin", "%2Fadmin"],
    ["?q=1#f", "%3Fq%3D1%23f"],
    ["@evil.example", "%40evil.example"],
    ["..%2F..%2Fadmin", "..%2F..%2Fadmin"],
    ["é", "%C3%A9"],
    ["\r\nX: y", "%0D%0AX%3A%20y"],
  ]) {
    expect(await one.text(`/x/${part}.txt`)).toBe(`GET /echo/${encoded}`);
  }
  const dots = await one.text("/x/%2E%2E.txt").catch((error: FsError) => error.code);
  expect(dots).toBe("ENOENT");
});

test("no request waits on an idle connection that died silently", async () => {
  const used = new WeakSet<Socket>();
  await using once = createServer((request, response) => {
    if (used.has(request.socket)) return;
    used.add(request.socket);
    response.end("here");
  });
  await new Promise<void>((resolve) => once.listen(0, "127.0.0.1", resolve));
  const { port } = once.address() as AddressInfo;
  await using one = await with_({ url: `http://127.0.0.1:${port}/{id}`, timeout: "10s" });
  for (const id of [1, 2, 3]) expect(await one.text(`/x/${id}.txt`)).toBe("here");
});

test("method, headers with secrets from the environment, and body are sent", async () => {
  const options = { method: "post", headers: { Authorization: `Bearer \${TOKEN}` }, body: { q: [1] } };
  await using one = await with_(options, undefined, { TOKEN: "s3cret" });
  expect(await one.text("/x/1.txt")).toBe("POST /echo/1");
  expect(asked.at(-1)?.headers.get("authorization")).toBe("Bearer s3cret");
  expect(asked.at(-1)?.body).toBe('{"q":[1]}');
  await expect(with_(options)).rejects.toThrow("the environment variable TOKEN is not set");
});

test("each HTTP status has its errno", async () => {
  const seen = [404, 410, 401, 403, 429, 400, 500].map((status) =>
    outcome({ url: `${BASE}/status/${status}`, retries: 0 }),
  );
  expect(await Promise.all(seen)).toEqual(["ENOENT", "ENOENT", "EACCES", "EACCES", "EBUSY", "EIO", "EIO"]);
});

test("a part of the content is not the content", async () => {
  expect(await outcome({ url: `${BASE}/status/206` })).toBe("EIO");
});

test("JSON that is not UTF-8 is read as the response declares, or is an error", async () => {
  const ways = [{ json: true }, { collect: true, format: "json" }];
  for (const way of ways) {
    const read = (charset: string) => outcome({ ...way, url: `${BASE}/latin/${charset}` });
    expect(JSON.parse(await read("iso-8859-1"))).toEqual([{ name: "café" }]);
    for (const charset of ["", "utf-8", "no-such-charset"]) expect(await read(charset)).toBe("EIO");
  }
});

test("a secret in a URL appears in no message, log or metadata", async () => {
  await using one = await with_({ url: `${BASE}/status/404/\${BOT_TOKEN}`, retries: 0 }, undefined, {
    BOT_TOKEN: "12345:abcdef",
  });
  const error = await one.text("/x/1.txt").catch((reason: FsError) => reason.message);
  expect(error).toContain("/status/404/***: HTTP 404");
  expect(one.log.join()).not.toContain("abcdef");
});

test("a request is retried if the server is busy", async () => {
  expect(await outcome({ url: `${BASE}/flaky` })).toBe("yes");
  expect(flaky).toBe(3);
});

test("redirects are followed to allowed hosts only, and without keys", async () => {
  expect(await outcome({ url: `${BASE}/away`, hosts: ["127.0.0.1:1"] })).toBe("EACCES");
  const hosts = [`127.0.0.1:${server.port}`];
  expect(await outcome({ url: `${BASE}/away`, hosts })).toBe("EACCES");
  hosts.push(`127.0.0.1:${other.port}`);
  expect(await outcome({ url: `${BASE}/away`, hosts, headers: { Authorization: "k" } })).toBe("key: null");
  expect(await outcome({ url: `${BASE}/metadata` })).toBe("EACCES");
  expect(await outcome({ url: `${BASE}/round` })).toBe("ELOOP");
});

test("private addresses are refused unless allowed", async () => {
  expect(await outcome({ private: false })).toBe("EACCES");
  expect(await outcome({ private: false, url: `http://localhost:${server.port}/` })).toBe("EACCES");
  expect(
    [
      ...["10.1.2.3", "127.0.0.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "255.255.255.255", "0.0.0.0"],
      ...["::", "::1", "fd00::1", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "2002:7f00:1::", "2001::1"],
      ...["::ffff:10.0.0.1", "::ffff:a00:1", "::127.0.0.1", "::ffff:0:7f00:1", "64:ff9b::1", "no address"],
    ].filter((address) => !isPrivate(address)),
  ).toEqual([]);
  expect(["1.1.1.1", "2606:4700::1111", "172.32.0.1", "::ffff:101:101"].map(isPrivate)).toEqual(Array(4).fill(false));
});

testWith(programs("openssl"))(
  "the address that was looked at is the one that is asked, under the host's own name",
  async () => {
    const folder = sandbox.directory("tls");
    const at = (name: string) => `${folder}/${name}`;
    const subject = ["-subj", "/CN=api.test", "-addext", "subjectAltName=DNS:api.test"];
    const keys = ["-newkey", "rsa:2048", "-nodes", "-keyout", at("key"), "-out", at("cert"), "-days", "2"];
    expect(Bun.spawnSync({ cmd: ["openssl", "req", "-x509", ...keys, ...subject] }).exitCode).toBe(0);
    // In a process of its own, because the trusted authorities are fixed when a process starts.
    const script = `
    import { ask } from ${JSON.stringify(`${import.meta.dir}/../../../src/generators/builtin/http/request.ts`)};
    const tls = { key: Bun.file(${JSON.stringify(at("key"))}), cert: Bun.file(${JSON.stringify(at("cert"))}) };
    const fetch = (request) => new Response("for " + request.headers.get("host"));
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, tls, fetch });
    const options = { method: "GET", headers: new Map(), hosts: ["api.test", "other.test"], private: false, maxBytes: 1000,
      timeoutMs: 5000, retries: 0, addressOf: async () => "127.0.0.1" };
    const asking = { signal: new AbortController().signal, log: { info() {} } };
    for (const host of ["api.test", "other.test"]) {
      const answer = ask(new URL("https://" + host + ":" + server.port + "/"), options, asking);
      console.log(await answer.then(({ bytes }) => new TextDecoder().decode(bytes), (error) => error.code));
    }
    server.stop(true);`;
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: at("cert") };
    const { stdout, stderr } = Bun.spawnSync({ cmd: [process.execPath, "-e", script], env });
    expect([stdout.toString(), stderr.toString()]).toEqual([
      expect.stringMatching(/^for api\.test:\d+\nEHOSTUNREACH\n$/),
      "",
    ]);
  },
);

test("size and time limits are enforced", async () => {
  expect(await outcome({ url: `${BASE}/big`, maxBytes: 99_999 })).toBe("EFBIG");
  expect(await outcome({ url: `${BASE}/never`, timeout: "200ms" })).toBe("ETIMEDOUT");
  expect(await outcome({ url: "http://127.0.0.1:1/", retries: 0 })).toBe("EHOSTUNREACH");
  expect(["EIO", "EHOSTUNREACH"]).toContain(await outcome({ url: `http://127.0.0.1:${cut.port}/`, retries: 0 }));
});

test("an error describes what failed in plain words, with the URL as written in the rule", async () => {
  const said = async (url: string) => {
    await using one = await with_({ url, retries: 0 });
    return one.text("/x/1.txt").catch((error: unknown) => (error instanceof Error ? error.message : ""));
  };
  expect(await said(`${BASE}/redirect`)).toBe("file:///etc/passwd: not an http or https URL");
  expect(await said("http://127.0.0.1:1/a?key=7")).toMatch(/^http:\/\/127\.0\.0\.1:1\/a: .*Unable to connect$/);
  expect(await said(`http://127.0.0.1:${cut.port}/`)).toMatch(
    /: (?:\w+: The socket connection was closed unexpectedly|3 of 100 bytes arrived)$/,
  );
});

test("a request is aborted when its reader goes away", async () => {
  await using one = await with_({ url: `${BASE}/never` });
  const stop = new AbortController();
  const reading = one.text("/x/1.txt", stop.signal).catch((error: FsError) => error.code);
  while (asked.at(-1)?.path !== "/never") await Bun.sleep(5);
  stop.abort();
  expect(await reading).toBe("EINTR");
});

test("indented JSON keeps every number as it was", async () => {
  expect(await outcome({ url: `${BASE}/json`, json: true })).toBe(
    '{\n  "big": 12345678901234567890,\n  "a": [\n    1.10,\n    {}\n  ],\n  "t": "x, {\\"y\\"}",\n  "e": []\n}\n',
  );
  expect([...indentJson("[ ]")].join("")).toBe("[]\n");
  expect([...indentJson(' {"a" : {"b":-1e5} } ')].join("")).toBe('{\n  "a": {\n    "b": -1e5\n  }\n}\n');
  expect(await outcome({ json: true })).toBe("EIO");
});

describe("a collection as a directory:", () => {
  test("items are files, found by JSONPath or pointer, page by page", async () => {
    for (const [items, next] of [
      ["$.results[*]", "$.next"],
      ["/results", "/next"],
    ]) {
      await using one = await with_({ list: `${BASE}/users`, items, next });
      expect(await one.list("/x", "http")).toEqual([1, 2, 3, 4, 5, 6].map((id) => `${id}.txt`));
    }
  });

  test("Link headers are followed, and names that no file can have are escaped reversibly", async () => {
    await using one = await with_({ list: `${BASE}/linked` });
    const names = await one.list("/x", "http");
    expect(names).toEqual(["a%2Fb.txt", "%2E%2E.txt", "c.txt"]);
    expect(await one.text(`/x/${names[0]}`)).toBe("GET /echo/a%2Fb");
  });
});

test("a file that expired asks the server whether the content has changed", async () => {
  await using one = await with_({ url: `${BASE}/tagged` });
  const { generator } = one.config.generators.get("http") ?? {};
  const { options } = one.config.rules.bind("/x/1.txt", "llm");
  const log = { debug() {}, info() {}, warn() {} };
  const context = { options, params: {}, signal: new AbortController().signal, log, previous: { etag: '"1"' } };
  // biome-ignore lint/suspicious/noExplicitAny: the generator looks at no more of its context
  expect(await generator?.generate("/x/1.txt", context as any)).toEqual({ unchanged: true });
  // biome-ignore lint/suspicious/noExplicitAny: as above
  expect(await generator?.generate("/x/1.txt", { ...context, previous: {} } as any)).toMatchObject({
    metadata: { etag: '"1"' },
  });
});

test("a URL whose host depends on the path is refused at start-up", async () => {
  for (const url of ["http://{id}/x", "http://a.{id}/", "http://u@h/x", "ftp://h/x", "h/x"]) {
    await expect(with_({ url })).rejects.toThrow("rule 1");
  }
});

describe("a collection as one file:", () => {
  const COLLECT = { collect: true, items: "/items", retries: 0 };
  const ALL = [
    { id: 1, name: 'n"1' },
    { id: 2, price: 1.5 },
    { id: 3, name: 'n"2' },
    { id: 4, price: 1.5 },
    { id: 5, name: 'n"3' },
    { id: 6, price: 1.5 },
  ];

  const ways: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ["a cursor", { url: `${BASE}/pages/3`, next: "$.cursor", cursor: "after" }],
    ["numbers of pages", { url: `${BASE}/pages/3`, page: "page" }],
    ["numbers of pages, and 404 behind the last", { url: `${BASE}/pages/3?strict=1`, page: "page" }],
    ["numbers of items", { url: `${BASE}/pages/3`, offset: "offset" }],
  ];
  for (const [name, way] of ways) {
    test(`pages are followed by ${name}`, async () => {
      await using one = await with_({ ...COLLECT, ...way }, "x/{id}.json");
      const text = await one.text("/x/all.json");
      expect(JSON.parse(text)).toEqual(ALL);
      // One item a line, with the number as it was written.
      expect(text.split("\n")[2]).toBe('  {"id":2,"price":1.50},');
    });
  }

  test("pages are followed by the next page's URL, and by the Link header", async () => {
    await using one = await with_(
      { collect: true, url: `${BASE}/users`, items: "$.results[*]", next: "/next" },
      "x/{id}.ndjson",
    );
    expect(await one.text("/x/all.ndjson")).toBe([1, 2, 3, 4, 5, 6].map((id) => `{"id":${id}}\n`).join(""));
    await using two = await with_({ collect: true, url: `${BASE}/linked` }, "x/{id}.json");
    expect(JSON.parse(await two.text("/x/all.json"))).toEqual(["a/b", "..", "c"]);
  });

  test("a table has a column for every member, or for the configured ones", async () => {
    const way = { ...COLLECT, url: `${BASE}/pages/2`, page: "page" };
    await using all = await with_(way, "x/{id}.csv");
    expect(await all.text("/x/all.csv")).toBe('id,name,price\r\n1,"n""1",\r\n2,,1.50\r\n3,"n""2",\r\n4,,1.50\r\n');
    await using some = await with_({ ...way, columns: ["price", "id"], format: "tsv" }, "x/{id}");
    expect(await some.text("/x/all")).toBe("price\tid\n\t1\n1.50\t2\n\t3\n1.50\t4\n");
  });

  test("a collection without items is an empty list, or an empty file", async () => {
    await using one = await with_({ ...COLLECT, url: `${BASE}/pages/0`, page: "page" }, "x/{id}");
    const empty = await Promise.all(["json", "ndjson", "csv"].map((ending) => one.text(`/x/a.${ending}`)));
    expect(empty).toEqual(["[]\n", "", ""]);
  });

  test("the whole file fails if a page fails, is not a list, or links to itself", async () => {
    const at = (url: string, more = {}) => ({ ...COLLECT, url: `${BASE}${url}`, ...more });
    expect(await outcome({ ...at("/pages/3?broken=1"), page: "page", format: "json" })).toBe("EIO");
    expect(await outcome({ ...at("/pages/3"), items: "/self", format: "json" })).toBe("EIO");
    expect(await outcome({ ...at("/pages/3"), next: "/self", format: "json" })).toBe("ELOOP");
    expect(await outcome({ ...at("/linked"), items: "", format: "csv" })).toBe("EIO");
    const requests = asked.length;
    expect(await outcome({ ...at("/deaf"), page: "page", format: "json" })).toBe("ELOOP");
    expect(asked.length - requests).toBe(3);
    expect(await outcome({ ...at("/pages/3"), page: "page", maxBytes: 20, format: "json" })).toBe("EFBIG");
  });

  test("contradictory options are refused", async () => {
    for (const [options, message] of [
      [{ page: "p", next: "/n" }, 'only one of the options "next", "page" and "offset"'],
      [{ cursor: "after" }, 'the option "cursor" needs "next"'],
      [{ collect: true, json: true }, 'the option "json" is for one response'],
      [{ collect: true, format: "xml" }, 'the option "format" must be one of'],
    ] as const) {
      await expect(with_(options)).rejects.toThrow(message);
    }
  });
});

test("an answer of several megabytes is complete, or fails", async () => {
  await using one = await with_({ url: `${BASE}/large` });
  expect((await one.bytes("/x/1.txt")).length).toBe(6_000_000);
  const { port } = cutLate.address() as AddressInfo;
  await using two = await with_({ url: `http://127.0.0.1:${port}/` });
  const error = await two.text("/x/1.txt").catch((reason: FsError) => reason);
  expect(error).toBeInstanceOf(FsError);
});

test("the next page is found in a Link header as in RFC 8288, in linear time", async () => {
  expect(findNextLink('</a>; rel="next"')).toBe("/a");
  expect(findNextLink('</a?b=1,2>; rel=prev, </c,d>; title="x, y; rel=next"; REL="last next"')).toBe("/c,d");
  expect(findNextLink('</a>; rel="prev", </b>; rel=nextish')).toBeUndefined();
  expect(findNextLink("</a")).toBeUndefined();
  expect(findNextLink("")).toBeUndefined();
  for (const unit of ["<", "<a", "<a>;", '<a>;"', "<a>,", "rel=next,", "\\", '"', ";", "<a>; rel=x;"]) {
    await expectLinear(repeated(unit), findNextLink);
    await expectLinear(repeated(unit, '<a>; x="'), findNextLink);
  }
});

test("JSON is indented in linear time, and left unchanged if it is nested too deeply", async () => {
  const all = (text: string) => {
    for (const _ of indentJson(text));
  };
  for (const unit of ["[],", "{},", "1,", '"a",', '"\\\\",', "[[[]]],", '{"a":[{}]},', "    1,"]) {
    await expectLinear((length) => `[${unit.repeat(length / unit.length)}1]`, all);
  }
  const value = { a: [1, { b: [] }, {}, [[2]]], c: "x", d: null };
  expect([...indentJson(JSON.stringify(value))].join("")).toBe(`${JSON.stringify(value, null, 2)}\n`);
  expect(() => all(`${"[".repeat(5000)}${"]".repeat(5000)}`)).toThrow("nesting exceeds 1000 levels");
});

describe("a large answer is parsed in a helper process:", () => {
  const MANY = { url: `${BASE}/many/3000`, collect: true, items: "/items", private: true };

  test("the items of a large answer are unchanged", async () => {
    await using one = await with_(MANY, "x/{id}.json");
    const lines = (await one.text("/x/all.json")).split("\n");
    expect(lines).toHaveLength(3003);
    expect(lines[2]).toBe(`  {"id":1,"price":1.50,"name":"${"x".repeat(40)}"},`);
  });

  test("a large answer can be listed, and turned into a table", async () => {
    await using list = await with_({ url: `${BASE}/x`, list: `${BASE}/many/3000`, items: "$.items[*]" });
    expect((await list.list("/x", "http")).at(-1)).toBe("2999.txt");
    await using table = await with_({ ...MANY, columns: ["id", "price"] }, "x/{id}.csv");
    expect((await table.text("/x/all.csv")).split("\r\n").at(-2)).toBe("2999,1.50");
  });

  test("a large answer can be indented", async () => {
    await using one = await with_({ url: `${BASE}/many/3000`, json: true });
    const text = await one.text("/x/1.txt");
    expect(text).toContain('      "id": 2999,\n      "price": 1.50,\n');
    expect(text.split("\n")).toHaveLength(3000 * 5 + 6);
  });

  test("a path expression that never ends is cancelled with its reader, and delays no other file", async () => {
    await using one = await with_({ ...MANY, items: "$..*[?count($..*) > count(@..*)]" }, "x/{id}.json");
    const stop = new AbortController();
    const reading = one.text("/x/all.json", stop.signal).catch((error: FsError) => error.code);
    // Timers of this process keep running.
    for (let ticks = 0; ticks < 100; ticks++) await Bun.sleep(5);
    stop.abort();
    expect(await reading).toBe("EINTR");
  });

  test("an answer that is nested too deeply is EIO with a message", async () => {
    for (const depth of [20_000, 200_000]) {
      await using one = await with_({ url: `${BASE}/deep/${depth}`, collect: true }, "x/{id}.json");
      expect(String(await one.text("/x/all.json").catch((error) => error))).toContain("is nested too deeply");
      await using other = await with_({ url: `${BASE}/deep/${depth}`, json: true });
      expect(await other.text("/x/1.txt").catch((error: FsError) => error.code)).toBe("EIO");
    }
  });

  test("a table of items that have no members in common has too many columns", async () => {
    await using one = await with_({ url: `${BASE}/wide/3000`, collect: true }, "x/{id}.csv");
    const error = await one.text("/x/all.csv").catch((reason) => reason);
    expect([error.code, String(error)]).toEqual(["EFBIG", expect.stringContaining('the option "columns"')]);
    await using some = await with_({ url: `${BASE}/wide/3000`, collect: true, columns: ["member7"] }, "x/{id}.csv");
    expect((await some.text("/x/all.csv")).split("\r\n").filter((line) => line === "1")).toHaveLength(1);
  });
});
