/** Without root: with fusermount3, and in a user namespace without fusermount3. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { findMountAt } from "../../src/mountinfo.ts";
import { contentOf, IS_ROOT, mounted, processesOf } from "../support/mounted.ts";
import { programs } from "../support/needs.ts";
import { AS_USER, device, helper, NOBODY, ordinary, type User } from "../support/ordinary.ts";
import { eventually, isAlive, mountedType } from "../support/program.ts";

setDefaultTimeout(30_000);

const namespace = device ?? (mayUnshare() ? undefined : "user namespaces for everybody");

function mayUnshare(): boolean {
  const flags = ["--user", "--map-root-user", "--mount", "true"];
  return Bun.which("unshare") !== null && Bun.spawnSync({ cmd: [...AS_USER, "unshare", ...flags] }).success;
}

function testLacking(what: string | undefined, name: string, body: () => Promise<void>): void {
  if (what === undefined) test(name, body);
  else test.skip(`${name} (lacks ${what})`, body);
}

testLacking(helper, "an ordinary user mounts by fusermount3, reads, writes, saves and unmounts", async () => {
  await using user = await ordinary(["a.txt", "sub/b.txt"]);
  const { mounted } = user;
  expect(await user.mount("--save", "tree.json")).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(mountedType(mounted.dir)).toBe("fuse.llmfs");
  expect(findMountAt(mounted.dir)?.source).toMatch(/^llmfs:from\.json(-\d+)?$/);
  expect(await user.sh("ls -lR > ../listing; stat -c '%U' a.txt . | sort -u | wc -l; cat a.txt")).toBe(
    `1\n${contentOf("a.txt")}`,
  );
  expect(await user.sh("echo mine > own; cp own sub/b.txt; cat sub/b.txt; ln own two; stat -c %h two")).toBe(
    "mine\n2\n",
  );
  expect(mounted.server.requests.length).toBe(1);
  expect(await user.llmfs(["save", "mnt", "live.json"])).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(await user.llmfs(["unmount", "mnt"])).toEqual({ status: 0, stdout: "", stderr: "" });
  expect([mountedType(mounted.dir), processesOf(mounted.dir, "--daemon")]).toEqual([undefined, []]);
  await eventually("its guardian has ended", () => processesOf(mounted.dir).length === 0);
  expect((await user.run(["cat", "tree.json"])).stdout).toContain('"/own"');
});

testLacking(
  helper,
  "a file size limit that cannot be raised is reported, and limits neither later writers nor the unmount",
  async () => {
    await using user = await ordinary([]);
    const { mounted } = user;
    const mount = (limits: string, flags: string) =>
      user.run(["/bin/sh", "-c", `${limits}; exec ./llmfs mount mnt ${flags}`]);

    const small = await mount("ulimit -f 64", "");
    expect([small.status, small.stderr]).toEqual([
      0,
      expect.stringMatching(/warning: .*ulimit -f.* limited to \d+ bytes/),
    ]);
    expect(await user.sh("head -c 500000 /dev/zero > big; wc -c < big; echo x >> big; tail -c 2 big")).toBe(
      "500000\nx\n",
    );
    expect((await user.llmfs(["unmount", "mnt"])).status).toBe(0);

    const short = await mount("ulimit -t 3", "--save tree.json");
    expect([short.status, short.stderr]).toEqual([0, expect.stringMatching(/warning: .*ulimit -t.*after 2 s/)]);
    await user.sh("echo mine > own");
    const busy = user.run([
      "/bin/sh",
      "-c",
      "for i in 1 2 3; do (while test -e mnt/own && echo x > mnt/other$i && rm mnt/other$i; do :; done) & done; wait",
    ]);
    await eventually(
      "it is unmounted",
      () => mountedType(mounted.dir) === undefined && processesOf(mounted.dir).length === 0,
      100_000,
    );
    await busy;
    expect((await user.run(["cat", "tree.json"])).stdout).toContain('"mine\\n"');
  },
);

testLacking(
  helper ?? (IS_ROOT ? undefined : "root"),
  "root can unmount a user's mount, and learns whether it is saved",
  async () => {
    await using user = await ordinary([]);
    const { mounted } = user;
    const tree = mounted.sandbox.at("tree.json");
    await user.mount("--save", "tree.json");
    await user.sh("echo mine > own");
    expect(await mounted.unmount()).toEqual({ status: 0, stdout: "", stderr: "" });
    expect([mountedType(mounted.dir), statSync(tree).uid, readFileSync(tree, "utf8")]).toEqual([
      undefined,
      NOBODY,
      expect.stringContaining("mine"),
    ]);
    await user.mount("--save", "tree.json");
    await user.sh("echo mine > own");
    chownSync(mounted.sandbox.path, 0, 0);
    const { status, stderr } = await mounted.unmount();
    chownSync(mounted.sandbox.path, NOBODY, NOBODY);
    expect([status, stderr]).toEqual([
      89,
      expect.stringContaining("stays mounted because the tree could not be saved"),
    ]);
    expect(await mounted.unmount()).toMatchObject({ status: 0 });
  },
);

testLacking(
  helper,
  "an ordinary user can warm and regenerate files, but not files that the user may not write",
  async () => {
    await using user = await ordinary(["a.txt", "sub/b.txt"]);
    const { server } = user.mounted;
    await user.mount();
    expect((await user.llmfs(["warm", "mnt"])).status).toBe(0);
    expect((await user.llmfs(["regen", "mnt/a.txt", "mnt/sub/b.txt"])).status).toBe(0);
    expect(server.requests).toHaveLength(4);
    await user.sh("chmod 444 a.txt; chmod 000 sub");
    for (const [path, reason] of [
      ["mnt/a.txt", "EACCES: no permission to write to the file"],
      ["mnt/sub/b.txt", "EACCES: no search permission for a directory in the path"],
    ] as const) {
      expect(await user.llmfs(["regen", path])).toMatchObject({ status: 90, stderr: expect.stringContaining(reason) });
      expect((await user.llmfs(["regen", "--undo", path])).status).toBe(90);
    }
    expect(server.requests).toHaveLength(4);
  },
);

testLacking(helper, "an ordinary user's mount is closed to everybody else, even to root", async () => {
  await using user = await ordinary(["a.txt"]);
  await user.mount();
  if (!IS_ROOT) return;
  expect(() => readdirSync(user.mounted.dir)).toThrow("EACCES");
});

testLacking(helper, "an ordinary user's daemon that is killed ten times under load leaves nothing behind", async () => {
  await using user = await ordinary(["a.txt"]);
  const { dir } = user.mounted;
  for (let round = 0; round < 10; round++) {
    expect((await user.mount("--mode", "off")).status).toBe(0);
    const [pid] = processesOf(dir, "--daemon");
    const load = user.run(["/bin/sh", "-c", "cd mnt; while cat a.txt && echo x > w && ls -lR; do :; done"]);
    const asked = user.mounted.server.requests.length;
    await eventually("it is at work", () => user.mounted.server.requests.length > asked || round > 0);
    process.kill(pid!, "SIGKILL");
    await eventually("the mount is gone", () => mountedType(dir) === undefined);
    await load;
  }
  expect((await user.mount()).status).toBe(0);
  expect(await user.sh("cat a.txt")).toBe(contentOf("a.txt"));
});

testLacking(helper, "an ordinary user can mount over a dead mount, and fusermount3 -u ends a live one", async () => {
  await using user = await ordinary(["a.txt"]);
  const { dir } = user.mounted;
  await user.mount();
  const both = processesOf(dir);
  for (const pid of both.toSorted((a, b) => b - a)) process.kill(pid, "SIGKILL");
  await eventually("both are gone", () => !both.some(isAlive));
  expect(mountedType(dir)).toBe("fuse.llmfs");
  expect(await user.mount()).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(await user.sh("cat a.txt")).toBe(contentOf("a.txt"));
  const again = processesOf(dir);
  expect((await user.run(["fusermount3", "-u", "mnt"])).status).toBe(0);
  await eventually("its processes are gone", () => !again.some(isAlive));
});

/** A PATH with everything except the helper. */
function pathWithoutHelper(user: User): string {
  const bin = user.mounted.sandbox.at("bin");
  mkdirSync(bin);
  for (const name of ["sh", "cat", "ls", "id", "unshare", "true", "stat", "sleep", "getfattr", "test", "grep"]) {
    const found = Bun.which(name);
    if (found !== null) symlinkSync(found, `${bin}/${name}`);
  }
  return bin;
}

