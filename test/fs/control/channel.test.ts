/** `.llmfs/control`: requests, one line of JSON each, and their answers. */
import { describe, expect, spyOn, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { ControlChannel } from "../../../src/fs/control/channel.ts";
import { GRACE_MS } from "../../../src/fs/waiting/grace.ts";
import { SUBMIT, SUBMIT_BYTES } from "../../../src/rpc/control-protocol.ts";
import { toBytes } from "../../../src/tree/path.ts";
import { type ServedTree, served } from "../../support/served.ts";

const O_RDONLY = 0;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;

function withChannel(): ServedTree {
  return served({
    control: (mount, answers) => ({ control: { dialogue: (...how) => new ControlChannel(mount, answers, ...how) } }),
  });
}

interface Who {
  readonly uid?: number;
  readonly gid?: number;
}

/** An open of the channel, and what can be done with it. */
function channel(fs: ServedTree, flags = O_RDWR, who: Who = {}) {
  const { nodeid, fh } = fs.open("/.llmfs/control", flags);
  const write = (text: string | Uint8Array) => {
    const data = Buffer.from(text as string);
    return fs.kernel.call("write", nodeid, { fh, size: data.length, data }, who).size;
  };
  const line = (request: unknown) => `${typeof request === "string" ? request : JSON.stringify(request)}\n`;
  const submit = (text: string, cmd = SUBMIT) => {
    const data = Buffer.from(text);
    fs.kernel.call("ioctl", nodeid, { fh, cmd: cmd + data.length * 2 ** 16, in_size: data.length, data }, who);
  };
  const read = (size = 1 << 16) => fs.kernel.call("read", nodeid, { fh, size }).toString();
  return {
    write,
    submit,
    read,
    errno: (cmd: number) => fs.kernel.errno("ioctl", nodeid, { fh, cmd, data: Buffer.from("{}\n") }),
    refused: (text: string) => fs.kernel.errno("write", nodeid, { fh, size: text.length, data: Buffer.from(text) }),
    ask: (...requests: readonly unknown[]) => void write(requests.map(line).join("")),
    submitted: (...requests: readonly unknown[]) => submit(requests.map(line).join("")),
    begin: (size = 1 << 16) => fs.kernel.start("read", nodeid, { fh, size }),
    /** The answers that have arrived. */
    answers: () => parsed(read()),
    close: () => fs.kernel.release(nodeid, fh),
  };
}

/** The answer without the mount's spending, unless there is some. */
function parsed(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const { usage, ...rest } = JSON.parse(line);
      return Object.keys(usage).length === 0 ? rest : { ...rest, usage };
    });
}

/** The outcome of a read: its answers, its errno, or undefined while it waits. */
function fate(fs: ServedTree, unique: number): unknown {
  const outcome = fs.kernel.outcome<"read">(unique);
  if (outcome === undefined) return undefined;
  return "error" in outcome ? outcome.error : parsed(outcome.value.toString());
}

/** A file that was generated: "first". */
function poem(fs: ServedTree, path = "/poem"): void {
  fs.pending(path);
  fs.kernel.start("open", fs.node(path), {});
  fs.content("first");
  fs.kernel.letGo();
}

/** A program writes "mine" to the file. */
function overwrite(fs: ServedTree, path: string): void {
  const handle = fs.open(path, O_RDWR);
  fs.write(handle, "mine", 0, O_RDWR);
  fs.kernel.release(handle.nodeid, handle.fh);
}

/** Tells llmfs that the other thread has accounted for what was cancelled. */
function settled(fs: ServedTree): void {
  for (const message of fs.posted.splice(0)) if (message.type === "settle") fs.answers.onSettled(message.id);
}

