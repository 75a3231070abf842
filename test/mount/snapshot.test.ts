/** A tree goes through a snapshot and comes back the same, on real mounts. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { contentOf, describeMounted, IS_ROOT, type Mounted, mounted } from "../support/mounted.ts";
import { BINARY } from "../support/program.ts";

setDefaultTimeout(30_000);

const BUILD = `
mkdir -p dir/deep/er empty .hidden 'with blank'
echo text > file; printf 'no newline' > dir/short; : > nothing
head -c 100000 /dev/urandom > binary; printf '\\0\\0\\0' > nuls; printf 'caf\\351' > dir/latin1
seq 30000 > long.txt
truncate -s 3M sparse; printf end | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none
ln file hard; ln file dir/deep/harder; ln -s file soft; ln -s /nowhere/at/all dir/dangling; ln -s ../.. dir/deep/up
printf x > "$(printf 'not\\377utf8')"; printf x > "$(printf 'new\\nline')"; printf x > -rf; printf x > 'é 🎉'
mkfifo pipe
setfattr -n user.colour -v red file; setfattr -n user.binary -v 0x00ff10 dir; setfattr -n user.none -v '' nothing
chmod 640 file; chmod 1777 empty; chmod 2750 dir; chmod 4711 binary; chmod 000 nuls
touch -d 2001-02-03T04:05:06.789 file`;

/** Reads the beginning of a snapshot, changes the tree, and then prints all of it. */
const CHANGE = `
import os, sys
snapshot = os.open(".llmfs/snapshot.json", os.O_RDONLY)
text = os.read(snapshot, 4096)
writer = os.open("late/written", os.O_RDWR)
os.pwrite(writer, b"NEW", 0)
os.truncate("late/truncated", 0)
with open("late/truncated", "w") as file: file.write("NEW")
os.rename("late/renamed", "a-renamed")
os.rename("a", "late/a")
os.mkdir("late/added")
os.unlink("late/removed")
os.chmod("late/changed", 0o600)
os.setxattr("late/changed", "user.new", b"new")
os.link("late/changed", "late/linked")
os.rename("many", "moved")
while part := os.read(snapshot, 1 << 20): text += part
sys.stdout.buffer.write(text)
`;

/** Everything visible in a tree except its times, with hard links identified by their first name. */
const LOOK = `
find . -printf '%P|%y|%m|%n|%U:%G|%l|%s\\n' | sort
find . -type f -links +1 -printf '%i %P\\n' | sort -k2 | awk '{ first[$1] = first[$1] ? first[$1] : $2; print $2, first[$1] }'
find . -print0 | sort -z | xargs -0 getfattr -h -d -m '^user\\.' -e hex --
chmod 400 nuls; find . -type f ! -name '*pending*' ! -name '*failed*' -exec sha256sum {} + | sort; chmod 000 nuls`;

async function same(m: Mounted, script: string): Promise<string> {
  return m.out(`LC_ALL=C; export LC_ALL; ${script}`);
}

