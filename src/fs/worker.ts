/**
 * The filesystem thread: the worker's entry point.
 *
 * Builds the tree, waits for the mount, then serves it until it is gone. It never awaits, and blocks only in the
 * kernel: between requests it takes the main thread's messages (receiveMessageOnPort needs no event loop).
 */
import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { copyDirectory } from "../disk/copy-directory.ts";
import { FsError, messageOf } from "../errno.ts";
import { FUSE_PASSTHROUGH } from "../fuse/abi.ts";
import { type Alarm, Device, serve } from "../fuse/device.ts";
import { OPS } from "../fuse/ops.ts";
import { type RequestLimit, readRequestLimit } from "../fuse/request-limit.ts";
import { Session } from "../fuse/session.ts";
import { Placement, possibleWays } from "../fuse/waiting/placement.ts";
import { systemProcessors } from "../fuse/waiting/processors.ts";
import * as libc from "../libc.ts";
import type {
  FromFilesystem,
  LogLevel,
  StartingTree,
  ToFilesystem,
  WorkerOptions,
  WorkerStart,
} from "../rpc/messages.ts";
import { loadSnapshot } from "../snapshot/read/load.ts";
import { type Clock, fixedClock } from "../tree/inode.ts";
import { Space } from "../tree/space.ts";
import { Tree } from "../tree/tree.ts";
import type { Stamps } from "./clock.ts";
import { CAPABILITIES, CAPABILITIES2, MAX_WRITE } from "./coherence/caching.ts";
import { controlFiles } from "./control/files.ts";
import { type ServedTree, serveTree } from "./dispatch.ts";
import { listsDirectories, plant } from "./lazy/planted-files.ts";
import { receiveOptions, type ThreadStart } from "./start.ts";
import { storesFor } from "./stores.ts";
import { Deadlines } from "./waiting/deadlines.ts";
import { answerInParts } from "./whole-tree.ts";

class FilesystemWorker {
  readonly #options: WorkerOptions;
  readonly #port: MessagePort;
  readonly #wake: number;
  readonly #stamps: Stamps;
  readonly #served: ServedTree;
  #session: Session | undefined;
  #closed = false;
  #batch: FromFilesystem[] | undefined;

