/** The rights that docs/fleet.md asks for are enough, and no more than needed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { RedisClient } from "bun";
import { requestKey } from "../../src/recording/key.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import { entriesOf } from "../../src/recording/stores/entries.ts";
import { openStore } from "../../src/recording/stores/store.ts";
import { scriptedModel } from "../support/scripted-model.ts";
import { REDIS, redisServer, type Server } from "../support/servers.ts";
import { pruneTo, recordingOf } from "../support/store-contract.ts";

const PAGE = join(import.meta.dir, "../../docs/fleet.md");

/** The arguments of `ACL SETUSER` on the page, by user. */
function rightsOnPage(): ReadonlyMap<string, readonly string[]> {
  const found = [...readFileSync(PAGE, "utf8").matchAll(/^ACL SETUSER (\w+) ([^`]*)/gm)];
  return new Map(found.map(([, user = "", rest = ""]) => [user, rest.replace("PASSWORD", "pw").trim().split(/\s+/)]));
}

describe.skipIf(REDIS === null)("with the rights of docs/fleet.md (needs redis-server)", () => {
  let redis: Server;
  let admin: RedisClient;
  const warnings: string[] = [];
  const open = (user: string, mode: "auto" | "replay", parameters = "") =>
    openStore(redis.url.replace("redis+unix://", `redis+unix://${user}:pw@`) + parameters, {
      mode,
      local: "/nonexistent",
      required: mode === "auto",
      warn: (line) => warnings.push(line),
    });

  beforeAll(async () => {
    redis = await redisServer();
    admin = new RedisClient(redis.url);
    for (const [user, rights] of rightsOnPage()) await admin.send("ACL", ["SETUSER", user, ...rights]);
    await admin.send("ACL", ["LOG", "RESET"]);
  });
  afterAll(async () => {
    admin.close();
    await redis[Symbol.asyncDispose]();
  });

  const denied = async () => JSON.stringify(await admin.send("ACL", ["LOG"]));

  test("a runner records, replays, explains misses, lists and prunes, and is denied nothing", async () => {
    const store = await open("runner", "auto");
    const recorded = createRecordedModel(scriptedModel("text"), store, { mode: "auto" });
    const [a, b] = [recordingOf("", "/a"), recordingOf("", "/b")];
    for (const one of [a, b]) await recorded.complete(one.request, { label: one.label });
    await recorded.complete(a.request, { label: a.label, again: true });
    const replayed = createRecordedModel(undefined, await open("runner", "replay"), { mode: "replay" });
    expect((await replayed.complete(a.request)).text).toBe("text");
    expect(await replayed.complete(recordingOf("", "/c").request, { label: "/c" }).catch(String)).toContain("nearest");
    const direct = await open("runner", "replay");
    const ages = (await Array.fromAsync(entriesOf(direct))).map(({ age }) => age);
    expect(ages.every((age) => age !== undefined && age < 60_000)).toBe(true);
    await pruneTo(direct, []);
    expect(await direct.list()).toEqual([]);
    await store.settle?.();
    expect([warnings, await denied()]).toEqual([[], "[]"]);
    await Promise.all([store.close?.(), direct.close?.()]);
  });

  test("a runner that only reads can replay, and cannot write", async () => {
    const writer = await open("runner", "replay");
    const a = recordingOf("text", "/a");
    await writer.put(a);
    const store = await open("replay", "replay");
    const replayed = createRecordedModel(undefined, store, { mode: "replay" });
    expect((await replayed.complete(a.request)).text).toBe("text");
    expect(await replayed.complete(recordingOf("", "/c").request, { label: "/c" }).catch(String)).toContain("nearest");
    expect(await store.list()).toEqual([{ ...a, key: requestKey(a.request) }]);
    await expect(store.put(a)).rejects.toThrow("NOPERM");
    await Promise.all([store.close?.(), writer.close?.()]);
  });

  test("no runner may use keys of another prefix", async () => {
    for (const user of ["runner", "replay"]) {
      const store = await open(user, "replay", "?prefix=other");
      await expect(store.get("0".repeat(64))).rejects.toThrow("NOPERM");
      await store.close?.();
    }
  });
});