describe("generating files", () => {
  test("a request for a file's content is answered with the request's id when the content has arrived", () => {
    using fs = withChannel();
    fs.pending("/a");
    fs.pending("/dir/b");
    const open = channel(fs);
    open.ask({ id: "one", op: "make", path: "/a" }, { id: [2], op: "make", path: "/dir/b" });
    expect(fs.requests.map(({ path }) => path)).toEqual(["/a", "/dir/b"]);
    const [first, second] = fs.requests;
    const read = open.begin();
    expect(fate(fs, read)).toBeUndefined();
    fs.content("two", second?.ticket);
    expect(fate(fs, read)).toEqual([{ id: [2], ok: true }]);
    fs.content("one", first?.ticket);
    expect(open.answers()).toEqual([{ id: "one", ok: true }]);
    expect([fs.cat("/a"), fs.cat("/dir/b")]).toEqual(["one", "two"]);
    open.close();
  });

  test("reading answers with O_NONBLOCK does not wait", () => {
    using fs = withChannel();
    fs.pending("/a");
    const open = channel(fs, O_RDWR | O_NONBLOCK);
    expect(open.read()).toBe("");
    open.ask({ id: 1, op: "make", path: "/a" });
    expect(fate(fs, open.begin())).toBe("EAGAIN");
    fs.content("one");
    expect(open.answers()).toEqual([{ id: 1, ok: true }]);
    open.close();
  });

  test("a failure is answered with its errno and reason", () => {
    using fs = withChannel();
    fs.pending("/a");
    const open = channel(fs);
    open.ask({ id: 1, op: "make", path: "/a" });
    fs.failed("EDQUOT", "the budget is spent");
    expect(open.answers()).toEqual([{ id: 1, errno: "EDQUOT", message: "the budget is spent" }]);
    open.close();
  });

  test("a file that already has content is reported as such, and a path that is not a file as an error", () => {
    using fs = withChannel();
    fs.file("/written", "by hand");
    fs.directory("/dir");
    const open = channel(fs);
    const paths = ["/written", "/nowhere", "/dir", "/written/below", "written"];
    open.ask(...paths.map((path, id) => ({ id, op: "make", path })));
    expect(open.answers().map(({ id, ok, errno }) => [id, ok ?? errno])).toEqual([
      [0, true],
      [1, "ENOENT"],
      [2, "EISDIR"],
      [3, "ENOTDIR"],
      [4, "EINVAL"],
    ]);
    expect(fs.requests).toEqual([]);
    open.close();
  });

  test("generations are shared with readers, in both directions", () => {
    using fs = withChannel();
    fs.pending("/a");
    const reader = fs.kernel.start("open", fs.node("/a"), {});
    const open = channel(fs);
    open.ask({ id: 1, op: "make", path: "/a" }, { id: 2, op: "make", path: "/a" });
    expect(fs.requests).toHaveLength(1);
    fs.content("one");
    expect(open.answers()).toEqual([
      { id: 1, ok: true },
      { id: 2, ok: true },
    ]);
    expect(fs.kernel.outcome<"open">(reader)).toMatchObject({ value: {} });
    open.close();
  });

  test("every answer reports what the mount has spent", () => {
    using fs = withChannel();
    fs.file("/a");
    const open = channel(fs);
    fs.answers.publish("usage.json", '{\n  "calls": 7\n}\n');
    open.ask({ id: 1, op: "make", path: "/a" }, { id: 2, op: "make", path: "/none" });
    expect(open.answers().map(({ usage }) => usage)).toEqual([{ calls: 7 }, { calls: 7 }]);
    open.close();
  });

  test("a request may name a file that is not UTF-8, with lone surrogates, or a symlink to a file", () => {
    using fs = withChannel();
    fs.pending("/b\xff");
    fs.kernel.call("symlink", 1, { name: "link", target: "b\xff" });
    const open = channel(fs);
    open.ask({ id: 1, op: "make", path: "/b\udcff" }, { id: 2, op: "make", path: "/link" });
    expect(fs.requests).toHaveLength(1);
    fs.content("");
    expect(open.answers()).toHaveLength(2);
    open.close();
  });
});

