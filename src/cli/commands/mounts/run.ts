import { configure, readConfigurations, withLines } from "../../../app/configuration/configure.ts";
import { UsageError, UserError } from "../../../app/errors.ts";
import { openGeneration } from "../../../app/generation.ts";
import { withInheritedLimits } from "../../../app/machine/limits.ts";
import { type CheckArguments, readCheckLimits } from "../../../app/settings/check.ts";
import type { SettingsFile } from "../../../app/settings/given.ts";
import { childEnvironment, insideNamespace, readConfig } from "../../../app/settings/settings.ts";
import { kebabCase } from "../../../app/settings/table.ts";
import { CONTROL_NAME } from "../../../attributes.ts";
import { clearAmbientCapabilities } from "../../../libc.ts";
import type { Log } from "../../../log.ts";
import type { MountedFilesystem } from "../../../mount/filesystem.ts";
import { selfCommand } from "../../../self.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { checkFlags, chooseFlags, logFlags, mountFlags } from "../../args/flags.ts";
import { person } from "../../output/ask.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { createProgress } from "../../output/progress.ts";
import { say } from "../../output/terminal.ts";
import { formatWarming, type Warming, warmMount } from "../../output/warm-progress.ts";
import { findWayToMount } from "../../preflight/mount-capability.ts";
import { checkOutputs } from "../../preflight/output-paths.ts";
import { checkCommand } from "../../preflight/runnable-command.ts";
import { MountWatch } from "../../process/mount-watch.ts";
import { endWithOuter, runInNamespace } from "../../process/namespace.ts";
import { commandInMount, forwardSignals } from "../../process/run-child.ts";
import { openLog } from "../../process/serve.ts";
import { Interrupted, onSignals } from "../../process/signals.ts";
import { type ChoiceArguments, chooseFiles } from "../../process/source-tree.ts";
import { withTemporaryMount } from "../../process/temporary-mount.ts";

export const run = defineCommand({
  args: defineFlags({
    ...mountFlags,
    check: {
      type: "string",
      valueHint: "CMD",
      description: "first generate and repair files until this shell command passes, then freeze them; see llmfs check",
    },
    ...checkFlags,
    noMount: {
      type: "boolean",
      description:
        "do not use FUSE: generate all files, run CMD on a copy of the tree in a temporary folder, then apply its changes to the tree",
    },
    only: {
      ...chooseFlags.only,
      description:
        'with --no-mount: generate only these files, such as "src/**,*.md"; the others are not in the folder',
    },
    ...logFlags,
  }),
  rest: {
    hint: "CMD [ARG…]",
    description: "the command to run in the root of the mount; LLMFS_MOUNT is the path of the mount",
  },
  notes: [
    "The mount is private to its user, lasts as long as CMD, and leaves nothing behind. The exit status is that of CMD: " +
      "128 + n if signal n ended it, 127 if it was not found, 126 if it could not be executed.",
    "With --warm, CMD starts when every file has been generated. If some files failed, CMD does not start, and llmfs lists the " +
      `reasons and exits with status ${EXIT.incomplete.code}.`,
    "With --check, CMD starts when the check passes. If the check does not pass, CMD does not start, and the exit status is that " +
      "of llmfs check.",
    "If the mount is unmounted while CMD runs, llmfs reports it at once, sends CMD SIGTERM and two seconds later SIGKILL, " +
      `and exits with status ${EXIT.notMounted.code}.`,
    "A file that cannot be generated affects the exit status only if CMD fails because of it. If CMD might ignore such an error, " +
      `use --warm, or let CMD end with: \`grep -q '"failed": 0' "$LLMFS_MOUNT/${CONTROL_NAME}/status.json"\`.`,
    "With --no-mount nothing is mounted, so it works in any container and on any system. All files are generated first, and CMD " +
      `sees ordinary files. If some files failed, CMD does not start, and llmfs exits with status ${EXIT.incomplete.code}. With ` +
      "--save, the tree is saved with the changes that CMD made. Files that --only leaves out stay pending.",
    "Without root, if fusermount3 is missing or cannot mount, llmfs mounts in a user namespace, if the system allows that. If llmfs " +
      "is already in a user namespace that has no mount namespace of its own (unshare -rn), it creates a mount namespace.",
  ],
  async run(args, rest) {
    checkCommand(rest);
    if (args.noMount) return await runOnCopy(args, rest);
    if (args.only !== undefined) throw new UsageError("--only works only with --no-mount");
    const way = await findWayToMount({ certain: true }).catch(suggestNoMount);
    if (way.how === "none") return runInNamespace(process.argv.slice(2), way.refusal).catch(suggestNoMount);
    endWithOuter();
    requireCheck(args);
    const { settings, rules: configuration } = await readConfigurations(args.config, person);
    const config = { ...(await withLines(settings, () => readConfig(args, undefined, settings))), configuration };
    const checking = await withLines(settings, () => checkArguments(args, settings));
    await checkOutputs(config, undefined);
    const progress = createProgress();
    const log = openLog(config, "warn", progress);
    const interrupted = new AbortController();
    // No signal may end this process before the tree is saved. While the command runs, signals are also passed on to it.
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => interrupted.abort(new Interrupted(name)));
    try {
      const generation = openGeneration(config, log);
      return await withTemporaryMount(
        { config, generation, log, progress, signal: interrupted.signal },
        async (mountpoint, { filesystem }) => {
          if (config.warm) {
            const result = await warmMount(filesystem, { config, generation, progress, signal: interrupted.signal });
            if (interrupted.signal.aborted) {
              const unsaved = config.mode === "off" ? "lost with the mount" : "recorded";
              const kept = config.save === undefined ? unsaved : `saved in ${config.save}`;
              for (const line of formatWarming(result, kept)) say(line);
            }
            interrupted.signal.throwIfAborted();
            if (result.failed.length > 0) return reportIncomplete(result);
          }
          if (checking !== undefined) {
            const check = [...selfCommand(), "check", mountpoint, ...checking];
            const status = await runAt(mountpoint, { name: "the check", cmd: check }, filesystem, log);
            if (status !== EXIT.ok.code) return status;
          }
          return await runAt(mountpoint, { name: rest[0] ?? "", cmd: commandInMount(rest) }, filesystem, log);
        },
      );
    } finally {
      await log.close();
    }
  },
});

