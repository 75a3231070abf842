/** A tree from a prompt, and model answers that would do harm. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { EXIT } from "../../src/cli/output/exit-codes.ts";
import { contentOf, describeMounted, type FileAnswer, pathOf, unmounted } from "../support/mounted.ts";
import { BINARY, mountedType } from "../support/program.ts";

setDefaultTimeout(30_000);

const TREE = {
  directories: [{ path: "src", description: "the code", prompt: "Write C." }],
  files: [
    { path: "README.md", description: "what it is" },
    { path: "src/main.c", description: "the program" },
    { path: "src/deep/er/util.h", description: "helpers" },
    { path: "__proto__", description: "a name like any other" },
    { path: "with blank é 🎉.txt", description: "" },
  ],
  symlinks: [{ path: "docs", target: "README.md" }],
  unfinished: [],
};

describeMounted("mount --prompt", () => {
  test("mount --prompt proposes the tree with one request, and looking at the tree causes no more", async () => {
    await using m = await unmounted();
    m.tree = { whole: JSON.stringify(TREE) };
    await m.mount(["--prompt", "a small C project", ...m.modelArgs()]);
    expect(await m.out("find . | sort")).toBe(
      [
        ".",
        "./README.md",
        "./__proto__",
        "./docs",
        "./src",
        "./src/deep",
        "./src/deep/er",
        "./src/deep/er/util.h",
        "./src/main.c",
        "./with blank é 🎉.txt",
        "",
      ].join("\n"),
    );
    await m.out("ls -lR; du -a; stat src/main.c; getfattr -R -d .");
    expect(await m.xattr("src/main.c", "description")).toBe("the program");
    expect(m.server.requests.length).toBe(1);
    expect(await m.out("cat docs src/main.c")).toBe(contentOf("README.md") + contentOf("src/main.c"));
    expect(m.server.requests.length).toBe(3);
    const sent = JSON.stringify(m.server.received(2).body);
    for (const words of ["a small C project", "Write C.", "the program", "util.h"]) expect(sent).toContain(words);
  });

  test("mount --prompt closes standard error when the mount is ready, even if it printed progress before", async () => {
    await using m = await unmounted();
    m.tree = { whole: JSON.stringify(TREE) };
    const child = m.sandbox.start(["mount", m.dir, "--prompt", "a site", ...m.modelArgs()], { program: BINARY });
    // The pipe ends with its last writer, which must not be the background process.
    expect(await new Response(child.stderr).text()).toContain("laying out the tree");
    expect(mountedType(m.dir)).toBe("fuse.llmfs");
  });

  test("mount --prompt works with a server that streams, puts JSON into a code block and adds text around it", async () => {
    await using m = await unmounted();
    m.tree = { stream: ["Here you are:\n```json\n", JSON.stringify(TREE, null, 2), "\n```\nEnjoy!"] };
    await m.mount(["--prompt", "a small C project", ...m.modelArgs()]);
    expect(await m.out("cat src/main.c")).toBe(contentOf("src/main.c"));
  });
});

/** A small project whose files are written from each other, with uses that the last answer still has wrong. */
const PROJECT = {
  files: [
    { path: "count.py", description: "counts lines", uses: [] },
    { path: "tests/test_count.py", description: "tests it", uses: ["./count.py", "missing.py"] },
    { path: "run-tests", description: "runs the tests", uses: ["tests/"] },
    { path: "README.md", description: "what it is", uses: ["count.py", "README.md"] },
    { path: "hello", description: "a script that the layout does not list", uses: [] },
  ],
  executable: ["run-tests"],
};

