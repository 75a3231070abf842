/**
 * Temporary database servers from Debian's packages: in a temporary directory, on a Unix socket and a loopback port,
 * removed when disposed of. As root they run as a user that the server accepts.
 */
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";

export interface Server extends AsyncDisposable {
  /** Contains a user with all rights. */
  readonly url: string;
  /** Runs statements; returns the output of the server's own client. */
  run(sql: string): Promise<string>;
  /** Runs many statements, of any length. */
  load(statements: readonly string[]): Promise<void>;
  /** Returns a query's rows as the database's own client prints them, with the column names first. */
  rows(sql: string): Promise<readonly (readonly (string | null)[])[]>;
}

/** What the clients print for NULL, if that can be configured. */
const NULL = "<NULL>";

const root = process.getuid?.() === 0;

export const hasPostgres = postgresBin() !== undefined;
export const hasMariadb = Bun.which("mariadbd") !== null || existsSync("/usr/sbin/mariadbd");

function postgresBin(): string | undefined {
  const base = "/usr/lib/postgresql";
  if (!existsSync(base)) return undefined;
  const [version] = readdirSync(base).sort((a, b) => Number(b) - Number(a));
  return version === undefined ? undefined : join(base, version, "bin");
}

/** A SQLite file, accessed with its own client. */
export function sqliteFile(file: string): Server {
  const client = ["sqlite3", "-batch", "-cmd", ".timeout 5000"];
  return {
    url: `sqlite:${file}`,
    run: (sql) => output([...client, file, sql]),
    async load(statements) {
      await output([...client, file], `BEGIN;\n${statements.join(";\n")};\nCOMMIT;\n`);
    },
    rows: async (sql) => csv(await output([...client, "-csv", "-header", "-nullvalue", NULL, file], sql)),
    async [Symbol.asyncDispose]() {},
  };
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
  const psql = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", url];
  const run = (sql: string) => output([...psql, "-At", "-c", sql]);
  await ready(() => run("SELECT 1"), server);
  return {
    url,
    run,
    async load(statements) {
      await output([...psql, "-f", "-"], `${statements.join(";\n")};\n`);
    },
    rows: async (sql) => csv(await output([...psql, "--csv", "-P", `null=${NULL}`, "-c", sql])),
    [Symbol.asyncDispose]: () => stopped(server, folder, "SIGINT"),
  };
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
  await ready(() => run("CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4", ""), server);
  await run("CREATE USER llmfs@'%' IDENTIFIED BY 'a b:c@'; GRANT ALL ON *.* TO llmfs@'%'");
  const url = `mysql://llmfs:${encodeURIComponent("a b:c@")}@127.0.0.1:${port}/shop`;
  const utf8 = [...client, "--default-character-set=utf8mb4", "shop"];
  return {
    url,
    run,
    async load(statements) {
      await output(utf8, `${statements.join(";\n")};\n`);
    },
    rows: async (sql) => batch(await output([...utf8, "--column-names", "-e", sql])),
    [Symbol.asyncDispose]: () => stopped(server, folder, "SIGTERM"),
  };
}

function start(cmd: string[]): Subprocess {
  return Bun.spawn({ cmd, cwd: "/", stdio: ["ignore", "ignore", "ignore"] });
}

/** Parses CSV with Python. */
export async function csv(text: string): Promise<readonly (readonly (string | null)[])[]> {
  const script =
    "import csv, json; print(json.dumps(list(csv.reader(open(0, newline='', encoding='utf8'), strict=True))))";
  const rows: string[][] = JSON.parse(await output(["python3", "-c", script], text));
  return rows.map((row) => row.map((field) => (field === NULL ? null : field)));
}

/** Parses the output of `mariadb --batch`. */
function batch(text: string): readonly (readonly (string | null)[])[] {
  const escapes = new Map([
    ["n", "\n"],
    ["t", "\t"],
    ["0", "\0"],
    ["\\", "\\"],
  ]);
  const field = (one: string) =>
    one === "NULL" ? null : one.replace(/\\(.)/g, (all, letter: string) => escapes.get(letter) ?? all);
  return text.split("\n").map((line) => line.split("\t").map(field));
}

async function output(cmd: string[], input = ""): Promise<string> {
  const stdin = new Blob([input]);
  const child = Bun.spawn({ cmd: cmd.filter((one) => one !== ""), cwd: "/", stdio: [stdin, "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${cmd[0]}: ${stderr}${stdout}`);
  return stdout.replace(/\r?\n$/, "");
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
