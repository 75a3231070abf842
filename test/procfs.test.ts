import { expect, test } from "bun:test";
import {
  conditionOf,
  descriptorsOf,
  parseThreadSignals,
  readThreadSignals,
  startTimeOf,
  statOf,
  statusHas,
  statusOf,
  zombieStatusOf,
} from "../src/procfs.ts";
import { eventually } from "./support/program.ts";

const STATUS = `Name:	SigPnd: x
State:	S (sleeping)
Threads:	1
SigQ:	0/96365
SigPnd:	0000000000000101
ShdPnd:	8000000000000012
SigBlk:	0000000000000001
SigIgn:	0000000000000010
SigCgt:	0000000000004002
CapInh:	0000000000000000
`;

test("signals of a thread and of its process count, except for those that are blocked or ignored", () => {
  expect(parseThreadSignals(STATUS)).toEqual({ pending: 0x8000_0000_0000_0102n, caught: 0x4002n });
});

test("a status without signals, as of a thread that ends, has no pending signals", () => {
  expect(parseThreadSignals("Name:\tx\nState:\tZ (zombie)\n")).toBeUndefined();
});

test("a thread is found by its own thread id, unless it has ended or has no id in this namespace", async () => {
  const child = Bun.spawn(["sh", "-c", "trap : USR1; kill -STOP $$; sleep 1000"], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  try {
    const usr1 = 1n << 9n;
    while (((readThreadSignals(child.pid)?.caught ?? 0n) & usr1) === 0n) await Bun.sleep(5);
    const state = () => Bun.file(`/proc/${child.pid}/stat`).text();
    while (!/\) T /.test(await state())) await Bun.sleep(5);
    child.kill("SIGUSR1");
    expect(readThreadSignals(child.pid)?.pending).toBe(usr1);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
  expect([readThreadSignals(child.pid), readThreadSignals(0)]).toEqual([undefined, undefined]);
});

test("a process has a state and parent whatever its name is, status fields, masks and descriptors", async () => {
  const child = Bun.spawn(["bash", "-c", "printf ') Z (' > /proc/$$/comm; echo; trap '' HUP; read -r; exit"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  try {
    await child.stdout.getReader().read();
    while (!statusHas(child.pid, "SigIgn", 0)) await Bun.sleep(5);
    const [state, parent] = statOf(child.pid);
    expect([state === "Z", Number(parent), statusOf(child.pid, "Name")]).toEqual([false, process.pid, ") Z ("]);
    expect(statusOf(child.pid, "Uid")?.split("\t")[0]).toBe(String(process.getuid?.()));
    expect([statusHas(child.pid, "SigIgn", 0), statusHas(child.pid, "SigIgn", 62)]).toEqual([true, false]);
    expect(descriptorsOf(child.pid)).toEqual(expect.arrayContaining([0, 1, 2]));
    expect(startTimeOf(child.pid)).toMatch(/^\d+$/);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
  const gone = [conditionOf(child.pid), startTimeOf(child.pid), statusOf(child.pid, "Uid"), statOf(child.pid)];
  expect(gone).toEqual(["gone", undefined, undefined, []]);
  expect([statusHas(child.pid, "SigIgn", 0), descriptorsOf(child.pid)]).toEqual([false, []]);
});

test("how a process ended is known before its parent has asked for it", async () => {
  // The parent becomes a program that never asks.
  const child = "until grep -q sleep /proc/$PPID/comm; do sleep 0.01; done; kill -9 $$";
  const parent = Bun.spawn(["sh", "-c", `sh -c '${child}' & echo $!; exec sleep 60`]);
  const { value } = await parent.stdout.getReader().read();
  const pid = Number(Buffer.from(value ?? []).toString());
  await eventually("it has ended", () => zombieStatusOf(pid) !== undefined);
  expect(zombieStatusOf(pid)).toBe(9);
  expect(zombieStatusOf(process.pid)).toBeUndefined();
  parent.kill();
  await parent.exited;
});
