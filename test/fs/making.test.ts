/** `.llmfs/make`: files are made ahead for whoever has it open. */
import { describe, expect, test } from "bun:test";
import { MAKE, MAKE_BYTES, Making, STOP } from "../../src/fs/making.ts";
import { type ServedTree, served } from "../support/served.ts";

function withMaking(): ServedTree {
  return served({ control: (mount) => ({ make: () => new Making(mount) }) });
}

/** An open of it, with what can be done there. */
function maker(fs: ServedTree) {
  const { nodeid, fh } = fs.open("/.llmfs/make");
  const say = (text: string) => {
    const data = Buffer.from(text, "latin1");
    fs.kernel.call("ioctl", nodeid, { fh, cmd: MAKE + data.length * 2 ** 16, in_size: data.length, data });
  };
  return {
    say,
    ask: (...paths: readonly string[]) => say(paths.map((path) => `${path}\0`).join("")),
    begin: (size = 4096) => fs.kernel.start("read", nodeid, { fh, size }),
    news: (size = 4096) => fs.kernel.call("read", nodeid, { fh, size }).toString(),
    stop: () => fs.kernel.call("ioctl", nodeid, { fh, cmd: STOP, data: Buffer.alloc(0) }),
    errno: (cmd: number) => fs.kernel.errno("ioctl", nodeid, { fh, cmd, data: Buffer.from("/a\0") }),
    close: () => fs.kernel.release(nodeid, fh),
  };
}

/** What became of a read: its text, its errno, or undefined while it waits. */
function fate(fs: ServedTree, unique: number): string | undefined {
  const outcome = fs.kernel.outcome<"read">(unique);
  if (outcome === undefined) return undefined;
  return "error" in outcome ? outcome.error : outcome.value.toString();
}

