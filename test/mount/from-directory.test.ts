/** `mount --from DIR` and `run --from DIR`: a copy of a directory on disk, served like any other tree. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EXIT } from "../../src/cli/output/exit-codes.ts";
import { describeMounted, IS_ROOT, mounted, unmounted } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { BINARY, mountedType } from "../support/program.ts";

setDefaultTimeout(60_000);

describeMounted("a mount of a directory", () => {
  test("a mount of a directory contains everything in it, and is not connected to the disk", async () => {
    await using m = await unmounted();
    const { sandbox } = m;
    const build = `set -e; mkdir -p repo/src repo/mnt; cd repo; git init -q; printf 'int x;\\n' > src/a.c
      printf '*.o\\n' > .gitignore; printf o > src/a.o; ln src/a.c hard.c; ln -s src/a.c soft.c; chmod 750 src
      truncate -s 3M sparse; mkfifo fifo; touch -d 2001-02-03T04:05:06.789 src/a.c src
      git add src/a.c .gitignore; git -c user.name=n -c user.email=e commit -qm one`;
    expect(await m.sh(build, sandbox.path)).toMatchObject({ status: 0 });
    await m.mount(["--from", "repo"]);
    const list =
      "find . -path ./mnt -prune -o -type d -printf '%P %y %m %TY-%Tm-%Td %TT\\n' -o -printf '%P %y %m %n %s %TY-%Tm-%Td %TT %l\\n' | LC_ALL=C sort";
    expect((await m.sh(list)).stdout).toBe((await m.sh(list, sandbox.at("repo"))).stdout);
    expect(await m.out("du -k sparse | cut -f1")).toBe("0\n");
    expect(await m.out("git log --format=%s; git status --porcelain src")).toBe("one\n");
    await m.out("echo new > src/a.c; rm hard.c");
    expect((await m.sh("cat src/a.c hard.c", sandbox.at("repo"))).stdout).toBe("int x;\nint x;\n");
    expect(m.server.requests).toHaveLength(0);
  });

  test("a mountpoint inside the copied directory is an empty directory in the copy", async () => {
    await using m = await unmounted();
    writeFileSync(m.sandbox.at("a.txt"), "a");
    await m.mount(["--from", "."]);
    expect(readdirSync(m.dir)).toContain("a.txt");
    expect(readdirSync(`${m.dir}/mnt`)).toEqual([]);
  });

  test("copying a directory does not enter mounts below it, and generates nothing there", async () => {
    await using m = await mounted({ pending: ["/p.txt"] });
    m.sandbox.directory("other");
    const child = await m.sandbox.llmfs(["mount", "other", "--from", "."], { program: BINARY });
    try {
      expect(child).toMatchObject({ status: 0 });
      expect(child.stderr).toContain(
        `/mnt: its entries are left out, because another filesystem is mounted there (fuse.llmfs)`,
      );
      expect(readdirSync(m.sandbox.at("other/mnt"))).toEqual([]);
      expect(m.server.requests).toHaveLength(0);
    } finally {
      await m.sandbox.llmfs(["unmount", "other"], { program: BINARY });
    }
  });

  test("a directory in a mount of llmfs is refused, and the error says what to do instead", async () => {
    await using m = await mounted({ pending: ["/d/p.txt"] });
    m.sandbox.directory("other");
    const done = await m.sandbox.llmfs(["mount", "other", "--from", "mnt/d"], { program: BINARY });
    expect(done).toMatchObject({ status: EXIT.snapshot.code });
    expect(done.stderr).toContain("save the mount with llmfs save, and start from that snapshot");
    expect(m.server.requests).toHaveLength(0);
  });

  test("a directory that does not fit into --size or --inodes fails before anything is mounted", async () => {
    await using m = await unmounted();
    mkdirSync(m.sandbox.at("repo"));
    for (let i = 0; i < 30; i++) writeFileSync(m.sandbox.at(`repo/${i}`), "x".repeat(9000));
    const size = await m.sandbox.llmfs(["mount", "mnt", "--from", "repo", "--size", "64K"], { program: BINARY });
    expect(size).toMatchObject({ status: EXIT.snapshot.code });
    expect(size.stderr).toMatch(
      /repo does not fit into the filesystem, which has room for 65536 bytes and \d+ files; mount with/,
    );
    const inodes = await m.sandbox.llmfs(["run", "--from", "repo", "--inodes", "16", "--", "true"], {
      program: BINARY,
    });
    expect(inodes).toMatchObject({ status: EXIT.snapshot.code });
    expect(readdirSync(m.dir)).toEqual([]);
  });

  test("nothing is mounted if the copying is interrupted", async () => {
    await using m = await unmounted();
    const child = m.sandbox.start(["mount", "-f", "mnt", "--from", join(import.meta.dir, "../../node_modules")], {
      program: BINARY,
    });
    await untilPrinted(child.stderr, "copying");
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(mountedType(m.dir)).toBeUndefined();
  });

  test("run --from a directory leaves the directory as it was, and the copy is gone with the command", async () => {
    await using m = await unmounted();
    mkdirSync(m.sandbox.at("repo"));
    writeFileSync(m.sandbox.at("repo/Makefile"), "all:\n\t@echo made > out; cat out\n");
    const done = await m.sandbox.llmfs(["run", "--from", "repo", "--", "make"], { program: BINARY });
    expect(done).toMatchObject({ status: 0, stdout: "made\n" });
    expect(readdirSync(m.sandbox.at("repo"))).toEqual(["Makefile"]);
  });

  testWith(IS_ROOT ? programs("setpriv") : undefined)("leaves out what its user cannot read, and says so", async () => {
    await using m = await unmounted();
    await m.sh("mkdir repo; echo a > repo/a; echo b > repo/b; chmod 000 repo/b", m.sandbox.path);
    // Root without these capabilities is refused like everybody else.
    const drop = IS_ROOT ? ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] : [];
    const done = await m.sandbox.llmfs(["run", "--from", "repo", "--", "ls"], { program: [...drop, ...BINARY] });
    expect(done).toMatchObject({ status: 0, stdout: "a\n" });
    expect(done.stderr).toMatch(/warning: \S+\/repo\/b: left out: permission denied \(EACCES\)/);
  });
});

/** Resolves when a stream contains the text. */
async function untilPrinted(stream: ReadableStream<Uint8Array>, text: string): Promise<void> {
  let printed = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    printed += decoder.decode(chunk, { stream: true });
    if (printed.includes(text)) return;
  }
  throw new Error(`${JSON.stringify(text)} was not printed, but ${JSON.stringify(printed)}`);
}
