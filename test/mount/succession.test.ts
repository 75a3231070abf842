/** Regenerated files on a real mount: one identity under all names, whole contents for readers, nothing left behind. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { statfsSync } from "node:fs";
import { describeMounted, type Mounted, mounted } from "../support/mounted.ts";
import { BINARY, eventually } from "../support/program.ts";

setDefaultTimeout(90_000);

/**
 * Sizes around a page, around the limit of the heap, and around the limit for sending the whole content to the kernel.
 */
const SIZES = [10, 4096, 4097, 70_000, 131_072, 131_073, 300_000, 1_100_000];

/** Contents that start with their length, each with another letter than the one before. */
async function sized(pending: readonly string[], ...args: string[]): Promise<Mounted> {
  let count = 0;
  return mounted({
    pending,
    args: ["--mode", "off", ...args],
    answer: () => {
      const size = SIZES[count % SIZES.length] ?? 10;
      const letter = String.fromCharCode(97 + (count++ % 26));
      return { stream: `${size} ${letter.repeat(size - String(size).length - 2)}\n` };
    },
  });
}

const regen = (m: Mounted, ...args: string[]) => m.sandbox.llmfs(["regen", ...args], { program: BINARY, cwd: m.dir });

/** How much of the mount is in use: pages and inodes. */
function used({ dir }: Mounted): readonly [number, number] {
  const { blocks, bfree, files, ffree } = statfsSync(dir);
  return [blocks - bfree, files - ffree];
}

