/** The files that the kernel may be writing to are kept as long as it may, and no longer. */
import { expect, test } from "bun:test";
import { WatchedFiles } from "../../../src/fs/coherence/watched-files.ts";
import { RegularFile } from "../../../src/tree/file.ts";
import { fixedClock } from "../../../src/tree/inode.ts";
import { Space } from "../../../src/tree/space.ts";

function shared(space: Space, report: () => void): RegularFile {
  const file = new RegularFile(2, 0o644, { uid: 0, gid: 0 }, fixedClock(1), space);
  file.share(report);
  return file;
}

test("few of the many files that come and go are kept, even if nothing checks for writes", () => {
  const watched = new WatchedFiles();
  const space = new Space();
  for (let count = 0; count < 1000; count++) {
    const file = shared(space, () => {});
    watched.add(file);
    file.dispose();
  }
  expect(watched.size).toBeLessThan(100);
});

test("files that share their memory with the kernel are kept, and the kernel's writes are reported", () => {
  const watched = new WatchedFiles();
  const space = new Space();
  let reports = 0;
  const files = Array.from({ length: 200 }, () => shared(space, () => reports++));
  for (const file of files) watched.add(file);
  expect(watched.size).toBe(files.length);
  for (const file of files) file.share(() => {}).write(0, Buffer.from("kernel"));
  watched.bringIn();
  expect(reports).toBe(files.length);
  for (const file of files) file.dispose();
  watched.bringIn();
  expect(watched.size).toBe(0);
});
