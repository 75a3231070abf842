/** A tree without a mount answers as the mount of the same tree does. */
import { expect, test } from "bun:test";
import { FsError } from "../../src/errno.ts";
import { OfflineTree } from "../../src/offline/offline-tree.ts";
import type { TreeEntry } from "../../src/rpc/tree-port.ts";
import { saveSnapshot } from "../../src/snapshot/write/save.ts";
import { setXattr } from "../../src/tree/xattrs.ts";
import { type ServedTree, served } from "../support/served.ts";

const GENERATOR = "user.llmfs.generator";

/** A tree in which the generator of /shop has listed /shop/1.json, and a user wrote /shop/mine. */
function mounted(listing: boolean): ServedTree {
  const fs = served({ listing });
  fs.file("/dir/b", "text");
  fs.pending("/dir/a", { "user.llmfs.prompt": "a poem", "user.llmfs.description": "poem" });
  const shop = fs.directory("/shop");
  fs.file("/shop/mine", "mine");
  setXattr(shop, GENERATOR, Buffer.from("shop"));
  fs.pending("/shop/1.json", { [GENERATOR]: "shop", "user.llmfs.origin": "/shop/1.json" });
  return fs;
}

function unmounted(fs: ServedTree, listing: boolean): OfflineTree {
  const plants = [{ path: "/shop", type: "directory" as const, ...(listing && { generator: "shop" }) }];
  const owner = { uid: fs.tree.root.uid, gid: fs.tree.root.gid };
  const text = Buffer.concat([...saveSnapshot(fs.tree, { owner })]);
  return new OfflineTree({ text }, { plants });
}

for (const listing of [false, true]) {
  test(`the outline of a tree without a mount is that of the mount, if generators ${listing ? "" : "do not "}list directories`, async () => {
    using fs = mounted(listing);
    const { port } = unmounted(fs, listing);
    const outline = await port.outline();
    expect(outline).toEqual(fs.outline());
    expect(await port.layout?.()).toEqual(outline);
    expect(outline.some(({ path }) => path === "/shop/1.json")).toBe(!listing);
  });
}

test("a tree without a mount lists, describes and reads as the mount does, also at paths written otherwise", async () => {
  using fs = mounted(false);
  const { port } = unmounted(fs, false);
  for (const path of ["/", "/dir", "/dir/", "//dir/.", "/dir/b", "/none", "/dir/none/x"]) {
    let listed: readonly TreeEntry[] | string = "waits";
    const done = (entries: readonly TreeEntry[]) => {
      listed = entries;
    };
    try {
      fs.answers.list(path, undefined, done, () => {});
    } catch (error) {
      listed = FsError.from(error).message;
    }
    expect([path, await port.list(path).catch((error: Error) => error.message)]).toEqual([path, listed]);
  }
  const { uid: _, gid: __, ...a } = await port.stat("/dir/a");
  expect(fs.answers.stat("/dir/a")).toMatchObject({ ...a });
  for (const path of ["/dir/a", "/dir/b"]) {
    expect(await port.readStatic(path, 2)).toEqual(fs.answers.readStatic(path, 2));
  }
  expect(() => fs.answers.readStatic("/dir", 2)).toThrow("/dir: it is a directory");
  await expect(port.readStatic("/dir", 2)).rejects.toThrow("/dir: it is a directory");
});
