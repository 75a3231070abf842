/** A connection to a server that a test can cut, silence or delay, as a network does. */
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from "node:net";

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** How many connections were accepted. */
  readonly accepted: number;
  /** Ends all connections, as a server does with idle ones. */
  drop(): void;
  /** Ends all connections, and accepts none until `restore`. */
  cut(): Promise<void>;
  /** Nothing passes until `restore`, but connections stay: on all of them, or only on those that are open now. */
  silence(which?: "all" | "open"): void;
  restore(): Promise<void>;
  /** How long each piece of an answer takes. */
  delayMs: number;
}

export async function tcpProxy(upstream: NetConnectOpts): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let silent = false;
  let accepted = 0;
  let delayMs = 0;

  function onConnection(client: Socket): void {
    accepted += 1;
    const server = connect(upstream);
    const pair = [client, server] as const;
    pairs.add(pair);
    const end = () => {
      client.destroy();
      server.destroy();
      pairs.delete(pair);
    };
    for (const one of pair) one.on("close", end).on("error", end);
    client.on("data", (piece) => server.write(piece));
    server.on("data", (piece) => {
      if (delayMs === 0) client.write(piece);
      else setTimeout(() => client.destroyed || client.write(piece), delayMs);
    });
    if (silent) for (const one of pair) one.pause();
  }

  let listener = createServer(onConnection);
  const listen = (port: number) => new Promise<void>((resolve) => listener.listen(port, "127.0.0.1", resolve));
  await listen(0);
  // A server that listens on a port has an address with a port.
  const { port } = listener.address() as AddressInfo;
  const drop = () => {
    for (const [client, server] of pairs) {
      client.destroy();
      server.destroy();
    }
  };
  const close = async () => {
    const closed = new Promise((resolve) => listener.close(resolve));
    drop();
    await closed;
  };
  return {
    port,
    get delayMs() {
      return delayMs;
    },
    set delayMs(ms) {
      delayMs = ms;
    },
    get accepted() {
      return accepted;
    },
    drop,
    cut: close,
    silence(which: "all" | "open" = "all") {
      silent = which === "all";
      for (const pair of pairs) for (const one of pair) one.pause();
    },
    async restore() {
      silent = false;
      for (const pair of pairs) for (const one of pair) one.resume();
      if (listener.listening) return;
      listener = createServer(onConnection);
      await listen(port);
    },
    async [Symbol.asyncDispose]() {
      if (listener.listening) await close();
    },
  };
}

/** The socket or port of a server, from its URL. */
export function upstreamOf(url: string): NetConnectOpts {
  const { protocol, hostname, port, pathname } = new URL(url);
  return protocol.endsWith("+unix:") ? { path: pathname } : { host: hostname, port: Number(port) };
}
