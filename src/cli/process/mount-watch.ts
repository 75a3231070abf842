/** Notices when a mount disappears from its place, whoever took it away. */
import { closeSync, openSync } from "node:fs";
import { address, POLLPRI, poll } from "../../libc.ts";
import { readMounts } from "../../mountinfo.ts";

/** The kernel marks the mount table's descriptor when the table changes; to look at the mark costs a microsecond. */
const LOOK_MS = 200;

export class MountWatch implements Disposable {
  readonly #file = openSync("/proc/self/mountinfo", "r");
  /** A struct pollfd. */
  readonly #entry = new Int32Array(2);
  readonly #at = address(this.#entry);
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #gone = Promise.withResolvers<void>();

  /** `device` as in /proc/self/mountinfo. */
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

  /** Resolves when the mount is not there any more. Another one may cover it: that is what somebody wanted. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    closeSync(this.#file);
  }
}
