/** Processors for tests in which nothing can be done about them. */
import type { Processors } from "../../src/fuse/waiting/processors.ts";

export const UNMOVABLE: Processors = {
  canMove: false,
  others: 1,
  whereRuns: () => undefined,
  moveTo: () => false,
  makeRoom() {},
  release() {},
  defer: undefined,
  hold: undefined,
  usedMs: () => 0,
  delayedMs: () => 0,
  close() {},
};
