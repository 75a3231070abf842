/** What `.llmfs/status.json` reports for a real mount, compared with df(1) and with a check of every file. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { describeMounted, mounted } from "../support/mounted.ts";
import { helper, ordinary } from "../support/ordinary.ts";

// Every change is compared with a check of every file: on a busy machine that takes a while.
setDefaultTimeout(240_000);

const PENDING = Array.from({ length: 12 }, (_, index) => `pending${index}`);

/**
 * Changes its current directory at random, and compares after every change. `used` is the usage in bytes and
 * inodes, `files` the number of regular files in each state. The kernel closes and forgets files a moment after the
 * programs, so what does not agree at first has to agree soon.
 */
const PROGRAM = `
import ctypes, json, mmap, os, random, time

libc = ctypes.CDLL(None, use_errno=True)
steps = int(os.environ["STEPS"])
rnd = random.Random(int(os.environ["SEED"]))
held, maps, again = [], [], []

def reported():
    with open(".llmfs/status.json") as file:
        status = json.load(file)
    return {"used": [status["bytes"], status["inodes"]], "files": status["files"]}

def walked():
    files = {"static": 0, "pending": 0, "generating": 0, "ready": 0, "failed": 0}
    seen, blocks = set(), 0
    for folder, _, names in os.walk("."):
        for path in (os.path.join(folder, name) for name in names):
            stat = os.lstat(path)
            if stat.st_ino in seen: continue
            seen.add(stat.st_ino)
            blocks += stat.st_blocks
            if os.path.isfile(path) and not os.path.islink(path):
                files[os.getxattr(path, "user.llmfs.state").decode()] += 1
    vfs = os.statvfs(".")
    used = [(vfs.f_blocks - vfs.f_bfree) * vfs.f_frsize, vfs.f_files - vfs.f_ffree]
    if blocks * 512 > used[0]: raise SystemExit(f"{blocks * 512} bytes in files, {used[0]} used")
    return {"used": used, "files": files}

EMPTY = {"used": [0, 1], "files": dict.fromkeys(["static", "pending", "generating", "ready", "failed"], 0)}

def compare(what):
    for attempt in range(500):
        status, found = reported(), walked()
        if status == found and (what != "rm" or status == EMPTY): return
        time.sleep(0.01)
    raise SystemExit(f"after {what}: status.json has {status}, but {found}")

def names(kind=os.path.isfile):
    return [name for name in os.listdir(".") if kind(name) and not os.path.islink(name)]

def new(): return "n%d" % rnd.randrange(40)
def old(): return rnd.choice(names() or ["none"])

def write():
    with open(rnd.choice([old(), new()]), rnd.choice(["wb", "ab", "r+b"])) as file:
        file.write(os.urandom(rnd.choice([0, 1, 5000, 70000, 300000])))
def keep():
    held.append(open(old(), rnd.choice(["rb", "r+b"])))
    if len(held) > 5: held.pop(0).close()
def write_kept():
    if held and held[-1].writable():
        held[-1].write(b"x" * 100); held[-1].flush()
def store():
    with open(old(), "r+b") as file:
        if os.fstat(file.fileno()).st_size == 0: return
        map = mmap.mmap(file.fileno(), 0)
    # A store into a hole of a full filesystem is SIGBUS, which Python cannot catch: a child stores.
    child = os.fork()
    if child == 0:
        map[0] = 65
        os._exit(0)
    os.waitpid(child, 0)
    maps.append(map)
    if len(maps) > 2: maps.pop(0).close()
def read(): open(old(), "rb").read()
def regen():
    name = old()
    os.setxattr(name, "user.llmfs.regen", b"again")
    again.append(name)
    open(name, "rb").read()
def undo(): os.setxattr(again.pop(), "user.llmfs.regen", b"undo")
def state(): os.setxattr(old(), "user.llmfs.state", rnd.choice([b"static", b"ready", b"pending"]))
def pend():
    name = new()
    open(name, "x").close()
    os.setxattr(name, "user.llmfs.state", b"pending")
def attribute(): os.setxattr(old(), "user.a", b"x" * rnd.randrange(3000))
def no_attribute(): os.removexattr([name for name in names() if "user.a" in os.listxattr(name)][-1], "user.a")
def truncate(): os.truncate(old(), rnd.choice([0, 10, 100000, 1 << 30]))
def allocate():
    with open(old(), "r+b") as file: os.posix_fallocate(file.fileno(), 0, 200000)
def link(): os.link(old(), new())
def symlink(): os.symlink("x" * rnd.choice([5, 300]), new())
def unlink(): os.unlink(rnd.choice(os.listdir(".")))
def rename(): os.rename(rnd.choice(os.listdir(".")), new())
def exchange(): libc.renameat2(-100, old().encode(), -100, old().encode(), 2)
def mkdir(): os.mkdir(new())
def rmdir(): os.rmdir(rnd.choice(names(os.path.isdir)))
def inside(): os.rename(old(), os.path.join(rnd.choice(names(os.path.isdir)), new()))
def nameless():
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR)
    try:
        os.write(fd, b"y" * rnd.choice([10, 200000]))
        if rnd.random() < 0.5: os.link("/proc/self/fd/%d" % fd, new(), src_dir_fd=fd, follow_symlinks=True)
    finally: os.close(fd)

changes = [write, keep, write_kept, store, read, read, regen, undo, state, pend, attribute, no_attribute, truncate,
           allocate, link, symlink, unlink, unlink, rename, exchange, mkdir, rmdir, inside, nameless]
worked = set()
compare("the mount")
for _ in range(steps):
    change = rnd.choice(changes)
    try:
        change()
        worked.add(change)
    except (OSError, IndexError): pass
    compare(change.__name__)
for file in held: file.close()
for map in maps: map.close()
os.system("find . -mindepth 1 -delete")
compare("rm")
print(json.dumps([change.__name__ for change in changes if change not in worked]))
`;

