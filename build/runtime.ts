/**
 * The runtime inside the executables: Bun, without the environment variables that would change what the program does.
 *
 * Bun's executables obey variables that are meant for developers of the program, and Bun has no option against that:
 * BUN_OPTIONS runs any file first, BUN_INSPECT opens a debugger's port, BUN_CONFIG_VERBOSE_FETCH prints every request
 * with its key. Most of them act before the first line of the program, so the program itself cannot refuse them.
 * Therefore the build changes the names in its copy of the runtime, so that no variable has them.
 *
 * test/build/runtime.test.ts tries the variables on the executable.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { ENGINE_PREFIX } from "../src/fuse/mounting/process.ts";

const PREFIX = ENGINE_PREFIX.bun;
/** Replaces its second byte. */
const REPLACEMENT = ENGINE_PREFIX.executable.charCodeAt(1);

/** Names, and beginnings of names. */
const SWITCHED_OFF = [
  "BUN_OPTIONS",
  "BUN_INSPECT",
  "BUN_CONFIG_",
  "BUN_FEATURE_FLAG_",
  "BUN_BYTECODE_",
  "BUN_DEBUG_",
  "BUN_DISABLE_",
  "BUN_ENABLE_",
  "BUN_INTERNAL_",
  "BUN_GC_",
  "BUN_GARBAGE_COLLECTOR_LEVEL",
  "BUN_IDLE_GC_SECONDS",
  "BUN_TRACE",
  "BUN_WATCHER_TRACE",
  "BUN_THREADPOOL_STATS",
  "BUN_DESTRUCT_VM_ON_EXIT",
  "BUN_CRASH_REPORT_URL",
  "BUN_TCC_OPTIONS",
  "NODE_TLS_REJECT_UNAUTHORIZED",
  "NODE_COMPILE_CACHE",
  "NODE_DEBUG_NATIVE",
  "NODE_REDIRECT_WARNINGS",
] as const;

/** Without effect on what the program does; llmfs itself sets it for processes that are idle (src/fuse/mounting/process.ts). */
const KEPT = ["BUN_GC_TIMER_DISABLE"];

/** If these are missing, the list does not match the runtime. */
const NEEDED = ["BUN_OPTIONS", "BUN_INSPECT", "BUN_CONFIG_VERBOSE_FETCH", "NODE_TLS_REJECT_UNAUTHORIZED"];

/** In JavaScript and in sentences a name follows one of these. Only strings used for lookups are changed. */
const IN_TEXT = new Set(Buffer.from("\"'`. (!"));

/** A byte that no name contains. */
const EQUALS = "=".charCodeAt(0);

/**
 * Writes a runtime for the target, by default for this machine, and returns its path. The folder belongs to the caller.
 * Throws Error if a variable that has to be switched off is not found in Bun's runtime.
 */
export async function quietRuntime(target: string | undefined, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const bytes = readFileSync(target === undefined ? process.execPath : await fetchRuntime(target, folder));
  const hidden = new Set(SWITCHED_OFF.flatMap((name) => hideNames(bytes, name)));
  const missing = NEEDED.filter((name) => !hidden.has(name));
  if (!hideEngineOptions(bytes)) missing.push(PREFIX);
  if (missing.length > 0) {
    throw new Error(`Bun ${Bun.version} looks up ${missing.join(", ")} in another way than build/runtime.ts expects`);
  }
  const file = join(folder, "runtime");
  writeFileSync(file, bytes);
  chmodSync(file, 0o755);
  return file;
}

/** Changes the first byte of every name that starts like this. Returns the names. */
function hideNames(bytes: Buffer, beginning: string): readonly string[] {
  const names: string[] = [];
  for (let at = bytes.indexOf(beginning); at >= 0; at = bytes.indexOf(beginning, at + 1)) {
    if (IN_TEXT.has(bytes[at - 1] ?? 0)) continue;
    // Strings are adjacent without a separator, so the name is known only if nothing else follows it.
    const name = /^\w+/.exec(bytes.toString("latin1", at, at + 64))?.[0] ?? beginning;
    if (KEPT.some((kept) => name.startsWith(kept))) continue;
    names.push(name);
    bytes[at] = EQUALS;
  }
  return names;
}

