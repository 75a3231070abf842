import { describe, expect, test } from "bun:test";
import { rotate, selectFiles, warm } from "../../src/generate/warm.ts";

const never = new AbortController().signal;
const files = (...paths: string[]) => paths.map((path) => ({ path }));

test("machines that share a store begin in different places of the same order", () => {
  expect(rotate(["a", "b", "c", "d"], 0)).toEqual(["a", "b", "c", "d"]);
  expect(rotate(["a", "b", "c", "d"], 0.6)).toEqual(["c", "d", "a", "b"]);
  expect(rotate(["a", "b", "c", "d"], 0.99)).toEqual(["d", "a", "b", "c"]);
  expect(rotate([], 0.5)).toEqual([]);
});

describe("warming", () => {
  test("dependencies come first wherever the order begins", async () => {
    const made: string[] = [];
    const chain = ["/a", "/b", "/c"].map((path, index) => ({
      path,
      depends: index === 0 ? "" : ("abc"[index - 1] ?? ""),
    }));
    const make = async (path: string) => void made.push(path);
    await warm(rotate(chain, 0.5), { first: 1, most: 4, signal: never, make });
    expect(made).toEqual(["/a", "/b", "/c"]);
  });

  test("each file is generated once, at most `most` at a time, and failures do not stop the others", async () => {
    let now = 0;
    let most = 0;
    const made: string[] = [];
    const paths = Array.from({ length: 50 }, (_, index) => `/${index}`);
    const result = await warm(files(...paths), {
      first: 7,
      most: 7,
      signal: never,
      async make(path) {
        most = Math.max(most, ++now);
        made.push(path);
        await Bun.sleep(1);
        now -= 1;
        if (path.endsWith("3")) throw new Error(`no ${path}`);
      },
    });
    expect([most, made.length, new Set(made).size]).toEqual([7, 50, 50]);
    expect([result.total, result.done]).toEqual([50, 45]);
    expect(result.failed.map(({ path }) => path).sort()).toEqual(["/13", "/23", "/3", "/33", "/43"]);
  });

  test("each file that is done allows one more at a time, up to the limit", async () => {
    const gates: (() => void)[] = [];
    const paths = Array.from({ length: 12 }, (_, index) => `/${index}`);
    const make = () => new Promise<void>((resolve) => gates.push(resolve));
    const made = warm(files(...paths), { first: 2, most: 5, signal: never, make });
    const begun: number[] = [];
    for (let done = 0; done < paths.length; done++) {
      begun.push(gates.length - done);
      gates[done]?.();
      await Bun.sleep(0);
    }
    expect([begun, (await made).done]).toEqual([[2, 3, 4, 5, 5, 5, 5, 5, 4, 3, 2, 1], 12]);
  });

  test("dependencies are generated first", async () => {
    const order: string[] = [];
    const make = async (path: string) => void order.push(path);
    await warm([{ path: "/a", depends: "c" }, { path: "/b" }, { path: "/c" }], {
      first: 1,
      most: 1,
      signal: never,
      make,
    });
    expect(order).toEqual(["/c", "/a", "/b"]);
  });

  test("a file is started when its dependencies have content, the one with the longest chain behind it first", async () => {
    const running = new Map<string, () => void>();
    const begun: string[] = [];
    const made = warm(
      [
        { path: "/alone1" },
        { path: "/alone2" },
        { path: "/base" },
        { path: "/middle", depends: "base" },
        { path: "/top", depends: "middle\nalone1" },
      ],
      {
        first: 8,
        most: 8,
        slots: 2,
        signal: never,
        make(path) {
          begun.push(path);
          return new Promise((resolve) => running.set(path, resolve));
        },
      },
    );
    const steps: (readonly string[])[] = [];
    for (const path of ["/base", "/middle", "/alone1", "/alone2", "/top"]) {
      steps.push([...begun]);
      running.get(path)?.();
      await Bun.sleep(0);
    }
    expect(steps).toEqual([
      // Not more than there are slots: otherwise "/middle" would have to queue behind "/alone2".
      ["/base", "/alone1"],
      ["/base", "/alone1", "/middle"],
      ["/base", "/alone1", "/middle", "/alone2"],
      ["/base", "/alone1", "/middle", "/alone2", "/top"],
      ["/base", "/alone1", "/middle", "/alone2", "/top"],
    ]);
    expect(await made).toEqual({ total: 5, done: 5, failed: [] });
  });

  test("files that depend on a failed one are not started, and the reason is reported", async () => {
    const begun: string[] = [];
    const result = await warm(
      [{ path: "/a" }, { path: "/b", depends: "a" }, { path: "/c", depends: "b\nd" }, { path: "/d" }],
      {
        first: 4,
        most: 4,
        signal: never,
        async make(path) {
          begun.push(path);
          if (path === "/a") throw new Error("EIO: no model");
        },
      },
    );
    expect(begun.sort()).toEqual(["/a", "/d"]);
    expect(result.done).toBe(1);
    expect(result.failed.map(({ path, error }) => `${path} ${error}`)).toEqual([
      "/a Error: EIO: no model",
      "/b Error: EIO: it depends on /a, which could not be generated: no model",
      "/c Error: EIO: it depends on /a, which could not be generated: no model",
    ]);
  });

  test("a chain of a hundred thousand files takes neither much time nor a deep stack", async () => {
    const chain = Array.from({ length: 100_000 }, (_, index) => ({ path: `/${index}`, depends: `${index + 1}` }));
    const result = await warm(chain, { first: 4, most: 8, slots: 4, signal: never, make: async () => {} });
    expect(result).toEqual({ total: 100_000, done: 100_000, failed: [] });
  });

  test("files in a cycle are started, and their generation reports the cycle", async () => {
    const circle = [
      { path: "/a", depends: "b" },
      { path: "/b", depends: "c" },
      { path: "/c", depends: "a" },
      { path: "/self", depends: "self" },
    ];
    const result = await warm(circle, { first: 2, most: 2, signal: never, make: async () => {} });
    expect(result.done).toBe(4);
  });

  test("stopping ends at once and reports what was done", async () => {
    const stop = new AbortController();
    const begun: string[] = [];
    const result = await warm(files("/a", "/b", "/c"), {
      first: 1,
      most: 1,
      signal: stop.signal,
      make(path) {
        begun.push(path);
        if (path === "/a") return Promise.resolve();
        stop.abort();
        return new Promise(() => {});
      },
    });
    expect([begun, result]).toEqual([["/a", "/b"], { total: 3, done: 1, failed: [] }]);
  });
});