testLacking(
  namespace,
  "without fusermount3, run uses a namespace: files are generated, belong to the user, and nothing is left",
  async () => {
    await using user = await ordinary(["a.txt", "b.txt"]);
    const path = pathWithoutHelper(user);
    const script = "ls -l >/dev/null; cat a.txt; echo mine >> b.txt; cat b.txt; test -O a.txt && echo owned; exit 7";
    const args = [
      "run",
      "--from",
      "from.json",
      "--save",
      "tree.json",
      ...user.mounted.modelArgs(),
      "--",
      "sh",
      "-c",
      script,
    ];
    const { status, stdout, stderr } = await user.llmfs(args, path);
    expect({ status, stdout, stderr }).toEqual({ status: 7, stdout: `${contentOf("a.txt")}mine\nowned\n`, stderr: "" });
    expect(user.mounted.server.requests.length).toBe(1);
    expect((await user.run(["cat", "tree.json"])).stdout).toContain('"mine\\n"');
    expect(user.mounted.sandbox.leftovers()).toEqual([]);
  },
);

testLacking(
  namespace,
  "without fusermount3, mount says what is missing, and which command works without it",
  async () => {
    await using user = await ordinary([]);
    const { status, stderr } = await user.llmfs(["mount", "mnt"], pathWithoutHelper(user));
    expect(status).toBe(82);
    expect(stderr).toContain("fusermount3");
  },
);

