/**
 * The filesystems that llmfs is compared with. Those that have to be compiled or downloaded are prepared once, in
 * dist/bench-peers. One that cannot be had on this machine is reported with the reason.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Peer {
  readonly name: string;
  /** The version, and how the peer stores files, as the report shows them. */
  readonly about: string;
  /** It shows what is possible, and is not one of the filesystems that llmfs is compared with. */
  readonly limit?: boolean;
  /** The server, in the foreground. `tmpfs` has the folders lower, upper and work. */
  readonly command: (tmpfs: string, mountpoint: string) => readonly string[];
}

export interface MissingPeer {
  readonly name: string;
  readonly reason: string;
}

const HERE = join(import.meta.dir, "peers");
const PLACE = join(import.meta.dir, "../dist/bench-peers");

const FUSE_NATIVE = "2.2.6";
const MOUNTX = "https://github.com/pithings/mountx";
/** Where Debian's packages put sources in Go. */
const GO_SOURCES = "/usr/share/gocode/src";

export function preparePeers(): readonly (Peer | MissingPeer)[] {
  mkdirSync(PLACE, { recursive: true });
  return [
    attempt("bindfs", bindfs),
    attempt("fuse-overlayfs", fuseOverlayfs),
    attempt("passthrough_hp", passthroughHp),
    attempt("go-fuse", goFuse),
    attempt("mountx", mountx),
    attempt("fuse-native", fuseNative),
    attempt("limit", limit),
  ];
}

function attempt(name: string, prepare: () => Omit<Peer, "name">): Peer | MissingPeer {
  try {
    return { name, ...prepare() };
  } catch (error) {
    return { name, reason: error instanceof Error ? error.message : String(error) };
  }
}

function bindfs(): Omit<Peer, "name"> {
  need("bindfs", "apt-get install bindfs");
  return {
    about: `${run(["bindfs", "--version"]).trim()}, over tmpfs`,
    command: (tmpfs, at) => ["bindfs", "-f", join(tmpfs, "lower"), at],
  };
}

function fuseOverlayfs(): Omit<Peer, "name"> {
  need("fuse-overlayfs", "apt-get install fuse-overlayfs");
  const [version] = run(["fuse-overlayfs", "--version"]).split("\n");
  return {
    about: `${version}, over tmpfs`,
    command: (tmpfs, at) => {
      const folders = ["lowerdir=lower", "upperdir=upper", "workdir=work"].map((one) => one.replace("=", `=${tmpfs}/`));
      return ["fuse-overlayfs", "-f", "-o", folders.join(","), at];
    },
  };
}

/** The example of libfuse for high performance, from Debian's sources of the installed version. */
function passthroughHp(): Omit<Peer, "name"> {
  need("g++", "apt-get install g++ pkg-config");
  const version = run(["pkg-config", "--modversion", "fuse3"], "apt-get install libfuse3-dev pkg-config").trim();
  const program = join(PLACE, `passthrough_hp-${version}`);
  if (!existsSync(program)) {
    const source = join(debianSource("fuse3"), "example");
    const flags = run(["pkg-config", "--cflags", "--libs", "fuse3"]).trim().split(/\s+/);
    run(["g++", "-O2", "-std=c++17", "-w", join(source, "passthrough_hp.cc"), "-o", program, ...flags]);
  }
  return {
    about: `libfuse ${version}, over tmpfs`,
    command: (tmpfs, at) => [program, "--foreground", join(tmpfs, "lower"), at],
  };
}

/** Downloads the sources of a package, without changing the machine's own lists. Returns their folder. */
function debianSource(name: string): string {
  const folder = join(PLACE, `source-${name}`);
  const unpacked = () => readdirSync(folder).find((one) => one.startsWith(`${name}-`));
  if (!existsSync(folder) || unpacked() === undefined) {
    need("apt-get", "this needs Debian or Ubuntu");
    need("dpkg-source", "apt-get install dpkg-dev");
    for (const part of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(folder, part), { recursive: true });
    const release = run(["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"]).trim();
    writeFileSync(join(folder, "sources.list"), `deb-src http://deb.debian.org/debian ${release} main\n`);
    const own = [
      `Dir::Etc::SourceList=${folder}/sources.list`,
      "Dir::Etc::SourceParts=/dev/null",
      `Dir::State::Lists=${folder}/lists`,
      `Dir::Cache=${folder}/cache`,
      "APT::Sandbox::User=root",
    ].flatMap((option) => ["-o", option]);
    run(["apt-get", "-qq", ...own, "update"]);
    run(["sh", "-c", `cd "$0" && exec apt-get "$@"`, folder, "-qq", ...own, "source", name]);
  }
  return join(folder, unpacked() ?? "");
}

