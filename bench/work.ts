/** Real work on each filesystem: medians of three runs in seconds, next to tmpfs. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Contestant } from "./contestants.ts";
import { median } from "./numbers.ts";

/**
 * Each is a shell script that runs in an empty directory of the filesystem under test; `$REPO` and `$TAR` are created
 * once.
 */
const JOBS: readonly { readonly name: string; readonly script: string }[] = [
  { name: "git clone, 3,000 files", script: 'git clone -q "$REPO" clone' },
  { name: "git status in it", script: "git -C clone status --short" },
  { name: "grep -r in it", script: "grep -rc banana clone | tail -n 1" },
  { name: "tar x, 3,000 files", script: 'mkdir tree && tar xf "$TAR" -C tree' },
  { name: "a build in C, 60 sources", script: 'cp -r "$SOURCES" build && make -s -j2 -C build' },
  { name: "SQLite, 100,000 rows, journal in the mount", script: 'sqlite3 rows.db < "$ROWS"' },
  { name: "npm ci of our own dependencies, from the cache", script: 'cp "$PACKAGE"/*.json . && npm ci --offline $NPM' },
  { name: "grep -r in node_modules", script: "grep -rc banana node_modules | tail -n 1" },
  { name: "rm -r of all of it", script: "rm -r clone tree build rows.db node_modules" },
];

/** Flags of npm, split by the shell. */
const NPM = { NPM: "--omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error" };

const ROUNDS = 3;

export async function work(contestants: readonly Contestant[], scratch: string): Promise<string> {
  const environment = prepare(join(scratch, "work"));
  const seconds = new Map<string, Map<string, number[]>>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const contestant of contestants) {
      await using mounted = await contestant.mount();
      const directory = join(mounted.path, "work");
      const { as = [] } = contestant;
      shell(`mkdir ${directory}`, "/", {}, as);
      for (const { name, script } of JOBS) {
        const start = performance.now();
        shell(script, directory, environment, as);
        const byName = seconds.get(name) ?? new Map<string, number[]>();
        seconds.set(name, byName);
        byName.set(contestant.name, [...(byName.get(contestant.name) ?? []), (performance.now() - start) / 1000]);
      }
    }
  }
  rmSync(join(scratch, "work"), { recursive: true, force: true });
  const names = contestants.map(({ name }) => name);
  const lines = [
    `| seconds | ${names.join(" | ")} | llmfs / tmpfs |`,
    `|---|${names.map(() => "---:|").join("")}---:|`,
  ];
  for (const [job, byName] of seconds) {
    const of = (name: string) => median(byName.get(name) ?? []);
    const cells = names.map((name) => of(name).toFixed(3));
    lines.push(`| ${job} | ${cells.join(" | ")} | ${(of("llmfs") / of("tmpfs")).toFixed(2)} |`);
  }
  return `${lines.join("\n")}\n`;
}

function prepare(directory: string): Record<string, string> {
  mkdirSync(directory, { recursive: true });
  shell(
    `mkdir tree && cd tree && git init -q . && git config user.email bench@localhost && git config user.name bench
     for d in $(seq 60); do mkdir d$d; for f in $(seq 50); do seq $f $((f + 300)) > d$d/f$f.txt; done; done
     git add -A && git commit -q -m files && git clone -q --bare . ../repo.git && cd .. && tar cf tree.tar -C tree --exclude .git .
     mkdir sources && cd sources
     for n in $(seq 60); do
       printf '#include <stdio.h>\\n#include <stdlib.h>\\n#include <string.h>\\nint f%d(int x) { char b[64]; snprintf(b, sizeof b, "%%d", x); return (int)strlen(b) + %d; }\\n' $n $n > f$n.c
     done
     { printf 'int main(void) { return 0; }\\n'; } > main.c
     printf 'all: program\\nOBJECTS = $(patsubst %%.c,%%.o,$(wildcard *.c))\\nprogram: $(OBJECTS)\\n\\t$(CC) -o $@ $^\\n' > Makefile
     cd .. && { echo 'create table t (id integer primary key, a text, b real);'
     for n in $(seq 100); do echo 'begin; with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000) insert into t (a, b) select hex(i * 7919), i / 3.0 from n; commit;'; done; } > rows.sql`,
    directory,
    {},
  );
  const packages = { ...NPM, npm_config_cache: join(directory, "cache"), PACKAGE: join(import.meta.dir, "..") };
  shell('mkdir package && cp "$PACKAGE"/package*.json package && cd package && npm ci $NPM', directory, packages);
  // One of the users is an ordinary user: npm writes logs to its cache, and git refuses other users' repositories
  // unless they are listed as safe.
  shell("chmod -R a+rwX cache; printf '[safe]\\ndirectory = *\\n' > gitconfig", directory, {});
  return {
    ...packages,
    GIT_CONFIG_GLOBAL: join(directory, "gitconfig"),
    PACKAGE: join(directory, "package"),
    REPO: join(directory, "repo.git"),
    TAR: join(directory, "tree.tar"),
    SOURCES: join(directory, "sources"),
    ROWS: join(directory, "rows.sql"),
  };
}

function shell(script: string, cwd: string, environment: Record<string, string>, as: readonly string[] = []): void {
  const { exitCode, stderr } = Bun.spawnSync([...as, "sh", "-ec", `cd ${cwd}; ${script}`], {
    cwd: "/",
    env: { ...process.env, ...environment },
    stdout: "ignore",
    stderr: "pipe",
  });
  if (exitCode !== 0) throw new Error(`${script}: exit ${exitCode}: ${stderr.toString()}`);
}
