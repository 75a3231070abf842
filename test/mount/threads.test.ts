/** Waiting for a model delays nothing else. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { contentOf, describeMounted, Gate, mounted } from "../support/mounted.ts";
import { eventually, mountedType } from "../support/program.ts";

setDefaultTimeout(60_000);

describeMounted("while fifty files are being generated", () => {
  test("while fifty files are being generated, listing, reading generated files and writing elsewhere do not wait", async () => {
    const gate = new Gate();
    const slow = Array.from({ length: 50 }, (_, index) => `slow/${index}.txt`);
    await using m = await mounted({
      pending: [...slow, "ready.txt"],
      answer: (path, request) => (path === "ready.txt" ? { stream: "ready\n" } : gate.holds()(path, request)),
    });
    await m.out("cat ready.txt; mkdir work");
    const readers = m.sh("for i in $(seq 0 49); do cat slow/$i.txt > $OUT/$i & done; wait");
    await m.opened(51);
    expect(m.status().generating).toBe(50);
    // None of these commands ends before all fifty have answered, if it waits for a single one.
    expect(await m.out("ls -lR | wc -l; find . -type f | wc -l; du -s slow; cat ready.txt")).toBe(
      "61\n51\n0\tslow\nready\n",
    );
    expect(
      await m.out(
        "for i in $(seq 200); do echo $i > work/$i; done; cat work/* | wc -l; mv work/1 slow/; rm -r work; ls slow | wc -l",
      ),
    ).toBe("200\n51\n");
    expect(
      await m.out("cat .llmfs/tree | grep -c generating; getfattr --only-values -n user.llmfs.state slow/0.txt"),
    ).toBe("50\ngenerating");
    expect(m.status().generating).toBe(50);
    gate.open();
    expect((await readers).status).toBe(0);
    expect(await m.out("cat $(seq -f $OUT/%.0f 0 49)")).toBe(slow.map(contentOf).join(""));
    expect(m.server.requests.length).toBe(51);
  });

  test("at most --concurrency requests run at a time, and the mount can be unmounted", async () => {
    const slow = Array.from({ length: 20 }, (_, index) => `${index}.txt`);
    await using m = await mounted({ pending: slow, args: ["--concurrency", "3"], answer: () => ({ hang: true }) });
    const readers = m.sh("for i in $(seq 0 19); do cat $i.txt & done; wait");
    await m.opened(20);
    await m.server.request(2);
    expect(m.server.requests.length).toBe(3);
    const { pid } = m.status();
    process.kill(pid, "SIGTERM");
    await eventually("it is gone from sight", () => mountedType(m.dir) === undefined);
    process.kill(pid, "SIGTERM");
    const { stdout, stderr } = await readers;
    expect([stdout, stderr.split("\n").length]).toEqual(["", 21]);
    await Promise.all(m.server.requests.map(({ disconnected }) => disconnected));
    expect(m.server.requests.length).toBe(3);
  });
});

describeMounted("a hundred files read by thirty-two processes, each in an order of its own", () => {
  test("a hundred files read by thirty-two processes in different orders are each generated once, and every reader gets the same content", async () => {
    const files = Array.from({ length: 100 }, (_, index) => `${index % 7}/${index}.txt`);
    await using m = await mounted({
      pending: files,
      args: ["--concurrency", "8"],
      answer: async (path) => {
        await Bun.sleep(path.length % 5);
        return { stream: contentOf(path) };
      },
    });
    const script = `
import os, random
paths = [os.path.join(d, f) for d, _, names in os.walk(".") for f in names]
random.shuffle(paths)
for path in paths:
    text = open(path).read()
    path = path[2:]
    assert text == f"content of {path}\\nagain: content of {path}\\n", (path, text)
print(len(paths))`;
    const processes = await Promise.all(Array.from({ length: 32 }, () => m.sh(`python3 -c '${script}'`)));
    expect(processes).toEqual(Array.from({ length: 32 }, () => ({ status: 0, stdout: "100\n", stderr: "" })));
    expect(m.server.requests.length).toBe(100);
    expect(m.status().files).toEqual({ static: 0, pending: 0, generating: 0, ready: 100, failed: 0 });
  });
});
