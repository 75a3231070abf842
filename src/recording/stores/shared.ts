/**
 * A shared store as one machine uses it, with a local store for outages of the shared one.
 *
 * All machines should get the same answers, and each answer should be paid for only once. So while the shared store
 * does not answer, requests wait for it for a while. Only after that does work continue with the local store alone.
 * Answers that are used without the shared store are copied to it when it returns. If another machine's answer is
 * already there, that one stays, and the difference is reported.
 *
 * A store that answers but refuses what is written (no right, no space) would make each machine pay for everything. So
 * no answer is paid for then, unless this machine may work alone.
 */
import { pMapIterable } from "p-map";
import { pause, within } from "../../abort.ts";
import { NOBODY_ELSE, type Recording, type RecordingStore, StoreRefusal, Unreachable } from "../recording.ts";
import { Outages } from "./outage.ts";
import { type Access, Refusals } from "./refusals.ts";
import { countFiles, hashOf, type UsedAnswer, UsedAnswers } from "./used-answers.ts";

export interface SharedOptions {
  /** Absent: requests fail while the shared store is unavailable. */
  readonly local?: RecordingStore;
  /** Requests fail while the shared store is unavailable. The local store only keeps answers until they can be copied. */
  readonly required?: boolean;
  /** If the shared store refuses a request, the local one is used instead. Default: that is an error. */
  readonly alone?: boolean;
  readonly warn: (message: string) => void;
  /** How long to avoid a store after it refused a request. Default: 60 s when working alone, otherwise 2 s. */
  readonly restMs?: number;
  /** How long to wait for a store that does not answer: if it has answered before, and if it has not. */
  readonly lostMs?: number;
  readonly absentMs?: number;
  /** How long a ready answer may wait for the store. Default 5 s. */
  readonly readyMs?: number;
  /**
   * At the end of the process: how long to wait for a store that is away, and how long for one that should take answers
   * and takes none. Default 2 s and 5 s.
   */
  readonly awayMs?: number;
  readonly lastMs?: number;
  /** Reading must not write: recordings that only the local store has stay there. */
  readonly lookOnly?: boolean;
  /** Called whenever `health` may have changed. */
  readonly onChange?: () => void;
}

/** An answer that was used without the shared store, and has to be copied to it. */
interface Owed {
  readonly label: string;
  /** Absent: the local store has it. */
  readonly recording?: Recording;
  /** Whether it replaces the answer in the shared store, because a user requested a new one. */
  readonly replaces: boolean;
}

/** How many answers are copied to the store at a time. */
const AT_ONCE = 16;

/** How often to look whether the store was emptied, while it is used. */
const LOOK_MS = 2_000;

/** How often to send a request that is not answered, although the store answers others. */
const TRIES = 3;

/** A key that no request has. */
const NO_KEY = "0".repeat(64);

