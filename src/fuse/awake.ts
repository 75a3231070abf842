/**
 * Keeps idle processors from halting while requests stream in.
 *
 * A program that waits for our answer leaves its processor idle. In a virtual machine an idle processor halts, which gives
 * it back to the host, and the wake-up by our answer is an interrupt through the host: 12 to 20 µs, more than all the rest
 * of a request. The paravirtual idle driver (haltpoll) can look for work for a while before it halts, but is often told
 * not to (guest_halt_poll_ns=0). /dev/cpu_dma_latency tells it to, for as long as a process holds it open with a latency of
 * 0 (Documentation/power/pm_qos_interface.rst): a request of 22 µs then takes 8. The kernel drops it with the descriptor,
 * so that no end of ours can leave it behind.
 *
 * Only for as long as requests come close upon each other, only where the driver is haltpoll, and only on machines of few
 * processors: idle ones that look for work are warm for nothing. Needs root, and the device in the container; else nothing
 * is done.
 */
import { readFileSync } from "node:fs";
import * as libc from "../libc.ts";

const DEVICE = "/dev/cpu_dma_latency";
const IDLE_DRIVER = "/sys/devices/system/cpu/cpuidle/current_driver";
/** More idle processors than this are not kept awake for one file's sake. */
const MOST_PROCESSORS = 16;
/** A stream: requests that take no longer than this on average, the caller's own time among it. */
const STREAM_MS_PER_REQUEST = 0.1;
/** The latency that is asked for: an int32, in µs. The second is the kernel's own (PM_QOS_CPU_LATENCY_DEFAULT_VALUE). */
const NONE_AT_ALL = new Uint8Array(Int32Array.of(0).buffer);
const ANY = new Uint8Array(Int32Array.of(2_000_000_000).buffer);

/** What the request loop tells, of how busy it is. */
export interface Awake {
  /** `requests` came within `ms` milliseconds. */
  noteRequests(requests: number, ms: number): void;
  /** None came for a while. */
  notePause(): void;
  close(): void;
}

/** `processors`: how many may run the callers. `driver`: the file with the idle driver's name. */
export function keepAwake(processors: number, device = DEVICE, driver = IDLE_DRIVER): Awake {
  if (processors < 2 || processors > MOST_PROCESSORS || readLine(driver) !== "haltpoll") return ASLEEP;
  try {
    return new LatencyHold(libc.open(device, libc.O_WRONLY | libc.O_CLOEXEC));
  } catch (error) {
    if (error instanceof libc.SystemError) return ASLEEP;
    throw error;
  }
}

const ASLEEP: Awake = { noteRequests() {}, notePause() {}, close() {} };

class LatencyHold implements Awake {
  readonly #fd: number;
  #awake = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  noteRequests(requests: number, ms: number): void {
    const stream = ms <= requests * STREAM_MS_PER_REQUEST;
    if (stream !== this.#awake) this.#setAwake(stream);
  }

  notePause(): void {
    if (this.#awake) this.#setAwake(false);
  }

  close(): void {
    libc.close(this.#fd);
  }

  #setAwake(awake: boolean): void {
    libc.write(this.#fd, awake ? NONE_AT_ALL : ANY, 4);
    this.#awake = awake;
  }
}

function readLine(path: string): string {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return "";
  }
}