/** `run` runs the program, whose name comes last, with arguments from the environment. */
async function expectAgreement(run: (command: string) => Promise<string>): Promise<void> {
  const never: string[][] = [];
  for (const seed of [1, 2]) never.push(JSON.parse(await run(`SEED=${seed} STEPS=200 python3`)));
  const [first = [], second = []] = never;
  expect(first.filter((change) => second.includes(change))).toEqual([]);
}

describeMounted("status.json after random changes", () => {
  test.each([
    ["of root's mount", []],
    ["of a mount with --low-power", ["--low-power"]],
    ["of a mount that is often full", ["--size", "1M", "--inodes", "60"]],
  ])("status.json %s matches df and every file's state after each of many random changes", async (_name, args) => {
    await using m = await mounted({ pending: PENDING, args: ["--mode", "off", ...args] });
    writeFileSync(m.sandbox.at("changes.py"), PROGRAM);
    await expectAgreement((command) => m.out(`${command} "$OUT/changes.py"`));
  });

  test.skipIf(helper !== undefined)("status.json is right for an ordinary user's mount", async () => {
    await using user = await ordinary(PENDING);
    writeFileSync(user.mounted.sandbox.at("changes.py"), PROGRAM);
    expect((await user.mount("--mode", "off")).status).toBe(0);
    await expectAgreement((command) => user.sh(`${command} ../changes.py`));
  });
});

describeMounted("status.json", () => {
  test("status.json counts large files whose bytes the kernel counts, open files without a name, and reserved space", async () => {
    await using m = await mounted({ pending: ["poem"] });
    const used = async () => {
      const [bytes, inodes] = (await m.out("df -B1 --output=used,iused . | tail -n 1")).trim().split(/\s+/).map(Number);
      const { bytes: total, inodes: count } = m.status();
      expect({ bytes: total, inodes: count }).toEqual({ bytes: bytes ?? -1, inodes: inodes ?? -1 });
      return total;
    };
    const empty = await used();
    await m.out("head -c 20000000 /dev/urandom > large; sync -f .");
    expect((await used()) - empty).toBeGreaterThanOrEqual(20_000_000);
    const script =
      'exec 3< large; rm large; df -B1 --output=used . | tail -n 1; python3 -c \'import json; print(json.load(open(".llmfs/status.json"))["bytes"])\'';
    const [free, reported] = (await m.out(script)).split("\n").map(Number);
    expect([reported, (free ?? 0) >= 20_000_000]).toEqual([free, true]);
    await m.out("truncate -s 1G sparse; fallocate -l 1M reserved; sync -f .");
    const left = await used();
    expect(left).toBeGreaterThanOrEqual(1 << 20);
    expect(left).toBeLessThan(3 << 20);
  });

  test("status.json counts a generated file as static as soon as a program has written to it, whether it is closed or not", async () => {
    await using m = await mounted({ pending: ["poem"] });
    const files = () => m.status().files;
    expect(files()).toMatchObject({ pending: 1, ready: 0, static: 0 });
    await m.out("cat poem");
    expect(files()).toMatchObject({ pending: 0, ready: 1, static: 0 });
    const script = `
import json, os
fd = os.open("poem", os.O_RDWR)
os.pwrite(fd, b"X", 0)
print(json.load(open(".llmfs/status.json"))["files"])
`;
    expect(await m.out(`python3 -c '${script}'`)).toContain("'ready': 0");
    expect(files()).toMatchObject({ pending: 0, ready: 0, static: 1 });
  });
});

/** Reads a control file, and prints how long the slowest request of another process took in that time. */
const SLOWEST = `
import os, signal, sys, time
ready, out = os.pipe()
child = os.fork()
if child == 0:
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    os.write(out, b"x")
    slowest = 0
    while not stopped:
        begin = time.monotonic()
        os.mkdir("x")
        os.rmdir("x")
        slowest = max(slowest, time.monotonic() - begin)
    os.write(out, str(slowest).encode())
    os._exit(0)
os.read(ready, 1)
begin = time.monotonic()
with open(sys.argv[1], "rb") as file: files = file.read().count(b"/flat/file")
took = time.monotonic() - begin
os.kill(child, signal.SIGTERM)
os.waitpid(child, 0)
print(files, float(os.read(ready, 100)) / took)
`;

describeMounted("the control file of a tree of 60,000 pending files", () => {
  test("the control file of a tree of 60,000 pending files is produced in slices, and other requests are answered in between", async () => {
    const entries: unknown[] = [
      { path: "/", type: "directory" },
      { path: "/flat", type: "directory" },
    ];
    for (let index = 0; index < 60_000; index++) {
      entries.push({ path: `/flat/file${String(index).padStart(5, "0")}`, type: "file", state: "pending" });
    }
    await using m = await mounted({ snapshot: JSON.stringify({ llmfs: 1, entries }) });
    writeFileSync(m.sandbox.at("slowest.py"), SLOWEST);
    expect(m.status().files).toMatchObject({ pending: 60_000, static: 0 });
    for (const name of ["tree", "pending.json"]) {
      const [files, share] = (await m.out(`python3 "$OUT/slowest.py" .llmfs/${name}`)).split(" ").map(Number);
      expect(files).toBe(60_000);
      // If it were produced in one piece, one request would wait for nearly the whole time.
      expect(share).toBeLessThan(0.6);
    }
  });
});
