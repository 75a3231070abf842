/** Checks the tree of a running mount: see rounds.ts. */
import { readFileSync } from "node:fs";
import { UserError } from "../errors.ts";
import { readAbout } from "../mount-info.ts";
import { type ControlClient, ControlRefusal } from "../running/control-client.ts";
import { controlFilePath } from "../running/mounted.ts";
import { runCommand } from "./command.ts";
import { PrivateCopy } from "./private-copy.ts";
import { type CheckOptions, type CheckResult, checkUntilItPasses } from "./rounds.ts";

export interface MountCheckOptions extends Pick<CheckOptions, "repairs" | "onRound" | "onStep"> {
  readonly mountpoint: string;
  readonly client: ControlClient;
  readonly command: readonly string[];
  readonly timeoutMs: number;
  /** How many bytes the command may write into its copy. */
  readonly space: number;
  readonly signal: AbortSignal;
  readonly onOutput: (bytes: Uint8Array) => void;
}

/** Rejects with UserError, or with the signal's reason. */
export async function checkMount(options: MountCheckOptions): Promise<CheckResult> {
  const { mountpoint, client, command, repairs, signal, onRound, onStep } = options;
  const { mode } = await readAbout(mountpoint);
  const replayed = mode === "replay";
  const stop = () => void client.stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await checkUntilItPasses({
      mount: {
        diagnose: (failure) => client.diagnose(failure),
        rewrite: (path, instruction) => client.rewrite(path, instruction),
        freeze: (version) => client.freeze(version),
        isRefusal: (error) => error instanceof ControlRefusal && !signal.aborted,
      },
      command: formatCommand(command),
      repairs,
      ...(replayed && {
        noRepairs: "it is not repaired: the tree is replayed from recordings",
        noFreezing: "nothing to freeze: the tree is replayed from recordings",
      }),
      ...(mode === "off" && { noFreezing: "not frozen: with --mode off, nothing is recorded" }),
      run: () => runInCopy(options),
      ...(onRound && { onRound }),
      ...(onStep && { onStep }),
    });
  } catch (error) {
    signal.throwIfAborted();
    throw client.lost instanceof UserError ? client.lost : error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Looking into directories that generators list changes the tree, and so does a user. */
const COPIES = 3;

async function runInCopy(options: MountCheckOptions) {
  const { client, command, mountpoint, onOutput, onStep, signal, space, timeoutMs } = options;
  for (let attempt = 1; ; attempt += 1) {
    onStep?.("copying the tree");
    const version = await client.version();
    await using copy = await PrivateCopy.of(mountpoint, readSize(mountpoint), signal);
    if ((await client.version()) !== version && attempt < COPIES) continue;
    onStep?.("running the check");
    const run = await runCommand({ command, copy, timeoutMs, space, signal, onOutput });
    return { ...run, version };
  }
}

function readSize(mountpoint: string): number {
  const path = controlFilePath(mountpoint, "status.json");
  try {
    const status: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof status === "object" && status !== null && "bytes" in status) return Number(status.bytes);
  } catch (error) {
    throw new UserError("notMounted", `${path} cannot be read`, { cause: error });
  }
  throw new UserError("notMounted", `${path}: another version of llmfs serves this mount`);
}

/** A script may be part of the command line. */
const LONGEST_COMMAND = 4000;

function formatCommand(command: readonly string[]): string {
  const whole = command.map(quote).join(" ");
  return whole.length <= LONGEST_COMMAND ? whole : `${whole.slice(0, LONGEST_COMMAND).toWellFormed()}…`;
}

/** As in a shell. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
