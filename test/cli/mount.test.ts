import { afterEach, beforeEach, describe, expect } from "bun:test";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { EXIT } from "../../src/cli/output/exit-codes.ts";
import { findMountAt } from "../../src/mountinfo.ts";
import { processesOf } from "../support/mounted.ts";
import { mounting, testWith } from "../support/needs.ts";
import { openaiServer } from "../support/openai-server.ts";
import { eventually, finished, isAlive, mountedType, PROGRAMS, Sandbox } from "../support/program.ts";

const test = testWith(mounting());

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

/** A mount in the foreground with --json is ready when it prints its mountpoint. */
async function ready(child: { readonly stdout: ReadableStream<Uint8Array> }): Promise<void> {
  await child.stdout.getReader().read();
}

function servingPid(mountpoint: string): number {
  return JSON.parse(readFileSync(`${mountpoint}/.llmfs/status.json`, "utf8")).pid;
}

describe.each(PROGRAMS)("%s", (_, program) => {
  test("mount returns when the mount answers, and unmount when its process has ended", async () => {
    const dir = sandbox.directory("mnt");
    const mounted = await sandbox.llmfs(["mount", dir], { program });
    expect(mounted).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(mountedType(dir)).toBe("fuse.llmfs");
    writeFileSync(`${dir}/file`, "content");
    expect(readFileSync(`${dir}/file`, "utf8")).toBe("content");
    const pid = servingPid(dir);
    expect(await sandbox.llmfs(["unmount", dir], { program })).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(mountedType(dir)).toBeUndefined();
    expect(isAlive(pid)).toBe(false);
    expect(readdirSync(dir)).toEqual([]);
  });

  test("mount -f serves until it gets a signal, and saves", async () => {
    const dir = sandbox.directory("mnt");
    const child = sandbox.start(["mount", "-f", "--json", "--save", "tree.json", dir], { program });
    await ready(child);
    writeFileSync(`${dir}/file`, "content");
    child.kill("SIGINT");
    const stderr = await new Response(child.stderr).text();
    expect([await child.exited, mountedType(dir)]).toEqual([0, undefined]);
    // The filesystem thread may say this first, as an ordinary user.
    expect(stderr.replace(/^no passthrough: .*\n/, "")).toStartWith(`mounted at ${dir}\n`);
    expect(stderr).toEndWith(`\nunmounted ${dir}\n`);
    expect(readFileSync(sandbox.at("tree.json"), "utf8")).toContain('"content"');
  });
});

test("llmfs DIR is the same as llmfs mount DIR", async () => {
  const dir = sandbox.directory("mnt");
  expect((await sandbox.llmfs(["mnt"])).status).toBe(0);
  expect(mountedType(dir)).toBe("fuse.llmfs");
  expect((await sandbox.llmfs(["unmount", "mnt"])).status).toBe(0);
});

test("--json prints the mountpoint and the serving process to standard output", async () => {
  const dir = sandbox.directory("mnt");
  const { stdout } = await sandbox.llmfs(["mount", "--json", dir]);
  expect(JSON.parse(stdout)).toEqual({ mountpoint: dir, pid: servingPid(dir) });
});

test("mount tables name the source of a mount, and show two mounts of one snapshot as different", async () => {
  writeFileSync(sandbox.at("a, b.json"), '{"llmfs": 1, "entries": []}');
  for (const name of ["one", "two"]) {
    sandbox.directory(name);
    expect((await sandbox.llmfs(["mount", name, "--from", "a, b.json"])).status).toBe(0);
  }
  const sources = ["one", "two"].map((name) => findMountAt(sandbox.at(name))?.source);
  expect(sources[0]).toMatch(/^llmfs:a-b\.json(-\d+)?$/);
  expect(sources[1]).toMatch(/^llmfs:a-b\.json-\d+$/);
  expect(sources[0]).not.toBe(sources[1]);
});

test("a mountpoint may be named through a symlink, and its name may contain blanks and backslashes", async () => {
  const dir = sandbox.directory("a b\\040c");
  symlinkSync(dir, sandbox.at("link"));
  expect((await sandbox.llmfs(["mount", "link"])).status).toBe(0);
  expect(mountedType(dir)).toBe("fuse.llmfs");
  expect((await sandbox.llmfs(["unmount", "link"])).status).toBe(0);
  expect(mountedType(dir)).toBeUndefined();
});

