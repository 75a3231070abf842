/**
 * Commands for a mount whose process is stopped, has ended or is of another version: none hangs, and all say what to
 * do.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readAbout } from "../../src/app/mount-info.ts";
import { ControlClient } from "../../src/app/running/control-client.ts";
import { readPendingFiles } from "../../src/app/running/mounted.ts";
import { messageOf } from "../../src/errno.ts";
import { findMountAt } from "../../src/mountinfo.ts";
import { readText } from "../../src/procfs.ts";
import { describeMounted, IS_ROOT, type Mounted, mounted, processesOf } from "../support/mounted.ts";
import { testWith } from "../support/needs.ts";
import {
  BINARY,
  eventually,
  type Finished,
  finished,
  isAlive,
  mountedType,
  Sandbox,
  type StoppedProcess,
  stopProcess,
} from "../support/program.ts";

setDefaultTimeout(60_000);

/**
 * Stops the process behind a mount, at a moment at which it has no request: a program whose request it has read could not
 * even be killed.
 */
function stopped(m: Mounted): StoppedProcess {
  const [pid] = processesOf(m.dir, "--daemon");
  if (pid === undefined) throw new Error("no process serves the mount");
  for (;;) {
    const process = stopProcess(pid);
    if (unanswered(m) === 0) return process;
    process.resume();
    Bun.sleepSync(1);
  }
}

/** The number of requests that are not answered, where that is known. */
function unanswered({ dir }: Mounted): number {
  const connection = findMountAt(dir)?.device.split(":")[1];
  return Number(readText(`/sys/fs/fuse/connections/${connection}/waiting`));
}

let readies = 0;

/**
 * Starts a shell in a mount. It runs the command after `go`. A shell sends the mount a request as it starts, and while the
 * mount's process is stopped, whoever waits for the answer cannot be killed. So this waits until the shell runs.
 */
async function shellIn(m: Mounted, command: string) {
  const ready = `ready-${readies++}`;
  const child = m.start(`: > $OUT/${ready}; until test -e $OUT/go; do sleep 0.05; done; ${command}`);
  await eventually("the shell runs", () => existsSync(m.sandbox.at(ready)));
  return child;
}

function go(m: Mounted): void {
  writeFileSync(m.sandbox.at("go"), "");
}

