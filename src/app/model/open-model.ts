/** Opens the model of a mount: its provider, its budget and its recordings. */
import { shellWord } from "../../fuse/mounting/mountpoint.ts";
import type { Budget } from "../../generate/spending/budget.ts";
import type { UsageCounter } from "../../generate/spending/usage-counter.ts";
import { LAYOUT_LABEL, type LanguageModel, LlmError, type LlmErrorKind } from "../../llm/llm.ts";
import type { Log } from "../../log.ts";
import type { RecordingStore } from "../../recording/recording.ts";
import { explainShare, shareContext } from "../layout/context-share.ts";
import { CONCURRENCY } from "../mount-info.ts";
import type { Config } from "../settings/settings.ts";
import type { OpenedRecordings } from "./open-recordings.ts";

export interface OpenedModel {
  readonly model: LanguageModel;
  /** The model for requests without a model of their own. */
  readonly name: string;
  /** The address of the server, if one is used. */
  readonly server?: string;
  /** Allows as much again as --confirm-over: see Budget.allow. Absent without a server. */
  readonly allow?: Budget["allow"];
  /** The context of a local server in tokens, if it is known. */
  readonly contextLength?: number;
  /** The maximum tokens of a request for a file, if it is limited. */
  readonly contextTokens?: number;
  /** No server could be used, so only recordings answer. Open it again later: the server may be there by then. */
  readonly unserved?: true;
}

/** Where a model is used. */
interface ModelUse {
  readonly warn: (text: string) => void;
  /** The mount, once there is one; "" without a mount. */
  readonly mountpoint: () => string | undefined;
}

/** Rejects with LlmError. */
export async function openModel(
  config: Config,
  log: Log,
  { store, metrics }: OpenedRecordings,
  tally: UsageCounter,
  { warn, mountpoint }: ModelUse,
): Promise<OpenedModel> {
  const { DEFAULT_MODEL } = await import("../../llm/openai-service.ts");
  const named = config.providers.find(({ model }) => model !== undefined)?.model;
  const recorded = await findRecordedSettings(config, store);
  const usedBefore = named === undefined ? recorded.name : undefined;
  const said = named ?? (config.mode === "replay" ? usedBefore : undefined) ?? DEFAULT_MODEL;
  const asked =
    config.mode === "replay"
      ? undefined
      : await openProvider(config, log, { said, usedBefore, recorded }, tally, { warn, mountpoint });
  const name = asked?.name ?? said;
  const contextLength = asked?.contextLength ?? recorded.contextLengthOf(name);
  const share = shareContext(contextLength);
  const contextTokens = config.contextTokens ?? share.contextTokens;
  const explained = explainShare(share, { contextLength, contextTokens: config.contextTokens });
  if (explained !== undefined) log.notice("llm", explained);
  const about = {
    name,
    ...(contextLength !== undefined && { contextLength }),
    ...(contextTokens !== undefined && { contextTokens }),
    ...(asked?.server !== undefined && { server: asked.server }),
    ...(asked?.allow !== undefined && { allow: asked.allow }),
    ...(asked?.unserved && { unserved: asked.unserved }),
  };
  if (store === undefined) {
    if (asked === undefined) throw new Error("the model has neither a provider nor recordings");
    return { ...about, model: asked.model };
  }
  const { createRecordedModel } = await import("../../recording/recorded-model.ts");
  const say = log.withTag("recording");
  const { mode } = config;
  const model = createRecordedModel(asked?.model, store, {
    mode,
    warn: (text) => say.warn(text),
    log: (text) => say.info(text),
    ...(config.timeoutMs !== undefined && { waitMs: config.timeoutMs }),
    ...(config.owner !== undefined && { owner: config.owner }),
    ...(contextLength !== undefined && { contextLength }),
    ...(metrics !== undefined && { metrics }),
    required: config.recordingsRequired,
    claimsAtOnce: CLAIMS_AHEAD * (config.concurrency ?? CONCURRENCY),
  });
  return { ...about, model };
}

interface RecordedSettings {
  readonly name: string | undefined;
  /** The context of the server that a model's answers were recorded with. */
  readonly contextLengthOf: (name: string) => number | undefined;
}

/**
 * What a folder's recordings agree about: those of layouts, or else of some files near the root, which normally use the
 * model from the command line. A wrong guess does no harm: it makes a different request, which is not recorded.
 */
export async function findRecordedSettings(
  config: Pick<Config, "recordings">,
  store: RecordingStore | undefined,
): Promise<RecordedSettings> {
  const { schemeOf } = await import("../../recording/stores/address.ts");
  if (schemeOf(config.recordings) !== undefined) return { name: undefined, contextLengthOf: () => undefined };
  // A folder that cannot be read is reported when the first answer is looked up in it.
  const recordings = (await store?.near?.(LAYOUT_LABEL).catch(() => undefined)) ?? [];
  return {
    name: findOnly(recordings.map(({ request }) => request.model)),
    contextLengthOf: (name) =>
      findOnly(
        recordings.flatMap(({ request, answer }) =>
          request.model === name && answer.frozen === undefined ? [answer.contextLength] : [],
        ),
      ),
  };
}