describeMounted("files that a layout writes from each other", () => {
  const script: FileAnswer = (path) => ({
    stream: path === "run-tests" || path === "hello" ? `#!/bin/sh\necho "$0 runs"\n` : contentOf(path),
  });

  test("a layout's uses are attributes that can be read, edited and saved, and decide what is generated first", async () => {
    await using m = await unmounted(script);
    m.tree = { whole: JSON.stringify({ tree: PROJECT }) };
    await m.mount(["--prompt", "a counter", "--save", m.sandbox.at("saved.json"), ...m.modelArgs()]);
    expect(m.server.requests.length).toBe(3);
    const corrections = JSON.stringify(m.server.received(2).body);
    for (const words of ["missing.py", "which is not in the tree", "uses itself"]) expect(corrections).toContain(words);
    expect(await m.xattr("tests/test_count.py", "depends")).toBe("/count.py");
    expect(await m.xattr("run-tests", "depends")).toBe("/tests/test_count.py");
    expect(await m.xattr("README.md", "depends")).toBe("/count.py");
    await m.out("setfattr -n user.llmfs.depends -v /count.py hello");
    await m.out("cat tests/test_count.py");
    const written = m.server.requests.slice(3).map((request) => pathOf(request));
    expect(written).toEqual(["count.py", "tests/test_count.py"]);
    expect(JSON.stringify(m.server.received(4).body)).toContain("again: content of count.py");
    await m.unmount();
    const saved = JSON.parse(readFileSync(m.sandbox.at("saved.json"), "utf8"));
    const depends = (path: string) =>
      saved.entries.find((entry: { path: string }) => entry.path === path).xattrs["user.llmfs.depends"];
    expect([depends("/hello"), depends("/run-tests")]).toEqual(["/count.py", "/tests/test_count.py"]);
  });

  test("hostile uses are sent back twice, and then left out with warnings", async () => {
    await using m = await unmounted(script);
    const many = Array.from({ length: 10_000 }, (_, index) => `f${index}`);
    m.tree = {
      whole: JSON.stringify({
        files: [
          { path: "a", description: "in a cycle", uses: ["b", "../../../etc/passwd", ".llmfs/status.json"] },
          { path: "b", description: "in a cycle", uses: ["a"] },
          { path: "c", description: "uses everything", uses: many },
        ],
      }),
    };
    const args = ["mount", m.dir, "--prompt", "a trap", ...m.modelArgs()];
    const { status, stderr } = await m.sandbox.llmfs(args, { program: BINARY });
    expect([status, m.server.requests.length]).toEqual([0, 3]);
    const correction = m.server.received(2).body.messages.at(-1).content;
    expect(correction).toContain('first: "a" → "b" → "a"; leave out one of these uses');
    for (const words of ["../../../etc/passwd", ".llmfs/status.json", "c"]) expect(stderr).toContain(`"${words}"`);
    expect(stderr.length).toBeLessThan(5000);
    expect(await m.out("cat a b c")).toBe(contentOf("a") + contentOf("b") + contentOf("c"));
    const depends = await m.out("for f in a b c; do getfattr --only-values -n user.llmfs.depends $f 2>&1; echo; done");
    expect(depends).toMatch(
      /^(a: .*No such attribute\s+\/a\s+|\/b\s+b: .*No such attribute\s+)c: .*No such attribute\s*$/,
    );
  });

  test("a script that the layout lists can be run at once, and any other once it has been generated", async () => {
    await using m = await unmounted(script);
    m.tree = { whole: JSON.stringify(PROJECT) };
    await m.mount(["--prompt", "a counter", "--save", m.sandbox.at("saved.json"), ...m.modelArgs()]);
    expect(await m.out("stat -c %a run-tests hello")).toBe("755\n644\n");
    expect(await m.out("./run-tests")).toBe("./run-tests runs\n");
    expect(await m.out("test -x hello; echo $?; cat hello >/dev/null; test -x hello; echo $?; ./hello")).toBe(
      "1\n0\n./hello runs\n",
    );
    expect(await m.out("stat -c %a hello")).toBe("755\n");
    await m.unmount();
    expect(readFileSync(m.sandbox.at("saved.json"), "utf8")).toMatch(
      /"path": "\/hello", "type": "file", "mode": "0755"/,
    );
  });
});

const file = (path: string) => ({ files: [{ path, description: "" }] });
const broken = JSON.stringify(TREE).slice(0, -30);

