/** Inspects a tree without changing it, for `context`, `plan`, `why` and `recordings prune`. */

import { statSync } from "node:fs";
import { DEFAULT_GENERATOR, GENERATOR, ORIGIN } from "../attributes.ts";
import { codeOf, messageOf } from "../errno.ts";
import { isMissingError } from "../generate/context/dependencies.ts";
import { rulesOf } from "../generators/config/rule-summary.ts";
import type { Rules } from "../generators/config/rules.ts";
import { DEFAULT_MODEL, OPENAI_BASE_URL } from "../llm/openai-service.ts";
import { type PriceOf, pricesAt } from "../llm/prices.ts";
import type { Log } from "../log.ts";
import { createForesight, type Foresight } from "../offline/dry-run.ts";
import { OfflineTree } from "../offline/offline-tree.ts";
import type { RecordingStore } from "../recording/recording.ts";
import { openStore } from "../recording/stores/store.ts";
import type { FileInfo } from "../rpc/tree-port.ts";
import type { Person } from "./configuration/choose.ts";
import { configure } from "./configuration/configure.ts";
import { locate } from "./configuration/locate.ts";
import { loadGenerators } from "./configured-generators.ts";
import { UserError } from "./errors.ts";
import { absolutePath } from "./machine/current-directory.ts";
import { findRecordedSettings } from "./model/open-model.ts";
import { type About, describeConfig, readAbout } from "./mount-info.ts";
import { describePlace, findPlace } from "./place.ts";
import type { Say } from "./progress.ts";
import { requireAnswer } from "./running/answering.ts";
import { findMount } from "./running/find-mount.ts";
import { findMountedFile, readControlFile, readServingEnvironment } from "./running/mounted.ts";
import { type Config, mountEnvironment } from "./settings/settings.ts";
import type { SettingsArguments } from "./settings/table.ts";

/** A path in a running mount, or a snapshot file, with `text` as it would be now. */
export type TreePlace = { readonly mounted: string } | { readonly snapshot: string; readonly text?: Uint8Array };

export interface Looking extends AsyncDisposable {
  readonly tree: OfflineTree;
  readonly foresight: Foresight;
  /** The settings of the tree: from the mount if it is mounted, otherwise from the flags. */
  readonly about: About;
  readonly modelName: string;
  readonly store: RecordingStore | undefined;
  readonly priceOf: PriceOf;
  /** Where the rule for a file is: "/work/llmfs.config.yaml:4, rule 1 (notes/*.md)". Undefined without a rule. */
  findRule(file: FileInfo): Promise<string | undefined>;
}

export interface LookOptions {
  readonly log: Log;
  readonly person: Person;
  /** What this process generates files of the snapshot with, if it does. */
  readonly inUse?: About;
}

/** A directory means a mount, anything else a snapshot. Without `source`, the mount that contains the current directory. */
export async function placeOf(source: string | undefined): Promise<TreePlace> {
  if (source === undefined) return { mounted: describePlace(await findPlace(source)) };
  const known = findMount(source);
  if (known !== undefined) await requireAnswer(known.mount);
  const path = absolutePath(source);
  try {
    return statSync(path).isDirectory() ? { mounted: source } : { snapshot: source };
  } catch (error) {
    if (codeOf(error) === "ENOENT") throw new UserError("snapshot", `${source} does not exist`);
    throw new UserError("snapshot", `cannot use ${source}: ${messageOf(error)}`, { cause: error });
  }
}

/** A file in a mount or in a snapshot (`tree.json/a.md`); with `from`, a path in that snapshot. Rejects with UserError. */
export async function fileAt(
  named: string,
  from: string | undefined,
): Promise<{ readonly place: TreePlace; readonly path: string }> {
  if (from !== undefined) return { place: { snapshot: from }, path: `/${named.replace(/^\/+/, "")}` };
  const found = await findPlace(named);
  if (found.kind === "snapshot" && found.path === "/") {
    throw new UserError("notMounted", `${named} is not in an llmfs mount, nor in a snapshot such as tree.json/a.md`);
  }
  return { place: found.kind === "mount" ? { mounted: named } : { snapshot: found.file }, path: found.path };
}

/** Rejects with UserError if the tree has nothing at the path. `named`: as the user called it. */
export async function statFile({ tree }: Looking, path: string, named: string): Promise<FileInfo> {
  try {
    return await tree.port.stat(path);
  } catch (error) {
    if (!isMissingError(error)) throw error;
    throw new UserError("input", `${named} does not exist`, { cause: error });
  }
}

/**
 * Flags override the settings that a mount reports. A mount also reports its rules, so its configuration is loaded only if
 * `--config` names it. Throws UserError and SnapshotError.
 */
