/** `llmfs grow`, and `--grow` of `mount` and `run`: more files for a tree that exists, with the compiled binary. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EXIT } from "../../src/cli/output/exit-codes.ts";
import { documented } from "../support/json-shapes.ts";
import {
  contentOf,
  describeMounted,
  type Mounted,
  mounted,
  pathOf,
  snapshotOf,
  unmounted,
} from "../support/mounted.ts";
import { testWith } from "../support/needs.ts";
import type { ReceivedRequest } from "../support/openai-server.ts";
import { BINARY, mountedType } from "../support/program.ts";

setDefaultTimeout(120_000);

const ROOT = join(import.meta.dir, "../..");

interface ProposedFile {
  readonly path: string;
  readonly description?: string;
  readonly uses?: readonly string[];
}

const proposal = (files: readonly ProposedFile[], more: object = {}) => ({
  whole: JSON.stringify({ files, directories: [], symlinks: [], executable: [], unfinished: [], ...more }),
});

const ONE_TEST = proposal([{ path: "tests/test_a.py", description: "tests of a", uses: ["src/a.py"] }]);

const llmfs = (m: Mounted, ...args: string[]) => m.sandbox.llmfs(args, { program: BINARY });

/** What the server was sent in the request of this index. */
function sent(m: Mounted, index: number): string {
  return m.server.received(index).body.messages.at(-1).content;
}

