/**
 * The common part of stores on a server: reads, checks and lists recordings that are stored as texts under names, and
 * reports those that cannot be used. A server only has to implement `RemoteObjects`.
 */
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
import { inParallel } from "../in-parallel.ts";
import { compareLabels } from "../memory.ts";

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
  close?(): Promise<void>;
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
  const complaints = new Complaints(warn);
  /** Undefined if there is none, or none that can be used. Rejects with Unreachable. */
  async function read(
    object: string,
    asked: Keyed | undefined,
    onFault: (fault: Fault) => void,
  ): Promise<Recording | undefined> {
    try {
      const text = await objects.read(object);
      if (text === undefined) return undefined;
      signer?.check(text);
      const recording = asked === undefined ? readRecording(text) : readAnswerTo(asked, text);
      if (object !== objects.nameOf(recording.key)) throw new Error("it is stored under another recording's name");
      return recording;
    } catch (error) {
      if (error instanceof Unreachable) throw error;
      onFault(faultOf(object, error));
      return undefined;
    }
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
    for await (const entry of inParallel(all, objects.parallel, readEntry)) if (entry !== undefined) yield entry;
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
      if (await objects.create(object, text, recording.label)) return recording;
      const there = await read(object, recording, complain);
      if (there !== undefined) return there;
      // It cannot be used, or was removed in the meantime.
      await objects.write(object, text, recording.label);
      complaints.remove(object);
      return recording;
    },
    async list() {
      const found: Recording[] = [];
      for await (const { recording, fault } of entries()) {
        if (recording !== undefined) found.push(recording);
        else complain(fault);
      }
      return found.sort(compareLabels);
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
    claim: (key) => objects.claim(key),
    holder: (key) => objects.holder(key),
    close: async () => await objects.close?.(),
  };
}
