/**
 * The common part of stores on a server: reads, checks and lists recordings that are stored as texts under names, and
 * reports those that cannot be used. A server only has to implement `RemoteObjects`.
 */
import { pMapIterable } from "p-map";
import { faultOf, type Keyed, readAnswerTo, readRecording, writeRecording } from "../../record.ts";
import {
  type Claim,
  type Fault,
  type Recording,
  type RecordingStore,
  type StoreEntry,
  Unreachable,
} from "../../recording.ts";
import type { Signer } from "../../signature.ts";
import { Complaints } from "../complaints.ts";
import { selectValid } from "../entries.ts";
import { countFiles, hashOf } from "../used-answers.ts";

/** The operations that a store needs from a server. Rejects with Unreachable, or with an error about the one object. */
export interface RemoteObjects {
  /** For messages: "redis://cache:6379". */
  readonly name: string;
  /** How many objects to read in parallel when everything is listed. */
  readonly parallel: number;
  /** The name of the object for a recording. */
  nameOf(key: string): string;
  /** Undefined if there is none. Rejects with TooLongError beyond LONGEST_RECORDING. */
  read(object: string): Promise<RemoteText | undefined>;
  /** `label` is for the index. */
  write(object: string, text: string, label: string): Promise<void>;
  /** Writes it unless there is one already. False: there is. */
  create(object: string, text: string, label: string): Promise<boolean>;
  remove(object: string, label?: string): Promise<void>;
  /** The names of a few recordings with this label, or else with a similar one, from a bounded number of requests. */
  near(label: string): Promise<readonly string[]>;
  /** All objects that may contain recordings. */
  list(): Promise<readonly RemoteObject[]>;
  /** Like RecordingStore.claim and `holder`. */
  claim(key: string): Promise<Claim | undefined>;
  holder(key: string): Promise<string | undefined>;
  /** Like RecordingStore.identity. */
  identity(): Promise<string | undefined>;
  onConnect?(listener: () => void): void;
  /** Whether the server may replace an object that `create` made. Absent: never. */
  overwrites?(): Promise<boolean>;
  close?(): Promise<void>;
}

export interface RemoteText {
  readonly text: string;
  /** Where objects may be replaced: it is so new that this may still happen. */
  readonly recent?: boolean;
}

export interface RemoteObject {
  readonly name: string;
  /** As in StoreEntry. */
  readonly age?: number | undefined;
}

export interface RemoteOptions {
  /** Signs what is written, and rejects what it has not signed. */
  readonly signer?: Signer;
  /** Called once for each recording that is not used, with the reason. */
  readonly warn?: (message: string) => void;
  /** How long a claim lives without being renewed. Default 30 s. */
  readonly claimMs?: number;
  /** Timeout of one request. */
  readonly timeoutMs?: number;
  /** Describes this process to others that wait for its answer. */
  readonly who?: () => string;
}

export function createRemoteStore(
  objects: RemoteObjects,
  { warn = () => {}, signer }: Pick<RemoteOptions, "warn" | "signer"> = {},
): RecordingStore {
  const { name } = objects;
  const limit = { concurrency: objects.parallel };
  const complaints = new Complaints(warn);
  /** Recent recordings that were used here, by object. */
  const recent = new Map<string, { readonly label: string; readonly hash: bigint }>();

  /** Undefined if there is none, or none that can be used. Rejects with Unreachable. */
  async function read(
    object: string,
    asked: Keyed | undefined,
    onFault: (fault: Fault) => void,
  ): Promise<Recording | undefined> {
    try {
      const found = await objects.read(object);
      if (found === undefined) return undefined;
      const { text } = found;
      signer?.check(text);
      const recording = asked === undefined ? readRecording(text) : readAnswerTo(asked, text);
      if (object !== objects.nameOf(recording.key)) throw new Error("it is stored under another recording's name");
      if (found.recent === true) recent.set(object, { label: recording.label, hash: hashOf(recording) });
      return recording;
    } catch (error) {
      if (error instanceof Unreachable) throw error;
      onFault(faultOf(object, error));
      return undefined;
    }
  }

  /** The labels of recordings that were used here and have been replaced since. */
  async function findReplaced(): Promise<readonly string[]> {
    const findIfReplaced = async ([object, { label, hash }]: [string, { label: string; hash: bigint }]) => {
      const now = await read(object, undefined, () => {});
      return now === undefined || hashOf(now) === hash ? undefined : label;
    };
    const found: string[] = [];
    for await (const label of pMapIterable([...recent], findIfReplaced, limit)) if (label) found.push(label);
    return found;
  }

  async function readEntry({ name, age }: RemoteObject): Promise<StoreEntry | undefined> {
    let fault: Fault | undefined;
    const recording = await read(name, undefined, (found) => {
      fault = found;
    });
    if (fault !== undefined) return { name, age, fault };
    return recording && { name, age, recording };
  }

  function complain(fault: Fault): void {
    complaints.add(fault.name, { ...fault, name: `${fault.name} on ${name}` });
  }

  async function* entries(): AsyncIterable<StoreEntry> {
    const all = await objects.list();
    for await (const entry of pMapIterable(all, readEntry, limit)) if (entry !== undefined) yield entry;
  }

  return {
    name,
    get: (key, _label, request) => read(objects.nameOf(key), request && { key, request }, complain),
    async put(recording) {
      const object = objects.nameOf(recording.key);
      await objects.write(object, writeRecording(recording, signer), recording.label);
      complaints.remove(object);
    },
    async offer(recording) {
      const object = objects.nameOf(recording.key);
      const text = writeRecording(recording, signer);
      if (await objects.create(object, text, recording.label)) {
        recent.set(object, { label: recording.label, hash: hashOf(recording) });
        return recording;
      }
      const there = await read(object, recording, complain);
      if (there !== undefined) return there;
      // It cannot be used, or was removed in the meantime.
      await objects.write(object, text, recording.label);
      complaints.remove(object);
      return recording;
    },
    async list() {
      return (await selectValid(entries(), complain)).map(({ recording }) => recording);
    },
    async near(label) {
      const names = await objects.near(label);
      const found = await Promise.all(names.map((object) => read(object, undefined, complain)));
      return found.filter((recording) => recording !== undefined);
    },
    unusable: (key) => complaints.find((object) => object === objects.nameOf(key)),
    entries,
    remove: (key, label) => objects.remove(objects.nameOf(key), label),
    discard: (object) => objects.remove(object),
    identity: () => objects.identity(),
    ...(objects.onConnect && { onConnect: objects.onConnect }),
    async settle() {
      const labels = (await objects.overwrites?.()) === true ? await findReplaced() : [];
      if (labels.length === 0) return [];
      return [
        `${countFiles(labels)} not what other machines got: ${name} ignores conditions on writes, and two machines ` +
          "answered at the same time; start again to get the answers in the store",
      ];
    },
    claim: (key) => objects.claim(key),
    holder: (key) => objects.holder(key),
    close: async () => await objects.close?.(),
  };
}
