/**
 * /dev/fuse: the descriptor, and the loop that serves it.
 *
 * It knows which errno means "try again" and which "the mount is gone", and when to sleep. How the thread waits for the next
 * request, and on which processor, is decided in waiting/.
 */
import { ERRNO } from "../errno.ts";
import type { Extent } from "../libc.ts";
import * as libc from "../libc.ts";
import { FUSE_MIN_READ_BUFFER } from "./abi.ts";
import type { Channel, Session } from "./session.ts";
import { Splicer } from "./splice.ts";
import { Patience } from "./waiting/patience.ts";
import { DELAY_MS, type Placement, STREAM_MS_PER_REQUEST, STRETCH } from "./waiting/placement.ts";
import { Polling } from "./waiting/polling.ts";
import { wordsOf } from "./wire.ts";

const PAUSE_MS = 5;
/** Messages and timers are checked after this many stretches of requests, even if the next request is there at once. */
const CHECK_STRETCHES = 4;
const IDLE_MS = 1000;

export class Device implements Channel {
  readonly fd: number;
  readonly #splicer = new Splicer();

  constructor(fd: number) {
    this.fd = fd;
    libc.setNonBlocking(fd);
  }

  /** Like Channel.sendExtent; if splicing is not possible, the data is copied to `message`. */
  sendExtent(message: Buffer, headerLength: number, extent: Extent): number {
    const sent = this.#splicer.send(this.fd, message, headerLength, extent);
    if (sent !== undefined) return sent;
    const target = message.subarray(headerLength, headerLength + extent.length);
    const length = libc.pread(extent.fd, target, target.length, extent.offset);
    target.fill(0, Math.max(0, length));
    return this.send(message, headerLength + extent.length);
  }

  sendAsync(message: Buffer, length: number, apart: boolean): libc.AsyncWrite | undefined {
    return apart ? this.#sendApart(message, length) : libc.writeAsync(this.fd, message, length);
  }

  /** glibc writes to a descriptor in the order of the calls, one at a time. */
  #sendApart(message: Buffer, length: number): libc.AsyncWrite | undefined {
    let fd: number | undefined = libc.duplicate(this.fd);
    const close = () => {
      if (fd !== undefined) libc.close(fd);
      fd = undefined;
    };
    try {
      const write = libc.writeAsync(fd, message, length);
      if (write === undefined) close();
      const closeWhenOver = (over: boolean) => {
        if (over) close();
        return over;
      };
      return write && { done: () => closeWhenOver(write.done()), cancel: () => closeWhenOver(write.cancel()) };
    } catch (error) {
      close();
      throw error;
    }
  }

  send(message: Buffer, length: number): number {
    for (;;) {
      const result = libc.write(this.fd, message, length);
      if (result === -ERRNO.EINTR) continue;
      return Math.min(result, 0);
    }
  }
}

/** Other events that may wake up the loop: the other thread's messages. */
export interface Mailbox {
  /** A descriptor that is readable when there may be messages. */
  readonly fd: number;
  /** Handles all messages. */
  drain(): void;
  /**
   * Does a slice of background work, for a fraction of a millisecond, because a request that comes in the meantime waits for
   * it; returns false if there is none. `paused`: no request came for a while.
   */
  work(paused: boolean): boolean;
  /** Whether some work waits for an event that nothing reports: it is checked again after PAUSE_MS. */
  hasWaiting(): boolean;
  /** Whether the other thread works on something that it will send a message about. */
  expectsMail(): boolean;
  /** Work that is due at a certain time. */
  readonly timers: Alarm;
  /** Called after PAUSE_MS without a request. */
  onPause(): void;
  /** Called after IDLE_MS without a request, for longer work. `requests`: the number of requests before that. */
  onIdle(requests: number): void;
}

export interface Alarm {
  /** Milliseconds until work is due; undefined if there is none. */
  readonly due: number | undefined;
  /** Does the work that is due, for at most a few milliseconds. Returns false if nothing is due. */
  run(): boolean;
}

export interface LoopOptions {
  /** Largest WRITE; the buffer must hold it and its headers. */
  readonly maxWrite: number;
  /** Where the thread runs, and whether it polls for requests before it sleeps. Without it, it always sleeps at once. */
  readonly placement?: Placement | undefined;
}

/** Serves until the mount is gone (ENODEV, or DESTROY without a further request), or until `stopped` returns true. */
export function serve(
  device: Device,
  session: Session,
  mailbox: Mailbox,
  isStopped: () => boolean,
  options: LoopOptions,
): void {
  const patience = new Patience(device.fd);
  try {
    loop(device, session, mailbox, isStopped, options, patience);
  } finally {
    patience.close();
  }
}

