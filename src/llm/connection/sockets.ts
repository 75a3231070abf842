/**
 * Finds out whether a request that was cancelled before its answer began may have reached its server.
 *
 * `fetch` does not report how far it got, but the kernel knows the state of this process's connections. If one to the
 * server's port is open, the request may have been sent; if there are none, or they are still being opened, it was not.
 */

import { type TcpConnection, tcpConnection } from "../../libc.ts";
import { descriptorsOf } from "../../procfs.ts";

/**
 * Call this before the request is aborted, because that closes its connection. If in doubt, the result is true: a
 * connection to the port may belong to another request, and a request through a proxy has no connection to the server's
 * port, so that any connection counts.
 */
export function mayHaveConnected(url: string): boolean {
  const { port, protocol } = new URL(url);
  const wanted = Number(port) || (protocol === "https:" ? 443 : 80);
  const descriptors = descriptorsOf("self");
  // Not to be known without /proc.
  if (descriptors.length === 0) return true;
  try {
    const all: readonly TcpConnection[] = descriptors.flatMap((fd) => tcpConnection(fd) ?? []);
    if (all.some((one) => one.port === wanted)) return true;
    return !all.some(({ opening }) => opening) && all.length > 0;
  } catch {
    return true;
  }
}
