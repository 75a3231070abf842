/**
 * A mounted filesystem, as the main thread sees it.
 *
 * Glossary, as in Linux: an *inode* is a file, directory or symlink itself; a *dentry* is a name for one. *Lookup*
 * finds an inode by a name and lets the kernel refer to it by its nodeid until it *forgets* it. A *handle* is an open
 * file. A *request* of the kernel gets one *reply*. Our own terms: a *generator* produces a file's content; a file
 * without content is *pending*; an *attempt* is one run of a generator; its *waiters* wait for the result, and when the
 * last one leaves, the attempt continues for a *grace* period; a *recording* is a model's answer that is kept for
 * reuse; a *snapshot* is the whole tree in a file.
 *
 * The tree lives in a worker (worker.ts) that answers the kernel and never waits. This side mounts, runs generations on
 * request, and reaches the tree only through the port (messages.ts). Code in this thread must not access the mount
 * synchronously: a pending file is generated here, so it would wait for itself.
 */
import { abortable } from "../abort.ts";
import { FsError } from "../errno.ts";
import * as libc from "../libc.ts";
import type { Generate, GenerationRequest, List, ListingRequest, Recall } from "../rpc/generation.ts";
import type { GrowableTree } from "../rpc/growth.ts";
import type {
  FromFilesystem,
  HeldCounts,
  LogLevel,
  Methods,
  PendingFile,
  PublishedName,
  Revision,
  ToFilesystem,
} from "../rpc/messages.ts";
import { unpackList } from "../rpc/packed-list.ts";
import type { MountEvent } from "../rpc/programs.ts";
import { Commands, type RunCommand, toFsError } from "./commands.ts";
import { FailureLog } from "./failure-log.ts";
import { createFileMethods, type FileMethods } from "./file-methods.ts";
import { takeThread } from "./filesystem-thread.ts";
import { GenerationTask } from "./generation-task.ts";
import { type MountHandle, type MountOptions, NO_MOUNT, NOTHING_TO_MOUNT, prepareMount } from "./mount-handle.ts";
import { Outbox } from "./outbox.ts";
import { type SnapshotSaveOptions, snapshotPieces } from "./snapshot-pieces.ts";
import { TreeViews } from "./tree-view.ts";
import { type ThreadOptions, workerOptions } from "./worker-options.ts";

export interface FilesystemOptions extends ThreadOptions, MountOptions {
  /** Mount nothing: only this process uses the tree. */
  readonly noMount?: true;
  /** Generates the content of pending files. */
  readonly generate: Generate;
  /** Called first. Absent: nothing is kept. */
  readonly recall?: Recall;
  /** Called when a regeneration is undone. `request`: the key of the request that both contents answer. */
  readonly onUndone?: (request: string) => void;
  /** Resolves when the cost of all cancelled calls is known, and what was recorded is on the disk. */
  readonly whenSettled?: () => Promise<void>;
  /** Lists the directories that have a generator. */
  readonly list?: List;
  readonly command?: RunCommand;
  /** Cancels the loading of the tree. */
  readonly signal?: AbortSignal;
  /** Completes the tree before it is mounted. If it rejects, nothing is mounted. */
  readonly prepare?: (tree: GrowableTree) => Promise<void>;
  /** Called once, before the first request is answered. What it publishes is there for the first reader. */
  readonly attach?: (filesystem: MountedFilesystem) => void;
  /** Called with each event, if `programs` says so. */
  readonly onEvent?: (event: MountEvent) => void;
  readonly log: (level: LogLevel, tag: string, text: string) => void;
}

export interface Ended {
  readonly reason: "unmounted" | "failed";
  readonly message?: string;
}

