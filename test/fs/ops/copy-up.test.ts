/** How overlayfs copies a file up, request by request, and what makes it use the right size. */
import { expect, test } from "bun:test";
import { O_NOATIME } from "../../../src/fs/handles.ts";
import { type ServedTree, served } from "../../support/served.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** A file without content, its kernel, and a thread whose open, made as overlayfs makes it, waits for the content. */
function copied(flags = O_NOATIME): { fs: ServedTree; nodeid: number; fh: number } {
  const fs = served();
  fs.pending("/a");
  const nodeid = fs.node("/a");
  const open = fs.kernel.start("open", nodeid, { flags });
  fs.content("short");
  const outcome = fs.kernel.outcome<"open">(open);
  return { fs, nodeid, fh: outcome !== undefined && "value" in outcome ? outcome.value.fh : 0 };
}

function list(fs: ServedTree, nodeid: number, pid = 4711): string {
  return fs.kernel.errno("listxattr", nodeid, { size: 0 }, { pid });
}

test("a thread that waited for the content and copies without asking for the size is made to start over once", () => {
  const { fs, nodeid, fh } = copied();
  using _ = fs;
  fs.kernel.call("lseek", nodeid, { fh, offset: 0, whence: SEEK_DATA });
  expect(list(fs, nodeid)).toBe("ESTALE");
  const second = fs.kernel.call("open", nodeid, { flags: O_NOATIME }).fh;
  fs.kernel.call("lseek", nodeid, { fh: second, offset: 0, whence: SEEK_DATA });
  expect(list(fs, nodeid)).toBe("ok");
  for (const one of [fh, second]) fs.kernel.release(nodeid, one);
});

test("a thread that opens the file just after its content arrived is made to start over once, too", () => {
  const { fs, nodeid, fh } = copied(0);
  using _ = fs;
  const pid = 12;
  const late = fs.kernel.call("open", nodeid, { flags: O_NOATIME }, { pid }).fh;
  fs.kernel.call("lseek", nodeid, { fh: late, offset: 0, whence: SEEK_DATA }, { pid });
  expect(list(fs, nodeid, pid)).toBe("ESTALE");
  for (const one of [fh, late]) fs.kernel.release(nodeid, one);
});

test("other programs do not start over: they ask for the size, look for holes, use other threads, or never seek", () => {
  const cases: ((fs: ServedTree, nodeid: number, fh: number) => string)[] = [
    (fs, nodeid, fh) => {
      fs.kernel.call("getattr", nodeid);
      fs.kernel.call("lseek", nodeid, { fh, offset: 0, whence: SEEK_DATA });
      return list(fs, nodeid);
    },
    (fs, nodeid, fh) => {
      fs.kernel.call("lseek", nodeid, { fh, offset: 0, whence: SEEK_DATA });
      fs.kernel.call("statx", nodeid);
      return list(fs, nodeid);
    },
    (fs, nodeid, fh) => {
      fs.kernel.call("lseek", nodeid, { fh, offset: 0, whence: SEEK_DATA });
      fs.kernel.call("lseek", nodeid, { fh, offset: 0, whence: SEEK_HOLE });
      return list(fs, nodeid);
    },
    (fs, nodeid, fh) => {
      fs.kernel.call("lseek", nodeid, { fh, offset: 0, whence: SEEK_DATA });
      return list(fs, nodeid, 12);
    },
    (fs, nodeid) => list(fs, nodeid),
    (fs, nodeid, fh) => {
      fs.kernel.call("lseek", nodeid, { fh, offset: 0, whence: SEEK_DATA });
      fs.kernel.release(nodeid, fh);
      return list(fs, nodeid);
    },
  ];
  for (const ask of cases) {
    const { fs, nodeid, fh } = copied();
    using _ = fs;
    expect(ask(fs, nodeid, fh)).toBe("ok");
    for (const [one, node] of fs.kernel.handles) fs.kernel.release(node, one);
  }
  const { fs, nodeid, fh } = copied(0);
  using _ = fs;
  fs.kernel.call("lseek", nodeid, { fh, offset: 0, whence: SEEK_DATA });
  expect(list(fs, nodeid)).toBe("ok");
  fs.kernel.release(nodeid, fh);
});

test("a copy of a file that was already open starts only once, because its real size is known", () => {
  const { fs, nodeid, fh } = copied();
  using _ = fs;
  const again = fs.kernel.call("open", nodeid, { flags: O_NOATIME }).fh;
  fs.kernel.call("lseek", nodeid, { fh: again, offset: 0, whence: SEEK_DATA });
  expect(list(fs, nodeid)).toBe("ok");
  for (const one of [fh, again]) fs.kernel.release(nodeid, one);
});

test("an open that starts over finds the same content, even if the file is generated at every open", () => {
  using fs = served();
  fs.pending("/a", { "user.llmfs.refresh": "always" });
  const nodeid = fs.node("/a");
  fs.kernel.start("open", nodeid, { flags: O_NOATIME });
  fs.content("first");
  fs.kernel.call("lseek", nodeid, { fh: 1, offset: 0, whence: SEEK_DATA });
  expect(list(fs, nodeid)).toBe("ESTALE");
  const open = () => fs.kernel.call("open", nodeid, { flags: O_NOATIME }).fh;
  const handles = [open(), open(), open()];
  expect(fs.requests).toHaveLength(1);
  for (const fh of [1, ...handles]) fs.kernel.release(nodeid, fh);
  fs.kernel.start("open", nodeid, { flags: O_NOATIME });
  expect(fs.requests).toHaveLength(2);
  fs.content("second");
  for (const [fh, node] of fs.kernel.handles) fs.kernel.release(node, fh);
});

test("with metacopy=on the open after the attributes starts over, once", () => {
  using fs = served();
  fs.pending("/a");
  const nodeid = fs.node("/a");
  expect(list(fs, nodeid)).toBe("ok");
  const open = fs.kernel.start("open", nodeid, { flags: 0 });
  fs.content("short");
  expect(fs.kernel.outcome(open)).toEqual({ error: "ESTALE" });
  expect(list(fs, nodeid)).toBe("ok");
  const again = fs.kernel.start("open", nodeid, { flags: 0 });
  expect(fs.kernel.outcome(again)).toHaveProperty("value");
  const third = fs.kernel.start("open", nodeid, { flags: 0 });
  expect(fs.kernel.outcome(third)).toHaveProperty("value");
  for (const [fh, node] of fs.kernel.handles) fs.kernel.release(node, fh);
});
