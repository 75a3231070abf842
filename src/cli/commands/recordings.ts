import { existsSync } from "node:fs";
import { explainCodeNotRun } from "../../app/configuration.ts";
import { UsageError, UserError } from "../../app/errors.ts";
import { lookAt, placeOf, recordingsOf } from "../../app/inspect.ts";
import { readAbout } from "../../app/mount-info.ts";
import { findMountedFile } from "../../app/running/mounted.ts";
import { type Config, readConfig } from "../../app/settings/settings.ts";
import { messageOf } from "../../errno.ts";
import { repairWith } from "../../generators/builtin/llm.ts";
import type { ChatRequest } from "../../llm/llm.ts";
import { requestKey } from "../../recording/key.ts";
import type { Recording, RecordingStore } from "../../recording/recording.ts";
import { openStore, prune, schemeOf } from "../../recording/stores/store.ts";
import { printableLine } from "../../text/printable.ts";
import { defineCommand, defineFlags } from "../args/command.ts";
import { lookFlags } from "../args/flags.ts";
import { EXIT } from "../output/exit-codes.ts";
import { say, show, showJson } from "../output/terminal.ts";
import { createQuietLog } from "../process/serve.ts";

export const recordings = defineCommand({
  args: defineFlags({
    action: {
      type: "positional",
      required: true,
      valueHint: "ls|verify|prune",
      description: "ls, verify or prune",
    },
    for: {
      type: "string",
      valueHint: "DIR|FILE",
      description: "prune: keep only what this mount or snapshot needs; separate several with commas",
    },
    dryRun: { type: "boolean", alias: "n", description: "prune: show what would be removed, and remove nothing" },
    ...lookFlags,
    recordings: {
      ...lookFlags.recordings,
      description:
        "where the recordings are; default: as for mount (LLMFS_RECORDINGS), or with --for DIR, where that mount keeps them",
    },
    json: { type: "boolean", description: "print the result as JSON" },
  }),
  notes: [
    "ls lists recordings. verify checks that each one is complete and belongs to its request, and exits with status " +
      `${EXIT.recordings.code} if one does not. prune removes what verify rejects and, with --for, what is not needed; it ` +
      "keeps layouts, and recordings of other versions of llmfs.",
    "A snapshot does not say how its files were requested: give prune the same --model, --content-prompt and --config. " +
      "Without --model, it keeps recordings of every model.",
  ],
  async run(args) {
    const { action } = args;
    if (action !== "ls" && action !== "verify" && action !== "prune") {
      throw new UsageError(`recordings ${action}: expected ls, verify or prune`);
    }
    if (args.for !== undefined && action !== "prune") throw new UsageError("--for works only with prune");
    await using log = createQuietLog();
    const sources = args.for === undefined ? [] : sourcesOf(args.for);
    const config = readConfig({ ...args, mode: "replay" });
    const { mode, ownRecordings: local, s3 } = config;
    const location = args.recordings === undefined ? await placeFor(sources, config) : config.recordings;
    if (sources.length > 0 && location === local && args.recordings === undefined && !args.dryRun) {
      throw new UsageError(
        `--for: ${local} has the recordings of all your trees; to remove those of other trees too, pass --recordings ${local}`,
      );
    }
    const warn = (message: string) => {
      if (action !== "verify") log.write("warn", "recording", message);
    };
    if (location !== local && schemeOf(location) === undefined && !existsSync(location)) {
      throw new UserError(
        "recordings",
        `${location} does not exist; pass the --recordings folder that was used for recording`,
      );
    }
    try {
      const store = await openStore(location, { mode, local, s3, warn });
      try {
        if (action === "ls") return await list(store, args.json);
        if (action === "verify") return await verify(store, args.json);
        const keep = sources.length === 0 ? await keepEverything(store) : await findNeededBy(sources, args, store);
        return await takeAway(store, keep, args.dryRun, args.json);
      } finally {
        await store.close?.();
      }
    } catch (error) {
      if (error instanceof UserError || (error instanceof Error && error.name === "SnapshotError")) throw error;
      throw new UserError("recordings", messageOf(error), { cause: error });
    }
  },
});

async function list(store: RecordingStore, json: boolean): Promise<number> {
  const all = await store.list();
  if (json) showJson(all.map(summarize));
  else show(all.map((one) => `${formatLine(one)}\n`).join(""));
  return EXIT.ok.code;
}

async function verify(store: RecordingStore, json: boolean): Promise<number> {
  const faults = (await store.check?.()) ?? [];
  const whole = (await store.list()).length;
  if (json) showJson({ whole, faults });
  else for (const { name, reason } of faults) show(`${printableLine(name)}: ${reason}\n`);
  say(`${whole} recordings are valid${faults.length === 0 ? "" : `, ${faults.length} are not`}`);
  return faults.length === 0 ? EXIT.ok.code : EXIT.recordings.code;
}

