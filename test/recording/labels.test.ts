import { expect, test } from "bun:test";
import { Labels } from "../../src/recording/labels.ts";

const listed = (...labels: string[]) => labels.map((label) => ({ label, name: `of ${label}` }));

test("only recordings with the same label are listed if there are any", async () => {
  const labels = new Labels(async () => [...listed("/a", "/b"), { label: "/a", name: "another of /a" }]);
  expect(await labels.near("/a")).toEqual(["of /a", "another of /a"]);
});

test("without the same label, the same file name comes first, then the same folder, then any", async () => {
  const labels = new Labels(async () => listed("/x/y", "/docs/intro.md", "/old/guide.md"));
  expect(await labels.near("/docs/guide.md")).toEqual(["of /old/guide.md", "of /docs/intro.md", "of /x/y"]);
});

test("only a few nearby recordings are listed", async () => {
  const labels = new Labels(async () => listed(...Array.from({ length: 1000 }, (_, index) => `/f/${index}`)));
  expect((await labels.near("/f/none")).length).toBeLessThan(10);
});

test("a thousand concurrent misses list the store once", async () => {
  let asked = 0;
  const labels = new Labels(async () => {
    asked += 1;
    return listed("/a");
  });
  await Promise.all(Array.from({ length: 1000 }, (_, index) => labels.near(`/${index}`)));
  for (let index = 0; index < 1000; index += 1) await labels.near(`/${index}`);
  expect(asked).toBe(1);
});

test("listing is retried after a failure", async () => {
  let asked = 0;
  const labels = new Labels(async () => {
    asked += 1;
    if (asked === 1) throw new Error("down");
    return listed("/a");
  });
  await expect(labels.near("/a")).rejects.toThrow("down");
  expect(await labels.near("/a")).toEqual(["of /a"]);
});
