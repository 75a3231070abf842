/** The commands of docs/ci.md, run as they stand there. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeMounted } from "../support/mounted.ts";
import { openaiServer } from "../support/openai-server.ts";
import { BINARY, Sandbox } from "../support/program.ts";

const PAGE = readFileSync(join(import.meta.dir, "../../docs/ci.md"), "utf8");
const blocks = (kind: string) =>
  [...PAGE.matchAll(new RegExp(`\`\`\`${kind}\\n([\\s\\S]*?)\`\`\``, "g"))].map(([, text = ""]) => text);

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

async function shell(script: string, env: Readonly<Record<string, string>>) {
  const child = Bun.spawn({
    cmd: ["/bin/sh", "-c", `set -e\nllmfs() { "${BINARY[0]}" "$@"; }\n${script}`],
    cwd: sandbox.path,
    env: { ...sandbox.environment(), LLMFS_TRUST: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { status: await child.exited, stdout, stderr };
}

describeMounted("docs/ci.md", () => {
  test("what is recorded once is replayed without a server, with a mount and without", async () => {
    const files = [{ path: "README.md", description: "what it is", uses: [] }];
    const layout = { files, directories: [], symlinks: [], executable: [], unfinished: [] };
    await using server = await openaiServer([{ stream: JSON.stringify(layout) }, { stream: "written once" }]);
    const [config = ""] = blocks("yaml");
    writeFileSync(sandbox.at("llmfs.config.yaml"), config);
    writeFileSync(sandbox.at("tree.txt"), "a tree with a README");
    expect((await shell("git init -q .", {})).status).toBe(0);
    const lines = (blocks("sh")[0] ?? "").replaceAll("-- make test", "-- cat README.md");
    const recorded = await shell(lines, { OPENAI_BASE_URL: server.baseUrl, OPENAI_API_KEY: "k" });
    expect([recorded.status, recorded.stdout, recorded.stderr]).toEqual([0, "written once\n", expect.any(String)]);
    expect([server.requests.length, existsSync(sandbox.at("recordings"))]).toEqual([2, true]);
    const last = (blocks("sh").at(-1) ?? "").replaceAll("-- make test", "-- cat README.md");
    const replayed = await shell(last, {});
    expect([replayed.status, replayed.stdout, replayed.stderr]).toEqual([0, "written once\n", expect.any(String)]);
    expect(readFileSync(sandbox.at("fixtures/README.md"), "utf8")).toBe("written once\n");
    const checks = await shell(
      "llmfs recordings verify --config llmfs.config.yaml && llmfs plan tree.json --config llmfs.config.yaml",
      {},
    );
    expect([checks.status, checks.stdout]).toEqual([0, expect.stringContaining("1 already recorded")]);
  });
});
