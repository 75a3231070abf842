/**
 * The requests of a client that have no answer yet. A client may close its end after the last request and go on reading, as
 * `llmfs mcp tree.json < requests` does.
 */
import type { JSONRPCMessage } from "@modelcontextprotocol/server";
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";

/** The longest wait for answers after the client has closed its end. */
const LONGEST_MS = 600_000;
/** How often to look whether the client still reads. */
const LOOK_MS = 500;

/** A stream that never has an answer to wait for. */
const WITHOUT_ANSWER = "subscriptions/listen";

export class UnansweredRequests {
  readonly #ids = new Set<string | number>();
  #none = Promise.withResolvers<void>();

  /** Notes a message from the client. */
  onReceived(message: JSONRPCMessage): void {
    if (!("method" in message)) return;
    if ("id" in message) {
      if (message.method === WITHOUT_ANSWER) return;
      if (this.#ids.size === 0) this.#none = Promise.withResolvers();
      this.#ids.add(message.id);
    } else if (message.method === "notifications/cancelled") this.#settle(message.params?.requestId);
  }

  /** Notes a message to the client. */
  onSent(message: JSONRPCMessage): void {
    if (!("method" in message) && "id" in message) this.#settle(message.id);
  }

  /** Resolves when all requests received so far are answered, nobody reads the answers, or it takes too long. */
  async answered(isReaderGone: () => boolean, longestMs = LONGEST_MS, lookMs = LOOK_MS): Promise<void> {
    if (this.#ids.size === 0) return;
    const { promise: over, resolve: giveUp } = Promise.withResolvers<void>();
    const late = setTimeout(giveUp, longestMs);
    const looks = setInterval(() => isReaderGone() && giveUp(), lookMs);
    await Promise.race([this.#none.promise, over]);
    clearTimeout(late);
    clearInterval(looks);
  }

  #settle(id: unknown): void {
    if ((typeof id === "string" || typeof id === "number") && this.#ids.delete(id) && this.#ids.size === 0) {
      this.#none.resolve();
    }
  }
}

/** Tells the requests and answers that pass. */
export class CountedTransport extends StdioServerTransport {
  readonly #unanswered: UnansweredRequests;

  constructor(unanswered: UnansweredRequests, ...args: ConstructorParameters<typeof StdioServerTransport>) {
    super(...args);
    this.#unanswered = unanswered;
  }

  override async start(): Promise<void> {
    const deliver = this.onmessage;
    this.onmessage = (message: JSONRPCMessage) => {
      this.#unanswered.onReceived(message);
      deliver?.(message);
    };
    await super.start();
  }

  override async send(message: JSONRPCMessage): Promise<void> {
    try {
      await super.send(message);
    } finally {
      this.#unanswered.onSent(message);
    }
  }
}
