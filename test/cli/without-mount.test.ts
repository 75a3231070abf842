/** cat, ls, write, export, import and run --no-mount, in the compiled binary: on snapshots without any mount, and on mounts. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { documented } from "../support/json-shapes.ts";
import { contentOf, describeMounted, mounted, pathOf, snapshotOf } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { type Behaviour, type OpenaiServer, openaiServer } from "../support/openai-server.ts";
import { ordinary } from "../support/ordinary.ts";
import { BINARY, type Finished, Sandbox } from "../support/program.ts";

setDefaultTimeout(60_000);

let sandbox: Sandbox;
let server: OpenaiServer;
let refused: string | undefined;

beforeAll(async () => {
  server = await openaiServer([
    (request): Behaviour => {
      const path = pathOf(request) ?? "";
      return path === refused ? { status: 400 } : { stream: contentOf(path) };
    },
  ]);
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => {
  sandbox = new Sandbox();
  refused = undefined;
  server.requests.length = 0;
  writeFileSync(sandbox.at("tree.json"), snapshotOf(["a.md", "src/b.md", "src/c.md"]));
  return () => sandbox[Symbol.dispose]();
});

const run = (...args: string[]): Promise<Finished> => sandbox.llmfs(args, { program: BINARY });
const model = () => ["--base-url", server.baseUrl, "--mode", "off"];
const asked = () => server.requests.map((request) => pathOf(request)).sort();

describe("llmfs cat", () => {
  test("llmfs cat generates a pending file of a snapshot, and does not change the snapshot", async () => {
    const before = readFileSync(sandbox.at("tree.json"), "utf8");
    const { status, stdout } = await run("cat", ...model(), "tree.json/src/b.md");
    expect([status, stdout]).toEqual([0, contentOf("src/b.md")]);
    expect(asked()).toEqual(["src/b.md"]);
    expect(readFileSync(sandbox.at("tree.json"), "utf8")).toBe(before);
  });

  test("llmfs cat --save stores the generated content in the snapshot", async () => {
    const first = await run("cat", ...model(), "--save", "tree.json", "tree.json/a.md", "tree.json/src/b.md");
    expect([first.status, first.stdout]).toEqual([0, contentOf("a.md") + contentOf("src/b.md")]);
    expect((await run("cat", "tree.json/a.md", "tree.json/src/b.md")).stdout).toBe(first.stdout);
    expect(server.requests.length).toBe(2);
  });

  test("llmfs cat prints a file that is too large to be in memory", async () => {
    const base64 = [btoa("a"), { hole: 2 ** 36 }];
    const text = JSON.stringify({ llmfs: 1, entries: [{ path: "/big", type: "file", base64 }] });
    writeFileSync(sandbox.at("big.json"), text);
    const script = '"$0" cat big.json/big | head -c 40000000 | od -An -c';
    const { stdout, stderr } = Bun.spawnSync(["sh", "-c", script, ...BINARY], { cwd: sandbox.path });
    expect(stderr.toString()).toBe("");
    expect(stdout.toString()).toMatch(/^ +a( +\\0){15}\n +\\0( +\\0){15}\n\*\n$/);
  });

  test("llmfs cat reports a missing file, a directory, and a file that cannot be generated", async () => {
    refused = "a.md";
    const missing = await run("cat", "tree.json/nothing");
    expect([missing.status, missing.stderr]).toEqual([84, expect.stringContaining("tree.json/nothing does not exist")]);
    expect((await run("cat", "tree.json/src")).status).toBe(84);
    const failed = await run("cat", ...model(), "tree.json/a.md");
    expect([failed.status, failed.stdout]).toEqual([90, ""]);
    expect(failed.stderr).toContain("failed: /a.md: EIO");
  });
});

describe("plan, why and context on a snapshot", () => {
  test("without --model, plan and why foresee the model whose answers the folder has", async () => {
    const at = ["--base-url", server.baseUrl, "--recordings", sandbox.at("rec")];
    await run("export", ...at, "--model", "house", "tree.json", "out");
    const plan = await run("plan", ...at, "tree.json");
    expect(plan.stdout).toContain("by house: 3; 3 already recorded; 0 calls");
    const why = await run("why", ...at, "tree.json/src/b.md");
    expect(why.stdout).toStartWith("/src/b.md: pending\n");
    expect(why.stdout).toContain("house; the answer is recorded");
    expect(why.stdout).toBe((await run("why", ...at, "--from", "tree.json", "src/b.md")).stdout);
    expect((await run("context", ...at, "tree.json/src/b.md")).stdout).toMatch(/^\/src\/b\.md\n/);
    const plain = await run("why", "out/a.md");
    expect([plain.status, plain.stderr]).toEqual([83, expect.stringContaining("out/a.md is not in an llmfs mount")]);
  });
});

describe("llmfs ls and write", () => {
  test("llmfs ls and write work on a snapshot without a mount; a written file is never generated", async () => {
    expect((await run("ls", "tree.json")).stdout).toBe("a.md\nsrc/\n");
    expect((await run("ls", "-l", "tree.json/src")).stdout).toBe(
      "0644  pending  -  llm  b.md\n0644  pending  -  llm  c.md\n",
    );
    expect((await run("ls", "tree.json/nothing")).status).toBe(84);
    documented("ls", (await run("ls", "--json", "tree.json")).stdout);
    const written = await sandbox.llmfs(["write", "tree.json/a.md"], { program: BINARY, stdin: "mine\n" });
    expect(written).toEqual({ status: 0, stdout: "", stderr: "" });
    await sandbox.llmfs(["write", "--append", "tree.json/a.md"], { program: BINARY, stdin: "more\n" });
    expect((await run("cat", "tree.json/a.md")).stdout).toBe("mine\nmore\n");
    const deep = await sandbox.llmfs(["write", "tree.json/x/y.md"], { program: BINARY, stdin: "" });
    expect([deep.status, deep.stderr]).toEqual([84, expect.stringContaining("tree.json/x/y.md does not exist")]);
    expect((await run("write", "-p", "--input", "tree.json", "tree.json/x/y.md")).status).toBe(0);
    expect((await run("ls", "tree.json/x")).stdout).toBe("y.md\n");
    expect((await run("write", "tree.json/src")).status).toBe(84);
  });
});

describe("commands that change the same snapshot", () => {
  test("no change is lost when several run at the same time", async () => {
    const names = Array.from({ length: 6 }, (_, index) => `new${index}`);
    const writes = names.map((name) => sandbox.llmfs(["write", `tree.json/${name}`], { program: BINARY, stdin: name }));
    mkdirSync(sandbox.at("more"));
    writeFileSync(sandbox.at("more/imported"), "");
    const results = await Promise.all([
      ...writes,
      run("import", "more", "tree.json/"),
      run("cat", ...model(), "--save", "tree.json", "tree.json/a.md"),
    ]);
    expect(results.map(({ status }) => status)).toEqual(results.map(() => 0));
    expect((await run("ls", "tree.json")).stdout.split("\n").sort()).toEqual(
      ["", "a.md", "imported", ...names, "src/"].sort(),
    );
    expect((await run("ls", "-l", "tree.json/a.md")).stdout).toContain("ready");
  });

  test("a snapshot that its owner has made read-only stays as it is", async () => {
    await using user = await ordinary([]);
    chmodSync(user.mounted.sandbox.at("from.json"), 0o444);
    expect(await user.llmfs(["write", "from.json/b.md"])).toMatchObject({
      status: 89,
      stderr: expect.stringMatching(/from.json cannot be written: permission denied \(EACCES\)/),
    });
  });
});

describe("llmfs export", () => {
  test("llmfs export generates pending files and writes a directory, but not into one that is not empty", async () => {
    const { status, stdout } = await run("export", ...model(), "--json", "tree.json", "out");
    expect(status).toBe(0);
    expect(documented("export", stdout)).toEqual({ target: sandbox.at("out"), files: 3, directories: 1, leftOut: 0 });
    expect(readFileSync(sandbox.at("out/src/c.md"), "utf8")).toBe(contentOf("src/c.md"));
    const again = await run("export", ...model(), "tree.json", "out");
    expect([again.status, again.stderr]).toEqual([89, expect.stringContaining("out is not empty")]);
    expect((await run("export", ...model(), "--force", "tree.json", "out")).status).toBe(0);
  });

  test("llmfs export that fails says how to export what there is", async () => {
    refused = "a.md";
    const failed = await run("export", ...model(), "tree.json", "out");
    expect(failed.status).toBe(90);
    expect(failed.stderr).toContain("1 of 3 files could not be generated; nothing was done. To leave out");
    expect(failed.stderr).toContain("--pending skip");
  });

  test("llmfs export can leave pending files out, or generate only some", async () => {
    const skipped = await run("export", "--pending", "skip", "tree.json", "none");
    expect([skipped.status, skipped.stderr]).toEqual([0, "wrote 0 files to none; left out 3 pending files\n"]);
    expect(readdirSync(sandbox.at("none"))).toEqual(["src"]);
    expect((await run("export", ...model(), "--only", "src/b*", "tree.json", "some")).status).toBe(0);
    expect(readdirSync(sandbox.at("some/src"))).toEqual(["b.md"]);
    expect(asked()).toEqual(["src/b.md"]);
    expect((await run("export", "--pending", "skip", "--only", "x", "tree.json", "z")).status).toBe(2);
  });

  test("llmfs export writes nothing if a file cannot be generated", async () => {
    refused = "src/c.md";
    const { status, stderr } = await run("export", ...model(), "tree.json", "out");
    expect([status, existsSync(sandbox.at("out"))]).toEqual([90, false]);
    expect(stderr).toContain("failed: /src/c.md: EIO");
  });

  testWith(programs("tar", "zstd"))(
    "llmfs export writes archives that tar reads, also to standard output and compressed",
    async () => {
      for (const name of ["a.tar", "a.tar.gz", "a.tar.zst"]) {
        expect((await run("export", ...model(), "tree.json", name)).status).toBe(0);
        const list = Bun.spawnSync(["tar", "tf", name], { cwd: sandbox.path }).stdout.toString();
        expect([name, list]).toEqual([name, "a.md\nsrc/\nsrc/b.md\nsrc/c.md\n"]);
      }
      const child = sandbox.start(["export", ...model(), "tree.json/src", "-"], { program: BINARY });
      const bytes = await new Response(child.stdout).bytes();
      const list = Bun.spawnSync(["tar", "tf", "-"], { stdin: bytes }).stdout.toString();
      expect(list).toBe("b.md\nc.md\n");
    },
  );
});

describe("llmfs export to a zip archive", () => {
  testWith(programs("unzip", "python3"))(
    "names, permissions, times, symlinks and contents are those of the tree, and of one that imports it",
    async () => {
      const dir = makeDirectory();
      Bun.spawnSync(["sh", "-c", "rm n* && mv sparse empty && truncate -s 0 empty && touch -d @1234567891 deep"], {
        cwd: dir,
      });
      writeFileSync(join(dir, "large"), Buffer.alloc(3_000_001, "llmfs "));
      // The current second would count as unknown, because it is also that of the import.
      for (const name of readdirSync(dir))
        if (name !== "soft" && name !== "deep") utimesSync(join(dir, name), 1, 1_234_567_892);
      expect((await run("import", "dir", "new.json")).status).toBe(0);
      for (const name of ["a.zip", "b.zip"]) {
        const env = { TZ: name === "a.zip" ? "Asia/Tokyo" : "America/New_York" };
        const { status } = await sandbox.llmfs(["export", "new.json", name], { program: BINARY, env });
        expect(status).toBe(0);
      }
      expect(readFileSync(sandbox.at("a.zip")).equals(readFileSync(sandbox.at("b.zip")))).toBe(true);
      // Of a symlink, programs do not restore the time. A hard link becomes a file of its own. Times have no fractions.
      const shown = (at: string) =>
        describeTree(at)
          .replaceAll(/ [12] (\d+ )/g, " 1 $1")
          .replaceAll(/\.\d{9}/g, "")
          .replace(/\.\/soft 777 .*/, "");
      const cwd = sandbox.directory("unzipped");
      const env = { ...process.env, TZ: "UTC" };
      expect(Bun.spawnSync(["unzip", "-q", "-K", "../a.zip"], { cwd, env }).exitCode).toBe(0);
      expect(shown(cwd)).toBe(shown(dir));
      expect(readFileSync(join(cwd, "large")).equals(readFileSync(join(dir, "large")))).toBe(true);
      expect((await run("import", "a.zip", "back.json")).status).toBe(0);
      expect((await run("export", "back.json", "back")).status).toBe(0);
      expect(shown(sandbox.at("back"))).toBe(withoutSetuid(shown(dir)));
      expect(readFileSync(sandbox.at("back/large")).equals(readFileSync(join(dir, "large")))).toBe(true);
      const check = "import zipfile; print(zipfile.ZipFile('a.zip').testzip())";
      expect(Bun.spawnSync(["python3", "-c", check], { cwd: sandbox.path }).stdout.toString()).toBe("None\n");
    },
  );

  test("a name that a zip cannot hold is an error, and nothing is written", async () => {
    makeDirectory();
    expect((await run("import", "dir", "new.json")).status).toBe(0);
    const { status, stderr } = await run("export", "new.json", "a.zip");
    expect([status, existsSync(sandbox.at("a.zip"))]).toEqual([89, false]);
    expect(stderr).toContain('the name "n\uFFFD" is not UTF-8');
  });

  test("an archive of an unknown kind is an error, unless its name ends with a slash", async () => {
    for (const name of ["a.rar", "a.7z", "a.tar.bz2", "a.TXZ"]) {
      const { status, stderr } = await run("export", "--pending", "skip", "tree.json", name);
      expect([name, status, existsSync(sandbox.at(name))]).toEqual([name, 2, false]);
      expect(stderr).toContain("use .tar, .tar.gz, .tgz, .tar.zst or .zip. For a directory of that name, add a slash");
    }
    for (const name of ["a.rar/", "v1.2"])
      expect((await run("export", "--pending", "skip", "tree.json", name)).status).toBe(0);
    expect(readdirSync(sandbox.at("a.rar"))).toEqual(["src"]);
  });
});

