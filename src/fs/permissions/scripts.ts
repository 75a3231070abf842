/** Generated scripts may be run, as if their author had run `chmod +x`. */
import type { RegularFile } from "../../tree/file.ts";
import { followMode } from "../../tree/permissions/acl.ts";

/** Longer than "#!" and the spaces that may follow it in a Rust attribute. */
const BEGINNING = 64;

/** Whether the content begins with an interpreter line. "#![no_std]" is an attribute in Rust. */
export function isScript(file: RegularFile): boolean {
  if (file.size < 2) return false;
  const beginning = Buffer.alloc(Math.min(file.size, BEGINNING));
  file.read(0, beginning);
  return /^#!(?!\s*\[)/.test(beginning.toString("latin1"));
}

/**
 * Gives a script the execute bits that the umask allows, for everybody who may read it: without that, nobody can run a
 * script. The caller notifies the kernel.
 */
export function allowRunning(file: RegularFile, umask: number): void {
  const bits = 0o111 & ~umask & (file.mode >> 2);
  if ((file.mode & bits) === bits || !isScript(file)) return;
  file.setMode(file.mode | bits);
  followMode(file);
}