export interface MountedFilesystem extends GrowableTree, AsyncDisposable {
  /** "major:minor", as in /proc/self/mountinfo. */
  readonly device: string;
  /** Resolves when the mount is gone, whoever unmounted it. */
  readonly ended: Promise<Ended>;
  /** Whether the tree contained pending files at the start. */
  readonly beganPending: boolean;
  /** Writes a snapshot of this moment, completely or not at all. Also works after `ended`, until disposed. */
  save(file: string, options?: SnapshotSaveOptions): Promise<void>;
  /** The pieces of such a snapshot. */
  snapshot(options?: SnapshotSaveOptions): AsyncIterable<Uint8Array>;
  /** Tells whether the tree may have changed since an earlier call. Also works after `ended`. */
  revision(): Promise<Revision>;
  /**
   * Counts what is held, after checking the tree's invariants; rejects if one is violated. Also works after `ended`.
   */
  check(): Promise<HeldCounts>;
  /** Every file that has no content yet. */
  pending(): Promise<readonly PendingFile[]>;
  /** Files with generated content, the version of all contents, and what changes files of a tree without a mount. */
  readonly files: FileMethods;
  /** Resolves when a file has its content; a pending one is generated. Rejects with FsError. */
  make(path: string): Promise<void>;
  /** Until disposed, failed files are logged at level "info", because somebody reports them to the user anyway. */
  quietFailures(): Disposable;
  /**
   * Sets what `.llmfs/NAME` contains from now on. The first text is sent at once. Later ones are rendered when they are
   * sent, which is before a reader can see anything generated after this call.
   */
  publish(name: PublishedName, text: () => string): void;
  /**
   * Reports that a process group has begun to work for the mount, or has ended. It is ended however this process ends.
   */
  guard(group: number, living: boolean): void;
  /** Like `guard`, for one process that shares its group with others. */
  guardProcess(pid: number, living: boolean): void;
  /** Removes the mount, and resolves when it is gone. */
  unmount(): Promise<void>;
}

/** Builds the tree, and mounts it. Rejects with SnapshotError or MountError, with nothing mounted. */
export async function startFilesystem(options: FilesystemOptions): Promise<MountedFilesystem> {
  const link = new Link(options);
  const prepared = options.noMount === true ? NOTHING_TO_MOUNT : prepareMount(options);
  // Nothing that is read can turn out to be wrong, so the kernel can mount while the other thread starts.
  const early = options.from === undefined && options.prepare === undefined ? prepared.mount() : undefined;
  early?.catch(() => {});
  try {
    const loaded = await (options.signal === undefined ? link.loaded : abortable(options.signal, link.loaded));
    const pending = loaded || options.prepare !== undefined;
    await options.prepare?.(link.growable);
    return await link.serve(await (early ?? prepared.mount()), pending);
  } catch (error) {
    const mounted = await early?.catch(() => undefined);
    await mounted?.unmount();
    mounted?.release();
    prepared.cancel();
    link.close();
    throw error;
  }
}

/** A call that has no answer yet. */
interface Call {
  readonly parts: unknown[];
  answer(reply: Extract<FromFilesystem, { readonly type: "reply" }>): void;
  reject(error: Error): void;
}

/** The worker, and the messages to and from it. */
class Link {
  readonly #options: FilesystemOptions;
  readonly #worker: Worker;
  readonly #outbox: Outbox;
  readonly #loaded = Promise.withResolvers<boolean>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<Ended>();
  readonly #failures: FailureLog;
  /** The number of callers that report failures themselves. */
  #quiet = 0;
  /** The running tasks, by ticket. */
  readonly #tasks = new Map<number, GenerationTask>();
  readonly #commands: Commands;
  readonly #calls = new Map<number, Call>();
  #nextCall = 1;
  readonly #views = new TreeViews((method, ...args) => this.#call(method, ...args));
  #closed = false;
  #dead: Error | undefined;