async function takeAway(store: RecordingStore, keep: Keep, dryRun: boolean, json: boolean): Promise<number> {
  const keys = (await store.list()).filter(keep).map(({ key }) => key);
  const pruned = await prune(store, { keep: new Set(keys), dryRun });
  const gone = pruned.recordings.map(summarize);
  if (json) showJson({ recordings: gone, faults: pruned.faults });
  else {
    for (const one of pruned.recordings) show(`${formatLine(one)}\n`);
    for (const { name, reason } of pruned.faults) show(`${printableLine(name)}: ${reason}\n`);
  }
  const count = pruned.recordings.length + pruned.faults.length;
  say(`${count} ${dryRun ? "would be removed" : "removed"}, ${keys.length} kept`);
  return EXIT.ok.code;
}

type Keep = (recording: Recording) => boolean;

async function keepEverything(store: RecordingStore): Promise<Keep> {
  const keys = new Set((await store.list()).map(({ key }) => key));
  return ({ key }) => keys.has(key);
}

/** The name of an existing file may contain a comma. */
function sourcesOf(text: string): readonly string[] {
  return existsSync(text) ? [text] : text.split(",").map((source) => source.trim());
}

/** The recordings of the first mount among the sources. Without a mount, the recordings that a mount would use. */
async function placeFor(sources: readonly string[], config: Config): Promise<string> {
  for (const source of sources) {
    const place = await placeOf(source);
    if ("mounted" in place) return recordingsOf(config, readAbout((await findMountedFile(place.mounted)).mountpoint));
  }
  return config.recordings;
}

type LookArgs = Parameters<typeof lookAt>[1];

async function findNeededBy(sources: readonly string[], args: LookArgs, store: RecordingStore): Promise<Keep> {
  const keeps: Keep[] = [];
  for (const source of sources) keeps.push(await findNeeded(source, args, store));
  return (recording) => keeps.some((keep) => keep(recording));
}

/** Keeps the current request of every file, every recording of a file whose request is not known exactly, and layouts. */
async function findNeeded(source: string, args: LookArgs, store: RecordingStore): Promise<Keep> {
  await using log = createQuietLog();
  const place = await placeOf(source);
  const passedOver = (file: string) => {
    throw new UsageError(
      `${explainCodeNotRun(file)}, or pass --config none if ${source} does not use it: without it, needed recordings might ` +
        "be removed",
    );
  };
  await using looking = await lookAt(place, { ...args, recordings: args.recordings }, { log, say, passedOver });
  /** If no model was given, the recordings of every model may be needed. */
  const keyOf = (request: ChatRequest) =>
    requestKey(looking.about.model === undefined ? { ...request, model: "" } : request);
  const keys = new Set<string>();
  const labels = new Set<string>();
  for (const { path, state } of looking.tree.files) {
    if (state === "static") continue;
    const { asks } = await looking.foresight.foresee(path);
    if (asks === undefined || !asks.exact) labels.add(path);
    if (asks !== undefined) keys.add(keyOf(asks.request));
  }
  if (keys.size === 0 && labels.size === 0) {
    throw new UsageError(`--for ${source}: it has no generated files, so everything in ${store.name} would be removed`);
  }
  const isAsked = ({ request }: Recording) => keys.has(keyOf(request));
  const recorded = await store.list();
  if ("snapshot" in place && recorded.length > 0 && !recorded.some(isAsked)) {
    throw new UsageError(
      `--for ${source}: no recording in ${store.name} matches its requests, so all would be removed; ` +
        "pass the same --model, --content-prompt and --config as when they were recorded",
    );
  }
  const answered = new Set(recorded.filter(isAsked).map(({ request, answer }) => `${keyOf(request)} ${answer.text}`));
  return (recording) => {
    const repaired = repairWith(recording.label, recording.request);
    if (repaired === undefined) {
      return isAsked(recording) || labels.has(recording.label) || !recording.label.startsWith("/");
    }
    return labels.has(repaired.label) || answered.has(`${keyOf(repaired.request)} ${repaired.answer}`);
  };
}

function summarize({ key, label, request, answer }: Recording) {
  return { key, label, model: request.model, answeredBy: answer.model, ...answer.usage };
}

function formatLine({ key, label, request, answer }: Recording): string {
  const tokens =
    answer.usage === undefined ? "" : `  ${answer.usage.inputTokens} + ${answer.usage.outputTokens} tokens`;
  return `${key.slice(0, 16)}  ${printableLine(label) || "unnamed"}  ${printableLine(request.model)}${tokens}`;
}
