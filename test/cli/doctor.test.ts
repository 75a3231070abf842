/** llmfs doctor in the compiled binary. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { documented } from "../support/json-shapes.ts";
import { describeMounted } from "../support/mounted.ts";
import { testWith, userNamespace } from "../support/needs.ts";
import { BINARY, Sandbox } from "../support/program.ts";

setDefaultTimeout(60_000);

describeMounted("where mounts work,", () => {
  test("doctor passes every check, and exits with status 0", async () => {
    using sandbox = new Sandbox();
    const { status, stdout, stderr } = await sandbox.llmfs(["doctor"], { program: BINARY });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("✓ /dev/fuse: it can be opened");
    expect(stdout).toMatch(/^✓ mounting: with /m);
    expect(stdout).toMatch(/^· fs\.fuse\.default_request_timeout: /m);
    expect(stdout).toContain("docker run --device /dev/fuse --cap-add SYS_ADMIN");
    expect(stdout).not.toContain("✗");
    const json = await sandbox.llmfs(["doctor", "--json"], { program: BINARY, env: { OPENAI_API_KEY: "sk-x" } });
    expect(documented("doctor", json.stdout)).toMatchObject({ ok: true, model: { configured: true } });
    expect(json.stdout).not.toContain("sk-x");
  });
});

testWith(userNamespace())("where mounts do not work, doctor names each problem and its cure, with status 82", () => {
  using sandbox = new Sandbox();
  const { exitCode, stdout } = Bun.spawnSync({
    cmd: [
      "unshare",
      "--user",
      "--map-root-user",
      "--mount",
      "sh",
      "-c",
      `mount -t tmpfs none /dev && exec ${BINARY[0]} doctor`,
    ],
    env: sandbox.environment(),
  });
  expect(exitCode).toBe(82);
  expect(stdout.toString()).toContain("✗ /dev/fuse: it does not exist\n    to fix this: load the module");
});