describeMounted("llmfs grow", () => {
  test("llmfs grow adds pending files that are generated with the files that they use in view", async () => {
    await using m = await mounted({ pending: ["/src/a.py"] });
    await m.out("echo 'def mine(): pass' > src/b.py; mkdir empty");
    m.tree = proposal([
      { path: "tests/test_a.py", description: "tests of a", uses: ["src/a.py"] },
      { path: "tests/test_b.py", description: "tests of b", uses: ["src/b.py"] },
    ]);
    const before = await m.out("find . | sort");
    const done = await llmfs(m, "grow", "mnt", "--prompt", "pytest tests for every module");
    expect(done).toMatchObject({
      status: 0,
      stdout: "/tests/test_a.py  tests of a (uses /src/a.py)\n/tests/test_b.py  tests of b (uses /src/b.py)\n",
    });
    expect(done.stderr).toContain("added 2 files and 1 directory");
    expect(sent(m, 0)).toContain("def mine()");
    expect(await m.out("find . -path ./tests -prune -o -print | sort")).toBe(before);
    expect(await m.xattr("tests/test_a.py", "depends")).toBe("/src/a.py");
    expect(await m.xattr("tests", "prompt")).toBe("pytest tests for every module");
    expect(await m.out("stat -c %b tests/test_a.py")).toBe("0\n");
    expect(m.server.requests).toHaveLength(1);
    expect(await m.out("cat tests/test_a.py")).toBe(contentOf("tests/test_a.py"));
    expect(m.server.requests).toHaveLength(3);
    for (const words of ["pytest tests for every module", "content of src/a.py"]) expect(sent(m, 2)).toContain(words);
  });

  test("llmfs grow --dry-run lists the files and changes nothing, and adding them then costs nothing", async () => {
    await using m = await mounted({ pending: ["/src/a.py"] });
    m.tree = ONE_TEST;
    const saved = await m.out("cat .llmfs/snapshot.json");
    const dry = await llmfs(m, "grow", "mnt", "--prompt", "tests, please", "--dry-run");
    expect(dry).toMatchObject({ status: 0, stdout: "/tests/test_a.py  tests of a (uses /src/a.py)\n" });
    expect(await m.out("cat .llmfs/snapshot.json")).toBe(saved);
    const done = await llmfs(m, "grow", "mnt", "--prompt", "tests, please", "--json");
    expect(documented("grow", done.stdout)).toMatchObject({
      added: true,
      clashes: [],
      requests: 1,
      entries: [{ path: "/tests" }, { path: "/tests/test_a.py", uses: ["/src/a.py"] }],
    });
    expect(await m.out("ls tests")).toBe("test_a.py\n");
    expect(m.server.requests).toHaveLength(1);
  });

  test("llmfs grow extends the named directory, or the current one, from any path below the mount", async () => {
    await using m = await mounted({ pending: ["/src/a.py"] });
    await m.out("mkdir -p tests/unit");
    m.tree = proposal([{ path: "tests/unit/test_a.py", uses: ["src/a.py"] }]);
    const here = await m.sandbox.llmfs(["grow", "--prompt", "unit tests"], {
      program: BINARY,
      cwd: `${m.dir}/tests/unit`,
    });
    expect(here).toMatchObject({ status: 0, stdout: "/tests/unit/test_a.py (uses /src/a.py)\n" });
    expect(sent(m, 0)).toContain('Every path begins with "tests/unit/"');
    // The instruction is the file's own, because its directory existed.
    expect(await m.xattr("tests/unit/test_a.py", "prompt")).toBe("unit tests");
    m.tree = proposal([{ path: "docs/new/guide.md" }]);
    expect(await llmfs(m, "grow", "mnt/docs/new", "--prompt", "a guide")).toMatchObject({ status: 0 });
    expect(await m.out("ls docs/new")).toBe("guide.md\n");
    const file = await llmfs(m, "grow", "mnt/docs/new/guide.md", "--prompt", "a guide");
    expect(file).toMatchObject({ status: EXIT.failure.code });
    expect(file.stderr).toContain("/docs/new/guide.md: not a directory");
  });

  test("llmfs grow reports existing files, leaves them as they are, and adds the rest", async () => {
    await using m = await mounted({ pending: ["/src/a.py"] });
    await m.out("echo mine > README.md; echo '.secret' > .gitignore; echo x > .secret");
    m.tree = proposal([
      { path: "README.md", description: "theirs" },
      { path: "src/a.py", description: "theirs" },
      { path: ".secret", description: "theirs" },
      { path: "new.py", description: "new" },
    ]);
    const done = await llmfs(m, "grow", "mnt", "--prompt", "all again");
    expect(done).toMatchObject({ status: EXIT.incomplete.code, stdout: "/new.py  new\n" });
    for (const path of ["/README.md", "/src/a.py", "/.secret"]) {
      expect(done.stderr).toContain(`left out: ${path} exists already, and was left as it is`);
    }
    expect(await m.out("cat README.md .secret; ls; stat -c %b src/a.py")).toBe("mine\nx\nREADME.md\nnew.py\nsrc\n0\n");
    expect(await m.sh("getfattr -n user.llmfs.description src/a.py")).toMatchObject({ status: 1 });
  });

  test("llmfs grow adds nothing if the model proposes only invalid or existing files", async () => {
    await using m = await mounted({ pending: ["/src/a.py"] });
    const saved = await m.out("cat .llmfs/snapshot.json");
    const refused = async (files: readonly ProposedFile[], problem: string) => {
      m.tree = proposal(files);
      const done = await llmfs(m, "grow", "mnt", "--prompt", "some tests");
      expect(done).toMatchObject({ status: EXIT.answer.code, stdout: "" });
      expect(done.stderr).toContain(problem);
      expect(await m.out("cat .llmfs/snapshot.json")).toBe(saved);
    };
    await refused([{ path: "ok.py" }, { path: "../escape.py" }], '"." and ".." are not allowed');
    await refused([{ path: "ok.py" }, { path: "src/a.py/below.py" }], "is a file");
    await refused([{ path: "ok.py" }, { path: ".llmfs/x" }], "reserved");
    await refused([{ path: "src/a.py" }], "proposed only what exists already (src/a.py)");
  });

  test("llmfs grow, when cancelled, leaves the tree as it was and cancels the request", async () => {
    await using m = await mounted({ pending: ["/src/a.py"] });
    m.tree = { hang: true };
    const child = m.sandbox.start(["grow", "mnt", "--prompt", "some tests"], { program: BINARY });
    const { disconnected } = await m.server.request(0);
    child.kill("SIGINT");
    await disconnected;
    expect(await child.exited).toBe(130);
    expect(await new Response(child.stderr).text()).toContain("cancelled; nothing was added");
    expect(await m.out("ls")).toBe("src\n");
    // A program that is killed sends no more requests either.
    const killed = m.sandbox.start(["grow", "mnt", "--prompt", "other tests"], { program: BINARY });
    const second = await m.server.request(1);
    killed.kill("SIGKILL");
    await second.disconnected;
    expect(await m.out("ls")).toBe("src\n");
  });

  test("llmfs grow respects the mount's budget, and fails with the status of the model's failure", async () => {
    await using m = await mounted({ pending: ["/a", "/b"], args: ["--max-calls", "1"] });
    m.tree = ONE_TEST;
    await m.out("cat a");
    const spent = await llmfs(m, "grow", "mnt", "--prompt", "some tests");
    expect(spent).toMatchObject({ status: EXIT.model.code, stdout: "" });
    expect(spent.stderr).toContain("--max-calls");
    expect(m.server.requests).toHaveLength(1);
  });

  test("llmfs grow is replayed from recordings, and fails without one", async () => {
    await using m = await mounted({ pending: ["/src/a.py"], args: ["--recordings", "recorded"] });
    m.tree = ONE_TEST;
    const read = "cat src/a.py";
    await m.out(read);
    expect(await llmfs(m, "grow", "mnt", "--prompt", "some tests")).toMatchObject({ status: 0 });
    const content = await m.out("cat tests/test_a.py");
    await m.unmount();
    await m.mount(["--from", "from.json", "--recordings", "recorded", "--mode", "replay"]);
    const other = await llmfs(m, "grow", "mnt", "--prompt", "other tests");
    expect(other).toMatchObject({ status: EXIT.unrecorded.code });
    // Whether other files were generated before is not part of the request.
    expect(await llmfs(m, "grow", "mnt", "--prompt", "some tests", "--dry-run")).toMatchObject({ status: 0 });
    await m.out(read);
    expect(await llmfs(m, "grow", "mnt", "--prompt", "some tests")).toMatchObject({ status: 0 });
    expect(await m.out("cat tests/test_a.py")).toBe(content);
    expect(m.server.requests).toHaveLength(3);
  });

  test("llmfs grow checks its command line before it sends a request", async () => {
    await using m = await mounted({ pending: ["/a"], args: ["--read-only"] });
    const usage = async (problem: string, ...args: string[]) => {
      const done = await llmfs(m, "grow", ...args);
      expect(done).toMatchObject({ status: EXIT.usage.code });
      expect(done.stderr).toContain(problem);
    };
    await usage("--prompt is missing", "mnt");
    await usage("--model needs --from", "mnt", "--prompt", "some tests", "--model", "x");
    await usage("--output needs --from", "mnt", "--prompt", "some tests", "-o", "x.json");
    await usage(
      "--dry-run writes nothing",
      "--from",
      "from.json",
      "--prompt",
      "some tests",
      "--dry-run",
      "-o",
      "x.json",
    );
    const outside = await llmfs(m, "grow", ".", "--prompt", "some tests");
    expect(outside).toMatchObject({ status: EXIT.notMounted.code });
    const readOnly = await llmfs(m, "grow", "mnt", "--prompt", "some tests");
    expect(readOnly).toMatchObject({ status: EXIT.failure.code });
    expect(readOnly.stderr).toContain("the mount is read-only");
    expect(m.server.requests).toHaveLength(0);
  });
});

