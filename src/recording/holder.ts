/** Who makes an answer that others wait for: what a claim tells them. */
import { hostname } from "node:os";
import { printableLine } from "../text/printable.ts";

const began = new Date().toISOString();

/** This process, in words: "llmfs process 123 on host, which serves /mnt/project, since 2026-11-12T10:11:12.000Z". */
export function describeThisProcess(mountpoint?: string): string {
  const serves = mountpoint === undefined ? "" : `, which serves ${mountpoint}`;
  return `llmfs process ${process.pid} on ${hostname()}${serves}, since ${began}`;
}

/** A token of a claim is longer only if somebody else wrote it. */
export const LONGEST_TOKEN = 1024;

/** Who a claim belongs to: what stands behind the unique part of its token. */
export function holderIn(token: string): string | undefined {
  const [line = ""] = token.split("\n", 1);
  const at = line.indexOf(" ");
  return at < 0 ? undefined : printableLine(line.slice(at + 1));
}
