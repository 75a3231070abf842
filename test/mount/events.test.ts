/** What programs did with a mount, as `.llmfs/events` shows it, and who may have files generated. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { MountEvent } from "../../src/rpc/programs.ts";
import { contentOf, describeMounted, type Mounted, mounted } from "../support/mounted.ts";
import { eventually } from "../support/program.ts";

const PENDING = [
  "tail.md",
  "busybox.md",
  "less.md",
  "cost.md",
  "broken.md",
  "a.md",
  "b.md",
  "c.md",
  "d.md",
  "docs/e.md",
];

describeMounted("the events of a mount", () => {
  let mount: Mounted;

  beforeAll(async () => {
    const policy = "deny program=nobody-*; deny user=4711 path=docs/**; allow program=kopia path=*.md";
    mount = await mounted({
      pending: PENDING,
      args: ["--policy", policy, "--deny-program", "mycat", "--allow-program", "restic"],
      answer: (path) => (path === "broken.md" ? { status: 400 } : { stream: contentOf(path) }),
    });
    await mount.out(
      "for name in mycat nobody-cares restic kopia borg tracker-extract-3 baloo_file_extractor; do cp /bin/cat $OUT/$name; done",
    );
  });

  afterAll(() => mount[Symbol.asyncDispose]());

  function parse(text: string): readonly MountEvent[] {
    return text.split("\n").flatMap((line) => (line.startsWith("{") && line.endsWith("}") ? [JSON.parse(line)] : []));
  }

  const events = () => parse(readFileSync(`${mount.dir}/.llmfs/events`, "utf8"));
  const about = (path: string) => events().filter((event) => event.path === path);

  test.each([
    ["tail.md", "exec tail -f .llmfs/events"],
    ["busybox.md", "exec busybox tail -f .llmfs/events"],
    ["less.md", "TERM=xterm exec script -qfc 'less +F .llmfs/events' /dev/null"],
  ])(
    "a program that follows the events of %s gets them as they happen: %s",
    async (path, command) => {
      const follower = mount.start(command);
      let seen = "";
      const reading = (async () => {
        const decoder = new TextDecoder();
        for await (const chunk of follower.stdout) seen += decoder.decode(chunk, { stream: true });
      })();
      try {
        await mount.out("cat a.md > /dev/null");
        await eventually("the events so far", () => seen.includes('"/a.md"'));
        expect(await mount.out(`cat ${path}`)).toBe(contentOf(path));
        await eventually("the event", () => seen.includes(`"generated","path":"/${path}"`));
      } finally {
        follower.kill("SIGTERM");
        await Promise.all([reading, follower.exited]);
      }
    },
    30_000,
  );

  test("an event says who caused which generation, what it cost, and not what it made", async () => {
    await mount.out("cat cost.md > /dev/null");
    const [asked, made] = about("/cost.md");
    expect(asked).toMatchObject({ event: "generate", program: "cat", uid: process.getuid?.() ?? 0 });
    expect(asked?.pid).toBeGreaterThan(1);
    expect(made).toMatchObject({ event: "generated", generator: "llm", model: "scripted" });
    expect(made?.generation).toBe(asked?.generation as number);
    expect(made?.inputTokens).toBeGreaterThan(0);
    expect(readFileSync(`${mount.dir}/.llmfs/events`, "utf8")).not.toContain("content of");
  });

  test("a failure is an event with its reason", async () => {
    await mount.sh("cat broken.md");
    expect(about("/broken.md").at(-1)).toMatchObject({ event: "failed", errno: "EIO" });
    expect(about("/broken.md").at(-1)?.reason).toContain("400");
  });

  test("opens and changes of ordinary files are events while somebody follows, and requests through control always", async () => {
    await mount.out("echo first > unseen.txt && cat unseen.txt");
    expect(about("/unseen.txt")).toEqual([]);
    const follower = mount.start("exec tail -f .llmfs/events");
    try {
      await mount.out(
        "sleep 0.2; echo one > new.txt && cat new.txt && mv new.txt newer.txt && chmod 600 newer.txt && rm newer.txt",
      );
      const seen = events().filter(({ path }) => path === "/new.txt" || path === "/newer.txt");
      const short = seen.map(({ event, op, access, program }) => `${event} ${op ?? access} ${program}`);
      expect(short).toEqual([
        "change create sh",
        "change write sh",
        "open read cat",
        "change rename mv",
        "change setattr chmod",
        "change unlink rm",
      ]);
    } finally {
      follower.kill();
      await follower.exited;
    }
    await mount.out(`exec 3<>.llmfs/control; echo '{"op": "save"}' >&3; timeout 20 cat <&3 > /dev/null; exec 3>&-`);
    await mount.sandbox.llmfs(["regen", `${mount.dir}/cost.md`]);
    const requests = events().filter(({ event }) => event === "control");
    expect(requests.map(({ op }) => op)).toEqual(["save", "regen"]);
  });

  test("a program that the policy denies gets EACCES with a reason, and generates nothing", async () => {
    const before = mount.server.requests.length;
    for (const program of ["mycat", "nobody-cares", "borg", "tracker-extract-3", "baloo_file_extractor"]) {
      const { status, stderr, stdout } = await mount.sh(`$OUT/${program} b.md`);
      expect([program, status, stdout]).toEqual([program, 1, ""]);
      expect(stderr).toContain("Permission denied");
      expect(about("/b.md").at(-1)).toMatchObject({ event: "denied", errno: "EACCES" });
    }
    // What a denied program starts is denied too: a backup script calls rsync.
    await mount.out("cp /bin/sh $OUT/rsnapshot");
    expect((await mount.sh("$OUT/rsnapshot -c 'cat b.md; exit $?'")).status).toBe(1);
    expect(mount.server.requests.length).toBe(before);
    const why = await mount.sandbox.llmfs(["why", `${mount.dir}/b.md`]);
    expect(why.stdout).toContain("which rsnapshot started");
    expect(await mount.out("getfattr --only-values -n user.llmfs.denied b.md")).toContain("--allow-program");
    expect(mount.sandbox.log()).toContain("borg (");
  });

  test("a rule may allow what another one denies, by program, path and user", async () => {
    expect(await mount.out("$OUT/restic c.md")).toBe(contentOf("c.md"));
    expect(await mount.out("$OUT/kopia d.md")).toBe(contentOf("d.md"));
    expect((await mount.sh("$OUT/kopia docs/e.md")).status).toBe(1);
    expect(await mount.out("$OUT/borg c.md")).toBe(contentOf("c.md"));
  });

  test("a rule that cannot be understood is an error that names the flag", async () => {
    for (const [rule, problem] of [
      ["forbid user=me", 'begins with "allow" or "deny"'],
      ["deny who=me", "expected program=NAMES, user=NAMES or path=GLOBS"],
      ["deny path=docs/", "must not be empty or end in /"],
    ] as const) {
      const { status, stderr } = await mount.sandbox.llmfs(["mount", mount.sandbox.at("x"), "--policy", rule]);
      expect(status).toBe(2);
      expect(stderr).toContain("--policy");
      expect(stderr).toContain(problem);
    }
  });
});