function goFuse(): Omit<Peer, "name"> {
  const how = "apt-get install golang-go golang-github-hanwen-go-fuse-dev";
  need("go", how);
  const sources = join(GO_SOURCES, "github.com/hanwen/go-fuse");
  if (!existsSync(sources)) throw new Error(`${sources} does not exist; try: ${how}`);
  const version = run(["dpkg-query", "-W", "-f", `\${Version}`, "golang-github-hanwen-go-fuse-dev"], how);
  const folder = join(PLACE, "go-fuse");
  const program = join(folder, "loopback");
  if (!existsSync(program)) {
    mkdirSync(folder, { recursive: true });
    cpSync(join(HERE, "loopback.go"), join(folder, "loopback.go"));
    const modules = {
      "github.com/hanwen/go-fuse/v2": sources,
      "golang.org/x/sys": join(GO_SOURCES, "golang.org/x/sys"),
    };
    const names = Object.entries(modules);
    const required = names.map(([name]) => `require ${name} ${name.endsWith("v2") ? "v2" : "v0"}.0.0\n`);
    const replaced = names.map(([name, path]) => `replace ${name} => ${path}\n`);
    writeFileSync(join(folder, "go.mod"), `module loopback\n\ngo 1.17\n\n${required.join("")}${replaced.join("")}`);
    run(["sh", "-c", `cd "$0" && GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local go build -o loopback .`, folder]);
  }
  return { about: `${version}, over tmpfs`, command: (tmpfs, at) => [program, join(tmpfs, "lower"), at] };
}

/** From a checkout, if MOUNTX names one. */
function mountx(): Omit<Peer, "name"> {
  let sources = process.env.MOUNTX;
  if (sources === undefined) {
    sources = join(PLACE, "mountx");
    if (!existsSync(join(sources, "src"))) {
      run(
        ["git", "clone", "-q", "--depth", "1", MOUNTX, sources],
        `clone ${MOUNTX} yourself, and set MOUNTX to its path`,
      );
    }
  }
  const folder = sources;
  const { version } = JSON.parse(run(["cat", join(folder, "package.json")], "set MOUNTX to a checkout of it"));
  const commit = run(["git", "-C", folder, "rev-parse", "--short", "HEAD"]).trim();
  return {
    about: `${version} (${commit}) on Bun ${Bun.version}, in memory`,
    command: (_tmpfs, at) => [process.execPath, join(HERE, "mountx.ts"), folder, at],
  };
}

function fuseNative(): Omit<Peer, "name"> {
  need("node", "install Node.js");
  need("npm", "install Node.js");
  const folder = join(PLACE, "fuse-native");
  const modules = join(folder, "node_modules");
  if (!existsSync(join(modules, "fuse-native"))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), "{}\n");
    run(["npm", "install", "--prefix", folder, "--silent", "--ignore-scripts", `fuse-native@${FUSE_NATIVE}`]);
  }
  run(["node", "-e", `require(${JSON.stringify(join(modules, "fuse-native"))})`]);
  return {
    about: `${FUSE_NATIVE} on Node ${run(["node", "--version"]).trim()}, over tmpfs`,
    command: (tmpfs, at) => ["node", join(HERE, "fuse-native.cjs"), modules, join(tmpfs, "lower"), at],
  };
}

/** Compiled again each time, which takes a second: the sources may have changed. */
function limit(): Omit<Peer, "name"> {
  need("gcc", "apt-get install gcc libc6-dev");
  const program = join(PLACE, "limit");
  run(["gcc", "-O2", "-o", program, join(HERE, "limit.c")]);
  return {
    about: "320 lines of C in memory, without a library, which do nothing that the rows do not need",
    limit: true,
    command: (_tmpfs, at) => [program, at],
  };
}

function need(program: string, cure: string): void {
  if (Bun.which(program) === null) throw new Error(`${program} is not installed; try: ${cure}`);
}

/** `cure`: what to do if it fails. */
export function run(command: readonly string[], cure?: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { stdout: "pipe", stderr: "pipe" });
  if (exitCode === 0) return stdout.toString();
  throw new Error(describeFailure(command, `exit ${exitCode}`, stderr.toString(), cure));
}

export function describeFailure(command: readonly string[], what: string, stderr: string, cure?: string): string {
  const [said = ""] = stderr.trim().split("\n");
  const reason = said === "" ? `${command.join(" ").slice(0, 200)}: ${what}` : said;
  return `${reason}${cure === undefined ? "" : `; try: ${cure}`}`;
}
