/**
 * Tracks the process behind a mount for `unmount`: whether the tree is saved, and how the process ended.
 *
 * A process that does not answer, or ends without a report, counts as not saved.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../../app/errors.ts";
import { createUnresponsiveError, diagnose } from "../../app/running/answering.ts";
import { describeProblem, type SaveOutcome } from "../../app/running/mount-record.ts";
import { type Copy, copiesOf } from "../../app/running/open-users.ts";
import type { ServerProcess } from "../../app/running/server-process.ts";
import type { MountPoint } from "../../mountinfo.ts";
import { conditionOf, nameOf } from "../../procfs.ts";
import { formatTimeSpan } from "../../text/duration.ts";
import { createProgress } from "../output/progress.ts";
import { say } from "../output/terminal.ts";

/** How long to wait before showing what is being waited for. */
const SILENT_MS = 500;
/** A process that is stopped for this long is not just being inspected by a debugger. */
const STOPPED_MS = 1_000;
/** How long `unmount --lazy` waits for programs to close the mount. */
const DETACHED_MS = 1_000;
/** How long to wait for the process to report the unmount. It normally takes a few milliseconds. */
const ENDING_MS = 500;

export interface DepartureOptions {
  readonly mount: MountPoint;
  /** The mountpoint as the user typed it. */
  readonly name: string;
  readonly server: ServerProcess;
  /** How long to wait without any progress. */
  readonly patienceMs: number;
  /** Whether to unmount before saving. */
  readonly lazy: boolean;
}

export class Departure {
  readonly #options: DepartureOptions;
  /** The file that the tree is saved to at the end, if any. */
  readonly #file: string | undefined;
  #saved: SaveOutcome | undefined;

  constructor(options: DepartureOptions) {
    this.#options = options;
    this.#file = options.server.record?.save;
  }

  get mount(): MountPoint {
    return this.#options.mount;
  }

  get name(): string {
    return this.#options.name;
  }

  get pid(): number {
    return this.#options.server.pid;
  }

