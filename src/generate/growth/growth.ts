/**
 * Lays out more files for an existing tree.
 *
 * The model sees names, descriptions, and the declarations of static files near the place. It does not see generated
 * contents, because a request must not depend on which files were read before. So the same tree and the same prompt give the
 * same request, which a recording can answer.
 *
 * Existing entries are not changed: if the model proposes them again, they are left out and reported.
 */
import { CONTROL_NAME, PROMPT } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import { type ChatRequest, type LanguageModel, LlmError } from "../../llm/llm.ts";
import type { Growth, NewEntry } from "../../rpc/growth.ts";
import type { TreeEntry, TreePort } from "../../rpc/tree-port.ts";
import { folderOf } from "../../text/tree-paths.ts";
import { AROUND } from "../context/fill.ts";
import { filterVisible } from "../context/ignore.ts";
import { renderOutline } from "../context/outline.ts";
import { redact } from "../context/redact.ts";
import { countTokens } from "../spending/tokens.ts";
import { createLayoutRequest, type RequestOptions } from "../structure/conversation.ts";
import { roundTask } from "../structure/instructions.ts";
import type { ProposedEntry } from "../structure/proposed-entry.ts";
import { generateStructure, type StructureProgress } from "../structure/structure.ts";
import { checkSymlinks } from "../structure/symlinks.ts";
import { type GrowthParts, growthPrompt } from "./growth-prompt.ts";
import { showFiles } from "./shown-files.ts";

export interface GrowthOptions extends RequestOptions {
  readonly tree: Pick<TreePort, "outline" | "stat" | "readStatic">;
  /** The directory that gets the files: "/" for any place in the tree. It need not exist. */
  readonly within: string;
  readonly prompt: string;
  readonly model: LanguageModel;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StructureProgress) => void;
  readonly concurrency?: number;
  /** The maximum tokens of the request. Default: DEFAULT_TOKENS for what there is, beside the required parts. */
  readonly tokens?: number;
}

const DEFAULT_TOKENS = 16_000;

/** The longest prompt in bytes: new files get it as an attribute (XATTR_SIZE_MAX). */
const LONGEST_PROMPT = 65_536;

/** The entries to add. Rejects with LlmError, or with FsError if the directory cannot be one. */
export async function layOutGrowth(options: GrowthOptions): Promise<Omit<Growth, "added">> {
  const { within, tree, onProgress, concurrency, signal, model, modelName } = options;
  const prompt = (await redact(options.prompt)).trim();
  if (Buffer.byteLength(prompt) > LONGEST_PROMPT)
    throw new LlmError("bad-request", `the prompt has more than ${LONGEST_PROMPT} bytes; shorten it`);
  const all = await tree.outline();
  const existing = new Map(all.map((entry) => [entry.path, entry]));
  checkPlace(within, existing);
  const visible = await filterVisible(all, tree.readStatic);
  const shown = await showTree(visible, { ...options, prompt });
  const asked: ChatRequest[] = [];
  const structure = await generateStructure({
    ...requestOptions(options),
    prompt,
    model: listen(model, asked),
    base: {
      entries: visible,
      ...(within !== "/" && { within }),
      outlineTokens: shown.outlineTokens,
      message: (text) => growthPrompt({ ...shown, within, prompt: text }),
      roundMessage: async (text, outline, { path, brief, files }) =>
        [
          growthPrompt({ ...shown, outline: await redact(outline), within: "/", prompt: text }),
          roundTask(path.slice(1), brief, files),
        ].join("\n\n"),
    },
    ...(signal !== undefined && { signal }),
    ...(onProgress !== undefined && { onProgress }),
    ...(concurrency !== undefined && { concurrency }),
  });
  // The model did not see entries that are excluded from requests.
  const clashes = structure.entries.filter(({ path, type }) => existing.has(path) && type !== "directory");
  const entries = structure.entries.filter(({ path }) => !existing.has(path));
  const allClashes = [...structure.clashes, ...clashes.map(({ path }) => path)];
  const problem = findProblem(entries, all, allClashes);
  if (problem !== undefined) {
    // Otherwise the next attempt would get the same useless answers from the recording.
    for (const useless of asked) await model.forget?.(useless);
    throw new LlmError("unusable", `${modelName} ${problem}`);
  }
  return {
    entries: withPrompt(entries, prompt),
    clashes: allClashes,
    leftOut: structure.leftOut,
    model: structure.model,
    requests: structure.requests,
    ...structure.usage,
  };
}

function requestOptions({ modelName, temperature, maxTokens, uses, filesPerAnswer }: RequestOptions): RequestOptions {
  return {
    modelName,
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(uses !== undefined && { uses }),
    ...(filesPerAnswer !== undefined && { filesPerAnswer }),
  };
}

