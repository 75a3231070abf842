/** Every event of a mount, in a file outside it and in the log. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { MountEvent } from "../../src/rpc/programs.ts";
import { contentOf, describeMounted, snapshotOf, unmounted } from "../support/mounted.ts";
import { eventually } from "../support/program.ts";

function eventsIn(file: string): readonly MountEvent[] {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
}

describeMounted("the audit", () => {
  test("the audit has every event, survives rotation, and generates nothing without its file if it is required", async () => {
    await using mount = await unmounted();
    mkdirSync(mount.sandbox.at("audits"));
    writeFileSync(mount.sandbox.at("from.json"), snapshotOf(["a.md", "b.md", "c.md", "d.md"]));
    const audit = ["--audit", "audits/audit.jsonl", "--audit-required", "--log-format", "json"];
    await mount.mount(["--from", "from.json", ...mount.modelArgs(), ...audit]);
    const file = mount.sandbox.at("audits/audit.jsonl");
    const rotated = mount.sandbox.at("audits/audit.jsonl.1");
    const about = (path: string, where = file) => eventsIn(where).filter((event) => event.path === path);
    await mount.out("cat a.md; echo one > new.txt; cat new.txt");
    await eventually("the last event", () => about("/new.txt").some(({ event }) => event === "open"));
    expect(about("/a.md").map(({ event }) => event)).toEqual(["generate", "generated"]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, "utf8")).not.toContain("content of");

    renameSync(file, rotated);
    expect(await mount.out("cat b.md")).toBe(contentOf("b.md"));
    await eventually("the new file", () => about("/b.md").length === 2);
    expect(about("/b.md", rotated)).toEqual([]);

    rmSync(mount.sandbox.at("audits"), { recursive: true });
    expect((await mount.sh("cat c.md")).stderr).toContain("Input/output error");
    expect(await mount.out("getfattr --only-values -n user.llmfs.error c.md")).toContain("--audit-required");
    const before = mount.server.requests.length;
    expect((await mount.sh("cat d.md")).status).toBe(1);
    expect(mount.server.requests.length).toBe(before);
    mkdirSync(mount.sandbox.at("audits"));
    expect(await mount.out("cat d.md")).toBe(contentOf("d.md"));
    await eventually("what was missed", () => about("/c.md").some(({ event }) => event === "failed"));

    await mount.unmount();
    const lines = mount.sandbox.log().trimEnd().split("\n");
    const logged: { tag: string; event?: string; path?: string; level: string }[] = lines.map((line) =>
      JSON.parse(line),
    );
    expect(logged.some(({ tag, path, event }) => tag === "event" && path === "/a.md" && event === "generated")).toBe(
      true,
    );
    expect(logged.some(({ tag, level }) => tag !== "event" && level === "warn")).toBe(true);
  });

  test("each save is an event: at intervals, on request, at the end, and if it fails", async () => {
    await using mount = await unmounted();
    writeFileSync(mount.sandbox.at("from.json"), snapshotOf([]));
    mkdirSync(mount.sandbox.at("saved"));
    const save = ["--save", "saved/tree.json", "--save-every", "1s"];
    await mount.mount(["--from", "from.json", ...save, "--audit", "audit.jsonl"]);
    const to = mount.sandbox.at("saved/tree.json");
    const saves = () => eventsIn(mount.sandbox.at("audit.jsonl")).filter(({ op }) => op === "save");
    const ends = () => saves().filter(({ event }) => event !== "control");
    await mount.out("echo one > one.txt");
    await eventually("the save at an interval", () => ends().length > 0);
    expect(ends()).toEqual([expect.objectContaining({ event: "saved", to, ms: expect.any(Number) })]);
    expect(await mount.out("cat .llmfs/events")).toContain(`"event":"saved","op":"save","to":${JSON.stringify(to)}`);

    rmSync(mount.sandbox.at("saved"), { recursive: true });
    await mount.out("echo two > two.txt");
    await eventually("the failure", () => ends().at(-1)?.event === "failed");
    expect(ends().at(-1)).toMatchObject({ event: "failed", to, errno: "EIO", reason: expect.any(String) });
    mkdirSync(mount.sandbox.at("saved"));
    await eventually("the next save", () => ends().at(-1)?.event === "saved");
    // A failure that is repeated every second is one event.
    expect(ends().map(({ event }) => event)).toEqual(["saved", "failed", "saved"]);

    await mount.out("echo three > three.txt");
    expect((await mount.sandbox.llmfs(["save", mount.dir, mount.sandbox.at("other.json")])).status).toBe(0);
    await eventually("the save by a command", () => ends().some(({ path }) => path !== undefined));
    const byCommand = {
      event: "saved",
      path: "/.llmfs/snapshot.json",
      pid: expect.any(Number),
      uid: process.getuid?.(),
    };
    expect(ends().find(({ path }) => path !== undefined)).toMatchObject(byCommand);
    const before = ends().length;
    await mount.out("echo four > four.txt");
    await mount.unmount();
    expect(ends().length).toBeGreaterThan(before);
    expect(ends().at(-1)).toMatchObject({ event: "saved", to });
    expect(readFileSync(to, "utf8")).toContain("four.txt");
  });

  test("an audit inside the mount, or required and not writable, is an error before anything is mounted", async () => {
    await using mount = await unmounted();
    for (const [file, problem] of [
      [`${mount.dir}/audit`, "inside the mount"],
      [mount.sandbox.at("missing/audit"), "cannot be written"],
    ] as const) {
      const flags = ["--audit", file, "--audit-required"];
      const { status, stderr } = await mount.sandbox.llmfs(["mount", mount.dir, ...flags]);
      expect(status).not.toBe(0);
      expect(stderr).toContain(problem);
    }
    const alone = await mount.sandbox.llmfs(["mount", mount.dir, "--audit-required"]);
    expect(alone.stderr).toContain("--audit-required needs --audit FILE");
  });
});