  /** Makes the process save the tree, if it has a file for it. Rejects with UserError if the process reports no outcome. */
  async save(): Promise<SaveOutcome> {
    const { server, lazy } = this.#options;
    // The mount is gone, and no save was requested.
    if (lazy && this.#file === undefined) return { kind: "none" };
    const id = server.requestSave();
    const answer =
      id === undefined
        ? this.#explainUnasked()
        : await this.#wait(`process ${server.pid} to answer`, () => {
            const request = server.record?.answers.find((one) => one.id === id);
            return { found: request?.outcome, heard: request !== undefined };
          });
    // The mount was unmounted by another process in the meantime.
    if (answer === "gone" && server.record?.state === "done") return server.record.last ?? { kind: "none" };
    if (answer === "gone") throw this.#createUnreportedError();
    if (typeof answer !== "string") {
      this.#saved = answer;
      return answer;
    }
    throw this.#createUnansweredError();
  }

  /** After the unmount in this namespace: resolves when the process has ended and everything is saved. */
  async end(): Promise<void> {
    const { server, name, mount, patienceMs } = this.#options;
    const begun = performance.now();
    const answer = await this.#wait(`process ${server.pid}, which served it, to end`, () => {
      const { record } = server;
      const createLateError = record?.insisting === true;
      const serving = record?.state === "serving" && performance.now() - begun > ENDING_MS;
      const copies = serving ? copiesOf(mount, server.pid) : [];
      return { found: createLateError ? ("late" as const) : copies.length > 0 ? copies : undefined };
    });
    if (answer === "gone") return this.#refuseUnsaved();
    if (answer === "late") throw late(server, name);
    if (typeof answer !== "string") throw this.#createMountedElsewhereError(answer);
    if (server.record?.state === "serving") throw this.#createHeldOutOfSightError();
    const state = answer === "stopped" ? "is stopped" : `did not end within ${formatTimeSpan(patienceMs)}`;
    throw new UserError(
      this.#file === undefined ? "busy" : "save",
      `${name} is unmounted, but process ${server.pid}, which served it, ${state}${this.#describeSaved()}; ${cureOf(server.pid)}`,
    );
  }

  /** After --lazy, the process may live as long as programs use the mount. Waits briefly for its end. */
  async waitForDetach(): Promise<void> {
    const { server, name } = this.#options;
    await Promise.race([this.#wait(undefined, () => ({ found: undefined })), sleep(DETACHED_MS)]);
    if (!server.lives) return this.#refuseUnsaved();
    if (conditionOf(server.pid) === "stopped") {
      say(`llmfs: ${name} is unmounted, but process ${server.pid}, which serves it, is stopped; ${cureOf(server.pid)}`);
    }
    if (server.record?.insisting === true) throw late(server, name);
    const problem = this.#saved && describeProblem(this.#saved);
    if (problem !== undefined) throw new UserError("save", `${name} is unmounted; ${problem}`);
  }

  /** Throws UserError("save") unless the process has reported success. */
  #refuseUnsaved(): void {
    const { server, name } = this.#options;
    const { record } = server;
    if (record?.state !== "done") {
      if (this.#file !== undefined) throw this.#createUnreportedError();
      return;
    }
    const problem = record.last && describeProblem(record.last);
    if (problem !== undefined) throw new UserError("save", `${name}: ${problem}`);
    if (record.unsettled !== undefined) {
      throw new UserError(
        "recordings",
        `${name} is unmounted, but there is a problem with its recordings: ${record.unsettled}`,
      );
    }
  }

  #explainUnasked(): "gone" | "silent" {
    return this.#options.server.lives ? "silent" : "gone";
  }

  #createUnansweredError(): UserError {
    const { mount, name, lazy, server, patienceMs } = this.#options;
    if (this.#file === undefined) return createUnresponsiveError(mount);
    const state = lazy ? "is unmounted" : "stays mounted";
    const saving = server.record?.saving;
    if (saving !== undefined && conditionOf(server.pid) !== "stopped") {
      const stalled = `process ${server.pid} is saving to ${saving.file} and made no progress for ${formatTimeSpan(patienceMs)}`;
      return new UserError(
        "save",
        `${name} ${state}, and its tree is not saved yet: ${stalled}; to wait longer, use --timeout`,
      );
    }
    return new UserError("save", `${name} ${state}, and its tree is not saved: ${diagnose(mount, { away: lazy })}`);
  }

  #createUnreportedError(): UserError {
    const { server, name } = this.#options;
    const file = this.#file ?? "nowhere";
    const before = this.#saved?.kind === "saved" ? `; ${file} has the tree as it was when the unmount began` : "";
    return new UserError(
      "save",
      `${name}: process ${server.pid} ended without reporting that the tree is saved to ${file}${before}`,
    );
  }

  #createMountedElsewhereError(copies: readonly Copy[]): UserError {
    const { server, name } = this.#options;
    const places = copies.map(({ path, pid }) =>
      pid === undefined ? path : `${path} in the mount namespace of ${nameOf(pid)}`,
    );
    const cures = copies.map(({ path, pid }) =>
      pid === undefined ? `umount ${path}` : `nsenter -t ${pid} -m umount ${path}`,
    );
    return new UserError(
      "busy",
      `${name} is unmounted here${this.#describeSaved()}, but the same filesystem is still mounted at ${listSome(places)}, and ` +
        `process ${server.pid} still serves it. To end that, run: ${listSome(cures)}`,
    );
  }

  #createHeldOutOfSightError(): UserError {
    const { server, name, mount } = this.#options;
    return new UserError(
      "busy",
      `${name} is unmounted here${this.#describeSaved()}, but process ${server.pid} still serves it for a user that is ` +
        `not visible from here, such as a container or a process of another user. To find it, run as root: ` +
        `grep -l ' ${mount.device} ' /proc/*/mountinfo`,
    );
  }

  #describeSaved(): string {
    if (this.#file === undefined) return "";
    return this.#saved?.kind === "saved" ? ` and saved to ${this.#saved.file}` : " and its tree is not saved yet";
  }

  /**
   * Polls until `look` finds something. Otherwise resolves with "gone" if the process has ended, "stopped" if it stays
   * stopped, or "silent" if there was no progress for too long.
   */
  async #wait<T>(
    what: string | undefined,
    look: () => { readonly found: T | undefined; readonly heard?: boolean },
  ): Promise<T | "gone" | "stopped" | "silent"> {
    const { server, patienceMs } = this.#options;
    const progress = createProgress();
    const begun = performance.now();
    let [changed, running] = [begun, begun];
    let [before, shown] = ["", ""];
    try {
      for (;;) {
        // A process that has ended may have written its last report just before, so check this first.
        const lives = server.lives;
        const { found, heard } = look();
        if (found !== undefined) return found;
        if (!lives) return "gone";
        const now = performance.now();
        if (conditionOf(server.pid) !== "stopped") running = now;
        if (now - running > STOPPED_MS) return "stopped";
        const { saving, state } = server.record ?? {};
        const signature = JSON.stringify([heard, saving, state]);
        if (signature !== before) [before, changed] = [signature, now];
        if (now - changed > patienceMs) return "silent";
        const text = saving === undefined ? `waiting for ${what}` : `saving the tree to ${saving.file}`;
        if (what !== undefined && now - begun > SILENT_MS && text !== shown) progress.step(text);
        if (now - begun > SILENT_MS) shown = text;
        if (saving !== undefined && saving.bytes > 0) progress.detail(`${(saving.bytes / 2 ** 20).toFixed(1)} MiB`);
        await sleep(now - begun < 100 ? 2 : 20);
      }
    } finally {
      progress.clear();
    }
  }
}

/** The error if the mount is gone, its tree could not be saved, and the process keeps the tree. */
export function late(server: ServerProcess, name: string): UserError {
  const { pid, record } = server;
  const problem = (record?.last && describeProblem(record.last)) ?? "the tree is not saved yet";
  const kept = `process ${pid} keeps the tree and retries. Fix that, or discard the tree with: kill ${pid}`;
  return new UserError("save", `${name} is unmounted; ${problem}. In the meantime, ${kept}`);
}

/** The error for a process whose messages this version does not understand. */
export function createVersionError(name: string, pid: number | undefined, cause?: unknown): UserError {
  const who = pid === undefined ? "the process that serves it" : `process ${pid}, which serves it,`;
  return new UserError(
    "save",
    `${name} stays mounted: ${who} is another version of llmfs, which does not report whether the tree is saved. ` +
      "Save it with llmfs save, then unmount it with umount or fusermount3 -u",
    { cause },
  );
}

function cureOf(pid: number): string {
  return conditionOf(pid) === "stopped" ? `resume it: kill -CONT ${pid}` : `wait, or end it: kill -KILL ${pid}`;
}

const SHOWN = 3;

function listSome(items: readonly string[]): string {
  const more = items.length - SHOWN;
  return `${items.slice(0, SHOWN).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
