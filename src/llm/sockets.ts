/**
 * Whether a request that was cancelled before its answer began can have reached its server.
 *
 * `fetch` does not say how far it came. /proc lists this process's TCP connections with their state: while all of those
 * to the server's port are still being opened, or there are none, nothing was sent. In doubt the request counts as sent.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** As net/tcp_states.h. */
const SYN_SENT = "02";
const LISTEN = "0A";

/**
 * Ask before the request is aborted: that closes its connection.
 *
 * A request by way of a proxy has no connection to the server's port, so any connection counts then.
 */
export function mayHaveConnected(url: string): boolean {
  const { port, protocol } = new URL(url);
  const wanted = Number(port) || (protocol === "https:" ? 443 : 80);
  try {
    const all = ownConnections();
    const direct = all.filter((one) => one.port === wanted);
    return (direct.length > 0 ? direct : all).some(({ state }) => state !== SYN_SENT);
  } catch {
    return true;
  }
}

interface Connection {
  /** Of the other side. */
  readonly port: number;
  readonly state: string;
}

function ownConnections(): readonly Connection[] {
  const own = new Set<string>();
  for (const fd of readdirSync("/proc/self/fd")) {
    const link = orEmpty(() => readlinkSync(`/proc/self/fd/${fd}`));
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode !== undefined) own.add(inode);
  }
  const found: Connection[] = [];
  for (const table of ["tcp", "tcp6"]) {
    // As proc_net_tcp(5): sl, local and remote address as HEX:PORT, state, queues, timers, retransmits, uid, timeout, inode.
    const text = orEmpty(() => readFileSync(`/proc/self/net/${table}`, "latin1"));
    for (const line of text.split("\n").slice(1)) {
      const [, , remote = "", state = "", , , , , , inode = ""] = line.trim().split(/\s+/);
      if (state === LISTEN || !own.has(inode)) continue;
      found.push({ port: Number.parseInt(remote.slice(remote.lastIndexOf(":") + 1), 16), state });
    }
  }
  return found;
}

/** A descriptor may be closed in the meantime, and a kernel without IPv6 has no table for it. */
function orEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}
