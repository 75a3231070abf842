/** Handlers for signals that can be disposed. */
import { statusHas } from "../../procfs.ts";

export type SignalName = "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGQUIT" | "SIGUSR1" | "SIGUSR2" | "SIGWINCH" | "SIGXCPU";

/**
 * Calls `handle` for each of these signals instead of ending the process, until disposed. If SIGHUP was ignored when this
 * process started, it stays ignored, as nohup(1) requires.
 */
export function onSignals(names: readonly SignalName[], handle: (name: SignalName) => void): Disposable {
  const heard = names.filter((name) => name !== "SIGHUP" || !hangupIgnored);
  const listeners = heard.map((name) => [name, () => handle(name)] as const);
  for (const [name, listener] of listeners) process.on(name, listener);
  return {
    [Symbol.dispose]() {
      for (const [name, listener] of listeners) process.off(name, listener);
    },
  };
}

const SIGHUP = 1;

/** From the mask of ignored signals in proc_pid_status(5). False if there is no such mask. */
const hangupIgnored = statusHas("self", "SigIgn", SIGHUP - 1);

/** Ended by a signal before anything was mounted: exit status 128 + n, without a message. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly status: number;

  constructor(signal: string) {
    super(`interrupted by ${signal}`);
    this.status = signalStatus(signal);
  }
}

/** The exit status that a shell reports for a process ended by the signal. */
export function signalStatus(signal: string | number): number {
  if (typeof signal === "number") return 128 + signal;
  // Loaded when it is needed, because every mount loads this file.
  const { constants } = process.getBuiltinModule("node:os");
  const numbers = new Map<string, number>(Object.entries(constants.signals));
  return 128 + (numbers.get(signal) ?? 0);
}
