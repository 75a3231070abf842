/**
 * Requests to this machine go to this machine, whatever proxy HTTP_PROXY names: the proxy would look for the server on its
 * own machine, and learn the key or the token that is sent along. Everything that speaks HTTP here, and a user's own
 * generators, goes by these variables.
 */

/** As they stand in URLs, and as networks. */
const LOOPBACK = "localhost,localhost.,127.0.0.0/8,::1,[::1],[::ffff:7f00:1],0.0.0.0,::,[::]";
const PROXIES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/** Call before the first request of a process. */
export function keepLoopbackDirect(): void {
  const { env } = process;
  if (!PROXIES.some((name) => env[name])) return;
  // Where both are set, Bun goes by this one.
  const name = env.no_proxy === undefined ? "NO_PROXY" : "no_proxy";
  env[name] = [withoutLoopback(env[name]), LOOPBACK].filter((list) => list).join(",");
}

/** The user's own exceptions again, for programs that are the user's. */
export function restoreOwnExceptions(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  const changed = ["NO_PROXY", "no_proxy"].filter((name) => environment[name]?.endsWith(LOOPBACK));
  return Object.fromEntries(changed.map((name) => [name, withoutLoopback(environment[name])]));
}

function withoutLoopback(list: string | undefined): string | undefined {
  if (list?.endsWith(LOOPBACK) !== true) return list;
  return list.slice(0, -LOOPBACK.length).replace(/,$/, "") || undefined;
}
