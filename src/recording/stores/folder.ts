/** Recordings in a folder, one text file for each answer, which can be committed, read and compared. */

import { closeSync, existsSync, openSync, renameSync, type Stats, statSync, unlinkSync, writevSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { codeOf, messageOf, reasonOf } from "../../errno.ts";
import type { ChatRequest } from "../../llm/llm.ts";
import { LONGEST_AT_ONCE, readRegular, readRegularAtOnce } from "../../text/bounded-read.ts";
import { DiskFlush } from "../disk-flush.ts";
import { describeThisProcess } from "../holder.ts";
import { Labels, stem } from "../labels.ts";
import {
  decodeRecording,
  encodePieces,
  faultOf,
  type Keyed,
  LONGEST_RECORDING,
  readAnswerTo,
  readRecording,
} from "../record.ts";
import type { Fault, Recording, RecordingStore, StoreEntry } from "../recording.ts";
import type { Signer } from "../signature.ts";
import { Complaints } from "./complaints.ts";
import { selectValid } from "./entries.ts";
import { FolderClaims } from "./folder-claims.ts";
import { FolderIndex } from "./folder-index.ts";
import { isOnLocalDisk } from "./local-disk.ts";

export interface FolderOptions {
  /** Called once for each file that cannot be used, with the reason. */
  readonly warn?: (message: string) => void;
  /** Describes this process to others that wait for its answer. */
  readonly who?: () => string;
  /** Signs what is written, and rejects what it has not signed. */
  readonly signer?: Signer;
}

/** The end of a file name: the beginning of the key, by which llmfs finds it. The part before is for people. */
const NAME = /\.([0-9a-f]{16})\.txt$/;

/** The mode of a new folder: recordings contain everything that was sent and answered. */
const FOLDER_MODE = 0o700;

export function createFolderStore(folder: string, options: FolderOptions = {}): RecordingStore {
  const { warn = () => {}, who = describeThisProcess, signer } = options;
  const complaints = new Complaints(warn);
  const disk = new DiskFlush(folder);
  const claims = new FolderClaims(folder, FOLDER_MODE, who);
  const labels = new Labels(async () => (await names.listAll()).map((name) => ({ label: stemOf(name), name })));

  function complain(fault: Fault): void {
    complaints.add(basename(fault.name), fault);
  }

  let local: boolean | undefined;
  /** Whether to look at files at once. A folder on another machine may not answer, and everything else would wait too. */
  const isLocal = (): boolean => {
    local ??= isOnLocalDisk(folder);
    return local === true;
  };
  const names = new FolderIndex(folder, NAME, { isLocal });

  async function read(file: string, asked?: Keyed): Promise<Recording> {
    const path = `${folder}/${file}`;
    const short = isLocal() ? readRegularAtOnce(path, LONGEST_RECORDING) : undefined;
    return check(file, short ?? (await readRegular(path, LONGEST_RECORDING)), asked);
  }

  /** Throws an Error with the reason why the file cannot be used. */
  function check(file: string, bytes: Buffer, asked?: Keyed): Recording {
    signer?.check(decodeRecording(bytes));
    const recording = asked === undefined ? readRecording(decodeRecording(bytes)) : readAnswerTo(asked, bytes);
    if (!file.endsWith(suffix(recording.key))) throw new Error("its name does not match its key");
    return recording;
  }

  /** The recording with this key, or nothing; one that cannot be used counts as nothing. */
  async function tryRead(file: string, key: string, request?: ChatRequest): Promise<Recording | undefined> {
    try {
      // Most answers are looked up three times before they are there.
      if (isLocal() && !existsSync(`${folder}/${file}`)) return undefined;
      const recording = await read(file, request && { key, request });
      return recording.key === key ? recording : undefined;
    } catch (error) {
      // If the folder is missing or is not a directory, listing it will report that.
      if (!["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) complain(faultOf(join(folder, file), error));
      return undefined;
    }
  }

  /** The recording in the file that a label and a key suggest. Problems are left to `get`. */
  function getAtOnce(key: string, label: string, request: ChatRequest): Recording | undefined {
    const file = fileName(label, key);
    const path = `${folder}/${file}`;
    if (!isLocal() || !existsSync(path)) return undefined;
    try {
      const bytes = readRegularAtOnce(path, LONGEST_RECORDING);
      const recording = bytes && check(file, bytes, { key, request });
      return recording?.key === key ? recording : undefined;
    } catch {
      return undefined;
    }
  }

  let cleared = false;
  /** Removes files that dead writers left unfinished. */
  async function clearLeftovers(): Promise<void> {
    if (cleared) return;
    cleared = true;
    for (const file of await findLeftovers(folder)) await rm(join(folder, file), { force: true }).catch(() => {});
  }

  async function take(file: string): Promise<void> {
    await rm(join(folder, file), { force: true });
    names.remove(file);
  }

  async function get(key: string, label?: string, request?: ChatRequest): Promise<Recording | undefined> {
    const expected = label === undefined ? undefined : fileName(label, key);
    const found = expected && (await tryRead(expected, key, request));
    if (found) return found;
    for (const file of await names.listWithEnd(shortenKey(key))) {
      if (file === expected) continue;
      const other = await tryRead(file, key, request);
      if (other) return other;
    }
    return undefined;
  }

  async function write(file: string, pieces: readonly Uint8Array[], mode: number): Promise<void> {
    await writeWhole(folder, file, pieces, mode, isLocal());
    disk.add(`${folder}/${file}`);
  }

  let mode: { readonly value: number; readonly until: number } | undefined;
  /** The mode of new files. Somebody may change it while recordings are written. */
  async function modeOfNew(): Promise<number> {
    const now = performance.now();
    if (mode === undefined || now >= mode.until)
      mode = { value: await modeForNew(folder, isLocal()), until: now + 500 };
    return mode.value;
  }

  async function put(recording: Recording): Promise<void> {
    const file = fileName(recording.label, recording.key);
    const pieces = encodePieces(recording, signer);
    const there = await names.listWithEnd(shortenKey(recording.key));
    try {
      if (!there.includes(file)) {
        await write(file, pieces, await modeOfNew()).catch(async (error: unknown) => {
          if (codeOf(error) !== "ENOENT") throw error;
          await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
          await write(file, pieces, await modeOfNew());
        });
      } else if (!(await hasBytes(join(folder, file), Buffer.concat(pieces)))) {
        await write(file, pieces, (await stat(join(folder, file))).mode & 0o777);
      }
    } catch (error) {
      throw new Error(`${join(folder, file)} cannot be written: ${reasonOf(error, join(folder, file))}`, {
        cause: error,
      });
    }
    names.add(file);
    await clearLeftovers();
    complaints.remove(file);
    // The same request under another label, such as from an earlier version, would be a duplicate.
    for (const other of there) if (other !== file) await take(other);
  }

  /** Every file that is named like a recording. */
  async function* recordings(): AsyncIterable<StoreEntry> {
    for (const file of await names.listAll()) {
      const name = join(folder, file);
      const age = await ageOf(name, isLocal());
      // It was removed in the meantime.
      if (age === undefined) continue;
      yield await read(file).then(
        (recording) => ({ name, age, recording }),
        (error: unknown) => ({ name, age, fault: faultOf(name, error) }),
      );
    }
  }

  async function flush(): Promise<void> {
    try {
      await disk.flush();
    } catch (error) {
      throw new Error(`the recordings in ${folder} cannot be flushed to the disk: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  return {
    name: `recordings in ${folder}`,
    get,
    getAtOnce,
    put,
    async offer(recording) {
      // Whoever offers holds the claim on this key, so nobody else does so at the same time.
      const there = await get(recording.key, recording.label, recording.request);
      if (there === undefined) await put(recording);
      return there ?? recording;
    },
    async list() {
      return (await selectValid(recordings(), complain)).map(({ recording }) => recording);
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
    lacks: (label) => names.lacksStart(stem(label)),
    missing: async () =>
      await stat(folder).then(
        () => false,
        (error: unknown) => codeOf(error) === "ENOENT",
      ),
    unusable: (key) => complaints.find((file) => file.endsWith(suffix(key))),
    async *entries(): AsyncIterable<StoreEntry> {
      yield* recordings();
      for (const file of await findLeftovers(folder)) {
        const name = join(folder, file);
        yield { name, age: await ageOf(name, isLocal()), fault: { name, reason: "it is unfinished: its writer died" } };
      }
    },
    async remove(key) {
      for (const file of await names.listWithEnd(shortenKey(key))) await take(file);
    },
    async discard(name) {
      await rm(join(folder, basename(name)), { force: true });
    },
    flush,
    async settle() {
      return await flush().then(
        () => [],
        (error: unknown) => [`${messageOf(error)}; a crash of this machine may damage what was recorded`],
      );
    },
  };
}

export function fileName(label: string, key: string): string {
  return `${stem(label)}${suffix(key)}`;
}

function stemOf(file: string): string {
  return file.replace(NAME, "");
}

function suffix(key: string): string {
  return `.${shortenKey(key)}.txt`;
}

/** The part of a key that appears in file names. */
function shortenKey(key: string): string {
  return key.slice(0, 16);
}

/**
 * Users who may add recordings to the folder may read those in it; others may not, unless the folder's owner allows it.
 */
async function modeForNew(folder: string, local: boolean): Promise<number> {
  const mode = (await statOf(folder, local))?.mode ?? 0;
  return 0o600 | (mode & 0o020 ? 0o040 : 0) | (mode & 0o002 ? 0o044 : 0);
}

/**
 * Writes a temporary file, then renames it: readers see the old file or the new one. On a local disk that happens at once, because
 * each wait for another thread takes longer than the writing.
 */
async function writeWhole(
  folder: string,
  file: string,
  pieces: readonly Uint8Array[],
  mode: number,
  local: boolean,
): Promise<void> {
  const path = `${folder}/${file}`;
  const temporary = `${folder}/.${process.pid}-${crypto.randomUUID()}.tmp`;
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (local && length <= LONGEST_AT_ONCE) return writeAtOnce(temporary, path, pieces, length, mode);
  try {
    await writeFile(temporary, Buffer.concat(pieces), { flag: "wx", mode });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** `length`: of all pieces. */
function writeAtOnce(
  temporary: string,
  path: string,
  pieces: readonly Uint8Array[],
  length: number,
  mode: number,
): void {
  const fd = openSync(temporary, "wx", mode);
  try {
    try {
      let written = writevSync(fd, [...pieces]);
      if (written < length) {
        const bytes = Buffer.concat(pieces);
        while (written < length) written += writevSync(fd, [bytes.subarray(written)]);
      }
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // It is removed when it is an hour old.
    }
    throw error;
  }
}

/** Milliseconds since the file was written; undefined if it is not there. */
async function ageOf(path: string, local: boolean): Promise<number | undefined> {
  const info = await statOf(path, local);
  return info && Math.max(0, Date.now() - info.mtimeMs);
}

/** Undefined: it is missing, or cannot be looked up. On a local disk, this is not worth a wait for another thread. */
async function statOf(path: string, local: boolean): Promise<Stats | undefined> {
  try {
    return local ? statSync(path) : await stat(path);
  } catch {
    return undefined;
  }
}

/** Identical files are not rewritten, so that programs that watch the folder see only changes. */
async function hasBytes(path: string, bytes: Uint8Array): Promise<boolean> {
  try {
    return (await readRegular(path, LONGEST_RECORDING)).equals(bytes);
  } catch {
    return false;
  }
}

/** Temporary files older than an hour: no write takes that long. */
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
