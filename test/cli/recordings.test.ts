/** `llmfs recordings` on the command line: whose recordings it touches, and what it prints. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { RedisClient } from "bun";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { openStore } from "../../src/recording/stores/store.ts";
import { documented } from "../support/json-shapes.ts";
import { type Finished, Sandbox } from "../support/program.ts";
import { REDIS, redisServer, type Server } from "../support/servers.ts";
import { recordingOf } from "../support/store-contract.ts";

setDefaultTimeout(60_000);

let redis: Server;
let client: RedisClient;
beforeAll(async () => {
  if (REDIS === null) return;
  redis = await redisServer();
  client = new RedisClient(redis.url);
});
afterAll(async () => {
  client?.close();
  await redis?.[Symbol.asyncDispose]();
});

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
  return () => sandbox[Symbol.dispose]();
});

const KEY = "0123456789abcdef0123456789abcdef";

const recordings = (args: readonly string[], env: Record<string, string> = {}): Promise<Finished> =>
  sandbox.llmfs(["recordings", ...args], { env });

const openAt = (location: string) =>
  openStore(location, { mode: "replay", local: sandbox.at("local"), warn: () => {} });

async function fill(location: string, owner: string | undefined, labels: readonly string[]): Promise<void> {
  const store = await openAt(location);
  for (const label of labels) await store.put({ ...recordingOf("x\n", label), ...(owner !== undefined && { owner }) });
  await store.close?.();
}

async function labelsAt(location: string): Promise<readonly string[]> {
  const store = await openAt(location);
  const labels = (await store.list()).map(({ label }) => label);
  await store.close?.();
  return labels;
}

/** A snapshot with one pending file, whose answer is in the store, and belongs to the owner. */
async function treeRecordedAt(location: string, owner?: string): Promise<string> {
  const entries = [
    { path: "/", type: "directory" },
    { path: "/mine", type: "file", state: "pending", xattrs: { "user.llmfs.generator": "llm" } },
  ];
  writeFileSync(sandbox.at("tree.json"), JSON.stringify({ llmfs: 1, entries }));
  const asked = await sandbox.llmfs(["context", "/mine", "--from", "tree.json", "--model", "m", "--json"]);
  const { request, key } = JSON.parse(asked.stdout);
  const store = await openAt(location);
  const answer = { text: "mine\n", model: "m" };
  await store.put({ key, label: "/mine", request, answer, ...(owner !== undefined && { owner }) });
  await store.close?.();
  return "tree.json";
}

const prune = (tree: string, location: string, ...args: string[]) =>
  recordings(["prune", "--for", tree, "--model", "m", "--recordings", location, "--older-than", "0", ...args]);

