/** Explains a request without a recording: which recording is the nearest, and where the two first differ. */
import { MODEL } from "../attributes.ts";
import { reasonOf } from "../errno.ts";
import { type ChatRequest, LlmError } from "../llm/llm.ts";
import { canonicalJson } from "../text/canonical-json.ts";
import type { Recording, RecordingStore } from "./recording.ts";

export async function explainMiss(
  request: ChatRequest,
  key: string,
  label: string | undefined,
  store: RecordingStore,
): Promise<LlmError> {
  const what = label === undefined || label === "" ? "this request" : label;
  const asked = `${what} (${key.slice(0, 16)}…)`;
  const unusable = store.unusable?.(key);
  if (unusable !== undefined) {
    const cure = unusable.cure ?? "restore it, or record the answer again (--mode auto)";
    const { name, reason } = unusable;
    return new LlmError("unrecorded", `the recording for ${asked} cannot be used: ${name}: ${reason}; ${cure}`);
  }
  const found = await findSimilar(store, label ?? "");
  if (found instanceof Error) {
    const cure = "record the answer again (--mode auto), or undo the change";
    const reason = reasonOf(found, store.name);
    return new LlmError(
      "unrecorded",
      `no recording for ${asked} in ${store.name}, and it cannot be searched: ${reason}; ${cure}`,
    );
  }
  const nearest = findNearest(request, label, found);
  const cure = "record the answer again (--mode auto), or undo the change";
  if (nearest === undefined && (await store.missing?.()) === true) {
    const what = `no recording for ${asked}: there are no ${store.name}, because the folder does not exist`;
    return new LlmError("unrecorded", `${what}; check the spelling of --recordings, or ${cure}`);
  }
  if (nearest === undefined) {
    return new LlmError("unrecorded", `no recording for ${asked}: ${store.name} has none; ${cure}`);
  }
  const { recording, difference } = nearest;
  const other = recording.request.model;
  const named =
    other === request.model ? cure : `--model ${other}, or ${MODEL}, requests the recorded model; or ${cure}`;
  const name = `${recording.label || "unnamed"} (${recording.key.slice(0, 16)}…)`;
  return new LlmError(
    "unrecorded",
    `no recording for ${asked} in ${store.name}. The nearest is ${name}: ${difference}; ${named}`,
  );
}

/** The request was looked up before, so a failure here does not concern it. */
async function findSimilar(store: RecordingStore, label: string): Promise<readonly Recording[] | Error> {
  try {
    return await (store.near === undefined ? store.list() : store.near(label));
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** The recording that shares the most with the request; among equals, the one with the same label. */
function findNearest(
  request: ChatRequest,
  label: string | undefined,
  recordings: readonly Recording[],
): { readonly recording: Recording; readonly difference: string } | undefined {
  let best: Recording | undefined;
  let most = -1;
  const lines = new Set(linesOf(request));
  for (const recording of recordings) {
    const theirs = linesOf(recording.request);
    const shared = theirs.filter((line) => lines.has(line)).length / Math.max(1, lines.size, theirs.length);
    const score = shared + (recording.label === label ? 1 : 0);
    if (score > most) {
      best = recording;
      most = score;
    }
  }
  return best && { recording: best, difference: describeDifference(best.request, request) };
}

function linesOf(request: ChatRequest): readonly string[] {
  return request.messages.flatMap(({ content }) => content.split("\n"));
}

/** The first thing in which two requests differ, in words: "the prompt differs at line 3: recorded "a", asked "b"". */
export function describeDifference(recorded: ChatRequest, asked: ChatRequest): string {
  if (recorded.model !== asked.model) return formatDifference("the model differs", recorded.model, asked.model);
  if (recorded.temperature !== asked.temperature) {
    return formatDifference("the temperature differs", recorded.temperature, asked.temperature);
  }
  if (recorded.maxTokens !== asked.maxTokens)
    return formatDifference("the token limit differs", recorded.maxTokens, asked.maxTokens);
  const count = Math.max(recorded.messages.length, asked.messages.length);
  for (let index = 0; index < count; index += 1) {
    const [theirs, ours] = [recorded.messages[index], asked.messages[index]];
    if (theirs === undefined || ours === undefined) {
      return `the conversation has ${asked.messages.length} messages; the recorded one has ${recorded.messages.length}`;
    }
    const name =
      theirs.role === "system"
        ? "the instructions differ"
        : `the ${theirs.role === "user" ? "prompt" : "answer"} differs`;
    if (theirs.role !== ours.role) return formatDifference("a message's role differs", theirs.role, ours.role);
    const difference = describeFirstLine(theirs.content, ours.content);
    if (difference !== undefined)
      return formatDifference(`${name} at line ${difference.line}`, difference.recorded, difference.asked);
  }
  if (canonicalJson(recorded.schema ?? null) !== canonicalJson(asked.schema ?? null))
    return "the schema of the answer differs";
  return "no difference is visible; the recording may have an older format";
}

function describeFirstLine(recorded: string, asked: string) {
  if (recorded === asked) return undefined;
  const [theirs, ours] = [recorded.split("\n"), asked.split("\n")];
  let at = 0;
  while (at < theirs.length && at < ours.length && theirs[at] === ours[at]) at += 1;
  return { line: at + 1, recorded: theirs[at], asked: ours[at] };
}

function formatDifference(
  what: string,
  recorded: string | number | undefined,
  asked: string | number | undefined,
): string {
  return `${what}: recorded ${show(recorded)}, asked ${show(asked)}`;
}

function show(value: string | number | undefined): string {
  if (value === undefined) return "nothing";
  if (typeof value === "number") return String(value);
  return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}…` : value);
}
