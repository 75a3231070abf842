/**
 * The common part of stores on a server: reads, checks and lists recordings that are stored as texts under names, and
 * reports those that cannot be used. A server only has to implement `RemoteObjects`.
 */
import { messageOf } from "../../errno.ts";
import { Labels } from "../labels.ts";
import { faultOf, type Keyed, readAnswerTo, readRecording, writeRecording } from "../record.ts";
import type { Claim, Fault, Recording, RecordingStore } from "../recording.ts";
import { compareLabels } from "./memory.ts";

/** The operations that a store needs from a server. Rejects with Unreachable, or with an error about the one object. */
export interface RemoteObjects {
  /** For messages: "redis://cache:6379". */
  readonly name: string;
  /** How many objects to read in parallel when everything is listed. */
  readonly parallel: number;
  /** The name of the object for a recording. */
  nameOf(key: string): string;
  /** Undefined if there is none. Rejects with TooLongError beyond LONGEST_RECORDING. */
  read(object: string): Promise<string | undefined>;
  write(object: string, text: string): Promise<void>;
  remove(object: string): Promise<void>;
  /** The names of all objects that may contain recordings. */
  list(): Promise<readonly string[]>;
  /** Like RecordingStore.claim and `holder`. */
  claim(key: string): Promise<Claim | undefined>;
  holder(key: string): Promise<string | undefined>;
  close?(): void;
}

export interface RemoteOptions {
  /** Called once for each recording that is not used, with the reason. */
  readonly warn?: (message: string) => void;
  /** How long a claim lives without being renewed. Default 30 s. */
  readonly claimMs?: number;
  /** Timeout of one request. */
  readonly timeoutMs?: number;
  /** Describes this process to others that wait for its answer. */
  readonly who?: () => string;
}

/** The store as a whole cannot be used. Any other error concerns one object. */
export class Unreachable extends Error {}

export function createRemoteStore(objects: RemoteObjects, warn: (message: string) => void = () => {}): RecordingStore {
  const { name } = objects;
  /** Objects that are not used, with the reason. */
  const unusable = new Map<string, string>();
  const labels = new Labels(async () => {
    const found: { label: string; name: string }[] = [];
    await each(({ label, key }) => found.push({ label, name: objects.nameOf(key) }));
    return found;
  });

  /** Undefined if there is none, or none that can be used. Rejects with Unreachable. */
  async function read(
    object: string,
    asked: Keyed | undefined,
    onFault: (object: string, error: unknown) => void,
  ): Promise<Recording | undefined> {
    try {
      const text = await objects.read(object);
      if (text === undefined) return undefined;
      const recording = asked === undefined ? readRecording(text) : readAnswerTo(asked, text);
      if (object !== objects.nameOf(recording.key)) throw new Error("it is stored under another recording's name");
      return recording;
    } catch (error) {
      if (error instanceof Unreachable) throw error;
      onFault(object, error);
      return undefined;
    }
  }

  async function each(
    onRecording: (recording: Recording) => void,
    onFault: (object: string, error: unknown) => void = () => {},
  ): Promise<void> {
    const all = await objects.list();
    for (let from = 0; from < all.length; from += objects.parallel) {
      const some = all.slice(from, from + objects.parallel);
      const found = await Promise.all(some.map((object) => read(object, undefined, onFault)));
      for (const recording of found) if (recording !== undefined) onRecording(recording);
    }
  }

  function complain(object: string, error: unknown): void {
    if (unusable.has(object)) return;
    const reason = messageOf(error);
    unusable.set(object, `${object} on ${name}: ${reason}`);
    warn(`the recording ${object} on ${name} is not used: ${reason}`);
  }

  return {
    name,
    get: (key, _label, request) => read(objects.nameOf(key), request && { key, request }, complain),
    async put(recording) {
      const object = objects.nameOf(recording.key);
      await objects.write(object, writeRecording(recording));
      unusable.delete(object);
    },
    async list() {
      const found: Recording[] = [];
      await each((recording) => found.push(recording), complain);
      return found.sort(compareLabels);
    },
    async near(label) {
      const found: Recording[] = [];
      for (const object of await labels.near(label)) {
        const recording = await read(object, undefined, complain);
        if (recording !== undefined) found.push(recording);
      }
      return found;
    },
    unusable: (key) => unusable.get(objects.nameOf(key)),
    async check() {
      const faults: Fault[] = [];
      await each(
        () => {},
        (object, error) => faults.push(faultOf(object, error)),
      );
      return faults;
    },
    remove: (key) => objects.remove(objects.nameOf(key)),
    discard: (object) => objects.remove(object),
    claim: (key) => objects.claim(key),
    holder: (key) => objects.holder(key),
    close: async () => objects.close?.(),
  };
}
