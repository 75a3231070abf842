/**
 * Canonical JSON (RFC 8785): members sorted by UTF-16 code units, no spaces, numbers as ECMAScript writes them. Undefined
 * members count as absent.
 */
import { type Head, PerHead, requestHeads } from "./shared-heads.ts";

/** Receives JSON piece by piece: a prompt is long, and each pair of brackets around it would copy it. */
export interface JsonSink {
  text(piece: string): void;
  /** The beginning of a string that many values share, from its quotation mark on: see `jsonOfHead`. */
  head(head: Head): void;
}

/** As JSON in UTF-8, without the final quotation mark. */
export const jsonOfHead = new PerHead((text) => Buffer.from(JSON.stringify(text).slice(0, -1)));

/** `holder` is the object that the value is a member of. Throws for values that JSON cannot hold (functions, NaN, bigint). */
export function writeJson(value: unknown, sink: JsonSink, holder?: object): void {
  if (typeof value === "string") return writeString(value, sink, holder);
  if (value === null || typeof value === "boolean") return sink.text(JSON.stringify(value));
  if (typeof value === "number" && Number.isFinite(value)) return sink.text(JSON.stringify(value));
  if (Array.isArray(value)) {
    sink.text("[");
    for (let index = 0; index < value.length; index++) {
      if (index > 0) sink.text(",");
      writeJson(value[index], sink);
    }
    return sink.text("]");
  }
  if (typeof value === "object") {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    members.sort(([a], [b]) => (a < b ? -1 : 1));
    sink.text("{");
    for (const [index, [name, member]] of members.entries()) {
      sink.text(`${index > 0 ? "," : ""}${JSON.stringify(name)}:`);
      writeJson(member, sink, value);
    }
    return sink.text("}");
  }
  throw new Error(`a request cannot hold a ${typeof value} (${String(value)})`);
}

/** The head and the rest are two pieces. */
function writeString(text: string, sink: JsonSink, holder: object | undefined): void {
  const cut = requestHeads.cut(text, holder);
  if (cut === undefined) return sink.text(JSON.stringify(text));
  sink.head(cut.head);
  sink.text(JSON.stringify(cut.rest).slice(1));
}

export function canonicalJson(value: unknown): string {
  const pieces: string[] = [];
  writeJson(value, {
    text: (piece) => pieces.push(piece),
    head: (head) => pieces.push(jsonOfHead.of(head).toString()),
  });
  return pieces.join("");
}

/** The same in UTF-8. */
export function canonicalJsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let text = "";
  const flush = () => {
    if (text !== "") parts.push(Buffer.from(text));
    text = "";
  };
  writeJson(value, {
    text: (piece) => {
      text += piece;
    },
    head: (head) => {
      flush();
      parts.push(jsonOfHead.of(head));
    },
  });
  flush();
  return new Uint8Array(Buffer.concat(parts));
}