describe.skipIf(REDIS === null)("prune in a store of several teams (needs redis-server)", () => {
  beforeEach(async () => {
    await client.send("FLUSHALL", []);
  });

  test("prune without --owner removes nothing, and shows what belongs to whom", async () => {
    const tree = await treeRecordedAt(redis.url, "team-a");
    await fill(redis.url, "team-a", ["/old"]);
    await fill(redis.url, "team-b", ["/b/1", "/b/2"]);
    await fill(redis.url, undefined, ["/c"]);
    const refused = await prune(tree, redis.url);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain("is shared by everybody who names no prefix");
    expect(refused.stderr).toContain("does not need 2 of team-b, 1 of team-a, 1 without an owner");
    expect(refused.stderr).toContain("--owner NAME");
    const dry = await prune(tree, redis.url, "--dry-run");
    expect(dry.status).toBe(0);
    expect(dry.stdout).toMatch(/\/b\/1 {2}m .*of team-b\n/);
    expect(dry.stderr).toContain("4 would be removed (2 of team-b, 1 of team-a, 1 without an owner), 1 kept");
    expect(await labelsAt(redis.url)).toHaveLength(5);
  });

  test("prune removes only recordings of the named owner", async () => {
    const tree = await treeRecordedAt(redis.url, "team-a");
    await fill(redis.url, "team-a", ["/old"]);
    await fill(redis.url, "team-b", ["/b"]);
    const { status, stderr } = await prune(tree, redis.url, "--owner", "team-a");
    expect([status, stderr]).toEqual([0, "1 removed (1 of team-a), 1 kept, 1 left to their owners (1 of team-b)\n"]);
    expect(await labelsAt(redis.url)).toEqual(["/b", "/mine"]);
  });

  test("prune uses LLMFS_OWNER, and --owner - means recordings without an owner", async () => {
    const tree = await treeRecordedAt(redis.url);
    await fill(redis.url, "team-a", ["/a"]);
    await fill(redis.url, undefined, ["/nobody"]);
    const args = ["prune", "--for", tree, "--model", "m", "--recordings", redis.url, "--older-than", "0"];
    expect((await recordings(args, { LLMFS_OWNER: "team-a" })).stderr).toContain("1 removed (1 of team-a)");
    expect((await recordings([...args, "--owner", "-"], { LLMFS_OWNER: "team-a" })).stderr).toContain(
      "1 removed, 1 kept",
    );
    expect(await labelsAt(redis.url)).toEqual(["/mine"]);
  });

  test("prune needs no owner in a prefix of its own, unless that contains recordings with an owner", async () => {
    const own = `${redis.url}?prefix=ours`;
    const tree = await treeRecordedAt(own);
    await fill(own, undefined, ["/old"]);
    expect((await prune(tree, own)).stderr).toContain("1 removed, 1 kept");
    await fill(own, "team-b", ["/b"]);
    expect(await prune(tree, own)).toMatchObject({ status: 2, stderr: expect.stringContaining("several owners") });
    expect(await labelsAt(own)).toEqual(["/b", "/mine"]);
  });

  test("prune removes nothing young without --older-than", async () => {
    const own = `${redis.url}?prefix=young`;
    const tree = await treeRecordedAt(own);
    await fill(own, undefined, ["/old"]);
    const { stderr } = await recordings(["prune", "--for", tree, "--model", "m", "--recordings", own]);
    expect(stderr).toContain("0 removed, 1 kept, 1 left because they are too young");
    expect(await labelsAt(own)).toHaveLength(2);
  });

  test("prune escapes control characters and line breaks in keys", async () => {
    const evil = "llmfs:recording:a\u001b[31m\nfake line\u009b\u202e";
    await client.send("SET", [evil, 'llmfs recording 1\nkey: \u001b[31m\nfor: "a\u001b\n\nuser\n| x\n\nanswer\nx']);
    for (const [action = "", ...flags] of [["ls"], ["verify"], ["prune", "-n", "--older-than", "0"]]) {
      const { stdout, stderr } = await recordings([action, "--recordings", redis.url, ...flags]);
      const lines = `${stdout}${stderr}`.trimEnd().split("\n");
      expect(lines.filter((line) => /\p{Cc}|\u202e/u.test(line) || line.startsWith("fake"))).toEqual([]);
      if (action !== "ls") expect(stdout).toContain(String.raw`a\u001b[31m\nfake line\u009b\u202e`);
    }
  });
});

test("prune keeps files younger than a day", async () => {
  const folder = sandbox.at("rec");
  const tree = await treeRecordedAt(folder);
  await fill(folder, undefined, ["/young", "/old"]);
  const old = readdirSync(folder).find((name) => name.startsWith("old")) ?? "";
  utimesSync(`${folder}/${old}`, 0, 0);
  const { stderr } = await recordings(["prune", "--for", tree, "--model", "m", "--recordings", folder]);
  expect(stderr).toContain("1 removed, 1 kept, 1 left because they are too young");
  expect(await labelsAt(folder)).toEqual(["/mine", "/young"]);
});