function checkPlace(within: string, existing: ReadonlyMap<string, TreeEntry>): void {
  if (within.split("/")[1] === CONTROL_NAME)
    throw new FsError("EPERM", "this name is reserved for control files", { path: within });
  for (let at = within; at !== "/"; at = folderOf(at)) {
    const there = existing.get(at);
    if (there !== undefined && there.type !== "directory")
      throw new FsError("ENOTDIR", "not a directory", { path: at });
  }
}

/** Wraps the model and notes its requests. */
function listen(model: LanguageModel, asked: ChatRequest[]): LanguageModel {
  return {
    ...model,
    complete(request, options) {
      asked.push(request);
      return model.complete(request, options);
    },
  };
}

/** Why the whole proposal is useless, as a clause that follows the name of the model. */
function findProblem(
  entries: readonly ProposedEntry[],
  existing: readonly TreeEntry[],
  clashes: readonly string[],
): string | undefined {
  if (entries.length === 0) return `proposed only what exists already (${list(clashes)}); say what is missing`;
  const added = entries.flatMap((entry) => (entry.type === "symlink" ? [[entry.path, entry.target] as const] : []));
  if (added.length === 0) return undefined;
  // A new symlink may lead through an existing one.
  const before = existing.flatMap(({ type, path, target = "" }) =>
    type === "symlink" ? [[path, target] as const] : [],
  );
  const known = new Set(checkSymlinks(new Map(before)));
  const problems = checkSymlinks(new Map([...before, ...added])).filter((problem) => !known.has(problem));
  if (problems.length === 0) return undefined;
  return `did not return a usable tree; try again:${problems
    .slice(0, MOST_TOLD)
    .map((one) => `\n  - ${one}`)
    .join("")}`;
}

const MOST_TOLD = 20;

/** The tree as the model sees it, without secrets, within the budget. */
async function showTree(
  visible: readonly TreeEntry[],
  options: GrowthOptions,
): Promise<Omit<GrowthParts, "within" | "prompt"> & { readonly outlineTokens: number }> {
  const { within, prompt, tree, signal, uses = true } = options;
  const prompts = await Promise.all((await promptsFor(within, tree)).map(redact));
  const room = await measureRoom(growthPrompt({ outline: "", prompts, files: [], within, prompt, uses }), options);
  const outlineTokens = Math.floor(room / 2);
  // With the slash, entries in the directory itself count as the nearest ones.
  const outline = await redact(await renderOutline(visible, `${within === "/" ? "" : within}/`, outlineTokens));
  const left = room - (await countTokens(outline)) - AROUND;
  const files = await showFiles(visible, {
    within,
    prompt,
    budget: left,
    readStatic: tree.readStatic,
    ...(signal !== undefined && { signal }),
  });
  return { outline, prompts, files, uses, outlineTokens };
}

/** The instructions that apply to the place, from the root down. */
async function promptsFor(within: string, tree: Pick<TreePort, "stat">): Promise<readonly string[]> {
  const places = ["/"];
  for (let end = within.indexOf("/", 1); within !== "/"; end = within.indexOf("/", end + 1)) {
    places.push(end < 0 ? within : within.slice(0, end));
    if (end < 0) break;
  }
  const prompts: string[] = [];
  for (const place of places) {
    const found = await tree.stat(place).catch((error: unknown) => {
      if (error instanceof FsError && error.code === "ENOENT") return undefined;
      throw error;
    });
    const own = found?.xattrs.get(PROMPT)?.trim();
    if (own) prompts.push(own);
  }
  return prompts;
}

/** The tokens that the required parts leave. */
async function measureRoom(fixed: string, options: GrowthOptions): Promise<number> {
  const { tokens } = options;
  if (tokens === undefined) return DEFAULT_TOKENS;
  const { messages } = createLayoutRequest(fixed, options);
  const least = (await countTokens(messages.map(({ content }) => content).join("\n\n"))) + AROUND;
  if (least <= tokens) return tokens - least;
  throw new LlmError(
    "bad-request",
    `the instructions and the prompt alone need ${least} tokens, but --context-tokens is ${tokens}`,
  );
}

/**
 * The prompt also applies to the contents of the added files, but not to existing ones. So it is set on the topmost new
 * entries, and not on existing directories.
 */
function withPrompt(entries: readonly ProposedEntry[], prompt: string): readonly NewEntry[] {
  const added = new Set(entries.map(({ path }) => path));
  return entries.map((entry): NewEntry => {
    if (entry.type === "symlink" || added.has(folderOf(entry.path))) return entry;
    const own = entry.type === "directory" ? entry.prompt : undefined;
    return { ...entry, prompt: own === undefined ? prompt : `${prompt}\n\n${own}` };
  });
}

function list(paths: readonly string[]): string {
  const shown = paths.slice(0, 5).map((path) => path.slice(1));
  return paths.length > shown.length ? `${shown.join(", ")} and ${paths.length - shown.length} more` : shown.join(", ");
}
