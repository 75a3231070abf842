/**
 * Whether a request that was cancelled before its answer began can have reached its server.
 *
 * `fetch` does not say how far it came, but the kernel knows the state of this process's connections. If one is open to
 * the server's port, the request may have been sent; if connections are only being opened, or there are none, it was not.
 */

import { type TcpConnection, tcpConnection } from "../../libc.ts";
import { descriptorsOf } from "../../procfs.ts";

/**
 * Ask before the request is aborted: that closes its connection. In doubt the answer is yes: a connection to the port may
 * be another request's, and a request by way of a proxy has none to the server's port, so that any connection counts.
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