describe("copy", () => {
  test("copy adds the recordings of one folder to another, and reports conflicts with status 91", async () => {
    await fill(sandbox.at("from"), "team-a", ["/a", "/b"]);
    expect((await recordings(["copy", "from", "to", "-n"])).stderr).toContain("2 would be copied, 0 already there");
    expect(await recordings(["copy", "from", "to"])).toMatchObject({ status: 0 });
    expect(await labelsAt(sandbox.at("to"))).toEqual(["/a", "/b"]);
    await createFolderStore(sandbox.at("to")).put(recordingOf("another\n", "/a"));
    const conflict = await recordings(["copy", "from", "to"]);
    expect([conflict.status, conflict.stdout]).toEqual([91, expect.stringContaining("/a")]);
    expect(conflict.stderr).toContain("0 copied, 1 already there, 1 in conflict");
    expect(conflict.stderr).toContain("--overwrite");
    expect(await recordings(["copy", "from", "to", "--overwrite"])).toMatchObject({ status: 0 });
    expect(JSON.parse((await recordings(["copy", "from", "to", "--json"])).stdout)).toMatchObject({
      copied: 0,
      same: 2,
    });
  });

  test("copy needs two different places, and the first one must exist", async () => {
    sandbox.directory("a");
    for (const args of [[], ["a"], ["a", "a"], ["a", "b", "c"]]) {
      expect([args, (await recordings(["copy", ...args])).status]).toEqual([args, 2]);
    }
    expect((await recordings(["copy", "typo", "b"])).stderr).toContain("typo does not exist");
    expect((await recordings(["ls", "more"])).status).toBe(2);
  });
});

test("ls shows when each recording was written", async () => {
  const folder = sandbox.at("dated");
  await fill(folder, undefined, ["/b", "/a"]);
  for (const [index, name] of readdirSync(folder).sort().entries())
    utimesSync(`${folder}/${name}`, 1, 1e9 + index * 86_400);
  const { stdout } = await recordings(["ls", "--recordings", folder]);
  expect(stdout).toMatch(
    /^2001-09-09T01:4[67]Z {2}\w{16} {2}\/a {2}.*\n2001-09-10T01:4[67]Z {2}\w{16} {2}\/b {2}.*\n$/,
  );
  const listed = documented("recordings ls", (await recordings(["ls", "--recordings", folder, "--json"])).stdout);
  expect(listed.map(({ at }: { at: string }) => at.slice(0, 10))).toEqual(["2001-09-09", "2001-09-10"]);
});

describe("a key", () => {
  test("a key that is empty or short is an error that does not repeat it", async () => {
    sandbox.directory("rec");
    for (const key of ["", " , ", "tooshort", `${KEY},short`]) {
      const { status, stderr } = await recordings(["ls", "--recordings", "rec"], { LLMFS_RECORDINGS_KEY: key });
      expect([key, status, stderr]).toEqual([key, 2, expect.stringContaining("openssl rand -hex 32")]);
      if (key.trim().length > 3) expect(stderr).not.toContain(key);
    }
  });

  test("with a key, verify rejects unsigned recordings until they are signed", async () => {
    await fill(sandbox.at("rec"), undefined, ["/a"]);
    const env = { LLMFS_RECORDINGS_KEY: KEY };
    const refused = await recordings(["verify", "--recordings", "rec"], env);
    expect([refused.status, refused.stdout]).toEqual([91, expect.stringContaining("it is not signed")]);
    expect(refused.stdout).toContain("llmfs recordings sign --unsigned");
    expect((await recordings(["sign", "--recordings", "rec"], env)).status).toBe(91);
    const signed = await recordings(["sign", "--unsigned", "--recordings", "rec"], env);
    expect([signed.status, signed.stderr]).toEqual([0, "1 signed, 0 signed already\n"]);
    expect((await recordings(["verify", "--recordings", "rec"], env)).status).toBe(0);
    expect((await recordings(["verify", "--recordings", "rec"])).status).toBe(0);
    expect((await recordings(["sign", "--recordings", "rec"])).status).toBe(2);
  });
});

test("flags that belong to another action are errors", async () => {
  sandbox.directory("rec");
  const wrong = [
    ["ls", "--owner", "a"],
    ["verify", "--older-than", "1d"],
    ["prune", "--overwrite"],
    ["copy", "--unsigned"],
    ["prune", "--older-than", "soon"],
    ["prune", "--owner", "a b"],
  ];
  for (const args of wrong) {
    expect([args, (await recordings([...args, "--recordings", "rec"])).status]).toEqual([args, 2]);
  }
});