/**
 * The prefix of the JavaScript engine's options is not a string: instructions compare the bytes of a variable one by
 * one. The comparison with "U" is changed to one with a byte that no name has but those that llmfs itself sets. Returns false
 * if it is not found.
 */
function hideEngineOptions(bytes: Buffer): boolean {
  const x64 = comparisonOnX64(bytes);
  if (x64 !== undefined) {
    bytes[x64] = REPLACEMENT;
    return true;
  }
  const arm64 = comparisonOnArm64(bytes);
  if (arm64 === undefined) return false;
  bytes.writeUInt32LE(((bytes.readUInt32LE(arm64) & ~ARM64_IMMEDIATE) | (REPLACEMENT << ARM64_SHIFT)) >>> 0, arm64);
  return true;
}

/** The position of "U" in "CMP byte [register + 1], 'U'", with the comparisons of the other bytes nearby. */
function comparisonOnX64(bytes: Buffer): number | undefined {
  for (let at = bytes.indexOf("\x01U"); at >= 0; at = bytes.indexOf("\x01U", at + 1)) {
    let next = at;
    const follows = (letter: string, index: number) => {
      const expected = Buffer.from([index + 2, letter.charCodeAt(0)]);
      next = bytes.subarray(0, next + 16).indexOf(expected, next + 2);
      return next >= 0 && isCompareByte(bytes, next);
    };
    if (isCompareByte(bytes, at) && [...PREFIX.slice(2)].every(follows)) return at + 1;
  }
  return undefined;
}

/** Whether the two bytes at this position are the operands of CMP r/m8, imm8. */
function isCompareByte(bytes: Buffer, at: number): boolean {
  return bytes[at - 2] === 0x80 && ((bytes[at - 1] ?? 0) & 0xf8) === 0x78;
}

/** SUBS WZR, Wn, #imm12: the opcode, and the position of the number in it. */
const [ARM64_COMPARE, ARM64_COMPARE_MASK, ARM64_SHIFT] = [0x7100001f, 0xffc0001f, 10];
const ARM64_IMMEDIATE = 0xfff << ARM64_SHIFT;
/** Maximum number of instructions between the first comparison and the last. */
const ARM64_MOST = 60;

/** The position of the instruction that compares with "U", with the comparisons of the other bytes around it. */
function comparisonOnArm64(bytes: Buffer): number | undefined {
  let matched = 0;
  let first = 0;
  let second = 0;
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const word = bytes.readUInt32LE(at);
    if ((word & ARM64_COMPARE_MASK) >>> 0 !== ARM64_COMPARE) continue;
    const letter = String.fromCharCode((word & ARM64_IMMEDIATE) >>> ARM64_SHIFT);
    if (letter !== PREFIX[matched] || at - first > ARM64_MOST * 4) matched = 0;
    if (letter !== PREFIX[matched]) continue;
    if (matched === 0) first = at;
    if (matched === 1) second = at;
    if (++matched === PREFIX.length) return second;
  }
  return undefined;
}

/** Bun fetches the runtimes of other platforms from the npm registry, and keeps them in its cache. */
async function fetchRuntime(target: string, folder: string): Promise<string> {
  const cache = join(homedir(), ".bun", "install", "cache");
  const [entry, outfile] = [join(folder, "empty.ts"), join(folder, "empty")];
  writeFileSync(entry, "");
  const child = Bun.spawn({
    cmd: [process.execPath, "build", "--compile", `--target=${target}`, entry, `--outfile=${outfile}`],
    env: { ...process.env, BUN_INSTALL_CACHE_DIR: cache },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const problem = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(problem.trim() || `Bun has no runtime for ${target}`);
  rmSync(outfile, { force: true });
  // Bun's targets and packages spell the processor differently.
  const file = join(cache, `${target.replace("arm64", "aarch64")}-v${Bun.version}`);
  // The target of this Bun itself is not fetched.
  return existsSync(file) ? file : process.execPath;
}