/** Undefined if there are different values, or none. */
function findOnly<T>(values: readonly T[]): T | undefined {
  const different = new Set(values);
  return different.size === 1 ? values[0] : undefined;
}

/** Without a server, recordings may still answer every request, so this is reported only when one is missing. */
async function openProvider(
  config: Config,
  log: Log,
  {
    said,
    usedBefore,
    recorded,
  }: { readonly said: string; readonly usedBefore: string | undefined; readonly recorded: RecordedSettings },
  tally: UsageCounter,
  { warn, mountpoint }: ModelUse,
): Promise<Omit<OpenedModel, "contextTokens">> {
  const [{ chooseProvider }, { createOpenaiModel }, { createBudget }, { pricesAt }, { limitConcurrency }] =
    await Promise.all([
      import("../../llm/provider.ts"),
      import("../../llm/openai.ts"),
      import("../../generate/spending/budget.ts"),
      import("../../llm/prices.ts"),
      import("../../generate/spending/limit-concurrency.ts"),
    ]);
  const [{ checkContext }, { findContextLength }] = await Promise.all([
    import("../../generate/spending/context-check.ts"),
    import("../../llm/context-length.ts"),
  ]);
  const say = log.withTag("llm");
  try {
    const provider = await chooseProvider(config.providers, usedBefore === undefined ? {} : { usedBefore });
    const place = `${provider.model} at ${new URL(provider.baseUrl).host} (${provider.source})`;
    if (provider.others === undefined) say.info(`using ${place}`);
    else log.notice("llm", `no model was given; using ${place}. ${suggestAnotherModel(provider.others)}`);
    const settings = { ...provider, ...timeouts(config.timeoutMs), log: (text: string) => say.info(text) };
    const priceOf = pricesAt(provider.baseUrl, new Map(config.prices));
    const budget = createBudget({
      limits: config.limits,
      ...(config.confirmOver && { confirmOver: config.confirmOver }),
      howToAllow() {
        const at = mountpoint();
        return at ? `run: llmfs allow ${shellWord(at)}` : undefined;
      },
      priceOf,
      warn,
    });
    tally.readSpending = () => budget.spent;
    const { host, protocol } = new URL(provider.baseUrl);
    const server = createOpenaiModel(settings);
    // Services on the internet report requests that are too long, and may not count what they have cached.
    const checked = protocol === "http:" ? checkContext(server, { host, warn }) : server;
    const model = tally.follow(limitConcurrency(budget.limit(checked), config.concurrency ?? CONCURRENCY));
    const contextLength = await findContextLength(provider, { recorded: recorded.contextLengthOf(provider.model) });
    return {
      name: provider.model,
      model,
      server: provider.baseUrl,
      allow: budget.allow,
      ...(contextLength !== undefined && { contextLength }),
    };
  } catch (error) {
    const unusable = error instanceof LlmError && UNUSABLE.has(error.kind);
    if (!unusable || config.mode !== "auto") throw error;
    return { name: said, model: { complete: () => Promise.reject(error) }, unserved: true };
  }
}

const UNUSABLE: ReadonlySet<LlmErrorKind> = new Set(["unconfigured", "refused-key", "no-connection"]);

/** How to choose another model, if none was given. */
function suggestAnotherModel(others: readonly string[]): string {
  const shown = others.slice(0, 5).join(", ");
  const more = others.length > 5 ? ` and ${others.length - 5} more` : "";
  return `Choose another with --model or LLMFS_MODEL${others.length === 0 ? "" : `: ${shown}${more}`}`;
}

/** The name of the model, if it is known but its price is not. */
export async function withoutPriceIn({ providers, prices, mode }: Config): Promise<string | undefined> {
  if (mode === "replay") return undefined;
  const [{ DEFAULT_MODEL, OPENAI_BASE_URL }, { pricesAt, withoutPrice }] = await Promise.all([
    import("../../llm/openai-service.ts"),
    import("../../llm/prices.ts"),
  ]);
  const named = providers.find(({ model }) => model !== undefined)?.model;
  const url = providers.find(({ baseUrl }) => baseUrl !== undefined)?.baseUrl;
  const openai = url === undefined && providers.some(({ apiKey }) => apiKey !== undefined);
  const model = named ?? (openai ? DEFAULT_MODEL : undefined);
  if (model === undefined) return undefined;
  const priceOf = pricesAt(openai ? OPENAI_BASE_URL : (url ?? ""), new Map(prices));
  return priceOf(model) === undefined ? withoutPrice(model) : undefined;
}

/** No wait within an answer may exceed the limit for the whole answer. */
function timeouts(totalMs: number | undefined) {
  if (totalMs === undefined) return {};
  return { timeouts: { totalMs, firstByteMs: totalMs, stallMs: totalMs } };
}

/** Claims per request to the model: a claim takes several round trips to the store before and after the request. */
const CLAIMS_AHEAD = 2;
