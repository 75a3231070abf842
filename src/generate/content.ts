/** Turns the result of a generator into the content of a file: bytes, and metadata as text. */
import { FsError } from "../errno.ts";
import type { FileContent } from "../generators/contract.ts";
import { formatJsonFile, kindOf } from "../generators/formats/json.ts";
import type { ContentSink, GeneratedContent } from "../rpc/generation.ts";
import { Pace } from "../text/pace.ts";

export interface ContentLimits {
  /** The maximum size of content in bytes. */
  readonly bytes: number;
}

/** How much of a stream is buffered. Smaller content is delivered in one piece. */
const HELD_BYTES = 256 * 1024;

/**
 * `origin` names the file and the generator for messages. A stream is passed on to the sink, if there is one. Rejects with
 * FsError EFBIG or EIO, the error of the sink, or the signal's reason.
 */
export async function deliver(
  content: FileContent["content"],
  origin: string,
  limits: ContentLimits,
  signal: AbortSignal,
  sink?: ContentSink,
): Promise<Pick<GeneratedContent, "bytes" | "streamed">> {
  if (typeof content === "string") return deliverText(content, origin, limits);
  if (content instanceof Uint8Array) return limit(new Uint8Array(content), origin, limits);
  if (content instanceof Blob) return collect(content.stream(), origin, limits, signal, sink);
  if (isAsyncIterable(content)) return collect(content, origin, limits, signal, sink);
  return limit(new TextEncoder().encode(formatJsonFile(content, origin)), origin, limits);
}

/** The same for text, at once. Throws FsError EFBIG. */
export function deliverText(text: string, origin: string, limits: ContentLimits): Pick<GeneratedContent, "bytes"> {
  return limit(new TextEncoder().encode(text), origin, limits);
}

/** Converts every value to text. Skips and reports keys that cannot be part of an xattr name. */
export function metadataText(
  metadata: FileContent["metadata"],
  warn: (message: string) => void,
): ReadonlyMap<string, string> {
  const text = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata ?? {})) {
    const stored = String(value);
    // xattr names have at most 255 bytes (XATTR_NAME_MAX) including "user.llmfs.meta.", and values at most 64 KiB.
    if (key === "" || key.includes("\0") || isLongerThan(key, 200) || isLongerThan(stored, 65536)) {
      warn(`skipped metadata ${JSON.stringify(key.slice(0, 40))}: it does not fit into an xattr`);
    } else text.set(key, stored);
  }
  return text;
}

/** Whether a text has more than `bytes` bytes in UTF-8, where a UTF-16 code unit has at most three. */
function isLongerThan(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && Buffer.byteLength(text) > bytes;
}

/** Whether a generator says that the existing content is still valid. */
export function isUnchanged(value: unknown): boolean {
  return typeof value === "object" && value !== null && "unchanged" in value && value.unchanged === true;
}

/** The members are checked where they are used. */
export function isFileContent(value: unknown): value is FileContent {
  return typeof value === "object" && value !== null && "content" in value;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

/** Ends the iteration, so that the generator's `finally` runs, if there is too much content or the result is not needed. */
async function collect(
  pieces: AsyncIterable<unknown>,
  origin: string,
  limits: ContentLimits,
  signal: AbortSignal,
  sink: ContentSink | undefined,
): Promise<Pick<GeneratedContent, "bytes" | "streamed">> {
  let held: Uint8Array[] = [];
  let heldLength = 0;
  let length = 0;
  const takeHeld = () => {
    const bytes = Buffer.concat(held);
    held = [];
    heldLength = 0;
    return bytes;
  };
  const encoder = new TextEncoder();
  const pace = new Pace(signal);
  for await (const piece of pieces) {
    signal.throwIfAborted();
    if (pace.due) await pace.pause();
    if (typeof piece !== "string" && !(piece instanceof Uint8Array)) {
      throw new FsError("EIO", `${origin} streamed ${kindOf(piece)}; expected text or bytes`);
    }
    const bytes = typeof piece === "string" ? encoder.encode(piece) : new Uint8Array(piece);
    length += bytes.length;
    if (length > limits.bytes) throw createTooLargeError(origin, limits);
    held.push(bytes);
    heldLength += bytes.length;
    if (sink !== undefined && heldLength > HELD_BYTES) await sink.write(takeHeld());
  }
  if (sink === undefined || heldLength === length) return { bytes: takeHeld() };
  if (heldLength > 0) await sink.write(takeHeld());
  return { bytes: new Uint8Array(0), streamed: true };
}

function limit(bytes: Uint8Array, origin: string, limits: ContentLimits): Pick<GeneratedContent, "bytes"> {
  if (bytes.length > limits.bytes) throw createTooLargeError(origin, limits);
  return { bytes };
}

function createTooLargeError(origin: string, limits: ContentLimits): FsError {
  return new FsError(
    "EFBIG",
    `${origin} returned more than ${limits.bytes} bytes; to allow more, set "maxBytes" in the rule`,
  );
}
