/**
 * Database servers of a test's own, from Debian's packages: in a temporary directory, on a Unix socket and a loopback
 * port, gone when disposed of. As root they run as a user the server accepts.
 */
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";

export interface Server extends AsyncDisposable {
  /** With a user that may do everything. */
  readonly url: string;
  /** Runs statements; what the server's own client prints. */
  run(sql: string): Promise<string>;
}

const root = process.getuid?.() === 0;

export const hasPostgres = postgresBin() !== undefined;
export const hasMariadb = Bun.which("mariadbd") !== null || existsSync("/usr/sbin/mariadbd");

function postgresBin(): string | undefined {
  const base = "/usr/lib/postgresql";
  if (!existsSync(base)) return undefined;
  const [version] = readdirSync(base).sort((a, b) => Number(b) - Number(a));
  return version === undefined ? undefined : join(base, version, "bin");
}

export async function postgresServer(): Promise<Server> {
  const bin = postgresBin() ?? "";
  const folder = mkdtempSync(join(tmpdir(), "llmfs-pg-"));
  const as: string[] = [];
  if (root) {
    chmodSync(folder, 0o755);
    const [, , uid, gid] = (await output(["getent", "passwd", "postgres"])).split(":");
    chownSync(folder, Number(uid), Number(gid));
    as.push("setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups");
  }
  const data = join(folder, "data");
  await output([...as, join(bin, "initdb"), "-D", data, "-U", "llmfs", "-A", "trust", "--no-sync", "-E", "UTF8"]);
  const port = freePort();
  const settings = [`port=${port}`, `unix_socket_directories=${folder}`, "listen_addresses=127.0.0.1", "fsync=off"];
  const server = start([...as, join(bin, "postgres"), "-D", data, ...settings.flatMap((one) => ["-c", one])]);
  const url = `postgres://llmfs@127.0.0.1:${port}/postgres`;
  const run = (sql: string) => output(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", url, "-c", sql]);
  await ready(() => run("SELECT 1"), server);
  return { url, run, [Symbol.asyncDispose]: () => stopped(server, folder, "SIGINT") };
}

export async function mariadbServer(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-my-"));
  const data = join(folder, "data");
  const user = root ? ["--user=root"] : [];
  await output([
    "mariadb-install-db",
    "--no-defaults",
    `--datadir=${data}`,
    "--auth-root-authentication-method=normal",
    "--skip-test-db",
    ...user,
  ]);
  const port = freePort();
  const socket = join(folder, "s");
  const places = [`--datadir=${data}`, `--socket=${socket}`, `--pid-file=${folder}/pid`, `--port=${port}`];
  const binary = existsSync("/usr/sbin/mariadbd") ? "/usr/sbin/mariadbd" : "mariadbd";
  const server = start([binary, "--no-defaults", ...places, "--bind-address=127.0.0.1", ...user]);
  const client = ["mariadb", "--no-defaults", `--socket=${socket}`, "-uroot", "-BN"];
  const run = (sql: string, database = "shop") => output([...client, database, "-e", sql]);
  await ready(() => run("CREATE DATABASE IF NOT EXISTS shop", ""), server);
  await run("CREATE USER llmfs@'%' IDENTIFIED BY 'a b:c@'; GRANT ALL ON *.* TO llmfs@'%'");
  const url = `mysql://llmfs:${encodeURIComponent("a b:c@")}@127.0.0.1:${port}/shop`;
  return { url, run, [Symbol.asyncDispose]: () => stopped(server, folder, "SIGTERM") };
}

function start(cmd: string[]): Subprocess {
  return Bun.spawn({ cmd, cwd: "/", stdio: ["ignore", "ignore", "ignore"] });
}

async function output(cmd: string[]): Promise<string> {
  const child = Bun.spawn({ cmd: cmd.filter((one) => one !== ""), cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${cmd[0]}: ${stderr}${stdout}`);
  return stdout.trimEnd();
}

async function ready(probe: () => Promise<unknown>, server: Subprocess): Promise<void> {
  for (const until = performance.now() + 30_000; ; await Bun.sleep(50)) {
    try {
      await probe();
      return;
    } catch (error) {
      if (performance.now() > until || server.exitCode !== null) throw error;
    }
  }
}

async function stopped(server: Subprocess, folder: string, signal: NodeJS.Signals): Promise<void> {
  server.kill(signal);
  const late = setTimeout(() => server.kill("SIGKILL"), 10_000);
  await server.exited;
  clearTimeout(late);
  rmSync(folder, { recursive: true, force: true });
}

function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}
