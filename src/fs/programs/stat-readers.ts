/**
 * Programs that ask for a file's size and then rely on it, such as git and cpio. For them, stat(2) generates a pending
 * file, so that the size is the real one. For all other programs looking is free.
 *
 * As long as there are such programs, the kernel must not cache the attributes of a pending file: what it has cached for
 * one program, it also shows to the next, without asking. `ls -l` then asks for the attributes of each file, and also for
 * its access control list, which is what it did before. If nothing in the tree has such a list, `ls` is told that this
 * filesystem has none, and stops asking; so it sends as many requests as with cached attributes. (It does so with
 * coreutils' src/ls.c:file_has_acl_cache(). Nothing else gets this answer: for the kernel's permission checks it would be
 * an error.)
 */
import type { RegularFile } from "../../tree/file.ts";
import type { Inode } from "../../tree/inode.ts";
import type { Handles } from "../handles.ts";
import { NOBODY } from "../waiting/by-thread.ts";
import { ByProgram, PROC, type ProgramSource } from "./callers.ts";
import { isLookingCommand } from "./git-commands.ts";

interface StatReader {
  /** The program's file name. */
  readonly program: string;
  /** Its subcommand, or the applet of busybox. Absent: any. */
  readonly command: string | undefined;
}

/** A thread's name has at most 15 bytes. */
const NAME_BYTES = 15;

const BUSYBOX = "busybox";

export class StatReaders {
  readonly #readers: readonly StatReader[];
  /** What such a program's threads may be called. */
  readonly #names: ReadonlySet<string>;
  readonly #source: ProgramSource;
  readonly #generates = new ByProgram((thread) => this.#find(thread));
  readonly #isLs = new ByProgram((thread) => this.#source.name(thread) === "ls");

  /** Each entry is "PROGRAM" or "PROGRAM COMMAND". */
  constructor(entries: readonly string[], source = PROC) {
    this.#source = source;
    this.#readers = entries.map((entry) => {
      const [program = "", command] = entry.split(" ");
      return { program, command };
    });
    this.#names = new Set(
      this.#readers.flatMap(({ program, command }) =>
        program === BUSYBOX && command !== undefined ? [BUSYBOX, command] : [program.slice(0, NAME_BYTES)],
      ),
    );
  }

  /** Whether there are such programs, so that attributes of pending files must not be cached. */
  get exist(): boolean {
    return this.#readers.length > 0;
  }

  /** Whether this thread's stat(2) must generate the file first. A writer sees the file empty. */
  mustGenerate(file: RegularFile, thread: number, handles: Pick<Handles, "isBeingWritten">): boolean {
    if (!this.exist || !file.lazy || thread === NOBODY || handles.isBeingWritten(file)) return false;
    return this.#generates.get(thread);
  }

  /** Whether this thread belongs to `ls`, and may be told that there are no access control lists. */
  mayLackAcls({ uid }: Inode, caller: { readonly uid: number; readonly pid: number }): boolean {
    // The kernel checks the permissions of an owner without asking for the list.
    return this.exist && caller.uid === uid && caller.pid !== NOBODY && this.#isLs.get(caller.pid);
  }

  #find(thread: number): boolean {
    const name = this.#source.name(thread);
    if (name === undefined || !(this.#names.has(name) || name.startsWith("git-"))) return false;
    const program = this.#source.program(thread);
    if (program === undefined) return false;
    const { file = program.name, args } = program;
    const [called = "", ...rest] = args;
    const own = baseName(called);
    return this.#readers.some((reader) => {
      if (reader.program === BUSYBOX && reader.command !== undefined) {
        const applet = isBusybox(own) ? baseName(rest[0] ?? "") : own;
        const options = isBusybox(own) ? rest.slice(1) : rest;
        return isBusybox(file) && applet === reader.command && !extracts(applet, options);
      }
      if (reader.program === "git" && (file === "git" || file.startsWith("git-") || own.startsWith("git-"))) {
        const [command, ...options] = own.startsWith("git-") ? [own.slice(4), ...rest] : gitCommand(rest);
        return reader.command === undefined ? !isLookingCommand(command, options) : reader.command === command;
      }
      const found = [file, own, program.name].includes(reader.program);
      if (!found || extracts(reader.program, rest)) return false;
      return reader.command === undefined || rest.includes(reader.command);
    });
  }
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The executable may be called busybox.static, and a program that was replaced "busybox (deleted)". */
function isBusybox(file: string): boolean {
  return /^busybox\b/.test(file);
}

/** The options of git(1) that take the next argument as their value. */
const WITH_VALUE = [
  "-C",
  "-c",
  "--git-dir",
  "--work-tree",
  "--namespace",
  "--super-prefix",
  "--config-env",
  "--attr-source",
];

/** The subcommand and what follows it. */
function gitCommand(args: readonly string[]): readonly (string | undefined)[] {
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? "";
    if (WITH_VALUE.includes(arg)) at++;
    else if (!arg.startsWith("-")) return args.slice(at);
  }
  return [undefined];
}

/** Whether an archiver unpacks, or lists what it has packed. It then asks for files that it is about to replace. */
function extracts(program: string, args: readonly string[]): boolean {
  if (program === "cpio") {
    const packs = args.some((arg) => ["--create", "--pass-through"].includes(arg) || /^-[^-]*[op]/.test(arg));
    return !packs;
  }
  if (program !== "tar") return false;
  const [first = ""] = args;
  // The first argument may be a cluster of letters without a dash.
  return args.some((arg) => /^-[^-CTXfb]*[xt]/.test(arg)) || (!first.startsWith("-") && /[xt]/.test(first));
}
