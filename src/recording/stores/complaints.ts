/** The recordings of a store that were found but are not used. Each is reported once. */
import { printableLine } from "../../text/printable.ts";
import type { Fault } from "../recording.ts";

export class Complaints {
  readonly #warn: (message: string) => void;
  readonly #byName = new Map<string, Fault>();
  #warnedOfSignatures = false;

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** `name` is the name within the store, and that of the fault also says where it is. */
  add(name: string, fault: Fault): void {
    if (this.#byName.has(name)) return;
    this.#byName.set(name, fault);
    const { reason, cure, untrusted } = fault;
    // All recordings of a store may be unsigned.
    if (untrusted && this.#warnedOfSignatures) return;
    if (untrusted) this.#warnedOfSignatures = true;
    const more = untrusted ? ". There may be more; `llmfs recordings verify` lists them" : "";
    const what = `the recording ${fault.name} is not used: ${reason}${cure === undefined ? "" : `; ${cure}`}`;
    this.#warn(printableLine(what) + more);
  }

  /** It was replaced. */
  remove(name: string): void {
    this.#byName.delete(name);
  }

  find(matches: (name: string) => boolean): Fault | undefined {
    for (const [name, fault] of this.#byName) if (matches(name)) return fault;
    return undefined;
  }
}
