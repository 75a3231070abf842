/** A model that answers from recordings, and otherwise, depending on the mode, asks another model. */

import { abortable, pause } from "../abort.ts";
import { reasonOf } from "../errno.ts";
import { type ChatAnswer, type ChatOptions, type ChatRequest, type LanguageModel, LlmError } from "../llm/llm.ts";
import { Semaphore, type Slot } from "../llm/semaphore.ts";
import { formatTimeSpan } from "../text/duration.ts";
import { explainMiss } from "./explain-miss.ts";
import { freezeInto } from "./freeze.ts";
import { requestKey } from "./key.ts";
import type { StoreMetrics } from "./metrics.ts";
import { type Claim, NOBODY_ELSE, type Recording, type RecordingStore, StoreRefusal } from "./recording.ts";

/**
 * | mode | with a recording | without one |
 * |---|---|---|
 * | `auto` | it is the answer, unless `again` is set | ask the model and record the answer |
 * | `record` | ask the model again and replace the recording | ask the model and record the answer |
 * | `replay` | it is the answer | LlmError "unrecorded"; never ask a model |
 * | `off` | ask the model | ask the model |
 *
 * If nothing can be recorded, `record` is LlmError "recordings", if possible before a request is sent; `auto` warns.
 */
export type RecordingMode = "auto" | "record" | "replay" | "off";

export interface RecordedOptions {
  readonly mode: RecordingMode;
  /** Called once for each kind of problem with reading or writing the store. In `auto`, work continues without it. */
  readonly warn?: (message: string) => void;
  /** Called when another machine is generating the answer and this one waits for it. */
  readonly log?: (message: string) => void;
  /** Called with the key of every answered request: a later prune should keep these. */
  readonly onUse?: (key: string, label: string) => void;
  /** Pause before checking again whether another machine is ready. Grows to ten times this. Default 200 ms. */
  readonly pollMs?: number;
  /** How long to wait for another machine's answer: as long as an answer may take. Default 15 minutes. */
  readonly waitMs?: number;
  /** How long to wait before a warning names the machine that holds the claim. Default 10 s. */
  readonly patienceMs?: number;
  /** How long it may take until a request is sent before the recordings are searched once more. Default 10 s. */
  readonly staleMs?: number;
  /** The maximum number of claims held at a time. More would be claimed long before they are asked for. Default 16. */
  readonly claimsAtOnce?: number;
  /** The context of the server that answers: see RecordedAnswer. */
  readonly contextLength?: number;
  /** Counts what is found and waited for. */
  readonly metrics?: StoreMetrics;
  /** The owner of new recordings: see Recording. */
  readonly owner?: string;
  /** In `auto` too, a store that cannot be used is an error, and no request is sent without it. */
  readonly required?: boolean;
}

/**
 * A model that answers from a store, before or instead of another model. Without a model, a miss is LlmError
 * "unconfigured".
 */
