/** Programs of threads, which are read from /proc as seldom as possible. */
import { expect, test } from "bun:test";
import { KnownPrograms } from "../../../src/fs/programs/callers.ts";
import type { Program } from "../../../src/procfs.ts";

function source(programs: Map<number, Program>) {
  const read: number[] = [];
  const clock = { ms: 0 };
  const processes = {
    name: (thread: number) => programs.get(thread)?.name,
    program(thread: number) {
      read.push(thread);
      return programs.get(thread);
    },
  };
  return { read, clock, known: new KnownPrograms(processes, () => clock.ms) };
}

const program = (pid: number, name: string): Program => ({ pid, name, file: name, args: [name], uid: 0, parent: 1 });

test("a thread that keeps its name is read once", () => {
  const { known, read, clock } = source(new Map([[7, program(7, "cat")]]));
  for (; clock.ms < 900; clock.ms += 100) expect(known.get(7)?.name).toBe("cat");
  expect(read).toEqual([7]);
});

test("a thread that has become another program is read again", () => {
  const programs = new Map([[7, program(7, "sh")]]);
  const { known, read, clock } = source(programs);
  expect(known.get(7)?.name).toBe("sh");
  programs.set(7, program(7, "rsync"));
  clock.ms += 1;
  expect(known.get(7)?.name).toBe("rsync");
  expect(read).toEqual([7, 7]);
});

test("a program that started others is not looked at again within a second", () => {
  const programs = new Map([[7, program(7, "sh")]]);
  const { known, read, clock } = source(programs);
  known.getAncestor(7);
  clock.ms += 900;
  programs.delete(7);
  expect(known.getAncestor(7)?.name).toBe("sh");
  expect(read).toEqual([7]);
});

test("a thread that is not visible is unknown", () => {
  expect(source(new Map()).known.get(7)).toBeUndefined();
});