describeMounted("a mount whose process is stopped", () => {
  test("a mount whose process is stopped gets no request from any command: each command says what to do", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    symlinkSync(m.dir, m.sandbox.at("link"));
    m.sandbox.directory("other");
    using process = stopped(m);
    const commands: readonly (readonly string[])[] = [
      ["save", m.dir, "tree.json"],
      ["warm", m.dir],
      ["plan", m.dir],
      ["plan", "link"],
      ["plan", join(m.dir, "a.txt")],
      ["why", join(m.dir, "a.txt")],
      ["why", "link/a.txt"],
      ["context", join(m.dir, "a.txt")],
      ["regen", join(m.dir, "a.txt")],
      ["status", m.dir],
      ["status", "--watch", join(m.dir, "a.txt")],
      ["tree", m.dir],
      ["tree", "link"],
      ["ls", m.dir],
      ["diff", m.dir, "from.json"],
      ["cat", join(m.dir, "a.txt")],
      ["write", join(m.dir, "a.txt")],
      ["export", m.dir, "out"],
      ["import", "from.json", m.dir],
      ["import", "from.json", join(m.dir, "below")],
      ["import", join(m.dir, "d"), "new.json"],
      ["export", "from.json", join(m.dir, "out")],
      ["export", "from.json", "link/out.tar"],
      ["grow", join(m.dir, "d"), "--prompt", "more"],
      ["grow", "--from", "from.json", "--prompt", "more", "--output", join(m.dir, "new.json")],
      ["check", m.dir, "--", "true"],
      ["add", join(m.dir, "new.md"), "a file"],
      ["generate", "--prompt", `@${m.dir}/prompt.md`],
      ["generate", "--prompt", "files", "--output", join(m.dir, "new.json")],
      ["mount", "other", "--from", join(m.dir, "d")],
      ["mount", "other", "--save", join(m.dir, "new.json")],
      ["mount", "other", "--log-file", join(m.dir, "log")],
      ["mount", "other", "--recordings", join(m.dir, "recordings")],
      ["run", "--prompt", join(m.dir, "prompt.md"), "--", "true"],
      ["run", "--no-mount", "--from", join(m.dir, "d"), "--", "true"],
      ["recordings", "prune", "--for", m.dir, "-n"],
      ["unmount", m.dir],
      ["unmount", "link"],
    ];
    // A few at a time: each takes a second of waiting, and the memory of a process.
    const done: Finished[] = [];
    for (let at = 0; at < commands.length; at += 12) {
      const some = commands.slice(at, at + 12).map((args) => m.sandbox.llmfs(args, { program: BINARY }));
      done.push(...(await Promise.all(some)));
    }
    for (const [at, { status, stderr }] of done.entries()) {
      expect([commands[at], status]).toEqual([commands[at], 92]);
      expect(stderr).toContain(`${m.dir} does not answer: process ${process.pid} behind it is stopped`);
      expect(stderr).toContain(`kill -CONT ${process.pid}`);
      expect(stderr).toContain(`llmfs unmount --lazy ${m.dir}`);
    }
    const again = await m.sandbox.llmfs(["mount", m.dir], { program: BINARY });
    expect([again.status, again.stderr]).toEqual([81, expect.stringContaining("is mounted there already")]);
  });

  test("a mount whose process is stopped gets no request from a command that is started in it", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    const shell = await shellIn(m, `exec ${BINARY[0]} plan`);
    using _ = stopped(m);
    go(m);
    const { status, stderr } = await finished(shell);
    expect([status, stderr]).toEqual([92, expect.stringContaining(`${m.dir} does not answer`)]);
  });

  test("a mount whose process is stopped gets no request from commands that do not concern it, wherever they are started", async () => {
    await using m = await mounted();
    m.sandbox.directory("other");
    const commands = [
      [`unmount ${m.dir}/below`, 83, "it is inside the mount at"],
      ["run -- true", 0, ""],
      [`mount ${m.sandbox.at("other")}`, 0, ""],
      ["generators", 84, "no llmfs.config.ts"],
      [`generators --config ${m.dir}/llmfs.config.ts`, 84, "where a model may have written it"],
    ] as const;
    const shells = await Promise.all(commands.map(([args]) => shellIn(m, `exec ${BINARY[0]} ${args}`)));
    using _ = stopped(m);
    go(m);
    const done = await Promise.all(shells.map(finished));
    for (const [at, [args, status, text]] of commands.entries()) {
      expect([args, done[at]?.status, done[at]?.stderr]).toEqual([args, status, expect.stringContaining(text)]);
    }
  });

  test("a command that works with a mount ends with an error if the mount's process is stopped", async () => {
    await using m = await mounted({ pending: ["a.txt", "b.txt"], answer: () => ({ hang: true }) });
    const commands = [
      ["warm", m.dir, "a.txt"],
      ["regen", join(m.dir, "b.txt")],
    ];
    const children = commands.map((args) => m.sandbox.start(args, { program: BINARY }));
    await Promise.all([m.server.request(0), m.server.request(1)]);
    using process = stopped(m);
    for (const { status, stderr } of await Promise.all(children.map(finished))) {
      expect([status, stderr]).toEqual([92, expect.stringContaining(`kill -CONT ${process.pid}`)]);
    }
  });

  test("a mount that is stopped just after it was asked does not block what reads its control files", async () => {
    await using m = await mounted({ pending: ["a.txt"] });
    using process = stopped(m);
    const reads = [() => readAbout(m.dir), () => readPendingFiles(m.dir), () => ControlClient.open(m.dir)];
    const refusals = await Promise.all(reads.map((read) => read().then(() => "it answered", messageOf)));
    const reason = `${m.dir} does not answer: process ${process.pid} behind it is stopped`;
    expect(refusals).toEqual(reads.map(() => expect.stringContaining(reason)));
  });

  test("a stopped mount is unmounted by --lazy at once, and saves when it continues", async () => {
    await using m = await mounted({ args: ["--save", "tree.json"] });
    await m.out("echo mine > own");
    const waiting = await shellIn(m, "ls");
    using process = stopped(m);
    go(m);
    const first = await m.unmount();
    expect([first.status, first.stderr]).toEqual([
      89,
      expect.stringContaining("stays mounted, and its tree is not saved"),
    ]);
    expect(mountedType(m.dir)).toBe("fuse.llmfs");
    const lazy = await m.unmount("--lazy");
    expect([lazy.status, mountedType(m.dir)]).toEqual([89, undefined]);
    expect(lazy.stderr).toContain(
      `is unmounted, and its tree is not saved: process ${process.pid} behind it is stopped`,
    );
    process.resume();
    await eventually("the process has ended", () => !isAlive(process.pid));
    expect((await finished(waiting)).stdout).toBe("own\n");
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain("mine");
  });

  test("a stopped mount with nothing to save is unmounted by --lazy successfully, and the process is named", async () => {
    await using m = await mounted();
    using process = stopped(m);
    const { status, stderr } = await m.unmount("--lazy");
    expect([status, mountedType(m.dir)]).toEqual([0, undefined]);
    expect(stderr).toContain(`process ${process.pid}, which serves it, is stopped`);
  });

  test("a mount whose process is stopped only for a moment is waited for", async () => {
    await using m = await mounted({ args: ["--save", "tree.json"] });
    await m.out("echo mine > own");
    using process = stopped(m);
    const unmounting = m.unmount();
    await Bun.sleep(300);
    process.resume();
    expect((await unmounting).status).toBe(0);
    expect(readFileSync(m.sandbox.at("tree.json"), "utf8")).toContain("mine");
  });
});

