import { existsSync } from "node:fs";
import { configure } from "../../../app/configuration/configure.ts";
import { UsageError, UserError } from "../../../app/errors.ts";
import { placeOf, recordingsOf } from "../../../app/inspect.ts";
import { readAbout } from "../../../app/mount-info.ts";
import { findMountedFile } from "../../../app/running/mounted.ts";
import { parseLocation } from "../../../app/settings/model.ts";
import { type Config, readConfig } from "../../../app/settings/settings.ts";
import { messageOf } from "../../../errno.ts";
import type { Fault, RecordingStore } from "../../../recording/recording.ts";
import { hasOwnPrefix, schemeOf } from "../../../recording/stores/address.ts";
import { Complaints } from "../../../recording/stores/complaints.ts";
import { entriesOf, selectValid } from "../../../recording/stores/entries.ts";
import { openStore } from "../../../recording/stores/store.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { lookFlags } from "../../args/flags.ts";
import { person } from "../../output/ask.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { plural } from "../../output/quantity.ts";
import { say, show, showJson } from "../../output/terminal.ts";
import { createQuietLog } from "../../process/serve.ts";
import { copyStore, signStore } from "../../recordings/copy.ts";
import { formatDate, formatFault, formatRecording, summarize } from "../../recordings/lines.ts";
import { pruneStore, sourcesOf } from "../../recordings/prune.ts";

const ACTIONS = ["ls", "verify", "prune", "copy", "sign"] as const;
type Action = (typeof ACTIONS)[number];

export const recordings = defineCommand({
  args: defineFlags({
    action: {
      type: "positional",
      required: true,
      valueHint: "ls|verify|prune|copy|sign",
      description: "ls, verify, prune, copy or sign",
    },
    for: {
      type: "string",
      valueHint: "DIR|FILE",
      description: "prune: keep only what this mount or snapshot needs; separate several with commas",
    },
    owner: {
      type: "string",
      valueHint: "NAME",
      description:
        "prune: remove only recordings of this owner (LLMFS_OWNER); separate several with commas; -: those without an owner; *: those of all owners",
    },
    olderThan: {
      type: "string",
      valueHint: "AGE",
      description: "prune: remove only recordings that are older than this, such as 12h, 2w or 0; default: 1d",
    },
    overwrite: { type: "boolean", description: "copy: replace different answers in TO; by default they stay" },
    unsigned: {
      type: "boolean",
      description: "sign: also sign recordings without a signature, because you trust them",
    },
    dryRun: {
      type: "boolean",
      alias: "n",
      description: "prune, copy, sign: show what would be done, and change nothing",
    },
    ...lookFlags,
    recordings: {
      ...lookFlags.recordings,
      description:
        "where the recordings are (LLMFS_RECORDINGS); default: the same as for mount, or with --for DIR, where that mount keeps them",
    },
    json: { type: "boolean", description: "print the result as JSON" },
  }),
  rest: { hint: "FROM TO", description: "for copy: two folders or URLs", atLeast: 0 },
  notes: [
    "ls lists recordings with the date when each was written, if the store knows it. verify checks that each one is complete and belongs to its request, and exits with status " +
      `${EXIT.recordings.code} if one is not or does not. prune removes recordings that verify rejects and, with --for, recordings ` +
      "that are not needed. It keeps layouts, recordings of other versions of llmfs, and recordings with the signature of another key.",
    "A snapshot does not say how its files were requested, so give prune the same --model, --content-prompt and --config. " +
      "Without --model, it keeps the recordings of every model.",
    "In a store that others use too, prune needs to know whose recordings to remove: name an --owner, or use a prefix of " +
      "your own. With --dry-run it shows which recordings belong to which owner.",
    "copy adds the recordings of FROM to TO, and verifies each of them. It never replaces a different answer without " +
      `--overwrite, and exits with status ${EXIT.recordings.code} if there is one. If it is interrupted, run it again.`,
    "With LLMFS_RECORDINGS_KEY, only recordings that are signed with a key in that variable are valid. sign takes recordings signed " +
      "with one of the older keys, and signs them again with the first key.",
  ],
  async run(args, rest) {
    const action = ACTIONS.find((one) => one === args.action);
    if (action === undefined) throw new UsageError(`recordings ${args.action}: expected ${ACTIONS.join(", ")}`);
    requireFlagsOf(action, args);
    if (action !== "copy" && rest.length > 0) {
      throw new UsageError(`recordings ${action} takes no further argument; to name a store, use --recordings`);
    }
    try {
      if (action === "copy") return await copy(args, rest);
      const sources = args.for === undefined ? [] : sourcesOf(args.for);
      const config = await configure({ ...args, mode: "replay" }, person);
      const location = args.recordings === undefined ? await placeFor(sources, config) : config.recordings;
      requireOtherTrees(args, location, config.ownRecordings, sources);
      const { warn, log } = openLog(action === "verify" || action === "prune");
      await using _log = log;
      await using store = await open(location, config, warn);
      if (action === "ls") return await list(store.store, warn, args.json);
      if (action === "verify") return await verify(store.store, args.json);
      if (action === "prune") {
        const ownPrefix = hasOwnPrefix(location);
        return await pruneStore(store.store, args, { sources, ownPrefix, owner: config.owner });
      }
      await using plain = await open(location, { ...config, recordingKeys: [] }, warn);
      return await signStore(plain.store, store.store, config.recordingKeys, args);
    } catch (error) {
      if (error instanceof UserError || (error instanceof Error && error.name === "SnapshotError")) throw error;
      throw new UserError("recordings", messageOf(error), { cause: error });
    }
  },
});

