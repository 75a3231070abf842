/** From what a generator returns to what a file holds: bytes, and metadata as text. */
import { FsError } from "../errno.ts";
import type { FileContent } from "../generators/contract.ts";
import { formatJsonFile, kindOf } from "../generators/formats/json.ts";
import type { ContentSink, GeneratedContent } from "../rpc/generation.ts";

export interface ContentLimits {
  /** Largest content in bytes. */
  readonly bytes: number;
}

/** What of a stream is held at a time; a content no larger comes in one. */
const HELD_BYTES = 256 * 1024;

/**
 * `origin` names file and generator, for messages. A stream goes to the sink, if there is one, as it comes. Rejects with
 * FsError EFBIG or EIO, with what the sink rejects with, or the signal's reason.
 */
export async function deliver(
  content: FileContent["content"],
  origin: string,
  limits: ContentLimits,
  signal: AbortSignal,
  sink?: ContentSink,
): Promise<Pick<GeneratedContent, "bytes" | "streamed">> {
  if (typeof content === "string") return limit(new TextEncoder().encode(content), origin, limits);
  if (content instanceof Uint8Array) return limit(new Uint8Array(content), origin, limits);
  if (content instanceof Blob) return collect(content.stream(), origin, limits, signal, sink);
  if (isAsyncIterable(content)) return collect(content, origin, limits, signal, sink);
  return limit(new TextEncoder().encode(formatJsonFile(content, origin)), origin, limits);
}

/** Every value as text. A key that cannot be part of an xattr's name is left out and reported. */
export function metadataText(
  metadata: FileContent["metadata"],
  warn: (message: string) => void,
): ReadonlyMap<string, string> {
  const text = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata ?? {})) {
    const stored = String(value);
    // xattr names have at most 255 bytes (XATTR_NAME_MAX), "user.llmfs.meta." included; values 64 KiB.
    if (key === "" || key.includes("\0") || isLongerThan(key, 200) || isLongerThan(stored, 65536)) {
      warn(`metadata ${JSON.stringify(key.slice(0, 40))} is left out: no xattr can hold it`);
    } else text.set(key, stored);
  }
  return text;
}

/** Whether a text has more bytes than that in UTF-8, where a UTF-16 unit takes three at most. */
function isLongerThan(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && Buffer.byteLength(text) > bytes;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

/** Stops the iteration, so that the generator's `finally` runs, on too much and when nobody wants the result. */
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
  const taken = () => {
    const bytes = Buffer.concat(held);
    held = [];
    heldLength = 0;
    return bytes;
  };
  const encoder = new TextEncoder();
  for await (const piece of pieces) {
    signal.throwIfAborted();
    if (typeof piece !== "string" && !(piece instanceof Uint8Array)) {
      throw new FsError("EIO", `${origin} streamed ${kindOf(piece)} where text or bytes are expected`);
    }
    const bytes = typeof piece === "string" ? encoder.encode(piece) : new Uint8Array(piece);
    length += bytes.length;
    if (length > limits.bytes) throw createTooLargeError(origin, limits);
    held.push(bytes);
    heldLength += bytes.length;
    if (sink !== undefined && heldLength > HELD_BYTES) await sink.write(taken());
  }
  if (sink === undefined || heldLength === length) return { bytes: taken() };
  if (heldLength > 0) await sink.write(taken());
  return { bytes: new Uint8Array(0), streamed: true };
}

function limit(bytes: Uint8Array, origin: string, limits: ContentLimits): Pick<GeneratedContent, "bytes"> {
  if (bytes.length > limits.bytes) throw createTooLargeError(origin, limits);
  return { bytes };
}

function createTooLargeError(origin: string, limits: ContentLimits): FsError {
  return new FsError("EFBIG", `${origin} returned more than ${limits.bytes} bytes; the rule's "maxBytes" allows more`);
}
