/**
 * What a configuration that is code may import: nothing inside an llmfs mount, where a model may have written it.
 *
 * The file, its imports, and their imports in turn are checked before any of them runs. Names that are only known when
 * the code runs are checked then, unless they are names of packages. A package outside of mounts is trusted as a whole.
 */
import { builtinModules } from "node:module";
import { dirname, extname, resolve } from "node:path";
import { plugin, resolveSync, Transpiler } from "bun";
import { findMountOnPath } from "../../inside-mount.ts";
import { type MountPoint, readMounts } from "../../mountinfo.ts";
import { readBounded } from "../../text/bounded-read.ts";

const LOADERS = new Map([
  ...[".js", ".mjs", ".cjs"].map((ending) => [ending, "js"] as const),
  ...[".ts", ".mts", ".cts"].map((ending) => [ending, "ts"] as const),
  [".jsx", "jsx"] as const,
  [".tsx", "tsx"] as const,
]);
/** Where the program has its own files. */
const OWN_FILES = "/$bunfs/";
const PACKAGES = "/node_modules/";

/**
 * Checks the file, and from then on everything that is imported in this process. Throws an Error that names the file
 * and the mount.
 */
export function guardImports(file: string): void {
  const checked = new Set<string>();
  /** Resolving a name calls the plugin too. */
  let resolving = false;

  function checkFile(path: string, all: readonly MountPoint[]): void {
    if (checked.has(path)) return;
    checked.add(path);
    refuse(path, all);
    if (!path.includes(PACKAGES)) for (const name of importsOf(path)) checkName(name, path, all);
  }

  function checkName(name: string, importer: string, all: readonly MountPoint[]): void {
    if (resolving || name === "llmfs" || name.startsWith("bun") || builtinModules.includes(name)) return;
    const folder = dirname(importer);
    // The resolved path no longer shows the symlinks on the way.
    if (/^\.{0,2}\//.test(name)) refuse(resolve(folder, name), all);
    const path = tryResolve(name, folder);
    if (path?.startsWith("/") === true && !path.startsWith(OWN_FILES)) checkFile(path, all);
  }

  /** Undefined if it is not found: the import itself will report that. */
  function tryResolve(name: string, folder: string): string | undefined {
    resolving = true;
    try {
      return resolveSync(name, folder);
    } catch {
      return undefined;
    } finally {
      resolving = false;
    }
  }

  checkFile(file, readMounts());
  plugin({
    name: "nothing out of a mount",
    setup(build) {
      build.onResolve({ filter: /.*/ }, ({ path, importer }) => {
        const ours = !importer.startsWith("/") || importer.startsWith(OWN_FILES) || importer.includes(PACKAGES);
        if (!ours) checkName(path, importer, readMounts());
        return undefined;
      });
    },
  });
}

function refuse(path: string, all: readonly MountPoint[]): void {
  const mount = findMountOnPath(path, all);
  if (mount !== undefined) throw new Error(`${path} is inside ${mount}, where a model may have written it`);
}

/** A longer file is not code. */
const LONGEST_CODE = 16 * 1024 * 1024;

function importsOf(path: string): readonly string[] {
  const loader = LOADERS.get(extname(path));
  if (loader === undefined) return [];
  try {
    return new Transpiler({ loader }).scanImports(readBounded(path, LONGEST_CODE)).map((one) => one.path);
  } catch {
    // A file that cannot be read or parsed cannot run either.
    return [];
  }
}
