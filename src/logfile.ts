/** The log's file: appended to, rotated by size, readable by its owner only. Loaded only where a file is written. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import { createStream } from "rotating-file-stream";

export interface LogFile {
  write(line: string): void;
  close(): Promise<void>;
}

const SIZE = "5M";
const KEPT = 3;

/** Resolves with undefined when the file cannot be opened. `failed` is called once, then or later. */
export async function openLogFile(path: string, failed: (reason: string) => void): Promise<LogFile | undefined> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    closeSync(openSync(path, "a", 0o600));
  } catch (error) {
    failed(error instanceof Error ? error.message : String(error));
    return undefined;
  }
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
  return {
    write(line) {
      if (!broken) stream.write(line);
    },
    close: () => new Promise((resolve) => (broken ? resolve() : stream.end(() => resolve()))),
  };
}
