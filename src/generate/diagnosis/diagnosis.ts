/**
 * Asks the model which files made a check fail, and how they must change.
 *
 * The request shows the tree, the end of the check's output, and the files that the output is about. All of that is data.
 * The answer is untrusted: only files that a model generated are returned as files to write again; everything else that it
 * names is refused, with a reason that the next request shows.
 */
import { posix } from "node:path";
import { DEPENDS } from "../../attributes.ts";
import { extractJson } from "../../generators/builtin/clean-answer.ts";
import { type ChatMessage, type ChatSchema, type LanguageModel, LlmError } from "../../llm/llm.ts";
import type { Diagnosis, FailedCheck } from "../../rpc/control-protocol.ts";
import type { TreeEntry, TreePort } from "../../rpc/tree-port.ts";
import { AROUND, fill } from "../context/fill.ts";
import { filterVisible } from "../context/ignore.ts";
import { renderOutline } from "../context/outline.ts";
import { DIAGNOSIS_INSTRUCTIONS, diagnosisPrompt, MOST_REWRITTEN, repairPrompt } from "../context/prompts.ts";
import { redact } from "../context/redact.ts";
import { sortByDependencies } from "../depends.ts";
import { countTokens } from "../spending/tokens.ts";
import { findInvolvedFiles } from "./involved-files.ts";

export interface DiagnosisOptions {
  readonly failure: FailedCheck;
  readonly tree: Pick<TreePort, "outline" | "readStatic" | "read" | "stat">;
  readonly model: LanguageModel;
  readonly modelName: string;
  /** Why a regular file cannot be written again; undefined if it can. */
  readonly refuse: (entry: TreeEntry) => Promise<string | undefined>;
  /** The maximum number of tokens to send. Default: 16,000 besides the instructions. */
  readonly tokens?: number;
  /** Whether to remove likely secrets. Default: true. */
  readonly redact?: boolean;
  readonly signal: AbortSignal;
}

const DEFAULT_TOKENS = 16_000;
/** The part of the tokens that the output and the earlier rounds may take together, and the outline. */
const OUTPUT_SHARE = 0.3;
const OUTLINE_SHARE = 0.2;
/** Characters a token, at least, on average: a first cut before tokens are counted. */
const LONGEST_TOKEN = 8;

const text = { type: "string" };

const SCHEMA: ChatSchema = {
  name: "diagnosis",
  schema: {
    type: "object",
    properties: {
      why: text,
      checkIsWrong: { type: "boolean" },
      files: {
        type: "array",
        maxItems: MOST_REWRITTEN,
        items: {
          type: "object",
          properties: { path: text, instruction: text },
          required: ["path", "instruction"],
          additionalProperties: false,
        },
      },
    },
    required: ["why", "checkIsWrong", "files"],
    additionalProperties: false,
  },
};

/** Rejects with LlmError, or with the signal's reason. */
export async function diagnose(options: DiagnosisOptions): Promise<Diagnosis> {
  const { model, modelName, signal, tree } = options;
  const outline = await tree.outline();
  const entries = await filterVisible(outline, tree.readStatic);
  let messages: readonly ChatMessage[] = [
    { role: "system", content: DIAGNOSIS_INSTRUCTIONS },
    { role: "user", content: await compose(options, entries) },
  ];
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    const request = { model: modelName, messages, schema: SCHEMA };
    const answer = await model.complete(request, { signal, unrecorded: true, label: "the diagnosis of the check" });
    const proposal = readProposal(answer.text);
    if (!("problem" in proposal)) return await judge(proposal, entries, options);
    if (attempt === 2) {
      throw new LlmError("unusable", `${answer.model} did not say what to change: ${proposal.problem}`);
    }
    messages = [
      ...messages,
      { role: "assistant", content: answer.text.slice(0, 10_000).toWellFormed() },
      { role: "user", content: repairPrompt([proposal.problem]) },
    ];
  }
}

/** The parts are cut so that together they fit. */
async function compose(options: DiagnosisOptions, entries: readonly TreeEntry[]): Promise<string> {
  const { failure, tree, signal, tokens = DEFAULT_TOKENS } = options;
  const clean = options.redact === false ? async (said: string) => said : redact;
  const earlier = await clean(failure.earlier.join("\n"));
  const output = await keepEnd(await clean(failure.output), Math.floor(tokens * OUTPUT_SHARE));
  const shownEarlier = await keepEnd(earlier, Math.floor(tokens * OUTPUT_SHARE * 0.5));
  const drawn = await clean(await renderOutline(entries, "/", Math.floor(tokens * OUTLINE_SHARE)));
  const depends = async (path: string) => (await tree.stat(path).catch(() => undefined))?.xattrs.get(DEPENDS);
  // Reading any other file would generate it.
  const readable = entries.filter(({ state }) => state === "static" || state === "ready");
  // What was shown the first time was not enough.
  const all = failure.earlier.length > 0;
  const involved = await findInvolvedFiles(failure.output, readable, tree, depends, { all, signal });
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const files = await Promise.all(
    involved.map(async ({ path, reason, content }) => {
      const entry = byPath.get(path);
      const refusal = entry && (await options.refuse(entry));
      const also = refusal === undefined ? "" : `; cannot be written again: ${refusal}`;
      return { path: path.slice(1), reason: `${reason}${also}`, content: await clean(content) };
    }),
  );
  const parts = { outline: drawn, command: await clean(failure.command), ending: failure.ending, output };
  const rest = diagnosisPrompt({ ...parts, earlier: shownEarlier, files: [] });
  const instructions = options.tokens === undefined ? 0 : await countTokens(DIAGNOSIS_INSTRUCTIONS);
  const room = tokens - instructions - (await countTokens(rest)) - AROUND;
  return diagnosisPrompt({ ...parts, earlier: shownEarlier, files: await fill(files, Math.max(0, room)) });
}

