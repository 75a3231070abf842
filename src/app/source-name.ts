/**
 * The source of a mount, as `df`, `findmnt` and `mount` show it: "llmfs:" and the name of the file that the tree comes
 * from, or else of the mountpoint. Every user of the machine can read it, so it never contains prompt text.
 */
import { basename } from "node:path";
import type { Config } from "./settings/settings.ts";

const LONGEST_BYTES = 60;

export function chooseSourceName(config: Pick<Config, "from" | "prompt">, mountpoint: string): string {
  const file = config.from ?? config.prompt?.file;
  const name = toPlainName(basename(file ?? mountpoint));
  return name === "" ? "llmfs" : `llmfs:${name}`;
}

/** Removes characters that /proc/self/mountinfo or fusermount3 would escape, and those that a terminal interprets. */
function toPlainName(name: string): string {
  let short = name.replace(/[^\p{L}\p{N}._+@-]+/gu, "-").replace(/^-+|-+$/g, "");
  while (Buffer.byteLength(short) > LONGEST_BYTES) short = [...short].slice(0, -1).join("");
  return short;
}
