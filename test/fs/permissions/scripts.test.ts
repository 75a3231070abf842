/** Which generated files can be run. */
import { expect, test } from "bun:test";
import { ACL_ACCESS } from "../../../src/tree/permissions/acl.ts";
import { type ServedOptions, type ServedTree, served } from "../../support/served.ts";

let thread = 2000;

/** Opens the file for reading, which generates it. */
function generate(fs: ServedTree, content: string | Uint8Array): void {
  const unique = fs.kernel.start("open", fs.node("/run"), { flags: 0 }, { pid: ++thread });
  fs.content(content);
  const outcome = fs.kernel.outcome<"open">(unique);
  if (outcome !== undefined && "value" in outcome) fs.kernel.release(fs.node("/run"), outcome.value.fh);
}

function regenerate(fs: ServedTree, content: string): void {
  const caller = { pid: ++thread };
  const value = Buffer.from("again");
  const request = { size: value.length, flags: 0, setxattr_flags: 0, name: "user.llmfs.regen", value };
  fs.kernel.call("setxattr", fs.node("/run"), request, caller);
  const unique = fs.kernel.start("open", fs.node("/run"), { flags: 0 }, caller);
  fs.content(content);
  const outcome = fs.kernel.outcome<"open">(unique);
  if (outcome !== undefined && "value" in outcome) fs.kernel.release(fs.node("/run"), outcome.value.fh);
}

function modeAfter(content: string | Uint8Array, options: ServedOptions = {}, before = 0o644): string {
  using fs = served(options);
  fs.pending("/run").setMode(0o100000 | before);
  generate(fs, content);
  return (fs.kernel.stat(fs.node("/run")).mode & 0o7777).toString(8);
}

test.each([
  ["a shell script", "#!/bin/sh\necho hello\n", "755"],
  ["a script with a space before its interpreter", "#! /usr/bin/env python3\n", "755"],
  ["a script of nothing but the mark", "#!", "755"],
  ["a script that is larger than a page", `#!/bin/sh\n${"# more\n".repeat(200_000)}`, "755"],
  ["Rust with an attribute", "#![no_std]\nfn main() {}\n", "644"],
  ["Rust with a space in its attribute", "#! [allow(unused)]\n", "644"],
  ["a comment", "# !/bin/sh\n", "644"],
  ["a mark that is not at the beginning", " #!/bin/sh\n", "644"],
  ["an empty file", "", "644"],
  ["one character", "#", "644"],
])("a generated file has the mode for its content: %s", (_, content, mode) => {
  expect(modeAfter(content)).toBe(mode);
});

test("a generated script gets only the execute bits that the umask allows, and only for users who may read it", () => {
  expect(modeAfter("#!/bin/sh\n", { umask: 0o077 })).toBe("744");
  expect(modeAfter("#!/bin/sh\n", { umask: 0o111 })).toBe("644");
  expect(modeAfter("#!/bin/sh\n", { umask: 0o002 }, 0o640)).toBe("750");
  expect(modeAfter("#!/bin/sh\n", { umask: 0 }, 0o200)).toBe("200");
});

test("the kernel learns that a script is executable before its reader continues", () => {
  using fs = served();
  fs.pending("/run");
  const nodeid = fs.node("/run");
  fs.kernel.stat(nodeid);
  fs.kernel.notifications.length = 0;
  generate(fs, "#!/bin/sh\n");
  expect(fs.kernel.notifications[0]).toMatchObject({ code: "inval inode", nodeid });
});

test("a script that a user wrote is not made executable", () => {
  using fs = served();
  fs.pending("/run");
  const { fh } = fs.kernel.call("open", fs.node("/run"), { flags: 0o1001 });
  const data = Buffer.from("#!/bin/sh\n");
  fs.kernel.call("write", fs.node("/run"), { fh, size: data.length, data });
  fs.kernel.release(fs.node("/run"), fh);
  expect(fs.kernel.stat(fs.node("/run")).mode & 0o777).toBe(0o644);
});

test("new content of a file can be run if it is its first script", () => {
  using fs = served();
  fs.pending("/run");
  generate(fs, "hello\n");
  regenerate(fs, "#!/bin/sh\n");
  expect(fs.kernel.stat(fs.node("/run")).mode & 0o777).toBe(0o755);
});

test("a regenerated script does not get execute bits that somebody removed from the previous one", () => {
  using fs = served();
  const file = fs.pending("/run");
  generate(fs, "#!/bin/sh\n");
  file.setMode(0o100600);
  regenerate(fs, "#!/bin/sh -e\n");
  expect(fs.kernel.stat(fs.node("/run")).mode & 0o777).toBe(0o600);
});

test("an access control list follows the mode of a script", () => {
  using fs = served();
  const file = fs.pending("/run");
  // user::rw-, group::r--, mask::r--, other::---
  const entries = [
    [1, 6],
    [4, 4],
    [16, 4],
    [32, 0],
  ];
  const acl = Buffer.from([
    2,
    0,
    0,
    0,
    ...entries.flatMap(([tag = 0, bits = 0]) => [tag, 0, bits, 0, 255, 255, 255, 255]),
  ]);
  file.replaceXattrs(new Map([[ACL_ACCESS, acl]]));
  file.setMode(0o100640);
  generate(fs, "#!/bin/sh\n");
  expect(file.mode & 0o777).toBe(0o750);
  expect([...(file.xattrs?.get(ACL_ACCESS) ?? [])].filter((_, at) => at > 4 && at % 8 === 6)).toEqual([7, 4, 5, 0]);
});