export function createRecordedModel(
  model: LanguageModel | undefined,
  storeOfAll: RecordingStore,
  options: RecordedOptions,
): LanguageModel {
  const store = options.owner === undefined ? storeOfAll : withOwner(storeOfAll, options.owner);
  const { mode, warn = () => {}, log = () => {}, onUse = () => {}, pollMs = 200 } = options;
  const { waitMs = 900_000, patienceMs = 10_000, claimsAtOnce = 16, required = false } = options;
  const { contextLength, metrics, staleMs = 10_000 } = options;
  const lookups = new Semaphore(LOOKUPS_AT_ONCE);
  const claims = new Semaphore(claimsAtOnce);
  const warned = new Set<string>();
  /** By key: answers that were replaced, or would replace the recorded one. */
  const others = new Map<string, Recording>();
  function warnOnce(kind: string, message: string): void {
    if (warned.has(kind)) return;
    warned.add(kind);
    warn(message);
  }

  /** `first`: if another process has recorded an answer in the meantime, that one is used, by everybody. */
  async function ask(request: ChatRequest, options: ChatOptions, key: string, first = false): Promise<ChatAnswer> {
    if (model === undefined) {
      const what = `${store.name} has no recording for ${options.label ?? "this request"}, and no model is configured`;
      throw new LlmError("unconfigured", `${what}; set OPENAI_API_KEY or --base-url, or record the answer first`);
    }
    const looked = performance.now();
    /** A process that was stopped, or waited for long, may have lost its claim, and another one may have answered. */
    const findTheirs = async () =>
      performance.now() - looked < staleMs ? undefined : findOrWarn(key, options.label, request);
    const ready = async () => {
      store.ensureAccepts?.();
      const theirs = await findTheirs();
      if (theirs !== undefined) throw new AnsweredElsewhere(theirs);
    };
    /** After a pause of this process its connections are closed, and the request would be sent and paid for again. */
    const repeat = async (again: ChatRequest, sent: boolean) => {
      if ((await findTheirs()) !== undefined) throw createCancellation(options.label ?? "a file");
      return options.repeat === undefined ? again : options.repeat(again, sent);
    };
    let answer: ChatAnswer;
    try {
      answer = await model.complete(request, first ? { ...options, ready, repeat } : options);
    } catch (error) {
      if (error instanceof AnsweredElsewhere) return error.answer;
      const theirs = first && !options.signal?.aborted ? await findTheirs().catch(() => undefined) : undefined;
      if (theirs === undefined) throw error;
      return theirs;
    }
    if (mode === "off") return { ...answer, key };
    const { text, usage } = answer;
    const label = options.label ?? "";
    const about = { ...(usage && { usage }), ...(contextLength !== undefined && { contextLength }) };
    const recording = { key, label, request, answer: { text, model: answer.model, ...about } };
    try {
      if (!first) await store.put(recording);
      else {
        // If this process was stopped for longer than a claim lives, another one may have asked.
        const { text, model, frozen } = (await store.offer(recording)).answer;
        return { ...answer, text, model, key, ...(frozen && { frozen }) };
      }
    } catch (error) {
      if (mode === "record" || required) throw error;
      warnOnce("write", explainNotRecorded(error, store));
    }
    return { ...answer, key };
  }

  function answerOf({ answer, key }: Recording): ChatAnswer {
    return { ...answer, key, recorded: true };
  }

  async function find(key: string, label: string | undefined, request: ChatRequest): Promise<ChatAnswer | undefined> {
    const recording = await store.get(key, label, request);
    return recording && answerOf(recording);
  }

  async function findOrWarn(
    key: string,
    label: string | undefined,
    request: ChatRequest,
  ): Promise<ChatAnswer | undefined> {
    try {
      return await find(key, label, request);
    } catch (error) {
      if (required || error instanceof StoreRefusal) throw error;
      warnOnce("read", `${store.name} cannot be read, so recordings are not used: ${reasonOf(error, store.name)}`);
      return undefined;
    }
  }

  /**
   * Asks, unless another machine already does: then waits, for a limited time, until it answers, fails or dies. `place` is
   * released during the wait.
   */
  async function askOnce(request: ChatRequest, options: ChatOptions, key: string, place: Slot): Promise<ChatAnswer> {
    const what = options.label ?? key;
    const begun = performance.now();
    using waiting = new DisposableStack();
    for (let wait = pollMs; ; wait = Math.min(wait * 1.5, pollMs * 10)) {
      const asked = await askWithClaim(request, options, key);
      if (asked !== undefined) return asked;
      if (wait === pollMs) {
        waiting.use(metrics?.countWait());
        options.onPhase?.("elsewhere");
        log(`${what} is being generated by another process that uses ${store.name}; waiting for it`);
      }
      const waited = performance.now() - begun;
      if (waited >= waitMs) throw await createWaitTimeout(what, key);
      if (waited >= patienceMs) await warnOfHolder(what, key);
      const next = Math.min(wait * (0.75 + Math.random() / 2), waitMs - waited);
      await place.without(() => pause(next, options.signal, () => createCancellation(what)));
      const answer = await findOrWarn(key, options.label, request);
      if (answer !== undefined) return answer;
    }
  }

  /** Undefined: another process has the claim. */
  async function askWithClaim(
    request: ChatRequest,
    options: ChatOptions,
    key: string,
  ): Promise<ChatAnswer | undefined> {
    if (claims.full) options.onPhase?.("queued");
    using _place = await claims.take(options.signal);
    const claim = await claimOrWarn(key);
    if (claim === undefined) return undefined;
    await using _claim = claim;
    // It may have been recorded between the last look and the claim.
    return (await findOrWarn(key, options.label, request)) ?? (await ask(request, options, key, true));
  }

  async function holderOf(key: string): Promise<string | undefined> {
    return store.holder?.(key).catch(() => undefined);
  }

  /** Once for each holder. */
  async function warnOfHolder(what: string, key: string): Promise<void> {
    const holder = await holderOf(key);
    // It has just finished, or the store does not answer, which is reported elsewhere.
    if (holder === undefined) return;
    warnOnce(
      `held by ${holder}`,
      `waiting for ${holder}, which is generating ${what} into ${store.name}; other files may be waiting too`,
    );
  }

  async function createWaitTimeout(what: string, key: string): Promise<LlmError> {
    const holder = (await holderOf(key)) ?? "another process";
    const cure = "if that process hangs, end it; otherwise allow more time with --timeout, or use other recordings";
    const message = `${what}: ${holder} has been generating it into ${store.name} for more than ${formatTimeSpan(waitMs)}; ${cure}`;
    return new LlmError("timeout", message, { sent: false });
  }

  async function claimOrWarn(key: string): Promise<Claim | undefined> {
    if (store.claim === undefined || model === undefined) return NOBODY_ELSE;
    try {
      return await store.claim(key);
    } catch (error) {
      if (required || error instanceof StoreRefusal) throw error;
      warnOnce("write", explainNotRecorded(error, store));
      return NOBODY_ELSE;
    }
  }

  /**
   * A process that cannot write a claim cannot record either. The claim of another process does not matter: this answer
   * will replace its answer.
   */
  async function claimAgain(key: string): Promise<Claim | undefined> {
    if (mode === "auto") return claimOrWarn(key);
    return mode === "record" && model !== undefined ? store.claim?.(key) : undefined;
  }

  async function askAgain(request: ChatRequest, options: ChatOptions, key: string): Promise<ChatAnswer> {
    await using _claim = await claimAgain(key);
    const before =
      options.again === true && mode !== "off" ? await findRecorded(key, options.label, request) : undefined;
    const answer = await ask(request, options, key);
    if (before !== undefined) others.set(key, before);
    return answer;
  }

  async function askUnrecorded(request: ChatRequest, options: ChatOptions): Promise<ChatAnswer> {
    if (model !== undefined) return model.complete(request, options);
    const what = options.label ?? "this request";
    throw new LlmError("unrecorded", `${what} needs a model, and only recordings are used here`);
  }

  /** Whether the store had no such answer recently. Then it is looked up only after it has been claimed. */
  function isNew(label: string | undefined): boolean {
    const claimed = mode === "auto" && model !== undefined && store.claim !== undefined;
    return claimed && label !== undefined && store.lacks?.(label) === true;
  }

  async function findRecorded(key: string, label?: string, request?: ChatRequest): Promise<Recording | undefined> {
    try {
      return await store.get(key, label, request);
    } catch {
      // It cannot be restored if it cannot be read; the request will report the problem.
      return undefined;
    }
  }

  async function complete(request: ChatRequest, options: ChatOptions): Promise<ChatAnswer> {
    const key = requestKey(request);
    if (options.signal?.aborted) throw createCancellation(options.label ?? "a file");
    if (options.unrecorded === true) return askUnrecorded(request, options);
    const again = mode === "record" || (mode === "auto" && options.again === true && model !== undefined);
    if (again || mode === "off") return askAgain(request, options, key);
    if (lookups.full) options.onPhase?.("queued");
    using place = await lookups.take(options.signal);
    options.onPhase?.("recordings");
    const answer = isNew(options.label)
      ? undefined
      : await (mode === "replay" ? find : findOrWarn)(key, options.label, request);
    metrics?.countLookup(answer !== undefined);
    if (answer === undefined && mode === "replay") throw await explainMiss(request, key, options.label, store);
    const whole = answer ?? (await askOnce(request, options, key, place));
    // A caller that asked the model has already received the text in pieces.
    if (whole.recorded) options.onText?.(whole.text);
    return whole;
  }

  return {
    ...((mode === "auto" || mode === "replay") &&
      store.getAtOnce !== undefined && {
        recall(request, { label, accepts }) {
          const recording = store.getAtOnce?.(requestKey(request), label, request);
          if (recording === undefined) return undefined;
          const answer = answerOf(recording);
          if (!accepts(answer)) return undefined;
          metrics?.countLookup(true);
          onUse(recording.key, label);
          return answer;
        },
        mayRecall: (label) => store.lacks?.(label) !== true,
      }),
    async forget(request) {
      if (mode === "replay" || mode === "off") return;
      try {
        await store.remove?.(requestKey(request));
      } catch (error) {
        warnOnce(
          "write",
          `a useless answer stays recorded, because ${store.name} cannot be written: ${reasonOf(error, store.name)}`,
        );
      }
    },
    async restore(key) {
      const other = others.get(key);
      if (other === undefined) return;
      try {
        const now = await findRecorded(key, other.label, other.request);
        await store.put(other);
        if (now !== undefined) others.set(key, now);
      } catch (error) {
        warnOnce(
          "write",
          `an undone answer stays recorded, because ${store.name} cannot be written: ${reasonOf(error, store.name)}`,
        );
      }
    },
    ...(mode !== "off" && mode !== "replay" && { freeze: (contents) => freezeInto(store, contents, others) }),
    async complete(request, options = {}) {
      try {
        // The store may be waited for; a request that nobody needs any more is not.
        const work = complete(request, options);
        const answer = await (options.signal === undefined ? work : abortable(options.signal, work));
        if (answer.key !== undefined) onUse(answer.key, options.label ?? "");
        return answer;
      } catch (error) {
        if (error instanceof LlmError) throw error;
        if (options.signal?.aborted) throw createCancellation(options.label ?? "a file");
        const trouble = `${store.name} cannot be used: ${reasonOf(error, store.name)}`;
        throw new LlmError("recordings", error instanceof StoreRefusal ? error.message : trouble, { cause: error });
      }
    },
  };
}

/** Another process has recorded the answer, so nothing was sent. */
class AnsweredElsewhere extends Error {
  readonly answer: ChatAnswer;

  constructor(answer: ChatAnswer) {
    super("another process has recorded the answer");
    this.answer = answer;
  }
}

/** How many requests are under way at a time, those that wait for another machine not counted: they take memory. */
const LOOKUPS_AT_ONCE = 128;

/** New recordings get this owner. */
function withOwner(store: RecordingStore, owner: string): RecordingStore {
  return {
    ...store,
    put: (recording) => store.put({ owner, ...recording }),
    offer: (recording) => store.offer({ owner, ...recording }),
  };
}

function explainNotRecorded(error: unknown, store: RecordingStore): string {
  const what = `answers are not recorded, because ${store.name} cannot be written: ${reasonOf(error, store.name)}`;
  return `${what}; choose another place with --recordings`;
}

function createCancellation(what: string): LlmError {
  return new LlmError("cancelled", `the request for ${what} was cancelled`);
}
