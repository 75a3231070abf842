import { existsSync } from "node:fs";
import { messageOf } from "../../errno.ts";
import type { Recording, RecordingStore } from "../../recording/recording.ts";
import { openStore, prune, schemeOf } from "../../recording/store.ts";
import { command, flags } from "../command.ts";
import { readConfig } from "../config.ts";
import { CliError, EXIT, UsageError } from "../exit.ts";
import { quietLog } from "../foreground.ts";
import { lookAt, placeOf } from "../looking.ts";
import { lookFlags } from "../options.ts";
import { say, show } from "../terminal.ts";

export const recordings = command({
  args: flags({
    action: { type: "positional", required: true, description: "ls, verify or prune" },
    for: {
      type: "string",
      valueHint: "DIR|FILE",
      description: "prune: keep what this mount or snapshot needs, and take every other file's recording away",
    },
    dryRun: { type: "boolean", alias: "n", description: "prune: only say what would go" },
    ...lookFlags,
    recordings: { ...lookFlags.recordings, description: "where they are; default as for mount (LLMFS_RECORDINGS)" },
    json: { type: "boolean", description: "print the result as JSON" },
  }),
  notes: [
    "ls lists them. verify reads them all and checks that each belongs to its request and is whole; the status is " +
      `${EXIT.recordings.code} if one is not. prune takes away what verify complains of and, with --for, what is not ` +
      "needed; recordings of layouts are kept.",
  ],
  async run(args) {
    const { action } = args;
    if (action !== "ls" && action !== "verify" && action !== "prune") {
      throw new UsageError(`recordings ${action}: expected ls, verify or prune`);
    }
    if (args.for !== undefined && action !== "prune") throw new UsageError("--for is for prune");
    await using log = quietLog();
    const { mode, recordings: location, ownRecordings: local, s3 } = readConfig({ ...args, mode: "replay" });
    const warn = (message: string) => {
      if (action !== "verify") log.write("warn", "recording", message);
    };
    if (location !== local && schemeOf(location) === undefined && !existsSync(location)) {
      throw new CliError("recordings", `${location} does not exist; name the folder that --recordings named before`);
    }
    try {
      const store = await openStore(location, { mode, local, s3, warn });
      try {
        if (action === "ls") return await list(store, args.json);
        if (action === "verify") return await verify(store, args.json);
        const keep = args.for === undefined ? await everything(store) : await needed(args.for, args, store);
        return await takeAway(store, keep, args.dryRun, args.json);
      } finally {
        await store.close?.();
      }
    } catch (error) {
      if (error instanceof CliError || (error instanceof Error && error.name === "SnapshotError")) throw error;
      throw new CliError("recordings", messageOf(error), { cause: error });
    }
  },
});

async function list(store: RecordingStore, json: boolean): Promise<number> {
  const all = await store.list();
  if (json) show(`${JSON.stringify(all.map(brief), null, 2)}\n`);
  else show(all.map((one) => `${line(one)}\n`).join(""));
  return EXIT.ok.code;
}

async function verify(store: RecordingStore, json: boolean): Promise<number> {
  const faults = (await store.check?.()) ?? [];
  const whole = (await store.list()).length;
  if (json) show(`${JSON.stringify({ whole, faults }, null, 2)}\n`);
  else for (const { name, reason } of faults) show(`${name}: ${reason}\n`);
  say(`${whole} recordings are whole${faults.length === 0 ? "" : `, ${faults.length} are not`}`);
  return faults.length === 0 ? EXIT.ok.code : EXIT.recordings.code;
}

async function takeAway(store: RecordingStore, keep: Keep, dryRun: boolean, json: boolean): Promise<number> {
  const keys = (await store.list()).filter(keep).map(({ key }) => key);
  const pruned = await prune(store, { keep: new Set(keys), dryRun });
  const gone = pruned.recordings.map(brief);
  if (json) show(`${JSON.stringify({ recordings: gone, faults: pruned.faults }, null, 2)}\n`);
  else {
    for (const one of pruned.recordings) show(`${line(one)}\n`);
    for (const { name, reason } of pruned.faults) show(`${name}: ${reason}\n`);
  }
  const count = pruned.recordings.length + pruned.faults.length;
  say(`${count} ${dryRun ? "would go" : "taken away"}, ${keys.length} kept`);
  return EXIT.ok.code;
}

type Keep = (recording: Recording) => boolean;

async function everything(store: RecordingStore): Promise<Keep> {
  const keys = new Set((await store.list()).map(({ key }) => key));
  return ({ key }) => keys.has(key);
}

/** What every file's request is now; all that are for a file whose request cannot be told exactly; and layouts. */
async function needed(source: string, args: Parameters<typeof lookAt>[1], store: RecordingStore): Promise<Keep> {
  await using log = quietLog();
  await using looking = await lookAt(placeOf(source), { ...args, recordings: args.recordings }, log);
  const keys = new Set<string>();
  const labels = new Set<string>();
  for (const { path, state } of looking.tree.files) {
    if (state === "static") continue;
    const { asks } = await looking.foresight.foresee(path);
    if (asks === undefined || !asks.exact) labels.add(path);
    if (asks !== undefined) keys.add(asks.key);
  }
  if (keys.size === 0 && labels.size === 0) {
    throw new UsageError(`--for ${source}: no file in it is generated, so all of ${store.name} would go`);
  }
  return ({ key, label }) => keys.has(key) || labels.has(label) || !label.startsWith("/");
}

function brief({ key, label, request, answer }: Recording) {
  return { key, label, model: request.model, answeredBy: answer.model, ...answer.usage };
}

function line({ key, label, request, answer }: Recording): string {
  const tokens =
    answer.usage === undefined ? "" : `  ${answer.usage.inputTokens} + ${answer.usage.outputTokens} tokens`;
  return `${key.slice(0, 16)}  ${label || "unnamed"}  ${request.model}${tokens}`;
}
