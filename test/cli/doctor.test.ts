/** llmfs doctor in the compiled binary. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { documented } from "../support/json-shapes.ts";
import { describeMounted } from "../support/mounted.ts";
import { testWith, userNamespace } from "../support/needs.ts";
import { openaiServer } from "../support/openai-server.ts";
import { BINARY, Sandbox } from "../support/program.ts";
import { freePort } from "../support/servers.ts";

setDefaultTimeout(60_000);

describeMounted("where mounts work,", () => {
  test("doctor passes every check, and exits with status 0", async () => {
    using sandbox = new Sandbox();
    const { status, stdout, stderr } = await sandbox.llmfs(["doctor"], { program: BINARY });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("✓ /dev/fuse: it can be opened");
    expect(stdout).toMatch(/^✓ mounting: a trial mount with \S+ worked/m);
    expect(stdout).toMatch(/^· fs\.fuse\.default_request_timeout: /m);
    expect(stdout).toContain("docker run --device /dev/fuse --cap-add SYS_ADMIN");
    expect(stdout).not.toContain("✗");
  });

  test("doctor asks the configured model server, and says what is wrong with it", async () => {
    using sandbox = new Sandbox();
    await using server = await openaiServer([], ["tiny-coder", "nomic-embed-text"]);
    const run = async (env: Readonly<Record<string, string>>, ...args: string[]) =>
      (await sandbox.llmfs(["doctor", ...args], { program: BINARY, env: { OPENAI_API_KEY: "sk-x", ...env } })).stdout;
    const host = server.baseUrl.replace(/.*\/\/|\/v1/g, "");
    const json = await run({ OPENAI_BASE_URL: server.baseUrl }, "--json");
    expect(documented("doctor", json)).toMatchObject({
      ok: true,
      model: { configured: true, server: { host, found: "tiny-coder" } },
    });
    expect(json).not.toContain("sk-x");
    const nobody = `127.0.0.1:${freePort()}`;
    const down = await run({ OPENAI_BASE_URL: `http://${nobody}/v1` });
    expect(down).toMatch(
      new RegExp(
        `^✗ the configured model server: no connection to ${nobody}: ECONNREFUSED.*is the server running`,
        "m",
      ),
    );
    using strict = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("no", { status: 401 }) });
    expect(await run({ OPENAI_BASE_URL: `http://127.0.0.1:${strict.port}/v1` })).toContain(
      "✗ the configured model server: 127.0.0.1",
    );
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
