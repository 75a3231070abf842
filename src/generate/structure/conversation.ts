/** One request of a layout, and the requests that correct its answer. */
import { type ChatMessage, type ChatRequest, LAYOUT_LABEL, type LanguageModel, LlmError } from "../../llm/llm.ts";
import { repairPrompt } from "../context/prompts.ts";
import { DEFAULT_FILES_PER_ANSWER, structureInstructions } from "./instructions.ts";
import { type Proposal, type ProposalPlace, readProposal, type StructureLimits } from "./proposal.ts";
import { createStructureSchema } from "./schema.ts";
import type { StructureProgressTracker } from "./structure-progress.ts";

/** What goes into every request of a layout, and is therefore part of its keys. */
export interface RequestOptions {
  readonly modelName: string;
  readonly temperature?: number;
  /** The maximum length of an answer in tokens. Default: that of the server. */
  readonly maxTokens?: number;
  /** Whether files name the files that they are written from. Default: true. */
  readonly uses?: boolean;
  /** The number of files above which a tree is laid out in several answers. Default: 200. */
  readonly filesPerAnswer?: number;
}

export interface ConversationOptions extends RequestOptions {
  readonly model: LanguageModel;
  readonly signal?: AbortSignal;
  readonly limits: StructureLimits;
  /** How often an answer may be sent back for correction. */
  readonly repairs: number;
}

/** Longer answers are not quoted in full: the model starts again from the list of problems. */
const MAX_QUOTED_ANSWER = 60_000;

/** A request without corrections. `user` is the user's message. */
export function createLayoutRequest(user: string, options: RequestOptions): ChatRequest {
  const { modelName, temperature, maxTokens, uses = true, filesPerAnswer = DEFAULT_FILES_PER_ANSWER } = options;
  return {
    model: modelName,
    messages: [
      { role: "system", content: structureInstructions({ uses, filesPerAnswer }) },
      { role: "user", content: user },
    ],
    schema: createStructureSchema({ uses }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { maxTokens }),
  };
}

/**
 * Requests one proposal, with repairs if needed. If this fails for any reason, even a failure of another part of the
 * layout, the recordings of rejected answers are deleted, because they would use up the repairs of the next attempt. A
 * rejected answer that was repaired stays recorded, because the request for the repair contains it.
 *
 * `asked` gets all requests that were sent.
 */
export async function propose(
  user: string,
  place: ProposalPlace,
  options: ConversationOptions,
  meter: StructureProgressTracker,
  asked: ChatRequest[],
): Promise<Proposal> {
  const rejected: ChatRequest[] = [];
  try {
    return await converse(user, place, options, meter, asked, rejected);
  } catch (error) {
    for (const useless of rejected) await options.model.forget?.(useless);
    throw error;
  }
}

async function converse(
  user: string,
  place: ProposalPlace,
  options: ConversationOptions,
  meter: StructureProgressTracker,
  asked: ChatRequest[],
  rejected: ChatRequest[],
): Promise<Proposal> {
  const { model, modelName, repairs, signal, limits } = options;
  const { within = "" } = place;
  const first = createLayoutRequest(user, options);
  let conversation = first.messages;
  for (let repair = 0; ; repair += 1) {
    const progress = meter.begin();
    const request = { ...first, messages: conversation };
    asked.push(request);
    const answer = await model.complete(request, {
      label: within === "" ? LAYOUT_LABEL : `${LAYOUT_LABEL} of ${within}`,
      onText: progress,
      ...(signal && { signal }),
    });
    meter.noteAnswer(answer.model, answer.usage);
    const final = repair === repairs;
    const proposal = readProposal(answer.text, limits, { ...place, final });
    if ("entries" in proposal) {
      meter.noteProposal(progress, proposal);
      return proposal;
    }
    rejected.push(request);
    if (final) throw createUnusableError(modelName, repair + 1, proposal.problems, answer.text);
    meter.noteRejection(progress, proposal.problems);
    const quoted = answer.text.length <= MAX_QUOTED_ANSWER ? answer.text : `${answer.text.slice(0, 2000)}\n…`;
    const correction: readonly ChatMessage[] = [
      { role: "assistant", content: quoted },
      { role: "user", content: repairPrompt(proposal.problems) },
    ];
    // The conversation must grow: the same request would get the same answer again, from its recording.
    conversation = [...conversation, ...correction];
  }
}

function createUnusableError(
  modelName: string,
  answers: number,
  problems: readonly string[],
  answer: string,
): LlmError {
  const listed = problems.map((problem) => `\n  - ${problem}`).join("");
  const cure = "try a clearer or smaller prompt, or another model";
  return new LlmError(
    "unusable",
    `${modelName} did not return a usable tree in ${answers} answers; ${cure}. Problems of its last answer:${listed}`,
    { answer },
  );
}
