/** `llmfs recordings prune`: decides what is needed and whose it is, and reports what goes and what stays. */
import { existsSync } from "node:fs";
import { UsageError } from "../../app/errors.ts";
import { lookAt, placeOf } from "../../app/inspect.ts";
import { parseOwner } from "../../app/settings/model.ts";
import { parseAge } from "../../app/settings/values.ts";
import { repairWith } from "../../generators/builtin/llm.ts";
import type { ChatRequest } from "../../llm/llm.ts";
import { requestKey } from "../../recording/key.ts";
import {
  countByOwner,
  type PruneOptions,
  removeEntries,
  type Selection,
  selectForPrune,
} from "../../recording/prune.ts";
import type { Recording, RecordingStore, StoreEntry } from "../../recording/recording.ts";
import { entriesOf } from "../../recording/stores/entries.ts";
import { person } from "../output/ask.ts";
import { EXIT } from "../output/exit-codes.ts";
import { say, show, showJson } from "../output/terminal.ts";
import { createQuietLog } from "../process/serve.ts";
import { formatEntry, summarize } from "./lines.ts";

type LookArgs = Parameters<typeof lookAt>[1];

export interface PruneArgs extends LookArgs {
  readonly owner: string | undefined;
  readonly olderThan: string | undefined;
  readonly dryRun: boolean;
  readonly json: boolean;
}

export interface PruneScope {
  /** Mounts and snapshots whose recordings are needed. Without any, only damaged recordings are removed. */
  readonly sources: readonly string[];
  /** Whether everything in the store can be expected to belong to whoever names it. */
  readonly ownPrefix: boolean;
  /** From the environment; a flag replaces it. */
  readonly owner: string | undefined;
}

/** Younger recordings may be of a mount that is being filled at this moment. */
const LEAST_AGE = "1d";
/** How `--owner` names recordings without an owner, and everybody. */
const NOBODY = "-";
const EVERYBODY = "*";

export async function pruneStore(store: RecordingStore, args: PruneArgs, scope: PruneScope): Promise<number> {
  const { sources } = scope;
  const leastAgeMs = parseAge("--older-than", args.olderThan ?? LEAST_AGE);
  const owners = readOwners(args.owner, scope.owner);
  const entries: StoreEntry[] = [];
  for await (const entry of entriesOf(store)) entries.push(entry);
  const recorded = entries.flatMap(({ recording }) => recording ?? []);
  const keep = sources.length === 0 ? () => true : await findNeededBy(sources, args, store.name, recorded);
  const options: PruneOptions = { keep, leastAgeMs, ...(owners instanceof Set && { owners }) };
  const selection = selectForPrune(entries, options);
  const problem = owners === undefined ? explainMissingOwner(store, selection, sources, scope.ownPrefix) : undefined;
  if (problem !== undefined && !args.dryRun) throw new UsageError(problem);
  if (!args.dryRun) await removeEntries(store, selection.remove);
  report(selection, args, leastAgeMs);
  if (problem !== undefined) say(`without --dry-run, this would be an error: ${problem}`);
  return EXIT.ok.code;
}

/** Undefined: nobody was named. */
function readOwners(flag: string | undefined, variable: string | undefined): ReadonlySet<string> | "all" | undefined {
  if (flag === undefined) return variable === undefined ? undefined : new Set([variable]);
  const names = flag.split(",").map((name) => name.trim());
  if (names.includes(EVERYBODY)) return "all";
  return new Set(names.map((name) => (name === NOBODY ? "" : parseOwner("--owner", name))));
}

/** Why this may remove the recordings of others; undefined if it does not. */
function explainMissingOwner(
  store: RecordingStore,
  { remove, young }: Selection,
  sources: readonly string[],
  ownPrefix: boolean,
): string | undefined {
  const counts = countByOwner([...remove, ...young]);
  const named = [...counts.keys()].some((owner) => owner !== "");
  if (counts.size === 0 || (ownPrefix && !named)) return undefined;
  const shared = ownPrefix ? "has recordings of several owners" : "is shared by everybody who names no prefix";
  return (
    `${store.name} ${shared}. ${sources.join(", ")} does not need ${formatCounts(counts)}. Say whose to remove with ` +
    `--owner NAME or LLMFS_OWNER (--owner ${NOBODY} for those without an owner, --owner '${EVERYBODY}' for all)`
  );
}

function formatCounts(counts: ReadonlyMap<string, number>): string {
  const parts = [...counts].map(([owner, count]) => `${count} ${owner === "" ? "without an owner" : `of ${owner}`}`);
  return parts.join(", ");
}

function report(selection: Selection, { dryRun, json }: PruneArgs, leastAgeMs: number): void {
  const { remove, kept, young, others } = selection;
  if (json) {
    showJson({
      recordings: remove.flatMap(({ recording, age }) => (recording === undefined ? [] : summarize(recording, age))),
      faults: remove.flatMap(({ fault }) => fault ?? []),
      kept: kept.length,
      young: young.length,
      others: Object.fromEntries(countByOwner(others)),
    });
  } else for (const entry of remove) show(`${formatEntry(entry)}\n`);
  const whose = countByOwner(remove);
  const names = whose.size > 1 || (whose.size === 1 && !whose.has("")) ? ` (${formatCounts(whose)})` : "";
  const parts = [
    `${remove.length} ${dryRun ? "would be removed" : "removed"}${names}`,
    `${kept.length} kept`,
    ...(young.length === 0 ? [] : [`${young.length} left because they are too young or of unknown age`]),
    ...(others.length === 0 ? [] : [`${others.length} left to their owners (${formatCounts(countByOwner(others))})`]),
  ];
  say(parts.join(", "));
  if (young.length > 0) {
    const least = `${leastAgeMs / 3_600_000} h`;
    say(`recordings younger than ${least} may be of a mount that is being filled; --older-than 0 includes them`);
  }
}

type Keep = (recording: Recording) => boolean;

/** The name of an existing file may contain a comma. */
export function sourcesOf(text: string): readonly string[] {
  return existsSync(text) ? [text] : text.split(",").map((source) => source.trim());
}

async function findNeededBy(
  sources: readonly string[],
  args: LookArgs,
  storeName: string,
  recorded: readonly Recording[],
): Promise<Keep> {
  const keeps: Keep[] = [];
  for (const source of sources) keeps.push(await findNeeded(source, args, storeName, recorded));
  return (recording) => keeps.some((keep) => keep(recording));
}

/** Keeps the current request of every file, every recording of a file whose request is not known exactly, and layouts. */
async function findNeeded(
  source: string,
  args: LookArgs,
  storeName: string,
  recorded: readonly Recording[],
): Promise<Keep> {
  await using log = createQuietLog();
  const place = await placeOf(source);
  await using looking = await lookAt(place, { ...args, recordings: args.recordings }, { log, person });
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
    throw new UsageError(`--for ${source}: it has no generated files, so everything in ${storeName} would be removed`);
  }
  const isAsked = ({ request }: Recording) => keys.has(keyOf(request));
  if ("snapshot" in place && recorded.length > 0 && !recorded.some(isAsked)) {
    throw new UsageError(
      `--for ${source}: no recording in ${storeName} matches its requests, so all would be removed; ` +
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