  constructor(port: MessagePort, { options, wake, stamps }: ThreadStart) {
    this.#stamps = stamps;
    this.#options = options;
    this.#port = port;
    this.#wake = wake;
    const space = new Space({
      ...(options.size === undefined ? {} : { bytes: options.size }),
      ...(options.inodes === undefined ? {} : { inodes: options.inodes }),
      ...storesFor(options.size),
      moments: this.#stamps,
    });
    const { epoch } = options;
    const { clock } = this.#stamps;
    const fixed: Clock | undefined = epoch === undefined ? undefined : fixedClock(epoch);
    const withGenerationClock = <T>(work: () => T): T =>
      fixed === undefined ? work() : this.#stamps.withClock(fixed, work);
    const { plants = [] } = options;
    const tree = withGenerationClock(() => {
      const made = new Tree({ clock, space, owner: options.owner });
      if (options.from !== undefined) this.#load(made, options.from);
      for (const problem of plant(made, plants, options.owner)) this.#log("warn", "fs", problem);
      return made;
    });
    this.#served = serveTree(
      {
        tree,
        withGenerationClock,
        post: (message) => this.#post(message),
        batchMessages: (work) => this.#batchMessages(work),
        control: (mount, handlers) =>
          controlFiles(mount, handlers, {
            mountpoint: options.mountpoint,
            counts: () => this.#countRequests(),
          }),
        owner: options.owner,
        ...(options.shared ? { sharedBy: options.owner.uid } : {}),
        ...(options.claimedSize === undefined ? {} : { claimedSize: options.claimedSize }),
        ...(options.programs === undefined ? {} : { programs: options.programs }),
        umask: process.umask(),
        listing: listsDirectories(plants),
        ...(options.named === undefined ? {} : { named: options.named }),
        renewing: options.plants !== undefined,
        isServed: () => this.#session !== undefined,
        // 32 bits, as in a file handle.
        generation: crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
      },
      () => this.#requireSession(),
    );
  }

  /** Throws SnapshotError, or FsError for a directory. */
  #load(tree: Tree, from: StartingTree): void {
    const { owner } = this.#options;
    if ("directory" in from) {
      const warn = (message: string) => this.#log("warn", "fs", message);
      // As root's cp -a does.
      return copyDirectory(tree, from.directory, { owner, keepOwners: owner.uid === 0, warn });
    }
    const warn = (message: string) => this.#log("warn", "snapshot", message);
    loadSnapshot(tree, "file" in from ? from.file : from.text, { owner, warn });
  }

  #requireSession(): Session {
    if (this.#session === undefined) throw new Error("there is no session before the mount");
    return this.#session;
  }

  /** Serves until the mount is gone, then continues to answer the main thread until that closes the channel. */
  run(): void {
    const fd = this.#waitForMount();
    if (fd === undefined) return;
    if (fd === "none") return this.#answerMainThread();
    const device = new Device(fd);
    const { mount } = this.#served;
    const limit = readRequestLimit();
    const deadlines = this.#createDeadlines(limit);
    const session = new Session(this.#served.operations, device, {
      flags: CAPABILITIES,
      flags2: CAPABILITIES2,
      maxWrite: MAX_WRITE,
      onInterrupt: (unique, thread) => this.#served.interrupt(unique, thread),
      onRequest: () => this.#stamps.advance(),
      requestTimeout: limit.askS,
      ...(deadlines && { onParked: () => deadlines.check() }),
      onReady: ({ minor, flags2 }) => {
        if (this.#options.passthrough && (flags2 & FUSE_PASSTHROUGH) !== 0) mount.passthrough.enable(fd);
        this.#post({ type: "ready", protocol: `7.${minor}` });
      },
      log: (level, line) => this.#log(level, "fuse", line),
      debug: this.#options.debug,
    });
    this.#session = session;
    const placement = choosePlacement(this.#options.lowPower);
    try {
      serve(
        device,
        session,
        {
          fd: this.#wake,
          drain: () => {
            mount.postponed.retryOld();
            this.#drain();
            mount.ruleEntries.balancePages();
          },
          work: (paused) => {
            this.#stamps.advance();
            mount.postponed.retry();
            mount.dcache.flush();
            mount.ruleEntries.balancePages();
            const settles = paused && (mount.passthrough.settle() || mount.passthrough.prepare());
            return mount.writeback.poll() || settles;
          },
          hasWaiting: () => mount.dcache.hasWaiting,
          expectsMail: () => mount.waiters.size > 0 || mount.postponed.any,
          timers: this.#createAlarm(),
          onPause: () => mount.unnamed.onPause(),
          onIdle: (requests) => {
            // This thread has no event loop, so the collector's own timers never run in it.
            if (requests >= COLLECT_AFTER) Bun.gc(true);
          },
        },
        () => this.#closed,
        { maxWrite: MAX_WRITE, placement },
      );
      this.#post({ type: "ended", reason: "unmounted" });
    } catch (error) {
      this.#post({ type: "ended", reason: "failed", message: stackOf(error) });
    }
    placement?.close();
    this.#releaseAll();
    this.#sleepUntil(() => this.#closed);
  }

  /** Without a mount, only the main thread asks. What is meant for the kernel is not sent. */
  #answerMainThread(): void {
    const nowhere = { send: () => 0, sendExtent: () => 0, sendAsync: () => undefined };
    const log = (level: LogLevel, line: string) => this.#log(level, "fuse", line);
    const options = { flags: 0, flags2: 0, maxWrite: MAX_WRITE, onInterrupt: () => false, log };
    this.#session = new Session(this.#served.operations, nowhere, options);
    this.#post({ type: "ready", protocol: "none" });
    this.#sleepUntil(() => this.#closed);
  }

  /** Releases everything that the kernel held. */
  #releaseAll(): void {
    const { mount } = this.#served;
    mount.waiters.clear();
    mount.regen.clear();
    mount.handles.clear();
    mount.nodes.clear();
    if (this.#options.debug) mount.tree.checkInvariants();
  }

  #createAlarm(): Alarm {
    const { timers } = this.#served;
    return {
      get due() {
        return timers.due;
      },
      run: () => {
        let any = false;
        this.#batchMessages(() => {
          this.#stamps.advance();
          any = timers.run();
        });
        return any;
      },
    };
  }

  /** Undefined if requests may wait for ever. */
  #createDeadlines({ answerWithinMs: withinMs }: RequestLimit): Deadlines | undefined {
    if (withinMs === undefined) return undefined;
    const limit = `${Math.round(withinMs / 1000)} s, because of the sysctl fs.fuse.max_request_timeout`;
    const timedOut = new FsError(
      "ETIMEDOUT",
      `the answer did not come within ${limit}; generation continues, and a later open finds the content`,
    );
    return new Deadlines({
      timers: this.#served.timers,
      withinMs,
      oldest: () => this.#requireSession().oldestParked,
      end: (unique) => {
        this.#log("warn", "fs", `${timedOut.code}: ${timedOut.message}`);
        this.#served.expire(unique, timedOut);
      },
    });
  }

  #waitForMount(): number | "none" | undefined {
    let fd: number | "none" | undefined;
    this.#onServe = (given) => {
      fd = given;
    };
    this.#post({ type: "loaded", pending: this.#served.mount.tree.space.lazyFiles > 0 });
    this.#sleepUntil(() => fd !== undefined || this.#closed);
    return fd;
  }

  #onServe: (fd: number | "none") => void = () => {};

  /** A struct pollfd. A field, because an array of which only the address is used may be garbage-collected. */
  readonly #wakeEntry = new Int32Array(2);
  readonly #wakeAt = libc.address(this.#wakeEntry);

  #sleepUntil(condition: () => boolean): void {
    this.#wakeEntry.set([this.#wake, libc.POLLIN]);
    const alarm = this.#createAlarm();
    for (this.#drain(); !condition(); this.#drain()) {
      libc.poll(this.#wakeAt, 1, Math.ceil((this.#session && alarm.due) ?? -1));
      if (this.#session !== undefined) alarm.run();
    }
  }

  #drain(): void {
    libc.read(this.#wake, wakeCount, wakeCount.length);
    this.#batchMessages(() => {
      for (;;) {
        const received: { message: readonly ToFilesystem[] } | undefined = receiveMessageOnPort(this.#port);
        if (received === undefined) break;
        for (const message of received.message) {
          this.#stamps.advance();
          this.#takeSafely(message);
        }
      }
    });
  }

  /** A bug in handling one message costs its readers the content, but does not end the mount. */
  #takeSafely(message: ToFilesystem): void {
    try {
      this.#take(message);
    } catch (error) {
      this.#log("error", "fs", stackOf(error));
      if ("ticket" in message)
        this.#served.mount.waiters.takeFailure(message.ticket, new FsError("EIO", messageOf(error)));
    }
  }

  #take(message: ToFilesystem): void {
    const { waiters } = this.#served.mount;
    if ("ticket" in message) this.#served.handlers.answerCount++;
    switch (message.type) {
      case "serve":
        return this.#onServe(message.fd);
      case "piece":
        return waiters.takePiece(message.ticket, message.bytes);
      case "content":
        return waiters.takeContent(message.ticket, message.content);
      case "listed":
        return waiters.takeListing(message.ticket, message.listing);
      case "stage":
        return waiters.setStage(message.ticket, message.stage);
      case "failed":
        return waiters.takeFailure(message.ticket, new FsError(message.code, message.message));
      case "working":
        return waiters.setMaker(message.ticket, message.pid);
      case "call":
        return this.#answerCall(message);
      case "completed":
        return this.#served.handlers.onCompleted(message.id, message);
      case "publish":
        return this.#served.handlers.publish(message.name, message.text);
      case "settled":
        return this.#served.handlers.onSettled(message.id);
      case "close":
        this.#closed = true;
    }
  }

  #answerCall({ id, method, args }: Extract<ToFilesystem, { type: "call" }>): void {
    const { handlers } = this.#served;
    // Without a session, timers do not run, and nothing else has to be answered.
    const timers = this.#session && this.#served.timers;
    const reply = (value: unknown) => this.#post({ type: "reply", id, value });
    const replyFault = (error: unknown) => {
      if (!(error instanceof FsError)) this.#log("error", "fs", stackOf(error));
      const { code, message } = FsError.from(error);
      this.#post({ type: "fault", id, code, message });
    };
    // The arguments were checked where the call was made (filesystem.ts), and messages carry them unchanged.
    const [first, second, third] = args as [never, never, never];
    try {
      if (method === "read" || method === "list" || method === "make" || method === "regenerate")
        handlers[method](first, second, reply, replyFault, third);
      else if (method === "outlineSince" || method === "pending" || method === "generated")
        answerInParts(timers, id, handlers[method](first, second), (m) => this.#post(m), replyFault);
      else reply(handlers[method](first, second, third));
    } catch (error) {
      replyFault(error);
    }
  }

  /** The number of requests from the kernel, by operation. */
  #countRequests(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [name, { opcode }] of Object.entries(OPS)) {
      const count = this.#session?.counts[opcode] ?? 0;
      if (count > 0) counts[name] = count;
    }
    return counts;
  }

  /** Sends the messages posted during the work as one batch: each message has a high fixed cost. */
  #batchMessages(work: () => void): void {
    if (this.#batch !== undefined) return work();
    const batch: FromFilesystem[] = [];
    this.#batch = batch;
    try {
      work();
    } finally {
      this.#batch = undefined;
      if (batch.length > 0) this.#port.postMessage(batch);
    }
  }

  #post(message: FromFilesystem): void {
    if (this.#batch === undefined) this.#port.postMessage(message);
    else this.#batch.push(message);
  }

  #log(level: LogLevel, tag: string, line: string): void {
    this.#post({ type: "log", level, tag, text: line });
  }
}

/** After this many requests there is something worth collecting. */
const COLLECT_AFTER = 10_000;

/** Undefined if there is only one processor. */
function choosePlacement(savesPower: boolean): Placement | undefined {
  const processors = systemProcessors();
  return processors && new Placement(possibleWays(processors), processors, { savesPower });
}

const wakeCount = new Uint8Array(8);

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

// workerData is what the thread was started with; filesystem-thread.ts passes WorkerStart.
const start = workerData as WorkerStart;
try {
  new FilesystemWorker(start.port, receiveOptions(start)).run();
} catch (error) {
  const name = error instanceof Error ? error.name : "Error";
  const refusal: FromFilesystem = { type: "refused", name, message: messageOf(error) };
  start.port.postMessage(refusal);
}
