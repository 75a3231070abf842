/** Signs the recordings of a store: those that are not signed, or signed with a key that is being replaced. */
import { faultOf, writeRecording } from "./record.ts";
import type { Fault, Recording, RecordingStore } from "./recording.ts";
import type { Signer } from "./signature.ts";
import { entriesOf } from "./stores/entries.ts";

export interface SignOptions {
  /** Reads recordings whatever their signature. */
  readonly plain: RecordingStore;
  /** The same store, which signs. */
  readonly signing: RecordingStore;
  readonly signer: Signer;
  /** Also sign recordings without a signature. Whoever asks for this trusts everybody who could write to the store. */
  readonly unsigned: boolean;
  readonly dryRun: boolean;
}

export interface Signed {
  readonly signed: readonly Recording[];
  /** The number of recordings that the current key has signed already. */
  readonly current: number;
  readonly faults: readonly Fault[];
}

export async function signRecordings(options: SignOptions): Promise<Signed> {
  const { plain, signing, signer, unsigned, dryRun } = options;
  const signed: Recording[] = [];
  const faults: Fault[] = [];
  let current = 0;
  for await (const { name, recording, fault } of entriesOf(plain)) {
    if (recording === undefined) {
      faults.push(fault);
      continue;
    }
    const text = writeRecording(recording);
    if (signer.isCurrent(text)) {
      current += 1;
      continue;
    }
    const problem = recording.signature === undefined && unsigned ? undefined : problemOf(signer, name, text);
    if (problem !== undefined) faults.push(problem);
    else {
      signed.push(recording);
      if (!dryRun) await signing.put(recording);
    }
  }
  await signing.flush?.();
  return { signed, current, faults };
}

function problemOf(signer: Signer, name: string, text: string): Fault | undefined {
  try {
    signer.check(text);
    return undefined;
  } catch (error) {
    return faultOf(name, error);
  }
}
