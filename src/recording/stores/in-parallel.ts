/** Does the work for each item, at most `limit` at a time, and yields the results in order. Stops at the first failure. */
export async function* inParallel<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncIterable<R> {
  const running: Promise<R>[] = [];
  for await (const item of items) {
    const one = work(item);
    // If an earlier one fails, nobody waits for this one any more.
    one.catch(() => {});
    running.push(one);
    const oldest = running.length < limit ? undefined : running.shift();
    if (oldest !== undefined) yield await oldest;
  }
  for (const one of running) yield await one;
}
