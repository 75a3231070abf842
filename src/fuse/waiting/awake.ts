/**
 * Keeps idle processors from halting.
 *
 * A program that waits for our answer leaves its processor idle. In a virtual machine an idle processor halts, which
 * returns it to the host, and waking it up takes an interrupt through the host: 12 to 100 µs, more than the rest of a
 * request. The paravirtual idle driver (haltpoll) can poll for work for a while before it halts, but is often
 * configured not to (guest_halt_poll_ns=0). While a process holds /dev/cpu_dma_latency open with a latency of 0, the
 * driver polls (Documentation/power/pm_qos_interface.rst). The kernel drops the setting with the descriptor, so it
 * cannot outlive our process.
 *
 * It is possible only with the haltpoll driver, and done only on machines with few processors, because all their idle
 * processors then poll. It needs root, and the device in the container. placement.ts decides when it is worth it.
 */
import { readFileSync } from "node:fs";
import * as libc from "../../libc.ts";

const DEVICE = "/dev/cpu_dma_latency";
const IDLE_DRIVER = "/sys/devices/system/cpu/cpuidle/current_driver";
/** With more processors than this, none is kept awake. */
const MOST_PROCESSORS = 16;
/** The requested latency: an int32, in µs. The second value is the kernel's own (PM_QOS_CPU_LATENCY_DEFAULT_VALUE). */
const NONE_AT_ALL = new Uint8Array(Int32Array.of(0).buffer);
const ANY = new Uint8Array(Int32Array.of(2_000_000_000).buffer);

export interface Hold {
  /** Begins or ends it. */
  set(on: boolean): void;
  close(): void;
}

/** Undefined if that is not possible. `processors`: how many may run the callers. `driver`: the file with the idle driver's name. */
export function openHold(processors: number, device = DEVICE, driver = IDLE_DRIVER): Hold | undefined {
  if (processors < 2 || processors > MOST_PROCESSORS || readLine(driver) !== "haltpoll") return undefined;
  try {
    const fd = libc.open(device, libc.O_WRONLY | libc.O_CLOEXEC);
    return { set: (on) => void libc.write(fd, on ? NONE_AT_ALL : ANY, 4), close: () => libc.close(fd) };
  } catch (error) {
    if (error instanceof libc.SystemError) return undefined;
    throw error;
  }
}

function readLine(path: string): string {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return "";
  }
}
