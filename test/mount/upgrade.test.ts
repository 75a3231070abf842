/** The executable is replaced or removed while it serves a mount, as in an upgrade. */
import { expect, test } from "bun:test";
import { chmodSync, copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { describeMounted, processesOf } from "../support/mounted.ts";
import { BINARY, eventually, mountedType, Sandbox } from "../support/program.ts";

const CONFIGURATION = `rules:
  - match: hello.txt
    generator: template
    options: { text: "made by {{ 'a helper' }}" }
`;

describeMounted("an executable that serves a mount", () => {
  test.each([
    ["is replaced by another program", (path: string) => replace(path)],
    ["is removed", (path: string) => rmSync(path)],
  ])(
    "an executable that serves a mount and %s still starts helpers, and the guardian still removes the mount",
    async (_name, change) => {
      using sandbox = new Sandbox();
      const [program, dir] = [sandbox.at("llmfs"), sandbox.directory("mnt")];
      copyFileSync(BINARY[0] ?? "", program);
      writeFileSync(sandbox.at("rules.yaml"), CONFIGURATION);
      const { status, stderr } = await sandbox.llmfs(["mount", dir, "--config", "rules.yaml"], { program: [program] });
      expect([status, stderr]).toEqual([0, expect.anything()]);
      const [daemon = 0] = processesOf(dir, "--daemon");
      // ps shows a meaningful path.
      expect(readFileSync(`/proc/${daemon}/cmdline`, "utf8").split("\0")[0]).toBe(program);
      expect(readFileSync(`/proc/${daemon}/comm`, "utf8")).toBe("llmfs\n");
      change(program);
      const reader = Bun.spawn(["cat", `${dir}/hello.txt`], { stdout: "pipe", stderr: "pipe" });
      const [text, complaint] = await Promise.all([
        new Response(reader.stdout).text(),
        new Response(reader.stderr).text(),
      ]);
      expect([text, complaint]).toEqual(["made by a helper", ""]);
      process.kill(daemon, "SIGKILL");
      await eventually("the dead mount is gone", () => mountedType(dir) === undefined);
    },
  );
});

function replace(path: string): void {
  writeFileSync(`${path}.new`, "#!/bin/sh\nexit 9\n");
  chmodSync(`${path}.new`, 0o755);
  renameSync(`${path}.new`, path);
}
