/**
 * Keeps idle processors from halting while requests stream in.
 *
 * A program that waits for our answer leaves its processor idle. In a virtual machine an idle processor halts, which
 * returns it to the host, and waking it up takes an interrupt through the host: 12 to 20 µs, more than the rest of a
 * request. The paravirtual idle driver (haltpoll) can poll for work for a while before it halts, but is often
 * configured not to (guest_halt_poll_ns=0). While a process holds /dev/cpu_dma_latency open with a latency of 0, the
 * driver polls (Documentation/power/pm_qos_interface.rst), and a request of 22 µs takes 8. The kernel drops the setting
 * with the descriptor, so it cannot outlive our process.
 *
 * This is done only while requests follow each other closely, only with the haltpoll driver, and only on machines with
 * few processors, because polling processors use power. It needs root, and the device in the container; otherwise
 * nothing is done.
 */
import { readFileSync } from "node:fs";
import * as libc from "../libc.ts";

const DEVICE = "/dev/cpu_dma_latency";
const IDLE_DRIVER = "/sys/devices/system/cpu/cpuidle/current_driver";
/** With more idle processors than this, none is kept awake. */
const MOST_PROCESSORS = 16;
/** Requests are a stream if they take no longer than this on average, including the caller's own time. */
const STREAM_MS_PER_REQUEST = 0.1;
/** The requested latency: an int32, in µs. The second value is the kernel's own (PM_QOS_CPU_LATENCY_DEFAULT_VALUE). */
const NONE_AT_ALL = new Uint8Array(Int32Array.of(0).buffer);
const ANY = new Uint8Array(Int32Array.of(2_000_000_000).buffer);

/** Receives reports on how busy the request loop is. */
export interface Awake {
  /** `requests` came within `ms` milliseconds. */
  noteRequests(requests: number, ms: number): void;
  /** No request came for a while. */
  notePause(): void;
  close(): void;
}

/** `processors`: how many may run the callers. `driver`: the file that contains the idle driver's name. */
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
