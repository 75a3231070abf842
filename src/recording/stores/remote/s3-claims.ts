/**
 * Claims on S3: objects that their holders rewrite every few seconds.
 *
 * How old a claim is, the server says: both the time of its last change and the time now come from the server, so clocks
 * of different machines are never compared. A server that does not honour conditions on a write cannot decide who of two
 * was first. There, a claim is read again after a pause: the last one that was written counts.
 */
import { holderIn, LONGEST_TOKEN } from "../../holder.ts";
import type { Claim } from "../../recording.ts";
import { type Lease, Leases, Tokens } from "./lease.ts";
import type { ObjectHead, S3Connection } from "./s3-connection.ts";

/** Servers give times in whole seconds. */
const ROUNDING_MS = 1_000;

export interface S3ClaimsOptions {
  readonly connection: S3Connection;
  readonly place: (key: string) => string;
  /** Whether the server honours conditions on a write. */
  readonly conditional: () => Promise<boolean>;
  readonly claimMs: number;
  readonly who: () => string;
  /** Where nothing else decides: waits until other writes that have begun are visible. */
  readonly waitUntilVisible: () => Promise<void>;
}

export class S3Claims {
  readonly #options: S3ClaimsOptions;
  readonly #leases: Leases;
  readonly #tokens = new Tokens();
  /** Of a server that does not say what time it is: when we first saw the current version of a claim of others. */
  readonly #seen = new Map<string, { readonly etag: string; readonly since: number }>();

  constructor(options: S3ClaimsOptions) {
    this.#options = options;
    this.#leases = new Leases(options.claimMs);
  }

  async take(key: string): Promise<Claim | undefined> {
    const { connection, who, conditional } = this.#options;
    const place = this.#options.place(key);
    // This is the first thing that is written, and the moment for a warning.
    await conditional();
    return this.#tokens.use(place, who(), async (token, used) => {
      const standing = await connection.head(place);
      if (standing !== undefined && used && (await this.#read(place)) === token) {
        return this.#leases.hold(this.#lease(place, token, standing.etag));
      }
      if (standing !== undefined && !this.#isDead(key, standing)) return undefined;
      const etag = await this.#write(place, token, standing?.etag);
      this.#seen.delete(key);
      return etag === undefined ? undefined : this.#leases.hold(this.#lease(place, token, etag));
    });
  }

  /** The holder, in words. */
  async holder(key: string): Promise<string | undefined> {
    const token = await this.#read(this.#options.place(key));
    return token === undefined ? undefined : holderIn(token);
  }

  async close(): Promise<void> {
    await this.#leases.settle();
  }

  /** `etag` is the version to replace. Returns the new one; undefined if the claim belongs to somebody else. */
  async #write(place: string, body: string, etag: string | undefined): Promise<string | undefined> {
    const { connection, conditional, waitUntilVisible } = this.#options;
    if (!(await conditional())) {
      const written = await connection.write(place, body);
      await waitUntilVisible();
      return (await this.#read(place)) === body ? written : undefined;
    }
    const written = await connection.write(place, body, etag === undefined ? { ifNoneMatch: "*" } : { ifMatch: etag });
    if (written !== undefined) return written;
    // Our own request may have been sent twice, because the answer to the first one was lost.
    const head = await connection.head(place);
    return head !== undefined && (await this.#read(place)) === body ? head.etag : undefined;
  }

  #lease(place: string, token: string, first: string): Lease {
    const { connection, claimMs } = this.#options;
    let etag: string | undefined = first;
    let beat = 0;
    /** Until when the claim is certainly ours. */
    let oursUntil = performance.now() + claimMs;
    return {
      renew: async () => {
        const asked = performance.now();
        beat += 1;
        etag = (await this.#renew(place, token, beat, etag)) ?? undefined;
        if (etag === undefined) return false;
        oursUntil = asked + claimMs;
        return true;
      },
      drop: async () => {
        if (etag === undefined) return;
        if (performance.now() < oursUntil - claimMs / 3) await connection.remove(place);
        else await this.#removeOurs(place, token);
      },
    };
  }

  async #renew(place: string, token: string, beat: number, etag: string | undefined): Promise<string | undefined> {
    const { connection, conditional } = this.#options;
    const body = `${token}\n${beat}`;
    if (await conditional()) {
      const written = etag === undefined ? undefined : await connection.write(place, body, { ifMatch: etag });
      if (written !== undefined) return written;
    }
    const current = await this.#read(place);
    if (current !== undefined && !current.startsWith(token)) return undefined;
    const standing = current === undefined ? undefined : (await connection.head(place))?.etag;
    return this.#write(place, body, standing);
  }

  async #read(place: string): Promise<string | undefined> {
    return (await this.#options.connection.read(place, LONGEST_TOKEN))?.text;
  }

  async #removeOurs(place: string, token: string): Promise<void> {
    const { connection } = this.#options;
    if ((await this.#read(place))?.startsWith(token)) await connection.remove(place);
  }

  #isDead(key: string, { etag, ageMs }: ObjectHead): boolean {
    const { claimMs } = this.#options;
    if (ageMs !== undefined) return ageMs > claimMs + ROUNDING_MS;
    const seen = this.#seen.get(key);
    if (seen?.etag === etag) return performance.now() - seen.since > claimMs;
    this.#seen.set(key, { etag, since: performance.now() });
    return false;
  }
}
