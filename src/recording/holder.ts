/** Identifies the process that generates an answer while others wait: the text in its claim. */
import { hostname } from "node:os";
import { printableLine } from "../text/printable.ts";

const began = new Date().toISOString();

/** This process, in words: "llmfs process 123 on host, which serves /mnt/project, since 2026-11-12T10:11:12.000Z". */
export function describeThisProcess(mountpoint?: string): string {
  const serves = mountpoint === undefined ? "" : `, which serves ${mountpoint}`;
  return `llmfs process ${process.pid} on ${hostname()}${serves}, since ${began}`;
}

/** Only another program could have written a longer claim token. */
export const LONGEST_TOKEN = 1024;

/** The owner of a claim: the part of its token after the unique id. */
export function holderIn(token: string): string | undefined {
  const [line = ""] = token.split("\n", 1);
  const at = line.indexOf(" ");
  return at < 0 ? undefined : printableLine(line.slice(at + 1));
}