describe("a mountpoint that cannot be used is reported before anything is done:", () => {
  test("a missing mountpoint is reported before anything is done", async () => {
    const { status, stderr } = await sandbox.llmfs(["mount", "nowhere"]);
    expect([status, stderr]).toEqual([80, "llmfs: nowhere does not exist; make it with: mkdir -p nowhere\n"]);
  });

  for (const [name, cure] of [
    ["a b", "mkdir -p 'a b'"],
    ["it's", "mkdir -p 'it'\\''s'"],
    ["ünï", "mkdir -p ünï"],
    ["-dash", "mkdir -p ./-dash"],
  ]) {
    test(`a missing mountpoint with a name like ${name} is quoted for a shell`, async () => {
      const { status, stderr } = await sandbox.llmfs(["mount", "--", name ?? ""]);
      expect([status, stderr]).toEqual([80, `llmfs: ${name} does not exist; make it with: ${cure}\n`]);
    });
  }

  test("a mountpoint that is not UTF-8 is reported before anything is done", async () => {
    const { status, stderr } = await sandbox.llmfs(["mount", "bad\ufffd"]);
    expect([status, stderr]).toEqual([80, expect.stringContaining("is not valid UTF-8")]);
  });

  test("a mountpoint that is a file is reported before anything is done", async () => {
    writeFileSync(sandbox.at("file"), "");
    const { status, stderr } = await sandbox.llmfs(["mount", "file"]);
    expect(status).toBe(80);
    expect(stderr).toStartWith("llmfs: file is a file, not a directory");
  });

  test("a mountpoint that is not empty is reported before anything is done", async () => {
    mkdirSync(`${sandbox.directory("mnt")}/inside`);
    const { status, stderr } = await sandbox.llmfs(["mount", "mnt"]);
    expect(status).toBe(80);
    expect(stderr).toStartWith('llmfs: mnt is not empty (it holds "inside")');
  });

  test("a mountpoint that is already mounted is reported before anything is done", async () => {
    sandbox.directory("mnt");
    await sandbox.llmfs(["mount", "mnt"]);
    const { status, stderr } = await sandbox.llmfs(["mount", "mnt"]);
    expect([status, stderr]).toEqual([
      81,
      "llmfs: mnt: an llmfs is mounted there already; end it with: llmfs unmount mnt\n",
    ]);
  });

  test("if the mountpoint is unusable, no request is sent to the model", async () => {
    await using server = await openaiServer();
    const { status } = await sandbox.llmfs(["mount", "nowhere", "--prompt", "a site", "--base-url", server.baseUrl]);
    expect([status, server.requests.length, server.otherPaths]).toEqual([80, 0, []]);
  });
});