describeMounted("llmfs grow --from", () => {
  test("llmfs grow --from adds to a snapshot and changes no other line of it", async () => {
    await using m = await unmounted();
    m.tree = ONE_TEST;
    const before = snapshotOf(["/src/a.py"]).replace(
      '{"path": "/src/a.py"',
      '{"path": "/kept", "type": "file", "mode": "0644", "uid": 7, "gid": 8, "mtime": "12.5", "text": "x\\n"},\n    {"path": "/src/a.py"',
    );
    writeFileSync(m.sandbox.at("tree.json"), before);
    const grow = (...args: string[]) =>
      llmfs(m, "grow", "--from", "tree.json", ...m.modelArgs(), "--prompt", "some tests", ...args);
    const dry = await grow("--dry-run");
    expect(dry).toMatchObject({ status: 0, stdout: "/tests/test_a.py  tests of a (uses /src/a.py)\n" });
    expect(await grow("-o", "grown.json")).toMatchObject({ status: 0, stdout: dry.stdout });
    expect(await grow()).toMatchObject({ status: 0, stdout: readFileSync(m.sandbox.at("grown.json"), "utf8") });
    expect(m.server.requests).toHaveLength(1);
    await m.mount(["--from", "grown.json", ...m.modelArgs()]);
    expect(await m.out("cat kept; stat -c '%a %u %g' kept; ls tests")).toBe("x\n644 7 8\ntest_a.py\n");
    expect(await m.out("cat tests/test_a.py")).toBe(contentOf("tests/test_a.py"));
  });

  test("llmfs grow --from keeps a snapshot without owners and times as it is, line by line", async () => {
    await using m = await unmounted();
    m.tree = ONE_TEST;
    writeFileSync(m.sandbox.at("tree.json"), snapshotOf(["/src/a.py", "/zebra"]));
    const args = ["--from", "tree.json", ...m.modelArgs(), "--prompt", "some tests", "-o", "tree.json"];
    const before = readFileSync(m.sandbox.at("tree.json"), "utf8").split("\n");
    expect(await llmfs(m, "grow", ...args)).toMatchObject({ status: 0 });
    const after = readFileSync(m.sandbox.at("tree.json"), "utf8").split("\n");
    expect(before.filter((line) => !after.includes(line))).toEqual([]);
  });

  test("llmfs grow --from can extend a part of a copy of a directory", async () => {
    await using m = await unmounted();
    m.tree = ONE_TEST;
    mkdirSync(m.sandbox.at("repo/src"), { recursive: true });
    writeFileSync(m.sandbox.at("repo/src/a.py"), "def level(): return 1\n");
    const args = ["--from", "repo", ...m.modelArgs(), "--prompt", "some tests", "-o", "out.json"];
    expect(await llmfs(m, "grow", "tests", ...args)).toMatchObject({ status: 0 });
    expect(sent(m, 0)).toContain("def level()");
    expect(readdirSync(m.sandbox.at("repo"))).toEqual(["src"]);
    const { entries } = JSON.parse(readFileSync(m.sandbox.at("out.json"), "utf8"));
    expect(entries.map(({ path }: { path: string }) => path)).toEqual([
      "/",
      "/src",
      "/src/a.py",
      "/tests",
      "/tests/test_a.py",
    ]);
  });
});

