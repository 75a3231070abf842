/** Overlayfs above a mount: a copy-up copies the whole content and nothing else. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { describeMounted, IS_ROOT, LACKING } from "../support/mounted.ts";
import { BINARY, type Finished, finished, Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();
const dir = sandbox.at("mnt");
/** A tmpfs, with the overlay in `over`. */
const layers = sandbox.at("layers");

/** Files in `some` are short, those in `large` are longer than the claimed size; each is generated once. */
const CONFIG = `
import { defineConfig } from "llmfs";
import { setTimeout as sleep } from "node:timers/promises";
let count = 0;
const text = (path, lines) => ({ content: ("a line of " + path + ", " + count++ + "\\n").repeat(lines) });
export default defineConfig({
  generators: {
    short: { generate: (path) => text(path, 1 + count % 3) },
    large: { generate: (path) => text(path, 100_000) },
    slow: { generate: async (path) => { await sleep(200); return text(path, 1); } },
    listed: { generate: (path) => text(path, 1 + count % 3), list: () => Array.from({ length: 40 }, (_, n) => n + ".txt") },
  },
  rules: [
    { match: "some/**", generator: "listed" },
    { match: "large/{a,b,c}.txt", generator: "large" },
    { match: "slow/{a,b,c}.txt", generator: "slow" },
    { match: "always/{a,b,c}.txt", generator: "short", refresh: "always" },
  ],
});
`;

