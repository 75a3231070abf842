/** Notices when a mount disappears from its mountpoint, whatever the cause. */
import { closeSync, openSync } from "node:fs";
import { address, POLLPRI, poll } from "../../libc.ts";
import { readMounts } from "../../mountinfo.ts";

/** How often to poll the mount table's descriptor, which the kernel marks when the table changes. A poll takes 1 µs. */
const LOOK_MS = 200;

export class MountWatch implements Disposable {
  readonly #file = openSync("/proc/self/mountinfo", "r");
  /** A struct pollfd. */
  readonly #entry = new Int32Array(2);
  readonly #at = address(this.#entry);
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #gone = Promise.withResolvers<void>();

  /** `device` has the form of /proc/self/mountinfo. */
  constructor(mountpoint: string, device: string) {
    const look = () => {
      const there = readMounts().some((mount) => mount.path === mountpoint && mount.device === device);
      if (!there) this.#gone.resolve();
    };
    this.#timer = setInterval(() => {
      this.#entry.set([this.#file, POLLPRI]);
      if (poll(this.#at, 1, 0) !== 0) look();
    }, LOOK_MS);
    look();
  }

  /** Resolves when the mount no longer exists. A mount covered by another one still exists. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    closeSync(this.#file);
  }
}
