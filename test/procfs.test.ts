import { expect, test } from "bun:test";
import { parseThreadSignals, readThreadSignals } from "../src/procfs.ts";

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

test("a thread's own and its process's signals count, but for those that are blocked or ignored", () => {
  expect(parseThreadSignals(STATUS)).toEqual({ pending: 0x8000_0000_0000_0102n, caught: 0x4002n });
});

test("a text without signals, as of a thread that ends, says nothing", () => {
  expect(parseThreadSignals("Name:\tx\nState:\tZ (zombie)\n")).toBeUndefined();
});

test("a thread is seen by its own number; one that is gone, or has no number here, is not", async () => {
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