/** The name of the case, the model's answer, and a part of the error message. */
const HOSTILE: readonly (readonly [string, string, string])[] = [
  ["a path that leaves the tree", JSON.stringify(file("../../etc/llmfs-was-here")), '"." and ".."'],
  ["a path that leaves it in the middle", JSON.stringify(file("a/../../../tmp/llmfs-was-here")), '"." and ".."'],
  ["an absolute path that leaves the tree", JSON.stringify(file("/../etc/llmfs-was-here")), '"." and ".."'],
  ["a NUL", JSON.stringify(file("a\0b")), "U+0000"],
  ["a newline", JSON.stringify(file("a\nb")), "U+000A"],
  ["a name of 256 bytes", JSON.stringify(file("n".repeat(256))), "longer than 255 bytes"],
  ["half a character", JSON.stringify(file("\ud800")), "UTF-8"],
  ["an empty name", JSON.stringify(file("a//b")), "empty"],
  ["the control directory", JSON.stringify(file(".llmfs/status.json")), "reserved"],
  [
    "a hundred thousand files",
    JSON.stringify({ files: Array.from({ length: 100_000 }, (_, index) => ({ path: `f${index}`, description: "" })) }),
    "at most 10000",
  ],
  ["a path a thousand deep", JSON.stringify(file(`${"a/".repeat(1000)}f`)), "levels deep"],
  [
    "a file that is a directory too",
    JSON.stringify({
      files: [
        { path: "a", description: "" },
        { path: "a/b", description: "" },
      ],
    }),
    "cannot be in it",
  ],
  [
    "a path twice",
    JSON.stringify({
      files: [
        { path: "a", description: "" },
        { path: "a", description: "" },
      ],
    }),
    "more than once",
  ],
  [
    "a symlink out of the tree",
    JSON.stringify({
      files: [{ path: "a", description: "" }],
      symlinks: [{ path: "l", target: "../../../etc/passwd" }],
    }),
    "symlink",
  ],
  [
    "an absolute symlink",
    JSON.stringify({ files: [{ path: "a", description: "" }], symlinks: [{ path: "l", target: "/etc/passwd" }] }),
    "symlink",
  ],
  [
    "a file through a symlink",
    JSON.stringify({ files: [{ path: "l/a", description: "" }], symlinks: [{ path: "l", target: "." }] }),
    "cannot be in it",
  ],
  ["no files", JSON.stringify({ files: [] }), "empty"],
  ["another JSON structure", JSON.stringify([1, 2, 3]), "not a JSON object"],
  ["a list of the wrong type", JSON.stringify({ files: "many" }), "not a list"],
  ["no JSON", "I cannot do that, Dave.", "not JSON"],
  ["only half of its JSON", broken, "not JSON"],
  ["JSON of a million brackets", "[".repeat(1_000_000), "JSON"],
];

describeMounted("a model's layout", () => {
  test.each(HOSTILE)(
    "a model whose layout has %s is asked to correct it, and then nothing is mounted",
    async (_, answer, told) => {
      await using m = await unmounted();
      m.tree = { whole: answer };
      const before = readdirSync("/etc").concat(readdirSync("/tmp"), readdirSync("/"));
      const { status, stdout, stderr } = await m.sandbox.llmfs(
        ["mount", m.dir, "--prompt", "a site", "--mode", "off", ...m.modelArgs()],
        {
          program: BINARY,
        },
      );
      expect([status, stdout]).toEqual([EXIT.answer.code, ""]);
      expect(stderr).toContain(told);
      expect(stderr.length).toBeLessThan(10_000);
      expect([mountedType(m.dir), readdirSync(m.dir)]).toEqual([undefined, []]);
      const after = readdirSync("/etc").concat(readdirSync("/tmp"), readdirSync("/"));
      expect(after.filter((name) => name.includes("was-here"))).toEqual(
        before.filter((name) => name.includes("was-here")),
      );
      // One request, and two more that say what was wrong.
      expect(m.server.requests.length).toBe(3);
    },
  );

  test("a model whose layout was useless is asked again the next time, and its good answer is recorded", async () => {
    await using m = await unmounted();
    m.tree = { whole: "no tree at all" };
    const again = () => m.sandbox.llmfs(["mount", m.dir, "--prompt", "a site", ...m.modelArgs()], { program: BINARY });
    expect((await again()).status).toBe(EXIT.answer.code);
    m.tree = { whole: JSON.stringify(TREE) };
    expect((await again()).status).toBe(0);
    await m.unmount();
    const asked = m.server.requests.length;
    expect((await again()).status).toBe(0);
    expect(m.server.requests.length).toBe(asked);
  });

  test("a layout that is first invalid and valid after a correction is mounted", async () => {
    await using m = await unmounted();
    let answers = 0;
    m.tree = () => ({ whole: JSON.stringify(answers++ === 0 ? file("../x") : TREE) });
    await m.mount(["--prompt", "a site", ...m.modelArgs()]);
    expect(await m.out("ls")).toContain("README.md");
    expect(JSON.stringify(m.server.received(1).body)).toContain("That answer cannot be used");
  });

  test("a layout request with a cut connection is sent again, and one that is never answered ends with --timeout", async () => {
    await using m = await unmounted();
    m.server.script({ hang: true });
    const { status, stderr } = await m.sandbox.llmfs(
      ["mount", m.dir, "--prompt", "a site", "--timeout", "300ms", ...m.modelArgs()],
      { program: BINARY },
    );
    expect([status, mountedType(m.dir)]).toEqual([EXIT.model.code, undefined]);
    expect(stderr).toContain("0.3 s");
  });
});
