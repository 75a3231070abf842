/**
 * Sends requests and receives answers, beneath the client: decides which connection to use, which redirects to follow,
 * and how much of a failure to read.
 *
 * Only redirects that keep the method (307, 308) are followed, within the same origin or from http to https on the same
 * host: the key goes nowhere else, and a POST never silently becomes a GET. Every other redirect is a failure.
 */
const MOST_REDIRECTS = 3;

/** Bytes of a failure's body: it contains a sentence for people, but could be endless. */
const LONGEST_FAILURE = 256 * 1024;

/** How long to wait for the body of a failure after its status: it might stall and never end. */
const FAILURE_MS = 2000;

export async function fetchFollowing(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  for (let at = input, redirects = 0; ; redirects++) {
    const response = await fetch(at, { ...init, ...connectionOptions(at), redirect: "manual" });
    if (response.ok) return response;
    const next = resolveRedirect(response, at);
    if (next === undefined || redirects === MOST_REDIRECTS) return shortenBody(response);
    await response.body?.cancel();
    at = next;
  }
}

/**
 * How each request that llmfs sends reaches its server.
 *
 * It has its own connection. Bun keeps idle ones for five minutes and does not notice when one dies silently, as happens
 * behind NAT and load balancers: the next request would wait on it until its deadline.
 *
 * A request to this machine bypasses the proxy that HTTP_PROXY names, for which this address is another machine.
 */
export function connectionOptions(to: string | URL | Request): { readonly keepalive: false; readonly proxy?: false } {
  const isLocal = isLoopback(new URL(to instanceof Request ? to.url : to).hostname);
  return { keepalive: false, ...(isLocal && { proxy: false }) };
}

/** Whether a host is this machine. */
export function isLoopback(hostname: string): boolean {
  return /^((.*\.)?localhost\.?|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|\[::ffff:7f[\da-f]{2}:[\da-f]{1,4}\])$/.test(hostname);
}

function resolveRedirect(response: Response, at: string | URL | Request): string | undefined {
  if (response.status !== 307 && response.status !== 308) return undefined;
  const from = new URL(at instanceof Request ? at.url : at);
  const location = response.headers.get("location");
  if (location === null || !URL.canParse(location, from.href)) return undefined;
  const to = new URL(location, from);
  const secured = to.protocol === "https:" && from.protocol === "http:" && to.hostname === from.hostname;
  return to.origin === from.origin || secured ? to.href : undefined;
}

async function shortenBody(response: Response): Promise<Response> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  // Cancelling the reader ends a read that waits.
  const timer = setTimeout(() => reader?.cancel().catch(() => {}), FAILURE_MS);
  try {
    while (reader !== undefined && length < LONGEST_FAILURE) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      length += value.length;
    }
  } catch {
    // The status is enough without the rest.
  }
  clearTimeout(timer);
  reader?.cancel().catch(() => {});
  const body = length === 0 ? null : Buffer.concat(chunks).subarray(0, LONGEST_FAILURE);
  return new Response(body, { status: response.status, headers: response.headers });
}