/** The last lines of a text that have at most so many tokens. */
async function keepEnd(whole: string, tokens: number): Promise<string> {
  let end = whole.slice(-tokens * LONGEST_TOKEN);
  for (let count = await countTokens(end); count > tokens; count = await countTokens(end)) {
    end = end.slice(Math.ceil(end.length * (1 - (tokens / count) * 0.95)));
  }
  if (end.length === whole.length) return whole;
  const line = end.indexOf("\n");
  return `… (the beginning is left out)\n${line >= 0 && line < end.length - 1 ? end.slice(line + 1) : end.toWellFormed()}`;
}

interface RepairProposal {
  readonly why: string;
  readonly checkIsWrong: boolean;
  readonly files: readonly { readonly path: string; readonly instruction: string }[];
}

function readProposal(answer: string): RepairProposal | { readonly problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(extractJson(answer));
  } catch (error) {
    return { problem: `it is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  if (typeof value !== "object" || value === null) return { problem: "it is not a JSON object" };
  // Any member may be missing, or be anything.
  const { why, checkIsWrong, files } = value as Partial<Record<keyof RepairProposal, unknown>>;
  if (!Array.isArray(files)) return { problem: '"files" must be a list; it is empty if no file is at fault' };
  const named: { path: string; instruction: string }[] = [];
  for (const file of files) {
    const { path, instruction } = Object(file) as { readonly path?: unknown; readonly instruction?: unknown };
    if (typeof path !== "string" || typeof instruction !== "string" || instruction.trim() === "") {
      return { problem: 'every one of "files" must have the texts "path" and "instruction"' };
    }
    named.push({ path, instruction: cut(instruction) });
  }
  const wrong = checkIsWrong === true;
  if (named.length === 0 && !wrong) {
    return { problem: '"files" is empty; name a file to write again, or set "checkIsWrong" to true' };
  }
  return { why: typeof why === "string" ? cut(why) : "", checkIsWrong: wrong, files: named };
}

/** A few sentences are enough. Requests to the mount have a limit, too. */
const LONGEST_TEXT = 4000;

function cut(said: string): string {
  const whole = said.trim();
  return whole.length <= LONGEST_TEXT ? whole : `${whole.slice(0, LONGEST_TEXT).toWellFormed()}…`;
}

async function whyRefused(
  entry: TreeEntry | undefined,
  refuse: DiagnosisOptions["refuse"],
): Promise<string | undefined> {
  if (entry === undefined) return "there is no such file";
  return entry.type === "file" ? refuse(entry) : "it is not a regular file";
}

/** Separates the files that may be written again from those that may not. */
async function judge(
  { why, checkIsWrong, files }: RepairProposal,
  entries: readonly TreeEntry[],
  { refuse, tree }: DiagnosisOptions,
): Promise<Diagnosis> {
  if (checkIsWrong) return { checkIsWrong, why, files: [], refused: [] };
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const wanted = new Map<string, string>();
  const refused: { path: string; reason: string }[] = [];
  for (const { path: said, instruction } of files) {
    const path = posix.resolve("/", said.trim().replace(/^\/+/, ""));
    const known = wanted.get(path);
    if (known !== undefined) wanted.set(path, `${known}\n${instruction}`);
    else if (wanted.size < MOST_REWRITTEN) wanted.set(path, instruction);
    else refused.push({ path, reason: `at most ${MOST_REWRITTEN} files are written again at a time` });
  }
  const accepted: { path: string; instruction: string; depends?: string }[] = [];
  for (const [path, instruction] of wanted) {
    const entry = byPath.get(path);
    const reason = await whyRefused(entry, refuse);
    if (reason !== undefined) {
      refused.push({ path, reason });
      continue;
    }
    const depends = (await tree.stat(path)).xattrs.get(DEPENDS);
    accepted.push({ path, instruction, ...(depends !== undefined && { depends }) });
  }
  // A file that uses another one is written after it, and sees its new content.
  const ordered = sortByDependencies(accepted).map(({ path, instruction }) => ({ path, instruction }));
  return { checkIsWrong: false, why, files: ordered, refused };
}
