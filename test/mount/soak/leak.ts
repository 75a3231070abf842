/** Loaded into llmfs before anything else (`bun --preload`), this makes it leak something on every SIGUSR2. */
import { openSync } from "node:fs";

const kept: unknown[] = [];

process.on("SIGUSR2", () => {
  kept.push(Buffer.alloc(64 << 20, 1), Bun.spawn(["sleep", "600"]));
  for (let count = 0; count < 4; count++) kept.push(openSync("/dev/null", "r"));
});