describe("regenerating files", () => {
  test("regenerating gives the file new content, optionally with another prompt, and can be undone", () => {
    using fs = withChannel();
    poem(fs);
    const open = channel(fs);
    open.ask({ id: 1, op: "regen", path: "/poem", prompt: "in verse" });
    expect(fs.requests.at(-1)).toMatchObject({ path: "/poem", again: true, prompts: ["in verse"] });
    expect(fs.cat("/poem")).toBe("first");
    fs.content("second");
    expect([open.answers(), fs.cat("/poem")]).toEqual([[{ id: 1, ok: true }], "second"]);
    open.ask({ id: 2, op: "undo", path: "/poem" });
    expect([open.answers(), fs.cat("/poem")]).toEqual([[{ id: 2, ok: true }], "first"]);
    open.close();
  });

  test("a failed regeneration leaves the content as it is", () => {
    using fs = withChannel();
    poem(fs);
    const open = channel(fs);
    open.ask({ id: 1, op: "regen", path: "/poem" }, { id: 2, op: "regen", path: "/poem" });
    expect(open.answers()).toMatchObject([{ id: 2, errno: "EBUSY" }]);
    fs.failed("EIO", "what?");
    expect([open.answers(), fs.cat("/poem")]).toEqual([[{ id: 1, errno: "EIO", message: "what?" }], "first"]);
    open.ask({ id: 3, op: "undo", path: "/poem" });
    expect(open.answers()).toMatchObject([{ id: 3, errno: "ENODATA" }]);
    open.close();
  });

  test("regenerating a pending file generates it with the prompt", () => {
    using fs = withChannel();
    fs.pending("/poem", { "user.llmfs.prompt": "of the sea" });
    const open = channel(fs);
    open.ask({ id: 1, op: "regen", path: "/poem", prompt: "of the land" });
    expect(fs.requests.map(({ prompts }) => prompts)).toEqual([["of the land"]]);
    fs.content("first");
    expect(open.answers()).toEqual([{ id: 1, ok: true }]);
    open.close();
  });

  test("regenerating leaves edited content alone unless forced; an empty file has nothing to lose", () => {
    using fs = withChannel();
    fs.file("/mine", "by hand");
    fs.file("/empty");
    const open = channel(fs);
    open.ask({ id: 1, op: "regen", path: "/mine" });
    expect(open.answers()).toMatchObject([{ id: 1, errno: "EEXIST" }]);
    expect(fs.requests).toEqual([]);
    open.ask({ id: 2, op: "regen", path: "/mine", force: true }, { id: 3, op: "regen", path: "/empty" });
    for (const { ticket } of fs.requests) fs.content("generated", ticket);
    expect([open.answers().length, fs.cat("/mine"), fs.cat("/empty")]).toEqual([2, "generated", "generated"]);
    open.close();
  });

  test("an invalid prompt is rejected before any request is sent", () => {
    using fs = withChannel();
    poem(fs);
    const open = channel(fs);
    open.ask(...["x".repeat(65_537), "a\0b", 7].map((prompt, id) => ({ id, op: "regen", path: "/poem", prompt })));
    expect(open.answers().map(({ errno }) => errno)).toEqual(["E2BIG", "EINVAL", "EINVAL"]);
    expect(fs.requests).toHaveLength(1);
    open.close();
  });

  test("regenerating requires a control file open for writing and write permission on the named file", () => {
    using fs = withChannel();
    poem(fs);
    const reading = channel(fs, O_RDONLY);
    reading.submitted({ id: 1, op: "regen", path: "/poem" }, { id: 2, op: "undo", path: "/poem" });
    expect(reading.answers()).toMatchObject([{ errno: "EACCES" }, { errno: "EACCES" }]);
    reading.close();
    const stranger = channel(fs, O_RDWR, { uid: 7, gid: 7 });
    stranger.ask({ id: 1, op: "regen", path: "/poem" }, { id: 2, op: "undo", path: "/poem" });
    expect(stranger.answers()).toMatchObject([{ errno: "EACCES" }, { errno: "EACCES" }]);
    fs.kernel.call("setattr", fs.node("/poem"), { valid: 3, mode: 0o100666, uid: 7 });
    stranger.ask({ id: 3, op: "regen", path: "/poem" });
    expect(fs.requests).toHaveLength(2);
    fs.content("second");
    expect(stranger.answers()).toEqual([{ id: 3, ok: true }]);
    fs.kernel.call("setattr", 1, { valid: 1, mode: 0o040700 });
    stranger.ask({ id: 4, op: "undo", path: "/poem" });
    expect(stranger.answers()).toMatchObject([{ errno: "EACCES" }]);
    stranger.close();
  });
});

