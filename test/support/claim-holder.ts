/** A process that claims an answer and holds the claim until it is killed. */
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { createRedisStore } from "../../src/recording/stores/remote/redis.ts";
import { createS3Store } from "../../src/recording/stores/remote/s3.ts";
import { S3_KEYS } from "./servers.ts";

const { STORE = "", KEY = "", ENDPOINT = "", CLAIM_MS = "" } = process.env;
const claimMs = Number(CLAIM_MS);
function open() {
  if (STORE.startsWith("redis")) return createRedisStore(STORE, { claimMs });
  if (STORE.startsWith("s3")) return createS3Store(STORE, { ...S3_KEYS, endpoint: ENDPOINT, claimMs });
  return createFolderStore(STORE);
}

const store = open();
console.log((await store.claim?.(KEY)) === undefined ? "refused" : "held");
await new Promise(() => setInterval(() => {}, 1000));
