/**
 * The time of a file after a write that the kernel may have made without a request, compared with other times.
 *
 * Nothing reads the file's attributes between the write and what follows, because that would make the write known.
 */
import { posix } from "./fact.ts";

/** `WRITE` changes the file `a`, open as 1 for reading and writing; 2 is another file, open for reading. */
const WRITES: readonly (readonly [how: string, write: string])[] = [
  ["a write", "write 1 hello"],
  ["a write elsewhere in the file", "pwrite 1 100000 hello"],
  ["a large write", "write 1 a*300000"],
  ["a write through another descriptor", "fd 3 a O_WRONLY\nwrite 3 hello"],
  ["an append", "fd 3 a O_WRONLY|O_APPEND\nwrite 3 hello"],
  ["a splice", "splice 2 1 1000"],
  ["a sendfile", "sendfile 2 1 1000"],
  ["a copy_file_range", "copy 2 0 1 0 1000"],
  ["a write that was synchronised", "write 1 hello\nfsync 1"],
  ["a write, and a truncation", "write 1 hello\nftruncate 1 3"],
  ["a write, and an allocation", "write 1 hello\nfallocate 1 0 0 100000"],
  ["a write, and a hole", "write 1 a*10000\nfallocate 1 PUNCH_HOLE|KEEP_SIZE 0 4096"],
  ["a store through a mapping", "mmap 0 1 0 4096 READ|WRITE SHARED\nstore 0 10 hello"],
  ["a store through a mapping that is gone", "mmap 0 1 0 4096 READ|WRITE SHARED\nstore 0 10 hello\nmunmap 0"],
];

/** What sets the time of `a`, and what happens before the time is read. */
const SETTINGS: readonly (readonly [how: string, set: string])[] = [
  ["through the same descriptor", "futimens 1 omit 1000000000.123456789"],
  ["by the name", "utimens a omit 1000000000.123456789"],
  ["after the file was closed", "close 1\nutimens a omit 1000000000.123456789"],
  ["before the file is closed", "futimens 1 omit 1000000000.123456789\nclose 1"],
  ["through another descriptor", "fd 4 a O_RDONLY\nfutimens 4 omit 1000000000.123456789\nclose 4"],
  ["by another name", "link a b\nutimens b omit 1000000000.123456789"],
  ["before it takes another's place", "utimens a omit 1000000000.123456789\ncreate c 0644 c\nrename a c\nrename c a"],
];

posix("a time that is set after a change of the content", (fact) => {
  for (const [how, write] of WRITES) {
    for (const [way, set] of SETTINGS) {
      fact(
        `a time that is set stays: ${how}, set ${way}`,
        `
        create a 0644 a*5000
        create source 0644 s*5000
        fd 1 a O_RDWR
        fd 2 source O_RDONLY
        ${write}
        ${set}
        settle
        statx a mtime => 1000000000.123456789
        lstat a mtime => 1000000000.123456789
        `,
      );
    }
  }

  fact(
    "a time that is set stays when the file has lost its name",
    `
    fd 1 a O_RDWR|O_CREAT|O_EXCL 0644
    unlink a
    write 1 hello
    futimens 1 omit 1000000000.123456789
    fstatx 1 mtime => 1000000000.123456789
    fd 2 . O_TMPFILE|O_RDWR 0644
    write 2 hello
    futimens 2 omit 5
    fstatx 2 mtime => 5.000000000
    linkfd 2 b
    statx b mtime => 5.000000000
    `,
  );

  fact(
    "a time that is set changes again with the next write",
    `
    create old 0644
    utimens old omit 1000000000.5
    fd 1 a O_RDWR|O_CREAT 0644
    write 1 hello
    futimens 1 omit 1000000000
    write 1 again
    order a mtime old mtime => >
    futimens 1 omit 1000000000
    statx a mtime => 1000000000.000000000
    mmap 0 1 0 4096 READ|WRITE SHARED
    store 0 1 x
    munmap 0
    order a mtime old mtime => >
    `,
  );

  fact(
    "a time that is set may also be the access time, after a read",
    `
    create a 0644 a*5000
    utimens a 1 now
    fd 1 a O_RDWR
    read 1 10 => a*10
    futimens 1 5 6
    statx a atime mtime => 5.000000000 6.000000000
    `,
  );
});

posix("a store through a shared mapping", (fact) => {
  const looks: readonly (readonly [when: string, lines: string])[] = [
    ["closed before", "close 1\nstore 0 10 hello\nmunmap 0"],
    ["closed after", "store 0 10 hello\nmunmap 0\nclose 1"],
    ["still mapped", "store 0 10 hello\nclose 1\nmsync 0"],
    ["opened by another process before the store", "close 1\nfd 2 a O_RDONLY\nclose 2\nstore 0 10 hello\nmsync 0"],
    ["read by another process before the store", "close 1\ncat a => a*5000\nstore 0 10 hello\nmunmap 0"],
  ];
  for (const [when, lines] of looks) {
    for (const size of [5000, 300000]) {
      fact(
        `a store through a mapping updates times that were set before: ${when}, ${size} bytes`,
        `
        create a 0644 a*${size}
        create old 0644
        utimens a omit 1000
        utimens old omit 2000
        statx a mtime => 1000.000000000
        fd 1 a O_RDWR
        statx a mtime => 1000.000000000
        mmap 0 1 0 4096 READ|WRITE SHARED
        statx a mtime => 1000.000000000
        ${lines.replaceAll("a*5000", `a*${size}`)}
        order a mtime old mtime => >
        order a ctime a mtime => =
        `,
      );
    }
  }

  fact(
    "a store through a mapping updates the times a second time, after they were read",
    `
    create a 0644 a*10000
    create old 0644
    utimens old omit 2000
    fd 1 a O_RDWR
    mmap 0 1 0 4096 READ|WRITE SHARED
    mmap 1 1 4096 4096 READ|WRITE SHARED
    close 1
    store 0 10 hello
    msync 0
    order a mtime old mtime => >
    utimens a omit 1000
    statx a mtime => 1000.000000000
    store 1 10 hello
    munmap 1
    order a mtime old mtime => >
    munmap 0
    utimens a omit 1000
    statx a mtime => 1000.000000000
    `,
  );

  fact(
    "a store through a mapping changes no times if the mapping is private",
    `
    create a 0644 a*5000
    utimens a omit 1000
    fd 1 a O_RDWR
    mmap 0 1 0 4096 READ|WRITE PRIVATE
    store 0 10 hello
    munmap 0
    close 1
    statx a mtime => 1000.000000000
    `,
  );
});

posix("two files' times", (fact) => {
  fact("two files' times are in the order of what was done to the files", "race 120 => newer 0 older 0");
});
