/** How many requests ordinary work sends: the kernel does not ask again for what it has cached. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeMounted, IS_ROOT, type Mounted, mounted, processesOf } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";

setDefaultTimeout(60_000);

type Counts = Readonly<Record<string, number>>;

function counts(m: Mounted): Counts {
  return JSON.parse(readFileSync(join(m.dir, ".llmfs/status.json"), "utf8")).requests;
}

/** The requests that a script causes, without those for reading the counter's own file. */
async function sent(m: Mounted, script: string): Promise<Counts> {
  const before = counts(m);
  const between = counts(m);
  await m.out(script);
  const after = counts(m);
  const found: Record<string, number> = {};
  for (const [name, count] of Object.entries(after)) {
    const looking = (between[name] ?? 0) - (before[name] ?? 0);
    const number = count - (between[name] ?? 0) - looking;
    if (number > 0) found[name] = number;
  }
  return found;
}

/**
 * Runs a script until it causes these requests: the first runs fill the kernel's caches. Between them no request comes for a
 * while, which is when written files settle.
 */
async function sendsInTheEnd(m: Mounted, script: string, wanted: Counts): Promise<void> {
  let found = await sent(m, script);
  for (let run = 1; run < 100 && !Bun.deepEquals(found, wanted); run++) {
    await Bun.sleep(10);
    found = await sent(m, script);
  }
  expect(found).toEqual(wanted);
}

function total(found: Counts, ...names: string[]): number {
  return names.reduce((sum, name) => sum + (found[name] ?? 0), 0);
}

describeMounted("the kernel sends", () => {
  test("the kernel sends a few dozen requests for ten thousand files in a directory with their attributes, and then none", async () => {
    await using m = await mounted();
    await m.out("mkdir big && cd big && seq 10000 | xargs touch");
    // In another process, so that only the kernel's own cache can help it.
    const list = `python3 -c 'import os; print(sum(e.stat(follow_symlinks=False).st_size + 1 for e in os.scandir("big")))'`;
    const first = await sent(m, list);
    expect(total(first, "readdir", "readdirplus")).toBeLessThan(100);
    expect(total(first, "lookup", "getattr", "statx", "open", "opendir")).toBeLessThan(10);
    await sendsInTheEnd(m, list, {});
  });

  test("the kernel sends no requests when ls -l shows what it has cached, apart from two that ls makes once", async () => {
    await using m = await mounted();
    await m.out("mkdir big && cd big && seq 1000 | xargs touch");
    // ls learns that there are no labels and no access control lists here.
    await sendsInTheEnd(m, "ls -l big > /dev/null", { getxattr: 2 });
  });

  test("the kernel sends no requests for stat of a known file, by any path, and for a name known to be missing", async () => {
    await using m = await mounted();
    await m.out("mkdir -p a/b && echo hello > a/b/file && ln -s b a/link");
    const look =
      "stat a/b/file a/link/file > /dev/null; test -r a/b/file; test -e a/b/none; test -d a/b; readlink a/link > /dev/null";
    await sendsInTheEnd(m, look, {});
  });

  test("the kernel sends no request for the attributes of a file that was written and inspected before it was closed", async () => {
    await using m = await mounted();
    const write =
      "import os; fd = os.open('f', os.O_CREAT | os.O_WRONLY); os.write(fd, b'x' * 5000); os.fstat(fd); os.close(fd)";
    await m.out(`python3 -c "${write}"`);
    expect(await sent(m, "test -s f; test f -nt .")).toEqual({});
  });

  test("the kernel sends no lookups for files that were listed before a program asks for their attributes", async () => {
    const count = 2000;
    const files = Array.from({ length: count }, (_, i) => `d/f${i}.txt`);
    const walk = "import os\nfor d, _, names in os.walk('d'):\n  for name in names: os.stat(os.path.join(d, name))";
    const script = `python3 -c "${walk}"; find d -printf '%s\\n' > /dev/null`;
    const entries = [
      { path: "/d", type: "directory", mode: "0755" },
      ...files.map((path) => ({ path: `/${path}`, type: "file", mode: "0644", text: "content" })),
    ];
    await using ready = await mounted({ snapshot: JSON.stringify({ llmfs: 1, entries }) });
    const found = await sent(ready, script);
    expect(total(found, "lookup")).toBeLessThan(10);
    expect(total(found, "getattr", "statx")).toBeLessThan(10);
    // Some programs must not see the size that a pending file reports, so the kernel does not cache it.
    await using pending = await mounted({ pending: files });
    const asked = await sent(pending, script);
    expect(total(asked, "lookup")).toBeLessThan(10);
    expect(total(asked, "getattr", "statx")).toBeLessThan(2 * count + 10);
    await using free = await mounted({ pending: files, args: ["--stat-generates", ""] });
    expect(total(await sent(free, script), "lookup", "getattr", "statx")).toBeLessThan(10);
    expect(pending.server.requests).toHaveLength(0);
  });

  test("the kernel sends only an open and a release when a file is read again", async () => {
    await using m = await mounted();
    await m.out("echo hello > file");
    await sendsInTheEnd(m, "cat file", { open: 1, release: 1 });
  });

  test("the kernel sends few requests for git status once the tree is known: for files that git itself opens", async () => {
    await using m = await mounted();
    const git = "export HOME=$OUT; git -c user.name=somebody -c user.email=some@body -c core.fsmonitor=false";
    await m.out(
      "mkdir -p src/one src/two; for i in $(seq 200); do echo $i > src/one/f$i; echo $i > src/two/f$i; done; " +
        // Git reads all files again that are as recent as its index.
        "touch -d 2001-01-01 src/*/*; " +
        `${git} init -q . && git add -A && ${git} commit -qm one; ${git} status; ${git} status --porcelain`,
    );
    const found = await sent(m, `${git} --no-optional-locks status --porcelain`);
    expect(total(found, "lookup", "getattr", "statx", "readdir", "readdirplus")).toBeLessThan(20);
    // The index, the refs and the configuration; not one of the 400 files.
    expect(total(found, "open", "create")).toBeLessThan(40);
    expect(total(found, "write", "setattr", "rename", "unlink")).toBe(0);
  });
});

