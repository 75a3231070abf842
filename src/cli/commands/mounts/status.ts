import { setTimeout as sleep } from "node:timers/promises";
import { UsageError } from "../../../app/errors.ts";
import { findMountPlace } from "../../../app/place.ts";
import { findMount } from "../../../app/running/find-mount.ts";
import { readMountStatus } from "../../../app/running/mount-status.ts";
import { canRedraw } from "../../../app/settings/settings.ts";
import { parseTimeLimit } from "../../../app/settings/values.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { formatStatus, formatStatusLine, type Sample } from "../../output/status-report.ts";
import { isOutputClosed, isTerminal, Screen, say, show, showJson } from "../../output/terminal.ts";
import { onSignals, signalStatus } from "../../process/signals.ts";

export const status = defineCommand({
  args: defineFlags({
    dir: {
      type: "positional",
      required: false,
      description: "a mount, or any path below it; default: the mount that contains the current directory",
    },
    watch: {
      type: "boolean",
      alias: "w",
      description: "keep showing the state until the mount ends or you press Ctrl-C",
    },
    every: { type: "string", valueHint: "TIME", description: "with --watch: how often to look; default: 1s" },
    json: { type: "boolean", description: "print the state as JSON; with --watch, one line for each change" },
  }),
  notes: [
    "Shows how many files are in each state, the requests in progress, tokens and cost compared with the budget, the memory of " +
      "the process, and which files failed and why. It generates nothing.",
    "On a terminal, --watch redraws the view. Elsewhere it prints a line when something has changed. It exits with status 0 " +
      `when the mount is unmounted, and with ${EXIT.unresponsive.code} if the mount stops responding.`,
  ],
  async run(args) {
    if (args.every !== undefined && !args.watch) throw new UsageError("--every works only with --watch");
    const everyMs = parseTimeLimit("--every", args.every ?? "1s", SHORTEST_MS);
    const { mountpoint } = await findMountPlace(args.dir);
    const sample = async (): Promise<Sample> => ({ status: await readMountStatus(mountpoint), at: performance.now() });
    if (args.watch) return await watch({ mountpoint, sample, everyMs, json: args.json });
    const now = await sample();
    if (args.json) showJson(now.status);
    else show(`${formatStatus(now).join("\n")}\n`);
    return EXIT.ok.code;
  },
});

/** Looking more often would only keep the mount from its work. */
const SHORTEST_MS = 100;

interface WatchOptions {
  readonly mountpoint: string;
  readonly sample: () => Promise<Sample>;
  readonly everyMs: number;
  readonly json: boolean;
}

async function watch({ mountpoint, sample, everyMs, json }: WatchOptions): Promise<number> {
  const ended = new AbortController();
  let signal: string | undefined;
  using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
    signal = name;
    ended.abort();
  });
  const device = findMount(mountpoint)?.mount.device;
  using screen = !json && canRedraw(isTerminal(1)) ? new Screen() : undefined;
  let before: Sample | undefined;
  let last = "";
  while (!ended.signal.aborted) {
    const now = await Promise.race([sample().catch((error: unknown) => ({ error })), waitForAbort(ended.signal)]);
    if (now === undefined) break;
    if (findMount(mountpoint)?.mount.device !== device) {
      screen?.[Symbol.dispose]();
      say(`${mountpoint} was unmounted`);
      return EXIT.ok.code;
    }
    if ("error" in now) throw now.error;
    if (screen !== undefined) screen.draw(formatStatus(now, before));
    else last = printChange(now, before, json, last);
    if (isOutputClosed()) return EXIT.ok.code;
    before = now;
    await sleep(everyMs, undefined, { signal: ended.signal }).catch(() => {});
  }
  return signal === undefined ? EXIT.ok.code : signalStatus(signal);
}

/** Prints the state unless it is that of the last line. Returns what identifies it. */
function printChange(now: Sample, before: Sample | undefined, json: boolean, last: string): string {
  const { ageSeconds: _age, memoryBytes: _memory, ...rest } = now.status;
  const state = JSON.stringify(rest);
  if (state === last) return last;
  if (json) showJson(now.status, 0);
  else show(`${new Date().toISOString()} ${formatStatusLine(now, before)}\n`);
  return state;
}

function waitForAbort(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined), { once: true }));
}