describe("a request to the control channel", () => {
  test("a request may arrive in pieces, with blank lines in between", () => {
    using fs = withChannel();
    fs.pending(toBytes("/é"));
    const open = channel(fs);
    const bytes = Buffer.from('\n{"id": 1, "op": "make", "path": "/é"}\n\n');
    for (const byte of bytes) open.write(Uint8Array.of(byte));
    expect(fs.requests).toHaveLength(1);
    fs.content("x");
    expect(open.answers()).toEqual([{ id: 1, ok: true }]);
    open.close();
  });

  test("a malformed request is answered, with its id if that can be read", () => {
    using fs = withChannel();
    const open = channel(fs);
    open.ask("make /a", "[1]", { op: "make" }, { id: 1, op: "paint", path: "/a" }, { id: 2, path: "/a" });
    expect(open.answers().map(({ id, errno }) => [id, errno])).toEqual([
      [null, "EINVAL"],
      [null, "EINVAL"],
      [null, "EINVAL"],
      [1, "EINVAL"],
      [2, "EINVAL"],
    ]);
    open.close();
  });

  test("a write takes at most 256 requests and returns how far it came", () => {
    using fs = withChannel();
    const open = channel(fs);
    const line = '{"op":"make","path":"/none"}\n';
    expect(open.write(line.repeat(300))).toBe(256 * line.length);
    expect(open.answers()).toHaveLength(256);
    open.submit(line.repeat(Math.floor(SUBMIT_BYTES / line.length)));
    expect(open.answers()).toHaveLength(Math.floor(SUBMIT_BYTES / line.length));
    open.close();
  });

  test("a request without an end is EFBIG, and one from a client that reads no answers is EBUSY", () => {
    using fs = withChannel();
    const open = channel(fs);
    expect(open.refused("x".repeat(600_000))).toBe("EFBIG");
    const line = `{"id":"${"x".repeat(4000)}","op":"make","path":"/none"}\n`;
    for (let count = 0; count < 2; count++) open.write(line.repeat(256));
    expect(open.refused(line)).toBe("EBUSY");
    while (open.read() !== "");
    open.ask({ id: 1, op: "make", path: "/none" });
    expect(open.answers()).toMatchObject([{ id: 1 }]);
    open.close();
  });

  test("a request can be made by ioctl(2) if nothing can be opened for writing; any other command is ENOTTY", () => {
    using fs = withChannel();
    fs.pending("/a");
    const open = channel(fs, O_RDONLY);
    open.submitted({ id: 1, op: "make", path: "/a" });
    fs.content("x");
    expect(open.answers()).toEqual([{ id: 1, ok: true }]);
    expect(open.errno(0x80086601)).toBe("ENOTTY");
    open.close();
  });

  test("a request is answered on the open file that it was written to", () => {
    using fs = withChannel();
    fs.pending("/a");
    const [one, two] = [channel(fs), channel(fs)];
    one.ask({ id: 1, op: "make", path: "/a" });
    two.ask({ id: 1, op: "make", path: "/no" });
    fs.content("one");
    expect([one.answers(), two.answers()]).toMatchObject([[{ ok: true }], [{ errno: "ENOENT" }]]);
    one.close();
    two.close();
  });
});

describe("reading answers", () => {
  test("reading answers returns end of file if no request is in progress", () => {
    using fs = withChannel();
    fs.pending("/a");
    const open = channel(fs);
    expect(open.read()).toBe("");
    open.ask({ id: 1, op: "make", path: "/a" });
    fs.content("one");
    expect([open.answers().length, open.read()]).toEqual([1, ""]);
    open.close();
  });

  test("reading answers returns pieces as small as requested", () => {
    using fs = withChannel();
    const open = channel(fs);
    open.ask({ id: 1, op: "make", path: "/no" }, { id: 2, op: "make", path: "/no" });
    let text = "";
    for (let piece = open.read(7); piece !== ""; piece = open.read(7)) text += piece;
    expect(parsed(text).map(({ id }) => id)).toEqual([1, 2]);
    open.close();
  });

  test("an answer goes to the next reader if a reader is interrupted by a signal", () => {
    using fs = withChannel();
    fs.pending("/a");
    const open = channel(fs);
    open.ask({ id: 1, op: "make", path: "/a" });
    const read = open.begin();
    fs.kernel.interrupt(read);
    expect(fate(fs, read)).toBe("EINTR");
    const gone = open.begin();
    fs.kernel.abandon(gone);
    const next = open.begin();
    fs.content("one");
    expect(fate(fs, next)).toEqual([{ id: 1, ok: true }]);
    open.close();
  });
});