describe("making files ahead", () => {
  test("asks for each file's content, and says by its number when it is there", () => {
    using fs = withMaking();
    fs.pending("/a");
    fs.pending("/dir/b");
    const make = maker(fs);
    make.ask("/a", "/dir/b");
    expect(fs.requests.map(({ path }) => path)).toEqual(["/a", "/dir/b"]);
    const [first, second] = fs.requests;
    const read = make.begin();
    expect(fate(fs, read)).toBeUndefined();
    fs.content("two", second?.ticket);
    expect(fate(fs, read)).toBe("1\n");
    fs.content("one", first?.ticket);
    expect(make.news()).toBe("0\n");
    expect([fs.cat("/a"), fs.cat("/dir/b")]).toEqual(["one", "two"]);
    make.close();
  });

  test("says the errno of one that fails, as an open would", () => {
    using fs = withMaking();
    fs.pending("/a");
    const make = maker(fs);
    make.ask("/a");
    fs.failed("EDQUOT");
    expect(make.news()).toBe("0 EDQUOT\n");
    expect(fs.kernel.stat(fs.node("/a")).size).toBeGreaterThan(0);
    make.close();
  });

  test("has nothing to do for a file that has its content, and names what is no such file", () => {
    using fs = withMaking();
    fs.file("/written", "by hand");
    fs.directory("/dir");
    const make = maker(fs);
    make.ask("/written", "/nowhere", "/dir", "/written/below");
    expect(make.news()).toBe("0\n1 ENOENT\n2\n3 ENOTDIR\n");
    expect(fs.requests).toEqual([]);
    make.close();
  });

  test("shares what readers wait for, and they what it has asked for", () => {
    using fs = withMaking();
    fs.pending("/a");
    const open = fs.kernel.start("open", fs.node("/a"), {});
    const make = maker(fs);
    make.ask("/a", "/a");
    expect(fs.requests).toHaveLength(1);
    fs.content("one");
    expect(make.news()).toBe("0\n1\n");
    const outcome = fs.kernel.outcome<"open">(open);
    if (outcome === undefined || "error" in outcome) throw new Error("the reader has no handle");
    fs.kernel.release(fs.node("/a"), outcome.value.fh);
    make.close();
  });

  test("takes a path that goes on in the next command, and names that are not UTF-8", () => {
    using fs = withMaking();
    fs.pending("/dir/b\xff");
    const make = maker(fs);
    make.say("/di");
    expect(fs.requests).toEqual([]);
    make.say("r/b\xff\0");
    expect(fs.requests).toHaveLength(1);
    fs.content("");
    expect(make.news()).toBe("0\n");
    make.close();
  });

  test("is at its end when nothing is under way", () => {
    using fs = withMaking();
    fs.pending("/a");
    const make = maker(fs);
    expect(make.news()).toBe("");
    make.ask("/a");
    fs.content("one");
    expect([make.news(), make.news()]).toEqual(["0\n", ""]);
    make.close();
  });

  test("gives news in pieces as small as they are asked for", () => {
    using fs = withMaking();
    const make = maker(fs);
    make.ask("/no", "/no", "/no");
    expect([make.news(5), make.news(100)]).toEqual(["0 ENO", "ENT\n1 ENOENT\n2 ENOENT\n"]);
    make.close();
  });

  test("calls off what nobody else waits for when it is closed", () => {
    using fs = withMaking();
    fs.pending("/a");
    fs.pending("/b");
    const make = maker(fs);
    make.ask("/a", "/b");
    const [first, second] = fs.requests;
    const reader = fs.kernel.start("open", fs.node("/b"), {});
    make.close();
    expect(fs.cancelled).toEqual([first?.ticket ?? 0]);
    fs.content("two", second?.ticket);
    const outcome = fs.kernel.outcome<"open">(reader);
    if (outcome === undefined || "error" in outcome) throw new Error("the reader has no handle");
    fs.kernel.release(fs.node("/b"), outcome.value.fh);
  });

  test("calls it off when it is told to stop, the last first, and says so of each; then it can be asked again", () => {
    using fs = withMaking();
    for (const path of ["/a", "/b", "/c"]) fs.pending(path);
    const make = maker(fs);
    make.ask("/a", "/b", "/c");
    const tickets = fs.requests.map(({ ticket }) => ticket);
    make.stop();
    expect(fs.cancelled).toEqual(tickets.reverse());
    expect(make.news().split("\n").sort()).toEqual(["", "0 EINTR", "1 EINTR", "2 EINTR"]);
    make.ask("/b");
    fs.content("two");
    expect([make.news(), fs.cat("/b")]).toEqual(["3\n", "two"]);
    make.close();
  });

  test("a read that gets a signal ends, and the news goes to the next", () => {
    using fs = withMaking();
    fs.pending("/a");
    const make = maker(fs);
    make.ask("/a");
    const read = make.begin();
    fs.kernel.interrupt(read);
    expect(fate(fs, read)).toBe("EINTR");
    fs.content("one");
    expect(make.news()).toBe("0\n");
    make.close();
  });

  test("several opens do not hear of each other's files", () => {
    using fs = withMaking();
    fs.pending("/a");
    const [one, two] = [maker(fs), maker(fs)];
    one.ask("/a");
    two.ask("/no");
    fs.content("one");
    expect([one.news(), two.news()]).toEqual(["0\n", "0 ENOENT\n"]);
    one.close();
    two.close();
  });

  test("any other command is ENOTTY; and none of them is taken by another file", () => {
    using fs = withMaking();
    fs.file("/file");
    const make = maker(fs);
    expect(make.errno(0x80086601)).toBe("ENOTTY");
    make.close();
    const { nodeid, fh } = fs.open("/file");
    expect(fs.kernel.errno("ioctl", nodeid, { fh, cmd: MAKE, data: Buffer.alloc(0) })).toBe("ENOSYS");
    fs.kernel.release(nodeid, fh);
  });

  test("one command takes as much as its number can say", () => {
    using fs = withMaking();
    const make = maker(fs);
    const path = "/no\0";
    make.say(path.repeat(Math.floor(MAKE_BYTES / path.length)));
    expect(make.news(1 << 20).split("\n")).toHaveLength(Math.floor(MAKE_BYTES / path.length) + 1);
    make.close();
  });
});
