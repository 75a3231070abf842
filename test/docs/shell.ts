/** Runs command lines one after another in one shell, so that `cd`, variables and functions carry over. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Step {
  readonly text: string;
  /** It does not end by itself: it is interrupted when it has printed this many lines. */
  readonly follow?: number;
}

export interface Ran {
  /** Undefined: it did not end in time. Null: it was not reached. */
  readonly status: number | undefined | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ShellOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** An existing directory for the outputs, outside of `cwd`. */
  readonly scratch: string;
  /** The shell and its options, such as one in a mount namespace. */
  readonly shell?: readonly string[];
  /** For all steps together. */
  readonly milliseconds: number;
}

/** With job control, so that a step that is followed can be interrupted with everything that it started. */
const PROLOGUE = `exec < /dev/null
set -o pipefail -o monitor
`;

export async function runSteps(steps: readonly Step[], options: ShellOptions): Promise<readonly Ran[]> {
  const { cwd, env, scratch, shell = ["bash", "--noprofile", "--norc"], milliseconds } = options;
  mkdirSync(scratch, { recursive: true });
  const at = (index: number, kind: string) => join(scratch, `${index}.${kind}`);
  const script = steps.map(({ text, follow }, index) => {
    writeFileSync(at(index, "sh"), `${text}\n`);
    const run = `eval "$(cat '${at(index, "sh")}')" > '${at(index, "out")}' 2> '${at(index, "err")}'`;
    const end = `echo $? > '${at(index, "status")}'\n`;
    if (follow === undefined) return `${run}; ${end}`;
    const ready = `[ "$(wc -l < '${at(index, "out")}')" -ge ${follow} ]`;
    return `: > '${at(index, "out")}'
{ ${run}; } &
followed=$!
until ${ready}; do kill -0 $followed 2> /dev/null || break; sleep 0.02; done
if kill -- -$followed 2> /dev/null; then wait $followed 2> /dev/null; fi
${ready}; ${end}`;
  });
  const file = join(scratch, "script");
  writeFileSync(file, PROLOGUE + script.join(""));
  const child = Bun.spawn({
    cmd: [...shell, file],
    cwd,
    env: { ...env },
    // It leads a session, in which all jobs are.
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const late = setTimeout(() => Bun.spawnSync(["pkill", "-KILL", "--session", String(child.pid)]), milliseconds);
  const exited = await child.exited;
  clearTimeout(late);
  let running = true;
  return steps.map((_, index) => {
    const status = read(at(index, "status"));
    const stdout = read(at(index, "out")) ?? "";
    const stderr = read(at(index, "err")) ?? "";
    if (status !== undefined) return { status: Number(status), stdout, stderr };
    const here = running;
    running = false;
    // A step that ends the shell, such as `exit`, ends with its status.
    return { status: here ? (child.signalCode === null ? exited : undefined) : null, stdout, stderr };
  });
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
