/**
 * The key of a request: what makes two requests the same.
 *
 * sha-256, in hexadecimal, of the request as canonical JSON (RFC 8785: members sorted by UTF-16 code units, no
 * spaces, numbers as ECMAScript writes them). Members that are undefined count as absent, so an option that is not
 * set does not change the key. Everything else in the request does.
 */
import type { ChatRequest } from "../llm/llm.ts";

export function requestKey(request: ChatRequest): string {
  return new Bun.CryptoHasher("sha256").update(canonicalJson(request)).digest("hex");
}

/** Throws for what JSON cannot hold (functions, NaN, bigint): none of it belongs in a request. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number" && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(",")}]`;
  if (typeof value === "object") {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    members.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(",")}}`;
  }
  throw new Error(`a request cannot hold a ${typeof value} (${String(value)})`);
}
