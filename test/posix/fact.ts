/**
 * Facts about POSIX and Linux, each a short program with the results of its calls. Every fact is first tried on a
 * tmpfs, which shows that it is true, and then on a mount of ours.
 *
 * A line is a call (driver.c), followed by "=>" and its result. Without "=>" it must succeed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Ground, llmfs, missing, tmpfs, unassisted } from "./ground.ts";

export interface Fact {
  readonly title: string;
  readonly lines: readonly string[];
}

export type Facts = (fact: (title: string, program: string) => void) => void;

function collect(facts: Facts): Fact[] {
  const all: Fact[] = [];
  facts((title, program) => {
    const lines = program.split("\n").map((line) => line.trim());
    all.push({ title, lines: lines.filter((line) => line !== "" && !line.startsWith("#")) });
  });
  return all;
}

const GROUNDS = [
  ["tmpfs", tmpfs],
  ["llmfs", () => llmfs()],
  ["llmfs without passthrough", unassisted],
] as const;

const ERRNO = /^E[A-Z0-9]+$/;

/** The lines with their actual and their expected results, which are equal if the fact holds. */
function compare(fact: Fact, answers: readonly string[]): { readonly got: string[]; readonly wanted: string[] } {
  const got: string[] = [];
  const wanted: string[] = [];
  for (const [at, line] of fact.lines.entries()) {
    const [call = "", expected] = line.split(/\s+=>\s+/);
    const answer = answers[at] ?? "nothing: the driver ended";
    const failed = ERRNO.test(answer) || answer.startsWith("no such call") || answer.startsWith("nothing");
    got.push(expected === undefined && !failed ? call : `${call} => ${answer}`);
    wanted.push(expected === undefined ? call : `${call} => ${expected}`);
  }
  return { got, wanted };
}

/** Registers a test for each fact and ground. */
export function posix(subject: string, facts: Facts): void {
  const lack = missing();
  describe.skipIf(lack !== undefined)(lack === undefined ? subject : `${subject} (${lack})`, () => {
    for (const [name, start] of GROUNDS) {
      describe(name, () => {
        let ground: Ground;
        let count = 0;
        beforeAll(async () => {
          ground = await start();
        });
        afterAll(async () => {
          await ground[Symbol.asyncDispose]();
        });
        for (const fact of collect(facts)) {
          test(fact.title, async () => {
            const room = `fact${count++}`;
            const calls = fact.lines.map((line) => line.split(/\s+=>\s+/)[0] ?? "");
            const answers = await ground.run([`mkdir ${room} 0755`, `chdir ${room}`, ...calls]);
            const { got, wanted } = compare(fact, answers.slice(2));
            expect(got).toEqual(wanted);
          }, 60_000);
        }
      });
    }
  });
}

/** Every type of file, and how to create one. Sockets are bound, the others are created by name. */
export const TYPES = ["file", "directory", "fifo", "block", "char", "socket", "symlink"] as const;

export type FileType = (typeof TYPES)[number];

/** The line that creates a file of a type. */
export function make(type: FileType, path: string): string {
  switch (type) {
    case "file":
      return `create ${path} 0644`;
    case "directory":
      return `mkdir ${path} 0755`;
    case "fifo":
      return `mkfifo ${path} 0644`;
    case "block":
      return `mknod ${path} b 0644 1 2`;
    case "char":
      return `mknod ${path} c 0644 1 2`;
    case "socket":
      return `bind ${path}`;
    case "symlink":
      return `symlink nowhere ${path}`;
  }
}

/** The call that removes a file of a type. */
export function remove(type: FileType, path: string): string {
  return `${type === "directory" ? "rmdir" : "unlink"} ${path}`;
}
