/** Processes that generators start do not outlive the mount, however it ends; with the compiled binary. */
import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { describeMounted, processesOf } from "../support/mounted.ts";
import { BINARY, eventually, isAlive, mountedType, Sandbox } from "../support/program.ts";

setDefaultTimeout(60_000);

/** Writes its process id, and runs until it is ended; `stubborn` ignores SIGTERM. */
const script = (how: string) => `${how} sleep 600 & echo "$$ $!" > "$SAID.new"; mv "$SAID.new" "$SAID"; wait`;

const CONFIG = `
const rule = (match, script, more) => ({ match, generator: "exec", options: { env: ["SAID"], command: ["sh", "-c", script] }, ...more });
export default {
  generators: {
    own: {
      async generate() {
        const child = Bun.spawn(["sh", "-c", ${JSON.stringify(script(""))}], { stdio: ["ignore", "ignore", "ignore"] });
        while (!(await Bun.file(process.env.SAID).exists())) await Bun.sleep(10);
        return { content: String(child.pid) };
      },
    },
  },
  rules: [
    rule("plain", ${JSON.stringify(script(""))}),
    rule("stubborn", ${JSON.stringify(script("trap '' TERM;"))}, { timeout: "1s" }),
    { match: "own", generator: "own" },
  ],
};
`;

describeMounted("a program that a generator started", () => {
  const sandbox = new Sandbox();
  const dir = sandbox.directory("mnt");
  const said = sandbox.at("said");
  const options = { program: BINARY, cwd: sandbox.directory("work"), env: { SAID: said } };
  writeFileSync(`${options.cwd}/llmfs.config.ts`, CONFIG);

  /** The processes that ran to generate the content. */
  const programs = () => (existsSync(said) ? readFileSync(said, "utf8").trim().split(" ").map(Number) : []);
  const living = () => programs().filter(isAlive);

  async function mounted(file: string) {
    expect(await sandbox.llmfs(["mount", dir], options)).toMatchObject({ status: 0 });
    const reader = Bun.spawn(["cat", `${dir}/${file}`], { stdio: ["ignore", "ignore", "ignore"] });
    await eventually("the program runs", () => programs().length === 2);
    return { reader, daemon: processesOf(dir, "--daemon")[0]! };
  }

  async function over() {
    // A process that got SIGKILL takes a moment to end.
    await eventually("nothing is left", () => processesOf(dir).length === 0 && living().length === 0);
    expect(mountedType(dir)).toBeUndefined();
  }

  afterEach(() => {
    for (const pid of living()) process.kill(pid, "SIGKILL");
    rmSync(said, { force: true });
  });
  afterAll(() => sandbox[Symbol.dispose]());

  test.each(["stubborn", "plain", "own"])(
    "a program that a generator started has ended when run ends: %s",
    async (file) => {
      const wait = `cat ${file} >/dev/null & while ! test -e "$SAID"; do sleep 0.1; done; test ${file} = plain || wait`;
      expect(await sandbox.llmfs(["run", "--", "sh", "-c", wait], options)).toMatchObject({ status: 0 });
      expect(programs()).toHaveLength(2);
      await eventually("nothing is left", () => living().length === 0);
    },
  );

  test("a program that a generator started has ended when the mount ends after its time limit", async () => {
    const { reader } = await mounted("stubborn");
    expect(await reader.exited).toBe(1);
    expect(await sandbox.llmfs(["unmount", dir], options)).toMatchObject({ status: 0 });
    await over();
  });

  test("a program that a generator started has ended when the last reader of a lazily unmounted mount does", async () => {
    const { reader } = await mounted("stubborn");
    expect(await sandbox.llmfs(["unmount", "-l", dir], options)).toMatchObject({ status: 0 });
    expect(await reader.exited).toBe(1);
    await over();
  });

  test("a program that a generator started has ended when SIGTERM ended the mount", async () => {
    const { reader, daemon } = await mounted("stubborn");
    process.kill(daemon, "SIGTERM");
    await reader.exited;
    await over();
  });

  test.each(["plain", "stubborn", "own"])(
    "a program that a generator started has ended when SIGKILL ended the mount: %s",
    async (file) => {
      const { reader, daemon } = await mounted(file);
      process.kill(daemon, "SIGKILL");
      await reader.exited;
      await over();
    },
  );
});
