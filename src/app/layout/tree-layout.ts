/** Turns a prompt into the snapshot that a mount starts from. */
import { generateStructure, previewStructure } from "../../generate/structure/structure.ts";
import { adapt, PLAIN_DIALECT } from "../../llm/dialect.ts";
import type { LanguageModel } from "../../llm/llm.ts";
import type { Log } from "../../log.ts";
import { structureToSnapshot } from "../../snapshot/structure.ts";
import type { Progress } from "../progress.ts";
import type { Config } from "../settings/settings.ts";
import { keepFailedAnswer } from "./failed-answer.ts";
import { reportLayout } from "./layout-progress.ts";
import { type LayoutModel, layoutRequestOptions } from "./request-options.ts";

export interface TreeLayoutOptions {
  readonly prompt: string;
  /** An instruction for the content of every file, which the root gets in addition to the prompt. */
  readonly guide: string | undefined;
  readonly model: LanguageModel;
  readonly name: string;
  readonly contextLength?: number;
  /** The address of the server, if one is used. */
  readonly server?: string;
  readonly config: Pick<Config, "layoutTokens" | "concurrency" | "depends" | "mode">;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Rejects with LlmError. */
export async function layOutTree(options: TreeLayoutOptions): Promise<Uint8Array> {
  const { prompt, guide, model, name, contextLength, server, config, progress, signal, log } = options;
  if (server !== undefined) progress.step(`laying out the tree (${name})`);
  else if (config.mode === "replay") progress.step("laying out the tree (from recordings)");
  else progress.step("no model server can be used; looking for a recorded layout");
  const structure = await generateStructure({
    prompt,
    model,
    ...layoutRequestOptions(config, { name, contextLength }),
    signal,
    onProgress: reportLayout(progress),
    ...(config.concurrency === undefined ? {} : { concurrency: config.concurrency }),
  }).catch((error: unknown) => {
    throw keepFailedAnswer(error);
  });
  const { inputTokens, outputTokens } = structure.usage;
  log
    .withTag("generate")
    .info(
      `${structure.entries.length - 1} entries laid out by ${structure.model}; ${inputTokens} + ${outputTokens} tokens`,
    );
  for (const text of shorten(structure.leftOut)) log.write("warn", "generate", text);
  const entries = structure.entries.map((entry) =>
    entry.path === "/" && entry.type === "directory" && guide !== undefined
      ? { ...entry, prompt: `${entry.prompt ?? ""}\n\n${guide}`.trim() }
      : entry,
  );
  return Buffer.from(structureToSnapshot(entries, "the tree the model laid out"));
}

/** The body of the first request that `layOutTree` sends. A server that rejects a part of it gets a simpler one then. */
export async function showLayoutRequest(
  prompt: string,
  config: TreeLayoutOptions["config"],
  model: LayoutModel,
): Promise<Readonly<Record<string, unknown>>> {
  return adapt(await previewStructure({ prompt, ...layoutRequestOptions(config, model) }), PLAIN_DIALECT);
}

/** What the tree has without it, in a few lines. */
function shorten(leftOut: readonly string[]): readonly string[] {
  const shown = leftOut.slice(0, MOST_WARNINGS).map((text) => `left out of the layout: ${text}`);
  const more = leftOut.length - shown.length;
  return more > 0 ? [...shown, `${more} more uses were left out of the layout`] : shown;
}

const MOST_WARNINGS = 10;