/** A directory with everything that a copy may lose. */
function makeDirectory(): string {
  const dir = sandbox.directory("dir");
  mkdirSync(join(dir, "deep"), { mode: 0o750 });
  writeFileSync(join(dir, "deep/file"), "content");
  chmodSync(join(dir, "deep/file"), 0o4711);
  linkSync(join(dir, "deep/file"), join(dir, "hard"));
  symlinkSync("deep/file", join(dir, "soft"));
  const odd = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0x6e, 0xff])]);
  writeFileSync(odd, "odd");
  writeFileSync(join(dir, `${"long".repeat(60)}ü`), "long");
  utimesSync(join(dir, "deep/file"), 1_000_000_000.123456, 1_000_000_000.123456);
  Bun.spawnSync(["truncate", "-s", "1G", join(dir, "sparse")]);
  Bun.spawnSync(["setfattr", "-n", "user.note", "-v", "remember", join(dir, "deep/file")]);
  return dir;
}

/** What stat(1) says of everything below, in byte order. */
function describeTree(dir: string): string {
  const script = `find . -mindepth 1 | LC_ALL=C sort | xargs -d '\\n' stat -c '%n %a %h %s %y %F'; cat deep/file; readlink soft`;
  return Bun.spawnSync(["sh", "-c", script], { cwd: dir }).stdout.toString("latin1");
}

