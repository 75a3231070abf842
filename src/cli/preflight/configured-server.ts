/** Whether the model server of the settings can be used, for `llmfs doctor`. */
import { LlmError } from "../../llm/llm.ts";
import { modelsAt, rankModels } from "../../llm/models.ts";
import { chooseProvider, type ProviderLayer } from "../../llm/provider.ts";

/** The server from the environment, as it answers now: either `found` or `problem`. */
export interface ConfiguredServer {
  readonly host?: string;
  readonly found?: string;
  readonly problem?: string;
}

/** Asks the configured server for its models; undefined if none is configured. */
export async function askConfigured(providers: readonly ProviderLayer[]): Promise<ConfiguredServer | undefined> {
  const isSet = providers.some(({ apiKey, baseUrl, problem }) => (apiKey ?? baseUrl ?? problem) !== undefined);
  if (!isSet) return undefined;
  try {
    // A name makes it choose without a request. Which model is used does not matter here.
    const { baseUrl, apiKey, headers } = await chooseProvider([...providers, { from: "", model: "any" }]);
    const { host } = new URL(baseUrl);
    const offer = await modelsAt({ baseUrl, apiKey, headers }, CONFIGURED_MS);
    const { models, instead, refused, unreached } = offer;
    if (unreached !== undefined) return { host, problem: unreached.toLlmError(1, "").message };
    if (refused !== undefined) return { host, problem: `${host} answered ${refused}: it does not accept the key` };
    if (models === undefined) return { host, found: `it answers (${instead})` };
    const usable = rankModels(models).filter(({ unlikely }) => unlikely !== true);
    return { host, found: describeModels(usable.map(({ id }) => id)) };
  } catch (error) {
    if (error instanceof LlmError) return { problem: error.message };
    throw error;
  }
}

/** How long the configured server may take: it may be far away. */
const CONFIGURED_MS = 5000;
const MOST_MODELS = 8;

export function describeModels(names: readonly string[]): string {
  if (names.length === 0) return "no model that can chat";
  const more = names.length - MOST_MODELS;
  return `${names.slice(0, MOST_MODELS).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
