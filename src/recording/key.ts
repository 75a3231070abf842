/**
 * The key of a request, which decides whether two requests are the same.
 *
 * It is the sha-256, in hexadecimal, of the request as canonical JSON. Undefined members count as absent, so an option that
 * is not set does not change the key. Everything else in the request does.
 */
import type { ChatRequest } from "../llm/llm.ts";
import { jsonOfHead, writeJson } from "../text/canonical-json.ts";
import type { Head } from "../text/shared-heads.ts";

export function requestKey(request: ChatRequest): string {
  const digest = new Digest();
  writeJson(request, digest);
  return digest.hex();
}

type Hasher = Bun.CryptoHasher;

interface Hashed {
  readonly before: string;
  readonly hasher: Hasher;
}

/** By the first head of a request: everything up to its end. */
const hashed = new WeakMap<Head, Hashed>();

/** Digests JSON. A beginning that many requests share is digested once. */
class Digest {
  #hasher: Hasher | undefined;
  /** What is not digested yet. */
  #rest = "";

  text(piece: string): void {
    this.#rest += piece;
  }

  head(head: Head): void {
    if (this.#hasher === undefined) this.#hasher = this.#begin(head).copy();
    else this.#hasher.update(this.#rest).update(jsonOfHead.of(head));
    this.#rest = "";
  }

  hex(): string {
    return (this.#hasher ?? newHasher()).update(this.#rest).digest("hex");
  }

  #begin(head: Head): Hasher {
    const before = this.#rest;
    const known = hashed.get(head);
    if (known?.before === before) return known.hasher;
    const hasher = newHasher().update(before).update(jsonOfHead.of(head));
    hashed.set(head, { before, hasher });
    return hasher;
  }
}

function newHasher(): Hasher {
  return new Bun.CryptoHasher("sha256");
}
