/**
 * Default ignore rules: the output of programs (builds, logs, reports, lock files), and files that usually hold secrets.
 *
 * Both are excluded from requests unless a rule includes them again (`!build/`). If outputs were included, a test run
 * between two reads would change the second request, which would then not match its recording. Files with a description
 * and files to generate are never outputs, whatever their name: `build/` may have the sources of a build.
 */
import type { TreeEntry } from "../../rpc/tree-port.ts";
import { Pace } from "../../text/pace.ts";
import { folderOf } from "../../text/tree-paths.ts";
import { IgnoreRules } from "./gitignore.ts";

const OUTPUTS = compileIgnoreRules([
  ...["build/", "dist/", "out/", "target/", "obj/", "_build/", "bazel-*", "cmake-build-*/", "CMakeFiles/"],
  ...["CMakeCache.txt", "*.egg-info/", "*.tsbuildinfo", "*.d", "*.exe", "*.dll", "*.dylib", "*.lib", "*.jar", "*.war"],
  ...["*.so.*", ".deps/", ".libs/", "*.la", "*.lo", "*.gch", "config.status", "compile_commands.json", "*.stamp"],
  ...["*.tar.gz", "*.tgz", "*.tar.xz", "*.tar.bz2", "*.tar", "*.zip", "*.whl", "*.gem", "*.nupkg", "*.wasm", "a.out"],
  ...[".next/", ".nuxt/", ".svelte-kit/", ".turbo/", ".parcel-cache/", ".gradle/", ".terraform/", ".cache/", "tmp/"],
  ...[
    ".tox/",
    ".nox/",
    ".hypothesis/",
    ".eslintcache",
    ".stylelintcache",
    ".ipynb_checkpoints/",
    ".direnv/",
    "venv/",
    ".idea/",
    ".vscode/",
  ],
  ...[
    "coverage/",
    "htmlcov/",
    ".nyc_output/",
    ".coverage",
    ".coverage.*",
    "coverage.xml",
    "coverage.json",
    "coverage.out",
    "lcov.info",
    "*.gcda",
    "*.gcno",
  ],
  ...["*.profraw", "*-report.xml", "report.xml", "test-results/", "test-reports/", "junit*.xml", "TEST-*.xml", "*.trx"],
  ...["*.log", "logs/", "*.pid", "*.tmp", "*.temp", "*.bak", "*.orig", "*.rej", "nohup.out", "core.[0-9]*"],
  ...["package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb", "deno.lock"],
  ...["Cargo.lock", "go.sum", "poetry.lock", "pdm.lock", "uv.lock", "Pipfile.lock", "Gemfile.lock", "composer.lock"],
  ...["mix.lock", "pubspec.lock", "flake.lock", "Podfile.lock", "gradle.lockfile", ".terraform.lock.hcl"],
]);

const SECRETS = compileIgnoreRules([
  ...[".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", "!.env.dist", ".envrc"],
  ...["id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", ".ssh/"],
  ...["*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk"],
  ...[
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    ".htpasswd",
    ".git-credentials",
    ".aws/credentials",
    ".docker/config.json",
  ],
  ...["kubeconfig", ".kube/", "secrets.yaml", "secrets.yml", "secrets.json", "secrets.toml", "*.tfvars", "*.tfstate"],
  ".aws_credentials",
]);

/**
 * Removes outputs and files with secrets from the entries. `isIgnored` tells which ones the project's own rules count as
 * outputs, and `isIncludedAgain` which ones a rule includes again.
 */
export async function removeOutputs(
  entries: readonly TreeEntry[],
  isIgnored: (path: string, directory: boolean) => boolean,
  isIncludedAgain: (path: string) => boolean,
): Promise<readonly TreeEntry[]> {
  const left = new Set<TreeEntry>();
  const pace = new Pace();
  for (const entry of entries) {
    if (isOutput(entry, isIgnored) && !isIncludedAgain(entry.path)) left.add(entry);
    if (pace.due) await pace.pause();
  }
  if (left.size === 0) return entries;
  /** Directories with an entry below that stays. */
  const leading = new Set<string>();
  for (const entry of entries) {
    if (left.has(entry)) continue;
    for (let at = folderOf(entry.path); at !== "/" && !leading.has(at); at = folderOf(at)) leading.add(at);
  }
  return entries.filter((entry) => !left.has(entry) || (entry.type === "directory" && leading.has(entry.path)));
}

function isOutput(
  { path, type, state, description }: TreeEntry,
  isIgnored: (path: string, directory: boolean) => boolean,
): boolean {
  if (path === "/" || description !== undefined) return false;
  const [below, directory] = [path.slice(1), type === "directory"];
  if (SECRETS.excludes(below, directory)) return true;
  if (type === "file" && state !== "static") return false;
  return OUTPUTS.excludes(below, directory) || isIgnored(path, directory);
}

function compileIgnoreRules(lines: readonly string[]): IgnoreRules {
  return new IgnoreRules(lines.join("\n"));
}
