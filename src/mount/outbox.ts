/**
 * Messages from the main thread to the filesystem thread.
 *
 * Sending a message costs more than its contents, and waking up the other thread costs more than the message. So
 * everything sent in one turn of the event loop is one message.
 */
import * as libc from "../libc.ts";
import type { PublishedName, ToFilesystem } from "../rpc/messages.ts";

export class Outbox {
  readonly #port: MessagePort;
  readonly #wake: number;
  readonly #one = new Uint8Array(new BigUint64Array([1n]).buffer);
  #messages: ToFilesystem[] = [];
  /** Texts to render before any other message is sent. */
  readonly #texts = new Map<PublishedName, () => string>();
  readonly #published = new Set<PublishedName>();
  #waiting = false;
  #closed = false;

  /** `wake` is an eventfd on which the other thread sleeps. */
  constructor(port: MessagePort, wake: number) {
    this.#port = port;
    this.#wake = wake;
  }

  post(message: ToFilesystem): void {
    this.#messages.push(message);
    this.#scheduleSend();
  }

  /** See MountedFilesystem.publish. */
  publish(name: PublishedName, text: () => string): void {
    this.#texts.set(name, text);
    // The first text is sent at once, so that it is there when the mount is reported as ready.
    if (this.#published.has(name)) this.#scheduleSend();
    else this.#send();
    this.#published.add(name);
  }

  /** Sends "close", and nothing after it. */
  close(): void {
    this.#messages.push({ type: "close" });
    this.#send();
    this.#closed = true;
    this.#port.close();
  }

  #scheduleSend(): void {
    if (this.#waiting || this.#closed) return;
    this.#waiting = true;
    setImmediate(() => {
      this.#waiting = false;
      this.#send();
    });
  }

  #send(): void {
    if (this.#closed) return;
    const texts = [...this.#texts].map(([name, text]): ToFilesystem => ({ type: "publish", name, text: text() }));
    const messages = [...texts, ...this.#messages];
    if (messages.length === 0) return;
    this.#texts.clear();
    this.#messages = [];
    this.#port.postMessage(messages, messages.flatMap(ownedBuffers));
    libc.write(this.#wake, this.#one, 8);
  }
}

/** Returns the buffers that only these bytes use: they are moved to the other thread instead of being copied. */
function ownedBuffers(message: ToFilesystem): ArrayBuffer[] {
  if (message.type !== "content" && message.type !== "piece") return [];
  const { buffer, byteLength } = message.type === "piece" ? message.bytes : message.content.bytes;
  return buffer instanceof ArrayBuffer && byteLength > 65_536 && buffer.byteLength === byteLength ? [buffer] : [];
}
