import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { EXIT } from "../../src/cli/output/exit-codes.ts";
import { readMounts } from "../../src/mountinfo.ts";
import { fuse, programs, testWith, userNamespace } from "../support/needs.ts";
import { openaiServer } from "../support/openai-server.ts";
import { BINARY, eventually, finished, isAlive, PROGRAMS, Sandbox } from "../support/program.ts";

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => {
  expect(sandbox.leftovers()).toEqual([]);
  sandbox[Symbol.dispose]();
});

const shell = (script: string, ...flags: string[]) => ["run", ...flags, "--", "sh", "-c", script];

describe.each(PROGRAMS)("%s", (_, program) => {
  test("run starts the command in a new mount, and passes its path", async () => {
    const { status, stdout, stderr } = await sandbox.llmfs(
      shell('pwd; echo "$LLMFS_MOUNT"; stat -f -c %T .; echo x > file; cat file; stat -c %a .'),
      { program },
    );
    const [pwd, told, type, content, mode] = stdout.trim().split("\n");
    expect([status, stderr]).toEqual([0, ""]);
    expect(pwd).toStartWith(`${sandbox.path}/llmfs-`);
    expect([told, type, content, mode]).toEqual([pwd, "fuseblk", "x", "755"]);
  });
});

describe("the exit status of run", () => {
  test("the exit status of run is that of the command", async () => {
    expect((await sandbox.llmfs(shell("exit 7"))).status).toBe(7);
    expect((await sandbox.llmfs(shell("exit 255"))).status).toBe(255);
  });

  test("the exit status of run is 128 + n if a signal ends the command", async () => {
    expect((await sandbox.llmfs(shell("kill -TERM $$"))).status).toBe(143);
    expect((await sandbox.llmfs(shell("kill -KILL $$"))).status).toBe(137);
  });

  test("the exit status of run is 127 for a missing command and 126 for one that cannot be executed, with a message", async () => {
    const tried = async (...args: string[]) => {
      const { status, stdout, stderr } = await sandbox.llmfs(["run", "--from", "tree.json", ...args]);
      return [status, stdout, stderr];
    };
    const entries = [
      { path: "/data", type: "file", mode: "0644", text: "no program" },
      { path: "/folder", type: "directory" },
    ];
    writeFileSync(sandbox.at("tree.json"), JSON.stringify({ llmfs: 1, entries }));
    const absent = "llmfs: ./none does not exist in the tree; a program outside of the tree needs an absolute path\n";
    const closed =
      "llmfs: ./data is not executable; make it so with chmod +x, or name the program that runs it, such as sh\n";
    for (const mounted of [[], ["--no-mount"]]) {
      expect(await tried(...mounted, "--", "./none", "-x")).toEqual([127, "", absent]);
      expect(await tried(...mounted, "--", "./data")).toEqual([126, "", closed]);
      expect(await tried(...mounted, "--", "./folder")).toEqual([126, "", expect.stringContaining("is a directory")]);
    }
  });

  test("a command that cannot be found is reported before a model is asked for a tree", async () => {
    await using server = await openaiServer([{ status: 500 }]);
    const model = ["--model", "m", "--base-url", server.baseUrl, "--prompt", "a tree"];
    const { status, stderr } = await sandbox.llmfs(["run", ...model, "--", "no-such-program", "-x"]);
    expect([status, stderr, server.requests.length]).toEqual([
      ...[
        127,
        "llmfs: no-such-program: there is no such program in PATH; for a program in the tree, write: -- ./no-such-program\n",
      ],
      0,
    ]);
  });
});

test("arguments, standard input and environment reach the command unchanged", async () => {
  const { stdout } = await sandbox.llmfs(
    ["run", "--", "sh", "-c", 'printf "%s|" "$@"; cat; echo "$WORD"', "sh", "a b", "", "*", "--"],
    {
      stdin: "input\n",
      env: { WORD: "hello" },
    },
  );
  expect(stdout).toBe("a b||*|--|input\nhello\n");
});

test("a program in the mount can be run by a path relative to the mount", async () => {
  const script = sandbox.at("tree.json");
  const entries = [{ path: "/hello.sh", type: "file", mode: "0755", text: "#!/bin/sh\necho hello from the mount\n" }];
  writeFileSync(script, JSON.stringify({ llmfs: 1, entries }));
  const { status, stdout } = await sandbox.llmfs(["run", "--from", script, "--", "./hello.sh"]);
  expect([status, stdout]).toEqual([0, "hello from the mount\n"]);
});

test("a pending program is generated when it is run", async () => {
  await using server = await openaiServer([{ stream: "#!/bin/sh\necho written just now\n" }]);
  const entries = [{ path: "/hello.sh", type: "file", mode: "0755", state: "pending" }];
  writeFileSync(sandbox.at("tree.json"), JSON.stringify({ llmfs: 1, entries }));
  const { status, stdout } = await sandbox.llmfs([
    "run",
    "--from",
    "tree.json",
    "--base-url",
    server.baseUrl,
    "--model",
    "scripted",
    "--",
    "./hello.sh",
  ]);
  expect([status, stdout]).toEqual([0, "written just now\n"]);
});