describe("a failure in the background is reported in the foreground, with nothing mounted:", () => {
  test("a missing snapshot is reported, and nothing is mounted", async () => {
    const dir = sandbox.directory("mnt");
    const { status, stderr } = await sandbox.llmfs(["mount", "mnt", "--from", "no.json"]);
    expect(status).toBe(85);
    expect(stderr).toContain(sandbox.at("no.json"));
    expect(mountedType(dir)).toBeUndefined();
  });

  test("an invalid snapshot is reported, and nothing is mounted", async () => {
    const dir = sandbox.directory("mnt");
    writeFileSync(sandbox.at("bad.json"), '{"llmfs": 1, "entries": [{"path": "/../x", "type": "file"}]}');
    const { status, stderr } = await sandbox.llmfs(["mount", "mnt", "--from", "bad.json"]);
    expect([status, mountedType(dir)]).toEqual([85, undefined]);
    expect(stderr).toStartWith(`llmfs: ${sandbox.at("bad.json")}`);
  });

  test("a rejected key is reported, and nothing is mounted", async () => {
    const dir = sandbox.directory("mnt");
    await using server = await openaiServer([{ status: 401, body: { error: { message: "bad key" } } }]);
    const { status, stderr } = await sandbox.llmfs(["mount", "mnt", "--prompt", "a site"], {
      env: { OPENAI_BASE_URL: server.baseUrl, OPENAI_API_KEY: "sk-very-secret", LLMFS_MODEL: "scripted" },
    });
    expect([status, mountedType(dir)]).toEqual([86, undefined]);
    expect(stderr).toContain("127.0.0.1");
    expect(stderr + sandbox.log()).not.toContain("sk-very-secret");
  });

  test("an unreachable server is reported, and nothing is mounted", async () => {
    sandbox.directory("mnt");
    const { status } = await sandbox.llmfs(["mount", "mnt", "--prompt", "a site", "--model", "m"], {
      env: { OPENAI_BASE_URL: "http://127.0.0.1:9/v1" },
    });
    expect(status).toBe(86);
  }, 20_000);

  test("a save destination that cannot be written is reported before anything costs money", async () => {
    sandbox.directory("mnt");
    const { status, stderr } = await sandbox.llmfs(["mount", "mnt", "--save", "no/such/tree.json"]);
    expect(status).toBe(89);
    expect(stderr).toContain("the folder cannot be written");
  });

  test("a save destination in the mount is rejected", async () => {
    sandbox.directory("mnt");
    const { status, stderr } = await sandbox.llmfs(["mount", "mnt", "--save", "mnt/tree.json"]);
    expect(status).toBe(2);
    expect(stderr).toContain("is inside the mount");
  });
});

test("a log that cannot be written causes a warning, and the mount works", async () => {
  const dir = sandbox.directory("mnt");
  writeFileSync(sandbox.at("state"), "a file, where a folder should be");
  const child = sandbox.start(["mount", "-f", "--json", dir]);
  await ready(child);
  child.kill("SIGTERM");
  const stderr = await new Response(child.stderr).text();
  expect(await child.exited).toBe(0);
  expect(stderr).toContain("cannot write the log file");
  expect(stderr).toContain("continuing without");
});

describe("a launcher and its daemon notice when the other ends:", () => {
  const unanswered = ["mount", "mnt", "--prompt", "a site", "--model", "scripted", "--base-url"];

  function daemonsOf(dir: string): readonly number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
          return argv.includes("--daemon") && argv.includes(dir);
        } catch {
          return false;
        }
      });
  }

  test("a launcher that is killed ends a daemon that is not ready yet", async () => {
    const dir = sandbox.directory("mnt");
    await using server = await openaiServer([{ hang: true }]);
    const launcher = sandbox.start([...unanswered, server.baseUrl]);
    const request = await server.request(0);
    expect(daemonsOf(dir).length).toBe(1);
    launcher.kill("SIGKILL");
    await request.disconnected;
    await eventually("the daemon has ended", () => daemonsOf(dir).length === 0);
    expect(mountedType(dir)).toBeUndefined();
  });

  test("a launcher that is interrupted ends the daemon and exits with the signal's status", async () => {
    const dir = sandbox.directory("mnt");
    await using server = await openaiServer([{ hang: true }]);
    const launcher = sandbox.start([...unanswered, server.baseUrl]);
    await server.request(0);
    launcher.kill("SIGINT");
    const { status } = await finished(launcher);
    expect([status, daemonsOf(dir)]).toEqual([130, []]);
  });

  test("a daemon that is killed before it is ready is reported by its launcher", async () => {
    const dir = sandbox.directory("mnt");
    await using server = await openaiServer([{ hang: true }]);
    const launcher = sandbox.start([...unanswered, server.baseUrl]);
    await server.request(0);
    process.kill(daemonsOf(dir)[0] ?? 0, "SIGKILL");
    const { status, stderr } = await finished(launcher);
    expect(status).toBe(1);
    expect(stderr).toContain("was killed (SIGKILL) before it was ready");
  });

  test("a daemon that is killed at any moment of its start leaves no mount and no process", async () => {
    const outcomes = new Set<number | null>();
    for (let round = 0; round < 24; round++) {
      const dir = sandbox.directory(`mnt${round}`);
      const launcher = sandbox.start(["mount", dir]);
      await eventually("the daemon is there", () => daemonsOf(dir).length > 0);
      const [daemon = 0] = daemonsOf(dir);
      // Every other time just after the kernel has mounted, which is the moment without a guardian.
      const atOnce = round % 2 === 0;
      const until = performance.now() + (atOnce ? 10_000 : round * 2);
      while (performance.now() < until && !(atOnce && mountedType(dir) !== undefined));
      process.kill(daemon, "SIGKILL");
      const { status, stderr } = await finished(launcher);
      outcomes.add(status);
      if (status !== 0)
        expect([status, stderr]).toEqual([
          1,
          expect.stringMatching(/was killed \(SIGKILL\) (before|as soon as) it was ready/),
        ]);
      // The launcher removes the mount before it ends; a guardian does it at about the same time.
      if (status === 0) await eventually("the mount is gone", () => mountedType(dir) === undefined);
      expect([round, mountedType(dir)]).toEqual([round, undefined]);
      await eventually("no process is left", () => processesOf(dir).length === 0);
    }
    expect(outcomes).toContain(1);
  });

  test("a mount outlives its launcher's session, terminal and directory", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", dir]);
    const pid = servingPid(dir);
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /, "").split(" ");
    expect(Number(fields[3])).toBe(pid);
    const links = ["cwd", "fd/0", "fd/1", "fd/2"].map((name) => readlinkSync(`/proc/${pid}/${name}`));
    expect(links).toEqual(["/", "/dev/null", "/dev/null", "/dev/null"]);
  });
});

