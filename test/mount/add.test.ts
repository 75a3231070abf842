/** `llmfs add`: one pending file in a running mount. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { EXIT } from "../../src/cli/output/exit-codes.ts";
import { contentOf, describeMounted, mounted } from "../support/mounted.ts";
import { BINARY, eventually } from "../support/program.ts";

setDefaultTimeout(60_000);

describeMounted("llmfs add", () => {
  test("llmfs add creates a file that programs see at once and that is generated when it is read", async () => {
    await using m = await mounted({ pending: ["/src/a.c"] });
    const add = (...args: string[]) => m.sandbox.llmfs(["add", ...args], { program: BINARY });
    expect(existsSync(`${m.dir}/docs/deep/guide.md`)).toBe(false);
    const made = await add("mnt/docs/deep/guide.md", "how to use it", "-F", "Be brief.", "--depends", "mnt/src/a.c");
    expect(made).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(await m.out("stat -c '%F %b %a' docs/deep/guide.md")).toBe("regular file 0 644\n");
    expect(await m.xattr("docs/deep/guide.md", "description")).toBe("how to use it");
    expect(await m.xattr("docs/deep/guide.md", "depends")).toBe("/src/a.c");
    expect(m.server.requests).toHaveLength(0);
    expect(await m.out("cat docs/deep/guide.md")).toBe(contentOf("docs/deep/guide.md"));
    const sent = JSON.stringify(m.server.received(1).body);
    for (const words of ["how to use it", "Be brief.", "content of src/a.c"]) expect(sent).toContain(words);
  });

  test("dependencies follow renames of files and directories, and a removed one is left out with a warning", async () => {
    await using m = await mounted({ pending: ["/src/a.c", "/src/b.c", "/gone.c"] });
    const add = (path: string, ...depends: string[]) => {
      const named = depends.map((one) => `mnt/${one}`).join(",");
      return m.sandbox.llmfs(["add", `mnt/${path}`, "x", "--depends", named], { program: BINARY });
    };
    await add("one.c", "src/a.c", "gone.c");
    await m.out("mv src/a.c src/main.c; mv src lib; rm gone.c");
    expect(await m.out("cat one.c")).toBe(contentOf("one.c"));
    expect(await m.xattr("one.c", "depends")).toBe("/lib/main.c\n/gone.c");
    expect(await m.xattr("one.c", "meta.left_out")).toBe("/gone.c");
    const sent = m.server.requests.map(({ body }) => JSON.stringify(body));
    expect(sent.some((body) => body.includes("lib/main.c (this file depends on it)"))).toBe(true);
    const why = (file: string) => m.sandbox.llmfs(["why", `mnt/${file}`], { program: BINARY });
    expect((await why("one.c")).stdout.replace(/\s+/g, " ")).toContain("left out /gone.c: there was no such file");
    await m.out("rm lib/main.c");
    await add("three.c", "lib/b.c");
    await m.out("rm lib/b.c");
    expect((await why("three.c")).stdout.replace(/\s+/g, " ")).toContain("it is generated without it");
    expect(await m.out("cat three.c")).toBe(contentOf("three.c"));
    await eventually("the warning is logged", () =>
      m.sandbox.log().includes("/one.c: it depends on /gone.c, which does"),
    );
  });

  test("llmfs add refuses a path that exists, is a directory or leads through a file, and changes nothing", async () => {
    await using m = await mounted({ pending: ["/src/a.c"] });
    await m.out("echo mine > b.txt; ln -s b.txt link");
    const refused = async (status: number, ...args: string[]) => {
      const done = await m.sandbox.llmfs(["add", ...args], { program: BINARY });
      expect(done).toMatchObject({ status, stdout: "" });
      return done.stderr;
    };
    const failure = EXIT.failure.code;
    expect(await refused(failure, "mnt/b.txt", "mine too")).toContain(
      "mnt/b.txt exists already, and was left as it is",
    );
    expect(await refused(failure, "mnt/link", "x")).toContain("exists already");
    expect(await refused(failure, "mnt/src", "x")).toContain("exists already");
    expect(await refused(failure, "mnt/b.txt/x", "x")).toContain("/b.txt: not a directory");
    expect(await refused(failure, "mnt/.llmfs/x", "x")).toContain("reserved for control files");
    expect(await refused(EXIT.usage.code, "mnt/new/", "x")).toContain("names a directory");
    expect(await refused(EXIT.usage.code, "mnt/new", " ")).toContain("the description is empty");
    expect(await refused(EXIT.usage.code, "mnt/new", "x", "--depends", "elsewhere")).toContain("--depends elsewhere");
    expect(await refused(EXIT.notMounted.code, "elsewhere/x", "x")).toContain("not in an llmfs mount");
    expect(await m.out("cat b.txt; ls")).toBe("mine\nb.txt\nlink\nsrc\n");
  });

  test("llmfs add follows symlinks to the directory, outside and inside the mount", async () => {
    await using m = await mounted({ pending: ["/src/a.c"] });
    mkdirSync(m.sandbox.at("work"));
    symlinkSync(`${m.dir}/src`, m.sandbox.at("work/code"));
    const done = await m.sandbox.llmfs(["add", "work/code/new/b.c", "more code"], { program: BINARY });
    expect(done).toMatchObject({ status: 0 });
    expect(await m.out("ls src/new")).toBe("b.c\n");
  });

  test("llmfs add fails on a read-only mount", async () => {
    await using m = await mounted({ pending: ["/a"], args: ["--read-only"] });
    const done = await m.sandbox.llmfs(["add", "mnt/b", "x"], { program: BINARY });
    expect(done).toMatchObject({ status: EXIT.failure.code });
    expect(done.stderr).toContain("mnt/b cannot be added: the mount is read-only");
  });

  test("a file added with llmfs add is part of the saved tree", async () => {
    await using m = await mounted({ pending: ["/a"], args: ["--save", "saved.json"] });
    await m.sandbox.llmfs(["save", "mnt", "first.json"], { program: BINARY });
    await m.sandbox.llmfs(["add", "mnt/b", "the second"], { program: BINARY });
    await m.unmount();
    expect(await m.sandbox.llmfs(["plan", "saved.json", "--files"], { program: BINARY })).toMatchObject({
      stdout: expect.stringContaining("/b: "),
    });
  });
});
