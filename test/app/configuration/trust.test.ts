/** Which configuration a command uses, and when its code is run: never from inside an llmfs mount. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { findMountOnPath } from "../../../src/inside-mount.ts";
import { describeMounted, IS_ROOT } from "../../support/mounted.ts";
import { testWith } from "../../support/needs.ts";
import { BINARY, eventually, Sandbox, type StartOptions } from "../../support/program.ts";
import { Terminal } from "../../support/terminal.ts";

const root = IS_ROOT ? undefined : "root";

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
  const pending = { path: "/a.txt", type: "file", mode: "0644", state: "pending" };
  writeFileSync(sandbox.at("tree.json"), JSON.stringify({ llmfs: 1, entries: [pending] }));
  mkdirSync(sandbox.at("rec"));
});
afterEach(() => sandbox[Symbol.dispose]());

/** A configuration that shows when it is run. */
const code = () => `
import { appendFileSync } from "node:fs";
appendFileSync(${JSON.stringify(sandbox.at("ran"))}, process.cwd() + "\\n");
export default { rules: [{ match: "a.txt", generator: "static", options: { content: "by a rule\\\\n" } }] };
`;
const ran = () => {
  const text = existsSync(sandbox.at("ran")) ? readFileSync(sandbox.at("ran"), "utf8") : "";
  rmSync(sandbox.at("ran"), { force: true });
  return text !== "";
};
const llmfs = (args: readonly string[], options: StartOptions = {}) =>
  sandbox.llmfs(args, { program: BINARY, ...options });

const looking = (tree: string): readonly (readonly string[])[] => [
  ["plan", tree],
  ["context", "a.txt", "--from", tree],
  ["why", "a.txt", "--from", tree],
  ["generators"],
  ["recordings", "prune", "--recordings", sandbox.at("rec"), "--for", tree],
];

const config = "llmfs.config.ts";
const untrusted = { env: { LLMFS_TRUST: "" } };
const everything = (tree: string) => [
  ...looking(tree),
  ["run", "--from", tree, "--", "true"],
  ["mount", sandbox.directory("other"), "--from", tree],
  ["generators", "test", "a.txt"],
];

describe("a configuration in the current directory that was not trusted", () => {
  beforeEach(() => writeFileSync(sandbox.at(config), code()));

  test("an untrusted configuration ends every command that would use it, and the error lists the alternatives", async () => {
    for (const args of everything("tree.json")) {
      const { status, stdout, stderr } = await llmfs(args, untrusted);
      expect([args[0], ran(), status, stdout]).toEqual([args[0], false, 84, ""]);
      expect(stderr).toContain(`${config} in the current directory is not trusted`);
      expect(stderr).toContain(`"llmfs trust", or name it with --config ${config}. --config none ignores it`);
    }
  });

  test("an untrusted configuration is not even read as data", async () => {
    rmSync(sandbox.at(config));
    writeFileSync(
      sandbox.at("llmfs.config.yaml"),
      "rules: [{ match: a.txt, generator: exec, options: { command: [touch, ran] } }]",
    );
    for (const args of everything("tree.json")) {
      const { status, stderr } = await llmfs(args, untrusted);
      expect([args[0], ran(), status]).toEqual([args[0], false, 84]);
      expect(stderr).toContain("--config llmfs.config.yaml");
    }
  });

  test("an untrusted configuration is run if it is named", async () => {
    for (const args of looking("tree.json")) {
      const { stderr } = await llmfs([...args, "--config", config], untrusted);
      expect([args[0], ran()]).toEqual([args[0], true]);
      expect(stderr).toContain(`configuration: ${sandbox.at(config)}\n`);
    }
  });

  test("an untrusted configuration is ignored with --config none", async () => {
    for (const args of looking("tree.json")) {
      const { stderr } = await llmfs([...args, "--config", "none"], untrusted);
      expect([args[0], ran(), stderr.includes("not trusted")]).toEqual([args[0], false, false]);
    }
  });
});

