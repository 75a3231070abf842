import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
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
import { SnapshotError } from "../../../src/snapshot/error.ts";
import { clearLeftOvers } from "../../../src/snapshot/write/temporary.ts";
import { writeAtomically } from "../../../src/snapshot/write/write.ts";
import { testWith, userNamespace } from "../../support/needs.ts";

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
  test("a file written atomically contains all chunks, and no other file is left behind", async () => {
    const path = join(folder, "tree.json");
    await writeAtomically(path, chunks("a", "", "b".repeat(3_000_000), "c"));
    expect(readFileSync(path, "utf8")).toBe(`a${"b".repeat(3_000_000)}c`);
    expect(readdirSync(folder)).toEqual(["tree.json"]);
  });

  test("a file written atomically can be read by its owner only, with any umask", async () => {
    const path = join(folder, "tree.json");
    const umask = process.umask(0);
    try {
      await writeAtomically(path, chunks("x"));
    } finally {
      process.umask(umask);
    }
    expect(statSync(path).mode & 0o7777).toBe(0o600);
  });

  test("a file written atomically can be read by its owner only while it is being written, even if the file it replaces is public", async () => {
    const path = join(folder, "tree.json");
    writeFileSync(path, "old");
    chmodSync(path, 0o666);
    const modes: number[] = [];
    async function* looking(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("half");
      for (const name of readdirSync(folder)) {
        if (name.endsWith(".tmp")) modes.push(statSync(join(folder, name)).mode & 0o777);
      }
    }
    await writeAtomically(path, looking());
    expect([modes, statSync(path).mode & 0o777]).toEqual([[0o600], 0o666]);
  });

  test("a file written atomically keeps the mode of the file it replaces", async () => {
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

  test("a file written atomically is a new file, so that open readers of the old one can continue", async () => {
    const path = join(folder, "tree.json");
    writeFileSync(path, "old");
    const { ino } = statSync(path);
    await writeAtomically(path, chunks("new"));
    expect(statSync(path).ino).not.toBe(ino);
  });

  test("a file written atomically replaces the target of a symlink and keeps the symlink", async () => {
    mkdirSync(join(folder, "real"));
    writeFileSync(join(folder, "real", "tree.json"), "old");
    symlinkSync("real/tree.json", join(folder, "one"));
    symlinkSync("one", join(folder, "two"));
    await writeAtomically(join(folder, "two"), chunks("new"));
    expect(readFileSync(join(folder, "real", "tree.json"), "utf8")).toBe("new");
    expect(lstatSync(join(folder, "two")).isSymbolicLink()).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["one", "real", "two"]);
  });

  test("a file written atomically is created at the target of a dangling symlink", async () => {
    symlinkSync("not-yet.json", join(folder, "link"));
    await writeAtomically(join(folder, "link"), chunks("new"));
    expect(readFileSync(join(folder, "not-yet.json"), "utf8")).toBe("new");
    expect(lstatSync(join(folder, "link")).isSymbolicLink()).toBe(true);
  });

  test("a file written atomically may have a name of the maximum length", async () => {
    for (const name of ["x".repeat(255), "漢".repeat(85)]) {
      const path = join(folder, name);
      await writeAtomically(path, chunks("x"));
      expect(readFileSync(path, "utf8")).toBe("x");
    }
  });

  test("a file written atomically goes where the kernel would follow a symlink whose target contains ..", async () => {
    mkdirSync(join(folder, "deep", "er"), { recursive: true });
    symlinkSync("deep/er", join(folder, "short"));
    symlinkSync("../tree.json", join(folder, "deep", "er", "link"));
    await writeAtomically(join(folder, "short", "link"), chunks("new"));
    expect(readFileSync(join(folder, "deep", "tree.json"), "utf8")).toBe("new");
  });

  test("a device is written directly, and stays", async () => {
    await writeAtomically("/dev/null", chunks("x"));
    expect(lstatSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  test("the standard output of a program is written directly", async () => {
    const program = `import { writeAtomically } from "${join(import.meta.dir, "../../../src/snapshot/write/write.ts")}";
      async function* chunks() { yield Buffer.from("through the pipe"); }
      await writeAtomically("/dev/stdout", chunks());`;
    // A pipe made by the shell: what Bun gives to a child is a socket, which cannot be opened by name.
    const child = Bun.spawnSync(["sh", "-c", '"$0" -e "$1" | cat', process.execPath, program]);
    expect(child.stdout.toString()).toBe("through the pipe");
  });

  test("a standard output that appends to a file is appended to", async () => {
    const program = `import { writeAtomically } from "${join(import.meta.dir, "../../../src/snapshot/write/write.ts")}";
      async function* chunks() { yield Buffer.from("new"); }
      await writeAtomically("/dev/stdout", chunks());`;
    const path = join(folder, "log");
    writeFileSync(path, "old\n");
    Bun.spawnSync(["sh", "-c", '"$0" -e "$1" >> "$2"', process.execPath, program, path]);
    expect(readFileSync(path, "utf8")).toBe("old\nnew");
  });
});

const OTHER = 65_534;

describe("a destination that another user prepared", () => {
  const asRoot = testWith(process.getuid?.() === 0 ? undefined : "root, to make files of another user");

  function shared(mode: number): string {
    const directory = join(folder, "shared");
    mkdirSync(directory);
    chmodSync(directory, mode);
    return directory;
  }

  asRoot("a symlink of another user is replaced itself, and its target is not touched", async () => {
    for (const mode of [0o1777, 0o777, 0o755]) {
      const directory = shared(mode);
      writeFileSync(join(folder, "target"), "precious");
      symlinkSync("../target", join(directory, "tree.json"));
      lchownSync(join(directory, "tree.json"), OTHER, OTHER);
      await writeAtomically(join(directory, "tree.json"), chunks("new"));
      expect(readFileSync(join(folder, "target"), "utf8")).toBe("precious");
      const made = lstatSync(join(directory, "tree.json"));
      expect([made.isFile(), made.mode & 0o777, made.uid]).toEqual([true, 0o600, 0]);
      rmSync(directory, { recursive: true });
    }
  });

  asRoot("a symlink of another user behind one of our own is replaced, and ours stays", async () => {
    const directory = shared(0o1777);
    writeFileSync(join(folder, "target"), "precious");
    symlinkSync("../target", join(directory, "theirs"));
    lchownSync(join(directory, "theirs"), OTHER, OTHER);
    symlinkSync("shared/theirs", join(folder, "ours"));
    await writeAtomically(join(folder, "ours"), chunks("new"));
    expect(readFileSync(join(folder, "target"), "utf8")).toBe("precious");
    expect(lstatSync(join(folder, "ours")).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(directory, "theirs"), "utf8")).toBe("new");
  });

  asRoot(
    "a symlink of another user on the way is refused in a sticky directory, as the kernel refuses it",
    async () => {
      const directory = shared(0o1777);
      mkdirSync(join(folder, "secret"));
      symlinkSync("../secret", join(directory, "way"));
      lchownSync(join(directory, "way"), OTHER, OTHER);
      const failed = writeAtomically(join(directory, "way", "tree.json"), chunks("new"));
      await expect(failed).rejects.toThrow(`leads through ${directory}/way, a symbolic link of user ${OTHER}`);
      expect(readdirSync(join(folder, "secret"))).toEqual([]);
      chmodSync(directory, 0o755);
      await writeAtomically(join(directory, "way", "tree.json"), chunks("new"));
      expect(readdirSync(join(folder, "secret"))).toEqual(["tree.json"]);
    },
  );

  asRoot("a file of another user in a world-writable directory passes on neither mode nor owner", async () => {
    const directory = shared(0o1777);
    const path = join(directory, "tree.json");
    writeFileSync(path, "");
    chmodSync(path, 0o666);
    chownSync(path, OTHER, OTHER);
    await writeAtomically(path, chunks("new"));
    expect([statSync(path).mode & 0o777, statSync(path).uid]).toEqual([0o600, 0]);
  });

  asRoot("a file of another user in a directory of theirs keeps its mode and owner", async () => {
    const directory = shared(0o755);
    const path = join(directory, "tree.json");
    writeFileSync(path, "");
    chmodSync(path, 0o640);
    chownSync(path, OTHER, OTHER);
    await writeAtomically(path, chunks("new"));
    expect([statSync(path).mode & 0o777, statSync(path).uid, statSync(path).gid]).toEqual([0o640, OTHER, OTHER]);
  });

  asRoot("a fifo of another user in a world-writable directory is refused", async () => {
    const directory = shared(0o1777);
    Bun.spawnSync(["mkfifo", join(directory, "tree.json")]);
    chownSync(join(directory, "tree.json"), OTHER, OTHER);
    const failed = writeAtomically(join(directory, "tree.json"), chunks("new"));
    await expect(failed).rejects.toThrow(`is a device, fifo or socket of user ${OTHER}`);
  });
});

describe("the temporary file next to it", () => {
  const temporaries = () => readdirSync(folder).filter((name) => name.endsWith(".tmp"));

  /** A process that writes half of the file and then waits. */
  async function writer(name = "tree.json") {
    const program = `import { writeAtomically } from "${join(import.meta.dir, "../../../src/snapshot/write/write.ts")}";
      async function* chunks() {
        yield Buffer.from("half");
        console.log("half");
        await Bun.sleep(60_000);
      }
      await writeAtomically("${join(folder, name)}", chunks());`;
    const child = Bun.spawn({ cmd: [process.execPath, "-e", program], stdout: "pipe" });
    await child.stdout.getReader().read();
    return child;
  }

  test("a temporary file is removed by the next write when its writer was killed, and left alone while its writer lives", async () => {
    const killed = await writer();
    killed.kill("SIGKILL");
    await killed.exited;
    expect(temporaries().length).toBe(1);
    const living = await writer();
    try {
      expect(temporaries().length).toBe(1);
      await writeAtomically(join(folder, "tree.json"), chunks("whole"));
      expect([temporaries().length, readFileSync(join(folder, "tree.json"), "utf8")]).toEqual([1, "whole"]);
    } finally {
      living.kill("SIGKILL");
      await living.exited;
    }
    await writeAtomically(join(folder, "tree.json"), chunks("whole"));
    expect(readdirSync(folder)).toEqual(["tree.json"]);
  });

  test("temporary files are removed on request from a folder, for every name with a given prefix", async () => {
    for (const name of ["unsaved-1.json", "unsaved-2.json", "other.json"]) {
      const killed = await writer(name);
      killed.kill("SIGKILL");
      await killed.exited;
    }
    await clearLeftOvers(folder, "unsaved-");
    expect(temporaries()).toEqual([expect.stringMatching(/^\.other\.json\./)]);
  });

  test("the temporary file of another target stays, and so does a file with a similar name", async () => {
    const killed = await writer("other.json");
    killed.kill("SIGKILL");
    await killed.exited;
    const names = [...temporaries(), ".tree.json.bak.tmp", ".tree.json.0123456789ab.tmp.txt"];
    for (const name of names.slice(1)) writeFileSync(join(folder, name), "");
    mkdirSync(join(folder, ".tree.json.0123456789ab.tmp"));
    await writeAtomically(join(folder, "tree.json"), chunks("whole"));
    expect(readdirSync(folder).sort()).toEqual([...names, ".tree.json.0123456789ab.tmp", "tree.json"].sort());
  });

  testWith(process.getuid?.() === 0 ? undefined : "root, to make files of another user")(
    "of another user stays",
    async () => {
      writeFileSync(join(folder, ".tree.json.0123456789ab.tmp"), "");
      chownSync(join(folder, ".tree.json.0123456789ab.tmp"), OTHER, OTHER);
      await writeAtomically(join(folder, "tree.json"), chunks("whole"));
      expect(temporaries()).toEqual([".tree.json.0123456789ab.tmp"]);
    },
  );
});

describe("if writing fails, the previous file stays, and nothing else", () => {
  const failure = async (path: string, content: AsyncIterable<Uint8Array>): Promise<Error> => {
    try {
      await writeAtomically(path, content);
    } catch (error) {
      if (error instanceof Error) return error;
    }
    throw new Error("written");
  };

  test("an error in the middle of the content leaves the previous file, and is passed on", async () => {
    const path = join(folder, "tree.json");
    writeFileSync(path, "old");
    const why = new Error("the tree is gone");
    expect(await failure(path, thenFail("half", why))).toBe(why);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["tree.json"]);
  });

  test("an error without a previous file leaves nothing behind", async () => {
    await failure(join(folder, "tree.json"), thenFail("half", new Error("gone")));
    expect(readdirSync(folder)).toEqual([]);
  });

  test("writing in a directory that does not exist leaves nothing behind", async () => {
    const error = await failure(join(folder, "missing", "tree.json"), chunks("x"));
    expect(error).toBeInstanceOf(SnapshotError);
    expect(error.message).toStartWith(
      `${folder}/missing/tree.json: cannot be written: no such file or directory (ENOENT); create the directory first`,
    );
    expect(error.message).toEndWith("; create the directory first");
  });

  test("writing to a directory's name fails and leaves the directory", async () => {
    expect((await failure(folder, chunks("x"))).message).toBe(`${folder}: is a directory; name a file to write to`);
  });

  test("writing below a file fails and leaves the file", async () => {
    writeFileSync(join(folder, "file"), "");
    expect((await failure(join(folder, "file", "tree.json"), chunks("x"))).message).toContain("ENOTDIR");
  });

  test("writing through a symlink that leads to itself fails and leaves it", async () => {
    symlinkSync("loop", join(folder, "loop"));
    expect((await failure(join(folder, "loop"), chunks("x"))).message).toContain("loop");
  });

  testWith(userNamespace())("on a full disk, which the message names", async () => {
    // A separate filesystem of 64 kB, in its own mount and user namespace.
    const program = `import { writeAtomically } from "${join(import.meta.dir, "../../../src/snapshot/write/write.ts")}";
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
      `${folder}/tree.json: cannot be written: no space left on the device (ENOSPC); the existing file is unchanged; free some space or save elsewhere`,
      "old",
      ["tree.json"],
    ]);
    expect(existsSync(join(folder, "tree.json"))).toBe(false);
  });
});