export function createSharedStore(shared: RecordingStore, options: SharedOptions): RecordingStore {
  const { local, warn, lookOnly = false, lostMs = 60_000, absentMs = 30_000, onChange = () => {} } = options;
  const alone = options.alone === true || lookOnly;
  const { restMs = alone ? 60_000 : 2_000 } = options;
  const { required = local === undefined, readyMs = 5_000, awayMs = 2_000, lastMs = 5_000 } = options;
  const refusals = new Refusals({ name: shared.name, localName: local?.name, alone, restMs, warn });
  const owed = new Map<string, Owed>();
  /** By key: the labels of answers for which other machines have different ones. */
  const differing = new Map<string, string>();
  const offers = new Set<Promise<void>>();
  let delivering: Promise<void> | undefined;

  const outages = new Outages({
    name: shared.name,
    probe: () => probe(),
    warn,
    lostMs,
    absentMs,
    otherwise: required ? "nothing is generated until it answers" : `${local?.name} are used until it answers`,
    onReturn: () => {
      lookForLoss();
      deliver();
    },
    onChange,
  });
  const used = new UsedAnswers();
  /** The id that the store had when it was first used. */
  let identity: string | undefined;
  let looking: Promise<void> | undefined;
  let lastUse = 0;
  shared.onConnect?.(() => {
    if (identity !== undefined) lookForLoss();
  });
  const timer = setInterval(() => {
    if (performance.now() - lastUse < 10 * LOOK_MS) lookForLoss();
  }, LOOK_MS);
  timer.unref();

  /** Notices that the store was emptied, and brings back what it has lost. */
  function lookForLoss(): Promise<void> {
    if (lookOnly || outages.away) return Promise.resolve();
    looking ??= restore()
      .catch((error: unknown) => {
        if (isAway(error)) outages.begin(error);
      })
      .finally(() => {
        looking = undefined;
      });
    return looking;
  }

  async function restore(): Promise<void> {
    const now = await shared.identity?.();
    if (now === undefined || now === identity) return;
    const lost = identity !== undefined;
    identity = now;
    if (!lost) return;
    warn(`${shared.name} was emptied; bringing back the answers that were used here`);
    for await (const _ of pMapIterable(used.all(), bringBack, { concurrency: AT_ONCE })) lastUse = performance.now();
  }

  async function bringBack({ key, label, hash, recording }: UsedAnswer): Promise<void> {
    const own = recording ?? (await local?.get(key));
    const theirs = own === undefined ? await shared.get(key) : await shared.offer(own);
    if (theirs !== undefined && hashOf(theirs) !== hash) report(key, label);
  }

  /** Remembers an answer that everybody gets. */
  function note<T extends Recording | undefined>(recording: T): T {
    lastUse = performance.now();
    if (recording !== undefined && !lookOnly) used.note(recording);
    return recording;
  }

  /** A refusal is an answer too. */
  async function probe(): Promise<void> {
    try {
      await (shared.holder ?? shared.get)(NO_KEY);
    } catch (error) {
      if (isAway(error)) throw error;
    }
  }

  /**
   * The result of the shared store; undefined if work continues without it. Rejects if the store is required, and with
   * Refused if it refuses the request and this machine may not work alone.
   */
  async function use<T>(access: Access, work: () => Promise<T>): Promise<{ value: T } | undefined> {
    for (let tries = 1; ; tries += 1) {
      if (!(await outages.over())) {
        if (required) throw outages.error ?? new Unreachable(`${shared.name} was closed`);
        return undefined;
      }
      const refused = refusals.current(access);
      if (refused !== undefined && alone) return undefined;
      if (refused !== undefined) throw refused;
      try {
        const value = await work();
        outages.noteAnswer();
        if (access === "writing" && owed.size > 0) deliver();
        return { value };
      } catch (error) {
        // A store that answers the probe, but not this request, is not down.
        if (isAway(error) && tries < TRIES) outages.begin(error);
        else if (required) throw error;
        else {
          const refused = refusals.add(access, error);
          if (refused === undefined) return undefined;
          throw refused;
        }
      }
    }
  }

  /** Keeps an answer until the shared store has it. */
  async function keep(recording: Recording, replaces: boolean): Promise<Recording> {
    const { key, label } = recording;
    try {
      const kept = local === undefined || replaces ? recording : await local.offer(recording);
      if (replaces) await local?.put(recording);
      owed.set(key, { label, replaces, ...(local === undefined && { recording }) });
      return kept;
    } catch (error) {
      owed.set(key, { label, replaces, recording });
      throw error;
    } finally {
      onChange();
    }
  }

  /** Copies all missing answers to the shared store, as far as it accepts them. */
  function deliver(): Promise<void> {
    delivering ??= bringAll()
      .catch((error: unknown) => {
        if (isAway(error)) outages.begin(error);
      })
      .finally(() => {
        delivering = undefined;
        onChange();
      });
    return delivering;
  }

  async function bringAll(): Promise<void> {
    if (lookOnly) return;
    for await (const key of pMapIterable([...owed.keys()], bring, { concurrency: AT_ONCE })) {
      owed.delete(key);
      lastUse = performance.now();
    }
  }

  async function bring(key: string): Promise<string> {
    const { recording, replaces = false } = owed.get(key) ?? {};
    const own = recording ?? (await local?.get(key));
    if (own === undefined) return key;
    if (replaces) await shared.put(own);
    else await compare(own, await shared.offer(own));
    return key;
  }

  /** Offers an answer that the local store had. Undefined: the shared store does not take it now. */
  async function bringNow(own: Recording): Promise<Recording | undefined> {
    try {
      return (await use("writing", () => shared.offer(own)))?.value;
    } catch (error) {
      // It costs nothing to use it, and `settle` reports that only this machine has it.
      if (error instanceof StoreRefusal) return undefined;
      throw error;
    }
  }

  /** Reports an answer that was used here, if other machines have a different one. */
  async function compare(own: Recording, theirs: Recording): Promise<void> {
    if (own.answer.text === theirs.answer.text) return;
    report(own.key, own.label);
    await local?.put(theirs).catch(() => {});
  }

  function report(key: string, label: string): void {
    if (differing.has(key)) return;
    differing.set(key, label);
    const what = `${label}: an answer was used while ${shared.name} was away or empty`;
    warn(`${what}, and another machine has a different one; this tree differs from that of other machines`);
  }

  /** Offers a ready answer, without waiting for a store that does not answer. */
  async function offerNow(recording: Recording): Promise<Recording | undefined> {
    if (outages.away || refusals.current("writing") !== undefined) return undefined;
    let late = false;
    const offer = shared.offer(recording);
    const outcome = offer.then(
      async (theirs) => {
        outages.noteAnswer();
        if (!late) return note(theirs);
        owed.delete(recording.key);
        await compare(recording, theirs);
        return undefined;
      },
      (error: unknown) => {
        if (isAway(error)) outages.begin(error);
        else refusals.add("writing", error);
        return undefined;
      },
    );
    const settled = outcome.then(
      () => {},
      () => {},
    );
    offers.add(settled);
    settled.then(() => offers.delete(settled));
    return within(readyMs, outcome, () => new Late()).catch((error: unknown) => {
      if (!(error instanceof Late)) throw error;
      late = true;
      return undefined;
    });
  }

  /** Waits for work as long as it makes progress. */
  async function untilStalled(work: Promise<void>): Promise<void> {
    let over = false;
    const done = work.finally(() => {
      over = true;
    });
    lastUse = performance.now();
    while (!over && performance.now() - lastUse < lastMs) await Promise.race([done, pause(100)]);
  }

  /** Finishes, and returns in words what is still missing or different. */
  async function settle(): Promise<readonly string[]> {
    if (outages.away) await within(awayMs, outages.tryNow(), () => new Late()).catch(() => {});
    const all = async () => {
      await Promise.all(offers);
      await deliver();
      if (identity !== undefined) await lookForLoss();
    };
    if (!outages.away) await untilStalled(all().catch(() => {}));
    const problems = [...(await (shared.settle?.() ?? [])), ...(await (local?.settle?.() ?? []))];
    if (differing.size > 0) {
      problems.push(
        `${countFiles([...differing.values()])} not what other machines got: answers were used while ${shared.name} was away or empty; ` +
          "start again to get theirs",
      );
    }
    if (owed.size > 0 && !lookOnly) {
      problems.push(
        `${countFiles([...owed.values()].map(({ label }) => label))} recorded on this machine only, and other machines may get ` +
          `other answers: ${shared.name} ${outages.away ? "is away" : "cannot be written"}`,
      );
    }
    return problems;
  }

  return {
    name: shared.name,
    async get(key, label, request) {
      const found = await use("reading", () => shared.get(key, label, request));
      if (found?.value !== undefined) return note(found.value);
      if (identity === undefined && found !== undefined) await lookForLoss();
      const own = owed.get(key)?.recording ?? (await local?.get(key, label, request));
      if (own === undefined || lookOnly) return own;
      const theirs = found === undefined ? undefined : await bringNow(own);
      if (theirs !== undefined) return note(theirs);
      if (!owed.has(key)) owed.set(key, { label: own.label, replaces: false });
      return own;
    },
    async put(recording) {
      try {
        if ((await use("writing", () => shared.put(recording))) !== undefined) note(recording);
        else await keep(recording, true);
      } catch (error) {
        // It is paid for.
        if (error instanceof StoreRefusal) await keep(recording, true);
        else throw error;
      }
    },
    async offer(recording) {
      if (!required) return (await offerNow(recording)) ?? keep(recording, false);
      try {
        const offered = await use("writing", () => shared.offer(recording));
        if (offered !== undefined) return note(offered.value);
      } catch (error) {
        await keep(recording, false).catch(() => {});
        throw error;
      }
      throw new Unreachable(`${shared.name} cannot be written`);
    },
    async list() {
      return (await use("reading", () => shared.list()))?.value ?? (await local?.list()) ?? [];
    },
    async near(label) {
      const found = await use("reading", async () => shared.near?.(label));
      return (found === undefined ? await local?.near?.(label) : found.value) ?? [];
    },
    unusable: (key) => shared.unusable?.(key) ?? local?.unusable?.(key),
    async remove(key) {
      owed.delete(key);
      used.forget(key);
      await use("writing", async () => shared.remove?.(key));
      await local?.remove?.(key);
    },
    async claim(key) {
      const claimed = await use("writing", async () => (shared.claim ? await shared.claim(key) : NOBODY_ELSE));
      if (claimed !== undefined) return claimed.value;
      // Without the shared store, only processes on this machine can hold claims.
      return local?.claim ? local.claim(key) : NOBODY_ELSE;
    },
    async holder(key) {
      if (outages.away) return local?.holder?.(key);
      return (await use("writing", async () => shared.holder?.(key)))?.value ?? local?.holder?.(key);
    },
    flush: async () => local?.flush?.(),
    settle,
    ensureAccepts() {
      const refused = alone ? undefined : refusals.current("writing");
      if (refused !== undefined) throw refused;
    },
    health: () => ({ reachable: outages.reachable, since: outages.since, onlyLocal: owed.size }),
    async close() {
      clearInterval(timer);
      outages.close();
      await shared.close?.();
      await local?.close?.();
    },
  };
}

class Late extends Error {}

/** The store did not answer. Any other error is an answer. */
function isAway(error: unknown): boolean {
  return error instanceof Unreachable && !error.refused;
}
