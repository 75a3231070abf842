/**
 * The build: one executable for each platform, with Bun's runtime and all of llmfs in it.
 *
 *   bun build/build.ts           dist/llmfs, for this machine
 *   bun build/build.ts --all     dist/llmfs-<os>-<arch>[-baseline|-musl] for every platform, and dist/SHA256SUMS
 *
 * Bytecode halves the start-up time. Code is split, so that what a command does not use is not loaded. Names are kept,
 * so that stacks in logs are readable.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { quietRuntime } from "./runtime.ts";

const ROOT = join(import.meta.dir, "..");
const DIST = join(ROOT, "dist");
/** Files needed only during the build. */
const WORK = join(DIST, ".build");

/** Our name and Bun's name of each target. */
const TARGETS = {
  "linux-x64": "bun-linux-x64",
  "linux-x64-baseline": "bun-linux-x64-baseline",
  "linux-x64-musl": "bun-linux-x64-musl",
  "linux-arm64": "bun-linux-arm64",
  "linux-arm64-musl": "bun-linux-arm64-musl",
  "darwin-x64": "bun-darwin-x64",
  "darwin-arm64": "bun-darwin-arm64",
} as const satisfies Record<string, Bun.Build.CompileTarget>;

/** The compressed contents of each file, which all executables share: compressing takes most of the time of a build. */
const compressed = new Map<string, Promise<Uint8Array>>();

/** Compresses the grammars from 20 MB to 1.3 MB. src/generate/declarations/grammars.ts decompresses each when it loads it. */
const compressedGrammars: Bun.BunPlugin = {
  name: "compressed grammars",
  setup(build) {
    build.onLoad({ filter: /\.wasm$/ }, async ({ path }) => ({
      contents: await compressed.getOrInsertComputed(path, compress),
      loader: "file",
    }));
  },
};

async function compress(path: string): Promise<Uint8Array> {
  return Bun.zstdCompress(await Bun.file(path).bytes(), { level: 19 });
}

/** Builds one executable; without a target, for this machine. Throws with Bun's message. */
async function build(name: string, target: Bun.Build.CompileTarget | undefined): Promise<void> {
  const outfile = join(DIST, name);
  // Written under another name first, so that a running binary is never overwritten.
  const temporary = `${outfile}.new`;
  const executablePath = await quietRuntime(target, WORK);
  const result = await Bun.build({
    entrypoints: [join(ROOT, "src/main.ts"), join(ROOT, "src/fs/worker.ts")],
    // Chunks are one folder deep, so that `new URL("../fs/worker.ts", import.meta.url)` means the worker in the
    // executable as it does in src/mount.
    root: join(ROOT, "src"),
    naming: { entry: "[dir]/[name].[ext]", chunk: "chunks/[name]-[hash].[ext]" },
    format: "esm",
    target: "bun",
    splitting: true,
    bytecode: true,
    minify: { whitespace: true, syntax: true, identifiers: false },
    plugins: [compressedGrammars],
    compile: {
      outfile: temporary,
      ...(target === undefined ? {} : { target }),
      executablePath,
      // The program's behaviour must not depend on files in the current directory.
      autoloadDotenv: false,
      autoloadBunfig: false,
      // A configuration with code imports packages from the node_modules beside it.
      autoloadPackageJson: true,
      // With any flag, Bun no longer refuses to start in a directory that has been removed or is a dead mount. This
      // flag changes nothing else: an executable never installs packages.
      execArgv: ["--no-install"],
    },
    throw: false,
  });
  rmSync(executablePath);
  if (!result.success) throw new Error(result.logs.map(String).join("\n") || "the bundler failed without a message");
  chmodSync(temporary, 0o755);
  renameSync(temporary, outfile);
  console.log(`dist/${name}  ${(statSync(outfile).size / 2 ** 20).toFixed(1)} MiB`);
}

async function buildAll(): Promise<void> {
  const failed: string[] = [];
  const sums: string[] = [];
  for (const [platform, target] of Object.entries(TARGETS)) {
    const name = `llmfs-${platform}`;
    try {
      await build(name, target);
      sums.push(`${new Bun.CryptoHasher("sha256").update(readFileSync(join(DIST, name))).digest("hex")}  ${name}`);
    } catch (error) {
      rmSync(join(DIST, name), { force: true });
      failed.push(name);
      console.error(
        `${name} was not built (target ${target}): ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  writeFileSync(join(DIST, "SHA256SUMS"), `${sums.join("\n")}\n`);
  if (failed.length > 0) {
    console.error(
      `${failed.length} of ${Object.keys(TARGETS).length} were not built: ${failed.join(", ")}. Their runtimes come from the npm registry, once; is it reachable?`,
    );
    process.exit(1);
  }
}

const [flag, ...surplus] = process.argv.slice(2);
if (surplus.length > 0 || (flag !== undefined && flag !== "--all")) {
  console.error(`unexpected argument ${surplus[0] ?? flag}\nUsage: bun build/build.ts [--all]`);
  process.exit(2);
}
mkdirSync(DIST, { recursive: true });
process.on("exit", () => rmSync(WORK, { recursive: true, force: true }));
if (flag === "--all") await buildAll();
else {
  try {
    await build("llmfs", undefined);
  } catch (error) {
    console.error(`dist/llmfs was not built: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
}