/** A process that serves an empty directory as fuse.llmfs, without a mount record and `.llmfs`. */
const OTHER_VERSION = `
import { createGuardian } from "${join(import.meta.dir, "../../src/fuse/mounting/guardian.ts")}";
import { mountFuse } from "${join(import.meta.dir, "../../src/fuse/mounting/mount.ts")}";
import { Session } from "${join(import.meta.dir, "../../src/fuse/session.ts")}";
import { wordsOf } from "${join(import.meta.dir, "../../src/fuse/wire.ts")}";
import { FsError } from "${join(import.meta.dir, "../../src/errno.ts")}";
import * as libc from "${join(import.meta.dir, "../../src/libc.ts")}";
const root = { ino: 1, size: 0, blocks: 0, atime: 0, mtime: 0, ctime: 0, atimensec: 0, mtimensec: 0, ctimensec: 0,
  mode: 0o40755, nlink: 2, uid: process.getuid(), gid: process.getgid(), rdev: 0, blksize: 4096, flags: 0 };
const filesystem = {
  getattr: () => ({ attr_valid: 0, attr_valid_nsec: 0, attr: root }),
  statfs: () => ({ blocks: 1, bfree: 1, bavail: 1, files: 1, ffree: 1, bsize: 4096, namelen: 255, frsize: 4096 }),
  lookup() { throw new FsError("ENOENT"); },
};
const mountpoint = process.argv.at(-1);
const request = { mountpoint, source: "llmfs", readOnly: false, allowOther: false, temporary: false };
const guardian = createGuardian(mountpoint, false);
guardian.start();
const { fd } = await mountFuse(request, guardian);
const channel = { send: (message, length) => Math.min(0, libc.write(fd, message, length)), sendExtent: () => -5 };
const session = new Session(filesystem, channel, { flags: 0, flags2: 0, maxWrite: 65536, interrupted: () => false, log() {}, onReady: () => console.log("ready") });
const buffer = Buffer.alloc(1 << 20);
const words = wordsOf(buffer);
for (let length = 0; length >= 0; ) {
  length = libc.read(fd, buffer, buffer.length);
  if (length > 0) session.handle(buffer, words, length);
}
process.exit(0);
`;

describeMounted("a mount of another version of llmfs", () => {
  testWith(IS_ROOT ? undefined : "root")(
    "a mount of another version of llmfs is not unmounted, as it does not report whether its tree is saved",
    async () => {
      using sandbox = new Sandbox();
      const dir = sandbox.directory("mnt");
      writeFileSync(sandbox.at("other.ts"), OTHER_VERSION);
      const other = Bun.spawn({ cmd: [process.execPath, sandbox.at("other.ts"), dir], stdout: "pipe" });
      try {
        await other.stdout.getReader().read();
        const { status, stderr } = await sandbox.llmfs(["unmount", dir], { program: BINARY });
        expect([status, mountedType(dir)]).toEqual([89, "fuse.llmfs"]);
        expect(stderr).toContain("stays mounted: ");
        expect(stderr).toContain("is another version of llmfs, which does not report whether the tree is saved");
        const lazy = await sandbox.llmfs(["unmount", "--lazy", dir], { program: BINARY });
        expect([lazy.status, mountedType(dir)]).toEqual([89, undefined]);
        expect(lazy.stderr).toContain("its tree may not be saved");
      } finally {
        other.kill("SIGKILL");
      }
    },
  );
});
