/**
 * From a prompt to a validated tree.
 *
 * One request lays the whole out; directories it leaves unfinished are worked out in further requests, in parallel,
 * each of which depends on the prompt and on the answer it continues, never on its neighbours: so that recordings
 * answer them all, in any order. An answer that breaks a rule is sent back with the rules it breaks, a few times; then
 * the whole fails, before anything is mounted.
 */
import { type ChatMessage, type ChatRequest, type LanguageModel, LlmError } from "../../llm/llm.ts";
import { comparePaths, renderOutline } from "../context/outline.ts";
import { repairPrompt, roundPrompt, STRUCTURE_INSTRUCTIONS, structurePrompt } from "../context/prompts.ts";
import { redact } from "../context/redact.ts";
import { Semaphore } from "../spending/semaphore.ts";
import {
  checkWhole,
  DEFAULT_LIMITS,
  type Proposal,
  type ProposedEntry,
  readProposal,
  STRUCTURE_SCHEMA,
  type StructureLimits,
  type Unfinished,
} from "./proposal.ts";
import { type StructureProgress, StructureProgressTracker } from "./structure-progress.ts";

export type { ProposedEntry, StructureLimits } from "./proposal.ts";
export type { StructureProgress } from "./structure-progress.ts";

export interface StructureOptions {
  readonly prompt: string;
  readonly model: LanguageModel;
  readonly modelName: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StructureProgress) => void;
  readonly limits?: Partial<StructureLimits>;
  /** How often one answer may be sent back. Default 2. */
  readonly repairs?: number;
  /** Requests at once. Default 4. */
  readonly concurrency?: number;
  readonly temperature?: number;
  /** The longest answer, in tokens. Absent: the server's default. Part of the requests' keys. */
  readonly maxTokens?: number;
  /** Default true: what looks like a secret in the prompt is taken out of what is sent. */
  readonly redact?: boolean;
}

export interface Structure {
  /**
   * The tree, implied directories included; a directory stands before what it holds. The first entry is the root,
   * with the prompt, which so guides the content of every file too.
   *
   * Whoever builds the tree makes `description` the entry's `user.llmfs.description` and `prompt` its
   * `user.llmfs.prompt`, and leaves unset what is absent or empty: requests for content are made of them, and
   * recordings of such requests hold elsewhere only if that is done alike.
   */
  readonly entries: readonly ProposedEntry[];
  /** The model as the server names it. */
  readonly model: string;
  readonly usage: { readonly inputTokens: number; readonly outputTokens: number };
  readonly requests: number;
}

/** How far unfinished directories may lead to further unfinished ones. */
const MAX_ROUNDS = 4;
/** Longer answers are not quoted back: the model starts afresh from the list of problems. */
const MAX_QUOTED_ANSWER = 60_000;
const OUTLINE_BUDGET = 4_000;
const MOST_TOLD = 20;

/** Rejects with LlmError and nothing else; with kind "unusable" when no answer kept the rules. */
export async function generateStructure(options: StructureOptions): Promise<Structure> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const prompt = (options.redact === false ? options.prompt : await redact(options.prompt)).trim();
  if (prompt === "") throw new LlmError("bad-request", "the prompt is empty; say what the tree should hold");
  const slots = new Semaphore(options.concurrency ?? 4);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const meter = new StructureProgressTracker(options.onProgress);
  const entries = new Map<string, ProposedEntry>();

  /** Kept, their recordings would make the same prompt fail for ever. */
  const asked: ChatRequest[] = [];
  async function createTooLargeError(problems: readonly string[]): Promise<LlmError> {
    for (const useless of asked) await options.model.forget?.(useless);
    const listed = problems.slice(0, MOST_TOLD).map((problem) => `\n  - ${problem}`);
    return new LlmError(
      "unusable",
      `${options.modelName} gave no usable tree; ask for less, or again:${listed.join("")}`,
    );
  }

  async function runRound(
    messages: readonly ChatMessage[],
    part: Unfinished | undefined,
    depth: number,
  ): Promise<Proposal> {
    using _slot = await slots.take(signal);
    const place = { within: part?.path ?? "", last: depth === MAX_ROUNDS };
    return await propose(messages, place, { ...options, signal }, limits, meter, asked);
  }

  async function grow(proposal: Proposal, depth: number): Promise<void> {
    for (const entry of proposal.entries) entries.set(entry.path, entry);
    if (entries.size > limits.entries) {
      throw await createTooLargeError([`${entries.size} entries so far; at most ${limits.entries} are allowed`]);
    }
    if (proposal.unfinished.length === 0) return;
    const expected = proposal.unfinished.reduce((sum, { files }) => sum + files, entries.size);
    if (expected > limits.entries) {
      throw await createTooLargeError([
        `it would have about ${expected} entries; at most ${limits.entries} are allowed`,
      ]);
    }
    meter.expect(proposal.unfinished.length);
    const outline = proposal.entries;
    const rounds = proposal.unfinished.map(async (part) => {
      const user = roundPrompt(
        prompt,
        await renderOutline(outline, part.path, OUTLINE_BUDGET),
        part.path.slice(1),
        part.brief,
        part.files,
      );
      await grow(await runRound(request(user), part, depth + 1), depth + 1);
    });
    try {
      await Promise.all(rounds);
    } catch (error) {
      stop.abort(error);
      await Promise.allSettled(rounds);
      throw error;
    }
  }

  try {
    meter.expect(1);
    await grow(await runRound(request(structurePrompt(prompt)), undefined, 0), 0);
  } catch (error) {
    if (error instanceof LlmError) throw error;
    if (signal.aborted) throw new LlmError("cancelled", "laying out the tree was cancelled");
    throw error;
  }
  const sorted = [...entries.values()].sort((a, b) => comparePaths(a.path, b.path));
  const problems = checkWhole(sorted, limits);
  if (problems.length > 0) throw await createTooLargeError(problems);
  return {
    entries: [{ type: "directory", path: "/", prompt }, ...sorted],
    model: meter.model ?? options.modelName,
    usage: meter.usage,
    requests: meter.requests,
  };
}

