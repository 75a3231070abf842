/**
 * The network between machines and their store: with a delay, and with a switch that cuts one machine off.
 *
 * As root, each machine is a network namespace with a link of its own to the store, and cutting it off takes the link down.
 * Otherwise machines are processes with a proxy each, and cutting one off makes its proxy silent. The model is always
 * reachable.
 */
import { createServer, type Server, type Socket } from "node:net";

export interface Link extends AsyncDisposable {
  /** Where the machine reaches the store, and the model. */
  readonly store: { readonly host: string; readonly port: number };
  readonly model: { readonly host: string; readonly port: number };
  /** What to put in front of a command so that it runs on the machine. */
  readonly prefix: readonly string[];
  cut(): void;
  heal(): void;
}

export interface LinkOptions {
  readonly index: number;
  readonly storePort: number;
  readonly modelPort: number;
  /** Of a round trip, in milliseconds. */
  readonly delay: number;
  readonly namespaces: boolean;
}

export async function createLink({ index, storePort, modelPort, delay, namespaces }: LinkOptions): Promise<Link> {
  const space = namespaces ? createNamespace(index) : undefined;
  const store = await createProxy(space?.storeHost ?? "127.0.0.1", storePort, delay);
  const model = await createProxy(space?.modelHost ?? "127.0.0.1", modelPort, 0);
  return {
    store: store.address,
    model: model.address,
    prefix: space === undefined ? [] : ["ip", "netns", "exec", space.name],
    cut: () => (space === undefined ? store.setSilent(true) : space.setLink("down")),
    heal: () => (space === undefined ? store.setSilent(false) : space.setLink("up")),
    async [Symbol.asyncDispose]() {
      await store.close();
      await model.close();
      space?.remove();
    },
  };
}

/** Whether network namespaces can be made here. */
export function canMakeNamespaces(): boolean {
  if (process.getuid?.() !== 0 || Bun.which("ip") === null) return false;
  const name = `llmfs-probe-${process.pid}`;
  const made = Bun.spawnSync(["ip", "netns", "add", name]).exitCode === 0;
  if (!made) return false;
  const linked =
    Bun.spawnSync(["ip", "link", "add", `lp${process.pid}`, "type", "veth", "peer", "name", "probe", "netns", name])
      .exitCode === 0;
  Bun.spawnSync(["ip", "netns", "del", name]);
  return linked;
}

interface Namespace {
  readonly name: string;
  readonly storeHost: string;
  readonly modelHost: string;
  setLink(state: "up" | "down"): void;
  remove(): void;
}

function createNamespace(index: number): Namespace {
  // Several matrices may run on one machine.
  const unique = process.pid % 250;
  const name = `llmfs-${process.pid}-${index}`;
  const links = ["s", "m"].map((kind, at) => ({
    host: `lf${kind}${process.pid}${index}`.slice(0, 15),
    network: `10.${100 + (unique % 100)}.${(unique * 7 + index * 2 + at) % 256}`,
  }));
  const ip = (...args: string[]) => {
    const { exitCode, stderr } = Bun.spawnSync(["ip", ...args]);
    if (exitCode !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
  };
  ip("netns", "add", name);
  ip("-n", name, "link", "set", "lo", "up");
  for (const [at, { host, network }] of links.entries()) {
    ip("link", "add", host, "type", "veth", "peer", "name", `eth${at}`, "netns", name);
    ip("addr", "add", `${network}.1/30`, "dev", host);
    ip("link", "set", host, "up");
    ip("-n", name, "addr", "add", `${network}.2/30`, "dev", `eth${at}`);
    ip("-n", name, "link", "set", `eth${at}`, "up");
  }
  const [store, model] = links;
  return {
    name,
    storeHost: `${store?.network}.1`,
    modelHost: `${model?.network}.1`,
    setLink: (state) => ip("link", "set", store?.host ?? "", state),
    remove: () => void Bun.spawnSync(["ip", "netns", "del", name]),
  };
}

interface Proxy {
  readonly address: { readonly host: string; readonly port: number };
  setSilent(silent: boolean): void;
  close(): Promise<void>;
}

/** Passes bytes on after half of the delay, in both directions. */
async function createProxy(host: string, target: number, delay: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let silent = false;
  const { connect } = await import("node:net");
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      const later = (work: () => void) => (delay === 0 ? work() : void setTimeout(work, delay / 2));
      from.on("data", (bytes) => later(() => to.write(bytes)));
      from.on("end", () => later(() => to.end()));
      from.on("error", () => later(() => to.destroy()));
      from.on("close", () => {
        sockets.delete(from);
        later(() => to.destroy());
      });
      if (silent) from.pause();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    address: { host, port: address.port },
    setSilent(value) {
      silent = value;
      for (const socket of sockets) value ? socket.pause() : socket.resume();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
