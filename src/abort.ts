/** Waits with a signal or a time limit, and memoized work. Nothing here knows llmfs. */

/** Waits. Rejects as soon as the signal is aborted: with its reason, or with `reason()`. */
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

/**
 * Resolves with the work's result, or rejects with the signal's reason as soon as it is aborted. The work may ignore
 * the signal.
 */
export function abortable<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    const over = () => signal.removeEventListener("abort", stop);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    work.then(
      (value) => {
        over();
        resolve(value);
      },
      (error: unknown) => {
        over();
        reject(error);
      },
    );
  });
}

/** Resolves with the work's result, or rejects with `late()` if it takes longer. The work then continues unobserved. */
export function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(() => deadline.reject(late()), ms);
  return Promise.race([work, deadline.promise]).finally(() => clearTimeout(timer));
}

/** Checks the condition repeatedly. Returns true as soon as it holds, false after `forMs`. */
export async function waitUntil(holds: () => boolean, forMs: number, everyMs = 20): Promise<boolean> {
  for (const end = performance.now() + forMs; !holds(); await pause(everyMs)) {
    if (performance.now() >= end) return false;
  }
  return true;
}

/** Computes a value when it is first requested, and only once; a failure is kept as well. */
export function memoize<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** The same, but a failure is tried again the next time. `keepMs`: how long to keep a value. Default: forever. */
export function memoizeSuccess<T>(make: () => Promise<T>, keepMs?: (value: T) => number): () => Promise<T> {
  let made: Promise<T> | undefined;
  let keptUntil = Number.POSITIVE_INFINITY;
  const start = async () => {
    try {
      const value = await Promise.resolve().then(make);
      if (keepMs !== undefined) keptUntil = performance.now() + keepMs(value);
      return value;
    } catch (error) {
      made = undefined;
      throw error;
    }
  };
  return () => {
    if (performance.now() >= keptUntil) made = undefined;
    if (made === undefined) {
      keptUntil = Number.POSITIVE_INFINITY;
      made = start();
    }
    return made;
  };
}
