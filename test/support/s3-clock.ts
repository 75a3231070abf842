/**
 * A machine whose clock is wrong by CLOCK_MS: stores a recording on S3, reads it, and takes a claim that it keeps until its
 * input ends.
 */
import { S3_KEYS } from "./servers.ts";

const { STORE = "", ENDPOINT = "", KEY = "", CLOCK_MS = "" } = process.env;
const wrong = Number(CLOCK_MS);
const now = Date.now;
Date.now = () => now() + wrong;
globalThis.Date = class extends Date {
  constructor(...args: readonly unknown[]) {
    // With arguments, they are those of Date; without, it is the wrong time.
    super(...((args.length === 0 ? [now() + wrong] : args) as [number]));
  }
} as DateConstructor;

const { createS3Store } = await import("../../src/recording/stores/remote/s3.ts");
const { recordingOf } = await import("./store-contract.ts");
const store = createS3Store(STORE, { ...S3_KEYS, endpoint: ENDPOINT });
const one = recordingOf("x", `/${wrong}`);
const stored = await store.offer(one);
const found = await store.get(one.key);
const claim = await store.claim?.(KEY);
console.log(JSON.stringify({ stored: stored.label, found: found?.label, claimed: claim !== undefined }));
for await (const _ of process.stdin);
await claim?.[Symbol.asyncDispose]();
await store.close?.();
