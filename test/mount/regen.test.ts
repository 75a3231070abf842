/** Regenerating a file, and undoing that. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { describeMounted, Gate, type Mounted, mounted, pathOf } from "../support/mounted.ts";
import { BINARY, eventually } from "../support/program.ts";

setDefaultTimeout(60_000);

/** Every answer differs from the previous one. */
async function counted(...args: string[]): Promise<Mounted> {
  let count = 0;
  return mounted({
    pending: ["a.txt", "dir/b.txt"],
    args: ["--recordings", "rec", ...args],
    answer: (path) => ({ stream: `${path} ${++count}` }),
  });
}

const regen = (m: Mounted, ...args: string[]) => m.sandbox.llmfs(["regen", ...args], { program: BINARY });

describeMounted("a regenerated file", () => {
  test("a regenerated file has new content under its name, while a program that has it open keeps the old one", async () => {
    await using m = await counted();
    const script =
      'exec 3< a.txt; ino=$(stat -c %i a.txt); "$@"; cat <&3; cat a.txt; [ $ino != $(stat -c %i a.txt) ]; echo $?';
    const out = await m.out(`set -- ${BINARY.join(" ")} regen a.txt; ${script}; stat -c %s a.txt`);
    expect(out).toBe("a.txt 1\na.txt 2\n0\n8\n");
    expect(await m.state("a.txt")).toBe("ready");
    expect(m.server.requests.map(({ body }) => JSON.stringify(body.messages))).toEqual(
      Array(2).fill(JSON.stringify(m.server.received(0).body.messages)),
    );
    // The new answer is recorded in place of the old one.
    expect(readdirSync(m.sandbox.at("rec"))).toHaveLength(1);
    expect(await Bun.file(m.sandbox.at(`rec/${readdirSync(m.sandbox.at("rec"))[0]}`)).text()).toEndWith("a.txt 2");
  });

  test("a file that expires is regenerated at once, by a new answer", async () => {
    await using m = await counted();
    expect(await m.out("cat a.txt; setfattr -n user.llmfs.refresh -v 3600s a.txt; cat a.txt")).toBe(
      "a.txt 1\na.txt 1\n",
    );
    expect((await regen(m, `${m.dir}/a.txt`)).status).toBe(0);
    expect(await m.out("cat a.txt; getfattr --only-values -n user.llmfs.refresh a.txt")).toBe("a.txt 2\n3600s");
  });

  test("regenerating by the attribute gives new content each time, however soon after the last time", async () => {
    await using m = await counted();
    const script = `
import os
held = open("a.txt")
contents = [held.read().strip()]
for _ in range(3):
    os.setxattr("a.txt", "user.llmfs.regen", b"again")
    contents.append(open("a.txt").read().strip())
print(contents)
`;
    expect(await m.out(`python3 -c '${script}'`)).toBe("['a.txt 1', 'a.txt 2', 'a.txt 3', 'a.txt 4']\n");
  });

  test("each of many threads that regenerate by the attribute at once gets new content", async () => {
    await using m = await counted();
    const script = `
import errno, os, threading, time
repeated = []
def again():
    last = None
    for _ in range(5):
        while True:
            try:
                os.setxattr("a.txt", "user.llmfs.regen", b"again")
                content = open("a.txt").read()
                break
            except OSError as error:
                # Another thread generates it.
                if error.errno != errno.EBUSY: raise
                time.sleep(0.005)
        if content == last: repeated.append(content)
        last = content
open("a.txt").read()
threads = [threading.Thread(target=again) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(repeated, open("a.txt").read() == open("a.txt").read())
`;
    expect(await m.sh(`python3 -c '${script}'`)).toEqual({ status: 0, stdout: "[] True\n", stderr: "" });
  });

  test("the right file is regenerated if it is renamed, replaced or removed during the generation", async () => {
    await using m = await counted();
    await m.out("cat a.txt dir/b.txt");
    const gate = new Gate();
    m.answer = gate.holds((path) => ({ stream: `${path} again` }));
    const llmfs = BINARY.join(" ");
    const renamed = m.out(`${llmfs} regen a.txt 2>&1`);
    const removed = m.sh(`exec 3< dir/b.txt; ${llmfs} regen dir/b.txt; cat <&3`);
    await eventually("both are asked for", () => m.asked("a.txt") + m.asked("dir/b.txt") === 4);
    await m.out("mv a.txt moved.txt; echo mine > a.txt; rm dir/b.txt");
    gate.open();
    await renamed;
    expect(await m.out("cat moved.txt; cat a.txt")).toBe("a.txt again\nmine\n");
    // Its reader keeps the old content.
    const { stdout, stderr } = await removed;
    expect(stdout).toMatch(/^dir\/b\.txt \d\n$/);
    expect(stderr).toContain("ESTALE: the file has no name any more");
    expect(m.status().files).toMatchObject({ ready: 1, static: 1, pending: 0 });
  });

  test("llmfs regen refuses a directory before any request: each file must be named", async () => {
    await using m = await counted();
    const { status, stderr } = await regen(m, "mnt/a.txt", "mnt/dir");
    expect([status, stderr]).toEqual([2, expect.stringContaining("mnt/dir is a directory; name the files in it")]);
    expect(m.server.requests).toHaveLength(0);
  });

  test("llmfs regen --undo restores the previous content, and that can be undone too", async () => {
    await using m = await counted();
    await m.out("cat a.txt dir/b.txt; ln a.txt hard");
    const regenerated = await regen(m, "mnt/a.txt", "mnt/dir/b.txt", "mnt/hard");
    expect(regenerated).toEqual({ status: 0, stdout: "", stderr: expect.stringContaining("2 of 2 files generated") });
    const [first, second, other] = (await m.out("cat a.txt hard dir/b.txt")).split("\n");
    expect([first, second, other]).toEqual([second, expect.stringMatching(/ [34]$/), expect.stringMatching(/ [34]$/)]);
    expect((await regen(m, "--undo", "mnt/a.txt")).status).toBe(0);
    expect(await m.out("cat a.txt hard dir/b.txt")).toBe(`a.txt 1\na.txt 1\n${other}\n`);
    expect((await regen(m, "--undo", "mnt/hard")).status).toBe(0);
    expect(await m.out("cat a.txt hard")).toBe(`${first}\n${second}\n`);
    expect(await m.out("stat -c %h a.txt")).toBe("2\n");
    const none = await regen(m, "--undo", "mnt/dir/b.txt", "mnt/dir/b.txt");
    expect(none.status).toBe(0);
    expect(m.server.requests).toHaveLength(4);
  });

  test("regenerating records the new answer, and undo records the earlier answer again", async () => {
    await using m = await counted();
    const recorded = () => readdirSync(m.sandbox.at("rec")).filter((name) => name.startsWith("a.txt."));
    const answers = () =>
      recorded().map((name) =>
        readFileSync(m.sandbox.at(`rec/${name}`), "utf8")
          .split("\n")
          .at(-1),
      );
    await m.out("cat a.txt");
    await regen(m, "mnt/a.txt");
    expect(answers()).toEqual(["a.txt 2"]);
    await regen(m, "--undo", "mnt/a.txt");
    await eventually("the earlier answer is recorded", () => answers()[0] === "a.txt 1");
    expect(answers()).toHaveLength(1);
  });

  test("regenerating never replaces what somebody wrote or changed, except with --force; that can be undone too", async () => {
    await using m = await counted();
    await m.out("cat a.txt dir/b.txt >/dev/null; echo mine > own.txt; echo more >> a.txt; : > empty.txt");
    const asked = m.server.requests.length;
    const all = await regen(m, "mnt/own.txt", "mnt/a.txt", "mnt/empty.txt", "mnt/dir/b.txt");
    expect([all.status, all.stderr.match(/^skipped: \S+/gm)]).toEqual([
      90,
      ["skipped: mnt/own.txt", "skipped: mnt/a.txt"],
    ]);
    expect(m.server.requests.slice(asked).map(pathOf).sort()).toEqual(["dir/b.txt", "empty.txt"]);
    expect(await m.out("cat own.txt a.txt")).toBe("mine\na.txt 1\nmore\n");
    expect((await regen(m, "--force", "mnt/own.txt")).status).toBe(0);
    expect(await m.out("cat own.txt")).toStartWith("own.txt ");
    await regen(m, "--undo", "mnt/own.txt");
    expect(await m.out("cat own.txt")).toBe("mine\n");
  });

  test("a file regenerated with another prompt is requested with it, and keeps it", async () => {
    await using m = await counted();
    await m.out("cat a.txt");
    expect((await regen(m, "mnt/a.txt", "--prompt", "In verse.")).status).toBe(0);
    expect(JSON.stringify(m.server.received(1).body)).toContain("In verse.");
    expect(await m.xattr("a.txt", "prompt")).toBe("In verse.");
    expect((await regen(m, "mnt/a.txt", "--prompt", "In prose.")).status).toBe(0);
    expect(JSON.stringify(m.server.received(2).body)).not.toContain("In verse.");
    await regen(m, "--undo", "mnt/a.txt");
    expect([await m.out("cat a.txt"), await m.xattr("a.txt", "prompt")]).toEqual(["a.txt 2\n", "In verse."]);
    await m.out("setfattr -n user.llmfs.prompt -v x dir/b.txt");
    expect((await regen(m, "mnt/dir/b.txt", "--prompt", "Short.")).status).toBe(0);
    expect(JSON.stringify(m.server.requests.findLast((one) => pathOf(one) === "dir/b.txt")?.body)).toContain("Short.");
  });

  test("a file keeps its content if regenerating fails, and the reason is reported", async () => {
    await using m = await counted();
    await m.out("cat a.txt");
    m.answer = () => ({ status: 400, body: { error: { message: "what?" } } });
    const { status, stderr } = await regen(m, "mnt/a.txt");
    expect([status, stderr]).toEqual([90, expect.stringMatching(/failed: mnt\/a\.txt: EIO: .*what\?/)]);
    expect([await m.out("cat a.txt"), await m.state("a.txt")]).toEqual(["a.txt 1\n", "ready"]);
    const none = await regen(m, "--undo", "mnt/a.txt");
    expect([none.status, none.stderr]).toEqual([90, expect.stringContaining("there is no earlier content")]);
  });

  test("regenerating returns the recorded content if only recordings are used", async () => {
    await using m = await counted();
    await m.out("cat a.txt");
    await m.unmount();
    await m.mount(["--from", "from.json", "--recordings", "rec", "--mode", "replay", "--model", "scripted"]);
    await m.out("cat a.txt");
    expect((await regen(m, "mnt/a.txt")).status).toBe(0);
    expect(await m.out("cat a.txt")).toBe("a.txt 1\n");
    expect(m.server.requests).toHaveLength(1);
  });
});
