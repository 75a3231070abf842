/**
 * The programs and helper processes of one configuration: each leads a process group that contains everything it
 * starts, and no group outlives its leader or the configuration.
 *
 * Watchers are notified of every group, so that another process can end them if this one cannot. A process that creates
 * a group or a session of its own is out of reach.
 */
import { waitUntil } from "../../abort.ts";
import { signalGroup } from "../../libc.ts";

/** Between SIGTERM and SIGKILL. */
const GRACE_MS = 2000;
/** A process that got SIGKILL is gone as soon as the kernel gets to it, except for zombies that nobody reaps. */
const KILLED_MS = 500;
const LOOK_MS = 5;

/** As returned by Bun.spawn with `detached`. */
export interface Leader {
  readonly pid: number;
  readonly exited: Promise<unknown>;
}

interface ProcessGroup {
  /** Resolves when all of its processes are gone. */
  readonly ended: Promise<void>;
  killing: Timer | undefined;
}

export class ProcessGroups implements AsyncDisposable {
  readonly #groups = new Map<number, ProcessGroup>();
  #watch: (group: number, living: boolean) => void = () => {};
  #over = false;

  /** Call this when a leader was started. Processes it leaves behind when it ends are ended at once. */
  add({ pid, exited }: Leader): void {
    const killGroup = async () => {
      signalGroup(pid, "SIGKILL");
      await waitUntilGone(pid);
      clearTimeout(group.killing);
      this.#groups.delete(pid);
      this.#watch(pid, false);
    };
    const group: ProcessGroup = { ended: exited.then(killGroup, killGroup), killing: undefined };
    this.#groups.set(pid, group);
    this.#watch(pid, true);
    if (this.#over) signalGroup(pid, "SIGKILL");
  }

  /** Sends SIGTERM, and SIGKILL two seconds later. Resolves when all of its processes are gone. */
  async end(pid: number): Promise<void> {
    const group = this.#groups.get(pid);
    if (group === undefined) return;
    if (group.killing === undefined) {
      signalGroup(pid, "SIGTERM");
      group.killing = setTimeout(() => signalGroup(pid, "SIGKILL"), GRACE_MS);
    }
    await group.ended;
  }

  /** Calls back for every existing group, and whenever one begins or ends. */
  watch(watch: (group: number, living: boolean) => void): void {
    this.#watch = watch;
    for (const pid of this.#groups.keys()) watch(pid, true);
  }

  /** Ends all of them; one that is added later is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await Promise.all([...this.#groups.keys()].map((pid) => this.end(pid)));
  }
}

async function waitUntilGone(pid: number): Promise<void> {
  await waitUntil(() => !signalGroup(pid, 0), KILLED_MS, LOOK_MS);
}