testLacking(
  namespace,
  "without fusermount3, a failing model is reported as usual, and a kill leaves nothing",
  async () => {
    await using user = await ordinary(["a.txt"]);
    const path = pathWithoutHelper(user);
    user.mounted.answer = () => ({ status: 400 });
    const args = ["run", "--from", "from.json", ...user.mounted.modelArgs(), "--"];
    const failed = await user.llmfs([...args, "cat", "a.txt"], path);
    expect([failed.status, failed.stdout, failed.stderr]).toEqual([
      1,
      "",
      expect.stringContaining("Input/output error"),
    ]);
    user.mounted.answer = () => ({ hang: true });
    const hanging = user.start([user.mounted.sandbox.at("llmfs"), ...args, "cat", "a.txt"], path);
    const request = await user.mounted.server.request(1);
    hanging.kill("SIGTERM");
    await request.disconnected;
    await hanging.exited;
    expect(user.mounted.sandbox.leftovers()).toEqual([]);
  },
);

testLacking(
  IS_ROOT ? helper : "root",
  "a mount of another user is not unmounted, and the error names its owner",
  async () => {
    await using user = await ordinary(["a.txt"]);
    const { mounted } = user;
    const root = await mounted.sandbox.llmfs(["mount", "--allow-other", "--save", "tree.json", mounted.dir]);
    expect(root).toEqual({ status: 0, stdout: "", stderr: expect.any(String) });
    for (const flags of [[], ["--lazy"]]) {
      const { status, stderr } = await user.llmfs(["unmount", ...flags, "mnt"]);
      expect([status, stderr]).toEqual([
        82,
        "llmfs: mnt was mounted by user 0; only that user and root can unmount it\n",
      ]);
    }
    expect((await mounted.sandbox.llmfs(["unmount", mounted.dir])).status).toBe(0);
  },
);

testLacking(
  IS_ROOT ? (device ?? programs("setpriv")) : "root",
  "on a mount that only root can enter, root without CAP_DAC_OVERRIDE is refused where the mode says so",
  async () => {
    await using m = await mounted();
    await m.out("mkdir shut open; echo x > shut/file; echo x > open/file; cat shut/file > /dev/null");
    await m.out("chown 1000 shut open/file; chmod 700 shut; chmod 600 open/file");
    const less = "setpriv --bounding-set -dac_override,-dac_read_search --inh-caps -dac_override,-dac_read_search";
    // Also for a name that the kernel has cached.
    expect(await m.out(`${less} cat shut/file open/file 2>&1 || true; cat shut/file open/file`)).toBe(
      "cat: shut/file: Permission denied\ncat: open/file: Permission denied\nx\nx\n",
    );
    expect(await m.out(`${less} test -x open/file || echo none`)).toBe("none\n");
  },
);
