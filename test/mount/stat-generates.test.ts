/** Programs for which stat(2) generates a pending file, and all others, for which looking is free. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { contentOf, describeMounted, type Mounted, mounted } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { eventually } from "../support/program.ts";

const BATCHES = ["look", "ls", "find", "applet", "alias", "extract", "broken", "slow", "lsp"] as const;
const pathsIn = (batch: string) => ["a.txt", "b.txt"].map((name) => `${batch}/${name}`);

describeMounted("a program that asks for the size first", () => {
  let mount: Mounted;
  let release = () => {};

  beforeAll(async () => {
    mount = await mounted({
      pending: BATCHES.flatMap(pathsIn),
      answer: (path) => {
        if (path.startsWith("broken/")) return { status: 400 };
        if (path !== "slow/a.txt") return { stream: contentOf(path) };
        return new Promise((resolve) => {
          release = () => resolve({ stream: contentOf(path) });
        });
      },
    });
    await mount.out("git init -q $OUT/repo");
  });

  afterAll(() => mount[Symbol.asyncDispose]());

  const git = (command: string, repo = "repo") => `git --git-dir=$OUT/${repo}/.git --work-tree=. ${command}`;
  const requests = () => mount.server.requests.length;

  test("looking at pending files generates none, whoever looks", async () => {
    const looks = [
      "ls -lR",
      "find . -ls",
      "stat look/*",
      "du -a",
      "busybox ls -l look",
      "busybox stat look/a.txt",
      "tar --version",
      git("status"),
      git("ls-files --others --exclude-standard"),
      git("clean -n"),
      "python3 -c 'import os; os.stat(\"look/a.txt\")'",
    ];
    await mount.out(looks.map((look) => `${look} > /dev/null`).join(" && "));
    expect(requests()).toBe(0);
  });

  test("the size that another program was shown is not shown again to cpio, git and busybox tar", async () => {
    await mount.out("cd ls && ls -l > /dev/null && echo a.txt | cpio -o --quiet -H newc > $OUT/a.cpio");
    expect(await mount.out("mkdir $OUT/a && cd $OUT/a && cpio -i --quiet < $OUT/a.cpio && cat a.txt")).toBe(
      contentOf("ls/a.txt"),
    );
    await mount.out(`cd ls && ls -l > /dev/null && ${git("add b.txt")}`);
    expect(await mount.out("git -C $OUT/repo show :b.txt")).toBe(contentOf("ls/b.txt"));
    const both = pathsIn("find").map(contentOf).join("");
    await mount.out("find find -name '*.txt' | sort | xargs busybox tar -cf $OUT/find.tar");
    expect(await mount.out("tar -xOf $OUT/find.tar")).toBe(both);
  });

  test("busybox is recognized under the name of its applet, and git by an alias", async () => {
    const bin = mount.sandbox.at("bin");
    mkdirSync(bin);
    symlinkSync(Bun.which("busybox") ?? "", `${bin}/tar`);
    await mount.out(`ls -l applet > /dev/null; ${bin}/tar -cf $OUT/applet.tar applet`);
    const both = pathsIn("applet").map(contentOf).join("");
    expect((await mount.out("tar -xOf $OUT/applet.tar")).length).toBe(both.length);
    await mount.out(`cd alias && ${git("-c alias.stagethis=add stagethis a.txt b.txt")}`);
    expect(await mount.out("git -C $OUT/repo show :a.txt :b.txt")).toBe(pathsIn("alias").map(contentOf).join(""));
  });

  test("an archiver that unpacks over a pending file does not generate it", async () => {
    const before = requests();
    await mount.out("cd $OUT && mkdir x && cd x && echo mine | tee a.txt > b.txt");
    await mount.out("cd $OUT/x && echo a.txt | cpio -o --quiet -H newc > ../x.cpio && busybox tar -cf ../x.tar b.txt");
    await mount.out("cd extract && cpio -iu --quiet < $OUT/x.cpio && busybox tar -xf $OUT/x.tar");
    expect(await mount.out("cat extract/*.txt")).toBe("mine\nmine\n");
    expect(requests()).toBe(before);
  });

  test("a file that cannot be generated is reported, and git leaves no lock behind", async () => {
    await mount.out("git init -q $OUT/empty");
    const failed = await mount.sh(`cd broken && ${git("add a.txt", "empty")}`);
    expect(failed.status).not.toBe(0);
    expect(failed.stderr).toMatch(/unable to stat 'a\.txt': Input\/output error/);
    expect(existsSync(mount.sandbox.at("empty/.git/index.lock"))).toBe(false);
  });

  test("the wait can be interrupted, and delays no other request", async () => {
    const waiting = mount.start(
      "cd slow && echo a.txt > $OUT/names && exec cpio -o --quiet < $OUT/names > $OUT/slow.cpio",
    );
    await eventually("the request for slow/a.txt", () =>
      mount.server.requests.some(({ body }) => JSON.stringify(body).includes("slow/a.txt")),
    );
    expect(await mount.out("ls slow")).toBe("a.txt\nb.txt\n");
    waiting.kill("SIGTERM");
    await waiting.exited;
    expect(waiting.signalCode).toBe("SIGTERM");
    release();
    expect(await mount.out("cat slow/b.txt")).toBe(contentOf("slow/b.txt"));
  });

  testWith(programs("zsh", "fish"))("the functions in docs/lazy-files.md mark pending files in a listing", async () => {
    const docs = readFileSync(new URL("../../docs/lazy-files.md", import.meta.url), "utf8");
    const [posix = "", fish = ""] = docs.split("\n").filter((line) => /^(lsp\(\)|function lsp)/.test(line));
    await mount.out("cat lsp/a.txt > /dev/null && : > lsp/empty.txt && mkdir 'lsp odd' && cp lsp/a.txt 'lsp odd'");
    await mount.out("mv lsp/b.txt 'lsp odd/b c.txt'; cd 'lsp odd'; echo a > \"$(printf 'two\\nlines')\"");
    for (const [shell, text] of Object.entries({ bash: posix, zsh: posix, fish })) {
      const out = await mount.out(`${shell} -c '${`${text}\nlsp "lsp odd"`.replaceAll("'", "'\\''")}'`);
      const lines = out.trimEnd().split("\n").slice(1);
      const marked = lines.filter((line) => line.includes(" pending ")).map((line) => line.split(":").at(-1)?.slice(3));
      expect([shell, marked]).toEqual([shell, ["b c.txt"]]);
      expect(lines.filter((line) => line.endsWith(" two?lines"))).toHaveLength(1);
    }
    await mount.out("mv 'lsp odd/b c.txt' lsp/b.txt; rm -r 'lsp odd' lsp/empty.txt");
  });

  test("listing 2,000 pending files costs as many requests as with cached attributes", async () => {
    const count = async (...args: readonly string[]) => {
      const paths = Array.from({ length: 2000 }, (_, index) => `d${index % 20}/file-${index}.md`);
      await using large = await mounted({ pending: paths, args });
      const sum = () => Object.values(large.status().requests).reduce((one, other) => one + other, 0);
      const before = sum();
      await large.out("ls -lR > /dev/null");
      return sum() - before;
    };
    expect(await count()).toBeLessThan(1.2 * (await count("--stat-generates", "")));
  });
});