describeMounted("--grow", () => {
  test("run --grow lays out tests for the code of a directory, and their requests contain the code", async () => {
    await using m = await unmounted((_, request) => ({ stream: shellTestOf(sentTo(request)) }));
    mkdirSync(m.sandbox.at("repo/lib"), { recursive: true });
    writeFileSync(m.sandbox.at("repo/lib/tide.sh"), 'high_water() {\n  echo "12:30 $1"\n}\n');
    m.tree = proposal([{ path: "tests/tide.test.sh", description: "tests of tide", uses: ["lib/tide.sh"] }]);
    const done = await llmfs(
      m,
      "run",
      ...["--from", "repo", "--grow", "sh tests for every script", ...m.modelArgs(), "--", "sh", "tests/tide.test.sh"],
    );
    expect(done).toMatchObject({ status: 0, stdout: "12:30 today\n" });
    expect(readdirSync(m.sandbox.at("repo"))).toEqual(["lib"]);
  });

  test("mount --grow adds the files before it returns, and reports existing files", async () => {
    await using m = await unmounted();
    writeFileSync(m.sandbox.at("from.json"), snapshotOf(["/src/a.py"]));
    m.tree = proposal([{ path: "tests/test_a.py", uses: ["src/a.py"] }, { path: "src/a.py" }]);
    const args = ["mount", "mnt", "--from", "from.json", "--grow", "some tests", "--read-only", ...m.modelArgs()];
    const done = await llmfs(m, ...args);
    expect(done).toMatchObject({ status: 0 });
    expect(done.stderr).toContain("warning: /src/a.py exists already, and was left as it is");
    expect(await m.out("find . -type f | sort")).toBe("./src/a.py\n./tests/test_a.py\n");
    expect(await m.out("cat tests/test_a.py")).toBe(contentOf("tests/test_a.py"));
  });

  test("--grow fails before anything is mounted if the files cannot be laid out", async () => {
    await using m = await unmounted();
    m.tree = proposal([{ path: "../x" }]);
    writeFileSync(m.sandbox.at("from.json"), snapshotOf(["/a"]));
    const done = await llmfs(m, "mount", "mnt", "--from", "from.json", "--grow", "more files", ...m.modelArgs());
    expect(done).toMatchObject({ status: EXIT.answer.code });
    expect(mountedType(m.dir)).toBeUndefined();
    const nothing = await llmfs(m, "mount", "mnt", "--grow", "more files", ...m.modelArgs());
    expect(nothing).toMatchObject({ status: EXIT.usage.code });
    expect(nothing.stderr).toContain("--grow adds to a tree");
  });

  test("--grow is replayed with the same bytes", async () => {
    await using m = await unmounted();
    m.tree = ONE_TEST;
    mkdirSync(m.sandbox.at("repo/src"), { recursive: true });
    writeFileSync(m.sandbox.at("repo/src/a.py"), "def level(): return 1\n");
    const run = (...args: string[]) =>
      llmfs(
        m,
        ...["run", "--from", "repo", "--grow", "some tests", "--recordings", "recorded", ...args],
        ...["--", "sh", "-c", "find . -type f | sort | xargs cat; find tests -printf '%T@ %m\\n'"],
      );
    const first = await run(...m.modelArgs());
    expect(first).toMatchObject({ status: 0, stdout: expect.stringContaining(contentOf("tests/test_a.py")) });
    const [one, two] = [await run("--mode", "replay"), await run("--mode", "replay")];
    expect(one.stdout).toContain(contentOf("tests/test_a.py"));
    expect(one).toEqual(two);
    expect(m.server.requests).toHaveLength(2);
  });

  const git = existsSync(join(ROOT, ".git")) ? undefined : "a checkout with its history";
  testWith(git)("--grow on a clone of this project adds tests whose requests contain the code", async () => {
    await using m = await unmounted((_, request) => ({ stream: bunTestOf(sentTo(request)) }));
    // The checkout may belong to another user.
    const clone = `git config --global safe.directory '*'; git clone -q --no-hardlinks file://${ROOT} clone`;
    expect(await m.sh(clone, m.sandbox.path)).toMatchObject({ status: 0 });
    const tests = ["text/trailing", "text/did-you-mean", "abort"];
    m.tree = proposal(tests.map((name) => ({ path: `test/grown/${name}.test.ts`, uses: [`src/${name}.ts`] })));
    const prompt = "bun tests for src/text/trailing.ts, src/text/did-you-mean.ts and src/abort.ts";
    const command = `${process.execPath} test test/grown && git status --porcelain`;
    const done = await llmfs(
      m,
      ...["run", "--from", "clone", "--grow", prompt, ...m.modelArgs(), "--warm", "--", "sh", "-c", command],
    );
    expect(done.stderr).toContain("3 pass");
    expect(done).toMatchObject({ status: 0, stdout: expect.stringContaining("?? test/grown/") });
    // The layout saw what the named files declare, and none of what is kept out.
    const layout = m.server.requests.find((request) => pathOf(request) === undefined);
    const shown = layout === undefined ? "" : sentTo(layout);
    expect(shown).toMatch(/export function withoutTrailing\(/);
    expect(shown).not.toContain("node_modules/");
  });
});

function sentTo({ body }: ReceivedRequest): string {
  return body.messages.at(-1).content;
}

/** A test that is written from nothing but the text of the request: it calls the first function that it finds there. */
function shellTestOf(text: string): string {
  const [, path, name] = /^(\S+\.sh) \([^\n]*\):\n\n```\n(\w+)\(\)/m.exec(text) ?? [];
  return `. ./${path}\n${name} today\n`;
}

function bunTestOf(text: string): string {
  const [, path = ""] = /^(src\/\S+\.ts) \(this file depends on it[^\n]*\):$/m.exec(text) ?? [];
  const names = [...text.slice(text.indexOf(`${path} (`)).matchAll(/^export (?:async )?function (\w+)/gm)];
  const target = /^Write the file (\S+)$/m.exec(text)?.[1] ?? "";
  const up = "../".repeat(target.split("/").length - 1);
  const name = names[0]?.[1];
  return `import { expect, test } from "bun:test";
import { ${name} } from "${up}${path}";

test("${name} is a function", () => {
  expect(${name}).toBeFunction();
});
`;
}
