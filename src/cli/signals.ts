/** Signals as events with an end. */
import { constants } from "node:os";

export type SignalName = "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGQUIT";

/** Calls back for each of these signals instead of dying of it, until disposed. */
export function onSignals(names: readonly SignalName[], handle: (name: SignalName) => void): Disposable {
  const listeners = names.map((name) => [name, () => handle(name)] as const);
  for (const [name, listener] of listeners) process.on(name, listener);
  return {
    [Symbol.dispose]() {
      for (const [name, listener] of listeners) process.off(name, listener);
    },
  };
}

/** Ended by a signal before there was anything to end: status 128 + n, and nothing to say. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly status: number;

  constructor(signal: string) {
    super(`interrupted by ${signal}`);
    this.status = signalStatus(signal);
  }
}

/** The exit status a shell gives to a process that died of the signal. */
export function signalStatus(signal: string | number): number {
  if (typeof signal === "number") return 128 + signal;
  const numbers = new Map<string, number>(Object.entries(constants.signals));
  return 128 + (numbers.get(signal) ?? 0);
}