test("patterns select files, a directory selects everything below it, and dependencies are included", () => {
  const tree = [
    { path: "/README.md" },
    { path: "/src/a.py", depends: "../data/x.csv" },
    { path: "/src/sub/b.py" },
    { path: "/data/x.csv" },
    { path: "/srcs/c.py" },
  ];
  const of = (...patterns: string[]) => selectFiles(tree, patterns).map(({ path }) => path);
  expect(of()).toHaveLength(5);
  expect(of("src")).toEqual(["/src/a.py", "/src/sub/b.py", "/data/x.csv"]);
  expect(of("*.md", "/srcs/")).toEqual(["/README.md", "/srcs/c.py"]);
  expect(of("**/*.py")).toEqual(["/src/a.py", "/src/sub/b.py", "/data/x.csv", "/srcs/c.py"]);
  expect(of("nothing")).toEqual([]);
  expect(of("**/*.py", "!srcs", "!data/**")).toEqual(["/src/a.py", "/src/sub/b.py", "/data/x.csv"]);
  expect(of("!src")).toEqual(["/README.md", "/data/x.csv", "/srcs/c.py"]);
});

test("a pattern that is the name of a file selects that file, even if it contains glob characters", () => {
  const tree = files("/pages/[id]/page.tsx", "/pages/i/page.tsx", "/{a,b}.txt", "/a.txt", "/!not", "/.hidden/x");
  const of = (...patterns: string[]) => selectFiles(tree, patterns).map(({ path }) => path);
  expect(of("pages/[id]")).toEqual(["/pages/[id]/page.tsx", "/pages/i/page.tsx"]);
  expect(of("{a,b}.txt")).toEqual(["/{a,b}.txt", "/a.txt"]);
  expect(of("./!not")).toEqual(["/!not"]);
  expect(of("**/x")).toEqual(["/.hidden/x"]);
});