interface ActionFlags {
  readonly for: string | undefined;
  readonly owner: string | undefined;
  readonly olderThan: string | undefined;
  readonly overwrite: boolean;
  readonly unsigned: boolean;
}

function requireFlagsOf(action: Action, args: ActionFlags): void {
  const flags: readonly (readonly [string, unknown, Action])[] = [
    ["--for", args.for, "prune"],
    ["--owner", args.owner, "prune"],
    ["--older-than", args.olderThan, "prune"],
    ["--overwrite", args.overwrite || undefined, "copy"],
    ["--unsigned", args.unsigned || undefined, "sign"],
  ];
  for (const [flag, value, only] of flags) {
    if (value !== undefined && action !== only) throw new UsageError(`${flag} works only with ${only}`);
  }
}

/** Actions that report every fault themselves need no warnings of them. */
function openLog(reportsFaults: boolean) {
  const log = createQuietLog();
  const warn = (message: string) => {
    if (!reportsFaults) log.write("warn", "recording", message);
  };
  return { log, warn };
}

interface OpenStore extends AsyncDisposable {
  readonly store: RecordingStore;
}

async function open(
  location: string,
  { ownRecordings: local, s3, recordingKeys: keys }: Config,
  warn: (message: string) => void,
  create = false,
): Promise<OpenStore> {
  if (!create && location !== local && schemeOf(location) === undefined && !existsSync(location)) {
    throw new UserError("recordings", `${location} does not exist; pass the folder that was used for recording`);
  }
  const store = await openStore(location, { mode: "replay", local, s3, keys, warn });
  return { store, [Symbol.asyncDispose]: async () => store.close?.() };
}

async function copy(
  args: { readonly dryRun: boolean; readonly overwrite: boolean; readonly json: boolean },
  places: readonly string[],
): Promise<number> {
  const [from, to, more] = places;
  if (from === undefined || to === undefined || more !== undefined) {
    throw new UsageError("recordings copy: expected FROM and TO, each a folder, redis://… or s3://BUCKET/PREFIX");
  }
  const config = readConfig({ mode: "replay" });
  const [source, target] = [parseLocation("FROM", from), parseLocation("TO", to)];
  if (source === target) throw new UsageError("recordings copy: FROM and TO are the same");
  const { log, warn } = openLog(false);
  await using _log = log;
  await using reading = await open(source, config, () => {});
  await using writing = await open(target, config, warn, true);
  return await copyStore(reading.store, writing.store, config.recordingKeys.length > 0, args);
}

function requireOtherTrees(
  { recordings: named, dryRun }: { readonly recordings: string | undefined; readonly dryRun: boolean },
  location: string,
  own: string,
  sources: readonly string[],
): void {
  if (sources.length === 0 || location !== own || named !== undefined || dryRun) return;
  throw new UsageError(
    `--for: ${own} has the recordings of all your trees; to remove those of other trees too, pass --recordings ${own}`,
  );
}

async function list(store: RecordingStore, warn: (message: string) => void, json: boolean): Promise<number> {
  const complaints = new Complaints(warn);
  const all = await selectValid(entriesOf(store), (fault) => complaints.add(fault.name, fault));
  if (json) showJson(all.map(({ recording, age }) => summarize(recording, age)));
  else show(all.map(({ recording, age }) => `${formatDate(age)}  ${formatRecording(recording)}\n`).join(""));
  return EXIT.ok.code;
}

async function verify(store: RecordingStore, json: boolean): Promise<number> {
  const faults: Fault[] = [];
  let whole = 0;
  for await (const { fault } of entriesOf(store)) {
    if (fault === undefined) whole += 1;
    else faults.push(fault);
  }
  if (json) showJson({ whole, faults });
  else for (const fault of faults) show(`${formatFault(fault)}\n`);
  const are = (count: number) => (count === 1 ? "is" : "are");
  const rest = faults.length === 0 ? "" : `, ${faults.length} ${are(faults.length)} not`;
  say(`${plural(whole, "recording")} ${are(whole)} valid${rest}`);
  return faults.length === 0 ? EXIT.ok.code : EXIT.recordings.code;
}

/** The recordings of the first mount among the sources. Without a mount, the recordings that a mount would use. */
async function placeFor(sources: readonly string[], config: Config): Promise<string> {
  for (const source of sources) {
    const place = await placeOf(source);
    if ("mounted" in place)
      return recordingsOf(config, await readAbout((await findMountedFile(place.mounted)).mountpoint));
  }
  return config.recordings;
}
