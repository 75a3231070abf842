/**
 * The key of a request: what makes two requests the same.
 *
 * sha-256, in hexadecimal, of the request as canonical JSON (RFC 8785: members sorted by UTF-16 code units, no
 * spaces, numbers as ECMAScript writes them). Members that are undefined count as absent, so an option that is not
 * set does not change the key. Everything else in the request does.
 */
import type { ChatRequest } from "../llm/llm.ts";

export function requestKey(request: ChatRequest): string {
  const hasher = new Bun.CryptoHasher("sha256");
  // Piece by piece: a prompt is long, and would be copied with every bracket put around it.
  write(request, (piece) => hasher.update(piece));
  return hasher.digest("hex");
}

/** Throws for what JSON cannot hold (functions, NaN, bigint): none of it belongs in a request. */
export function canonicalJson(value: unknown): string {
  const pieces: string[] = [];
  write(value, (piece) => pieces.push(piece));
  return pieces.join("");
}

function write(value: unknown, put: (piece: string) => void): void {
  if (value === null || typeof value === "boolean" || typeof value === "string") return put(JSON.stringify(value));
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