describe("a signal", () => {
  test.each(["SIGTERM", "SIGHUP", "SIGINT"] as const)("signal %s is passed on to the command", async (name) => {
    const child = sandbox.start(
      shell(`trap 'exit 9' ${name.slice(3)}; touch "${sandbox.at("up")}"; while :; do sleep 0.05; done`),
    );
    await eventually("the command runs", () => existsSync(sandbox.at("up")));
    child.kill(name);
    expect((await finished(child)).status).toBe(9);
  });

  test("a signal before the command starts ends run with 128 + n", async () => {
    await using server = await openaiServer([{ hang: true }]);
    const child = sandbox.start(shell("true", "--prompt", "a site", "--model", "m", "--base-url", server.baseUrl));
    await server.request(0);
    child.kill("SIGTERM");
    expect((await finished(child)).status).toBe(143);
  });
});

describe("an unmount by somebody else while the command runs", () => {
  test("an unmount while the command runs is reported at once, ends the command, and saves the tree", async () => {
    const child = sandbox.start(shell("echo mine > own; echo ready; exec sleep 60", "--save", "tree.json"));
    await child.stdout.getReader().read();
    const mount = readMounts().find(({ path }) => path.startsWith(sandbox.path));
    expect((await sandbox.llmfs(["unmount", "--lazy", mount?.path ?? ""])).status).toBe(0);
    const { status, stderr } = await ended(child);
    expect(status).toBe(EXIT.notMounted.code);
    expect(stderr).toContain(`${mount?.path} was unmounted; ending sh because its files are gone`);
    expect(readFileSync(sandbox.at("tree.json"), "utf8")).toContain("mine");
  });

  test("an unmount is reported to a command outside the mount too, which is killed if SIGTERM does not end it", async () => {
    const script = "trap '' TERM; cd /; echo ready; while :; do sleep 0.1; done";
    const child = sandbox.start(shell(script));
    await child.stdout.getReader().read();
    const mount = readMounts().find(({ path }) => path.startsWith(sandbox.path));
    await sandbox.llmfs(["unmount", mount?.path ?? ""]);
    const { status, stderr } = await ended(child);
    expect([status, stderr]).toEqual([
      EXIT.notMounted.code,
      expect.stringContaining("sh was stopped and exited with status 137"),
    ]);
  });

  test("an unmount does not end the command if the mount is only covered by another", async () => {
    const cover = 'mount -t tmpfs none "$LLMFS_MOUNT"; sleep 1; umount "$LLMFS_MOUNT"; echo done';
    const { status, stdout } = await sandbox.llmfs(shell(cover));
    if (process.getuid?.() === 0) expect([status, stdout]).toEqual([0, "done\n"]);
  });

  /** Resolves when the child ends, whose standard output the caller reads. */
  async function ended(child: ReturnType<Sandbox["start"]>) {
    const stderr = await new Response(child.stderr).text();
    return { status: await child.exited, stderr };
  }
});

test("the log says when a mount of run began and ended, and which command ran in it", async () => {
  await sandbox.llmfs(shell("exit 3"));
  const lines = sandbox.log().match(/(?<= info cli: ).*$/gm) ?? [];
  expect(lines.map((line) => line.replace(/ (\/\S*|\d+)$/, ""))).toEqual([
    "mounted at",
    "running sh as process",
    "sh ended with status",
    "unmounted",
  ]);
});

describe("run, killed by SIGKILL,", () => {
  /** Prints its process id, and ends only with SIGKILL. */
  const stubborn = () => shell(`trap "" TERM; echo $$ > "${sandbox.at("up")}"; while :; do sleep 0.05; done`);

  async function killed(child: ReturnType<Sandbox["start"]>): Promise<void> {
    await eventually(
      "the command runs",
      () => existsSync(sandbox.at("up")) && readFileSync(sandbox.at("up")).length > 1,
    );
    const command = Number(readFileSync(sandbox.at("up"), "utf8"));
    expect([isAlive(command), sandbox.leftovers()]).toEqual([true, [expect.stringContaining("llmfs-")]]);
    child.kill("SIGKILL");
    await eventually("the command is gone", () => !isAlive(command));
    await eventually("nothing is left", () => sandbox.leftovers().length === 0);
  }

  test("killing run with SIGKILL removes mount, temporary directory and command", async () => {
    await killed(sandbox.start(stubborn()));
  });

  testWith(fuse(true) ?? userNamespace())(
    "killing run with SIGKILL in a namespace that it created removes everything, too",
    async () => {
      await killed(
        sandbox.start([], { program: ["unshare", "--user", "--map-root-user", "--net", ...BINARY, ...stubborn()] }),
      );
    },
  );
});