/** As an export into a directory leaves it. */
function withoutSetuid(tree: string): string {
  return tree.replaceAll(" 4711 ", " 711 ");
}

describe("llmfs import", () => {
  testWith(programs("setfattr", "truncate"))(
    "a directory survives import and export, names, links, modes, times and holes included",
    async () => {
      const dir = makeDirectory();
      expect((await run("import", "dir", "new.json")).status).toBe(0);
      expect((await run("export", "new.json", "out")).status).toBe(0);
      expect(describeTree(sandbox.at("out"))).toBe(withoutSetuid(describeTree(dir)));
      expect(statSync(sandbox.at("out/hard")).ino).toBe(statSync(sandbox.at("out/deep/file")).ino);
      expect(statSync(sandbox.at("out/sparse")).blocks).toBeLessThan(100);
    },
  );

  testWith(programs("tar", "setfattr", "getfattr"))(
    "llmfs import reads the archives of tar and our own, with times and attributes",
    async () => {
      const dir = makeDirectory();
      Bun.spawnSync(["rm", join(dir, "sparse")]);
      Bun.spawnSync(["tar", "--format=posix", "--xattrs", "-czf", "theirs.tgz", "-C", "dir", "deep", "hard", "soft"], {
        cwd: sandbox.path,
      });
      expect((await run("import", "theirs.tgz", "new.json/below")).status).toBe(0);
      expect((await run("ls", "new.json/below")).stdout).toBe("deep/\nhard\nsoft\n");
      expect((await run("cat", "new.json/below/soft")).stdout).toBe("content");
      expect((await run("import", "--json", "dir", "own.json")).status).toBe(0);
      expect((await run("export", "own.json", "own.tar")).status).toBe(0);
      const imported = await run("import", "--json", "own.tar", "back.json");
      expect(documented("import", imported.stdout)).toEqual({ target: sandbox.at("back.json"), entries: 6 });
      expect(readFileSync(sandbox.at("back.json"), "utf8")).toBe(readFileSync(sandbox.at("own.json"), "utf8"));
    },
  );

  test("changes of a snapshot keep the times that it contains", async () => {
    const dir = makeDirectory();
    expect((await run("import", "dir", "new.json")).status).toBe(0);
    const { status } = await sandbox.llmfs(["write", "new.json/own"], { program: BINARY, stdin: "own" });
    expect(status).toBe(0);
    expect((await run("export", "new.json", "out")).status).toBe(0);
    Bun.spawnSync(["rm", sandbox.at("out/own")]);
    expect(describeTree(sandbox.at("out"))).toBe(withoutSetuid(describeTree(dir)));
    // An entry without a time gets that of loading.
    expect(readFileSync(sandbox.at("new.json"), "utf8")).toMatch(
      /"path": "\/own", "type": "file", "mode": "0644", "text"/,
    );
  });

  test("an archive or a directory with control files is imported without them", async () => {
    const dir = sandbox.directory("dir");
    mkdirSync(join(dir, ".llmfs"));
    writeFileSync(join(dir, ".llmfs/status.json"), "{}");
    writeFileSync(join(dir, "a"), "a");
    Bun.spawnSync(["tar", "cf", "dir.tar", "-C", "dir", "."], { cwd: sandbox.path });
    for (const source of ["dir", "dir.tar"]) {
      const { status, stderr } = await run("import", source, "new.json");
      expect([status, stderr]).toEqual([
        0,
        expect.stringContaining("because a mount has its control files under this name"),
      ]);
      expect((await run("ls", "new.json")).stdout).toBe("a\n");
    }
  });

  test("llmfs import replaces existing files of the same name, and everything else stays", async () => {
    const dir = sandbox.directory("dir");
    writeFileSync(join(dir, "a.md"), "mine");
    const { status, stderr } = await run("import", "dir", "tree.json");
    expect([status, stderr]).toEqual([0, "imported 1 entry\n"]);
    expect((await run("cat", "tree.json/a.md")).stdout).toBe("mine");
    expect((await run("ls", "tree.json/src")).stdout).toBe("b.md\nc.md\n");
  });

  test("llmfs import refuses a zip archive on standard input, and a hostile one, and changes nothing", async () => {
    mkdirSync(sandbox.at("plain/xx"), { recursive: true });
    writeFileSync(sandbox.at("plain/xx/evil"), "x");
    expect((await run("import", "plain", "plain.json")).status).toBe(0);
    expect((await run("export", "plain.json", "plain.zip")).status).toBe(0);
    const bytes = readFileSync(sandbox.at("plain.zip"));
    const piped = Bun.spawnSync([...BINARY, "import", "-", "piped.json"], {
      cwd: sandbox.path,
      env: sandbox.environment(),
      stdin: bytes,
    });
    expect([piped.exitCode, existsSync(sandbox.at("piped.json"))]).toEqual([84, false]);
    expect(piped.stderr.toString()).toContain(
      "-: it is a zip archive, whose directory is at its end, so it must be a file",
    );
    writeFileSync(sandbox.at("bad.zip"), Buffer.from(bytes.toString("latin1").replaceAll("xx/", "../"), "latin1"));
    const before = readFileSync(sandbox.at("tree.json"), "utf8");
    const { status, stderr } = await run("import", "bad.zip", "tree.json");
    expect([status, stderr]).toEqual([84, expect.stringContaining("leads out of the archive")]);
    expect(readFileSync(sandbox.at("tree.json"), "utf8")).toBe(before);
  });

  test("llmfs import of a hostile or damaged archive changes nothing", async () => {
    const before = readFileSync(sandbox.at("tree.json"), "utf8");
    const tar = (script: string) =>
      Bun.spawnSync(["python3", "-c", `import tarfile,io\nt=tarfile.open("bad.tar","w")\n${script}\nt.close()`], {
        cwd: sandbox.path,
      });
    const file = (name: string) => `i=tarfile.TarInfo(${JSON.stringify(name)});i.size=1;t.addfile(i,io.BytesIO(b"x"))`;
    tar(file("../evil"));
    expect(await run("import", "bad.tar", "tree.json")).toMatchObject({
      status: 84,
      stderr: expect.stringContaining("../evil leads out of the archive"),
    });
    tar(`i=tarfile.TarInfo("s");i.type=tarfile.SYMTYPE;i.linkname="/etc";t.addfile(i)\n${file("s/passwd")}`);
    expect(await run("import", "bad.tar", "tree.json")).toMatchObject({
      status: 84,
      stderr: expect.stringContaining("is not a directory"),
    });
    writeFileSync(sandbox.at("noise.tar"), Buffer.alloc(2048, 7));
    expect((await run("import", "noise.tar", "tree.json")).status).toBe(84);
    expect((await run("import", "missing", "tree.json")).status).toBe(84);
    expect(readFileSync(sandbox.at("tree.json"), "utf8")).toBe(before);
  });
});

