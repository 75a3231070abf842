/**
 * Makes requests to this machine bypass HTTP_PROXY. A proxy would look for the server on its own machine, and would see the
 * key or token in the request. All HTTP clients in this program, and users' generators, use these variables.
 */
import { SERVER_ENVIRONMENT } from "../../fuse/mounting/process.ts";

/** Loopback hosts as they appear in URLs, and as networks. */
const LOOPBACK = "localhost,localhost.,127.0.0.0/8,::1,[::1],[::ffff:7f00:1],0.0.0.0,::,[::]";
const PROXIES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/** Call before the first request of a process. */
export function keepLoopbackDirect(): void {
  const { env } = process;
  if (!PROXIES.some((name) => env[name])) return;
  // If both are set, Bun uses the lower-case variable.
  const name = env.no_proxy === undefined ? "NO_PROXY" : "no_proxy";
  env[name] = [withoutLoopback(env[name]), LOOPBACK].filter((list) => list).join(",");
}

/** The environment for the process that serves a mount in the background. It must not speak for a service (sd_notify(3)). */
export function daemonEnvironment(): Readonly<Record<string, string | undefined>> {
  return { ...process.env, NOTIFY_SOCKET: undefined, ...SERVER_ENVIRONMENT };
}

/**
 * The environment for a process that serves a mount itself; undefined if this process has it. The engine reads it only
 * when it starts, so the process must start again.
 */
export function missingServerEnvironment(): Readonly<Record<string, string | undefined>> | undefined {
  const { env } = process;
  if (Object.entries(SERVER_ENVIRONMENT).every(([name, value]) => env[name] === value)) return undefined;
  return { ...env, ...SERVER_ENVIRONMENT };
}

/** Restores the user's own exceptions for the user's programs. */
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