describe("work that was requested", () => {
  test("requested work is cancelled when the control file is closed, unless another reader waits for it", () => {
    using fs = withChannel();
    fs.pending("/a");
    fs.pending("/b");
    const open = channel(fs);
    open.ask({ op: "make", path: "/a" }, { op: "make", path: "/b" });
    const [first, second] = fs.requests;
    const reader = fs.kernel.start("open", fs.node("/b"), {});
    open.close();
    expect(fs.cancelled).toEqual([first?.ticket ?? 0]);
    fs.content("two", second?.ticket);
    expect(fs.kernel.outcome<"open">(reader)).toMatchObject({ value: {} });
  });

  test("requested work continues for a moment when the control file is closed, and is cancelled at once on request", () => {
    using fs = withChannel();
    for (const path of ["/a", "/b"]) {
      fs.pending(path);
      const open = channel(fs);
      open.ask({ op: "make", path });
      fs.stage("working");
      if (path === "/b") open.ask({ op: "stop" });
      open.close();
    }
    const [first, second] = fs.requests.map(({ ticket }) => ticket);
    expect(fs.cancelled).toEqual([second ?? 0]);
    fs.pass(GRACE_MS);
    expect(fs.cancelled).toEqual([second ?? 0, first ?? 0]);
  });

  test("requested work is cancelled on request, newest first; each request is answered once its cost is known", () => {
    using fs = withChannel();
    poem(fs);
    for (const path of ["/a", "/b"]) fs.pending(path);
    const open = channel(fs);
    open.ask(
      { id: 1, op: "make", path: "/a" },
      { id: 2, op: "make", path: "/b" },
      { id: 3, op: "regen", path: "/poem" },
    );
    const tickets = fs.requests.slice(1).map(({ ticket }) => ticket);
    open.ask({ id: 4, op: "stop" });
    expect(fs.cancelled).toEqual(tickets.reverse());
    expect(open.answers().map(({ id, errno }) => [id, errno])).toEqual([
      [3, "EINTR"],
      [2, "EINTR"],
      [1, "EINTR"],
    ]);
    const read = open.begin();
    expect(fate(fs, read)).toBeUndefined();
    fs.answers.publish("usage.json", '{"calls": 1}');
    settled(fs);
    expect(fate(fs, read)).toEqual([{ id: 4, ok: true, usage: { calls: 1 } }]);
    open.ask({ id: 5, op: "make", path: "/b" });
    fs.content("two");
    expect([open.answers().length, fs.cat("/b"), fs.cat("/poem")]).toEqual([1, "two", "first"]);
    open.close();
  });
});

test("a control file that is read-only accepts no bytes and no commands", () => {
  using fs = served({ control: () => ({ README: () => ({ read: () => 0 }) }) });
  const { nodeid, fh } = fs.open("/.llmfs/README");
  expect(fs.kernel.errno("ioctl", nodeid, { fh, cmd: SUBMIT, data: Buffer.alloc(0) })).toBe("ENOSYS");
  expect(fs.kernel.errno("write", nodeid, { fh, size: 1, data: Buffer.alloc(1) })).toBe("EBADF");
  fs.kernel.release(nodeid, fh);
  expect(fs.kernel.errno("open", nodeid, { flags: O_RDWR })).toBe("EACCES");
});

describe("a save request", () => {
  const saves = (fs: ServedTree) => fs.posted.filter((message) => message.type === "command");

  test("a save request is answered with the outcome when the tree is saved, without delaying other requests", () => {
    using fs = withChannel();
    fs.file("/static");
    const control = channel(fs);
    control.ask({ id: 1, op: "save" }, { id: 2, op: "make", path: "/static" });
    expect(control.answers()).toEqual([{ id: 2, ok: true }]);
    const read = control.begin();
    expect(fate(fs, read)).toBeUndefined();
    const [asked] = saves(fs);
    fs.answers.onCompleted(asked?.id ?? 0, { result: { saved: { kind: "saved", file: "/tree.json" } } });
    expect(fate(fs, read)).toEqual([{ id: 1, ok: true, saved: { kind: "saved", file: "/tree.json" } }]);
    control.close();
  });

  test("each save request is passed on, even through ioctl(2) on a read-only mount", () => {
    using fs = withChannel();
    const control = channel(fs, O_RDONLY);
    control.submitted({ id: 1, op: "save" }, { id: 2, op: "save" });
    expect(saves(fs).length).toBe(2);
    for (const { id } of saves(fs).toReversed()) fs.answers.onCompleted(id, { result: { saved: { kind: "none" } } });
    expect(control.answers().map(({ id, saved }) => [id, saved])).toEqual([
      [2, { kind: "none" }],
      [1, { kind: "none" }],
    ]);
    control.close();
  });

  test("a save request is not answered if its file was closed in the meantime", () => {
    using fs = withChannel();
    const control = channel(fs);
    control.ask({ id: 1, op: "save" });
    control.close();
    for (const { id } of saves(fs)) fs.answers.onCompleted(id, { result: { saved: { kind: "none" } } });
  });
});

