/** Answers that grow with the tree are made in slices. */
import { expect, test } from "bun:test";
import { FsError } from "../../src/errno.ts";
import { Timers } from "../../src/fs/waiting/timers.ts";
import { answerInParts } from "../../src/fs/whole-tree.ts";
import type { FromFilesystem } from "../../src/rpc/messages.ts";
import { type PackedEntries, unpackOutline } from "../../src/rpc/packed-outline.ts";
import { served } from "../support/served.ts";

function answer(work: Iterator<unknown>) {
  let now = 0;
  const timers = new Timers(() => now++);
  const messages: (FromFilesystem | string)[] = [];
  const fail = (error: unknown) => messages.push(FsError.from(error).code);
  answerInParts(timers, 7, work, (message) => messages.push(message), fail);
  let slices = 1;
  for (; timers.due !== undefined; slices++) timers.run();
  return { messages, slices };
}

test("an answer is made in slices and sent in parts", () => {
  function* count() {
    for (let number = 0; number < 100; number++) yield number % 10 === 0 ? number : undefined;
    return "done";
  }
  const { messages, slices } = answer(count());
  expect(messages.slice(0, 2)).toEqual([0, 10].map((part) => ({ type: "part", id: 7, part })));
  expect(messages).toHaveLength(11);
  expect(messages.at(-1)).toEqual({ type: "reply", id: 7, value: "done", inParts: true });
  expect(slices).toBeGreaterThan(10);
});

test("work that fails in a later slice is answered with the failure", () => {
  function* fail() {
    for (let number = 0; number < 10; number++) yield;
    throw new FsError("EFBIG");
  }
  expect(answer(fail()).messages).toEqual(["EFBIG"]);
});

test("an outline is that of the moment when it began, whatever changes between two steps", () => {
  using fs = served();
  for (const path of ["/a/1", "/a/2", "/b/1", "/c"]) fs.file(path, "text");
  const poem = fs.pending("/b/2", { "user.llmfs.description": "poem" });
  const b = fs.tree.root.get("b")?.inode;
  if (b?.kind !== "directory") throw new Error("no directory");
  const before = [...fs.outline()];
  for (let begun = 1; begun < 8; begun++) {
    const steps = fs.answers.outlineSince(-1);
    const parts: (PackedEntries | undefined)[] = [];
    const next = () => {
      const step = steps.next();
      if (step.done !== true) parts.push(step.value);
      return step.done !== true;
    };
    for (let step = 0; step < begun; step++) next();
    const { root } = fs.tree;
    const other = fs.tree.mkdir(root, "d", 0o755, root);
    fs.tree.rename(root, "c", other, "moved");
    poem.replaceXattrs(new Map());
    fs.tree.unlink(b, "1");
    while (next());
    expect(parts.flatMap((part) => (part === undefined ? [] : unpackOutline(part)))).toEqual(before);
    expect(fs.outline()).not.toEqual(before);
    // As it was.
    fs.tree.rename(other, "moved", root, "c");
    fs.tree.rmdir(root, "d");
    fs.file("/b/1", "text");
    poem.replaceXattrs(new Map([["user.llmfs.description", Buffer.from("poem")]]));
  }
});
