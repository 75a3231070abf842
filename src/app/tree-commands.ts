/** What `llmfs check` asks of a mount beyond single files: what a failed check is due to, and to freeze a tree that passed. */
import { DEFAULT_GENERATOR, METADATA } from "../attributes.ts";
import { FsError } from "../errno.ts";
import type { ConfirmStep } from "../generate/spending/budget.ts";
import { toFsError } from "../generate/to-fs-error.ts";
import { readFileAnswer } from "../generators/builtin/clean-answer.ts";
import { parseReasons, REWRITTEN } from "../generators/builtin/rewritten.ts";
import type { ChatAnswer, FrozenContent } from "../llm/llm.ts";
import type { Log } from "../log.ts";
import type { MountedFilesystem } from "../mount/filesystem.ts";
import type { Diagnosis, FailedCheck, Frozen } from "../rpc/control-protocol.ts";
import type { GenerationRequest } from "../rpc/generation.ts";
import type { MountCommand } from "../rpc/messages.ts";
import type { TreeEntry } from "../rpc/tree-port.ts";
import type { Generation, GenerationParts } from "./generation.ts";
import { growMount } from "./layout/growing.ts";
import type { Config } from "./settings/settings.ts";

export interface TreeCommandOptions {
  readonly config: Pick<Config, "mode">;
  readonly generation: Pick<Generation, "parts" | "grow" | "allow">;
  readonly filesystem: Pick<MountedFilesystem, "tree" | "files" | "add">;
  readonly log: Log;
}

/** Returns the members of the answer. Rejects with FsError. */
export async function runTreeCommand(
  command: Exclude<MountCommand, { readonly op: "save" }>,
  options: TreeCommandOptions,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  switch (command.op) {
    case "allow":
      return { allowed: await allowMore(options) };
    case "diagnose":
      return { diagnosis: await diagnoseCheck(command.failure, options, signal) };
    case "freeze":
      return { frozen: await freezeTree(command.version, options) };
    case "grow":
      return { grown: await growMount(command, options.filesystem, { ...options, signal }) };
  }
}

async function allowMore({ generation }: TreeCommandOptions): Promise<ConfirmStep> {
  const step = await generation.allow().catch((error: unknown) => {
    throw toFsError(error, "what may be spent");
  });
  if (step === undefined)
    throw new FsError("EOPNOTSUPP", "the mount has no --confirm-over, so nothing waits to be allowed");
  return step;
}

/** How many files are handed from thread to thread at a time. */
const BATCH = 64;

async function diagnoseCheck(
  failure: FailedCheck,
  { config, generation, filesystem }: TreeCommandOptions,
  signal: AbortSignal,
): Promise<Diagnosis> {
  if (config.mode === "replay") throw new FsError("EOPNOTSUPP", "a replayed tree is not repaired");
  try {
    const [{ diagnose }, { engine, model, name: modelName, contextTokens }] = await Promise.all([
      import("../generate/diagnosis/diagnosis.ts"),
      generation.parts(),
    ]);
    const refuse = async (entry: TreeEntry): Promise<string | undefined> => {
      if (entry.state === "static") return "somebody wrote or changed it";
      const [request] = await filesystem.files.requestsFor([entry.path]);
      if (request === undefined) return "it has no generated content";
      return engine.bind(request).binding.generator === DEFAULT_GENERATOR ? undefined : "no model made it";
    };
    return await diagnose({
      failure,
      tree: filesystem.tree,
      model,
      modelName,
      refuse,
      signal,
      ...(contextTokens !== undefined && { tokens: contextTokens }),
    });
  } catch (error) {
    if (signal.aborted) throw new FsError("EINTR", "the diagnosis was cancelled");
    throw toFsError(error, "the diagnosis of the check");
  }
}

/**
 * Records the content of every file that a model generated as the answer to its request in the tree as it is, and marks the
 * files with that request. All or nothing. Rejects with FsError: EBUSY if the tree is no longer of this version.
 */
async function freezeTree(version: number, options: TreeCommandOptions): Promise<Frozen> {
  const { config, generation, filesystem } = options;
  if (config.mode === "replay" || config.mode === "off") {
    throw new FsError("EOPNOTSUPP", `with --mode ${config.mode}, nothing is recorded`);
  }
  const { files } = filesystem;
  const requireVersion = async () => {
    if ((await files.version()) !== version) throw new FsError("EBUSY", "the tree was changed in the meantime");
  };
  await requireVersion();
  const parts = await generation.parts();
  if (parts.model.freeze === undefined) throw new FsError("EOPNOTSUPP", "nothing is recorded here");
  const found: FoundContent[] = [];
  for (const batch of batches(await files.generated())) {
    for (const request of await files.requestsFor(batch)) {
      const content = await contentFor(request, parts, options);
      if (content !== undefined) found.push({ path: request.path, content });
    }
  }
  await requireVersion();
  const { keys, written } = await parts.model.freeze(found.map(({ content }) => content)).catch((error: unknown) => {
    throw toFsError(error, "freezing");
  });
  const marks = found.map(({ path }, index) => ({ path, metadata: new Map([["request", keys[index]]]) }));
  for (const batch of batches(marks)) await files.setMetadata(batch);
  return { files: found.length, written };
}

interface FoundContent {
  readonly path: string;
  readonly content: FrozenContent;
}

/** Undefined if no model made the file. */
async function contentFor(
  request: GenerationRequest,
  { engine }: GenerationParts,
  { filesystem }: TreeCommandOptions,
): Promise<FrozenContent | undefined> {
  const { path } = request;
  const chat = await engine.requestFor(request, NEVER);
  if (chat === undefined) return undefined;
  const text = decode(await filesystem.tree.read(path), path);
  const metadata = (name: string) => request.file.xattrs.get(`${METADATA}${name}`);
  const [inputTokens, outputTokens] = [metadata("input_tokens"), metadata("output_tokens")].map(Number);
  const usage = { inputTokens: inputTokens ?? Number.NaN, outputTokens: outputTokens ?? Number.NaN };
  return {
    request: chat,
    label: request.path,
    text,
    model: metadata("model") ?? chat.model,
    ...(Number.isSafeInteger(usage.inputTokens + usage.outputTokens) && { usage }),
    frozen: parseReasons(metadata(REWRITTEN)),
    isGivenBy: (answer) => contentOf(answer, path) === text,
  };
}

/** The content that a file gets from an answer; undefined if the model would be asked once more. */
function contentOf(answer: ChatAnswer, path: string): string | undefined {
  if (answer.frozen !== undefined) return answer.text;
  const { text, missing, unclear } = readFileAnswer(answer.text, path);
  return missing === undefined && unclear === undefined ? text : undefined;
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FsError("EILSEQ", `nothing is frozen, because ${path} is not text in UTF-8`);
  }
}

function* batches<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += BATCH) yield all.slice(at, at + BATCH);
}

const NEVER = new AbortController().signal;
