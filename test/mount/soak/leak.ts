/** Loaded into llmfs before anything else (`bun --preload`), this makes it leak something on every SIGUSR2. */
import { openSync } from "node:fs";

const kept: unknown[] = [];

process.on("SIGUSR2", () => {
  kept.push(Buffer.alloc(64 << 20, 1), openSync("/dev/null", "r"), Bun.spawn(["sleep", "600"]));
});
