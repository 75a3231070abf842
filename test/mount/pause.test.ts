import { expect, test } from "bun:test";
import { FsError } from "../../src/errno.ts";
import { startFilesystem } from "../../src/mount/filesystem.ts";
import { describeMounted, snapshotOf } from "../support/mounted.ts";
import { Sandbox } from "../support/program.ts";

describeMounted("the pause before a failed file is tried again", () => {
  test("the generating thread pauses before a failed file is tried again; the filesystem thread does not wait", async () => {
    using sandbox = new Sandbox();
    const mountpoint = sandbox.directory("mnt");
    const pauses: number[] = [];
    await using _filesystem = await startFilesystem({
      mountpoint,
      from: { text: Buffer.from(snapshotOf(["a.txt"])) },
      generate: ({ pause }) => {
        pauses.push(pause);
        return Promise.reject(new FsError("EIO", "as always"));
      },
      log: () => {},
    });
    const begun = performance.now();
    for (let attempt = 0; attempt < 8; attempt++) {
      expect(await Bun.spawn({ cmd: ["cat", `${mountpoint}/a.txt`], stderr: "ignore" }).exited).toBe(1);
    }
    expect(pauses).toEqual([0, 0, 250, 500, 1000, 2000, 4000, 5000]);
    expect(performance.now() - begun).toBeLessThan(5000);
  });
});
