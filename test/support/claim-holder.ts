/** A process that claims an answer and then holds on to it until it is killed. */
import { folderStore } from "../../src/recording/stores/folder.ts";
import { redisStore } from "../../src/recording/stores/redis.ts";
import { s3Store } from "../../src/recording/stores/s3.ts";
import { S3_KEYS } from "./servers.ts";

const { STORE = "", KEY = "", ENDPOINT = "" } = process.env;
function open() {
  if (STORE.startsWith("redis")) return redisStore(STORE, { claimMs: 300 });
  if (STORE.startsWith("s3")) return s3Store(STORE, { ...S3_KEYS, endpoint: ENDPOINT, claimMs: 300 });
  return folderStore(STORE);
}

const store = open();
console.log((await store.claim?.(KEY)) === undefined ? "refused" : "held");
await new Promise(() => setInterval(() => {}, 1000));
