/** Signals to programs that wait for a file, with the real kernel: most are not noticed, some end the wait at once. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import {
  contentOf,
  describeMounted,
  Gate,
  IS_ROOT,
  LACKING,
  type Mounted,
  mounted,
  unmounted,
} from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { BINARY, eventually, finished } from "../support/program.ts";
import { Terminal } from "../support/terminal.ts";

setDefaultTimeout(60_000);

const folder = mkdtempSync(join(tmpdir(), "llmfs-signals-"));
const HANDLERS = join(folder, "handlers");

beforeAll(() => {
  if (LACKING !== undefined) return;
  const source = join(import.meta.dir, "handlers.c");
  const { success, stderr } = Bun.spawnSync(["gcc", "-O1", "-pthread", "-o", HANDLERS, source]);
  if (!success) throw new Error(stderr.toString());
});

afterAll(() => {
  for (const { path } of mountedFreezers) Bun.spawnSync(["umount", path]);
  rmSync(folder, { recursive: true });
});

/** A mount whose file "a" is generated once the gate is opened. */
async function held(): Promise<{ readonly m: Mounted; readonly gate: Gate }> {
  const gate = new Gate();
  return { gate, m: await mounted({ pending: ["a"], answer: gate.holds() }) };
}

/** Resolves when the kernel has reported this many signals to waiting programs since the mount. */
async function reported(m: Mounted, count = 1): Promise<void> {
  await eventually(`${count} signals reported`, () => (m.status().requests.interrupt ?? 0) >= count);
}

interface Freezer {
  readonly mount: readonly string[];
  /** A file in a control group, and the text to write to it. */
  readonly file: string;
  readonly on: string;
  readonly off: string;
}

/** The files that freeze a container, by the version of control groups. */
const FREEZERS: Readonly<Record<string, Freezer>> = {
  v1: { mount: ["-t", "cgroup", "-o", "freezer"], file: "freezer.state", on: "FROZEN", off: "THAWED" },
  v2: { mount: ["-t", "cgroup2"], file: "cgroup.freeze", on: "1", off: "0" },
};

