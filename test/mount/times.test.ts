/** The times of pending files, and what leaves them unchanged, as other programs see it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFilesystem } from "../../src/mount/filesystem.ts";
import { describeMounted, mounted, pathOf, snapshotOf } from "../support/mounted.ts";

setDefaultTimeout(30_000);

/** A mount with a pending file, a directory that a generator lists, and one whose files are found by lookups. */
async function sources(epoch: number | undefined, work: (sh: (script: string) => Promise<string>) => Promise<void>) {
  const mountpoint = mkdtempSync(join(tmpdir(), "llmfs-times-"));
  try {
    await using filesystem = await startFilesystem({
      mountpoint,
      ...(epoch === undefined ? {} : { epoch }),
      from: { text: Buffer.from(snapshotOf(["pending"])) },
      plants: [
        { path: "/listed", type: "directory", generator: "shop" },
        { path: "/named", type: "directory" },
      ],
      named: [{ match: "named/{id}", generator: "shop" }],
      generate: async ({ path }) => ({ bytes: Buffer.from(`${path}\n`), metadata: new Map() }),
      list: async () => ({ entries: ["a", "sub/b"].map((path) => ({ path, type: "file", generator: "shop" })) }),
      log: () => {},
    });
    await work(async (script) => {
      const child = Bun.spawn({ cmd: ["sh", "-ec", script], cwd: mountpoint, stdio: ["ignore", "pipe", "inherit"] });
      const out = await new Response(child.stdout).text();
      expect([script, await child.exited]).toEqual([script, 0]);
      return out;
    });
    void filesystem;
  } finally {
    rmSync(mountpoint, { recursive: true });
  }
}

describeMounted("the mtime", () => {
  test("the mtime of everything that llmfs makes is the mount's own time, before and after reading", async () => {
    await sources(undefined, async (sh) => {
      const times = "stat -c '%n %Y.%y' . pending listed named";
      const [began] = await Promise.all([sh("stat -c %y ."), sh("sleep 0.02")]);
      const before = await sh(times);
      await sh("cat pending; ls listed listed/sub; cat listed/a listed/sub/b named/1; ln pending link; cat link");
      expect((await sh(times)).replace(/^\. .*\n/, "")).toBe(before.replace(/^\. .*\n/, ""));
      const found = await sh("stat -c %y pending listed listed/a listed/sub listed/sub/b named named/1 | sort -u");
      expect(found).toBe(began);
    });
  });

  test("the mtime of everything that llmfs makes is SOURCE_DATE_EPOCH if that is set", async () => {
    await sources(1_000_000_000, async (sh) => {
      await sh("cat pending; ls listed listed/sub; cat listed/a listed/sub/b named/1");
      expect(await sh("find . -printf '%T@ %C@\\n' | sort -u")).toBe("1000000000.0000000000 1000000000.0000000000\n");
    });
  });

  test("the mtime of a pending file stays when it is warmed or read, and changes when it is regenerated", async () => {
    await using mount = await mounted({ pending: ["a.txt", "b.txt", "sub/c.txt"] });
    const times = () => mount.out("stat -c %y a.txt b.txt sub/c.txt . sub");
    const before = await times();
    await mount.out("cat a.txt");
    expect(await times()).toBe(before);
    expect((await mount.sandbox.llmfs(["warm", mount.dir])).status).toBe(0);
    expect(await mount.state("sub/c.txt")).toBe("ready");
    expect(await times()).toBe(before);
    expect((await mount.sandbox.llmfs(["regen", join(mount.dir, "a.txt")])).status).toBe(0);
    const [regenerated, ...others] = (await times()).split("\n");
    expect(regenerated).not.toBe(before.split("\n")[0]);
    expect(others.slice(0, 2)).toEqual(before.split("\n").slice(1, 3));
  });
});

describeMounted("a file that is written and stays open", () => {
  test("a file that is written and stays open is sent with its current content when another file is generated", async () => {
    const files = { "/a.txt": "pending", "/b.txt": "pending", "/notes.txt": "herring\n" };
    const entries = Object.entries(files).map(([path, text]) => ({
      path,
      type: "file",
      ...(text === "pending" ? { state: text } : { text }),
    }));
    const snapshot = JSON.stringify({ llmfs: 1, entries: [{ path: "/", type: "directory" }, ...entries] });
    await using mount = await mounted({ snapshot });
    const shown = (path: string) => JSON.stringify(mount.server.requests.findLast((one) => pathOf(one) === path)?.body);
    await mount.out("cat a.txt");
    expect(shown("a.txt")).toContain("herring");
    await mount.out("exec 3<> notes.txt; echo halibut >&3; cat b.txt");
    expect(shown("b.txt")).toContain("halibut");
    expect(shown("b.txt")).not.toContain("herring");
  });
});
