/** The life of a pending file, on a real mount with the real binary: what generates it, and what does not. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { contentOf, describeMounted, Gate, mounted, pathOf } from "../support/mounted.ts";
import { eventually, finished } from "../support/program.ts";

setDefaultTimeout(30_000);

describeMounted("looking at a pending file", () => {
  test("ls, find, du, df, stat, getfattr, test and touch send no request for a pending file", async () => {
    await using m = await mounted({ pending: ["a.txt", "src/b.c", "src/deep/c.h"] });
    const looks = [
      "ls -lR",
      "ls -la src",
      "find . -type f -size +0",
      "find . -newer src -printf '%p %s %b\\n'",
      "du -a",
      "df .",
      "stat a.txt src src/b.c",
      "getfattr -d -m - -R .",
      "test -e a.txt && test -f a.txt && test -r a.txt && test -s a.txt",
      "test -x a.txt || true",
      "cd src/deep && pwd && realpath ../b.c",
      "touch a.txt && touch -d 2020-01-01 src/b.c",
      "chmod 600 a.txt && ln a.txt hard && ln -s a.txt soft && mv hard other && rm other && readlink soft",
      'python3 -c \'import os; os.stat("a.txt"); list(os.scandir("src")); os.access("a.txt", os.R_OK)\'',
    ];
    for (const look of looks) expect([look, (await m.sh(look)).status]).toEqual([look, 0]);
    expect(m.server.requests.length).toBe(0);
    expect(m.server.otherPaths).toEqual([]);
    expect(m.status().files).toEqual({ static: 0, pending: 3, generating: 0, ready: 0, failed: 0 });
  });

  test("a pending file reports a claimed size and no blocks, so that du counts nothing", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    expect(await m.out("stat -c '%s %b' a.txt; du -s a.txt")).toBe("1048576 0\n0\ta.txt\n");
  });

  test("the state of a pending file is an attribute, which ordinary files do not have", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    await m.out("echo mine > own.txt");
    expect(await m.state("a.txt")).toBe("pending");
    expect(await m.out("getfattr -d own.txt")).toBe("");
  });
});

describeMounted("the first open for reading", () => {
  test("the first open for reading generates the content; later opens find it there", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    expect(await m.out("cat a.txt")).toBe(contentOf("a.txt"));
    expect(await m.out("cat a.txt; cat a.txt")).toBe(contentOf("a.txt").repeat(2));
    expect(m.asked("a.txt")).toBe(1);
    expect(await m.state("a.txt")).toBe("ready");
  });

  test("the first open sets size and bytes before it returns, for programs that check nothing else", async () => {
    await using m = await mounted({ pending: ["a.txt", "b.txt"] });
    const size = contentOf("a.txt").length;
    const script = (path: string) =>
      `import os; fd = os.open("${path}", os.O_RDONLY); print(os.fstat(fd).st_size, os.lseek(fd, 0, os.SEEK_END))`;
    expect(await m.out(`python3 -c '${script("a.txt")}'`)).toBe(`${size} ${size}\n`);
    expect(await m.out("wc -c < b.txt; stat -c '%s %b' b.txt")).toBe(`${size}\n${size} 8\n`);
  });

  test("twenty readers at once cause one request and get the same full content", async () => {
    const gate = new Gate();
    await using m = await mounted({ pending: ["a.txt"], answer: gate.holds() });
    const readers = Array.from({ length: 20 }, () => m.sh("cat a.txt"));
    await m.opened(20);
    gate.open();
    const printed = (await Promise.all(readers)).map(({ status, stdout }) => [status, stdout]);
    expect(printed).toEqual(Array.from({ length: 20 }, () => [0, contentOf("a.txt")]));
    expect(m.server.requests.length).toBe(1);
  });

  test("a generated file becomes static when any tool edits it", async () => {
    const edits: Readonly<Record<string, string>> = {
      rewritten: "echo mine > $f",
      appended: "echo mine >> $f",
      changed: "printf mine | dd of=$f conv=notrunc status=none",
      cut: "truncate -s 3 $f",
      mapped: `python3 -c "import mmap; f = open('$f', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0:4] = b'mine'; m.flush()"`,
      replaced: "sed -i s/content/mine/ $f",
      touched: "touch $f",
      opened: "python3 -c \"open('$f', 'r+b').close()\"",
    };
    await using m = await mounted({ pending: Object.keys(edits) });
    for (const [path, edit] of Object.entries(edits)) {
      await m.out(`f=${path}; cat $f; ${edit}; stat $f`);
      const mine = path !== "touched" && path !== "opened";
      expect([path, await m.state(path)]).toEqual([path, mine ? "static" : "ready"]);
    }
  });

  test("what the server reports is stored as attributes", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    await m.out("cat a.txt");
    expect(await m.xattr("a.txt", "meta.model")).toBe("scripted");
    expect(await m.xattr("a.txt", "meta.output_tokens")).toBe("7");
  });

  test("running a pending script generates it, and runs it", async () => {
    await using m = await mounted({ pending: ["tool.sh"], answer: () => ({ stream: "#!/bin/sh\necho ran $1\n" }) });
    expect(await m.out("chmod +x tool.sh && ./tool.sh well")).toBe("ran well\n");
    expect(m.asked("tool.sh")).toBe(1);
  });

  test("no request is sent for an empty file, and an answer that says 'empty' makes an empty file", async () => {
    await using m = await mounted({ pending: ["gitkeep"], answer: () => ({ stream: "```\n```\n" }) });
    await m.out(": > empty");
    expect(await m.out("cat empty; stat -c %s empty")).toBe("0\n");
    expect(m.server.requests.length).toBe(0);
    expect(await m.out("cat gitkeep; stat -c %s gitkeep; cat gitkeep")).toBe("0\n");
    expect([m.asked("gitkeep"), await m.state("gitkeep")]).toEqual([1, "ready"]);
  });

  test("the first open returns all of a megabyte and more", async () => {
    const long = `${"line of a long file\n".repeat(120_000)}the end\n`;
    await using m = await mounted({ pending: ["long.txt"], answer: () => ({ stream: long }) });
    expect(await m.out("wc -c < long.txt; tail -n 1 long.txt; md5sum < long.txt")).toBe(
      `${long.length}\nthe end\n${new Bun.CryptoHasher("md5").update(long).digest("hex")}  -\n`,
    );
    expect(m.server.requests.length).toBe(1);
  });
});

describeMounted("an interrupted reader", () => {
  test.each(["SIGINT", "SIGTERM", "SIGKILL"] as const)(
    "an interrupted reader (%s) returns, and the request is cancelled if it was the only reader",
    async (signal) => {
      await using m = await mounted({ pending: ["a.txt"], answer: () => ({ hang: true }) });
      const reader = Bun.spawn({ cmd: ["cat", `${m.dir}/a.txt`], stdout: "ignore", stderr: "ignore" });
      const request = await m.server.request(0);
      reader.kill(signal);
      await reader.exited;
      expect(reader.signalCode).toBe(signal);
      await request.disconnected;
      expect(await m.state("a.txt")).toBe("pending");
      m.answer = (path) => ({ stream: contentOf(path) });
      expect(await m.out("cat a.txt")).toBe(contentOf("a.txt"));
    },
  );

  test("an interrupted reader leaves other readers waiting, and their request in progress", async () => {
    const gate = new Gate();
    await using m = await mounted({ pending: ["a.txt"], answer: gate.holds() });
    const [one, two] = [m.start("exec cat a.txt"), m.start("exec cat a.txt")];
    await m.opened(2);
    one.kill("SIGINT");
    await one.exited;
    const request = await m.server.request(0);
    expect([request.gone, await m.state("a.txt")]).toEqual([false, "generating"]);
    gate.open();
    expect(await finished(two)).toEqual({ status: 0, stdout: contentOf("a.txt"), stderr: "" });
    expect(m.server.requests.length).toBe(1);
  });

  test("an interrupted reader gets EINTR if it handles the signal", async () => {
    await using m = await mounted({ pending: ["a.txt"], answer: () => ({ hang: true }) });
    const script = `
import os, signal
class Rang(Exception): pass
def ring(*_): raise Rang()
signal.signal(signal.SIGTERM, ring)
try: os.open("a.txt", os.O_RDONLY)
except Rang: print("rang")`;
    const reader = m.start(`exec python3 -c '${script}'`);
    const request = await m.server.request(0);
    reader.kill("SIGTERM");
    expect(await finished(reader)).toEqual({ status: 0, stdout: "rang\n", stderr: "" });
    await request.disconnected;
  });
});

describeMounted("the first write to a pending file wins", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["with >, which truncates", "echo mine > a.txt", "mine\n"],
    ["with >>, which appends to nothing", "echo mine >> a.txt", "mine\n"],
    ["with >>, twice", "echo one >> a.txt; echo two >> a.txt", "one\ntwo\n"],
    ["with tee -a", "echo mine | tee -a a.txt > /dev/null", "mine\n"],
    ["with truncate to size 0", "truncate -s 0 a.txt", ""],
    ["with truncate to another size", "truncate -s 5 a.txt", "\0\0\0\0\0"],
    ["with cp over it", "echo other > $OUT/o; cp $OUT/o a.txt", "other\n"],
    ["with mv over it", "echo other > o; mv o a.txt", "other\n"],
    ["with install", "echo other > $OUT/o; install -m 644 $OUT/o a.txt", "other\n"],
    ["with an open long before the write", "exec 3>>a.txt; ls -l a.txt >/dev/null; echo late >&3; exec 3>&-", "late\n"],
  ];
  test.each(cases)("the first write to a pending file wins %s", async (_, script, content) => {
    await using m = await mounted({ pending: ["a.txt"] });
    expect((await m.sh(script)).status).toBe(0);
    expect(await m.out("cat a.txt; stat -c %s a.txt")).toBe(`${content}${content.length}\n`);
    expect(m.server.requests.length).toBe(0);
    expect(m.status().files.pending).toBe(0);
  });

  test("the kernel knows that a pending file is empty when something is appended to it", async () => {
    await using m = await mounted({ pending: ["a.txt", "b.txt", "c.txt", "d.txt"] });
    const size = contentOf("b.txt").length;
    const script = `
import os
def append(path, flags, data):
    os.stat(path)
    fd = os.open(path, flags | os.O_APPEND)
    os.write(fd, data)
    at = os.lseek(fd, 0, os.SEEK_CUR)
    os.close(fd)
    return at
print(append("a.txt", os.O_WRONLY, b"mine"), append("a.txt", os.O_WRONLY, b" and more"), append("b.txt", os.O_RDWR, b"mine"))
print(append("c.txt", os.O_WRONLY, b"x" * 8192), append("c.txt", os.O_WRONLY, b"y" * 8192))
print(append(f"/proc/self/fd/{os.open('d.txt', os.O_PATH)}", os.O_WRONLY, b"by a link of proc"))
fd = os.open("c.txt", os.O_RDWR)
print(len(os.read(fd, 1 << 21)))
os.pwrite(fd, b"end", 3 << 20)
print(set(os.pread(fd, (3 << 20) - 16384, 16384)), os.fstat(fd).st_size)`;
    expect(await m.out(`python3 - <<'EOF'\n${script}\nEOF`)).toBe(
      `4 13 ${size + 4}\n8192 16384\n17\n16384\n{0} ${(3 << 20) + 3}\n`,
    );
  });

  test("an open for writing that writes nothing leaves the file pending", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    await m.out(": >> a.txt");
    expect([await m.state("a.txt"), await m.out("stat -c %s a.txt")]).toEqual(["pending", "1048576\n"]);
    expect(await m.out("cat a.txt")).toBe(contentOf("a.txt"));
  });

  test("an open for reading and writing generates first: dd with seek and fallocate change generated content", async () => {
    await using m = await mounted({ pending: ["a.txt", "b.txt"] });
    await m.out("printf XY | dd of=a.txt bs=1 seek=3 conv=notrunc 2> /dev/null; fallocate -l 3 b.txt");
    expect(await m.out("cat a.txt b.txt")).toBe(`conXY${contentOf("a.txt").slice(5)}${contentOf("b.txt")}`);
  });

  test("sed -i generates first, and edits generated content", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    expect(await m.out("sed -i s/content/edited/ a.txt && cat a.txt")).toBe(
      contentOf("a.txt").replaceAll("content", "edited"),
    );
    expect(m.asked("a.txt")).toBe(1);
  });

  test("generated content can be appended to, edited in place and truncated", async () => {
    await using m = await mounted({ pending: ["a.txt"], answer: () => ({ stream: "generated\n" }) });
    expect(
      await m.out("cat a.txt; echo more >> a.txt; printf G | dd of=a.txt conv=notrunc 2>/dev/null; cat a.txt"),
    ).toBe("generated\nGenerated\nmore\n");
    expect(await m.out("truncate -s 3 a.txt; cat a.txt; rm a.txt; ls")).toBe("Gen");
    expect(m.server.requests.length).toBe(1);
  });

  test("a reader that waits for the content gets what was written instead, and the request is cancelled", async () => {
    await using m = await mounted({ pending: ["a.txt"], answer: () => ({ hang: true }) });
    const reader = m.sh("cat a.txt");
    const request = await m.server.request(0);
    await m.out("echo mine >> a.txt");
    expect((await reader).stdout).toBe("mine\n");
    await request.disconnected;
    expect(await m.out("cat a.txt")).toBe("mine\n");
  });
});

describeMounted("content belongs to the inode, not to the path", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["renamed", "mv a.txt sub/b.txt", "cat sub/b.txt"],
    ["renamed, and another pending file takes its name", "mv a.txt b.txt; mv other.txt a.txt", "cat b.txt"],
    ["linked", "ln a.txt b.txt", "cat b.txt a.txt | head -n 2"],
    ["linked, and its first name is removed", "ln a.txt b.txt; rm a.txt", "cat b.txt"],
    [
      "exchanged with another",
      "mv --exchange a.txt other.txt 2>/dev/null || { mv a.txt t; mv other.txt a.txt; mv t other.txt; }",
      "cat other.txt",
    ],
    ["chmodded", "chmod 600 a.txt", "cat a.txt"],
    ["touched", "touch a.txt", "cat a.txt"],
  ];
  test.each(cases)(
    "content arrives in the file that was opened if it is %s while it is generated",
    async (_, change, after) => {
      const gate = new Gate();
      await using m = await mounted({ pending: ["a.txt", "other.txt", "sub/x"], answer: gate.holds() });
      const reader = m.sh("cat a.txt");
      await m.server.request(0);
      await m.out(change);
      gate.open();
      expect((await reader).stdout).toBe(contentOf("a.txt"));
      expect(await m.out(after)).toBe(contentOf("a.txt"));
      expect(m.server.requests.length).toBe(1);
    },
  );

  test("a reader gets all of the content if the file is removed while it is generated", async () => {
    const gate = new Gate();
    await using m = await mounted({ pending: ["a.txt"], answer: gate.holds() });
    const reader = m.sh("cat a.txt");
    await m.server.request(0);
    await m.out("rm a.txt; echo new > a.txt");
    gate.open();
    expect((await reader).stdout).toBe(contentOf("a.txt"));
    expect(await m.out("cat a.txt")).toBe("new\n");
  });

  test("a file with two hard links is generated once", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    await m.out("ln a.txt b.txt");
    expect(await m.out("cat b.txt; cat a.txt")).toBe((await m.out("cat a.txt")).repeat(2));
    expect(m.server.requests.length).toBe(1);
  });

  test("a pending file that was renamed is requested by its new path", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    await m.out("mv a.txt b.txt");
    expect(await m.out("cat b.txt")).toBe(contentOf("b.txt"));
    expect(pathOf(m.server.received(0))).toBe("b.txt");
  });
});

describeMounted("a failed generation", () => {
  test("a failed generation makes cat fail with a reason that can be read, and cat works again once the server recovers", async () => {
    await using m = await mounted({
      pending: ["a.txt"],
      answer: () => ({ status: 400, body: { error: { message: "no such thing" } } }),
    });
    const { status, stdout, stderr } = await m.sh("cat a.txt");
    expect([status, stdout, stderr]).toEqual([1, "", "cat: a.txt: Input/output error\n"]);
    expect(await m.xattr("a.txt", "error")).toStartWith("EIO: ");
    expect(await m.xattr("a.txt", "error")).toContain("no such thing");
    expect([await m.state("a.txt"), m.status().files.failed]).toEqual(["failed", 1]);
    m.answer = (path) => ({ stream: contentOf(path) });
    expect(await m.out("cat a.txt")).toBe(contentOf("a.txt"));
    expect(await m.state("a.txt")).toBe("ready");
    expect((await m.sh("getfattr -n user.llmfs.error a.txt")).status).toBe(1);
  });

  test("a failed generation is reported to all waiting readers after one request", async () => {
    const gate = new Gate();
    await using m = await mounted({ pending: ["a.txt"], answer: gate.holds(() => ({ status: 400 })) });
    const readers = Array.from({ length: 8 }, () => m.sh("cat a.txt"));
    await m.opened(8);
    gate.open();
    expect((await Promise.all(readers)).map(({ status, stdout }) => [status, stdout])).toEqual(
      Array.from({ length: 8 }, () => [1, ""]),
    );
    expect(m.server.requests.length).toBe(1);
  });

  test("a failed generation is not taken for an empty file by any tool", async () => {
    await using m = await mounted({ pending: ["a.txt"], answer: () => ({ status: 400 }) });
    const tools = [
      "cat a.txt",
      "cp a.txt $OUT/c",
      "busybox cat a.txt",
      "grep x a.txt",
      "sort a.txt",
      "sha256sum a.txt",
      "tar cf $OUT/t a.txt",
      "python3 -c 'open(\"a.txt\").read()'",
      ". ./a.txt",
    ];
    const passed = (await Promise.all(tools.map(async (tool) => [tool, (await m.sh(tool)).status] as const))).filter(
      ([, status]) => status === 0,
    );
    expect(passed).toEqual([]);
  });

  test("a failed generation does not prevent writing to the file", async () => {
    await using m = await mounted({ pending: ["a.txt"], answer: () => ({ status: 400 }) });
    expect((await m.sh("cat a.txt")).status).toBe(1);
    expect(await m.out("echo mine >> a.txt; cat a.txt")).toBe("mine\n");
    expect((await m.sh("getfattr -n user.llmfs.error a.txt")).status).toBe(1);
  });

  test("content that does not fit in the mount is ENOSPC, and leaves nothing", async () => {
    await using m = await mounted({
      pending: ["a.txt"],
      args: ["--size", "64K"],
      answer: () => ({ stream: "x".repeat(100_000) }),
    });
    const { status, stderr } = await m.sh("cat a.txt");
    expect([status, stderr]).toEqual([1, "cat: a.txt: No space left on device\n"]);
    expect(await m.xattr("a.txt", "error")).toContain("100001 bytes were generated");
    await eventually("nothing is left of it", () => m.status().files.failed === 1);
    expect(await m.out("df --output=used -B1 . | tail -n 1")).toMatch(/^\s*0\n$/);
  });
});
