/**
 * Answers a generation request at once, if the model can recall the answer and nothing has to be waited for: then the request needs
 * no slot, no deadline and no signal. It takes the same steps as the engine, which answers all other requests.
 */
import type { LlmGenerator } from "../generators/builtin/llm.ts";
import type { FileContent, GeneratorLog } from "../generators/contract.ts";
import type { GeneratedContent, GenerationRequest, Recall } from "../rpc/generation.ts";
import { type BoundRequest, originOf, settingIn } from "./binding.ts";
import { deliverText } from "./content.ts";
import { addOrigin } from "./provenance.ts";

/** The parts of the engine that it uses. */
export interface RecallParts {
  bind(request: GenerationRequest): BoundRequest;
  usesModel(bound: BoundRequest): boolean;
  readonly llm: Pick<LlmGenerator, "recall">;
  loggerOf(path: string): GeneratorLog;
  describe(
    bound: BoundRequest,
    origin: string,
    content: Pick<GeneratedContent, "bytes">,
    about: FileContent["metadata"],
  ): GeneratedContent;
  /** The maximum size of content in bytes, if no rule has another. */
  readonly maxBytes: number;
  /** Called for each request that is answered. */
  onRecall(request: GenerationRequest): void;
}

export function createRecall(parts: RecallParts): Recall {
  function recall(bound: BoundRequest): GeneratedContent | undefined {
    const { request, binding } = bound;
    const { pause, settings, path } = request;
    const waits = pause > 0 || request.renews || request.again || request.rewrite !== undefined;
    if (waits || settings === undefined || !parts.usesModel(bound)) return undefined;
    const begun = performance.now();
    const maxBytes = binding.maxBytes ?? parts.maxBytes;
    const result = parts.llm.recall(originOf(request), {
      ...request,
      maxBytes,
      setting: (name) => settingIn(request, settings, name),
      log: parts.loggerOf(path),
    });
    if (typeof result?.content !== "string") return undefined;
    const origin = `${path}: generator "${binding.generator}"`;
    const content = deliverText(result.content, origin, { bytes: maxBytes });
    parts.onRecall(request);
    return addOrigin(parts.describe(bound, origin, content, result.metadata), binding.generator, begun);
  }

  return (request) => {
    try {
      return recall(parts.bind(request));
    } catch {
      // The engine fails for the same reason, and reports it.
      return undefined;
    }
  };
}
