/** What real programs do with a checkout, which is copied to the filesystem first. */
import { chmodSync, existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./peers.ts";

export interface Tree {
  readonly path: string;
  /** A directory without files, to load programs with. */
  readonly empty: string;
  /** For `env`: no configuration but ours. */
  readonly environment: readonly string[];
  /** Files and directories, as `find` counts them. */
  readonly entries: number;
}

export interface Program {
  readonly row?: string;
  /** Nothing is cached, except the program. */
  readonly cold?: boolean;
  /** It prints its own time in seconds, because it takes long to start. */
  readonly timed?: boolean;
  /** `base` is a directory on the filesystem. `load`: the program only has to be loaded, and both are empty directories. */
  readonly command: (tree: string, base: string, load?: boolean) => readonly string[];
}

/** Debian's, because the first one of the path may be a shell script that chooses one. */
const PYTHON = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";

const WALK = `
import os, sys, time
start = time.perf_counter()
for folder, _, names in os.walk(sys.argv[1]):
    os.stat(folder)
    for name in names: os.stat(os.path.join(folder, name))
print(time.perf_counter() - start)`;

/** Seconds since 1970. */
const WRITTEN = 1_750_000_000;

const checkout = (base: string) => join(base, "checkout");

/** In this order: the first makes the copy. */
export const PROGRAMS: readonly Program[] = [
  { row: "cp -pr, a file", command: (tree, base) => ["cp", "-pr", tree, checkout(base)] },
  { command: (_tree, base) => ["git", "-C", checkout(base), "update-index", "-q", "--refresh"] },
  { row: "ls -lR, cold, an entry", cold: true, command: onCheckout("ls", "-lR") },
  { row: "ls -lR, warm, an entry", command: onCheckout("ls", "-lR") },
  {
    row: "find -printf, cold, an entry",
    cold: true,
    command: (_tree, base, load) => ["find", load ? base : checkout(base), "-printf", "%p %s %m\n"],
  },
  {
    row: "os.walk and stat, cold, an entry",
    cold: true,
    timed: true,
    command: onCheckout(PYTHON, "-c", WALK),
  },
  {
    row: "git status, cold, an entry",
    cold: true,
    command: (_tree, base, load) => (load ? ["git", "--version"] : ["git", "-C", checkout(base), "status", "--short"]),
  },
  {
    row: "rsync -a without changes, cold, an entry",
    cold: true,
    command: (tree, base, load) => ["rsync", "-a", `${tree}/`, `${load ? base : checkout(base)}/`],
  },
];

function onCheckout(...program: readonly string[]): Program["command"] {
  return (_tree, base, load) => [...program, load ? base : checkout(base)];
}

export function createTree(folder: string): Tree {
  const path = join(folder, "checkout");
  const empty = join(folder, "empty");
  for (const one of [path, empty]) mkdirSync(one, { recursive: true });
  for (let directory = 0; directory < 30; directory++) {
    mkdirSync(join(path, `d${directory}`));
    for (let file = 0; file < 20; file++) {
      const name = join(path, `d${directory}`, `f${file}.txt`);
      writeFileSync(name, `file ${directory} ${file}\n`.repeat(50));
      // Whole seconds, because some filesystems round times, and rsync would copy such a file again.
      utimesSync(name, WRITTEN, WRITTEN);
    }
  }
  const configuration = join(folder, "gitconfig");
  // The files belong to root, and one of the contestants is another user.
  writeFileSync(configuration, "[safe]\ndirectory = *\n[user]\nname = bench\nemail = bench@localhost\n");
  const environment = [
    `GIT_CONFIG_GLOBAL=${configuration}`,
    "GIT_CONFIG_NOSYSTEM=1",
    "GIT_OPTIONAL_LOCKS=0",
    "LC_ALL=C",
  ];
  for (const command of [
    ["init", "-q", "--template="],
    ["add", "-A"],
    ["commit", "-qm", "files"],
    ["gc", "-q"],
  ]) {
    run(["env", ...environment, "git", "-C", path, ...command], "apt-get install git");
  }
  run(["chmod", "-R", "a+rX", folder]);
  chmodSync(folder, 0o755);
  return { path, empty, environment, entries: readdirSync(path, { recursive: true }).length + 1 };
}
