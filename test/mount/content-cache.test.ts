/** What the main thread caches of static files: each is sent once, and again after a write. */
import { expect, test } from "bun:test";
import { ContentCache } from "../../src/mount/content-cache.ts";
import { served } from "../support/served.ts";

/** The cache in front of a served tree, and the number of contents that were sent. */
function cached(most?: number) {
  const fs = served();
  const sent: number[] = [];
  const statics = new ContentCache(async (request) => {
    const found = fs.answers.readStatics(request);
    sent.push(found.filter(({ bytes }) => bytes !== undefined).length);
    return found;
  }, most);
  /** The contents that a request would contain. */
  const told = () => statics.noteVersion(fs.mount.tree.changes + fs.mount.definitions + fs.mount.writes);
  const get = async (paths: readonly string[], limit = 1000) => {
    told();
    return (await statics.get(paths, limit)).map((bytes) => bytes && Buffer.from(bytes).toString());
  };
  return { fs, sent, get, statics, told };
}

function overwrite(fs: ReturnType<typeof served>, path: string, text: string): void {
  const file = fs.open(path, 1);
  fs.write(file, text);
  fs.kernel.release(file.nodeid, file.fh);
}

test("cached contents are sent once, and stay the same objects while the file is unchanged", async () => {
  const { fs, sent, get, statics } = cached();
  using _ = fs;
  fs.file("/a", "aaa");
  fs.file("/b", "bbb");
  const paths = ["/a", "/b"];
  expect(await get(paths)).toEqual(["aaa", "bbb"]);
  const [first] = await statics.get(paths, 1000);
  expect(await get(["/b", "/a"])).toEqual(["bbb", "aaa"]);
  expect((await statics.get(["/a"], 1000))[0]).toBe(first);
  expect(sent).toEqual([2, 0, 0]);
});

test("only a file that was written to is sent again", async () => {
  const { fs, sent, get } = cached();
  using _ = fs;
  fs.file("/a", "aaa");
  fs.file("/b", "bbb");
  const paths = ["/a", "/b"];
  await get(paths);
  overwrite(fs, "/b", "BB");
  expect(await get(paths)).toEqual(["aaa", "BBb"]);
  fs.kernel.call("setattr", fs.node("/a"), { valid: 1 << 3, size: 1 });
  expect(await get(paths)).toEqual(["a", "BBb"]);
  expect(sent).toEqual([2, 1, 1]);
});

test("a name that was moved to another file gets that file's content", async () => {
  const { fs, get } = cached();
  using _ = fs;
  fs.file("/a", "aaa");
  fs.file("/b", "bbb");
  const paths = ["/a", "/b"];
  await get(paths);
  fs.kernel.call("rename", 1, { name: "a", newdir: 1, newname: "b" });
  expect(await get(paths)).toEqual([undefined, "aaa"]);
});

test("pending and generated files, directories and missing names have no cached content; a long file has only its start", async () => {
  const { fs, get } = cached();
  using _ = fs;
  fs.pending("/p");
  fs.pending("/made");
  fs.kernel.start("open", fs.node("/made"), { flags: 0 });
  fs.content("text");
  fs.directory("/d");
  fs.file("/long", "x".repeat(1001));
  expect(await get(["/p", "/made", "/d", "/missing"])).toEqual(Array(4).fill(undefined));
  expect(await get(["/long"], 1000)).toEqual(["x".repeat(1000)]);
  expect(await get(["/long"], 2000)).toEqual(["x".repeat(1001)]);
});

test("a full content cache is sent everything again, and requests under way still get the right contents", async () => {
  const { fs, get } = cached(100);
  using _ = fs;
  for (const name of ["a", "b", "c"]) fs.file(`/${name}`, name.repeat(60));
  const all = ["a", "b", "c"].map((name) => name.repeat(60));
  expect(await Promise.all([get(["/a", "/b", "/c"]), get(["/c", "/b", "/a"])])).toEqual([all, all.toReversed()]);
  expect(await get(["/a", "/b", "/c"])).toEqual(all);
});