describe("llmfs run --no-mount", () => {
  test("run --no-mount runs the command on generated files, saves its changes, and returns its exit status", async () => {
    const script = "pwd; cat a.md; echo new > new; rm src/b.md; echo more >> src/c.md; chmod 755 a.md; exit 7";
    const { status, stdout } = await run(
      "run",
      "--no-mount",
      ...model(),
      "--from",
      "tree.json",
      "--save",
      "saved.json",
      "--",
      "sh",
      "-c",
      script,
    );
    expect(status).toBe(7);
    const [folder = "", ...content] = stdout.split("\n");
    expect(content.join("\n")).toBe(contentOf("a.md"));
    expect(existsSync(folder)).toBe(false);
    const entries = documented("tree", (await run("tree", "--json", "saved.json")).stdout);
    const states = Object.fromEntries(
      entries.map(({ path, state, mode }: Record<string, string>) => [path, `${state ?? "-"} ${mode}`]),
    );
    expect(states).toEqual({
      "/a.md": "ready 0755",
      "/new": "static 0644",
      "/src": "- 0755",
      "/src/c.md": "static 0644",
    });
  });

  test("run --no-mount --only leaves other files pending and out of the folder", async () => {
    const { status, stdout } = await run(
      "run",
      "--no-mount",
      ...model(),
      "--from",
      "tree.json",
      "--only",
      "src/b.md",
      "--save",
      "saved.json",
      "--",
      "find",
      ".",
      "-type",
      "f",
    );
    expect([status, stdout]).toEqual([0, "./src/b.md\n"]);
    expect((await run("ls", "-l", "saved.json/src")).stdout).toMatch(/ready.*b\.md\n.*pending.*c\.md\n/);
  });

  test("run --no-mount without --save says that changes are lost, if there are any", async () => {
    const lost = await run("run", "--no-mount", "--", "touch", "x");
    expect([lost.status, lost.stderr]).toEqual([
      0,
      "1 change in the tree will be lost; to keep changes, use --save FILE\n",
    ]);
    expect(await run("run", "--no-mount", "--", "true")).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test("run --no-mount does not start the command if a file cannot be generated", async () => {
    refused = "a.md";
    const { status, stdout, stderr } = await run(
      "run",
      "--no-mount",
      ...model(),
      "--from",
      "tree.json",
      "--",
      "echo",
      "x",
    );
    expect([status, stdout]).toEqual([90, ""]);
    expect(stderr).toContain("failed: /a.md: EIO");
  });

  test("run --no-mount has the exit statuses of run: not found, not executable, ended by a signal, failed save", async () => {
    const status = async (...args: string[]) => (await run("run", "--no-mount", ...args)).status;
    expect(await status("--", "no-such-program")).toBe(127);
    expect(await status("--", "/dev/null")).toBe(126);
    expect(await status("--", "sh", "-c", "kill -TERM $$")).toBe(143);
    expect(await status("--read-only", "--", "true")).toBe(2);
    expect(await status("--save", "no/such/folder.json", "--", "true")).toBe(89);
    expect((await run("run", "--only", "x", "--", "true")).status).toBe(2);
  });

  test("run --no-mount removes its folder even if the command made it inaccessible", async () => {
    const { stdout } = await run("run", "--no-mount", "--", "sh", "-c", "pwd; mkdir -p x/y; chmod 0 x");
    expect(existsSync(stdout.trim())).toBe(false);
  });
});

test("run --no-mount keeps what the command made inaccessible", async () => {
  // As an ordinary user, for whom permissions count.
  await using user = await ordinary([]);
  const { sandbox: own } = user.mounted;
  const script = "mkdir -p x/y; echo deep > x/y/file; chmod 0 x/y; chmod 500 x; echo secret > z; chmod 0 z";
  const save = ["--save", "saved.json"];
  expect(await user.llmfs(["run", "--no-mount", ...save, "--", "sh", "-c", script])).toMatchObject({ status: 0 });
  const again = ["run", "--no-mount", "--from", "saved.json", ...save, "--", "stat", "-c", "%n %a", "x", "x/y", "z"];
  expect(await user.llmfs(again)).toMatchObject({ status: 0, stdout: "x 500\nx/y 0\nz 0\n" });
  for (const [path, content] of [
    ["x/y/file", "deep\n"],
    ["z", "secret\n"],
  ]) {
    expect((await user.llmfs(["cat", `saved.json/${path}`])).stdout).toBe(content ?? "");
  }
  expect(existsSync(own.at("saved.json"))).toBe(true);
});

describeMounted("files of a mount", () => {
  test("import into a full mount leaves no part of a file", async () => {
    await using m = await mounted({ args: ["--size", "1M"] });
    const dir = m.sandbox.directory("dir");
    mkdirSync(join(dir, ".llmfs"));
    writeFileSync(join(dir, ".llmfs/status.json"), "{}");
    writeFileSync(join(dir, "large"), Buffer.alloc(3 << 20, "x"));
    const imported = () => m.sandbox.llmfs(["import", dir, m.dir], { program: BINARY });
    expect(await imported()).toMatchObject({
      status: 89,
      stderr: expect.stringMatching(/control files under this name\nllmfs: .*large cannot be written: .*No space left/),
    });
    expect(readdirSync(m.dir)).toEqual([]);
  });

  test("cat, ls, write, export and import accept any path in a mount", async () => {
    await using m = await mounted({ pending: ["a.md", "src/b.md", "src/c.md"] });
    const at = (...args: string[]) => m.sandbox.llmfs(args, { program: BINARY, cwd: join(m.dir, "src") });
    expect((await at("cat", "b.md")).stdout).toBe(contentOf("src/b.md"));
    expect((await at("cat", "../nothing")).status).toBe(84);
    expect((await at("ls")).stdout).toBe("b.md\nc.md\n");
    expect(await m.sandbox.llmfs(["write", join(m.dir, "own")], { program: BINARY, stdin: "own" })).toMatchObject({
      status: 0,
    });
    const out = m.sandbox.at("out");
    expect((await at("export", out)).status).toBe(0);
    expect(readdirSync(out)).toEqual(["b.md", "c.md"]);
    utimesSync(join(m.dir, "own"), 1_000_000_000, 1_000_000_000);
    expect((await at("export", "--pending", "skip", m.dir, m.sandbox.at("all"))).status).toBe(0);
    expect(readdirSync(m.sandbox.at("all")).sort()).toEqual(["own", "src"]);
    expect(lstatSync(m.sandbox.at("all/own")).mtimeMs).toBe(1_000_000_000_000);
    const inside = await at("export", "--pending", "skip", join(m.dir, "more"));
    expect([inside.status, inside.stderr]).toEqual([2, expect.stringContaining("is inside the llmfs mount at")]);
    symlinkSync("here", m.sandbox.at("all/link"));
    expect((await at("import", m.sandbox.at("all"), join(m.dir, "copy"))).status).toBe(0);
    expect(readlinkSync(join(m.dir, "copy/link"))).toBe("here");
    expect(readFileSync(join(m.dir, "copy/src/c.md"), "utf8")).toBe(contentOf("src/c.md"));
    expect(m.asked("a.md")).toBe(0);
    expect((await at("import", m.dir, m.sandbox.at("x.json"))).status).toBe(84);
  });

  test("a snapshot to which a mount saves its tree is changed through the mount only", async () => {
    await using mount = await mounted({ args: ["--save", "saved.json"] });
    writeFileSync(mount.sandbox.at("saved.json"), snapshotOf([]));
    mount.sandbox.directory("more");
    for (const args of [
      ["write", "saved.json/b.md"],
      ["import", "more", "saved.json/"],
      ["mcp", "saved.json"],
    ]) {
      const { status, stderr } = await mount.sandbox.llmfs(args, { program: BINARY });
      expect([args[0], status, stderr]).toEqual([
        args[0],
        89,
        expect.stringContaining(`the mount at ${mount.dir} saves`),
      ]);
    }
  });

  test("cat reports why a file cannot be generated", async () => {
    await using m = await mounted({
      pending: ["a.md"],
      answer: () => ({ status: 400, body: { error: { message: "no!" } } }),
    });
    const { status, stderr } = await m.sandbox.llmfs(["cat", join(m.dir, "a.md")], { program: BINARY });
    expect([status, stderr]).toEqual([90, expect.stringContaining("no!")]);
  });
});