test("a signal during mounting leaves nothing mounted", async () => {
  for (let tries = 0; tries < 10; tries++) {
    const dir = sandbox.directory(`mnt${tries}`);
    const child = sandbox.start(["mount", "-f", dir]);
    await eventually("it is mounted", () => mountedType(dir) !== undefined);
    child.kill("SIGTERM");
    const { status } = await finished(child);
    expect([0, 143]).toContain(status);
    expect(mountedType(dir)).toBeUndefined();
  }
});

describe("a mount is removed when its process ends", () => {
  test("SIGTERM unmounts and saves", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", "--save", "tree.json", dir]);
    writeFileSync(`${dir}/file`, "content");
    const pid = servingPid(dir);
    process.kill(pid, "SIGTERM");
    await eventually("the process has ended", () => !isAlive(pid));
    expect(mountedType(dir)).toBeUndefined();
    expect(readFileSync(sandbox.at("tree.json"), "utf8")).toContain('"content"');
  });

  test("SIGKILL leaves no dead mount behind", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", dir]);
    process.kill(servingPid(dir), "SIGKILL");
    await eventually("the mount is gone", () => mountedType(dir) === undefined);
    expect(readdirSync(dir)).toEqual([]);
  });

  test("a signal waits a limited time for programs that use the mount, and a second one does not wait", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", "--save", "tree.json", dir]);
    writeFileSync(`${dir}/file`, "content");
    const pid = servingPid(dir);
    const fd = openSync(`${dir}/file`, "r");
    try {
      process.kill(pid, "SIGTERM");
      await eventually("the mount is gone from sight", () => mountedType(dir) === undefined);
      expect(isAlive(pid)).toBe(true);
      process.kill(pid, "SIGTERM");
      await eventually("the process has ended", () => !isAlive(pid));
    } finally {
      closeSync(fd);
    }
    expect(readFileSync(sandbox.at("tree.json"), "utf8")).toContain('"content"');
  });
});

