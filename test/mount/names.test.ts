/** Names that change without the kernel's doing, on a real mount: none of them stays in the kernel. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeMounted, IS_ROOT, LACKING } from "../support/mounted.ts";
import { BINARY, eventually, type Finished, finished, Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();
const dir = sandbox.at("mnt");
const work = sandbox.at("work");

/** Listings come from the file `names`, contents from `content`, read at the time of the request. */
const CONFIG = `
import { defineConfig, FsError } from "llmfs";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const lines = (name) => readFileSync(import.meta.dirname + "/" + name, "utf8").split("\\n").filter((line) => line !== "");
const shop = {
  generate: (path) => {
    if (lines("gone").includes(path)) throw new FsError("ENOENT", "no such thing");
    return { content: path + "\\n" };
  },
  list: () => lines("names"),
};

export default defineConfig({
  generators: {
    shop,
    found: { generate: shop.generate },
    slow: { async generate(path, { signal }) {
      while (!lines("gone").includes(path)) await sleep(20, undefined, { signal });
      throw new FsError("ENOENT", "no such thing");
    } },
  },
  rules: [
    { match: "d/**", generator: "shop", refresh: "always" },
    { match: "found/{n}", generator: "found", refresh: "always" },
    { match: "slow/{n}", generator: "slow" },
    { match: "looks/old-{n}", generator: "found", refresh: "always" },
    { match: "looks/{n}", generator: "exec", timeout: "20s", options: { env: ["MNT"],
      command: ["sh", "-c", "touch $MNT/begun; while test -e $MNT/begun; do sleep .02; done; ls -l $MNT/looks; cat $MNT/d/kept; echo looked"] } },
  ],
});
`;

function names(...all: readonly string[]): void {
  writeFileSync(join(work, "names"), all.join("\n"));
}

function gone(...paths: readonly string[]): void {
  writeFileSync(join(work, "gone"), paths.join("\n"));
}

/** A program whose working directory is the mount. */
function start(script: string) {
  return Bun.spawn({ cmd: ["sh", "-c", script], cwd: dir, stdio: ["pipe", "pipe", "pipe"] });
}

async function out(script: string): Promise<string> {
  const { status, stdout, stderr }: Finished = await finished(start(script));
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}

/** The number of inodes in use. */
function inodes(): number {
  const { files, ffree } = statfsSync(dir);
  return files - ffree;
}

/** The number of inodes in use once the kernel has forgotten those of earlier tests. */
async function settledInodes(): Promise<number> {
  let count = inodes();
  for (let same = 0; same < 10; same++) {
    await Bun.sleep(20);
    if (inodes() !== count) same = 0;
    count = inodes();
  }
  return count;
}

beforeAll(async () => {
  if (LACKING !== undefined) return;
  mkdirSync(dir);
  mkdirSync(work);
  writeFileSync(join(work, "llmfs.config.ts"), CONFIG);
  names();
  gone();
  const mounted = await sandbox.llmfs(["mount", dir, "--inodes", "300"], {
    program: BINARY,
    cwd: work,
    env: { MNT: dir },
  });
  expect([mounted.status, mounted.stderr]).toEqual([0, expect.stringMatching(/^(configuration: .*\n)?$/)]);
}, 60_000);

afterAll(async () => {
  if (LACKING !== undefined) return;
  await sandbox.llmfs(["unmount", dir], { program: BINARY });
  sandbox[Symbol.dispose]();
}, 30_000);

/** Twenty names that did not exist before. */
function twenty(round: number): string[] {
  return Array.from({ length: 20 }, (_, index) => `${round}-${index}`);
}