describeMounted("a file that is generated again", () => {
  test("a regenerated file is the same inode under all its names, for stat, du, tar and rsync, until a program has it open", async () => {
    await using m = await sized(["a"]);
    await m.out("cat a; ln a b; mkdir d; ln a d/c");
    const inode = await m.out("stat -c %i b");
    for (let round = 0; round < SIZES.length; round++) {
      expect((await regen(m, "a")).status).toBe(0);
      expect(await m.out("stat -c '%i %h' a b d/c | sort -u")).toBe(`${inode.trim()} 3\n`);
      expect(await m.out("cmp a b && cmp a d/c && head -c 8 d/c | cut -d' ' -f1; stat -c %s b")).toMatch(
        /^(\d+)\n\1\n$/,
      );
    }
    expect(
      await m.out("tar c a b d | tar tv | grep -c 'link to a'; rsync -aHn --stats . $OUT/copy | grep hlink -c || true"),
    ).toBe("2\n0\n");
    expect(await m.out("[ $(du -s . | cut -f1) = $(du -s a | cut -f1) ] && echo once")).toBe("once\n");
    // A program reads one of the names.
    const script = `exec 3< b; ${BINARY.join(" ")} regen a 2>/dev/null; stat -c %i a b d/c | sort -u | wc -l; cmp a d/c; head -c 7 <&3`;
    const before = (await m.out("head -c 7 b")).trim();
    expect(await m.out(script)).toBe(`1\n${before}`);
    expect(await m.out("stat -c %i a")).not.toBe(inode);
  });

  test("a regenerated file leaves nothing behind when it is removed, renamed over or emptied", async () => {
    await using m = await sized(["a", "b", "c", "d"], "--size", "16M");
    await m.out("ls -R; echo x > other");
    const before = used(m);
    for (let round = 0; round < 2; round++) {
      await m.out("cat a b c d > /dev/null");
      expect((await regen(m, "--force", "a", "b", "c", "d")).status).toBe(0);
      expect((await regen(m, "--undo", "a", "b")).status).toBe(0);
      await m.out("cat a b c d > /dev/null");
      await m.out("cp -al a a2; rm a a2; mv other b; mv b other; : > c; truncate -s 0 d; sync; touch a b");
      await eventually("everything is released", () => used(m)[0] === before[0]);
      const none = await regen(m, "--undo", "a", "b", "c", "d");
      expect(none.stderr.match(/ENODATA/g)).toHaveLength(4);
      await eventually("the inodes, too", () => used(m)[1] === before[1]);
    }
  });

  test("a file that is regenerated and removed, forty times over, leaves an empty tree", async () => {
    const files = Array.from({ length: 40 }, (_, index) => `f${index}`);
    await using m = await mounted({
      pending: files,
      args: ["--size", "4M", "--mode", "off"],
      answer: () => ({ stream: "x".repeat(95_000) }),
    });
    for (const file of files) {
      await m.out(`cat ${file} > /dev/null`);
      expect((await regen(m, file)).status).toBe(0);
      await m.out(`rm ${file}`);
    }
    await eventually("everything is released", () => used(m)[0] === 0 && used(m)[1] === 1);
  });

  test("each of many readers of a regenerated file gets a whole content, whatever calls it reads with, and keeps it while it is open", async () => {
    await using m = await sized(["a"]);
    await m.out("cat a > /dev/null; ln a b");
    const script = `
import json, mmap, os, random, sys, threading, time

end = time.time() + 6
faults = []
reads = [0]

def check(how, data):
    size, body = data.split(b" ", 1)
    if len(data) != int(size) or len(set(body[:-1])) > 1 or body[-1:] != b"\\n":
        faults.append((how, data[:8], len(data), sorted(set(body))[:4]))

def whole(fd):
    data = b""
    while piece := os.read(fd, random.choice([1000, 65536, 1 << 20])): data += piece
    return data

def readers(seed):
    choose = random.Random(seed)
    while time.time() < end and not faults:
        name = choose.choice(["a", "b"])
        how = choose.choice(["read", "pread", "mmap", "held", "sendfile", "size"])
        try:
            fd = os.open(name, os.O_RDONLY)
        except OSError as error:
            faults.append((how, "open", error.errno)); return
        try:
            if how == "read": check(how, whole(fd))
            elif how == "pread":
                size = os.fstat(fd).st_size
                middle = os.pread(fd, size, size // 2)
                data = os.pread(fd, size, 0)
                check(how, data)
                if data[size // 2:] != middle: faults.append((how, "differs", size))
            elif how == "mmap":
                size = os.fstat(fd).st_size
                with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapped:
                    os.close(fd); fd = -1
                    first = mapped[:]
                    time.sleep(choose.random() / 20)
                    check(how, mapped[:])
                    if mapped[:] != first: faults.append((how, "changed", size))
            elif how == "held":
                first = os.pread(fd, 1 << 21, 0)
                time.sleep(choose.random() / 20)
                check(how, first)
                if os.pread(fd, 1 << 21, 0) != first: faults.append((how, "changed", len(first)))
            elif how == "sendfile":
                out = os.memfd_create("out")
                while os.sendfile(out, fd, None, 1 << 20): pass
                check(how, os.pread(out, 1 << 21, 0)); os.close(out)
            else:
                size = os.fstat(fd).st_size
                if len(os.pread(fd, 1 << 21, 0)) != size: faults.append((how, size))
            reads[0] += 1
        finally:
            if fd >= 0: os.close(fd)

threads = [threading.Thread(target=readers, args=(seed,)) for seed in range(4)]
for thread in threads: thread.start()
control = os.open(".llmfs/control", os.O_RDWR)
rounds = 0
while time.time() < end and not faults:
    op = random.choice(["regen", "regen", "undo"])
    os.write(control, (json.dumps({"id": rounds, "op": op, "path": random.choice(["/a", "/b"])}) + "\\n").encode())
    answer = json.loads(os.read(control, 65536))
    if not answer.get("ok") and answer["errno"] != "ENODATA": faults.append(answer)
    rounds += 1
for thread in threads: thread.join()
print(json.dumps({"faults": faults, "enough": rounds > 20 and reads[0] > 50}, default=str))
`;
    expect(JSON.parse(await m.out(`python3 -c '${script.replaceAll("'", "'\\''")}'`))).toEqual({
      faults: [],
      enough: true,
    });
    expect(await m.out("cmp a b; stat -c %h a")).toBe("2\n");
  });
});
