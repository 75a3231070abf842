/**
 * Turns a prompt into a validated tree.
 *
 * One request lays out the whole tree. Directories that it leaves unfinished are completed by further parallel requests.
 * Each of them depends only on the prompt and on the answer it continues, not on its neighbours, so that recordings can
 * answer them in any order. An answer that breaks rules is sent back with a list of problems. After a few attempts, the
 * layout fails before anything is mounted.
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
  /** How often an answer may be sent back for correction. Default: 2. */
  readonly repairs?: number;
  /** The number of parallel requests. Default: 4. */
  readonly concurrency?: number;
  readonly temperature?: number;
  /** The maximum length of an answer in tokens. Default: that of the server. Part of the request keys. */
  readonly maxTokens?: number;
  /** Whether to remove likely secrets from the prompt before sending it. Default: true. */
  readonly redact?: boolean;
}

export interface Structure {
  /**
   * The tree, including implied directories. A directory comes before its entries. The first entry is the root, which has
   * the prompt, so that it also applies to the content of every file.
   *
   * The builder of the tree must set `user.llmfs.description` to `description` and `user.llmfs.prompt` to `prompt`, and
   * must not set absent or empty values. Requests for content contain them, so recordings match only if every builder does
   * the same.
   */
  readonly entries: readonly ProposedEntry[];
  /** The server's name for the model. */
  readonly model: string;
  readonly usage: { readonly inputTokens: number; readonly outputTokens: number };
  readonly requests: number;
}

/** How deep unfinished directories may be nested. */
const MAX_ROUNDS = 4;
/** Longer answers are not quoted in full: the model starts again from the list of problems. */
const MAX_QUOTED_ANSWER = 60_000;
const OUTLINE_BUDGET = 4_000;
const MOST_TOLD = 20;

/** Rejects only with LlmError. The kind is "unusable" if no answer followed the rules. */
export async function generateStructure(options: StructureOptions): Promise<Structure> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const prompt = (options.redact === false ? options.prompt : await redact(options.prompt)).trim();
  if (prompt === "") throw new LlmError("bad-request", "the prompt is empty; describe the tree");
  const slots = new Semaphore(options.concurrency ?? 4);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const meter = new StructureProgressTracker(options.onProgress);
  const entries = new Map<string, ProposedEntry>();

  /** If the layout fails, their recordings are deleted. Otherwise the same prompt would always fail again. */
  const asked: ChatRequest[] = [];
  async function createTooLargeError(problems: readonly string[]): Promise<LlmError> {
    for (const useless of asked) await options.model.forget?.(useless);
    const listed = problems.slice(0, MOST_TOLD).map((problem) => `\n  - ${problem}`);
    return new LlmError(
      "unusable",
      `${options.modelName} did not return a usable tree; ask for less or try again:${listed.join("")}`,
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
 * Requests one proposal, with repairs if needed. If this fails for any reason, even a failure of another part of the
 * layout, the recordings of rejected answers are deleted, because they would use up the repairs of the next attempt. A
 * rejected answer that was repaired stays recorded, because the request for the repair contains it.
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
    // The conversation must grow: the same request would get the same answer again, from its recording.
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
    `${modelName} did not return a usable tree in ${answers} answers; ${cure}. Problems of its last answer:${listed}`,
  );
}
