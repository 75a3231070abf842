/**
 * Lets the filesystem thread sleep in read(2) while requests stream in.
 *
 * Normally the thread sleeps in poll(2), because a message of the other thread must wake it up too, and so a request costs
 * three system calls before it is there: a read that finds nothing, the poll, and a read. In a stream a blocking read does
 * the same with one. Messages then wait until a timer interrupts the read, or until the stretch of requests ends. So this is
 * for streams during which nobody waits for a message.
 */
import { createTicker, setBlocking, type Ticker } from "../../libc.ts";

/** How often a read is interrupted. */
const TICK_MS = 5;

export class Patience {
  readonly #fd: number;
  /** Undefined until it is needed; null if it could not be created or has ended. */
  #ticker: Ticker | null | undefined;
  #requests = 0;
  /** Whether reads block. */
  on = false;

  /** `fd`: the descriptor of /dev/fuse, which does not block. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Begins, if that is possible. `requests`: the number of requests so far. */
  begin(requests: number): void {
    if (this.on) return;
    if (this.#ticker === undefined) this.#ticker = createTicker() ?? null;
    if (this.#ticker?.every(TICK_MS) !== true) return;
    setBlocking(this.#fd, true);
    this.on = true;
    this.#requests = requests;
  }

  /** A read was interrupted. Ends if no request came since the last time. */
  noteTick(requests: number): void {
    if (requests === this.#requests) this.end();
    this.#requests = requests;
  }

  end(): void {
    if (!this.on) return;
    this.on = false;
    this.#ticker?.every(0);
    setBlocking(this.#fd, false);
  }

  close(): void {
    this.end();
    this.#ticker?.close();
    this.#ticker = null;
  }
}