describeMounted("a snapshot of a mount", () => {
  test("a snapshot restores everything: hard links, xattrs, symlinks, binary and sparse content, odd names, modes", async () => {
    await using m = await mounted({ args: ["--save", "one.json"] });
    await m.out(BUILD + (IS_ROOT ? "\nmknod null c 1 3; chown 1234:5678 dir/short" : ""));
    const before = await same(m, LOOK);
    expect(before).toContain("hard dir/deep/harder");
    expect((await m.unmount()).status).toBe(0);
    await m.mount(["--from", "one.json", "--save", "two.json"]);
    expect(await same(m, LOOK)).toBe(before);
    expect(await m.out("stat -c '%b' sparse")).toMatch(/^[0-9]{1,2}\n$/);
    expect((await m.unmount()).status).toBe(0);
    expect(readFileSync(m.sandbox.at("two.json"), "utf8")).toBe(readFileSync(m.sandbox.at("one.json"), "utf8"));
  });

  test("a snapshot shows the moment when it was opened, whatever changes while it is read", async () => {
    const files = Array.from({ length: 20_000 }, (_, number) => `/many/f${10_000 + number}`);
    const entries = [
      ...files,
      "/a",
      "/late/written",
      "/late/truncated",
      "/late/renamed",
      "/late/removed",
      "/late/changed",
    ];
    const directories = ["/", "/many", "/late"].map((path) => ({ path, type: "directory" }));
    const snapshot = [...directories, ...entries.map((path) => ({ path, type: "file", text: `old ${path}\n` }))];
    await using m = await mounted({ snapshot: JSON.stringify({ llmfs: 1, entries: snapshot }) });
    writeFileSync(m.sandbox.at("change.py"), CHANGE);
    const before = await m.out("cat .llmfs/snapshot.json");
    expect(before).toContain("old /late/written");
    expect(await m.out('python3 "$OUT/change.py"')).toBe(before);
    expect(await m.out("cat .llmfs/snapshot.json")).not.toBe(before);
  });

  test("a snapshot keeps pending files pending, failed ones failed with their reason, and generated ones with their content", async () => {
    const answer = (path: string) => (path === "failed.txt" ? { status: 400 } : { stream: contentOf(path) });
    await using m = await mounted({ pending: ["pending.txt", "failed.txt", "made.txt"], answer });
    await m.out("cat made.txt; cat failed.txt || true; setfattr -n user.llmfs.prompt -v 'in verse' pending.txt");
    const error = await m.xattr("failed.txt", "error");
    expect((await m.sandbox.llmfs(["save", m.dir, "saved.json"], { program: BINARY })).status).toBe(0);
    const asked = m.server.requests.length;
    expect((await m.unmount()).status).toBe(0);
    await m.mount(["--from", "saved.json", "--mode", "off", ...m.modelArgs()]);
    expect(await m.out("ls -lR; cat made.txt")).toContain(contentOf("made.txt"));
    expect(m.server.requests.length).toBe(asked);
    expect([await m.state("pending.txt"), await m.state("failed.txt"), await m.state("made.txt")]).toEqual([
      "pending",
      "failed",
      "ready",
    ]);
    expect(await m.xattr("failed.txt", "error")).toBe(error);
    expect(await m.xattr("made.txt", "meta.model")).toBe("scripted");
    expect(await m.out("cat pending.txt")).toBe(contentOf("pending.txt"));
    expect(JSON.stringify(m.server.received(-1).body)).toContain("in verse");
  });

  test("a snapshot shows the tree at one moment, even while programs write", async () => {
    await using m = await mounted();
    const writer = m.start("i=0; while :; do i=$((i+1)); echo $i > a; echo $i > b; done");
    await m.out("while ! test -s b; do sleep 0.01; done");
    for (let round = 0; round < 10; round++) {
      const { status, stdout } = await m.sandbox.llmfs(["save", m.dir, "-"], { program: BINARY });
      expect(status).toBe(0);
      const entries: { path: string; text?: string }[] = JSON.parse(stdout).entries;
      const [a, b] = ["/a", "/b"].map((path) => Number(entries.find((entry) => entry.path === path)?.text ?? 0));
      // a is written before b; 0 is a file between its truncation and its write.
      if (a !== 0 && b !== 0) expect([0, 1]).toContain(a! - b!);
    }
    writer.kill("SIGKILL");
    await writer.exited;
  });

  test("a snapshot during generation contains pending files, and waits for nothing", async () => {
    await using m = await mounted({ pending: ["a.txt"], answer: () => ({ hang: true }) });
    const reader = m.start("exec cat a.txt");
    await m.server.request(0);
    const { stdout } = await m.sandbox.llmfs(["save", m.dir, "-"], { program: BINARY });
    expect(JSON.parse(stdout).entries).toContainEqual(expect.objectContaining({ path: "/a.txt", state: "pending" }));
    reader.kill();
    await reader.exited;
  });
});