describe("llmfs trust", () => {
  beforeEach(() => writeFileSync(sandbox.at(config), code()));
  const plan = async (options: StartOptions = untrusted) => [
    (await llmfs(["plan", "tree.json"], options)).status,
    ran(),
  ];

  test("a trusted configuration is used until its content changes", async () => {
    expect((await llmfs(["trust"], untrusted)).stderr).toBe(`trusted: ${sandbox.at(config)}\n`);
    expect(ran()).toBe(false);
    expect(await plan()).toEqual([0, true]);
    writeFileSync(sandbox.at(config), `${code()}\n`);
    expect(await plan()).toEqual([84, false]);
    writeFileSync(sandbox.at(config), code());
    expect(await plan()).toEqual([0, true]);
  });

  test("trusting new content withdraws the trust in the old content", async () => {
    await llmfs(["trust"], untrusted);
    writeFileSync(sandbox.at(config), "export default { rules: [] };");
    await llmfs(["trust", config], untrusted);
    writeFileSync(sandbox.at(config), code());
    expect(await plan()).toEqual([84, false]);
  });

  test("the same content elsewhere is not trusted", async () => {
    await llmfs(["trust"], untrusted);
    mkdirSync(sandbox.at("copy"));
    writeFileSync(sandbox.at(`copy/${config}`), code());
    expect((await llmfs(["generators"], { ...untrusted, cwd: sandbox.at("copy") })).status).toBe(84);
    expect(ran()).toBe(false);
  });

  test("a directory stands for the configuration in it", async () => {
    expect((await llmfs(["trust", sandbox.path], untrusted)).stderr).toBe(`trusted: ${sandbox.at(config)}\n`);
    expect((await llmfs(["trust", "--remove", sandbox.path], untrusted)).stderr).toBe(
      `no longer trusted: ${sandbox.at(config)}\n`,
    );
    const empty = sandbox.directory("empty");
    const { status, stderr } = await llmfs(["trust", empty], untrusted);
    expect([status, stderr]).toEqual([84, expect.stringContaining(`.toml in ${empty}\n`)]);
  });

  test("trust is listed and withdrawn, even for a file that is gone", async () => {
    await llmfs(["trust"], untrusted);
    expect(JSON.parse((await llmfs(["trust", "--list", "--json"])).stdout)).toEqual([sandbox.at(config)]);
    expect((await llmfs(["trust", "--remove"], untrusted)).status).toBe(0);
    expect(await plan()).toEqual([84, false]);
    await llmfs(["trust"], untrusted);
    rmSync(sandbox.at(config));
    expect((await llmfs(["trust", "--remove", config], untrusted)).status).toBe(0);
    expect((await llmfs(["trust", "--list"])).stdout).toBe("");
    expect(await llmfs(["trust", "--remove", config])).toMatchObject({
      status: 84,
      stderr: expect.stringContaining("not trusted"),
    });
  });

  test("no other user can read or write the marks of trust", async () => {
    await llmfs(["trust"], untrusted);
    const folder = sandbox.at("state/llmfs/trusted");
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder)) expect(statSync(`${folder}/${name}`).mode & 0o777).toBe(0o600);
  });

  test("there must be something to trust", async () => {
    rmSync(sandbox.at(config));
    for (const [args, why] of [
      [["trust"], "there is no llmfs.config.ts"],
      [["trust", "nothing.yaml"], "nothing.yaml: no such file"],
      [["trust", "."], "there is no llmfs.config.ts, .js, .json, .yaml, .yml or .toml in ."],
      [["trust", "/dev/null"], "not a regular file"],
    ] as const) {
      expect(await llmfs(args)).toMatchObject({ status: 84, stderr: expect.stringContaining(why) });
    }
  });

  test("directories in LLMFS_TRUST are trusted with everything below them, by any of their names, but not files beside them", async () => {
    mkdirSync(sandbox.at("beside"));
    symlinkSync(sandbox.path, sandbox.at("link"));
    for (const value of [sandbox.path, sandbox.at(config), `/nowhere:${sandbox.at("link")}`, "/"]) {
      expect([value, ...(await plan({ env: { LLMFS_TRUST: value } }))]).toEqual([value, 0, true]);
    }
    for (const value of [sandbox.at("beside"), sandbox.path.slice(0, -1), ".", "relative:", `${sandbox.at(config)}x`]) {
      expect([value, ...(await plan({ env: { LLMFS_TRUST: value } }))]).toEqual([value, 84, false]);
    }
  });

  test("the user's own configuration is used where there is no other, without any trust", async () => {
    mkdirSync(sandbox.at(".config/llmfs"), { recursive: true });
    writeFileSync(sandbox.at(".config/llmfs/config.ts"), code());
    expect(await plan()).toEqual([84, false]);
    rmSync(sandbox.at(config));
    expect(await plan()).toEqual([0, true]);
    mkdirSync(sandbox.at("own/llmfs"), { recursive: true });
    writeFileSync(sandbox.at("own/llmfs/config.json"), '{ "rules": [] }');
    const { stderr } = await llmfs(["plan", "tree.json"], {
      env: { LLMFS_TRUST: "", XDG_CONFIG_HOME: sandbox.at("own") },
    });
    expect([stderr.includes(`configuration: ${sandbox.at("own/llmfs/config.json")}`), ran()]).toEqual([true, false]);
  });

  test.each([
    ["y", 0, true],
    ["yes", 0, true],
    ["", 84, false],
    ["no", 84, false],
  ])("on a terminal the configuration is shown, and used if the answer is yes: %p", async (answer, status, runs) => {
    const script = `${BINARY[0]} plan tree.json; echo "status $?"`;
    await using terminal = new Terminal(["sh", "-c", script], {
      cwd: sandbox.path,
      env: sandbox.environment(untrusted.env),
    });
    await terminal.shows("appendFileSync");
    await terminal.shows("Trust it from now on");
    expect(ran()).toBe(false);
    terminal.type(`${answer}\r`);
    await terminal.shows(`status ${status}`);
    expect(ran()).toBe(runs);
    expect(await plan()).toEqual([status, runs]);
  });
});