/**
 * One proposal, with the repairs it takes. Whatever ends this without one, be it that another part of the layout
 * failed, the answers it rejected are forgotten: recorded, they would take repairs away from the next attempt. One that
 * was repaired stays, because the recording of the repair is found by it.
 */
async function propose(
  messages: readonly ChatMessage[],
  { within, last }: { readonly within: string; readonly last: boolean },
  options: StructureOptions,
  limits: StructureLimits,
  meter: StructureProgressTracker,
  all: ChatRequest[],
): Promise<Proposal> {
  const rejected: ChatRequest[] = [];
  try {
    return await converse(messages, { within, last }, options, limits, meter, all, rejected);
  } catch (error) {
    for (const useless of rejected) await options.model.forget?.(useless);
    throw error;
  }
}

async function converse(
  messages: readonly ChatMessage[],
  { within, last }: { readonly within: string; readonly last: boolean },
  options: StructureOptions,
  limits: StructureLimits,
  meter: StructureProgressTracker,
  all: ChatRequest[],
  rejected: ChatRequest[],
): Promise<Proposal> {
  const { model, modelName, repairs = 2, signal, temperature, maxTokens } = options;
  let conversation = messages;
  for (let repair = 0; ; repair += 1) {
    const progress = meter.begin();
    const request = {
      model: modelName,
      messages: conversation,
      schema: STRUCTURE_SCHEMA,
      ...(temperature !== undefined && { temperature }),
      ...(maxTokens !== undefined && { maxTokens }),
    };
    all.push(request);
    const answer = await model.complete(request, {
      label: within === "" ? "structure" : `structure of ${within}`,
      onText: progress,
      ...(signal && { signal }),
    });
    meter.answered(answer.model, answer.usage);
    const proposal = readProposal(answer.text, limits, within, { last });
    if ("entries" in proposal) {
      meter.settled(progress, proposal);
      return proposal;
    }
    rejected.push(request);
    if (repair === repairs) throw createUnusableError(modelName, repair + 1, proposal.problems);
    meter.rejected(progress, proposal.problems);
    const quoted = answer.text.length <= MAX_QUOTED_ANSWER ? answer.text : `${answer.text.slice(0, 2000)}\n…`;
    // On top of what was said before: the same request again would get the same answer, from its recording.
    conversation = [
      ...conversation,
      { role: "assistant", content: quoted },
      { role: "user", content: repairPrompt(proposal.problems) },
    ];
  }
}

function request(user: string): readonly ChatMessage[] {
  return [
    { role: "system", content: STRUCTURE_INSTRUCTIONS },
    { role: "user", content: user },
  ];
}

function createUnusableError(modelName: string, answers: number, problems: readonly string[]): LlmError {
  const listed = problems.map((problem) => `\n  - ${problem}`).join("");
  const cure = "try a clearer or smaller prompt, or another model";
  return new LlmError(
    "unusable",
    `${modelName} gave no usable tree in ${answers} answers; ${cure}. Its last answer:${listed}`,
  );
}
