/** What mount(8) passes to the mount helper, as a command line of `llmfs mount`. */
import { expect, test } from "bun:test";
import { mount } from "../../../src/cli/commands/mounts/mount.ts";
import { parseHelperLine } from "../../../src/cli/start/mount-helper.ts";

const parse = (...argv: string[]) => parseHelperLine(argv, mount.args);

test("a source and options become flags", () => {
  expect(parse("/srv/tree.json", "/mnt/t", "-o", "rw,max-calls=10,allow_other,save=/srv/tree.json")).toEqual({
    argv: [
      "--from=/srv/tree.json",
      "--config=none",
      "--max-calls=10",
      "--allow-other",
      "--save=/srv/tree.json",
      "--",
      "/mnt/t",
    ],
    fake: false,
  });
});

test.each(["none", "llmfs", ""])("the source %p is an empty tree", (source) => {
  expect(parse(source, "/mnt/t").argv).toEqual(["--config=none", "--", "/mnt/t"]);
});

test("options of mount(8) itself are accepted, in any place and number", () => {
  const options = "defaults,noauto,nofail,_netdev,user,noatime,comment=mine,x-systemd.automount,nosuid,nodev";
  const { argv } = parse(
    "-n",
    "none",
    "-v",
    "/mnt/t",
    "-o",
    options,
    "-o",
    "rw",
    "-t",
    "fuse.llmfs",
    "-N",
    "/proc/1/ns/mnt",
  );
  expect(argv).toEqual(["--config=none", "--", "/mnt/t"]);
});

test("ro and noexec have their own names as flags", () => {
  const flags = ["--config=none", "--read-only", "--no-exec", "--", "/mnt/t"];
  expect(parse("none", "/mnt/t", "-o", "ro,noexec").argv).toEqual(flags);
  expect(parse("none", "/mnt/t", "-r", "-onoexec").argv).toEqual(flags);
});

test("a value may contain commas after a backslash or in quotes, and equals signs", () => {
  const { argv } = parse("none", "/mnt/t", "-o", String.raw`price=a=1/2\,b=3/4,prompt="a tree, small",warm`);
  expect(argv).toEqual(["--config=none", "--price=a=1/2,b=3/4", "--prompt=a tree, small", "--warm", "--", "/mnt/t"]);
});

test("a named configuration is used", () => {
  expect(parse("none", "/mnt/t", "-o", "config=/etc/llmfs.yaml").argv).toEqual([
    "--config=/etc/llmfs.yaml",
    "--",
    "/mnt/t",
  ]);
});

test("-f mounts nothing", () => {
  expect(parse("none", "/mnt/t", "-fv").fake).toBe(true);
});

test.each([
  [["none", "/mnt/t", "-o", "siz=1G"], "unknown option siz; did you mean size?"],
  [["none", "/mnt/t", "-o", "suid"], "unknown option suid"],
  [["none", "/mnt/t", "-o", "foreground"], "unknown option foreground"],
  [["none", "/mnt/t", "-o", "size"], "the option size needs a value"],
  [["none", "/mnt/t", "-o", "warm=1"], "the option warm has no value"],
  [["none", "/mnt/t", "-o", "uid=4711"], "chown -R 4711 /mnt/t"],
  [["none", "/mnt/t", "-o", "gid=4711"], "chgrp -R 4711 /mnt/t"],
  [["none", "/mnt/t", "-o", "umask=022"], "chmod -R MODE /mnt/t"],
  [["none", "/mnt/t", "-s", "-o", "user_id=0,remount,ro"], "unmount it, and mount it again with the other options"],
  [["none"], "SOURCE and DIR are missing"],
  [["none", "/mnt/t", "/more"], 'unexpected argument "/more"'],
  [["none", "/mnt/t", "-o"], "-o needs a value"],
  [["none", "/mnt/t", "--size"], "unknown flag --size"],
])("%p is refused", (argv, problem) => {
  expect(() => parse(...argv)).toThrow(problem);
});

test("the ids of whoever mounts are accepted, because everything belongs to that user anyway", () => {
  const own = `uid=${process.getuid?.()},gid=${process.getgid?.()}`;
  expect(parse("none", "/mnt/t", "-o", own).argv).toEqual(["--config=none", "--", "/mnt/t"]);
});

test("with -s, unknown options are ignored", () => {
  expect(parse("none", "/mnt/t", "-s", "-o", "siz=1G,suid").argv).toEqual(["--config=none", "--", "/mnt/t"]);
});
