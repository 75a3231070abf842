/** The committed example, from its recordings alone: the same tree on every machine. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EXAMPLE, EXAMPLE_MODEL, exampleRecordings } from "../../build/example.ts";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { describeMounted, IS_ROOT } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { BINARY, type Finished, finished, Sandbox } from "../support/program.ts";
import { Random } from "../support/random.ts";
import { recordingOf } from "../support/store-contract.ts";

setDefaultTimeout(60_000);

const isolated = testWith(IS_ROOT ? programs("unshare", "tar", "sha256sum", "diff") : "root, for unshare -n");
const FLAGS = ["--mode", "replay", "--model", EXAMPLE_MODEL];
const EPOCH = "1767225600";

/** Another machine: no network, and another host name, home, time zone and mountpoint. */
async function machine(
  sandbox: Sandbox,
  name: string,
  args: readonly string[],
  script: string,
  epoch?: string,
): Promise<Finished> {
  const home = sandbox.directory(name);
  const child = Bun.spawn({
    cmd: [
      "unshare",
      "--net",
      "--uts",
      "sh",
      "-c",
      `hostname ${name}; exec "$@"`,
      "sh",
      ...BINARY,
      ...args,
      "--",
      "sh",
      "-c",
      script,
    ],
    cwd: home,
    env: {
      ...sandbox.environment({ HOME: home, TMPDIR: home, XDG_STATE_HOME: home, USER: name, LOGNAME: name, OUT: home }),
      TZ: name === "one" ? "Asia/Tokyo" : "America/Lima",
      LANG: name === "one" ? "C" : "de_DE.UTF-8",
      ...(epoch === undefined ? {} : { SOURCE_DATE_EPOCH: epoch }),
    },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end();
  return finished(child);
}

/** Reads the files in an order given by the seed, one by one or all at once; saves the tree and prints its checksum. */
function keep(seed: number): string {
  const random = new Random(seed);
  const files = ["README.md", "berths.csv", "docs/berthing.md", "src/berths.py", "src/test_berths.py"];
  const order = files.map((path) => ({ path, at: random.next() })).sort((a, b) => a.at - b.at);
  const read = order.map(({ path }) => `cat ${path} > /dev/null ${seed % 2 === 0 ? "&" : ""}`).join("\n");
  return `set -e; ${read}\nwait\ncp -a . "$OUT/tree"; tar --sort=name -c . | sha256sum`;
}

describeMounted("the example, replayed", () => {
  isolated(
    "a replay gives the same tree and checksum on two machines without a network, in any order of reading",
    async () => {
      using sandbox = new Sandbox();
      const args = [
        "run",
        ...FLAGS,
        "--from",
        join(EXAMPLE, "harbour.json"),
        "--recordings",
        join(EXAMPLE, "recordings"),
      ];
      const sums = new Set<string>();
      for (const [seed, name] of ["one", "two", "three", "four"].entries()) {
        const { status, stdout, stderr } = await machine(sandbox, name, args, keep(seed));
        expect([name, status, stderr]).toEqual([name, 0, ""]);
        sums.add(stdout);
      }
      expect([...sums]).toEqual([expect.stringMatching(/^[0-9a-f]{64} {2}-\n$/)]);
      for (const name of ["two", "three", "four"]) {
        const { exitCode, stdout } = Bun.spawnSync(["diff", "-r", sandbox.at("one/tree"), sandbox.at(`${name}/tree`)]);
        expect([exitCode, stdout.toString()]).toEqual([0, ""]);
      }
      const times = await machine(sandbox, "five", args, "stat -c %Y . README.md berths.csv | sort -u", EPOCH);
      expect([times.status, times.stdout]).toEqual([0, `${EPOCH}\n`]);
      expect(readFileSync(sandbox.at("one/tree/berths.csv"), "utf8")).toContain("C1,40,6.0,no\n");
    },
  );

  isolated(
    "a replay with a changed prompt fails for exactly the files that depend on it, naming the first difference",
    async () => {
      using sandbox = new Sandbox();
      cpSync(EXAMPLE, sandbox.at("harbour"), { recursive: true });
      const file = sandbox.at("harbour/harbour.json");
      writeFileSync(file, readFileSync(file, "utf8").replace("in at most fifteen lines", "in rhymes"));
      const args = ["run", ...FLAGS, "--from", file, "--recordings", sandbox.at("harbour/recordings")];
      const script =
        "for f in README.md berths.csv docs/*.md src/*.py; do cat $f > /dev/null 2>&1 || echo $f; done; getfattr --only-values -n user.llmfs.error docs/berthing.md";
      const { stdout } = await machine(sandbox, "one", args, script);
      const [failed, reason] = stdout.split("\n");
      expect(failed).toBe("docs/berthing.md");
      expect(reason).toContain("no recording for /docs/berthing.md");
      expect(reason).toMatch(
        /the prompt differs at line \d+: recorded "Write for skippers, in at most fifteen lines\.", asked "Write for skippers, in rhymes\."/,
      );
      const warm = await machine(sandbox, "two", [...args, "--warm"], "echo begun");
      expect([warm.status, warm.stdout]).toEqual([90, ""]);
      expect(warm.stderr).toContain("4 of 5 files generated");
      expect(warm.stderr).toContain("failed: /docs/berthing.md: EIO: no recording for /docs/berthing.md");
    },
  );
});

describeMounted("a mount that replays", () => {
  test("a mount that replays uses the recorded model if none is named and all recordings agree on it", async () => {
    using sandbox = new Sandbox();
    cpSync(EXAMPLE, sandbox.at("harbour"), { recursive: true });
    const run = ["run", "--mode", "replay", "--from", "harbour.json", "--recordings", "recordings", "--"];
    const replayed = () =>
      sandbox.llmfs([...run, "head", "-n1", "README.md"], { program: BINARY, cwd: sandbox.at("harbour") });
    expect(await replayed()).toMatchObject({ status: 0, stdout: "# Grey Skerry\n" });
    await createFolderStore(sandbox.at("harbour/recordings")).put(recordingOf("x", "/LICENSE", "another"));
    const { status, stderr } = await replayed();
    expect([status, stderr]).toEqual([1, expect.stringContaining('the model differs: recorded "demo"')]);
  });

  const traced = testWith(IS_ROOT ? programs("strace") : "root: fusermount3 has no rights while it is traced");

  /** The calls of the mount and its child processes that make or use sockets between machines or with servers. */
  async function connections(args: readonly string[]): Promise<{ readonly calls: string; readonly status: number }> {
    using sandbox = new Sandbox();
    cpSync(EXAMPLE, sandbox.at("harbour"), { recursive: true });
    const trace = sandbox.at("trace");
    const child = Bun.spawn({
      cmd: ["strace", "-f", "-e", "trace=socket,connect,bind,sendmmsg", "-o", trace, ...BINARY, ...args],
      cwd: sandbox.at("harbour"),
      env: {
        ...sandbox.environment({ HOME: sandbox.path, TMPDIR: sandbox.path }),
        OPENAI_API_KEY: "sk-never",
        OPENAI_BASE_URL: "http://models.example/v1",
      },
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.end();
    const { status } = await finished(child);
    const lines = readFileSync(trace, "utf8").split("\n");
    return { status, calls: lines.filter((line) => /^\d+ +\w+\(/.test(line)).join("\n") };
  }

  const run = ["run", "--model", EXAMPLE_MODEL, "--from", "harbour.json", "--recordings"];
  const read = ["--", "sh", "-c", "cat README.md src/*.py; setfattr -n user.llmfs.prompt -v new docs; cat docs/*.md"];

  traced("a replay opens no socket and resolves no name, for recorded and for missing answers", async () => {
    expect(await connections([...run, "recordings", "--mode", "replay", ...read])).toEqual({ status: 1, calls: "" });
  });

  traced("the trace of a mount that may use the network shows its sockets", async () => {
    const { calls } = await connections([...run, "none", "--timeout", "500ms", "--", "cat", "README.md"]);
    expect(calls).toContain("connect(");
  });
});

test("the example's recordings still match its requests; if not, run build/example.ts", async () => {
  expect(await createFolderStore(join(EXAMPLE, "recordings")).list()).toEqual([...(await exampleRecordings())]);
});
