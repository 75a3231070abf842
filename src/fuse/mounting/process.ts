/** What our long-lived processes have in common. */
import { isCompiled } from "../../self.ts";

/**
 * The beginning of the names of variables that set options of the JavaScript engine. In the executable it is one that
 * nobody sets by accident: build/runtime.ts changes it there.
 */
export const ENGINE_PREFIX = { bun: "BUN_JSC_", executable: "B\x01N_JSC_" } as const;

const prefix = isCompiled() ? ENGINE_PREFIX.executable : ENGINE_PREFIX.bun;

/**
 * The environment of a process that serves a mount, or sleeps most of its life.
 *
 * - It disables Bun's garbage collection timer, which would wake it up every second, later twice a minute. The engine
 *   still collects as the heap grows. Any value works; this one distinguishes ours from one that the user set.
 * - It disables the last of the engine's compilers, FTL. That compiler takes as much processor time as the first ten
 *   thousand requests, on the processors that the callers need, and the code that it makes is not faster: with 600 files
 *   created, read, changed and removed, an operation took 67 µs of processor time instead of 75; with 10,000, 38
 *   instead of 48; with 60,000, 37 instead of 42.
 * - It lets the engine prepare memory for a growing heap from 8 MiB on, not from 1 MiB. Otherwise a thread would do that while the
 *   process starts, and take the processor from the others.
 */
export const SERVER_ENVIRONMENT = {
  BUN_GC_TIMER_DISABLE: "llmfs",
  [`${prefix}useFTLJIT`]: "0",
  // In blocks of 16 KiB.
  [`${prefix}warmUpMarkedBlockStartAfterBlocks`]: "512",
} as const;

/** Our own variables in an environment, with undefined values: what a program of the user must not inherit. */
export function withoutServerEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, undefined>> {
  const ours = Object.entries(SERVER_ENVIRONMENT).filter(([name, value]) => environment[name] === value);
  return Object.fromEntries(ours.map(([name]) => [name, undefined]));
}