describeMounted("names that appear and disappear without the kernel's doing", () => {
  test("listings with new names every time never use up the inodes", async () => {
    names();
    await out("ls d");
    const before = await settledInodes();
    for (let round = 0; round < 40; round++) {
      names(...twenty(round), `deep/${round}`);
      await out("ls -lR d; cat d/*-7");
    }
    names();
    await out("ls d; touch new; rm new");
    await eventually("the inodes are back", () => inodes() <= before);
  }, 60_000);

  test("new names are found as soon as a listing has them, even if they were missing a moment before", async () => {
    names("deep/1");
    expect(await out("ls d; cat d/deep/2 || echo none")).toBe("deep\nnone\n");
    names("deep/1", "deep/2");
    await out("ls d");
    expect(await out("cat d/deep/2")).toBe("/d/deep/2\n");
    expect(await out("ls d/deep")).toBe("1\n2\n");
  });

  test("a name can disappear under an open file or a working directory, which stays usable", async () => {
    names("file", "sub/inner");
    await out("ls -R d");
    const program = start(
      "exec 3<d/file; cd d/sub; touch ../../ready; read go; cat <&3; ls; cat inner; touch new; echo $?; echo end",
    );
    await eventually("the program is ready", () => readdirSync(dir).includes("ready"));
    names();
    await out("ls d; ls d");
    program.stdin.write("go\n");
    program.stdin.end();
    const { stdout } = await finished(program);
    expect(stdout).toBe("/d/file\n1\nend\n");
    expect(await out("ls d; rm ready")).toBe("");
  });

  test("a program that lists a directory does not deadlock with a lookup there that waits for that program", async () => {
    for (let round = 0; round < 3; round++) {
      names(...twenty(round), "kept");
      gone();
      await out("ls -l d; cat looks/old-1 looks/old-2");
      const looked = out(`cat looks/${round} | tail -2`);
      await eventually("the program runs", () => readdirSync(dir).includes("begun"));
      gone("/looks/old-1", "/looks/old-2");
      await out("ls -l d; cat looks/old-1 looks/old-2 || rm begun");
      expect(await looked).toBe("/d/kept\nlooked\n");
    }
  }, 60_000);

  test("a waiting lookup delays no other request, and the kernel is notified of the changes afterwards", async () => {
    names();
    gone();
    await out("ls d");
    const before = await settledInodes();
    const waiting = finished(start("test -e slow/1"));
    await eventually("the lookup waits", () => inodes() === before + 1);
    for (let round = 0; round < 5; round++) {
      names(...twenty(round));
      await out("ls -l d; ls slow; cat d/*-3");
    }
    gone("/slow/1");
    expect((await waiting).status).toBe(1);
    names();
    await out("ls d");
    await eventually("the inodes are back", () => inodes() <= before);
  });

  test("a withdrawn name disappears together with its inode", async () => {
    gone();
    const before = await settledInodes();
    await out("for i in 1 2 3 4 5; do cat found/$i; done");
    expect(await out("ls found")).toBe("1\n2\n3\n4\n5\n");
    gone(...[1, 2, 3, 4, 5].map((n) => `/found/${n}`));
    expect(await out("for i in 1 2 3 4 5; do cat found/$i 2>&1 || true; done")).toContain("No such file");
    expect(await out("ls found")).toBe("");
    await eventually("the inodes are back", () => inodes() <= before);
  });
});

const GREEDY = `
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
kept = []
try:
    for n in range(2000, 3000): kept.append(os.open("found/%d" % n, os.O_RDONLY))
except OSError as error: print(error.strerror, flush=True)
sys.stdin.read()
`;

describeMounted("lookups never use up the space of users", () => {
  test("lookups never use up the space of users, with more names and contents than fit, one by one, concurrently, or kept open", async () => {
    const small = sandbox.directory("small");
    const config = sandbox.at("small.config.ts");
    writeFileSync(
      config,
      `import { defineConfig } from "llmfs";
       const text = (path) => ({ content: (path + "\\n").repeat(20_000 / path.length) });
       export default defineConfig({
         generators: { found: { generate: text }, shops: { generate: text, list: () => Array.from({ length: 20 }, (_, n) => n + "/") },
           items: { generate: text, list: () => Array.from({ length: 20 }, (_, n) => n + ".txt") } },
         rules: [{ match: "found/{n}", generator: "found" }, { match: "shops/{shop}", generator: "shops" },
           { match: "shops/{shop}/{item}", generator: "items" }],
       });`,
    );
    const args = [
      "mount",
      small,
      ...(IS_ROOT ? ["--allow-other"] : []),
      "--config",
      config,
      "--inodes",
      "300",
      "--size",
      "3M",
      "--mode",
      "off",
    ];
    const { stderr, status } = await sandbox.llmfs(args, { program: BINARY });
    expect([status, stderr]).toEqual([0, expect.stringMatching(/^(configuration: .*\n)?$/)]);
    try {
      const within = (script: string) => out(`cd ${small}; ${script}`);
      await within("for i in $(seq 500); do test -e found/$i; done; touch own; rm own");
      await within("seq 501 1500 | xargs -P 4 -n 25 sh -c 'for i; do test -e found/$i || exit 255; done' x");
      await within(
        "seq 400 | xargs -P 4 -n 25 sh -c 'for i; do echo /found/$i | cmp -n 4 - found/$i || exit 255; done' x",
      );
      await within("mkdir own; for i in $(seq 200); do echo mine > own/$i || exit 1; done; cat own/* | sort -u");
      await within("rm -r own; ls -lR shops; cat shops/*/* | wc -c; ls -lR shops; touch own; rm own");
      if (!IS_ROOT) return;
      // A user without write permission keeps open whatever can be opened.
      await within("chmod 755 .");
      const greedy = Bun.spawn({ cmd: ["python3", "-c", GREEDY], cwd: small, stdio: ["pipe", "pipe", "inherit"] });
      const { value } = await greedy.stdout.getReader().read();
      expect(
        Buffer.from(value ?? [])
          .toString()
          .trim(),
      ).toBe("No space left on device");
      await within("for i in $(seq 50); do echo mine > $i || exit 1; done; cat ? ?? | sort -u");
      greedy.stdin.end();
      expect(await greedy.exited).toBe(0);
      await within("for i in $(seq 3001 3400); do test -e found/$i; done");
    } finally {
      await sandbox.llmfs(["unmount", small], { program: BINARY });
    }
  }, 120_000);
});
