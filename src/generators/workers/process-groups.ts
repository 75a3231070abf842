/**
 * The programs and helper processes of one configuration: each leads a process group, with everything it starts in it,
 * and no group outlives its leader or the configuration.
 *
 * Whoever watches is told of every group, so that somebody else can end them should this process not come to it. What
 * makes itself a group or a session of its own is out of reach.
 */
import { waitUntil } from "../../abort.ts";
import { signalGroup } from "../../libc.ts";

/** Between SIGTERM and SIGKILL. */
const GRACE_MS = 2000;
/** What was sent SIGKILL is gone as soon as the kernel comes to it, but for what nobody collects. */
const KILLED_MS = 500;
const LOOK_MS = 5;

/** As Bun.spawn gives it when it was asked for `detached`. */
export interface Leader {
  readonly pid: number;
  readonly exited: Promise<unknown>;
}

interface Group {
  /** Nothing of it is left. */
  readonly ended: Promise<void>;
  killing: Timer | undefined;
}

export class ProcessGroups implements AsyncDisposable {
  readonly #groups = new Map<number, Group>();
  #watch: (group: number, living: boolean) => void = () => {};
  #over = false;

  /** Its leader was started; what the leader leaves behind when it ends is ended at once. */
  add({ pid, exited }: Leader): void {
    const killGroup = async () => {
      signalGroup(pid, "SIGKILL");
      await waitUntilGone(pid);
      clearTimeout(group.killing);
      this.#groups.delete(pid);
      this.#watch(pid, false);
    };
    const group: Group = { ended: exited.then(killGroup, killGroup), killing: undefined };
    this.#groups.set(pid, group);
    this.#watch(pid, true);
    if (this.#over) signalGroup(pid, "SIGKILL");
  }

  /** SIGTERM, and SIGKILL two seconds later. Resolves when nothing of it is left. */
  async end(pid: number): Promise<void> {
    const group = this.#groups.get(pid);
    if (group === undefined) return;
    if (group.killing === undefined) {
      signalGroup(pid, "SIGTERM");
      group.killing = setTimeout(() => signalGroup(pid, "SIGKILL"), GRACE_MS);
    }
    await group.ended;
  }

  /** Calls back for every group there is, and for every one that begins or ends. */
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