describe("a configuration that changes after it was trusted", () => {
  const evil = () => code().replace("by a rule", "by a stranger");

  test.each([
    [
      "ts",
      () => 'export default { rules: [{ match: "a.txt", generator: "static", options: { content: "good" } }] };',
      evil,
    ],
    [
      "yaml",
      () => "rules: [{ match: a.txt, generator: static, options: { content: good } }]",
      () => `rules: [{ match: a.txt, generator: exec, options: { command: [touch, ${sandbox.at("ran")}] } }]`,
    ],
  ])("is not used if it changes while the user reads it: %s", async (format, good, changed) => {
    const file = `llmfs.config.${format}`;
    writeFileSync(sandbox.at(file), good());
    const script = `${BINARY[0]} cat tree.json/a.txt; echo "status $?"`;
    await using terminal = new Terminal(["sh", "-c", script], {
      cwd: sandbox.path,
      env: sandbox.environment(untrusted.env),
    });
    await terminal.shows("Trust it from now on");
    writeFileSync(sandbox.at(file), changed());
    terminal.type("y\r");
    await terminal.shows("has changed since you trusted it");
    await terminal.shows("status 84");
    expect(existsSync(sandbox.at("ran"))).toBe(false);
  });
});

describe("a list of trusted configurations that cannot be used", () => {
  beforeEach(async () => {
    writeFileSync(sandbox.at(config), code());
    await llmfs(["trust"], untrusted);
  });
  const folder = () => sandbox.at("state/llmfs/trusted");
  const damages: Readonly<Record<string, readonly [damage: () => void, why: string]>> = {
    "every user can write to the folder": [() => chmodSync(folder(), 0o777), "every user can write to it"],
    "every user can write to a mark": [
      () => chmodSync(`${folder()}/${readdirSync(folder())[0]}`, 0o666),
      "every user can write to it",
    ],
    "the folder is a file": [
      () => {
        rmSync(folder(), { recursive: true });
        writeFileSync(folder(), "");
      },
      "cannot read the list of trusted configurations: ENOTDIR",
    ],
    "a mark is a folder": [
      () => {
        const [name] = readdirSync(folder());
        rmSync(`${folder()}/${name}`);
        mkdirSync(`${folder()}/${name}`);
      },
      "cannot read the list of trusted configurations: EISDIR",
    ],
  };

  test.each(Object.keys(damages))("is an error that says why: %s", async (name) => {
    const [damage, why] = damages[name] ?? [];
    damage?.();
    const { status, stderr } = await llmfs(["plan", "tree.json"], untrusted);
    expect([status, ran(), stderr]).toEqual([84, false, expect.stringContaining(why ?? "")]);
    expect((await llmfs(["plan", "tree.json", "--config", config], untrusted)).status).toBe(0);
  });

  test("the answer on the terminal counts even if it cannot be stored", async () => {
    rmSync(folder(), { recursive: true });
    symlinkSync(sandbox.at("nowhere/trusted"), folder());
    const script = `${BINARY[0]} plan tree.json; echo "status $?"`;
    await using terminal = new Terminal(["sh", "-c", script], {
      cwd: sandbox.path,
      env: sandbox.environment(untrusted.env),
    });
    await terminal.shows("Trust it from now on");
    terminal.type("y\r");
    await terminal.shows("warning: cannot write the list of trusted configurations");
    await terminal.shows("status 0");
    expect(ran()).toBe(true);
  });
});

