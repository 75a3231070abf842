/** Recordings in a folder, one text file an answer: to be committed, read and compared. */

import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { codeOf, messageOf } from "../../errno.ts";
import type { ChatRequest } from "../../llm/llm.ts";
import { readRegular } from "../../text/bounded-read.ts";
import { describeThisProcess } from "../holder.ts";
import { Labels } from "../labels.ts";
import { faultOf, type Keyed, LONGEST_RECORDING, readAnswerTo, readRecording, writeRecording } from "../record.ts";
import type { Fault, Recording, RecordingStore } from "../recording.ts";
import { FolderClaims } from "./folder-claims.ts";
import { FolderIndex } from "./folder-index.ts";
import { compareLabels } from "./memory.ts";

export interface FolderOptions {
  /** Told, once for each file, that a recording cannot be used, and why. */
  readonly warn?: (message: string) => void;
  /** Says what others are told of this process when they wait for its answer. */
  readonly who?: () => string;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Names of files: what it is for, so that people find it; the beginning of the key, so that llmfs does. */
const NAME = /\.([0-9a-f]{16})\.txt$/;

/** Of a folder that has to be made: recordings hold whatever was sent and answered. */
const FOLDER_MODE = 0o700;

export function createFolderStore(folder: string, options: FolderOptions = {}): RecordingStore {
  const { warn = () => {}, who = describeThisProcess } = options;
  /** Files that are not used, and why. */
  const unusable = new Map<string, string>();
  const names = new FolderIndex(folder, NAME);
  const claims = new FolderClaims(folder, FOLDER_MODE, who);
  const labels = new Labels(async () => (await names.listAll()).map((name) => ({ label: stemOf(name), name })));

  function complain(file: string, reason: string): void {
    if (unusable.has(file)) return;
    unusable.set(file, reason);
    warn(`the recording ${join(folder, file)} is not used: ${reason}`);
  }

  async function read(file: string, asked?: Keyed): Promise<Recording> {
    const text = strict.decode(await readRegular(join(folder, file), LONGEST_RECORDING));
    const recording = asked === undefined ? readRecording(text) : readAnswerTo(asked, text);
    if (!file.endsWith(suffix(recording.key))) throw new Error("its name belongs to another key");
    return recording;
  }

  /** A recording with this key, or nothing; what cannot be used counts as nothing. */
  async function tryRead(file: string, key: string, request?: ChatRequest): Promise<Recording | undefined> {
    try {
      const recording = await read(file, request && { key, request });
      return recording.key === key ? recording : undefined;
    } catch (error) {
      // Of a folder that is none, or is not there, its list of names will tell.
      if (!["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) complain(file, messageOf(error));
      return undefined;
    }
  }

  let cleared = false;
  /** What was never finished and never will be. */
  async function clearLeftovers(): Promise<void> {
    if (cleared) return;
    cleared = true;
    for (const file of await findLeftovers(folder)) await rm(join(folder, file), { force: true }).catch(() => {});
  }

  async function take(file: string): Promise<void> {
    await rm(join(folder, file), { force: true });
    names.remove(file);
  }

  return {
    name: `recordings in ${folder}`,
    async get(key, label, request) {
      const expected = label === undefined ? undefined : fileName(label, key);
      const found = expected && (await tryRead(expected, key, request));
      if (found) return found;
      for (const file of await names.ending(beginning(key))) {
        if (file === expected) continue;
        const other = await tryRead(file, key, request);
        if (other) return other;
      }
      return undefined;
    },
    async put(recording) {
      const file = fileName(recording.label, recording.key);
      const text = writeRecording(recording);
      const there = await names.ending(beginning(recording.key));
      try {
        if (!there.includes(file)) {
          const mode = await modeForNew(folder);
          await writeWhole(folder, file, text, mode).catch(async (error: unknown) => {
            if (codeOf(error) !== "ENOENT") throw error;
            await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
            await writeWhole(folder, file, text, mode);
          });
        } else if (!(await isSameText(join(folder, file), text))) {
          await writeWhole(folder, file, text, (await stat(join(folder, file))).mode & 0o777);
        }
      } catch (error) {
        throw new Error(`${join(folder, file)} cannot be written: ${messageOf(error)}`, { cause: error });
      }
      names.add(file);
      await clearLeftovers();
      unusable.delete(file);
      // The same request under another label, as from an earlier version, would be a second truth.
      for (const other of there) if (other !== file) await take(other);
    },
    async list() {
      const found: Recording[] = [];
      for (const file of await names.listAll()) {
        try {
          found.push(await read(file));
        } catch (error) {
          complain(file, messageOf(error));
        }
      }
      return found.sort(compareLabels);
    },
    claim: async (key) => claims.take(key),
    holder: async (key) => claims.holder(key),
    async near(label) {
      const found: Recording[] = [];
      for (const file of await labels.near(stem(label))) {
        await read(file).then(
          (one) => found.push(one),
          () => {},
        );
      }
      return found;
    },
    unusable(key) {
      for (const [file, reason] of unusable) {
        if (file.endsWith(suffix(key))) return `${join(folder, file)}: ${reason}`;
      }
      return undefined;
    },
    async check() {
      const faults: Fault[] = [];
      for (const file of await names.listAll()) {
        await read(file).catch((error: unknown) => faults.push(faultOf(join(folder, file), error)));
      }
      for (const file of await findLeftovers(folder)) {
        faults.push({ name: join(folder, file), reason: "it was never finished: whoever wrote it died" });
      }
      return faults;
    },
    async remove(key) {
      for (const file of await names.ending(beginning(key))) await take(file);
    },
    async discard(name) {
      await rm(join(folder, basename(name)), { force: true });
    },
  };
}

/** Where recordings are kept when nothing is said: the user's cache, by the XDG base directory specification. */
export function defaultRecordings(environment: { readonly home: string; readonly xdgCacheHome?: string }): string {
  const { home, xdgCacheHome } = environment;
  // The specification says to ignore a relative path.
  const cache = xdgCacheHome?.startsWith("/") ? xdgCacheHome : join(home, ".cache");
  return join(cache, "llmfs", "recordings");
}

export function fileName(label: string, key: string): string {
  return `${stem(label)}${suffix(key)}`;
}

function stem(label: string): string {
  const plain = label
    .replace(/^\//, "")
    .replaceAll("/", "+")
    .replace(/[^\p{L}\p{N}._+-]+/gu, "_")
    .replace(/^\.+/, "_");
  return beginningOf(plain, 150) || "unnamed";
}

/** At most so many bytes of a text in UTF-8, and no part of a character. */
function beginningOf(text: string, bytes: number): string {
  const whole = Buffer.from(text.slice(0, bytes + 1));
  if (whole.length <= bytes) return text;
  let end = bytes;
  // Bytes that continue a character begin with the bits 10.
  while (((whole[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return whole.toString("utf8", 0, end);
}

function stemOf(file: string): string {
  return file.replace(NAME, "");
}

function suffix(key: string): string {
  return `.${beginning(key)}.txt`;
}

/** What of a key stands in the names of files. */
function beginning(key: string): string {
  return key.slice(0, 16);
}

/** Whoever may add recordings to the folder may read those that are there; nobody else unless the folder's owner says so. */
async function modeForNew(folder: string): Promise<number> {
  const mode = (await stat(folder).catch(() => undefined))?.mode ?? 0;
  return 0o600 | (mode & 0o020 ? 0o040 : 0) | (mode & 0o002 ? 0o044 : 0);
}

/** A temporary file, flushed, then renamed: readers see the old one or the new one. */
async function writeWhole(folder: string, file: string, text: string, mode: number): Promise<void> {
  const path = join(folder, file);
  const temporary = join(folder, `.${process.pid}-${crypto.randomUUID()}.tmp`);
  try {
    // Opened, written, flushed and closed in one go: of a thousand answers a second each step would be felt.
    await writeFile(temporary, text, { flag: "wx", flush: true, mode });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** Equal bytes are left alone: whoever watches the folder sees what changed. */
async function isSameText(path: string, text: string): Promise<boolean> {
  try {
    return (await readRegular(path, LONGEST_RECORDING)).equals(Buffer.from(text));
  } catch {
    return false;
  }
}

/** Temporary files older than an hour: no write takes so long. */
async function findLeftovers(folder: string): Promise<readonly string[]> {
  const found: string[] = [];
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (!/^\.\d+-[\w-]+\.tmp$/.test(name)) continue;
    const info = await stat(join(folder, name)).catch(() => undefined);
    if (info !== undefined && Date.now() - info.mtimeMs > 3_600_000) found.push(name);
  }
  return found;
}