/** The system calls of these kinds that the mount makes while a script runs. */
async function systemCalls(m: Mounted, kinds: readonly string[], script: string): Promise<Counts> {
  const [daemon] = processesOf(m.dir, "--daemon");
  const out = m.sandbox.at("system-calls");
  const tracer = Bun.spawn(["strace", "-f", "-c", "-o", out, "-e", `trace=${kinds.join(",")}`, "-p", String(daemon)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const attached = tracer.stderr.getReader();
  for (let said = ""; !said.includes("attached"); ) {
    const { value, done } = await attached.read();
    if (done) throw new Error(`strace: ${said}`);
    said += Buffer.from(value).toString();
  }
  await m.out(script);
  tracer.kill("SIGINT");
  await tracer.exited;
  const rows = readFileSync(out, "utf8").split("\n");
  return Object.fromEntries(
    kinds.map((kind) => {
      const row = rows.find((line) => line.trimEnd().endsWith(` ${kind}`));
      return [kind, Number(row?.trim().split(/\s+/)[3] ?? 0)];
    }),
  );
}

describeMounted("the mount itself", () => {
  testWith(IS_ROOT ? programs("strace") : "root, to trace a program that is not a child")(
    "the mount makes few system calls for a file that is made, written and closed",
    async () => {
      const files = 300;
      await using m = await mounted();
      const make = `import os
for n in range(${files}):
  fd = os.open(f"{n}", os.O_CREAT | os.O_WRONLY)
  os.write(fd, b"x" * 4096)
  os.close(fd)`;
      const calls = await systemCalls(m, ["fstat", "fcntl", "lseek"], `python3 -c '${make}'`);
      // One fstat for the time. Some are repeated when a tick of the clock ends, and where the program is interrupted for
      // longer, the first files go back to the heap.
      expect(calls.fstat).toBeLessThan(files * 3.5);
      expect(calls.fcntl).toBeLessThan(files / 10);
      expect(calls.lseek).toBeLessThan(files / 10);
    },
  );
});
