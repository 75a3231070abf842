import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SnapshotError } from "../../src/snapshot/problem.ts";
import { writeAtomically } from "../../src/snapshot/write.ts";
import { testWith, userNamespace } from "../support/needs.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

async function* thenFail(text: string, error: Error): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
  throw error;
}

describe("a file written atomically", () => {
  test("holds all chunks, and nothing is beside it", async () => {
    const path = join(folder, "tree.json");
    await writeAtomically(path, chunks("a", "", "b".repeat(3_000_000), "c"));
    expect(readFileSync(path, "utf8")).toBe(`a${"b".repeat(3_000_000)}c`);
    expect(readdirSync(folder)).toEqual(["tree.json"]);
  });

  test("has the mode that any new file has", async () => {
    const path = join(folder, "tree.json");
    await writeAtomically(path, chunks("x"));
    expect(statSync(path).mode & 0o777).toBe(0o666 & ~process.umask());
  });

  test("keeps the mode of the file that was there", async () => {
    const path = join(folder, "tree.json");
    for (const mode of [0o600, 0o666, 0o440]) {
      writeFileSync(path, "old");
      chmodSync(path, mode);
      await writeAtomically(path, chunks("new"));
      expect(statSync(path).mode & 0o7777).toBe(mode);
      expect(readFileSync(path, "utf8")).toBe("new");
      rmSync(path);
    }
  });

  test("is another file, so that who has the old one open goes on reading it", async () => {
    const path = join(folder, "tree.json");
    writeFileSync(path, "old");
    const { ino } = statSync(path);
    await writeAtomically(path, chunks("new"));
    expect(statSync(path).ino).not.toBe(ino);
  });

  test("is the target of a symlink, which stays one", async () => {
    mkdirSync(join(folder, "real"));
    writeFileSync(join(folder, "real", "tree.json"), "old");
    symlinkSync("real/tree.json", join(folder, "one"));
    symlinkSync("one", join(folder, "two"));
    await writeAtomically(join(folder, "two"), chunks("new"));
    expect(readFileSync(join(folder, "real", "tree.json"), "utf8")).toBe("new");
    expect(lstatSync(join(folder, "two")).isSymbolicLink()).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["one", "real", "two"]);
  });

  test("is made where a symlink leads that led nowhere", async () => {
    symlinkSync("not-yet.json", join(folder, "link"));
    await writeAtomically(join(folder, "link"), chunks("new"));
    expect(readFileSync(join(folder, "not-yet.json"), "utf8")).toBe("new");
    expect(lstatSync(join(folder, "link")).isSymbolicLink()).toBe(true);
  });

  test("may have a name as long as names can be", async () => {
    const path = join(folder, "x".repeat(255));
    await writeAtomically(path, chunks("x"));
    expect(readFileSync(path, "utf8")).toBe("x");
  });

  test("into a device goes through, and the device stays", async () => {
    await writeAtomically("/dev/null", chunks("x"));
    expect(lstatSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  test("into the standard output of a program goes through", async () => {
    const program = `import { writeAtomically } from "${join(import.meta.dir, "../../src/snapshot/write.ts")}";
      async function* chunks() { yield Buffer.from("through the pipe"); }
      await writeAtomically("/dev/stdout", chunks());`;
    // A pipe of the shell's: what Bun hands to a child is a socket, which cannot be opened by name.
    const child = Bun.spawnSync(["sh", "-c", '"$0" -e "$1" | cat', process.execPath, program]);
    expect(child.stdout.toString()).toBe("through the pipe");
  });
});

describe("where writing fails, what was there is there still, and nothing else", () => {
  const failure = async (path: string, content: AsyncIterable<Uint8Array>): Promise<Error> => {
    try {
      await writeAtomically(path, content);
    } catch (error) {
      if (error instanceof Error) return error;
    }
    throw new Error("written");
  };

  test("in the middle of the content, with the content's own error", async () => {
    const path = join(folder, "tree.json");
    writeFileSync(path, "old");
    const why = new Error("the tree is gone");
    expect(await failure(path, thenFail("half", why))).toBe(why);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["tree.json"]);
  });

  test("where there was nothing before, there is nothing after", async () => {
    await failure(join(folder, "tree.json"), thenFail("half", new Error("gone")));
    expect(readdirSync(folder)).toEqual([]);
  });

  test("in a directory that does not exist", async () => {
    const error = await failure(join(folder, "missing", "tree.json"), chunks("x"));
    expect(error).toBeInstanceOf(SnapshotError);
    expect(error.message).toStartWith(`${folder}/missing/tree.json: cannot be written: ENOENT`);
    expect(error.message).toEndWith("; make the directory first");
  });

  test("on a directory", async () => {
    expect((await failure(folder, chunks("x"))).message).toBe(`${folder}: is a directory; name a file to write to`);
  });

  test("below a file", async () => {
    writeFileSync(join(folder, "file"), "");
    expect((await failure(join(folder, "file", "tree.json"), chunks("x"))).message).toContain("ENOTDIR");
  });

  test("through a symlink that leads to itself", async () => {
    symlinkSync("loop", join(folder, "loop"));
    expect((await failure(join(folder, "loop"), chunks("x"))).message).toContain("loop");
  });

  testWith(userNamespace())("on a full disk, which the message names", async () => {
    // A filesystem of 64 kB of its own, in a mount and user namespace of its own.
    const program = `import { writeAtomically } from "${join(import.meta.dir, "../../src/snapshot/write.ts")}";
      import { readdirSync, readFileSync, writeFileSync } from "node:fs";
      const path = "${folder}/tree.json";
      writeFileSync(path, "old");
      async function* chunks() { for (;;) yield new Uint8Array(10_000); }
      let said = "written";
      try { await writeAtomically(path, chunks()); } catch (error) { said = error.message; }
      console.log(JSON.stringify([said, readFileSync(path, "utf8"), readdirSync("${folder}")]));`;
    const script = `mount -t tmpfs -o size=64k none ${folder} && exec "$0" -e "$1"`;
    const child = Bun.spawnSync(["unshare", "-Urm", "sh", "-c", script, process.execPath, program]);
    const out = child.stdout.toString();
    if (out === "") throw new Error(`no namespace to mount in: ${child.stderr.toString()}`);
    expect(JSON.parse(out)).toEqual([
      `${folder}/tree.json: cannot be written: no space left on the device (ENOSPC); what was there is untouched; free some space, or save elsewhere`,
      "old",
      ["tree.json"],
    ]);
    expect(existsSync(join(folder, "tree.json"))).toBe(false);
  });
});
