/**
 * Shows why llmfs does not use the npm package fuse-native.
 *
 *   node_modules/.bin/bun build/fuse-native.ts
 *
 * Installs the package into a temporary folder, and mounts and unmounts an empty filesystem with it: once in Node, where that
 * works, and once in Bun, where the process is aborted. It prints
 *
 *   node 20.20.2: mounted, unmounted
 *   bun 1.4.5: killed by SIGABRT: unsupported uv function: uv_sem_init
 *
 * and exits with 0 if Bun was aborted, with 1 if it was not: then the decision should be reconsidered.
 *
 * It needs npm, Node, /dev/fuse, and permission to mount. The package's prebuilt binary is for Linux on x86-64 only, and is
 * linked with libfuse 2, which distributions no longer install: the copy that comes with the package is used. Nothing is
 * compiled, and nothing is left behind.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const VERSION = "2.2.6";

/** Runs in both Node and Bun. */
const PROGRAM = `
const Fuse = require("fuse-native");
const fuse = new Fuse(process.argv[2], { readdir: (path, done) => done(0, []) }, { force: true });
const failed = (error) => { console.log(String(error)); process.exit(1); };
fuse.mount((error) => {
  if (error) failed(error);
  console.log("mounted");
  fuse.unmount((error) => {
    if (error) failed(error);
    console.log("unmounted");
    process.exit(0);
  });
});
`;

interface Outcome {
  readonly aborted: boolean;
  readonly text: string;
}

if (import.meta.main) process.exitCode = main();

function main(): number {
  if (process.platform !== "linux" || process.arch !== "x64") {
    console.log(
      `fuse-native ${VERSION} has no prebuilt binary that could be tried on ${process.platform}-${process.arch}`,
    );
    return 1;
  }
  const folder = mkdtempSync(join(tmpdir(), "llmfs-fuse-native-"));
  try {
    install(folder);
    console.log(`fuse-native ${VERSION}, with its own copy of libfuse 2:`);
    const node = attempt(folder, "node");
    console.log(`  node ${versionOf("node")}: ${node.text}`);
    const bun = attempt(folder, process.execPath);
    console.log(`  bun ${Bun.version}: ${bun.text}`);
    return bun.aborted ? 0 : 1;
  } finally {
    clearMount(join(folder, "mountpoint"));
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The aborted process leaves a dead mount behind. */
function clearMount(mountpoint: string): void {
  for (const command of [
    ["umount", "-l"],
    ["fusermount3", "-u", "-z"],
    ["fusermount", "-u", "-z"],
  ]) {
    if (!readFileSync("/proc/self/mounts", "utf8").includes(` ${mountpoint} `)) return;
    if (Bun.which(command[0] ?? "") !== null) Bun.spawnSync([...command, mountpoint]);
  }
}

function install(folder: string): void {
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  writeFileSync(join(folder, "try.cjs"), PROGRAM);
  mkdirSync(join(folder, "mountpoint"));
  mkdirSync(join(folder, "lib"));
  // Its install script would compile the package where libfuse 2 is not installed.
  const npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", `fuse-native@${VERSION}`];
  const { exitCode, stderr } = Bun.spawnSync(npm, { cwd: folder });
  if (exitCode !== 0) throw new Error(`${npm.join(" ")} failed: ${stderr.toString()}`);
  const library = join(folder, "node_modules/fuse-native/prebuilds/linux-x64/libfuse.so");
  symlinkSync(library, join(folder, "lib/libfuse.so.2"));
}

function attempt(folder: string, runtime: string): Outcome {
  const env = {
    ...process.env,
    LD_LIBRARY_PATH: join(folder, "lib"),
    BUN_ENABLE_CRASH_REPORTING: "0",
    DO_NOT_TRACK: "1",
  };
  const command = [runtime, join(folder, "try.cjs"), join(folder, "mountpoint")];
  const { exitCode, signalCode, stdout, stderr } = Bun.spawnSync(command, { cwd: folder, env, timeout: 30_000 });
  const said = stdout.toString().trim().split("\n").join(", ");
  if (exitCode === 0) return { aborted: false, text: said };
  const reason = /panic.*?: (.*)|^(.*Error: .*)$/m.exec(stderr.toString());
  const end = signalCode === null || signalCode === undefined ? `exit status ${exitCode}` : `killed by ${signalCode}`;
  return { aborted: signalCode === "SIGABRT", text: [end, reason?.[1] ?? reason?.[2] ?? said].join(": ") };
}

function versionOf(runtime: string): string {
  return Bun.spawnSync([runtime, "--version"]).stdout.toString().trim().replace(/^v/, "");
}