describe("adding a file", () => {
  test("an add request creates a pending file with the given attributes", () => {
    using fs = withChannel();
    const open = channel(fs);
    open.ask({ id: 1, op: "add", path: "/d/a.md", description: "a poem", prompt: "In verse.", depends: "../b\n/c" });
    expect(open.answers()).toEqual([{ id: 1, ok: true, added: 2 }]);
    open.ask({ id: 2, op: "make", path: "/d/a.md" });
    expect(fs.requests.at(-1)).toMatchObject({ path: "/d/a.md", generator: "llm", prompts: ["In verse."] });
    expect(fs.requests.at(-1)?.file).toMatchObject({ description: "a poem" });
    expect(fs.requests.at(-1)?.file.xattrs.get("user.llmfs.depends")).toBe("../b\n/c");
    fs.content("roses");
    open.close();
  });

  test("an add request fails for an existing path and for invalid attribute values", () => {
    using fs = withChannel();
    fs.file("/there", "x");
    const open = channel(fs);
    open.ask(
      { id: 1, op: "add", path: "/there" },
      { id: 2, op: "add", path: "/.llmfs/x" },
      { id: 3, op: "add", path: "/a", generator: "two\nlines" },
      { id: 4, op: "add", path: "/a", description: 7 },
      { id: 5, op: "add", path: "a" },
      { id: 6, op: "add", path: "/a", generator: "static" },
    );
    expect(open.answers()).toEqual([
      { id: 1, errno: "EEXIST", message: "/there: exists already" },
      { id: 2, errno: "EPERM", message: "/.llmfs/x: this name is reserved for control files" },
      { id: 3, errno: "EINVAL", message: expect.stringContaining("user.llmfs.generator") },
      { id: 4, errno: "EINVAL", message: '"description" must be a string' },
      { id: 5, errno: "EINVAL", message: '"path" must be a path that begins with "/"' },
      { id: 6, errno: "EINVAL", message: "/a: a static file is not generated; create an empty file instead" },
    ]);
    open.close();
  });

  test("an add request requires a control file open for writing", () => {
    using fs = withChannel();
    const open = channel(fs, O_RDONLY);
    open.submitted({ id: 1, op: "add", path: "/a" });
    expect(open.answers()).toEqual([{ id: 1, errno: "EACCES", message: "the control file is not open for writing" }]);
    open.close();
  });
});

