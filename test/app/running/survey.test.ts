/** What `llmfs list` shows root when other users forge records. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { findMountAt } from "../../../src/mountinfo.ts";
import { IS_ROOT } from "../../support/mounted.ts";
import { mounting, programs, testWith } from "../../support/needs.ts";
import { AS_USER } from "../../support/ordinary.ts";
import { Sandbox } from "../../support/program.ts";

setDefaultTimeout(30_000);

/** Writes the first line of its input into a record, and keeps it until its input ends. */
const FORGER = `
import os, sys
record = os.memfd_create("llmfs-mount")
os.write(record, sys.stdin.readline().encode())
print("forged", flush=True)
sys.stdin.read()
`;

const testAsRoot = IS_ROOT ? testWith(mounting() ?? programs("python3", "setpriv")) : test.skip;

testAsRoot("list does not believe what another user says about a mount", async () => {
  using sandbox = new Sandbox();
  // It has the lower process id, so it is found first.
  const python = Bun.which("python3", { PATH: "/usr/bin:/bin" }) ?? "python3";
  const forger = Bun.spawn({ cmd: [...AS_USER, python, "-c", FORGER], cwd: "/", stdio: ["pipe", "pipe", "inherit"] });
  try {
    const dir = sandbox.directory("mnt");
    const { pid } = JSON.parse((await sandbox.llmfs(["mount", "--json", dir])).stdout);
    const device = findMountAt(dir)?.device;
    const record = { format: 1, mountpoint: dir, device, prompt: "forged", requests: 3, state: "serving", answers: [] };
    forger.stdin.write(`1 ${JSON.stringify(record)} 1\n`);
    forger.stdin.flush();
    const said = await forger.stdout.getReader().read();
    // The end of the line may come apart.
    expect(new TextDecoder().decode(said.value).trim()).toBe("forged");
    const listed: readonly { readonly mountpoint: string }[] = JSON.parse(
      (await sandbox.llmfs(["list", "--json"])).stdout,
    );
    const [mount, ...others] = listed.filter(({ mountpoint }) => mountpoint === dir);
    expect(mount).toMatchObject({ pid, user: 0, state: "serving" });
    expect(mount).not.toHaveProperty("prompt");
    expect(others).toEqual([]);
    expect((await sandbox.llmfs(["unmount", dir])).status).toBe(0);
  } finally {
    forger.stdin.end();
    await forger.exited;
  }
});
