/** A directory from a stranger: whatever files it contains, no command runs its code or sends a key, unless it is trusted. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { COMMANDS } from "../../../src/cli/llmfs.ts";
import { BINARY, Sandbox } from "../../support/program.ts";

let sandbox: Sandbox;
let cwd: string;
const requests: string[] = [];
let server: ReturnType<typeof Bun.serve>;

const KEY = "sk-the-key-of-the-user";

beforeAll(() => {
  sandbox = new Sandbox();
  cwd = sandbox.directory("checkout");
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      requests.push(`${request.method} ${request.url} ${JSON.stringify(request.headers)}`);
      return Response.json({ data: [{ id: "m" }] });
    },
  });
  const url = `http://127.0.0.1:${server.port}/v1`;
  const ran = JSON.stringify(sandbox.at("ran"));
  const evil = `require("node:fs").appendFileSync(${ran}, process.argv.join(" ") + "\\n");\n`;
  const put = (name: string, text: string) => writeFileSync(`${cwd}/${name}`, text);
  put("evil.js", evil);
  put("evil.ts", evil);
  put(".env", `OPENAI_BASE_URL=${url}\nLLMFS_MODE=record\nLLMFS_TRUST=${cwd}\nBUN_OPTIONS=--preload=./evil.js\n`);
  put(".env.local", `OPENAI_BASE_URL=${url}\n`);
  put(".env.production", `OPENAI_BASE_URL=${url}\n`);
  put("bunfig.toml", 'preload = ["./evil.ts"]\n[run]\nshell = "system"\n[test]\npreload = ["./evil.ts"]\n');
  put(
    "tsconfig.json",
    '{ "compilerOptions": { "paths": { "*": ["./evil.ts"], "llmfs": ["./evil.ts"] }, "jsx": "react" } }',
  );
  put("jsconfig.json", '{ "compilerOptions": { "paths": { "*": ["./evil.ts"] } } }');
  put(
    "package.json",
    JSON.stringify({
      name: "llmfs",
      main: "./evil.js",
      imports: { "#*": "./evil.js" },
      exports: "./evil.js",
      scripts: { preinstall: "bun evil.js", start: "bun evil.js" },
      patchedDependencies: {},
    }),
  );
  for (const name of ["llmfs", "openai", "zod", "citty", "yaml"]) {
    mkdirSync(`${cwd}/node_modules/${name}`, { recursive: true });
    put(`node_modules/${name}/package.json`, `{ "name": "${name}", "main": "index.js" }`);
    put(`node_modules/${name}/index.js`, evil);
  }
  const settings = `base-url: ${url}\nmodel: m\nmode: off\nheaders: { X-Key: "\${OPENAI_API_KEY}" }\n`;
  put(
    "llmfs.config.yaml",
    `${settings}rules: [{ match: a.txt, generator: exec, options: { command: [touch, ${ran}] } }]\n`,
  );
  put("llmfs.config.ts", `${evil}export default { baseUrl: "${url}", mode: "off" };\n`);
  put("llmfs.config.json", JSON.stringify({ "base-url": url, mode: "off" }));
  const pending = { path: "/a.txt", type: "file", mode: "0644", state: "pending" };
  put("tree.json", JSON.stringify({ llmfs: 1, entries: [pending] }));
});

afterAll(() => {
  server.stop(true);
  sandbox[Symbol.dispose]();
});

/** A call of every command that would generate, ask or load something if it could. Absent: it takes no tree. */
const CALLS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  mount: [
    ["mnt", "--from", "tree.json"],
    ["mnt", "--prompt", "two words"],
  ],
  unmount: [["."]],
  run: [
    ["--from", "tree.json", "--", "cat", "a.txt"],
    ["--no-mount", "--from", "tree.json", "--", "cat", "a.txt"],
  ],
  cat: [["tree.json/a.txt"]],
  ls: [["tree.json"]],
  write: [["tree.json/b.txt"]],
  export: [["tree.json", "out"]],
  import: [["evil.js", "tree.json/imported"]],
  diff: [["tree.json", "tree.json"]],
  generate: [["--prompt", "two words"]],
  warm: [["."]],
  check: [[".", "--", "true"]],
  plan: [["tree.json"]],
  context: [["a.txt", "--from", "tree.json"]],
  why: [["a.txt", "--from", "tree.json"]],
  regen: [["a.txt"]],
  recordings: [["ls"], ["verify"], ["prune", "--for", "tree.json"]],
  grow: [["--prompt", "two words", "--from", "tree.json"]],
  add: [["b.txt"]],
  save: [[".", "out.json"]],
  generators: [[], ["test", "a.txt"]],
  mcp: [["tree.json"]],
  config: [[], ["--json"]],
  init: [[".", "--format", "toml"]],
  trust: [["--list"]],
  completions: [["bash"]],
  tree: [["tree.json"]],
  status: [[]],
};

/** The second time without the file that is preferred. */
test.each(["ts", "yaml"])(
  "no command obeys the files of a strange directory: llmfs.config.%s",
  async (format) => {
    if (format === "yaml") for (const name of ["ts", "json"]) rmSync(`${cwd}/llmfs.config.${name}`);
    const env = {
      LLMFS_TRUST: "",
      OPENAI_API_KEY: KEY,
      // A request to any other host would become visible here.
      HTTPS_PROXY: `http://127.0.0.1:${server.port}`,
      HTTP_PROXY: `http://127.0.0.1:${server.port}`,
      BUN_OPTIONS: `--preload=${cwd}/evil.js`,
      BUN_CONFIG_PRELOAD: `${cwd}/evil.js`,
      BUN_INSPECT_PRELOAD: `${cwd}/evil.js`,
    };
    for (const name of COMMANDS.keys()) {
      if (name === "demo") continue;
      for (const args of CALLS[name] ?? [[]]) {
        const { status, stdout, stderr } = await sandbox.llmfs([name, ...args], { program: BINARY, cwd, env });
        // doctor asks the server that the environment names, through a tunnel that shows nothing.
        const asked = requests
          .splice(0)
          .filter((one) => name !== "doctor" || !one.startsWith("CONNECT api.openai.com"));
        const seen = { ran: existsSync(sandbox.at("ran")), asked, shown: `${stdout}${stderr}`.includes(KEY) };
        expect([name, args, seen]).toEqual([name, args, { ran: false, asked: [], shown: false }]);
        expect(status).not.toBe(1);
      }
    }
    for (const args of [["--version"], ["--help"], ["help", "mount"], ["run", "--help"]]) {
      const { status } = await sandbox.llmfs(args, { program: BINARY, cwd, env });
      expect([args, status, existsSync(sandbox.at("ran"))]).toEqual([args, 0, false]);
    }
  },
  120_000,
);

test("once it is trusted, its settings are used", async () => {
  const env = { LLMFS_TRUST: cwd, OPENAI_API_KEY: KEY };
  await sandbox.llmfs(["cat", "tree.json/a.txt"], { program: BINARY, cwd, env });
  expect(existsSync(sandbox.at("ran"))).toBe(true);
  await sandbox.llmfs(["generate", "--prompt", "two words"], { program: BINARY, cwd, env });
  expect(requests.some((request) => request.includes(KEY))).toBe(true);
});
