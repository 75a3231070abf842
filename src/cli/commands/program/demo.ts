import { UserError } from "../../../app/errors.ts";
import { openGeneration } from "../../../app/generation.ts";
import { type Config, childEnvironment, readConfig, wantsColor } from "../../../app/settings/settings.ts";
import { CONTROL_NAME } from "../../../attributes.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { createProgress } from "../../output/progress.ts";
import { isTerminal, show, showBold } from "../../output/terminal.ts";
import { findWayToMount } from "../../preflight/mount-capability.ts";
import { endWithOuter, runInNamespace } from "../../process/namespace.ts";
import { commandInMount } from "../../process/run-child.ts";
import { openLog } from "../../process/serve.ts";
import { Interrupted, onSignals } from "../../process/signals.ts";
import { withTemporaryMount } from "../../process/temporary-mount.ts";

export const demo = defineCommand({
  args: defineFlags({}),
  notes: [
    "Mounts a tree from a prompt and reads a file, which generates it. The model's answers are recordings built into " +
      "llmfs; everything else works as in mount and run. Leaves nothing behind.",
  ],
  async run() {
    const way = await findWayToMount({ certain: true });
    if (way.how === "none") return runInNamespace(process.argv.slice(2), way.refusal);
    endWithOuter();
    const { DEMO_MODEL, DEMO_PROMPT, createDemoStore } = await import("../../../recording/stores/demo-store.ts");
    const config: Config = {
      ...readConfig({ mode: "replay", logFile: "-" }, {}),
      prompt: { text: DEMO_PROMPT, origin: "the demo" },
      providers: [{ from: "the demo", model: DEMO_MODEL }],
    };
    const progress = createProgress();
    const log = openLog(config, "warn", progress);
    const generation = openGeneration(config, log, createDemoStore());
    const interrupted = new AbortController();
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => interrupted.abort(new Interrupted(name)));
    const { signal } = interrupted;
    explain("A prompt becomes a tree:");
    show(`\n    ${DEMO_PROMPT}\n`);
    await withTemporaryMount({ config, generation, log, progress, signal }, (mountpoint) =>
      showTour(mountpoint, signal),
    );
    explain("That is all. The mount is gone, and nothing is left behind. To use your own model:");
    show("\n    llmfs run --prompt 'what you need' -- bash\n\n");
    return EXIT.ok.code;
  },
});

async function showTour(mountpoint: string, signal: AbortSignal): Promise<void> {
  const shell = new Shell(mountpoint, signal);
  explain("Every file is there, and none has been generated yet:");
  await shell.run(["cat", `${CONTROL_NAME}/tree`]);
  explain("Looking is free. Until it is generated, a file reports a size of 1 MiB, and takes no space:");
  await shell.run(["ls", "-l", "tides"]);
  await shell.run(["du", "-sh", "tides"]);
  explain("The first program that reads a file generates it:");
  const first = await shell.run(["cat", "README.md"]);
  explain("Now it is an ordinary file:");
  const second = await shell.run(["cat", "README.md"], 3);
  await shell.run(["ls", "-l", "README.md"]);
  explain("Only this file and the files it is written from have been generated:");
  await shell.run(["grep", "-v", "pending", `${CONTROL_NAME}/tree`]);
  explain(`The first read took ${first.toFixed(0)} ms with a recorded answer, the second ${second.toFixed(0)} ms.`);
}

/** Runs programs in the mount, as a user would in a shell, and shows their output. */
class Shell {
  readonly #mountpoint: string;
  readonly #signal: AbortSignal;

  constructor(mountpoint: string, signal: AbortSignal) {
    this.#mountpoint = mountpoint;
    this.#signal = signal;
  }

  /** Shows the first `lines` lines of the program's output. Resolves with the milliseconds it took. */
  async run(cmd: readonly string[], lines = Number.POSITIVE_INFINITY): Promise<number> {
    this.#signal.throwIfAborted();
    show("\n    ");
    emphasize(`$ ${cmd.join(" ")}`);
    show("\n");
    const begun = performance.now();
    const child = Bun.spawn({
      cmd: commandInMount(cmd),
      env: childEnvironment({ LLMFS_MOUNT: this.#mountpoint }),
      stdio: ["ignore", "pipe", "inherit"],
      signal: this.#signal,
    });
    const said = await new Response(child.stdout).text();
    const status = await child.exited;
    const took = performance.now() - begun;
    this.#signal.throwIfAborted();
    const all = said.trimEnd().split("\n");
    for (const line of all.slice(0, lines)) show(`    ${line}\n`);
    if (all.length > lines) show(`    … ${all.length - lines} more lines\n`);
    if (status !== 0) throw new UserError("failure", `${cmd.join(" ")} ended with status ${status}`);
    return took;
  }
}

function explain(text: string): void {
  show("\n");
  emphasize(text);
  show("\n");
}

function emphasize(text: string): void {
  if (wantsColor(isTerminal(1))) showBold(text);
  else show(text);
}
