/**
 * What programs did with the mount and what that caused, as lines of JSON: `.llmfs/events`.
 *
 * Events of generations, denials and requests through `control` are always kept, because each goes with far more
 * expensive work. Opens and changes of ordinary files are only noted while somebody follows the file, or while all events
 * are reported to the main thread.
 */
import type { EventName, MountEvent } from "../../rpc/programs.ts";
import { printable } from "../../text/printable.ts";
import type { ControlHandle } from "../control/directory.ts";

/** The maximum size of all lines that are kept, in bytes. */
const KEPT = 1 << 20;

/** What the caller knows of an event. */
export type EventDetails = Omit<MountEvent, "seq" | "at" | "event">;

/** What the caller knows and computes only if somebody reads the event. It must not change until then. */
type MoreDetails = () => EventDetails;

/** An event, and its line once somebody has read it: most events are never read, and to format one takes microseconds. */
interface EventLine {
  readonly seq: number;
  readonly at: number;
  readonly name: EventName;
  readonly details: EventDetails;
  readonly more: MoreDetails | undefined;
  /** The size in bytes, estimated until the line is formatted. */
  size: number;
  bytes: Buffer | undefined;
}

export class Events {
  readonly #report: ((event: MountEvent) => void) | undefined;
  readonly #now: () => number;
  /** Oldest first, from `#first` on. */
  #lines: EventLine[] = [];
  #first = 0;
  #kept = 0;
  #seq = 0;
  /** The size in bytes of all lines so far. */
  #written = 0;
  #followers = 0;

  /** `report`: called with each event. */
  constructor(report: ((event: MountEvent) => void) | undefined, now: () => number = Date.now) {
    this.#report = report;
    this.#now = now;
  }

  /** Whether opens and changes are noted, too. */
  get watched(): boolean {
    return this.#followers > 0 || this.#report !== undefined;
  }

  /** The size that the file reports. It only grows, and is more than any reader has read, as `tail -f` expects. */
  get size(): number {
    return this.#written + KEPT;
  }

  /** Keep `details` as they are. */
  add(name: EventName, details: EventDetails, more?: MoreDetails): void {
    const size = estimateSize(details);
    const line = { seq: ++this.#seq, at: this.#now(), name, details, more, size, bytes: undefined };
    this.#lines.push(line);
    this.#kept += size;
    this.#written += size;
    while (this.#kept > KEPT) {
      this.#kept -= this.#lines[this.#first]?.size ?? 0;
      this.#first++;
    }
    // An array whose first half is unused is copied, which takes a constant time per event.
    if (this.#first > this.#lines.length / 2) {
      this.#lines = this.#lines.slice(this.#first);
      this.#first = 0;
    }
    this.#report?.(toEvent(line));
  }

  #bytesOf(line: EventLine): Buffer {
    if (line.bytes !== undefined) return line.bytes;
    // JSON escapes control characters, but not those of C1.
    line.bytes = Buffer.from(`${printable(JSON.stringify(toEvent(line)))}\n`);
    this.#kept += line.bytes.length - line.size;
    // What was once reported never shrinks.
    this.#written += Math.max(0, line.bytes.length - line.size);
    line.size = line.bytes.length;
    return line.bytes;
  }

  /** A reader gets what is kept, and then what is added. */
  follow(): ControlHandle {
    this.#followers++;
    /** The next event to read, and the rest of the line before it. */
    let next = 1;
    let rest: Buffer = Buffer.alloc(0);
    return {
      read: (_offset, target) => {
        let length = 0;
        while (length < target.length) {
          if (rest.length === 0) {
            const oldest = this.#lines[this.#first]?.seq ?? this.#seq + 1;
            if (next < oldest) {
              rest = Buffer.from(`${JSON.stringify({ event: "dropped", count: oldest - next })}\n`);
              next = oldest;
            } else {
              const line = this.#lines[this.#first + next - oldest];
              if (line === undefined) break;
              rest = this.#bytesOf(line);
              next++;
            }
          }
          const copied = rest.copy(target, length);
          rest = rest.subarray(copied);
          length += copied;
        }
        return length;
      },
      close: () => {
        this.#followers--;
      },
    };
  }
}

function toEvent({ seq, at, name, details, more }: EventLine): MountEvent {
  return { seq, at: new Date(at).toISOString(), event: name, ...details, ...more?.() };
}

/** The part of a line that has the same length in most events. */
const FRAME = 160;

function estimateSize({ path = "", to = "", for: reader = "", reason = "" }: EventDetails): number {
  return FRAME + path.length + to.length + reader.length + reason.length;
}