describe("unmount", () => {
  test("the error of unmount names what was found if it is not a mount of llmfs", async () => {
    sandbox.directory("mnt");
    const nothing = await sandbox.llmfs(["unmount", "mnt"]);
    expect(nothing).toEqual({ status: 83, stdout: "", stderr: "llmfs: mnt: no llmfs is mounted there\n" });
    const proc = await sandbox.llmfs(["unmount", "/proc"]);
    expect([proc.status, proc.stderr]).toEqual([83, "llmfs: /proc: the filesystem mounted there is proc, not llmfs\n"]);
  });

  test("unmount of a directory inside a mount names the mount", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", dir]);
    mkdirSync(`${dir}/inner`);
    const { status, stderr } = await sandbox.llmfs(["unmount", `${dir}/inner`]);
    expect([status, stderr]).toEqual([
      83,
      `llmfs: ${dir}/inner: no llmfs is mounted there; it is inside the mount at ${dir}\n`,
    ]);
  });

  test("unmount of a busy mount names the program that uses it, and leaves it mounted; --lazy unmounts it", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", dir]);
    const user = Bun.spawn({ cmd: ["sleep", "60"], cwd: dir });
    try {
      const { status, stderr } = await sandbox.llmfs(["unmount", "mnt"]);
      expect([status, stderr]).toEqual([81, `llmfs: mnt is still used by sleep (${user.pid}); end it or use --lazy\n`]);
      expect(mountedType(dir)).toBe("fuse.llmfs");
      expect((await sandbox.llmfs(["unmount", "--lazy", "mnt"])).status).toBe(0);
      expect(mountedType(dir)).toBeUndefined();
    } finally {
      user.kill();
    }
  });

  // For users, fusermount3 mounts on filesystems that it knows, and FUSE is not among them.
  testWith(process.getuid?.() === 0 ? undefined : "root")(
    "of a mount with another mount in it names that",
    async () => {
      const dir = sandbox.directory("mnt");
      await sandbox.llmfs(["mount", dir]);
      mkdirSync(`${dir}/inner`);
      await sandbox.llmfs(["mount", `${dir}/inner`]);
      const { status, stderr } = await sandbox.llmfs(["unmount", dir]);
      expect([status, stderr]).toEqual([81, expect.stringContaining(`the fuse.llmfs mounted at ${dir}/inner; end it`)]);
      expect((await sandbox.llmfs(["unmount", `${dir}/inner`])).status).toBe(0);
      expect((await sandbox.llmfs(["unmount", dir])).status).toBe(0);
    },
  );

  test("unmount waits until the tree is saved", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", "--save", "tree.json", dir]);
    writeFileSync(`${dir}/big`, Buffer.alloc(20 << 20, "line of text\n"));
    expect((await sandbox.llmfs(["unmount", "mnt"])).status).toBe(0);
    expect(statSync(sandbox.at("tree.json")).size).toBeGreaterThan(20 << 20);
  });

  test("unmount reports where the tree is if it could not be saved to its destination", async () => {
    const dir = sandbox.directory("mnt");
    const folder = sandbox.directory("folder");
    await sandbox.llmfs(["mount", "--save", "folder/tree.json", dir]);
    writeFileSync(`${dir}/file`, "precious");
    rmSync(folder, { recursive: true });
    const { status, stderr } = await sandbox.llmfs(["unmount", "mnt"]);
    expect(status).toBe(EXIT.save.code);
    const rescue = /it is saved in (\S+\.json) instead/.exec(stderr)?.[1] ?? "";
    expect((await sandbox.llmfs(["run", "--from", rescue, "--", "cat", "file"])).stdout).toBe("precious");
  });
});

describe("save", () => {
  test("save writes the live tree in a form that can be mounted", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", dir]);
    writeFileSync(`${dir}/file`, "content");
    expect((await sandbox.llmfs(["save", "mnt", "tree.json"])).status).toBe(0);
    const { stdout } = await sandbox.llmfs(["save", "mnt", "-"]);
    expect(stdout).toBe(readFileSync(sandbox.at("tree.json"), "utf8"));
    expect(mountedType(dir)).toBe("fuse.llmfs");
    expect((await sandbox.llmfs(["run", "--from", "tree.json", "--", "cat", "file"])).stdout).toBe("content");
  });

  test("save reports a destination that cannot be written", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", dir]);
    const { status, stderr } = await sandbox.llmfs(["save", "mnt", "no/such/tree.json"]);
    expect(status).toBe(89);
    expect(stderr).toContain("no/such/tree.json");
  });

  test("the tree is saved at intervals with --save-every", async () => {
    const dir = sandbox.directory("mnt");
    await sandbox.llmfs(["mount", "--save", "tree.json", "--save-every", "1s", dir]);
    writeFileSync(`${dir}/file`, "content");
    await eventually("the file is in a snapshot", () => {
      try {
        return readFileSync(sandbox.at("tree.json"), "utf8").includes('"content"');
      } catch {
        return false;
      }
    });
    expect(mountedType(dir)).toBe("fuse.llmfs");
  });
});
