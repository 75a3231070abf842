/**
 * Recordings: answers of a model, kept under the key of the request they answer.
 *
 * Lives here: what a recording is, what a store of them does, and the model that answers from one. Stores are in files
 * of their own. Not known here: servers, files of the tree, what a request is for beyond its label.
 */
import {
  type ChatAnswer,
  type ChatOptions,
  type ChatRequest,
  type ChatUsage,
  type LanguageModel,
  LlmError,
} from "../llm/llm.ts";
import { requestKey } from "./key.ts";
import { explainMiss } from "./miss.ts";

/** One answer and all that it depends on. No keys, no headers, no times: two recordings of one answer are equal. */
export interface Recording {
  /** sha-256 of the canonical request: see key.ts. */
  readonly key: string;
  /** What the request was for, as people call it: a file's path, "structure". No part of the key. */
  readonly label: string;
  readonly request: ChatRequest;
  readonly answer: RecordedAnswer;
}

export interface RecordedAnswer {
  readonly text: string;
  /** The model as the server named it. */
  readonly model: string;
  readonly usage?: ChatUsage;
}

/**
 * A place that keeps recordings.
 *
 * A recording that cannot be read, or does not belong to its key, is reported and counts as absent: it is never used.
 * Methods reject with an Error in people's words only when the store as a whole cannot be used.
 */
export interface RecordingStore {
  /** For messages: "recordings in fixtures/llm", "redis://cache:6379". */
  readonly name: string;
  /** `label` may help to find it; it does not decide. */
  get(key: string, label?: string): Promise<Recording | undefined>;
  /** Keeps it, whole or not at all. Putting the same one again changes nothing. Rejects where there is only reading. */
  put(recording: Recording): Promise<void>;
  /** All of them, by label, then by key. */
  list(): Promise<readonly Recording[]>;
  /** Forgets one. Absent where there is only reading. */
  remove?(key: string): Promise<void>;
  /** What is in the store and cannot be used. Absent where nothing can go wrong. */
  check?(): Promise<readonly Fault[]>;
  /** Takes away something that `check` found. */
  discard?(name: string): Promise<void>;
  /**
   * Claims the making of one answer, so that of many machines one asks the model and the others wait. A claim ends
   * when it is disposed, or by itself some time after its holder died. Undefined: somebody else holds it. Absent where
   * nobody else can write.
   */
  claim?(key: string): Promise<Claim | undefined>;
  /** Lets go of connections. */
  close?(): Promise<void>;
}

/** Something in a store that is no recording, or no longer. */
export interface Fault {
  readonly name: string;
  readonly reason: string;
}

/** The right to make one answer. Kept alive until it is disposed. */
export type Claim = AsyncDisposable;

/**
 * | mode | a recording is there | it is not |
 * |---|---|---|
 * | `auto` | it answers | the model is asked, and its answer recorded |
 * | `record` | the model is asked again, and its answer replaces it | the model is asked, and its answer recorded |
 * | `replay` | it answers | LlmError "unrecorded"; no model is ever asked |
 * | `off` | the model is asked | the model is asked |
 */
export type RecordingMode = "auto" | "record" | "replay" | "off";

export interface RecordedOptions {
  readonly mode: RecordingMode;
  /** Told, once for each kind of trouble, that the store cannot be read or written. In `auto` work goes on without. */
  readonly warn?: (message: string) => void;
}

/** A model that answers from a store, before or instead of another. Without a model, a miss is LlmError "unconfigured". */
export function recordedModel(
  model: LanguageModel | undefined,
  store: RecordingStore,
  { mode, warn = () => {} }: RecordedOptions,
): LanguageModel {
  const warned = new Set<string>();
  function warnOnce(kind: string, message: string): void {
    if (warned.has(kind)) return;
    warned.add(kind);
    warn(message);
  }

  async function ask(request: ChatRequest, options: ChatOptions, key: string): Promise<ChatAnswer> {
    if (model === undefined) {
      const what = `there is no recording for ${options.label ?? "this request"} in ${store.name}, and no model is configured`;
      throw new LlmError("unconfigured", `${what}; set OPENAI_API_KEY or --base-url, or record it first`);
    }
    const answer = await model.complete(request, options);
    if (mode === "off") return { ...answer, key };
    const { text, usage } = answer;
    try {
      const label = options.label ?? "";
      await store.put({ key, label, request, answer: { text, model: answer.model, ...(usage && { usage }) } });
    } catch (error) {
      warnOnce("write", `answers are not recorded, because ${store.name} cannot be written: ${said(error)}`);
    }
    return { ...answer, key };
  }

  async function find(key: string, label: string | undefined): Promise<ChatAnswer | undefined> {
    const recording = await store.get(key, label);
    return recording && { ...recording.answer, key, recorded: true };
  }

  async function findOrWarn(key: string, label: string | undefined): Promise<ChatAnswer | undefined> {
    try {
      return await find(key, label);
    } catch (error) {
      warnOnce("read", `${store.name} cannot be read, so nothing recorded is used: ${said(error)}`);
      return undefined;
    }
  }

  async function complete(request: ChatRequest, options: ChatOptions): Promise<ChatAnswer> {
    const key = requestKey(request);
    if (options.signal?.aborted)
      throw new LlmError("cancelled", `the request for ${options.label ?? "a file"} was cancelled`);
    if (mode === "replay") {
      const answer = await find(key, options.label);
      if (answer === undefined) throw await explainMiss(request, key, options.label, store);
      options.onText?.(answer.text);
      return answer;
    }
    if (mode === "auto") {
      const answer = await findOrWarn(key, options.label);
      if (answer !== undefined) {
        options.onText?.(answer.text);
        return answer;
      }
    }
    return ask(request, options, key);
  }

  return {
    async complete(request, options = {}) {
      try {
        return await complete(request, options);
      } catch (error) {
        if (error instanceof LlmError) throw error;
        throw new LlmError("server", `${store.name} cannot be used: ${said(error)}`, { cause: error });
      }
    },
  };
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
