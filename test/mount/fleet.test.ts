/** Two mounts that share one store of recordings. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { contentOf, describeMounted, type Mounted, mounted, pathOf, processesOf } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { BINARY, finished } from "../support/program.ts";
import { redisServer, type Server } from "../support/servers.ts";

setDefaultTimeout(120_000);

const withRedis = testWith(programs("redis-server"));

/** A second mount of the same tree that uses the same server; it is removed with the first one's sandbox. */
async function second(
  m: Mounted,
  args: readonly string[],
): Promise<{ dir: string; cat(path: string): Promise<string> }> {
  const dir = m.sandbox.directory("second");
  const flags = ["--from", "from.json", ...m.modelArgs(), ...args];
  const { status, stderr } = await m.sandbox.llmfs(["mount", dir, ...flags], { program: BINARY });
  if (status !== 0) throw new Error(stderr);
  return {
    dir,
    cat: async (path) => {
      const child = m.start(`cat '${dir}/${path}'`);
      const { stdout, stderr, status } = await finished(child);
      return status === 0 ? stdout : stderr;
    },
  };
}

/** What two mounts share: a URL, or a folder in the sandbox. */
const SHARED = {
  "a Redis": { test: withRedis, open: redisServer },
  "a folder": { test, open: async () => ({ url: "shared" }) },
} as const;

for (const [what, shared] of Object.entries(SHARED)) {
  describeMounted(`two mounts that share ${what}`, () => {
    shared.test("two mounts make each call once, and both get the answers", async () => {
      await using store = new AsyncDisposableStack();
      const { url } = await opened(store, shared.open);
      const pending = Array.from({ length: 12 }, (_, index) => `${index}.txt`);
      const args = ["--recordings", url, "--concurrency", "12"];
      await using m = await mounted({
        pending,
        args,
        answer: async (path) => {
          await Bun.sleep(100);
          return { stream: contentOf(path) };
        },
      });
      const other = await second(m, args);
      const texts = await Promise.all(pending.flatMap((path) => [m.out(`cat ${path}`), other.cat(path)]));
      expect(texts).toEqual(pending.flatMap((path) => [contentOf(path), contentOf(path)]));
      expect(m.server.requests.map(pathOf).sort()).toEqual([...pending].sort());
    });

    shared.test("a mount killed during its call costs one more call: the other mount repeats it once", async () => {
      await using store = new AsyncDisposableStack();
      const { url } = await opened(store, shared.open);
      const args = ["--recordings", url];
      let asked = 0;
      await using m = await mounted({
        pending: ["a.txt"],
        args,
        answer: (path) => (++asked === 1 ? { hang: true } : { stream: contentOf(path) }),
      });
      const other = await second(m, args);
      const lost = m.sh("cat a.txt");
      await m.server.request(0);
      const survivor = other.cat("a.txt");
      for (const pid of processesOf(m.dir, "--daemon")) process.kill(pid, "SIGKILL");
      expect((await lost).status).not.toBe(0);
      expect(await survivor).toBe(contentOf("a.txt"));
      expect(m.server.requests).toHaveLength(2);
    });
  });
}

async function opened(
  stack: AsyncDisposableStack,
  open: () => Promise<Server | { readonly url: string }>,
): Promise<{ readonly url: string }> {
  const store = await open();
  if (Symbol.asyncDispose in store) stack.use(store);
  return store;
}