export async function lookAt(
  place: TreePlace,
  args: SettingsArguments,
  { log, person, inUse }: LookOptions,
): Promise<Looking> {
  const mountpoint = "mounted" in place ? (await findMountedFile(place.mounted)).mountpoint : undefined;
  const known = mountpoint !== undefined && args.config === undefined;
  const config = await configure({ ...args, logFile: "-", ...(known && { config: "none" }) }, person);
  const own = describeConfig(config);
  const about =
    mountpoint === undefined ? (inUse ?? own) : { ...(await readAbout(mountpoint)), ...useGiven(args, own) };
  const source =
    "snapshot" in place
      ? place.text === undefined
        ? { file: absolutePath(place.snapshot) }
        : { text: place.text }
      : { text: await readControlFile(mountpoint ?? "", "snapshot.json") };
  const warn = (message: string) => log.write("warn", "recording", message);
  const { mode, recordings, ownRecordings: local, s3, recordingKeys: keys } = config;
  const location = args.recordings === undefined ? recordingsOf(config, about) : recordings;
  const store =
    about.mode === "off" ? undefined : await openStore(location, { mode, local, s3, keys, warn, lookOnly: true });
  // The mount's generators use the environment of the mount, not that of this shell.
  const environment = mountpoint === undefined ? {} : readServingEnvironment(mountpoint);
  const print = (line: string) => log.withTag("generate").info(line);
  const configured =
    config.configuration === undefined
      ? undefined
      : await loadGenerators(config.configuration, { print, environment: mountEnvironment(environment) });
  const rules = known ? mountedRules(about, person.say) : configured?.rules;
  const tree = new OfflineTree(source, {
    warn: (message) => log.write("warn", "snapshot", message),
    sharedBy: about.sharedBy,
    // A mount has them already.
    ...(mountpoint === undefined
      ? { plants: configured?.plants }
      : { listing: rules?.all.some(({ lists, looksUp }) => lists || looksUp) ?? false }),
  });
  const modelName = about.model ?? (mountpoint === undefined ? await guessModel(config, store) : DEFAULT_MODEL);
  return {
    tree,
    about,
    modelName,
    store,
    findRule: (file) => describeRule(file, rules, about.configFile),
    priceOf: pricesAt(about.server ?? OPENAI_BASE_URL, new Map(about.prices)),
    foresight: createForesight({
      tree,
      modelName,
      ...(about.contextTokens !== undefined && { contextTokens: about.contextTokens }),
      ...(rules !== undefined && { rules }),
      contentPrompt: about.contentPrompt,
      depends: about.depends ?? true,
      ...(store === undefined ? {} : { store }),
    }),
    async [Symbol.asyncDispose]() {
      await store?.close?.();
      await configured?.[Symbol.asyncDispose]();
    },
  };
}

/** The line is that in the file as it is now. */
async function describeRule({ path, xattrs }: FileInfo, rules: Rules | undefined, file = "the configuration") {
  const rule = rules?.find(xattrs.get(ORIGIN) ?? path, xattrs.get(GENERATOR) ?? DEFAULT_GENERATOR);
  if (rule === undefined) return undefined;
  const line = rule.index === undefined ? undefined : await locate(file, ["rules", rule.index]);
  return `${file}${line === undefined ? "" : `:${line}`}, ${rule.name} (${rule.match.source})`;
}

/** No server is asked for its models. The recordings of this tree are probably of the model that will be used again. */
async function guessModel(config: Config, store: RecordingStore | undefined): Promise<string> {
  const server = config.providers.find(({ baseUrl }) => baseUrl)?.baseUrl;
  const openai = server?.startsWith(OPENAI_BASE_URL) ?? config.providers.some(({ apiKey }) => apiKey);
  if (openai && config.mode !== "replay") return DEFAULT_MODEL;
  return (await findRecordedSettings(config, store)).name ?? DEFAULT_MODEL;
}

/** A mount does not report the password of its store. The environment may have it for the same store. */
export function recordingsOf(config: Config, { recordings }: Pick<About, "recordings">): string {
  return describeConfig(config).recordings === recordings ? config.recordings : recordings;
}

function mountedRules({ configFile, rules }: About, say: Say): Rules | undefined {
  if (configFile !== undefined) say(`configuration: ${configFile}, as mounted`);
  try {
    return rules === undefined ? undefined : rulesOf(rules);
  } catch (error) {
    throw new UserError("notMounted", `another version of llmfs serves this mount: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Only the given flags. All other settings come from the mount. */
function useGiven(args: SettingsArguments, own: About): Partial<About> {
  return {
    ...(args.model !== undefined && own.model !== undefined && { model: own.model }),
    ...(args.baseUrl !== undefined && own.server !== undefined && { server: own.server }),
    ...(args.contentPrompt !== undefined && own.contentPrompt !== undefined && { contentPrompt: own.contentPrompt }),
    ...(args.contextTokens !== undefined && own.contextTokens !== undefined && { contextTokens: own.contextTokens }),
    ...(args.noDepends === true && { depends: false }),
    ...(args.recordings !== undefined && { recordings: own.recordings, mode: own.mode }),
    ...(args.price !== undefined && { prices: own.prices }),
  };
}
