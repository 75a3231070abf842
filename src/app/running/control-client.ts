/** Sends requests about files to a running mount, through its `.llmfs/control`: see rpc/control-protocol.ts. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf, messageOf } from "../../errno.ts";
import type { ConfirmStep } from "../../generate/spending/budget.ts";
import type { Usage } from "../../generate/spending/usage-counter.ts";
import { ioctl } from "../../libc.ts";
import { findMountAt, type MountPoint } from "../../mountinfo.ts";
import {
  changesTree,
  type Diagnosis,
  type FailedCheck,
  type Frozen,
  SUBMIT,
  SUBMIT_BYTES,
} from "../../rpc/control-protocol.ts";
import type { Growth } from "../../rpc/growth.ts";
import { UserError } from "../errors.ts";
import { readUsage } from "../mount-info.ts";
import { watchAnswers, whileAnswering } from "./answering.ts";
import type { SaveOutcome } from "./mount-record.ts";
import { controlFilePath } from "./mounted.ts";

/** Between two looks for answers: an idle mount notices nothing of it. */
const SHORTEST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 50;

/** An error answer of the mount: the name of an errno, and the reason. */
export class ControlRefusal extends Error {
  override readonly name = "Refused";
  readonly code: string;
  readonly reason: string;
  /** The kind of a model's failure: see LlmErrorKind. */
  readonly kind: string | undefined;

  constructor(code: string, reason: string, kind?: string) {
    super(reason === code ? code : `${code}: ${reason}`);
    this.code = code;
    this.reason = reason;
    this.kind = kind;
  }
}

export interface RegenOptions {
  readonly prompt?: string | undefined;
  readonly force?: boolean | undefined;
}

/** The attributes of a new file. */
export interface NewFileAttributes {
  readonly description: string;
  readonly prompt?: string | undefined;
  readonly generator?: string | undefined;
  /** Lines, as in `user.llmfs.depends`. */
  readonly depends?: string | undefined;
}

export interface GrowOptions {
  readonly prompt: string;
  /** Only reports what would be added. */
  readonly dry?: boolean;
}

type ClientRequest =
  | { readonly op: "make" | "undo"; readonly path: string }
  | ({ readonly op: "add"; readonly path: string } & NewFileAttributes)
  | ({ readonly op: "grow"; readonly path: string } & GrowOptions)
  | ({ readonly op: "regen"; readonly path: string } & RegenOptions)
  | { readonly op: "rewrite"; readonly path: string; readonly instruction: string }
  | { readonly op: "update"; readonly path: string }
  | { readonly op: "diagnose"; readonly failure: FailedCheck }
  | { readonly op: "freeze"; readonly version: number }
  | { readonly op: "version" }
  | { readonly op: "allow" | "save" | "stop" };

export class ControlClient implements AsyncDisposable {
  readonly #file: FileHandle;
  /** Whether the mount is read-only. */
  readonly #readOnly: boolean;
  readonly #waiting = new Map<number, PromiseWithResolvers<ControlAnswer>>();
  #count = 0;
  #unsaid = "";
  #listening = false;
  #closed = false;
  #usage: Usage | undefined;
  /** Why the mount no longer answers. */
  #lost: Error | undefined;
  readonly #watch: Disposable | undefined;

  private constructor({ file, readOnly }: OpenedControl, usage: Usage | undefined, mount: MountPoint | undefined) {
    this.#file = file;
    this.#readOnly = readOnly;
    this.#usage = usage;
    this.#watch = mount && watchAnswers(mount, (error) => this.#lose(error));
  }

  /** Rejects with UserError: "notMounted" if the mount has no control file, "unresponsive" if it stops answering. */
  static async open(mountpoint: string): Promise<ControlClient> {
    const path = controlFilePath(mountpoint, "control");
    const mount = findMountAt(mountpoint);
    const opening = openEither(path);
    const opened = await whileAnswering(mount, opening).catch((cause: unknown) => {
      opening.then(({ file }) => file.close()).catch(() => {});
      if (cause instanceof UserError) throw cause;
      const problem =
        codeOf(cause) === "ENOENT"
          ? "does not exist: another version of llmfs serves this mount"
          : `cannot be opened: ${messageOf(cause)}`;
      throw new UserError("notMounted", `${path} ${problem}`, { cause });
    });
    const client = new ControlClient(opened, await readUsage(mountpoint), mount);
    // An empty write shows right away whether this process can send requests.
    const result = client.#submit(new Uint8Array(1).subarray(0, 0));
    if (result < 0) throw new UserError("notMounted", `${path} does not accept requests: errno ${-result}`);
    return client;
  }

  /** What the mount had spent at its last answer. */
  get usage(): Usage | undefined {
    return this.#usage;
  }

  /** Why the mount no longer answers. A UserError if its process is stopped or busy. */
  get lost(): Error | undefined {
    return this.#lost;
  }

  // These resolve when the request is done. They reject with Refused, or with an Error if the mount no longer answers.

  /** Resolves immediately for a file that already has content. */
  readonly make = async (path: string): Promise<void> => {
    await this.#ask({ op: "make", path });
  };

  async regen(path: string, options: RegenOptions = {}): Promise<void> {
    await this.#ask({ op: "regen", path, ...options });
  }

  /** Writes a generated file again if a file that it was made from has changed. */
  readonly update = async (path: string): Promise<void> => {
    await this.#ask({ op: "update", path });
  };

  async undo(path: string): Promise<void> {
    await this.#ask({ op: "undo", path });
  }

  /** Makes a pending file, and the directories above it. */
  async add(path: string, options: NewFileAttributes): Promise<void> {
    await this.#ask({ op: "add", path, ...options });
  }