test("processes that the command leaves running do not keep the mount", async () => {
  const { status, stdout } = await sandbox.llmfs(shell("sleep 60 >/dev/null 2>&1 & echo $!"));
  expect(status).toBe(0);
  const pid = Number(stdout);
  expect(isAlive(pid)).toBe(true);
  process.kill(pid);
});

test("--save keeps what the command made", async () => {
  const { status } = await sandbox.llmfs(shell("echo kept > file; exit 3", "--save", "tree.json"));
  expect(status).toBe(3);
  expect(readFileSync(sandbox.at("tree.json"), "utf8")).toContain('"kept\\n"');
});

test("a failed save is reported, and is the exit status if the command succeeded", async () => {
  mkdirSync(sandbox.at("gone"));
  const { status, stderr } = await sandbox.llmfs(shell(`rmdir "${sandbox.at("gone")}"`, "--save", "gone/tree.json"));
  expect(status).toBe(89);
  expect(stderr).toContain("could not be saved");
});

describe("without root and without fusermount3", () => {
  const lacking = fuse(true) ?? userNamespace() ?? programs("setpriv");

  /** A PATH with what the commands need, without fusermount3 and fusermount. */
  function poorPath(...more: readonly string[]): string {
    const folder = sandbox.directory("bin");
    for (const name of ["sh", "id", "cat", "grep", "true", "sleep", ...more]) {
      symlinkSync(Bun.which(name) ?? `/missing/${name}`, `${folder}/${name}`);
    }
    return folder;
  }

  /** Runs llmfs as an ordinary user: as nobody if the tests run as root. */
  async function asUser(args: readonly string[], path: string) {
    // The checkout may be in a folder that nobody may enter.
    copyFileSync(BINARY[0] ?? "", sandbox.at("llmfs"));
    chmodSync(sandbox.at("llmfs"), 0o755);
    chmodSync(sandbox.path, 0o777);
    const setpriv = Bun.which("setpriv") ?? "setpriv";
    const nobody = process.getuid?.() === 0 ? [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups"] : [];
    return sandbox.llmfs([], { program: [...nobody, sandbox.at("llmfs"), ...args], env: { PATH: path } });
  }

  testWith(lacking)("run mounts in a user namespace, where the command keeps its uid and gains no rights", async () => {
    const { status, stdout, stderr } = await asUser(
      shell(
        'id -u; grep CapEff /proc/self/status; grep -c "$LLMFS_MOUNT fuse.llmfs" /proc/self/mounts; echo x > f; cat f; exit 5',
      ),
      poorPath("unshare"),
    );
    const uid = process.getuid?.() === 0 ? 65534 : process.getuid?.();
    expect([status, stderr]).toEqual([5, ""]);
    expect(stdout).toBe(`${uid}\nCapEff:\t0000000000000000\n1\nx\n`);
  });

  testWith(lacking)("without root, fusermount3 and unshare, run says what is missing", async () => {
    const { status, stderr } = await asUser(["run", "--", "true"], poorPath());
    expect(status).toBe(82);
    expect(stderr).toContain(
      "no CAP_SYS_ADMIN, no fusermount3 in PATH, and unshare, which creates user namespaces, is not in PATH",
    );
    expect(stderr).toContain("install fuse3");
  });

  testWith(lacking)("without root and fusermount3, mount says what is missing", async () => {
    sandbox.directory("mnt");
    const { status, stderr } = await asUser(["mount", "mnt"], poorPath("unshare"));
    expect(status).toBe(82);
    expect(stderr).toContain("mounting is not permitted: no CAP_SYS_ADMIN, and no fusermount3 in PATH");
  });
});

describe("a user namespace without its own mount namespace, such as a network sandbox", () => {
  const lacking = fuse(true) ?? userNamespace();
  const inside = (flags: string, args: readonly string[]) =>
    sandbox.llmfs([], { program: ["unshare", ...flags.split(" "), ...BINARY, ...args] });

  const KINDS = [
    ["root", "--user --map-root-user --net", "0\n000001ffffffffff"],
    ["an ordinary user", "--user --map-current-user --net", `${process.getuid?.()}\n`],
  ] as const;

  for (const [who, flags, first] of KINDS) {
    testWith(lacking)(
      `in a user namespace without its own mount namespace, run creates one for ${who} and mounts there`,
      async () => {
        const script = "id -u; sed -n 's/^CapEff:.//p' /proc/self/status; echo x > f; cat f; exit 5";
        const { status, stdout, stderr } = await inside(flags, shell(script));
        expect([status, stderr, stdout.slice(0, first.length), stdout.endsWith("x\n")]).toEqual([5, "", first, true]);
      },
    );

    testWith(lacking)(
      `in a user namespace without its own mount namespace, mount reports this to ${who}, with the fix`,
      async () => {
        sandbox.directory("mnt");
        const { status, stderr } = await inside(flags, ["mount", "mnt"]);
        expect(status).toBe(82);
        expect(stderr).toContain("a user namespace without a mount namespace of its own");
        expect(stderr).not.toContain("docker");
      },
    );
  }
});
