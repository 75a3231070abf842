/** Which programs rely on the size that stat(2) reports, and what stat does for them. */
import { describe, expect, test } from "bun:test";
import type { Program } from "../../../src/procfs.ts";
import { served } from "../../support/served.ts";

const DEFAULT = ["git", "cpio", "busybox tar", "busybox cpio"];

/** A process with these arguments; `file` is its executable. */
function processOf(name: string, file: string | undefined, ...args: readonly string[]) {
  const program: Program = { pid: 7, name, file, args, uid: 0, parent: 1 };
  return { name: () => name, program: () => program };
}

function generates(process: ReturnType<typeof processOf>, list: readonly string[] = DEFAULT): boolean {
  using fs = served({ programs: { statGenerates: list }, processes: process });
  const file = fs.pending("/file");
  return fs.mount.statReaders.mustGenerate(file, 7, fs.mount.handles);
}

describe("the programs that rely on the size", () => {
  test.each([
    ["git", "git", "git", "add", "file"],
    ["git", "git", "git", "-C", "status", "--git-dir=x", "-c", "a=b", "commit", "-a"],
    ["git", "git", "git", "ci"],
    ["git-add", "git", "/usr/lib/git-core/git-add", "file"],
    ["git", undefined, "git", "stash"],
    ["cpio", "cpio", "cpio", "-o", "--quiet"],
    ["cpio", "cpio", "cpio", "-pdm", "/tmp"],
    ["busybox", "busybox", "busybox", "tar", "-cf", "x.tar", "."],
    ["tar", "busybox", "tar", "czf", "x.tar", "text"],
    ["busybox", "busybox.static", "/bin/busybox.static", "cpio", "-o"],
  ] as const)("%s (%s), called as %s %s, is one", (name, file, ...args) => {
    expect(generates(processOf(name, file, ...args.map(String)))).toBe(true);
  });

  test.each([
    ["git", "git", "git", "status"],
    ["git", "git", "git", "-c", "add=add", "--no-pager", "status", "add"],
    ["git", "git", "git", "diff", "--no-ext-diff", "--quiet"],
    ["git", "git", "git", "clean", "-n"],
    ["git", "git", "git"],
    ["tar", "tar", "tar", "-cf", "x.tar", "."],
    ["busybox", "busybox", "busybox", "ls", "tar"],
    ["sh", "busybox", "sh"],
    ["busybox", "busybox", "busybox", "tar", "xf", "x.tar"],
    ["cpio", "cpio", "cpio", "-idmu"],
    ["cat", "cat", "cat", "git"],
  ] as const)("%s (%s), called as %s %s, is not", (name, file, ...args) => {
    expect(generates(processOf(name, file, ...args.map(String)))).toBe(false);
  });

  test("a program or command of one's own can be listed, and the list may be empty", () => {
    const status = processOf("git", "git", "git", "status");
    expect(generates(status, ["git status"])).toBe(true);
    expect(generates(processOf("a-long-name-of-", undefined, "x"), ["a-long-name-of-a-program"])).toBe(false);
    expect(generates(processOf("a-long-name-of-", "a-long-name-of-a-program"), ["a-long-name-of-a-program"])).toBe(
      true,
    );
    expect(generates(processOf("git", "git", "git", "add"), [])).toBe(false);
  });
});

describe("stat of a pending file by such a program", () => {
  const cpio = processOf("cpio", "cpio", "cpio", "-o");
  const options = { programs: { statGenerates: ["cpio"] }, processes: cpio };

  test("waits for the content, and returns its size", () => {
    using fs = served(options);
    fs.pending("/file");
    const nodeid = fs.node("/file");
    const unique = fs.kernel.start("getattr", nodeid, {}, { pid: 7 });
    expect(fs.kernel.outcome(unique)).toBeUndefined();
    fs.content("12345");
    expect(fs.kernel.outcome<"getattr">(unique)).toMatchObject({ value: { attr: { size: 5 } } });
  });

  test("fails with the error of the generation, and ends when the program is interrupted", () => {
    using fs = served(options);
    fs.pending("/file");
    const nodeid = fs.node("/file");
    const failing = fs.kernel.start("statx", nodeid, {}, { pid: 7 });
    fs.failed("EHOSTUNREACH");
    expect(fs.kernel.outcome(failing)).toEqual({ error: "EHOSTUNREACH" });
    const interrupted = fs.kernel.start("getattr", nodeid, {}, { pid: 7 });
    fs.kernel.interrupt(interrupted);
    expect(fs.kernel.outcome(interrupted)).toEqual({ error: "EINTR" });
  });

  test("does not generate a file that is open for writing, and one that the kernel asks about by itself", () => {
    using fs = served(options);
    fs.pending("/file");
    const nodeid = fs.node("/file");
    expect(fs.kernel.call("getattr", nodeid, {}, { pid: 0 }).attr.size).toBeGreaterThan(0);
    const { fh } = fs.open("/file", 1);
    expect(fs.kernel.call("getattr", nodeid, {}, { pid: 7 }).attr.size).toBe(0);
    fs.kernel.release(nodeid, fh);
  });

  test("is always asked of llmfs: the kernel may not cache the attributes of a pending file", () => {
    using fs = served({ ...options, processes: processOf("ls", "ls", "ls") });
    fs.pending("/file");
    fs.file("/other");
    const [pending, ready] = ["/file", "/other"].map((path) => fs.kernel.call("getattr", fs.node(path)).attr_valid);
    expect(pending).toBe(0);
    expect(ready).toBeGreaterThan(86_400);
    expect(fs.kernel.walk("/file").attr_valid).toBe(0);
  });
});

describe("access control lists", () => {
  const asked = { name: "system.posix_acl_access", size: 0 };
  const options = { programs: { statGenerates: ["cpio"] }, processes: processOf("ls", "ls", "ls", "-l") };

  test("ls learns that nothing has a list, until something has one; other users are not told", () => {
    using fs = served(options);
    fs.file("/file");
    const nodeid = fs.node("/file");
    expect(fs.kernel.errno("getxattr", nodeid, asked, { pid: 7 })).toBe("EOPNOTSUPP");
    expect(fs.kernel.errno("getxattr", nodeid, asked, { pid: 7, uid: 1000 })).toBe("ENODATA");
    fs.mount.hasAcls = true;
    expect(fs.kernel.errno("getxattr", nodeid, asked, { pid: 7 })).toBe("ENODATA");
  });
});
