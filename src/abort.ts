/** Waits that end early, or not too late, and work that is done once. Nothing here knows llmfs. */

/** Waits; rejects as soon as the signal fires: with its reason, or with `reason()`. */
export function pause(ms: number, signal?: AbortSignal, reason: () => unknown = () => signal?.reason): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(reason());
    const onAbort = () => {
      clearTimeout(timer);
      reject(reason());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** The work's result, or the signal's reason as soon as it fires: work that ignores the signal is left behind. */
export function abortable<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** The work's result; rejects with `late()` if it takes longer. The work is left behind then. */
export function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(() => deadline.reject(late()), ms);
  return Promise.race([work, deadline.promise]).finally(() => clearTimeout(timer));
}

/** Looks again and again, for so long at most. True as soon as it holds. */
export async function waitUntil(holds: () => boolean, forMs: number, everyMs = 20): Promise<boolean> {
  for (const end = performance.now() + forMs; !holds(); await pause(everyMs)) {
    if (performance.now() >= end) return false;
  }
  return true;
}

/** A value that is made when it is first asked for, once; a failure is kept as well. */
export function memoize<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** The same, but what failed is tried again the next time. */
export function memoizeSuccess<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