/** The freezers of this machine. */
const mountedFreezers = Object.entries(FREEZERS).flatMap(([version, freezer]) => {
  const path = join(folder, version);
  mkdirSync(path);
  const { success } = Bun.spawnSync(["mount", ...freezer.mount, "none", path], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  return success ? [{ ...freezer, version, path }] : [];
});

/** Expects the one request for "a" to be still in progress. */
function expectWaiting(m: Mounted): void {
  expect([m.asked("a"), m.server.received(0).gone, m.status().generating]).toEqual([1, false, 1]);
}

/** As /proc names a thread's state: "S", "D", "T". */
function stateOf(pid: number): string {
  return /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? "";
}

const READ = { status: 0, stdout: contentOf("a"), stderr: "" };

/** Events during a read of "a" that the program must not notice. */
const UNNOTICED: Readonly<Record<string, (reader: Subprocess) => Promise<void> | void>> = {
  "being stopped and continued"(reader) {
    reader.kill("SIGSTOP");
    reader.kill("SIGCONT");
  },
  "being stopped for a while and continued": async (reader) => {
    reader.kill("SIGSTOP");
    await Bun.sleep(300);
    reader.kill("SIGCONT");
  },
  "stop signals from a terminal"(reader) {
    for (const signal of ["SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT"] as const) reader.kill(signal);
  },
};

/** Everything is generated from the file "a". */
const CONFIG = `
import { defineConfig } from "llmfs";
let times = 0;
const reads = { async generate(_path, { read }) { return { content: await read("/a") }; } };
const renewed = {
  async generate(_path, { read }) { return { content: times++ === 0 ? "first\\n" : await read("/a") }; },
};
const lists = {
  generate: () => ({ content: "x" }),
  async list(_directory, { read }) { await read("/a"); return ["x"]; },
};
export default defineConfig({
  generators: { reads, renewed, lists },
  rules: [
    { match: "by-template", generator: "template", options: { text: "{{ '/a' | read }}" } },
    { match: "by-program", generator: "exec", options: { command: ["sh", "-c", "cat $LLMFS_MOUNT/a"] } },
    { match: "renewed", generator: "renewed", refresh: "always" },
    { match: "listed/{name}", generator: "lists" },
    { match: "named/{name}", generator: "reads" },
  ],
});
`;

describeMounted("a program that waits for a file", () => {
  for (const [what, happens] of Object.entries(UNNOTICED)) {
    test(`a program that waits for a file does not notice ${what}`, async () => {
      const { m, gate } = await held();
      await using _ = m;
      const reader = m.start("exec cat a");
      await m.server.request(0);
      await m.opened(1);
      await happens(reader);
      await reported(m);
      expectWaiting(m);
      gate.open();
      expect(await finished(reader)).toEqual(READ);
      expect(m.asked("a")).toBe(1);
    });
  }

  test("a program that waits for a file does not notice signals that it handles and that do not ask it to end", async () => {
    const { m, gate } = await held();
    await using _ = m;
    // SIGALRM, SIGCHLD, SIGURG (Go's preemption), SIGWINCH, SIGUSR1, SIGIO, SIGVTALRM, SIGPROF, and one in real time.
    const signals = [14, 17, 23, 28, 10, 29, 26, 27, 40];
    const cases = [
      ["14", "timer"],
      ...signals.flatMap((signal) => [
        [signal, "child"],
        [signal, "thread"],
      ]),
    ];
    const readers = cases.flatMap(([signal, source]) =>
      ["", "restart"].map((restart) => {
        const how = `${signal} ${source} ${restart}`.trim();
        return { how, reader: m.start(`exec ${HANDLERS} a ${how}`) };
      }),
    );
    await m.server.request(0);
    await reported(m, readers.length);
    await Bun.sleep(200);
    expectWaiting(m);
    gate.open();
    const outcomes = readers.map(async ({ how, reader }) => ({ how, ...(await finished(reader)) }));
    expect(await Promise.all(outcomes)).toEqual(readers.map(({ how }) => ({ how, ...READ })));
    expect(m.asked("a")).toBe(1);
  });

  test("whatever a program waits for, it does not notice signals: a listing, a lookup, a refresh, a dependency, a control file", async () => {
    const gate = new Gate();
    await using m = await unmounted(gate.holds());
    writeFileSync(m.sandbox.at("llmfs.config.ts"), CONFIG);
    const entries = ["a", "w"].map((name) => ({ path: `/${name}`, type: "file", state: "pending" }));
    writeFileSync(m.sandbox.at("from.json"), JSON.stringify({ llmfs: 1, entries }));
    await m.mount(["--from", "from.json", ...m.modelArgs()]);
    const warm = ["warm", m.dir, "w"];
    const commands = [
      "ls listed",
      "cat listed/x",
      "cat named/x",
      "stat -c %F named/y",
      "cat by-program",
      "cat by-template",
    ];
    expect(await m.out("cat renewed")).toBe("first\n");
    const readers = [...commands, "cat renewed"].map((command) => m.start(`exec ${command}`));
    const warmer = m.sandbox.start(warm, { program: BINARY });
    await m.server.request(1);
    // Two of them wait for a lock that another one's lookup holds; the kernel does not report their signals.
    await m.opened(1 + 4 + 1);
    for (const reader of [...readers, warmer]) {
      reader.kill("SIGSTOP");
      await Bun.sleep(50);
      reader.kill("SIGCONT");
    }
    await reported(m, 6);
    await Bun.sleep(200);
    expect(m.server.requests.filter(({ gone }) => gone)).toEqual([]);
    gate.open();
    const outcomes = await Promise.all(readers.map(finished));
    expect(outcomes.map(({ status, stderr }) => [status, stderr])).toEqual(readers.map(() => [0, ""]));
    expect((await finished(warmer)).status).toBe(0);
    expect([m.asked("a"), m.asked("w")]).toEqual([1, 1]);
  });

  test("a program that waits for a file costs next to no processor time while signals are pending", async () => {
    const { m, gate } = await held();
    await using _ = m;
    const readers = Array.from({ length: 20 }, () => m.start(`exec ${HANDLERS} a 14 timer`));
    await reported(m, 20);
    const { pid } = m.status();
    const before = processorTime(pid);
    await Bun.sleep(2000);
    // Out of 2 s. This includes the test's own reads of status.json.
    expect(processorTime(pid) - before).toBeLessThan(0.4);
    gate.open();
    for (const reader of readers) expect(await finished(reader)).toEqual(READ);
  });

  testWith(IS_ROOT ? programs("strace") : "root, to trace a program that is not a child")(
    "does not notice a tracer that attaches and leaves",
    async () => {
      const { m, gate } = await held();
      await using _ = m;
      const reader = m.start("exec cat a");
      await m.server.request(0);
      await m.opened(1);
      const tracer = Bun.spawn(["strace", "-o", join(folder, "trace"), "-p", String(reader.pid)], {
        stdio: ["ignore", "ignore", "ignore"],
      });
      await reported(m);
      expect(readFileSync(`/proc/${reader.pid}/status`, "latin1")).toContain(`TracerPid:\t${tracer.pid}`);
      expectWaiting(m);
      tracer.kill("SIGKILL");
      await tracer.exited;
      expectWaiting(m);
      gate.open();
      expect(await finished(reader)).toEqual(READ);
      expect(m.asked("a")).toBe(1);
    },
  );

  testWith(mountedFreezers.length === 0 ? "root and a control group that can be frozen" : undefined)(
    "a waiting program does not notice when its container is frozen and thawed",
    async () => {
      for (const { version, path, file, on, off } of mountedFreezers) {
        const { m, gate } = await held();
        await using _ = m;
        const group = mkdtempSync(join(path, "llmfs-test-"));
        const write = (name: string, text: string) => writeFileSync(join(group, name), text);
        try {
          const reader = m.start("exec cat a");
          await m.server.request(0);
          await m.opened(1);
          write("cgroup.procs", String(reader.pid));
          write(file, on);
          await reported(m);
          expectWaiting(m);
          write(file, off);
          gate.open();
          expect({ version, ...(await finished(reader)) }).toEqual({ version, ...READ });
        } finally {
          write(file, off);
          await eventually("the group is empty", () => readFileSync(join(group, "cgroup.procs"), "utf8") === "");
          rmdirSync(group);
        }
      }
    },
  );
});

const ENDING = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGKILL", "SIGALRM", "SIGUSR1"] as const;

describeMounted("a signal that ends a program ends its wait at once", () => {
  for (const before of ["", ", also after one that did not"]) {
    test(`every signal that ends a program ends its wait at once${before}`, async () => {
      const pending = [...ENDING];
      const args = ["--concurrency", "20"];
      await using m = await mounted({ pending, args, answer: () => ({ hang: true }) });
      const readers = pending.map((signal) => ({ signal, reader: m.start(`exec cat ${signal}`) }));
      const request = await m.server.request(pending.length - 1);
      await m.opened(pending.length);
      if (before !== "") {
        for (const { reader } of readers) reader.kill("SIGTSTP");
        await reported(m, readers.length);
        // From now on the kernel does not report signals.
        for (const { reader } of readers) await eventually("only SIGKILL", () => stateOf(reader.pid) === "D");
      }
      for (const { signal, reader } of readers) reader.kill(signal);
      if (before !== "") for (const { reader } of readers) reader.kill("SIGCONT");
      await Promise.all(readers.map(({ reader }) => reader.exited));
      expect(readers.map(({ reader }) => reader.signalCode)).toEqual(pending);
      await Promise.all(m.server.requests.map(({ disconnected }) => disconnected));
      expect([await m.state("SIGINT"), request.gone]).toEqual(["pending", true]);
    });
  }

  const handlers: Readonly<Record<string, string>> = {
    "a Python program with the usual handler for Ctrl-C": `exec python3 -c '
try: open("a").read()
except KeyboardInterrupt: print("interrupted")'`,
    "a Python program with an interval timer too": `exec python3 -c '
import signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
try: open("a").read()
except KeyboardInterrupt: signal.setitimer(signal.ITIMER_REAL, 0); print("interrupted")'`,
    "a thread of a Python program, while its other threads continue": `exec python3 -c '
import os, threading
threading.Thread(target=lambda: open("a").read(), daemon=True).start()
try: threading.Event().wait()
except KeyboardInterrupt: print("interrupted", flush=True); os._exit(0)'`,
    "a shell with a trap": `trap "echo interrupted; exit 0" INT; read x < a`,
    "a JavaScript program": `trap "echo interrupted; exit 0" INT; ${process.execPath} -e 'require("fs").readFileSync("a")' 2>/dev/null`,
  };
  for (const [who, script] of Object.entries(handlers)) {
    test(`on SIGINT to ${who} a program's wait ends at once`, async () => {
      const { m } = await held();
      await using _ = m;
      const reader = Bun.spawn({
        cmd: ["bash", "-c", script],
        cwd: m.dir,
        env: m.sandbox.environment(),
        stdio: ["pipe", "pipe", "pipe"],
        detached: true,
      });
      const done = finished(reader);
      const request = await m.server.request(0);
      await m.opened(1);
      if (who.includes("timer")) await reported(m);
      process.kill(-reader.pid, "SIGINT");
      expect(await done).toEqual({ status: 0, stdout: "interrupted\n", stderr: "" });
      await request.disconnected;
    });
  }
});

describeMounted("a reader on a terminal", () => {
  const lacking = programs("bash", "setsid", "less", "vim");

  /** An interactive shell in the mount, whose file "a" is generated once the gate is opened. */
  async function shell() {
    const { m, gate } = await held();
    const env = m.sandbox.environment({ PS1: "ready> ", LESS: "" });
    const terminal = new Terminal(["bash", "--norc", "--noprofile", "-i"], { cwd: m.dir, env });
    await terminal.shows("ready> ");
    return { m, gate, terminal };
  }

  const type = async ({ m, terminal }: { m: Mounted; terminal: Terminal }, command: string) => {
    terminal.type(`${command}\r`);
    await m.server.request(0);
    await m.opened(1);
  };

  testWith(lacking)("Ctrl-Z stops a reader when its content is there, and fg lets it continue", async () => {
    const all = await shell();
    const { m, gate, terminal } = all;
    await using _m = m;
    await using _t = terminal;
    await type(all, "cat a");
    terminal.type("\x1a");
    await reported(m);
    expectWaiting(m);
    gate.open();
    await terminal.shows("Stopped");
    await terminal.shows("ready> ");
    terminal.type("fg\r");
    await terminal.shows("again: content of a");
    expect(m.asked("a")).toBe(1);
  });

  testWith(lacking)("Ctrl-C ends a reader at once, even after Ctrl-Z", async () => {
    for (const keys of ["\x03", "\x1a\x03"]) {
      const all = await shell();
      const { m, terminal } = all;
      await using _m = m;
      await using _t = terminal;
      await type(all, "cat a; echo status $?");
      for (const key of keys) {
        terminal.type(key);
        await reported(m);
      }
      await terminal.shows("ready> ");
      await m.server.received(0).disconnected;
    }
  });

  testWith(lacking)("Ctrl-C ends a read by the shell itself", async () => {
    const all = await shell();
    const { m, terminal } = all;
    await using _m = m;
    await using _t = terminal;
    await type(all, "read line < a");
    terminal.type("\x03");
    await terminal.shows("ready> ");
    await m.server.received(0).disconnected;
  });

  for (const program of ["less a", "vim -u NONE a"]) {
    testWith(lacking)(`${program.split(" ")[0]} tolerates a resize while it waits`, async () => {
      const all = await shell();
      const { m, gate, terminal } = all;
      await using _m = m;
      await using _t = terminal;
      await type(all, program);
      for (const columns of [60, 100, 70]) terminal.resize(columns, 20);
      await reported(m);
      expectWaiting(m);
      gate.open();
      await terminal.shows("again: content of a");
      expect(m.asked("a")).toBe(1);
      terminal.type(program.startsWith("vim") ? ":q!\r" : "q");
      await terminal.shows("ready> ");
    });
  }

  testWith(lacking)("Ctrl-C ends the wait of less after a resize", async () => {
    const all = await shell();
    const { m, terminal } = all;
    await using _m = m;
    await using _t = terminal;
    await type(all, "less a");
    terminal.resize(60, 20);
    await reported(m);
    terminal.type("\x03");
    await m.server.received(0).disconnected;
    terminal.type("q");
    await terminal.shows("ready> ");
  });
});

/** Seconds of processor time that a process has used. */
function processorTime(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