describe("rewriting a file", () => {
  const rewrite = (path: string, instruction: unknown = "in verse") => ({ id: 1, op: "rewrite", path, instruction });

  test("a rewrite sends the file's content and the instruction, and replaces the content with the answer", () => {
    using fs = withChannel();
    poem(fs);
    const open = channel(fs);
    open.ask(rewrite("/poem"));
    const request = fs.requests.at(-1);
    expect(request).toMatchObject({ path: "/poem", again: true, rewrite: { instruction: "in verse" } });
    expect(Buffer.from(request?.rewrite?.content ?? []).toString()).toBe("first");
    fs.content("second");
    expect(open.answers()).toEqual([{ id: 1, ok: true }]);
    expect(fs.cat("/poem")).toBe("second");
    open.close();
  });

  test("a rewrite never touches a file that somebody wrote or changed, of any size, nor a file without content", () => {
    using fs = withChannel();
    fs.file("/written", "by hand");
    fs.file("/empty");
    poem(fs, "/changed");
    overwrite(fs, "/changed");
    fs.pending("/pending");
    const before = fs.requests.length;
    const open = channel(fs);
    open.ask(...["/written", "/empty", "/changed", "/pending", "/nowhere"].map((path) => rewrite(path)));
    expect(open.answers().map(({ errno }) => errno)).toEqual(["EEXIST", "EEXIST", "EEXIST", "ENODATA", "ENOENT"]);
    expect(fs.requests).toHaveLength(before);
    open.close();
  });

  test("a rewrite keeps what somebody writes in the meantime", () => {
    using fs = withChannel();
    poem(fs);
    const open = channel(fs);
    open.ask(rewrite("/poem"));
    overwrite(fs, "/poem");
    fs.content("second");
    expect(open.answers()).toMatchObject([{ id: 1, errno: "EBUSY" }]);
    expect(fs.cat("/poem")).toBe("minet");
    open.close();
  });

  test("a rewrite of content that cannot be read fails, and the next one is not refused", () => {
    using fs = withChannel();
    poem(fs);
    const file = fs.mount.tree.resolve("/poem", { follow: false });
    if (file.kind !== "file") throw new Error("not a file");
    const open = channel(fs);
    const unreadable = spyOn(file, "bytes").mockImplementation(() => {
      throw new FsError("EIO");
    });
    open.ask(rewrite("/poem"));
    expect(open.answers()).toMatchObject([{ id: 1, errno: "EIO" }]);
    unreadable.mockRestore();
    open.ask(rewrite("/poem"));
    fs.content("second");
    expect(open.answers()).toEqual([{ id: 1, ok: true }]);
    open.close();
  });

  test("a rewrite needs an instruction, and a descriptor that is open for writing", () => {
    using fs = withChannel();
    poem(fs);
    const open = channel(fs);
    open.ask(rewrite("/poem", 7), { id: 2, op: "rewrite", path: "/poem" });
    expect(open.answers().map(({ errno }) => errno)).toEqual(["EINVAL", "EINVAL"]);
    open.close();
    const readOnly = channel(fs, O_RDONLY);
    readOnly.submitted(rewrite("/poem"), { id: 2, op: "freeze", version: 1 });
    expect(readOnly.answers().map(({ errno }) => errno)).toEqual(["EACCES", "EACCES"]);
    readOnly.close();
  });
});

describe("a request that the main thread handles", () => {
  const commands = (fs: ServedTree) => fs.posted.filter((message) => message.type === "command");
  const failure = { command: "make", ending: "exit status 2", output: "no", earlier: [] };

  test("a command is passed on to the main thread, and answered with the outcome", () => {
    using fs = withChannel();
    const open = channel(fs);
    open.ask({ id: 1, op: "diagnose", failure }, { id: 2, op: "freeze", version: 3 });
    expect(commands(fs).map(({ command }) => command)).toEqual([
      { op: "diagnose", failure },
      { op: "freeze", version: 3 },
    ]);
    const [first, second] = commands(fs);
    fs.answers.onCompleted(second?.id ?? 0, { failure: { code: "EBUSY", message: "changed" } });
    fs.answers.onCompleted(first?.id ?? 0, { result: { diagnosis: { why: "" } } });
    expect(open.answers()).toEqual([
      { id: 2, errno: "EBUSY", message: "changed" },
      { id: 1, ok: true, diagnosis: { why: "" } },
    ]);
    open.close();
  });

  test("a command is stopped when its channel is closed", () => {
    using fs = withChannel();
    const open = channel(fs);
    open.ask({ id: 1, op: "diagnose", failure });
    open.close();
    const [asked] = commands(fs);
    expect(fs.posted.filter(({ type }) => type === "stop")).toEqual([{ type: "stop", id: asked?.id ?? 0 }]);
    fs.answers.onCompleted(asked?.id ?? 0, { failure: { code: "EINTR", message: "" } });
  });

  test("a command with missing or wrong members is refused", () => {
    using fs = withChannel();
    const open = channel(fs);
    const wrong = [
      undefined,
      "x",
      {},
      { ...failure, output: 1 },
      { ...failure, earlier: [1] },
      { ...failure, earlier: "" },
    ];
    open.ask(...wrong.map((one, id) => ({ id, op: "diagnose", failure: one })), { id: 9, op: "freeze", version: "1" });
    expect(open.answers().map(({ errno }) => errno)).toEqual(Array(7).fill("EINVAL"));
    expect(commands(fs)).toEqual([]);
    open.close();
  });

  test("the version changes with names and contents, and not with metadata", () => {
    using fs = withChannel();
    poem(fs);
    const open = channel(fs);
    const version = () => {
      open.ask({ id: 1, op: "version" });
      return open.answers()[0]?.version;
    };
    const first = version();
    expect(version()).toBe(first);
    expect(fs.generated()).toEqual(["/poem"]);
    expect(fs.answers.requestsFor(["/poem", "/nowhere"]).map(({ path, ticket }) => [path, ticket])).toEqual([
      ["/poem", 0],
    ]);
    fs.answers.setMetadata([{ path: "/poem", metadata: new Map([["request", "k"]]) }]);
    expect(fs.answers.requestsFor(["/poem"])[0]?.file.xattrs.get("user.llmfs.meta.request")).toBe("k");
    fs.answers.setMetadata([{ path: "/poem", metadata: new Map([["request", undefined]]) }]);
    expect(fs.answers.requestsFor(["/poem"])[0]?.file.xattrs.has("user.llmfs.meta.request")).toBe(false);
    expect(version()).toBe(first);
    overwrite(fs, "/poem");
    const second = version();
    expect(second).not.toBe(first);
    fs.directory("/new");
    expect(version()).not.toBe(second);
    expect(fs.generated()).toEqual([]);
    open.close();
  });
});

