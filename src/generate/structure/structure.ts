/**
 * Turns a prompt into a validated tree.
 *
 * One request lays out the whole tree. Directories that it leaves unfinished are completed by further parallel requests.
 * Each of them depends only on the prompt and on the answer it continues, not on its neighbours, so that recordings can
 * answer them in any order. An answer that breaks rules is sent back with a list of problems. After a few attempts, the
 * layout fails before anything is mounted.
 */
import { type ChatRequest, type LanguageModel, LlmError } from "../../llm/llm.ts";
import { Semaphore } from "../../llm/semaphore.ts";
import type { TreeEntry } from "../../rpc/tree-port.ts";
import { comparePaths } from "../../text/tree-paths.ts";
import { filterVisible } from "../context/ignore.ts";
import { renderOutline } from "../context/outline.ts";
import { redact } from "../context/redact.ts";
import { createLayoutRequest, propose, type RequestOptions } from "./conversation.ts";
import { roundPrompt, structurePrompt } from "./instructions.ts";
import { checkWhole, DEFAULT_LIMITS, type Proposal, type ProposalPlace, type StructureLimits } from "./proposal.ts";
import type { KnownEntry, ProposedEntry, Unfinished } from "./proposed-entry.ts";
import { type StructureProgress, StructureProgressTracker } from "./structure-progress.ts";
import { settleUses } from "./uses.ts";

export type { StructureLimits } from "./proposal.ts";
export type { ProposedEntry } from "./proposed-entry.ts";
export type { StructureProgress } from "./structure-progress.ts";

export interface StructureOptions extends RequestOptions {
  readonly prompt: string;
  readonly model: LanguageModel;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StructureProgress) => void;
  readonly limits?: Partial<StructureLimits>;
  /** How often an answer may be sent back for correction. Default: 2. */
  readonly repairs?: number;
  /** The number of parallel requests. Default: 4. */
  readonly concurrency?: number;
  /** Whether to remove likely secrets from the prompt before sending it. Default: true. */
  readonly redact?: boolean;
  /** A tree that exists already and gets more files. Default: an empty tree. */
  readonly base?: BaseTree;
}

export interface BaseTree {
  /** Everything that new files may use, and that they must not replace. Only what may be sent to the model. */
  readonly entries: readonly (TreeEntry & KnownEntry)[];
  /** The directory that gets the files; absent for the whole tree. */
  readonly within?: string;
  /** The message that asks for them, in place of `structurePrompt`. It must show what there is. */
  readonly message: (prompt: string) => string;
  /** The message that asks for the content of one directory, in place of `roundPrompt`. `outline` may contain secrets. */
  readonly roundMessage: (prompt: string, outline: string, part: Unfinished) => Promise<string>;
  /** The room that these messages have for the outline. */
  readonly outlineTokens: number;
}

export interface Structure {
  /**
   * The tree, including implied directories. A directory comes before its entries. The first entry is the root, which has
   * the prompt, so that it also applies to the content of every file.
   *
   * The builder of the tree must set `user.llmfs.description` to `description`, `user.llmfs.prompt` to `prompt` and
   * `user.llmfs.depends` to the lines of `uses`, and must not set absent or empty values. Requests for content contain
   * them, so recordings match only if every builder does the same. See snapshot/structure.ts.
   *
   * With a base, only the new entries, and no root.
   */
  readonly entries: readonly ProposedEntry[];
  /** What the model proposed but the tree has without it: uses that cannot be followed. In sentences for people. */
  readonly leftOut: readonly string[];
  /** The paths of the base that the model proposed again. */
  readonly clashes: readonly string[];
  /** The server's name for the model. */
  readonly model: string;
  readonly usage: { readonly inputTokens: number; readonly outputTokens: number };
  readonly requests: number;
}

/** How deep unfinished directories may be nested. */
const MAX_ROUNDS = 4;
const OUTLINE_BUDGET = 4_000;
const MOST_TOLD = 20;

/** The first request of a layout, exactly as `generateStructure` sends it. */
export async function previewStructure(
  options: RequestOptions & Pick<StructureOptions, "prompt" | "redact" | "base">,
): Promise<ChatRequest> {
  return createLayoutRequest(messageOf(await cleanPrompt(options), options), options);
}

