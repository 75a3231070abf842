/** The log file: appended to, rotated by size, readable only by its owner. Loaded only if a log file is written. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { basename, dirname } from "node:path";

export interface LogFile {
  write(line: string): void;
  close(): Promise<void>;
}

const SIZE = "5M";
const KEPT = 3;
/** The maximum number of buffered bytes, so that a slow or hanging disk does not let the log fill the memory. */
const MOST_WAITING = 8 * 1024 * 1024;
/** How long to wait for the log to be written at the end. Programs that wait for this process also wait for this. */
const CLOSING_MS = 5000;

/** Resolves with undefined if the file cannot be opened. `failed` is called at most once, then or later. */
export async function openLogFile(path: string, failed: (reason: string) => void): Promise<LogFile | undefined> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    closeSync(openSync(path, "a", 0o600));
  } catch (error) {
    failed(error instanceof Error ? error.message : String(error));
    return undefined;
  }
  // Loading the stream takes several milliseconds. Whatever was about to happen after the first line happens first.
  await new Promise(setImmediate);
  const { createStream } = await import("rotating-file-stream");
  const name = basename(path);
  const stream = createStream((index) => (typeof index === "number" ? `${name}.${index}` : name), {
    path: dirname(path),
    size: SIZE,
    rotate: KEPT,
    mode: 0o600,
  });
  let broken = false;
  stream.on("error", (error) => {
    if (!broken) failed(error.message);
    broken = true;
  });
  let dropped = 0;
  const tell = () => {
    if (dropped > 0) stream.write(`(${dropped} lines dropped here because the disk was too slow)\n`);
    dropped = 0;
  };
  return {
    write(line) {
      if (broken) return;
      if (stream.writableLength > MOST_WAITING) {
        dropped += 1;
        return;
      }
      tell();
      stream.write(line);
    },
    close: () =>
      new Promise((resolve) => {
        if (broken) return resolve();
        tell();
        const late = setTimeout(resolve, CLOSING_MS);
        stream.end(() => {
          clearTimeout(late);
          resolve();
        });
      }),
  };
}
