/**
 * The key of a request, which decides whether two requests are the same.
 *
 * It is the sha-256, in hexadecimal, of the request as canonical JSON (RFC 8785: members sorted by UTF-16 code units,
 * no spaces, numbers as ECMAScript writes them). Undefined members count as absent, so an option that is not set does
 * not change the key. Everything else in the request does.
 */
import type { ChatRequest } from "../llm/llm.ts";
import { PerHead, PrefixCache } from "./prefix-cache.ts";

export function requestKey(request: ChatRequest): string {
  const digest = new Digest();
  // Piece by piece: a prompt is long, and each pair of brackets around it would copy it.
  write(request, (piece) => digest.add(piece));
  return digest.hex();
}

/** Digests JSON. A beginning that many requests share is digested once. */
class Digest {
  #hasher: Hasher | undefined;
  /** Everything before the first long piece. */
  #before = "";

  add(piece: string): void {
    if (this.#hasher !== undefined) this.#hasher.update(piece);
    else if (piece.length < LONG) this.#before += piece;
    else this.#begin(piece);
  }

  hex(): string {
    return (this.#hasher ?? newHasher().update(this.#before)).digest("hex");
  }

  #begin(piece: string): void {
    const before = this.#before;
    const known = hashed.get(piece);
    const { hasher } =
      known?.before === before
        ? known
        : hashed.set(piece, { before, hasher: newHasher().update(before).update(piece) });
    this.#hasher = hasher.copy();
  }
}

type Hasher = Bun.CryptoHasher;

interface Hashed {
  readonly before: string;
  readonly hasher: Hasher;
}

/** Longer than the parts that are the same in every request. */
const LONG = 2048;
const hashed = new PerHead<Hashed>();

function newHasher(): Hasher {
  return new Bun.CryptoHasher("sha256");
}

const heads = new PrefixCache();
/** As JSON, without the final quotation mark. */
const jsonHeads = new PerHead<string>();

/** A string as JSON, in pieces; the first is often the same as before. */
function writeString(text: string, put: (piece: string) => void): void {
  const head = heads.of(text);
  if (head === "") return put(JSON.stringify(text));
  put(jsonHeads.get(head) ?? jsonHeads.set(head, JSON.stringify(head).slice(0, -1)));
  put(JSON.stringify(text.slice(head.length)).slice(1));
}

/** Throws for values that JSON cannot hold (functions, NaN, bigint), which never belong in a request. */
export function canonicalJson(value: unknown): string {
  const pieces: string[] = [];
  write(value, (piece) => pieces.push(piece));
  return pieces.join("");
}

function write(value: unknown, put: (piece: string) => void): void {
  if (typeof value === "string") return writeString(value, put);
  if (value === null || typeof value === "boolean") return put(JSON.stringify(value));
  if (typeof value === "number" && Number.isFinite(value)) return put(JSON.stringify(value));
  if (Array.isArray(value)) {
    put("[");
    for (const [index, item] of value.entries()) {
      if (index > 0) put(",");
      write(item, put);
    }
    return put("]");
  }
  if (typeof value === "object") {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    members.sort(([a], [b]) => (a < b ? -1 : 1));
    put("{");
    for (const [index, [name, member]] of members.entries()) {
      put(`${index > 0 ? "," : ""}${JSON.stringify(name)}:`);
      write(member, put);
    }
    return put("}");
  }
  throw new Error(`a request cannot hold a ${typeof value} (${String(value)})`);
}