/** Rejects only with LlmError. The kind is "unusable" if no answer followed the rules. */
export async function generateStructure(options: StructureOptions): Promise<Structure> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { base } = options;
  const prompt = await cleanPrompt(options);
  const slots = new Semaphore(options.concurrency ?? 4);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const meter = new StructureProgressTracker(options.onProgress);
  const entries = new Map<string, ProposedEntry>();
  const clashes: string[] = [];

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

  async function runRound(user: string, place: ProposalPlace): Promise<Proposal> {
    using _slot = await slots.take(signal);
    return await propose(user, place, { ...options, signal, limits, repairs: options.repairs ?? 2 }, meter, asked);
  }

  /** `place` is that of the proposal. Everything that its rounds get follows from it and from the proposal. */
  async function grow(proposal: Proposal, place: RoundScope): Promise<void> {
    for (const entry of proposal.entries) entries.set(entry.path, entry);
    clashes.push(...proposal.clashes);
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
    const known = new Map([...place.known, ...byPath(describeUnfinished(proposal))]);
    const outline = [...known.values()].sort((a, b) => comparePaths(a.path, b.path));
    const elsewhere = [...place.elsewhere, ...proposal.unfinished.map(({ path }) => path)];
    const rounds = proposal.unfinished.map(async (part) => {
      const budget = Math.min(OUTLINE_BUDGET, base?.outlineTokens ?? OUTLINE_BUDGET);
      const shown = await renderOutline(outline, part.path, budget);
      const { path, brief, files } = part;
      const user =
        base === undefined
          ? roundPrompt(prompt, shown, path.slice(1), brief, files)
          : await base.roundMessage(prompt, shown, part);
      const others = elsewhere.filter((path) => path !== part.path);
      const below = { depth: place.depth + 1, within: part.path, known, elsewhere: others };
      await grow(await runRound(user, { ...below, last: below.depth === MAX_ROUNDS }), below);
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
    const place = { depth: 0, within: base?.within ?? "", known: byPath(base?.entries ?? []), elsewhere: [] };
    await grow(await runRound(messageOf(prompt, options), place), place);
  } catch (error) {
    if (error instanceof LlmError) throw error;
    if (signal.aborted) throw new LlmError("cancelled", "laying out the tree was cancelled");
    throw error;
  }
  const sorted = [...entries.values()].sort((a, b) => comparePaths(a.path, b.path));
  const problems = checkWhole(sorted, limits);
  if (problems.length > 0) throw await createTooLargeError(problems);
  const settled = await settle(sorted, base);
  return {
    entries: base === undefined ? [{ type: "directory", path: "/", prompt }, ...settled.entries] : settled.entries,
    leftOut: settled.leftOut,
    clashes,
    model: meter.model ?? options.modelName,
    usage: meter.usage,
    requests: meter.requests,
  };
}

/** What a round is about, and what the rounds before it have laid out. */
interface RoundScope {
  readonly depth: number;
  readonly within: string;
  readonly known: ReadonlyMap<string, KnownEntry>;
  readonly elsewhere: readonly string[];
}

async function cleanPrompt(options: Pick<StructureOptions, "prompt" | "redact">): Promise<string> {
  const prompt = (options.redact === false ? options.prompt : await redact(options.prompt)).trim();
  if (prompt === "") throw new LlmError("bad-request", "the prompt is empty; describe the tree");
  return prompt;
}

function messageOf(prompt: string, { base }: Pick<StructureOptions, "base">): string {
  return base === undefined ? structurePrompt(prompt) : base.message(prompt);
}

function byPath<T extends KnownEntry>(entries: readonly T[]): ReadonlyMap<string, T> {
  return new Map(entries.map((entry) => [entry.path, entry]));
}

/** The entries as later rounds see them: each should know what the others are about. */
function describeUnfinished({ entries, unfinished }: Proposal): readonly ProposedEntry[] {
  const briefs = new Map(unfinished.map(({ path, brief }) => [path, brief]));
  return entries.map((entry) => {
    const brief = briefs.get(entry.path);
    return entry.type !== "directory" || !brief ? entry : { ...entry, description: brief };
  });
}

/** Files that may not be sent to the model cannot be used. A tree without uses is left as it is. */
async function settle(entries: readonly ProposedEntry[], base: BaseTree | undefined) {
  if (entries.every((entry) => entry.type !== "file" || entry.uses === undefined)) return { entries, leftOut: [] };
  const pending = entries.map((entry) => (entry.type === "file" ? { ...entry, state: "pending" as const } : entry));
  const visible = await filterVisible(pending, async () => undefined);
  const sendable = new Set([...(base?.entries ?? []), ...visible].map(({ path }) => path));
  return settleUses(entries, byPath(base?.entries ?? []), (path) => sendable.has(path));
}