  /** Writes a generated file again from its content. */
  async rewrite(path: string, instruction: string): Promise<void> {
    await this.#ask({ op: "rewrite", path, instruction });
  }

  /** A number that changes with the names and contents of files. */
  async version(): Promise<number> {
    return requireMember((await this.#ask({ op: "version" })).version);
  }

  async diagnose(failure: FailedCheck): Promise<Diagnosis> {
    return requireMember((await this.#ask({ op: "diagnose", failure })).diagnosis);
  }

  async freeze(version: number): Promise<Frozen> {
    return requireMember((await this.#ask({ op: "freeze", version })).frozen);
  }

  /** Lays out more files below a directory. */
  async grow(path: string, options: GrowOptions): Promise<Growth> {
    return requireMember((await this.#ask({ op: "grow", path, ...options })).grown);
  }

  /** Allows as much spending again as --confirm-over. */
  async allow(): Promise<ConfirmStep> {
    return requireMember((await this.#ask({ op: "allow" })).allowed);
  }

  /** Saves the tree to the file of `--save`. */
  async save(): Promise<SaveOutcome> {
    return requireMember((await this.#ask({ op: "save" })).saved);
  }

  /** Cancels running requests. Does not reject. */
  async stop(): Promise<void> {
    await Promise.allSettled([...[...this.#waiting.values()].map(({ promise }) => promise), this.#ask({ op: "stop" })]);
  }

  /** Cancels the requests in progress. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#watch?.[Symbol.dispose]();
    if (!this.#listening) await this.#file.close();
  }

  #ask(request: ClientRequest): Promise<ControlAnswer> {
    // A write to a mount that does not answer would block forever.
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    if (changesTree(request) && this.#readOnly)
      return Promise.reject(new ControlRefusal("EROFS", "the mount is read-only"));
    const id = this.#count++;
    const asked = Promise.withResolvers<ControlAnswer>();
    this.#waiting.set(id, asked);
    // Requests made in one turn of the event loop are sent together.
    if (this.#unsaid === "") queueMicrotask(() => this.#say());
    this.#unsaid += `${JSON.stringify({ id, ...request })}\n`;
    return asked.promise;
  }

  #say(): void {
    const bytes = Buffer.from(this.#unsaid);
    this.#unsaid = "";
    for (let at = 0; at < bytes.length; at += SUBMIT_BYTES) {
      const result = this.#submit(bytes.subarray(at, at + SUBMIT_BYTES));
      if (result < 0) return this.#lose(createSilenceError(`errno ${-result}`));
    }
    if (!this.#listening) this.#listen().catch((error: unknown) => this.#lose(createSilenceError(messageOf(error))));
  }

  #submit(bytes: Uint8Array): number {
    return ioctl(this.#file.fd, SUBMIT + bytes.length * 2 ** 16, bytes);
  }

  async #listen(): Promise<void> {
    this.#listening = true;
    try {
      const buffer = Buffer.alloc(65_536);
      const decoder = new TextDecoder();
      for (let rest = ""; this.#waiting.size > 0 && !this.#closed; ) {
        const bytesRead = await this.#read(buffer);
        if (bytesRead === undefined) continue;
        if (bytesRead === 0) throw new Error("it closed the channel while requests were open");
        const lines = (rest + decoder.decode(buffer.subarray(0, bytesRead), { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) this.#settle(line);
      }
    } finally {
      this.#listening = false;
      if (this.#closed) await this.#file.close();
    }
  }

  /**
   * Polls instead of waiting in the kernel: while the mount's process is stopped, a read that has reached it would keep
   * even a killed reader from ending. Resolves with undefined if the client was closed.
   */
  async #read(buffer: Buffer): Promise<number | undefined> {
    for (let pause = SHORTEST_PAUSE_MS; !this.#closed; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        return (await this.#file.read(buffer, 0, buffer.length, null)).bytesRead;
      } catch (error) {
        if (codeOf(error) !== "EAGAIN") throw error;
      }
      await sleep(pause);
    }
    return undefined;
  }

  #settle(line: string): void {
    // Written by this same version of llmfs: see rpc/control-protocol.ts.
    const answer = JSON.parse(line) as ControlAnswer;
    const { id, ok, errno, message, kind, usage } = answer;
    if (usage !== undefined && "answers" in usage) this.#usage = usage;
    const asked = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (ok === true) asked?.resolve(answer);
    else asked?.reject(new ControlRefusal(errno ?? "EIO", message ?? "", kind));
  }

  #lose(why: Error): void {
    this.#lost ??= why;
    for (const asked of this.#waiting.values()) asked.reject(why);
    this.#waiting.clear();
  }
}

function createSilenceError(why: string): Error {
  return new Error(`the mount no longer answers: ${why}`);
}

function requireMember<T>(member: T | undefined): T {
  if (member === undefined) throw new Error("the mount's answer has no result");
  return member;
}

interface ControlAnswer {
  readonly id: number;
  readonly ok?: true;
  readonly errno?: string;
  readonly message?: string;
  readonly kind?: string;
  readonly grown?: Growth;
  readonly saved?: SaveOutcome;
  readonly allowed?: ConfirmStep;
  readonly version?: number;
  readonly diagnosis?: Diagnosis;
  readonly frozen?: Frozen;
  readonly usage?: Usage;
}

interface OpenedControl {
  readonly file: FileHandle;
  readonly readOnly: boolean;
}

/** In a read-only mount no file can be opened for writing, but pending files can still be generated. */
async function openEither(path: string): Promise<OpenedControl> {
  try {
    return { file: await open(path, constants.O_RDWR | constants.O_NONBLOCK), readOnly: false };
  } catch (error) {
    if (codeOf(error) !== "EROFS") throw error;
    return { file: await open(path, constants.O_RDONLY | constants.O_NONBLOCK), readOnly: true };
  }
}