type RunCheckArguments = CheckArguments & { readonly check?: string | undefined };

/** Throws UsageError. */
function requireCheck({ check, repairs, checkTimeout, checkSpace }: RunCheckArguments): void {
  const limits = Object.entries({ repairs, checkTimeout, checkSpace });
  const [name, value] = limits.find(([, one]) => one !== undefined) ?? [];
  if (check === undefined && name !== undefined) {
    throw new UsageError(`--${kebabCase(name)}=${value} is for --check, which is missing`);
  }
}

/** The arguments of `llmfs check` behind the mountpoint; undefined without --check. Throws UserError. */
function checkArguments(args: RunCheckArguments, files: readonly SettingsFile[]): readonly string[] | undefined {
  const { repairs, timeoutMs, space } = readCheckLimits(args, files);
  if (args.check === undefined) return undefined;
  const limits = [`--repairs=${repairs}`, `--check-timeout=${timeoutMs}ms`, `--check-space=${space}B`];
  return ["--config=none", ...limits, "--", "/bin/sh", "-c", args.check];
}

async function runOnCopy(
  args: ChoiceArguments & { readonly check?: string | undefined },
  cmd: readonly string[],
): Promise<number> {
  if (args.check !== undefined)
    throw new UsageError("--check needs a mount; run llmfs check on one, or leave out --no-mount");
  const { checkNoMount, runWithoutMount } = await import("../../process/run-without-mount.ts");
  const select = chooseFiles(args);
  const config = await configure(args, person);
  checkNoMount(config);
  await checkOutputs(config, undefined);
  return await runWithoutMount(config, select, cmd);
}

/** Where FUSE is not possible, the flag that needs none is the quickest way out. */
function suggestNoMount(error: unknown): never {
  if (!(error instanceof UserError) || error.exit !== "fuse" || error.message.includes(" --no-mount")) throw error;
  throw new UserError(
    "fuse",
    `${error.message}. To run the command without FUSE, on a copy of the tree: llmfs run --no-mount`,
    {
      cause: error,
    },
  );
}

/** The command does not run unless every file was generated. */
function reportIncomplete(result: Warming): number {
  for (const line of formatWarming(result)) say(line);
  return EXIT.incomplete.code;
}

/** The time between SIGTERM and SIGKILL, the same as for a command whose llmfs is killed. */
const GRACE_MS = 2000;

async function runAt(
  mountpoint: string,
  { name, cmd }: { readonly name: string; readonly cmd: readonly string[] },
  { guardProcess, ended, device }: Pick<MountedFilesystem, "guardProcess" | "ended" | "device">,
  log: Log,
): Promise<number> {
  if (insideNamespace()) clearAmbientCapabilities();
  const child = withInheritedLimits(() =>
    Bun.spawn({
      cmd: [...cmd],
      env: childEnvironment({ LLMFS_MOUNT: mountpoint }),
      stdio: ["inherit", "inherit", "inherit"],
    }),
  );
  guardProcess(child.pid, true);
  log.withTag("cli").info(`running ${name} as process ${child.pid}`);
  using watch = new MountWatch(mountpoint, device);
  /** Without the mount, the command would read nothing, and write to the ordinary directory below the mountpoint. */
  const end = (why: string) => {
    lost ??= why;
    log.write("error", "cli", `${why}; ending ${name} because its files are gone`);
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), GRACE_MS).unref();
  };
  let lost: string | undefined;
  using _ = onSignals(["SIGXCPU"], () => lost ?? end("the CPU time limit (ulimit -t) is reached"));
  const exited = forwardSignals(child);
  const gone = Promise.race([
    watch.gone.then(() => `${mountpoint} was unmounted`),
    ended.then(({ message }) => `the mount at ${mountpoint} ended${message === undefined ? "" : `: ${message}`}`),
  ]);
  try {
    const first = await Promise.race([exited, gone]);
    if (typeof first === "string") end(first);
    const status = await exited;
    log.withTag("cli").info(`${name} ended with status ${status}`);
    if (lost === undefined) return status;
    throw new UserError("notMounted", `${name} was stopped and exited with status ${status}: ${lost}`);
  } finally {
    guardProcess(child.pid, false);
  }
}