function loop(
  device: Device,
  session: Session,
  mailbox: Mailbox,
  isStopped: () => boolean,
  options: LoopOptions,
  patience: Patience,
): void {
  const buffer = Buffer.alloc(Math.max(FUSE_MIN_READ_BUFFER, options.maxWrite + 4096));
  const words = wordsOf(buffer);
  const at = libc.address(buffer);
  const read = () => libc.read(device.fd, at, buffer.length);
  const sleep = new Sleeper(device.fd, mailbox.fd);
  const { placement } = options;
  const polling = placement && new Polling(placement);
  /** The number of requests since the loop was last idle, and whether there was a pause after the last one. */
  let requests = 0;
  let paused = true;
  /** The number of requests in the current stretch. */
  let recent = 0;
  let since = 0;
  let stretches = 0;
  /** When the last request came. */
  let last = 0;
  while (!isStopped()) {
    let length = read();
    // The other thread needs the processor, and only a sleeping loop notices its messages at once.
    if (length === -ERRNO.EAGAIN && polling?.isDue === true && !mailbox.expectsMail()) length = polling.poll(read);
    if (length > 0) {
      session.handle(buffer, words, length);
      requests++;
      // Someone waits for a message.
      if (session.parked > 0) patience.end();
      if (paused) {
        paused = false;
        recent = 0;
        since = last = performance.now();
      }
      if (placement?.way === "defer") {
        const now = performance.now();
        if (now - last > DELAY_MS) placement.noteDelay();
        last = now;
      }
      if (++recent >= (placement?.length ?? STRETCH)) {
        const took = performance.now() - since;
        placement?.noteStretch(took, session.lastCaller);
        polling?.noteStretch(took, recent);
        // A program that sends requests without end must not keep another from the content it waits for. So messages and
        // timers, normally checked before sleeping, are also checked here.
        const isDue = ++stretches % CHECK_STRETCHES === 0;
        if (isDue) {
          mailbox.drain();
          mailbox.timers.run();
        }
        if (placement?.polls === true) patience.end();
        else if (isDue || (!patience.on && took <= recent * STREAM_MS_PER_REQUEST)) {
          if (session.parked === 0 && !mailbox.work(false) && !mailbox.hasWaiting()) patience.begin(requests);
        }
        since = last = performance.now();
        recent = 0;
      }
      continue;
    }
    if (length === -ERRNO.EINTR && patience.on) {
      mailbox.drain();
      mailbox.timers.run();
      if (mailbox.work(false) || mailbox.hasWaiting() || session.parked > 0) patience.end();
      else patience.noteTick(requests);
      continue;
    }
    if (length === -ERRNO.EAGAIN) {
      const busy = mailbox.work(paused);
      const soon = !paused || mailbox.hasWaiting();
      const rest = busy ? 0 : soon ? PAUSE_MS : requests > 0 ? IDLE_MS : -1;
      const slept = sleep.sleep(shorterTimeout(rest, mailbox.timers.due));
      const rang = mailbox.timers.run();
      if (!busy && !rang && !sleep.request && !sleep.mail) {
        if (paused && !soon) {
          mailbox.onIdle(requests);
          requests = 0;
        } else if (!paused) {
          placement?.notePause();
          mailbox.onPause();
        }
        paused = true;
      }
      // Work that takes a while must not wait for other programs.
      if (busy && placement?.way === "defer") placement.notePause();
      if (!busy && sleep.request) polling?.noteSleep(slept);
      if (sleep.mail) mailbox.drain();
      continue;
    }
    // ENOENT: the request was interrupted before it was read. EINTR: we got a signal.
    if (length === -ERRNO.ENOENT || length === -ERRNO.EINTR) continue;
    // ENODEV: unmounted. ECONNABORTED: aborted through /sys/fs/fuse/connections. Both are a normal end.
    if (length === -ERRNO.ENODEV || length === -ERRNO.ECONNABORTED) return;
    throw new libc.SystemError("read", -length, "/dev/fuse");
  }
}

/** The shorter of two times, in whole milliseconds. A negative first time means no limit. */
function shorterTimeout(rest: number, due: number | undefined): number {
  if (due === undefined) return rest;
  return rest < 0 ? Math.ceil(due) : Math.min(rest, Math.ceil(due));
}

/** Sleeps until a request or a message comes. */
class Sleeper {
  readonly #entries = new Int32Array(4);
  readonly #at = libc.address(this.#entries);
  request = false;
  mail = false;

  constructor(device: number, mail: number) {
    // struct pollfd: int fd; short events, revents.
    this.#entries[0] = device;
    this.#entries[2] = mail;
  }

  /** Returns how many milliseconds it slept. */
  sleep(timeoutMs: number): number {
    this.#entries[1] = libc.POLLIN;
    this.#entries[3] = libc.POLLIN;
    const start = performance.now();
    libc.poll(this.#at, 2, timeoutMs);
    this.request = (this.#entries[1] ?? 0) >> 16 !== 0;
    this.mail = (this.#entries[3] ?? 0) >> 16 !== 0;
    return performance.now() - start;
  }
}