  constructor(options: FilesystemOptions) {
    this.#options = options;
    this.#failures = new FailureLog(options.log);
    const wake = libc.eventfd();
    const { worker, port } = takeThread(workerOptions(options), wake);
    this.#worker = worker;
    this.#outbox = new Outbox(port, wake);
    this.#commands = new Commands(options.command, (message) => this.#outbox.post(message));
    worker.addEventListener("error", ({ message }) => this.#onDeath(new Error(message.trim())));
    worker.addEventListener("close", () => void this.#onClose(port));
    port.onmessage = ({ data }: { readonly data: FromFilesystem | readonly FromFilesystem[] }) => {
      for (const one of [data].flat()) this.#take(one);
    };
    for (const promise of [this.#loaded.promise, this.#ready.promise]) promise.catch(() => {});
  }

  /** Whether there is a pending file. */
  get loaded(): Promise<boolean> {
    return this.#loaded.promise;
  }

  get growable(): GrowableTree {
    return {
      tree: this.#views.forEverybody((ticket, pid, waits) => this.#tasks.get(ticket)?.setMaker(pid, waits)),
      add: (entries, adder) => this.#call("add", entries, adder),
    };
  }

  async serve(mount: MountHandle, pending: boolean): Promise<MountedFilesystem> {
    this.#ended.promise.then(() => mount.release());
    const filesystem = this.#describe(mount, pending);
    this.#options.attach?.(filesystem);
    this.#outbox.post({ type: "serve", fd: mount.fd });
    try {
      await this.#ready.promise;
      mount.startGuardian();
    } catch (error) {
      await mount.unmount();
      throw error;
    }
    return filesystem;
  }

  #describe(mount: MountHandle, pending: boolean): MountedFilesystem {
    const unmount = async () => {
      await mount.unmount();
      if (mount === NO_MOUNT) this.#end({ reason: "unmounted" });
      await this.#ended.promise;
    };
    return {
      ...this.growable,
      ended: this.#ended.promise,
      beganPending: pending,
      device: mount.device,
      save: async (file, options) => {
        const { writeAtomically } = await import("../snapshot/write/write.ts");
        await writeAtomically(file, snapshotPieces(this.#saver, options));
      },
      snapshot: (options) => snapshotPieces(this.#saver, options),
      revision: () => this.#call("revision"),
      check: () => this.#call("check"),
      pending: async () => unpackList(await this.#call("pending")),
      files: createFileMethods((method, ...args) => this.#call(method, ...args)),
      make: (path) => this.#call("make", path),
      quietFailures: () => {
        this.#quiet += 1;
        return {
          [Symbol.dispose]: () => {
            this.#quiet -= 1;
          },
        };
      },
      publish: (name, text) => this.#outbox.publish(name, text),
      guard: (group, living) => mount.guard(group, living),
      guardProcess: (pid, living) => mount.guardProcess(pid, living),
      unmount,
      [Symbol.asyncDispose]: async () => {
        await unmount();
        this.close();
      },
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#failures.close();
    this.#commands.stopAll();
    this.#outbox.close();
    for (const task of this.#tasks.values()) {
      task.cancel();
      task.end(new FsError("ENODEV", "the filesystem is closed"));
    }
    for (const call of this.#calls.values()) call.reject(new FsError("ENODEV", "the filesystem is closed"));
    this.#worker.terminate();
  }

  #take(message: FromFilesystem): void {
    switch (message.type) {
      case "loaded":
        return this.#loaded.resolve(message.pending);
      case "refused":
        return this.#loaded.reject(Object.assign(new Error(message.message), { name: message.name }));
      case "ready":
        return this.#ready.resolve();
      case "generate":
        this.#views.noteVersions(message.request);
        return void this.#generate(message.request);
      case "list":
        return void this.#list(message.request);
      case "command":
        return void this.#commands.begin(message.id, message.command);
      case "stop":
        return this.#commands.stop(message.id);
      case "undone":
        return this.#options.onUndone?.(message.request);
      case "settle":
        return void this.#settleCalls(message.id);
      case "cancel":
        return this.#tasks.get(message.ticket)?.cancel();
      case "waits":
        return this.#tasks.get(message.ticket)?.setWaiting(message.waits);
      case "taken":
        return this.#tasks.get(message.ticket)?.onTaken(message);
      case "part":
        return void this.#calls.get(message.id)?.parts.push(message.part);
      case "reply":
        return this.#takeCall(message.id)?.answer(message);
      case "fault":
        return this.#takeCall(message.id)?.reject(new FsError(message.code, message.message));
      case "event":
        return this.#options.onEvent?.(message.event);
      case "log":
        return this.#options.log(message.level, message.tag, message.text);
      case "ended":
        return this.#end(message.message === undefined ? { reason: message.reason } : message);
    }
  }

  async #settleCalls(id: number): Promise<void> {
    await this.#options.whenSettled?.();
    this.#outbox.post({ type: "settled", id });
  }

  readonly #saver = {
    saveBegin: (times: boolean) => this.#call("saveBegin", times),
    saveNext: (id: number) => this.#call("saveNext", id),
    saveEnd: (id: number) => this.#call("saveEnd", id),
  };

  #takeCall(id: number) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }

  #end({ reason, message }: Ended): void {
    this.#ready.reject(new Error(message ?? "unmounted before it was ready"));
    this.#ended.resolve(message === undefined ? { reason } : { reason, message });
  }

  /** The thread's last message, which may say why it ended, can still be on its way. */
  async #onClose(port: MessagePort): Promise<void> {
    const { receiveMessageOnPort } = await import("node:worker_threads");
    for (let last = receiveMessageOnPort(port); last !== undefined; last = receiveMessageOnPort(port)) {
      for (const one of [last.message].flat()) this.#take(one);
    }
    this.#onDeath(new Error("the filesystem thread ended"));
  }

  #onDeath(error: Error): void {
    if (this.#closed) return;
    this.#dead ??= error;
    this.#loaded.reject(error);
    this.#options.log("error", "fs", error.stack ?? error.message);
    this.#end({ reason: "failed", message: error.message });
    for (const call of this.#calls.values()) call.reject(error);
    for (const task of this.#tasks.values()) task.end(new FsError("ENODEV", error.message));
    this.#calls.clear();
  }

  #generate(request: GenerationRequest): Promise<void> | undefined {
    const { ticket } = request;
    const content = this.#options.recall?.(request);
    if (content !== undefined) return void this.#outbox.post({ type: "content", ticket, content });
    return this.#work(request, async (task) => {
      const content = await this.#options.generate(request, task.signal, task);
      return { type: "content", ticket, content };
    });
  }

  #list(request: ListingRequest): Promise<void> {
    return this.#work(request, async (task) => {
      if (this.#options.list === undefined) throw new FsError("EIO", "no generator lists directories");
      return { type: "listed", ticket: request.ticket, listing: await this.#options.list(request, task.signal, task) };
    });
  }

  /** Answers with the result of the work, or with the reason why it failed. */
  async #work(
    { ticket, path }: GenerationRequest | ListingRequest,
    work: (task: GenerationTask) => Promise<ToFilesystem>,
  ): Promise<void> {
    const task = new GenerationTask(ticket, (message) => this.#outbox.post(message));
    this.#tasks.set(ticket, task);
    try {
      this.#outbox.post(await work(task));
    } catch (error) {
      const failed = toFsError(error);
      const { code, message } = failed;
      if (!task.signal.aborted) this.#failures.add(path, failed, this.#quiet > 0);
      this.#outbox.post({ type: "failed", ticket, code, message });
    } finally {
      this.#tasks.delete(ticket);
      task.end(OVER);
    }
  }

  #call<K extends keyof Methods>(method: K, ...args: Parameters<Methods[K]>): Promise<Awaited<ReturnType<Methods[K]>>> {
    if (this.#closed) return Promise.reject(new FsError("ENODEV", "the filesystem is closed"));
    if (this.#dead !== undefined) return Promise.reject(new FsError("ENODEV", this.#dead.message));
    const id = this.#nextCall++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const parts: unknown[] = [];
    this.#calls.set(id, { parts, answer: ({ value, inParts }) => resolve(inParts ? { parts, value } : value), reject });
    this.#outbox.post({ type: "call", id, method, args });
    // The worker answers a method with that method's value; a message cannot carry the type.
    return promise as Promise<Awaited<ReturnType<Methods[K]>>>;
  }
}

/** The error for a generator that continues to write. One for all, because most never see it. */
const OVER = new FsError("EINTR", "the generation is over");
