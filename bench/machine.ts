/** The machine that figures come from, and a way to keep its other processors busy. */
import { readFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";

/** In one sentence. What decides how fast a FUSE filesystem can be: kernel, processors, idle driver and hypervisor. */
export function describeMachine(): string {
  const all = cpus();
  const virtual = hypervisor();
  return [
    `Linux ${read("/proc/sys/kernel/osrelease") ?? "?"}`,
    `${all.length} ${all.length === 1 ? "processor" : "processors"} (${all[0]?.model.trim() ?? "unknown"})`,
    `${Math.round(totalmem() / 2 ** 30)} GiB of memory`,
    `idle driver ${idleDriver() ?? "unknown"}, governor ${read("/sys/devices/system/cpu/cpuidle/current_governor_ro") ?? "unknown"}${polling()}`,
    virtual === undefined ? "no hypervisor" : `a virtual machine (${virtual})`,
    `load ${loadavg()[0]?.toFixed(1)} at the start`,
  ].join(", ");
}

/** What decides most about the speed of a FUSE filesystem: how an idle processor waits. */
export function kindOfMachine(): string {
  const driver = idleDriver();
  if (driver === undefined) return "Unknown idle driver";
  return driver === "none" ? "No idle driver" : `Idle driver ${driver}`;
}

function idleDriver(): string | undefined {
  return read("/sys/devices/system/cpu/cpuidle/current_driver");
}

/** For how long the haltpoll governor lets an idle processor poll before it halts. */
function polling(): string {
  if (idleDriver() !== "haltpoll") return "";
  const ns = read("/sys/module/haltpoll/parameters/guest_halt_poll_ns");
  return ns === undefined ? "" : ` (polls for ${Number(ns) / 1000} µs)`;
}

/** Undefined on a machine of its own. */
function hypervisor(): string | undefined {
  const { exitCode, stdout } = Bun.spawnSync(["lscpu"], { env: { PATH: process.env.PATH, LC_ALL: "C" } });
  const [, vendor] = exitCode === 0 ? (/^Hypervisor vendor:\s*(.+)$/m.exec(stdout.toString()) ?? []) : [];
  if (vendor !== undefined) return vendor;
  const flagged = / hypervisor( |$)/m.test(read("/proc/cpuinfo") ?? "");
  return flagged ? (read("/sys/class/dmi/id/sys_vendor") ?? read("/sys/hypervisor/type") ?? "unknown") : undefined;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Keeps all processors but one busy, until it is disposed. `driver` is the compiled driver.c. */
export function keepBusy(driver: string): Disposable {
  const spinners = cpus()
    .slice(1)
    .map(() => Bun.spawn([driver, "/", "spin", "0", "0"], { stdin: "ignore", stdout: "ignore" }));
  return {
    [Symbol.dispose]() {
      for (const spinner of spinners) spinner.kill("SIGKILL");
    },
  };
}
