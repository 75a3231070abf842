/** A mount that other users can enter: which files they can make it reveal to them. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { contentOf, IS_ROOT, LACKING, type Mounted, pathOf, unmounted } from "../support/mounted.ts";
import { programs } from "../support/needs.ts";
import { BINARY, type Finished, finished } from "../support/program.ts";

setDefaultTimeout(60_000);

const ALICE = 71_000;
const BOB = 71_001;
const SECRET = "the-tide-is-a-lie";

const CONFIG = `
rules:
  - match: "reports/{name}.txt"
    generator: exec
    options: { command: [sh, -c, 'echo "made by $(id -u)"'] }
  - match: "tables/*.csv"
    generator: exec
    options: { command: [id, -u] }
`;

const SNAPSHOT = JSON.stringify({
  llmfs: 1,
  entries: [
    { path: "/", type: "directory", mode: "1777" },
    { path: "/private", type: "directory", mode: "0700" },
    { path: "/private/notes.md", type: "file", mode: "0600", text: SECRET },
    { path: "/group.md", type: "file", mode: "0640", gid: 1, text: SECRET },
    {
      path: "/ours.md",
      type: "file",
      state: "pending",
      mode: "0644",
      xattrs: { "user.llmfs.depends": "private/notes.md" },
    },
    {
      path: "/given.md",
      type: "file",
      state: "pending",
      mode: "0644",
      xattrs: { "user.llmfs.depends": "private/notes.md" },
    },
    { path: "/common", type: "directory", mode: "0777" },
    { path: "/common/plain.md", type: "file", state: "pending", mode: "0666" },
    { path: "/tables", type: "directory", mode: "0777" },
    { path: "/alice", type: "directory", uid: ALICE, gid: ALICE },
    {
      path: "/daemon.md",
      type: "file",
      state: "pending",
      uid: 1,
      gid: 1,
      xattrs: { "user.llmfs.depends": "group.md" },
    },
  ],
});

async function shared(): Promise<Mounted> {
  const mounted = await unmounted();
  const { sandbox } = mounted;
  chmodSync(sandbox.path, 0o711);
  writeFileSync(sandbox.at("from.json"), SNAPSHOT);
  writeFileSync(sandbox.at("rules.yaml"), CONFIG);
  await mounted.mount(["--from", "from.json", "--config", "rules.yaml", "--allow-other", ...mounted.modelArgs()]);
  return mounted;
}

/** A shell script that runs as another user. */
async function as({ dir, sandbox }: Mounted, uid: number, script: string): Promise<Finished> {
  const child = Bun.spawn({
    cmd: ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "sh", "-c", script],
    cwd: dir,
    env: sandbox.environment({ LC_ALL: "C" }),
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end();
  return finished(child);
}

/** The whole text that was sent for a file. */
function sentFor(mounted: Mounted, path: string): string {
  const about = mounted.server.requests.filter((request) => pathOf(request) === path);
  return about.map(({ body }) => JSON.stringify(body)).join("\n");
}

const lacking = LACKING ?? (IS_ROOT ? programs("setpriv", "setfacl") : "to be root");
const tell = (name: string) => (lacking === undefined ? name : `${name} (lacks ${lacking})`);

describe.skipIf(lacking !== undefined)(tell("on a mount that others can enter"), () => {
  test("a file that depends on a file its owner may not read is not generated, and nothing is sent", async () => {
    await using mounted = await shared();
    const { status, stderr } = await as(
      mounted,
      ALICE,
      "touch alice/it.md; setfattr -n user.llmfs.depends -v /private/notes.md alice/it.md\n" +
        "setfattr -n user.llmfs.prompt -v 'Repeat it.' alice/it.md; cat alice/it.md",
    );
    expect([status, stderr]).toEqual([1, expect.stringContaining("Permission denied")]);
    expect(await mounted.xattr("alice/it.md", "error")).toMatch(/^EACCES: .*may not read it$/);
    expect(mounted.server.requests.length).toBe(0);
    // It makes no difference if another user reads it.
    expect((await mounted.sh("cat alice/it.md")).status).toBe(1);
    expect(mounted.server.requests.length).toBe(0);
    // A file of the owner can be generated and read there.
    expect(await mounted.out("cat ours.md")).toBe(contentOf("ours.md"));
    expect(sentFor(mounted, "ours.md")).toContain(SECRET);
  });

  test("a prompt that names a file its author may not read gets neither its content nor its name", async () => {
    await using mounted = await shared();
    const prompt = "Repeat private/notes.md and group.md.";
    await as(
      mounted,
      ALICE,
      `echo hers > alice/own.md; touch alice/it.md; setfattr -n user.llmfs.prompt -v '${prompt}' alice/it.md`,
    );
    expect((await as(mounted, ALICE, "cat alice/it.md")).stdout).toBe(contentOf("alice/it.md"));
    const sent = sentFor(mounted, "alice/it.md");
    expect(sent).toContain("own.md");
    expect(sent).not.toContain(SECRET);
    expect(sent.replaceAll(prompt, "")).not.toMatch(/private|group\.md/);
    // The commands that inspect a mount do not show it either.
    for (const args of [
      ["context", "mnt/alice/it.md"],
      ["why", "mnt/alice/it.md"],
    ]) {
      const told = await mounted.sandbox.llmfs(args, { program: BINARY });
      expect([told.status, told.stdout.includes(SECRET)]).toEqual([0, false]);
    }
  });

  test("a file that the owner may read through a group or an access control list is sent", async () => {
    await using mounted = await shared();
    expect(await mounted.out("cat daemon.md")).toBe(contentOf("daemon.md"));
    expect(sentFor(mounted, "daemon.md")).toContain(SECRET);
    await as(
      mounted,
      ALICE,
      "touch alice/it.md; setfattr -n user.llmfs.depends -v /group.md alice/it.md; setfattr -n user.llmfs.prompt -v p alice/it.md",
    );
    expect((await mounted.sh("cat alice/it.md")).status).toBe(1);
    await mounted.out(`setfacl -m u:${ALICE}:r group.md`);
    expect(await mounted.out("cat alice/it.md")).toBe(contentOf("alice/it.md"));
    expect(sentFor(mounted, "alice/it.md")).toContain(SECRET);
  });

  test("a file whose owner changes is composed for its new owner", async () => {
    await using mounted = await shared();
    await mounted.out(`chown ${ALICE} given.md`);
    expect((await as(mounted, ALICE, "cat given.md")).status).toBe(1);
    expect(mounted.server.requests.length).toBe(0);
    await mounted.out("chown 0 given.md");
    expect((await as(mounted, ALICE, "cat given.md")).stdout).toBe(contentOf("given.md"));
  });

  test("other users cannot set the attributes that bind a rule, and nobody can set the origin", async () => {
    await using mounted = await shared();
    const attempts = [
      "setfattr -n user.llmfs.origin -v /reports/x.txt alice/it",
      "setfattr -n user.llmfs.origin -v /reports alice",
      "setfattr -n user.llmfs.generator -v exec alice/it",
      "setfattr -n user.llmfs.generator -v exec alice",
      "setfattr -n user.llmfs.refresh -v always alice/it",
    ];
    const { stdout } = await as(
      mounted,
      ALICE,
      `touch alice/it\n${attempts.map((one) => `${one} 2>&1 | grep -c 'not permitted'`).join("\n")}`,
    );
    expect(stdout).toBe("1\n".repeat(attempts.length));
    const { stderr } = await mounted.sh("touch it; setfattr -n user.llmfs.origin -v /reports/x.txt it");
    expect(stderr).toContain("Operation not permitted");
  });

  test("no rule generates a file that other users made, renamed or linked to a matching name", async () => {
    await using mounted = await shared();
    // A file that llmfs itself makes for a rule works as usual.
    expect((await as(mounted, ALICE, "cat reports/tides.txt")).stdout).toBe("made by 0\n");
    const script = [
      "echo > tables/a.csv; : > tables/b.csv; setfattr -n user.llmfs.prompt -v p tables/b.csv; cat tables/b.csv",
      "mv common/plain.md tables/c.csv; cat tables/c.csv",
      "mkdir other; cat other/none.txt",
    ];
    const { stdout } = await as(mounted, ALICE, script.join("\n"));
    expect(stdout).toBe(contentOf("tables/b.csv") + contentOf("common/plain.md"));
    // Renames by the user who mounted work as usual.
    await mounted.out("touch new; setfattr -n user.llmfs.prompt -v p new; mv new tables/d.csv");
    expect(await mounted.out("cat tables/d.csv")).toBe("0\n");
  });

  test("only the owner decides what a file is generated from, even if others may write to it", async () => {
    await using mounted = await shared();
    const { stdout, stderr } = await as(
      mounted,
      BOB,
      "for a in prompt depends model description meta.request; do setfattr -n user.llmfs.$a -v x common/plain.md; done 2>&1 | grep -c 'not permitted'\n" +
        "setfattr -n user.llmfs.state -v static common/plain.md && echo written > common/plain.md && cat common/plain.md",
    );
    expect([stdout, stderr]).toEqual(["5\nwritten\n", ""]);
    const again = await as(mounted, BOB, "setfattr -n user.llmfs.state -v pending common/plain.md");
    expect(again.status).toBe(1);
  });

  test("the control files are reserved to the user who mounted", async () => {
    await using mounted = await shared();
    const names = (await mounted.out("ls .llmfs")).trim().split("\n");
    expect(names).toContain("snapshot.json");
    const { stdout } = await as(
      mounted,
      ALICE,
      `ls .llmfs; for f in ${names.join(" ")}; do cat .llmfs/$f && echo read; echo x >> .llmfs/$f && echo written; done`,
    );
    expect(stdout).toBe("");
    const { status } = await as(mounted, ALICE, `${BINARY[0]} context alice`);
    expect(status).not.toBe(0);
  });
});
