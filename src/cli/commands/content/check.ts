import { checkMount } from "../../../app/check/check-mount.ts";
import type { CheckResult } from "../../../app/check/rounds.ts";
import { readConfigurations, withLines } from "../../../app/configuration/configure.ts";
import { UserError } from "../../../app/errors.ts";
import { readAbout } from "../../../app/mount-info.ts";
import { ControlClient } from "../../../app/running/control-client.ts";
import { findMounted, readPendingFiles } from "../../../app/running/mounted.ts";
import { readCheckLimits } from "../../../app/settings/check.ts";
import { findMountAt } from "../../../mountinfo.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { checkFlags, configFlags } from "../../args/flags.ts";
import { person } from "../../output/ask.ts";
import { formatCheck, formatRound } from "../../output/check-report.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { createProgress } from "../../output/progress.ts";
import { passOn, say, showJson } from "../../output/terminal.ts";
import { describeCost, formatWarming, runWarming, sortByPath } from "../../output/warm-progress.ts";
import { MountWatch } from "../../process/mount-watch.ts";
import { Interrupted, onSignals } from "../../process/signals.ts";

export const check = defineCommand({
  args: defineFlags({
    dir: { type: "positional", required: true, description: "the mount" },
    ...checkFlags,
    ...configFlags,
    json: { type: "boolean", description: "print the result as JSON; the output of the check goes to standard error" },
  }),
  rest: { hint: "CMD [ARG…]", description: "the check: it succeeds with status 0" },
  notes: [
    "Generates all files, then runs CMD in a private copy of the tree, so that nothing it leaves behind becomes part of the " +
      "tree. If CMD fails, the model sees the end of its output and the files that this names, says which files must be " +
      "written again and how, and CMD runs again. Files that somebody wrote or changed are never touched.",
    "When CMD passes, the content of all files is recorded, so that --mode replay gives this tree, byte for byte, without a " +
      "model and without CMD. A check that passes at once asks no model. On a mount in replay mode, CMD only runs.",
    `The exit status is that of CMD: 124 if it took longer than --check-timeout. It is ${EXIT.incomplete.code} if some files ` +
      `could not be generated, so that CMD did not run, and ${EXIT.recordings.code} if CMD passed but the tree could not be ` +
      "recorded.",
  ],
  async run(args, command) {
    const { settings } = await readConfigurations(args.config, person);
    const limits = await withLines(settings, () => readCheckLimits(args, settings));
    const mountpoint = await findMounted(args.dir);
    const stopped = new AbortController();
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => stopped.abort(new Interrupted(name)));
    using watch = new MountWatch(mountpoint, findMountAt(mountpoint)?.device ?? "");
    watch.gone.then(() => {
      const why = `${args.dir} is no longer mounted: it was unmounted, or its process ended`;
      stopped.abort(new UserError("notMounted", why));
    });
    await using client = await ControlClient.open(mountpoint);
    const { signal } = stopped;
    const progress = createProgress();
    const before = client.usage;
    const begun = performance.now();
    const warming = await runWarming({
      files: sortByPath(await readPendingFiles(mountpoint)),
      concurrency: (await readAbout(mountpoint)).concurrency,
      signal,
      progress,
      usage: () => client.usage,
      make: client.make,
      stop: () => client.stop(),
    });
    signal.throwIfAborted();
    if (client.lost !== undefined) throw client.lost;
    if (warming.failed.length > 0) {
      for (const line of formatWarming(warming)) say(line);
      const { failed, done: generated } = warming;
      const cost = describeCost(before, client.usage, begun);
      if (args.json) showJson({ command, ...withoutRun(failed.length), generated, failed, ...cost });
      return EXIT.incomplete.code;
    }
    try {
      const result = await checkMount({
        ...limits,
        mountpoint,
        client,
        command,
        signal,
        onOutput: (bytes) => {
          progress.clear();
          passOn(bytes, args.json ? 2 : 1);
        },
        onRound(round) {
          progress.clear();
          for (const line of formatRound(round)) say(line);
        },
        onStep: (what) => progress.step(what),
      });
      progress.clear();
      const cost = describeCost(before, client.usage, begun);
      if (args.json) showJson({ command, ...result, generated: warming.done, ...cost });
      for (const line of formatCheck(result, cost)) say(line);
      return statusOf(result);
    } finally {
      progress.clear();
    }
  },
});

/** The result if the command did not run. */
function withoutRun(failed: number): CheckResult {
  const ending = `it did not run: ${failed} ${failed === 1 ? "file" : "files"} could not be generated`;
  const nothing = { runs: 0, rounds: [], rewritten: [], frozen: null, freezingFailed: false, reason: null, output: "" };
  return { passed: false, status: EXIT.incomplete.code, ending, ...nothing };
}

/** A tree that passed and could not be recorded would not pass again in replay. */
function statusOf({ passed, status, frozen, freezingFailed }: CheckResult): number {
  return passed && frozen === null && freezingFailed ? EXIT.recordings.code : status;
}