async function run(script: string): Promise<Finished> {
  const child = Bun.spawn({ cmd: ["sh", "-c", script], cwd: sandbox.path, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end();
  return finished(child);
}

async function out(script: string): Promise<string> {
  const { status, stdout, stderr } = await run(script);
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}

function mountOverlay(options: string): Promise<string> {
  return out(`mkdir layers/upper layers/work layers/over && mount -t overlay overlay layers/over -o ${options}`);
}

async function unmountLayers(): Promise<void> {
  await run("umount layers/over; umount layers");
}

/** Expects the overlay to show these files as in the mount. */
async function expectSame(...paths: readonly string[]): Promise<void> {
  for (const path of paths) expect(await out(`cmp mnt/${path} layers/over/${path} && echo same`)).toBe("same\n");
}

beforeAll(async () => {
  if (LACKING !== undefined || !IS_ROOT) return;
  mkdirSync(layers);
  writeFileSync(sandbox.at("llmfs.config.ts"), CONFIG);
});

beforeEach(async () => {
  if (LACKING !== undefined || !IS_ROOT) return;
  mkdirSync(dir, { recursive: true });
  const mounted = await sandbox.llmfs(["mount", dir, "--mode", "off"], { program: BINARY });
  expect([mounted.status, mounted.stderr]).toEqual([0, expect.stringMatching(/^(configuration: .*\n)?$/)]);
  await out("mount -t tmpfs layers layers");
}, 60_000);

afterEach(async () => {
  if (LACKING !== undefined || !IS_ROOT) return;
  await unmountLayers();
  await sandbox.llmfs(["unmount", dir], { program: BINARY });
});

afterAll(() => sandbox[Symbol.dispose]());

describeMounted("overlayfs", () => {
  describe.skipIf(!IS_ROOT)(IS_ROOT ? "above a mount" : "above a mount (lacks root)", () => {
    const lower = "lowerdir=mnt,upperdir=layers/upper,workdir=layers/work";

    for (const [name, options] of [
      ["by default", lower],
      ["with metacopy=on", `${lower},metacopy=on`],
      ["with index=on", `${lower},index=on`],
      ["with user attributes", `${lower},userxattr`],
    ] as const) {
      test(`with overlayfs above ${name}, every change of a file without content copies the content up`, async () => {
        await mountOverlay(options);
        await out(
          "cd layers/over; chmod 600 some/0.txt; chown 1:1 some/1.txt; touch some/2.txt; truncate -s +0 some/3.txt",
        );
        await out(
          "cd layers/over; setfattr -n user.a -v b some/4.txt; echo more >> some/5.txt; mv some/6.txt some/six",
        );
        await out(
          "cd layers/over; ln some/7.txt some/seven; dd if=/dev/null of=some/8.txt conv=notrunc,nocreat status=none",
        );
        await out(
          "cd layers/over; chmod 600 large/a.txt; echo more >> large/b.txt; exec 3<some/9.txt; chmod 600 some/9.txt",
        );
        await out("cd layers/over; python3 -c 'import os; os.fchmod(os.open(\"some/10.txt\", os.O_RDONLY), 0o600)'");
        await expectSame(...[0, 1, 2, 3, 4, 7, 8, 9, 10].map((n) => `some/${n}.txt`), "large/a.txt");
        expect(await out("cmp mnt/some/6.txt layers/over/some/six && echo same")).toBe("same\n");
        expect(await out("(cat mnt/some/5.txt; echo more) | cmp - layers/over/some/5.txt && echo same")).toBe("same\n");
        expect(await out("(cat mnt/large/b.txt; echo more) | cmp - layers/over/large/b.txt && echo same")).toBe(
          "same\n",
        );
      }, 60_000);
    }

    test("several threads that change a file above overlayfs and others that read it all see the content", async () => {
      await mountOverlay(lower);
      const paths = ["slow/a.txt", "slow/b.txt", ...Array.from({ length: 30 }, (_, n) => `some/${n}.txt`)];
      await out(
        `for f in ${paths.join(" ")}; do for m in 600 640 644; do chmod $m layers/over/$f & cat mnt/$f >/dev/null & done; done; wait`,
      );
      await expectSame(...paths);
    }, 60_000);

    test("a file that is generated at every open is copied with the content of that open", async () => {
      await mountOverlay(lower);
      for (const path of ["always/a.txt", "always/b.txt", "always/c.txt"]) {
        await out(`stat layers/over/${path}; cat layers/over/${path}; chmod 600 layers/over/${path}`);
        const [size, content] = [await out(`stat -c %s layers/over/${path}`), await out(`cat layers/over/${path}`)];
        expect(Number(size)).toBe(content.length);
        expect(content).not.toContain("\0");
      }
    });

    test("a copy-up also works if the upper layer is in the mount itself", async () => {
      await out("mkdir mnt/upper mnt/work layers/over");
      await out("mount -t overlay o layers/over -o lowerdir=mnt/some:mnt/large,upperdir=mnt/upper,workdir=mnt/work");
      await out("cd layers/over; chmod 600 1.txt; echo more >> 2.txt; chmod 600 c.txt");
      expect(await out("cmp mnt/some/1.txt layers/over/1.txt && echo same")).toBe("same\n");
      expect(await out("(cat mnt/some/2.txt; echo more) | cmp - layers/over/2.txt && echo same")).toBe("same\n");
      expect(await out("cmp mnt/large/c.txt layers/over/c.txt && echo same")).toBe("same\n");
    });

    test("a file without content in an upper layer is written and read as in the mount itself", async () => {
      await out("mkdir mnt/upper mnt/work layers/lower layers/over");
      await out("mount -t overlay o layers/over -o lowerdir=layers/lower,upperdir=mnt/upper,workdir=mnt/work");
      await out("for f in a b c d; do : > mnt/upper/$f; setfattr -n user.llmfs.generator -v short mnt/upper/$f; done");
      expect(await out("cd layers/over; echo x > a; echo x >> b; cat a b")).toBe("x\nx\n");
      expect(await out("cd layers/over; cat c; mv c e; cat e")).toMatch(/^(a line of \/upper\/c, \d+\n)+$/);
      expect(await out('cd layers/over; python3 -c \'open("d", "r+").write("A")\'; cat d')).toMatch(/^A line of /);
    });
  });
});
