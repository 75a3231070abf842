/** Ordinary work in a mount: a repository cloned, built, changed and removed. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { describeMounted, mounted } from "../support/mounted.ts";

setDefaultTimeout(60_000);

/** A repository of 40 C files, a Makefile and 300 other files, with some history. */
const REPOSITORY = `
export HOME=$OUT GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
git config --global user.name somebody; git config --global user.email some@body; git config --global init.defaultBranch main
git init -q $OUT/repo; cd $OUT/repo
mkdir -p src docs/deep data
calls=''; declared=''
for i in $(seq 40); do
  echo "int f$i(void) { return $i; }" > src/f$i.c; calls="$calls + f$i()"; declared="$declared int f$i(void);"
done
printf '#include <stdio.h>\\n%s\\nint main(void) { printf("%%d\\\\n", 0%s); return 0; }\\n' "$declared" "$calls" > src/main.c
printf 'SOURCES = $(wildcard src/*.c)\\nprogram: $(SOURCES:.c=.o)\\n\\tcc -o $@ $^\\nclean:\\n\\trm -f program src/*.o\\n' > Makefile
printf 'program\\n*.o\\n' > .gitignore
for i in $(seq 150); do echo "document $i" > docs/d$i.md; echo "more $i" > docs/deep/m$i.md; done
head -c 300000 /dev/urandom > data/blob; ln -s ../docs/d1.md data/link; chmod +x src/main.c
git add -A; git commit -qm one; echo more >> docs/d1.md; git commit -qam two; git branch side HEAD~1`;

describeMounted("a repository of some hundred files", () => {
  test("a repository of some hundred files can be cloned, built, changed and removed, and git status is right", async () => {
    await using m = await mounted();
    await m.out(REPOSITORY);
    const git = "export HOME=$OUT; cd clone && git";
    await m.out("export HOME=$OUT; git clone -q $OUT/repo clone");
    expect(await m.out(`${git} status --porcelain; git fsck --strict 2>&1; git ls-files | wc -l`)).toBe("345\n");
    expect(await m.out("cd clone && make -s -j2 && ./program")).toBe("820\n");
    expect(await m.out(`${git} status --porcelain`)).toBe("");
    expect(await m.out("cd clone && touch src/f1.c && make | grep -c '^cc'")).toBe("2\n");
    await m.out(
      `${git} checkout -q side && git checkout -q main && echo mine > new && git add new && git commit -qm three && git gc -q`,
    );
    expect(await m.out(`${git} log --oneline | wc -l; git diff --stat HEAD~2 | tail -n 1`)).toMatch(
      /^3\n 2 files changed/,
    );
    expect(await m.out("cd clone && make -s clean && diff -r --exclude=.git $OUT/repo . | cat")).toBe(
      "Only in .: new\n",
    );
    await m.out("rm -rf clone");
    expect(await m.out("ls -A; df --output=used -B1 . | tail -n 1")).toMatch(/^\s*0\n$/);
    expect(m.server.requests.length).toBe(0);
  });

  test("a repository whose files are pending can be generated, built, and put under version control", async () => {
    const sources: Readonly<Record<string, string>> = {
      "src/main.c":
        '#include <stdio.h>\n#include "add.h"\nint main(void) { printf("%d\\n", add(20, 22)); return 0; }\n',
      "src/add.h": "int add(int a, int b);\n",
      "src/add.c": '#include "add.h"\nint add(int a, int b) { return a + b; }\n',
      Makefile: "program: src/main.o src/add.o\n\tcc -o $@ $^\n",
    };
    await using m = await mounted({
      pending: Object.keys(sources),
      answer: (path) => ({ stream: sources[path] ?? "" }),
    });
    expect(await m.out("make -s && ./program")).toBe("42\n");
    const version = "export HOME=$OUT; git init -q . && git config user.name n && git config user.email e@x";
    // As docs/lazy-files.md says: generate the files before git looks at their sizes.
    await m.out("find . -type f -exec cat {} + > /dev/null");
    await m.out(`${version}; git add -A && git commit -qm all && git fsck --strict`);
    for (const [path, text] of Object.entries(sources)) expect(await m.out(`git show HEAD:${path}`)).toBe(text);
    expect(m.server.requests.length).toBe(4);
  });
});
