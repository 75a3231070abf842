/**
 * Recordings on S3, or any server with the same protocol, for a fleet.
 *
 * Objects: `<prefix>/recordings/<key>.txt` holds the text of record.ts; `<prefix>/claims/<key>` belongs to the process
 * that is generating that answer; `<prefix>/labels/<label>.<key>` is a small object by which a recording is found that
 * has this label, or a similar one.
 */

import { memoizeSuccess, pause } from "../../../abort.ts";
import { describeThisProcess, LONGEST_TOKEN } from "../../holder.ts";
import { LONGEST_RECORDING } from "../../record.ts";
import { type RecordingStore, Unreachable } from "../../recording.ts";
import { parseS3 } from "../address.ts";
import { createRemoteStore, type RemoteObjects, type RemoteOptions } from "./remote.ts";
import { S3Claims } from "./s3-claims.ts";
import { connectS3, type S3Connection, type S3Settings } from "./s3-connection.ts";
import { S3Index } from "./s3-index.ts";

export type S3Options = S3Settings & RemoteOptions;

/** The number of parallel reads when everything is listed. */
const PARALLEL = 16;
/**
 * On a server that ignores conditions: how long to wait before checking what was stored. Another write that began before
 * ours may take as long as our slowest one.
 */
const SETTLE_MS = 200;
const SLOWEST_SETTLE_MS = 3_000;
/** On such a server: for how long a recording may still be replaced by a write that was under way when it was stored. */
const RECENT_MS = 60_000;

/** `url` is `s3://bucket/prefix`. */
export function createS3Store(url: string, options: S3Options = {}): RecordingStore {
  const {
    warn = () => {},
    signer,
    who = describeThisProcess,
    claimMs = 30_000,
    timeoutMs = 15_000,
    ...settings
  } = options;
  const address = parseS3(url);
  const { prefix, name } = address;
  const at = (path: string) => (prefix === "" ? path : `${prefix}/${path}`);
  const connection = connectS3(address, settings, timeoutMs);
  /** Undefined until something was written. */
  let known: boolean | undefined;
  const conditional = memoizeSuccess(async () => {
    known = await honoursConditions(connection, at("identity"));
    if (!known) {
      warn(
        `${name} ignores conditions on writes (If-None-Match), so two machines may pay for the same answer; ` +
          "the one that is stored last counts for both",
      );
    }
    return known;
  });
  const waitUntilVisible = () => pause(Math.min(SLOWEST_SETTLE_MS, Math.max(SETTLE_MS, 2 * connection.slowestWriteMs)));
  const place = (key: string) => at(`claims/${key}`);
  const claims = new S3Claims({ connection, place, conditional, claimMs, who, waitUntilVisible: waitUntilVisible });

  const nameOf = (key: string) => at(`recordings/${key}.txt`);
  const keyOf = (object: string) => object.slice(at("recordings/").length, -".txt".length);
  const index = new S3Index(connection, at, nameOf);

  /** False: there is one already. */
  async function createOnce(object: string, text: string): Promise<boolean> {
    if (await conditional()) return (await connection.write(object, text, { ifNoneMatch: "*" })) !== undefined;
    if ((await connection.head(object)) !== undefined) return false;
    await connection.write(object, text);
    await waitUntilVisible();
    return (await connection.read(object, LONGEST_RECORDING))?.text === text;
  }

  const objects: RemoteObjects = {
    name,
    parallel: PARALLEL,
    nameOf,
    async identity() {
      const id = await connection.read(at("identity"), LONGEST_TOKEN);
      if (id === undefined) await createOnce(at("identity"), crypto.randomUUID());
      return (id ?? (await connection.read(at("identity"), LONGEST_TOKEN)))?.text;
    },
    async read(object) {
      const found = await connection.read(object, LONGEST_RECORDING);
      return found && { text: found.text, recent: found.ageMs === undefined || found.ageMs < RECENT_MS };
    },
    overwrites: async () => known === false,
    async write(object, text, label) {
      await Promise.all([connection.write(object, text), index.add({ key: keyOf(object), label })]);
    },
    async create(object, text, label) {
      // Whoever writes it, it has this label.
      const indexed = index.add({ key: keyOf(object), label });
      const created = await createOnce(object, text);
      await indexed;
      return created;
    },
    remove: (object, label) =>
      Promise.all([connection.remove(object), index.remove(keyOf(object), label)]).then(() => {}),
    near: (label) => index.near(label),
    list: () => connection.list(at("recordings/")),
    claim: (key) => claims.take(key),
    holder: (key) => claims.holder(key),
    async close() {
      await claims.close();
      connection.close();
    },
  };
  return createRemoteStore(objects, { warn, ...(signer && { signer }) });
}

/**
 * Writes an object that is there, on the condition that it is not. Nothing changes, whatever the server does: it is the
 * object with the id of the store, and the content is what it has already.
 */
async function honoursConditions(connection: S3Connection, object: string): Promise<boolean> {
  try {
    if ((await connection.head(object)) === undefined) {
      await connection.write(object, crypto.randomUUID(), { ifNoneMatch: "*" });
    }
    const there = await connection.read(object, LONGEST_TOKEN);
    return (await connection.write(object, there?.text ?? "none", { ifNoneMatch: "*" })) === undefined;
  } catch (error) {
    // Some servers do not implement conditions and say so. Whoever may not write cannot write without conditions either.
    if (!(error instanceof Unreachable && error.refused)) throw error;
    await connection.write(object, crypto.randomUUID());
    return false;
  }
}