describe("growing a tree", () => {
  const commands = (fs: ServedTree) =>
    fs.posted.flatMap((message) => (message.type === "command" ? [{ id: message.id, ...message.command }] : []));

  test("a grow request is passed on with its user, and answered with the outcome", () => {
    using fs = withChannel();
    const open = channel(fs, O_RDWR, { uid: 1000, gid: 100 });
    open.ask({ id: 1, op: "grow", path: "/src", prompt: "tests" });
    const [command] = commands(fs);
    expect(command).toMatchObject({
      op: "grow",
      path: "/src",
      prompt: "tests",
      dry: false,
      adder: { uid: 1000, gid: 100 },
    });
    fs.answers.onCompleted(command?.id ?? 0, { result: { grown: { entries: [] } } });
    expect(open.answers()).toEqual([{ id: 1, ok: true, grown: { entries: [] } }]);
    open.close();
  });

  test("a grow request reports the kind of a model failure", () => {
    using fs = withChannel();
    const open = channel(fs);
    open.ask({ id: 1, op: "grow", path: "/", prompt: "tests" });
    const failure = { code: "EIO", message: "nothing usable", kind: "unusable" } as const;
    fs.answers.onCompleted(commands(fs)[0]?.id ?? 0, { failure });
    expect(open.answers()).toEqual([{ id: 1, errno: "EIO", message: "nothing usable", kind: "unusable" }]);
    open.close();
  });

  test("a grow request needs a prompt, a path, and, unless it is a dry run, a control file open for writing", () => {
    using fs = withChannel();
    const open = channel(fs, O_RDONLY);
    open.submitted(
      { id: 1, op: "grow", path: "/", prompt: " " },
      { id: 2, op: "grow", prompt: "tests" },
      { id: 3, op: "grow", path: "/", prompt: "tests" },
      { id: 4, op: "grow", path: "/", prompt: "tests", dry: true },
    );
    expect(open.answers().map(({ id, errno }) => [id, errno])).toEqual([
      [1, "EINVAL"],
      [2, "EINVAL"],
      [3, "EACCES"],
    ]);
    expect(commands(fs)).toMatchObject([{ op: "grow", dry: true }]);
    open.close();
  });

  test("a grow request is cancelled on request, and when the control file is closed", () => {
    using fs = withChannel();
    const open = channel(fs);
    open.ask({ id: 1, op: "grow", path: "/", prompt: "tests" }, { id: 2, op: "stop" });
    const stops = () => fs.posted.filter(({ type }) => type === "stop");
    expect(stops()).toHaveLength(1);
    open.ask({ id: 3, op: "grow", path: "/", prompt: "more tests" });
    open.close();
    expect(stops().length).toBeGreaterThan(1);
  });
});
