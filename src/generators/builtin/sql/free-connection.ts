import { pause } from "../../../abort.ts";

/** How long to wait for a connection that the server refuses because it has too many. */
const PATIENCE_MS = 20_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;

/**
 * Connects, and tries again while the server has too many connections: often they are our own, which other readers return
 * soon. Rejects with the last error, or the signal's reason.
 */
export async function waitForConnection<T>(
  connect: () => Promise<T>,
  isFull: (error: unknown) => boolean,
  signal: AbortSignal,
): Promise<T> {
  const end = performance.now() + PATIENCE_MS;
  for (let longest = FIRST_PAUSE_MS; ; longest = Math.min(2 * longest, LONGEST_PAUSE_MS)) {
    try {
      return await connect();
    } catch (error) {
      if (!isFull(error) || performance.now() + longest > end) throw error;
    }
    // Those who wait must not all come back at the same time.
    await pause(longest * (0.5 + Math.random() / 2), signal);
  }
}