describeMounted("in a mount", () => {
  let mountpoint: string;
  beforeEach(async () => {
    mountpoint = sandbox.directory("m");
    const { status, stderr } = await llmfs(["mount", mountpoint, "--from", "tree.json"]);
    expect([status, stderr]).toEqual([0, ""]);
    writeFileSync(`${mountpoint}/llmfs.config.ts`, code());
  });

  test("code that changes while a mount uses it is not run when its process starts again", async () => {
    const good =
      'export default { generators: { g: { match: ["a.txt", "b.txt"], generate: () => ({ content: String(process.pid) }) } } };';
    writeFileSync(sandbox.at(config), good);
    await llmfs(["trust"], untrusted);
    const other = sandbox.directory("other");
    expect((await llmfs(["mount", other], untrusted)).status).toBe(0);
    const helper = Number(readFileSync(`${other}/a.txt`, "utf8"));
    process.kill(helper, "SIGKILL");
    await eventually("the mount knows of its end", () => !existsSync(`/proc/${helper}`));
    writeFileSync(sandbox.at(config), code());
    expect(() => readFileSync(`${other}/b.txt`)).toThrow("EIO");
    expect(ran()).toBe(false);
    const { stdout } = await llmfs(["why", `${other}/b.txt`], untrusted);
    expect(stdout.replace(/\s+/g, " ")).toContain("has changed since you trusted it");
    writeFileSync(sandbox.at(config), good);
    expect(readFileSync(`${other}/b.txt`, "utf8")).toMatch(/^\d+$/);
  });

  const refusal = (mount = mountpoint) => `is inside the llmfs mount at ${mount}, where a model may have written it`;

  test("a configuration in the current directory is used by no command, and each reports that", async () => {
    mkdirSync(`${mountpoint}/sub`);
    writeFileSync(`${mountpoint}/sub/llmfs.config.ts`, code());
    const commands = [
      ...looking(sandbox.at("tree.json")),
      ["run", "--from", sandbox.at("tree.json"), "--", "true"],
      ["mount", sandbox.directory("other"), "--from", sandbox.at("tree.json")],
      ["generators", "test", "a.txt"],
    ];
    for (const cwd of [mountpoint, `${mountpoint}/sub`]) {
      for (const args of commands) {
        const { stderr } = await llmfs(args, { cwd });
        expect([args[0], ran()]).toEqual([args[0], false]);
        expect(stderr).toContain(refusal());
        if (args[0] === "mount") await llmfs(["unmount", args[1] ?? ""]);
      }
    }
  });

  test("a configuration that is named with --config is an error", async () => {
    for (const args of [...looking(sandbox.at("tree.json")), ["run", "--", "true"]]) {
      const { status, stderr } = await llmfs([
        ...args.slice(0, 1),
        "--config",
        `${mountpoint}/llmfs.config.ts`,
        ...args.slice(1),
      ]);
      expect([args[0], ran(), status]).toEqual([args[0], false, 84]);
      expect(stderr).toContain(refusal());
    }
  });

  test("commands that inspect the mount know its rules without running its configuration again", async () => {
    writeFileSync(sandbox.at("outside.ts"), code());
    const other = sandbox.directory("other");
    const mounted = await llmfs(["mount", other, "--from", "tree.json", "--config", "outside.ts"]);
    expect([mounted.status, mounted.stderr, ran()]).toEqual([0, `configuration: ${sandbox.at("outside.ts")}\n`, true]);
    // If it were loaded, this would be an error.
    writeFileSync(sandbox.at("outside.ts"), 'throw new Error("loaded");');
    for (const args of [
      ["plan", other],
      ["why", `${other}/a.txt`],
      ["context", `${other}/a.txt`],
    ]) {
      const { stdout, stderr } = await llmfs(args);
      expect([args[0], stdout + stderr]).toEqual([
        args[0],
        expect.stringMatching(/generated by "static"|made by +static|generator "?static/),
      ]);
      expect(stderr).toContain(`configuration: ${sandbox.at("outside.ts")}, as mounted\n`);
    }
    expect(ran()).toBe(false);
  });

  test("neither a symlink nor /proc lets a configuration in a mount be used", async () => {
    symlinkSync(`${mountpoint}/llmfs.config.ts`, sandbox.at("link.ts"));
    symlinkSync(mountpoint, sandbox.at("folder"));
    writeFileSync(sandbox.at("outside.ts"), code());
    // The author of the link chooses what runs.
    symlinkSync(sandbox.at("outside.ts"), `${mountpoint}/out.ts`);
    const paths = ["link.ts", "folder/llmfs.config.ts", "folder/../m/llmfs.config.ts", "m/out.ts", "folder/out.ts"];
    for (const path of [...paths, `/proc/self/root${mountpoint}/llmfs.config.ts`]) {
      const { status, stderr } = await llmfs(["run", "--config", path, "--", "true"]);
      expect([path, ran(), status]).toEqual([path, false, 84]);
      expect(stderr).toContain(refusal());
    }
  });

  test.each([
    ["by its path", (m: string) => `import rules from "${m}/evil.ts";`],
    ["through a symlink", () => 'import rules from "./folder/evil.ts";'],
    ["through a symlink in the mount", (m: string) => `import rules from "${m}/out.ts";`],
    ["as a package", () => 'import rules from "evil";'],
    ["by require", () => 'const rules = require("./folder/evil.ts").default;'],
    ["by a name that is computed", () => 'const { default: rules } = await import("./folder/" + "evil.ts");'],
    ["by way of another file", () => 'import rules from "./between.ts";'],
  ])("a configuration outside imports nothing from a mount: %s", async (_, line) => {
    writeFileSync(`${mountpoint}/evil.ts`, code());
    writeFileSync(`${mountpoint}/package.json`, '{ "name": "evil", "main": "evil.ts" }');
    writeFileSync(sandbox.at("outside.ts"), code());
    symlinkSync(sandbox.at("outside.ts"), `${mountpoint}/out.ts`);
    symlinkSync(mountpoint, sandbox.at("folder"));
    mkdirSync(sandbox.at("node_modules"));
    symlinkSync(mountpoint, sandbox.at("node_modules/evil"));
    writeFileSync(sandbox.at("between.ts"), 'export { default } from "./folder/evil.ts";');
    writeFileSync(sandbox.at("c.ts"), `${line(mountpoint)}\nexport default rules;`);
    const { status, stderr } = await llmfs(["generators", "--config", "c.ts"]);
    expect([ran(), status]).toEqual([false, 84]);
    expect(stderr).toContain(refusal());
  });

  test("a configuration outside imports files beside it as usual, whatever the current directory", async () => {
    writeFileSync(sandbox.at("beside.ts"), code());
    writeFileSync(sandbox.at("c.ts"), 'export { default } from "./beside.ts";');
    for (const name of ["package.json", "tsconfig.json", "bunfig.toml", ".env"]) {
      writeFileSync(`${mountpoint}/${name}`, "{ not for us");
    }
    const { status } = await llmfs(["generators", "--config", sandbox.at("c.ts")], { cwd: mountpoint });
    expect([status, readFileSync(sandbox.at("ran"), "utf8")]).toEqual([0, `${sandbox.path}\n`]);
  });

  testWith(root)(
    "a bind mount, an overlay and a filesystem mounted inside do not let a configuration be used",
    async () => {
      const script = `set -e
      mkdir -p bound up work over up2 work2 over2 m/inner
      : > bound.ts
      mount --bind m bound
      mount --bind m/llmfs.config.ts bound.ts
      mount -t tmpfs none m/inner
      cp m/llmfs.config.ts m/inner/
      mount -t overlay overlay -o lowerdir=$PWD/m,upperdir=$PWD/up,workdir=$PWD/work over 2>/dev/null || echo "no overlay"
      mount -t overlay overlay -o lowerdir=m,upperdir=up2,workdir=work2 over2 2>/dev/null || echo "no overlay"
      for file in bound/llmfs.config.ts bound.ts m/inner/llmfs.config.ts over/llmfs.config.ts over2/llmfs.config.ts; do
        [ -e "$file" ] || continue
        if ${BINARY[0]} run --config $file -- true; then echo "$file was used"; fi
      done
      (cd bound && ${BINARY[0]} generators test a.txt) || true
      (cd m/inner && ${BINARY[0]} generators test a.txt) || true`;
      const child = Bun.spawn({
        cmd: ["unshare", "--mount", "sh", "-c", script],
        cwd: sandbox.path,
        env: sandbox.environment(),
        stdio: ["ignore", "pipe", "pipe"],
      });
      const [stdout, stderr] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      expect([await child.exited, ran()]).toEqual([0, false]);
      expect(stdout).not.toContain("was used");
      expect(stderr.match(/where a model may have written it/g)?.length).toBeGreaterThanOrEqual(5);
    },
  );

  testWith(root)("a mount of another mount namespace does not let a configuration be used", async () => {
    const script = `${BINARY[0]} mount other --from tree.json && cp m/llmfs.config.ts other/ && echo ready && exec sleep 60`;
    mkdirSync(sandbox.at("other"));
    const child = Bun.spawn({
      cmd: ["unshare", "--mount", "sh", "-c", script],
      cwd: sandbox.path,
      env: sandbox.environment(),
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const said = await child.stdout.getReader().read();
      expect(new TextDecoder().decode(said.value)).toBe("ready\n");
      const path = `/proc/${child.pid}/root${sandbox.at("other")}/llmfs.config.ts`;
      expect(existsSync(path)).toBe(true);
      const { status, stderr } = await llmfs(["run", "--config", path, "--", "true"]);
      expect([ran(), status]).toEqual([false, 84]);
      expect(stderr).toContain("is inside a FUSE mount of another mount namespace");
    } finally {
      Bun.spawnSync([
        "nsenter",
        "--mount",
        "--target",
        String(child.pid),
        BINARY[0] ?? "",
        "unmount",
        sandbox.at("other"),
      ]);
      child.kill("SIGKILL");
      await child.exited;
    }
  });
});

test("an ordinary path is not inside a mount", () => {
  symlinkSync("loop", sandbox.at("loop"));
  expect(findMountOnPath(import.meta.path)).toBeUndefined();
  expect(findMountOnPath(sandbox.at("loop"))).toBeUndefined();
  expect(findMountOnPath(sandbox.at("nothing/here"))).toBeUndefined();
});
