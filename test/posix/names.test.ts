/** Creating, linking, moving and removing names: mkdir, mkfifo, mknod, symlink, link, unlink, rmdir, rename. */
import { type FileType, make, posix, remove, TYPES } from "./fact.ts";

const LONGEST = "n".repeat(255);
const TOO_LONG = "n".repeat(256);
/** A path of n bytes, made of "./" and a name: longer than PATH_MAX from 4096 on. */
const path = (length: number) => `${"./".repeat((length - 2) / 2)}x${length % 2 === 0 ? "x" : ""}`.slice(0, length);
const OTHERS = TYPES.filter((type) => type !== "directory");
/** Calls that create something at a path, and the calls that make room for them. */
const MAKERS = {
  mkdir: (at: string) => `mkdir ${at} 0755`,
  mkfifo: (at: string) => `mkfifo ${at} 0644`,
  mknod: (at: string) => `mknod ${at} c 0644 1 3`,
  symlink: (at: string) => `symlink target ${at}`,
  link: (at: string) => `link ../linked ${at}`,
  open: (at: string) => `open ${at} O_CREAT|O_WRONLY 0644`,
  rename: (at: string) => `rename ../moved ${at}`,
} as const;
const MAKER_NAMES = Object.keys(MAKERS) as (keyof typeof MAKERS)[];
const SETUP = `
  create linked
  create moved
  mkdir room 0777
  chdir room`;

for (const call of MAKER_NAMES) {
  const to = MAKERS[call];
  posix(call, (fact) => {
    fact(
      "a name of 255 bytes is accepted, one of 256 is ENAMETOOLONG",
      `${SETUP}
      ${to(LONGEST)}
      lstat ${LONGEST}
      open ../moved O_CREAT|O_WRONLY 0644
      ${to(TOO_LONG)} => ENAMETOOLONG
      lstat ${TOO_LONG} => ENAMETOOLONG`,
    );
    fact(
      "any bytes can form a name",
      `${SETUP}
      ${to("%01%ff%fe%20%0a%80")}
      lstat %01%ff%fe%20%0a%80`,
    );
    fact(
      "a path of 4096 bytes is ENAMETOOLONG, a shorter one is not",
      `${SETUP}
      ${to(path(4095))}
      open ../moved O_CREAT|O_WRONLY 0644
      ${to(path(4096))} => ENAMETOOLONG`,
    );
    fact(
      "a missing component is ENOENT, one that is not a directory is ENOTDIR",
      `${SETUP}
      create file
      ${to("missing/x")} => ENOENT
      ${to("file/x")} => ENOTDIR
      ${to(`${TOO_LONG}/x`)} => ENAMETOOLONG`,
    );
    fact(
      "symbolic links that form a cycle are ELOOP",
      `${SETUP}
      symlink b a
      symlink a b
      ${to("a/x")} => ELOOP`,
    );
    fact(
      "an empty path is ENOENT, an invalid address is EFAULT",
      `${SETUP}
      ${to("%_")} => ENOENT
      ${to("%!")} => EFAULT`,
    );
    fact(
      "search permission is required on every directory of the path, write permission on the last",
      `${SETUP}
      chmod ../linked 0666
      mkdir in 0777
      chown in 1000 1000
      chmod .. 0777
      chown ../linked 1000 1000
      chown ../moved 1000 1000
      ${call === "mknod" ? "" : "@1000:1000 "}${to("in/x")}
      chmod in 0666
      @1000:1000 ${to("in/y")} => EACCES
      chmod in 0555
      @1000:1000 ${to("in/y")} => ${call === "rename" ? "ENOENT" : "EACCES"}`,
    );
    fact(
      "the directory's mtime and ctime change, and no other directory's",
      `${SETUP}
      mkdir in 0755
      mark . in
      ${to("in/x")}
      changed . in => --- -mc`,
    );
    fact(
      "no times change if the call fails",
      `${SETUP}
      mkdir in 0755
      mkdir in/x 0755
      create in/x/y
      mark in in/x
      ${to("in/x")} => ${call === "open" ? "EISDIR" : call === "rename" ? "EISDIR" : "EEXIST"}
      changed in in/x => --- ---`,
    );
    fact(
      "a change on a read-only mount is EROFS, unless an earlier check fails",
      `${SETUP}
      mkdir ../ro 0777
      mkdir ../ro/there
      create ../ro/file
      readonly ../ro
      chdir ../ro
      ${to("x").replace(/\.\.\/(linked|moved)/, "file")} => EROFS
      ${to("missing/x").replace(/\.\.\/(linked|moved)/, "file")} => ENOENT
      ${to("there").replace(/\.\.\/(linked|moved)/, "file")} => ${call === "rename" ? "EROFS" : call === "open" ? "EISDIR" : "EEXIST"}`,
    );
  });
}

posix("mkdir, mkfifo, mknod, symlink and open", (fact) => {
  for (const type of TYPES) {
    for (const call of MAKER_NAMES) {
      if (call === "open" || call === "rename") continue;
      fact(
        `${call} over a ${type} is EEXIST`,
        `${SETUP}
        ${make(type, "x")}
        ${MAKERS[call]("x")} => EEXIST`,
      );
    }
    fact(
      `open with O_CREAT and O_EXCL over a ${type} is EEXIST`,
      `
      ${make(type, "x")}
      open x O_CREAT|O_EXCL|O_WRONLY 0644 => EEXIST`,
    );
  }
  for (const [call, type] of [
    ["mkdir", "d"],
    ["mkfifo", "p"],
    ["open", "f"],
  ] as const) {
    fact(
      `${call} gives the mode less the umask`,
      `${SETUP}
      ${MAKERS[call]("a").replace(/ 0\d+$/, " 0777")}
      lstat a type mode => ${type} 0777
      umask 077
      ${MAKERS[call]("b").replace(/ 0\d+$/, " 0777")}
      lstat b mode => 0700
      umask 0501
      ${MAKERS[call]("c").replace(/ 0\d+$/, " 0345")}
      lstat c mode => 0244`,
    );
    fact(
      `${call} makes a file that belongs to the caller`,
      `${SETUP}
      chmod . 0777
      @1000:1001 ${MAKERS[call]("x")}
      lstat x uid gid => 1000 1001
      @1000:1001,1002 ${MAKERS[call]("y")}
      lstat y uid gid => 1000 1001`,
    );
    fact(
      `${call} in a setgid directory takes over its group`,
      `${SETUP}
      mkdir in
      chown in 0 1005
      chmod in 02777
      @1000:1001 ${MAKERS[call]("in/x")}
      lstat in/x uid gid => 1000 1005
      lstat in/x mode => ${call === "mkdir" ? "2755" : "0644"}`,
    );
    fact(
      `${call} sets all three times at once, and the same times on the directory`,
      `${SETUP}
      mark .
      ${MAKERS[call]("x")}
      order x atime x mtime => =
      order x mtime x ctime => =
      changed . => -mc`,
    );
  }
  fact(
    "a setgid bit requested in a setgid directory is not granted to users outside its group",
    `
    mkdir in
    chown in 0 1005
    chmod in 02777
    @1000:1001 create in/x 02755
    lstat in/x mode gid => 0755 1005
    @1000:1001,1005 create in/y 02755
    lstat in/y mode gid => 2755 1005
    create in/z 02755
    lstat in/z mode => 2755
    @1000:1001 create in/w 02745
    lstat in/w mode => 2745`,
  );
  fact(
    "mknod makes every type, and requires CAP_MKNOD for devices",
    `
    chmod . 0777
    mknod c c 0644 1 3
    lstat c type rdev => c 1,3
    mknod b b 0644 4095 1048575
    lstat b type rdev => b 4095,1048575
    mknod f f 0644
    lstat f type size => f 0
    mknod z 0 0644
    lstat z type => f
    mknod d d 0755 => EPERM
    @1000:1000 mknod x c 0644 1 3 => EPERM
    @1000:1000 mknod x b 0644 1 3 => EPERM
    @1000:1000 mknod x p 0644
    @1000:1000 mknod s s 0644
    lstat s type => s`,
  );
  fact(
    "a socket can be bound once, and is a file with a mode",
    `
    umask 027
    bind s
    lstat s type mode => s 0750
    bind s => EADDRINUSE
    open s O_RDONLY => ENXIO
    connect s => ECONNREFUSED
    bind t 1
    connect t
    unlink t
    connect t => ENOENT`,
  );
  fact(
    "a symlink's target may be any text of up to 4095 bytes",
    `
    symlink ${"t".repeat(4095)} long
    lstat long size mode => 4095 0777
    symlink ${"t".repeat(4096)} longer => ENAMETOOLONG
    symlink %_ empty => ENOENT
    symlink %ff%80%0a raw
    readlink raw => %ff%80%0a
    readlink raw 2 => %ff%80
    symlink ${TOO_LONG} name
    open name O_RDONLY => ENAMETOOLONG
    readlink . => EINVAL
    readlink missing => ENOENT`,
  );
  fact(
    "short symlinks take no blocks, long ones take a page",
    `
    symlink ${"t".repeat(127)} short
    symlink ${"t".repeat(128)} long
    lstat short blocks size => 0 127
    lstat long blocks size => 8 128`,
  );
  fact(
    "forty symlinks are followed, forty-one are not",
    `
    create l0 0644 found
    ${Array.from({ length: 41 }, (_, at) => `symlink l${at} l${at + 1}`).join("\n")}
    cat l40 => found
    cat l41 => ELOOP`,
  );
  fact(
    "a trailing slash requires a directory",
    `
    mkdir made/
    symlink made link
    lstat link/ type => d
    create file
    lstat file/ => ENOTDIR
    open new/ O_CREAT|O_WRONLY 0644 => EISDIR
    open made/ O_CREAT|O_WRONLY 0644 => EISDIR
    symlink target new/ => ENOENT
    mkfifo new/ => ENOENT
    link file new/ => ENOENT
    rename file new/ => ENOTDIR
    rename made other/
    unlink file/ => ENOTDIR
    rmdir other/`,
  );
  fact(
    "nothing can be created in a directory that was removed",
    `
    mkdir gone
    create old
    mkdir olddir
    chdir gone
    rmdir ../gone
    create x => ENOENT
    mkdir x => ENOENT
    mkfifo x => ENOENT
    symlink t x => ENOENT
    link ../old x => ENOENT
    rename ../old x => ENOENT
    rename ../olddir x => ENOENT
    open . O_TMPFILE|O_RDWR 0600
    lstat . nlink => 0
    lstat .. type => d`,
  );
});

posix("link", (fact) => {
  for (const type of OTHERS) {
    fact(
      `a ${type} has as many links as names, all of one inode`,
      `
      ${make(type, "a")}
      lstat a nlink => 1
      link a b
      lstat a nlink => 2
      same a b => same
      link b c
      lchown c 12 34
      lstat a nlink uid gid => 3 12 34
      unlink a
      lstat b nlink => 2
      unlink b
      unlink c
      lstat c => ENOENT`,
    );
    fact(
      `linking a ${type} updates its ctime and the directory's times`,
      `
      ${make(type, "a")}
      mkdir in
      mark . a in
      link a in/b
      changed . a in => --- --c -mc
      mark . a in
      unlink in/b
      changed . a in => --- --c -mc`,
    );
  }
  fact(
    "link to a directory is EPERM, even for root",
    `
    chmod . 0777
    mkdir a
    link a b => EPERM
    @1000:1000 link a b => EPERM
    lstat a nlink => 2`,
  );
  fact(
    "link to a missing file is ENOENT, over an existing name EEXIST",
    `
    link missing b => ENOENT
    create a
    create b
    link a b => EEXIST
    link a a => EEXIST
    link missing b => ENOENT`,
  );
  fact(
    "link to a file on another filesystem is EXDEV",
    `
    create a
    link /proc/self/stat b => EXDEV
    link a /dev/shm/b => EXDEV
    rename a /dev/shm/b => EXDEV
    rename /dev/shm b => EXDEV`,
  );
  fact(
    "link to a symlink links the symlink itself, unless AT_SYMLINK_FOLLOW is set",
    `
    create a
    symlink a s
    link s l
    lstat l type => l
    linkat s f FOLLOW
    lstat f type nlink => f 2`,
  );
  fact(
    "a file can be linked through its handle",
    `
    create a 0644 text
    fd 1 a O_RDONLY
    linkfd 1 b
    same a b => same
    unlink a
    unlink b
    linkfd 1 c => ENOENT
    fstat 1 nlink => 0
    pread 1 0 9 => text`,
  );
});

posix("O_TMPFILE", (fact) => {
  fact(
    "an O_TMPFILE file has no name and no link until it is linked",
    `
    fd 1 . O_TMPFILE|O_RDWR 0640
    fstat 1 type mode nlink => f 0640 0
    write 1 hello => 5
    ls . => empty
    linkfd 1 name
    fstat 1 nlink => 1
    cat name => hello
    linkfd 1 other
    lstat name nlink => 2`,
  );
  fact(
    "an O_TMPFILE file opened with O_EXCL can never be linked",
    `
    fd 1 . O_TMPFILE|O_RDWR|O_EXCL 0640
    linkfd 1 name => ENOENT`,
  );
  fact(
    "O_TMPFILE requires a directory, write access and write permission",
    `
    create file
    chmod . 0755
    open file O_TMPFILE|O_RDWR 0600 => ENOTDIR
    open missing O_TMPFILE|O_RDWR 0600 => ENOENT
    open . O_TMPFILE|O_RDONLY 0600 => EINVAL
    @1000:1000 open . O_TMPFILE|O_RDWR 0600 => EACCES`,
  );
  fact(
    "O_TMPFILE leaves the directory's times unchanged until the file is linked",
    `
    mark .
    fd 1 . O_TMPFILE|O_RDWR 0600
    changed . => ---
    linkfd 1 x
    changed . => -mc`,
  );
});

posix("unlink and rmdir", (fact) => {
  for (const type of OTHERS) {
    fact(
      `unlink removes a ${type}, and rmdir of it is ENOTDIR`,
      `
      ${make(type, "x")}
      rmdir x => ENOTDIR
      unlink x
      lstat x => ENOENT`,
    );
    fact(
      `unlink of a ${type} with other names updates its ctime`,
      `
      ${make(type, "x")}
      link x y
      mark . x
      unlink y
      changed . x => -mc --c`,
    );
  }
  fact(
    "unlink of a directory is EISDIR, and changes nothing",
    `
    mkdir d
    mark . d
    unlink d => EISDIR
    changed . d => --- ---`,
  );
  fact(
    "rmdir requires an empty directory",
    `
    mkdir d
    create d/x
    rmdir d => ENOTEMPTY
    rmdir . => EINVAL
    rmdir d/. => EINVAL
    rmdir d/.. => ENOTEMPTY
    rmdir .. => ENOTEMPTY
    unlink d/x
    mark .
    rmdir d
    changed . => -mc
    rmdir d => ENOENT`,
  );
  fact(
    "paths that are missing, too long, through a file, cyclic, or at an invalid address are errors",
    `
    create f
    symlink loop loop
    ${["unlink", "rmdir"]
      .map(
        (call) => `
    ${call} missing => ENOENT
    ${call} missing/x => ENOENT
    ${call} f/x => ENOTDIR
    ${call} ${TOO_LONG} => ENAMETOOLONG
    ${call} ${path(4096)} => ENAMETOOLONG
    ${call} loop/x => ELOOP
    ${call} %_ => ENOENT
    ${call} %! => EFAULT`,
      )
      .join("\n")}`,
  );
  fact(
    "write and search permission are required on the directory, none on what is removed",
    `
    mkdir in
    chown in 1000 1000
    create in/x 0000
    mkdir in/d 0000
    chmod in 0555
    @1000:1000 unlink in/x => EACCES
    @1000:1000 rmdir in/d => EACCES
    chmod in 0666
    @1000:1000 unlink in/x => EACCES
    chmod in 0333
    @1000:1000 unlink in/x
    @1000:1000 rmdir in/d`,
  );
  fact(
    "an unlinked file lives while a program has it open",
    `
    create x 0644 text
    fd 1 x O_RDWR
    mark x
    unlink x
    fstat 1 nlink size => 0 4
    pread 1 0 10 => text
    pwrite 1 4 more => 4
    pread 1 0 10 => textmore
    fchmod 1 0600
    fstat 1 mode => 0600
    create x 0644 other
    pread 1 0 10 => textmore`,
  );
  fact(
    "a removed directory can be listed, and is empty",
    `
    mkdir d
    fd 1 d O_RDONLY|O_DIRECTORY
    rmdir d
    fstat 1 nlink => 0
    getdents 1 => ENOENT`,
  );
  fact(
    "a directory counts a link for each subdirectory",
    `
    lstat . nlink => 2
    mkdir a
    mkdir b
    mkdir a/c
    lstat . nlink => 4
    lstat a nlink => 3
    rename a/c b/c
    lstat a nlink => 2
    lstat b nlink => 3
    rmdir b/c
    rmdir b
    lstat . nlink => 3`,
  );
  fact(
    "a directory's size depends on its number of entries",
    `
    lstat . size => 40
    create a
    mkdir b
    lstat . size => 80
    unlink a
    lstat . size blocks => 60 0`,
  );
});

/** Who may remove or replace entries of a sticky directory: the directory's owner, the file's owner, and root. */
posix("the sticky bit", (fact) => {
  for (const directory of [1000, 1001, 0]) {
    for (const file of [1000, 1001, 0]) {
      const allowed = directory === 1000 || file === 1000;
      const answer = allowed ? "0" : "EPERM";
      for (const type of ["file", "directory", "symlink"] as const) {
        fact(
          `in a directory of user ${directory}, user 1000 ${allowed ? "may" : "may not"} remove a ${type} of user ${file}`,
          `
          mkdir in
          ${make(type, "in/x")}
          ${make(type, "in/y")}
          ${make(type, "in/z")}
          lchown in/x ${file} ${file}
          lchown in/y ${file} ${file}
          lchown in/z 1000 1000
          chown in ${directory} ${directory}
          chmod in 01777
          mkdir out
          chown out 1000 1000
          @1000:1000 rename in/x in/w => ${answer}
          @1000:1000 rename in/z in/y => ${answer}
          @1000:1000 ${remove(type, allowed ? "in/w" : "in/x")} => ${answer}
          @1001:1001 mkdir in/new
          @1001:1001 rmdir in/new`,
        );
      }
    }
  }
  fact(
    "moving another user's directory to another parent requires write permission on it",
    `
    mkdir a 0777
    mkdir b 0777
    mkdir a/d 0755
    @1000:1000 rename a/d b/d => EACCES
    @1000:1000 rename a/d a/e
    chmod a/e 0777
    @1000:1000 rename a/e b/d`,
  );
});

posix("rename", (fact) => {
  const answer = (from: FileType, to: FileType): string => {
    if (from === "directory") return to === "directory" ? "0" : "ENOTDIR";
    return to === "directory" ? "EISDIR" : "0";
  };
  for (const from of TYPES) {
    for (const to of TYPES) {
      fact(
        `rename of a ${from} over a ${to} replaces it or fails with the right errno`,
        `
        mkdir a
        mkdir b
        ${make(from, "a/x")}
        ${make(to, "b/y")}
        ${to === "directory" ? "" : "link b/y kept"}
        mark a b a/x ${to === "directory" ? "" : "kept"}
        rename a/x b/y => ${answer(from, to)}
        ${
          answer(from, to) === "0"
            ? `lstat a/x => ENOENT
             changed a b b/y ${to === "directory" ? "=> -mc -mc --c" : "kept => -mc -mc --c --c"}`
            : "changed a b a/x => --- --- ---"
        }`,
      );
    }
    fact(
      `rename of a ${from} keeps its inode and its attributes`,
      `
      ${make(from, "x")}
      lchown x 5 6
      utimens x 100.5 200.25 NOFOLLOW
      rename x y
      lstat y uid gid mtime => 5 6 200.000000025
      lstat x => ENOENT`,
    );
    fact(
      `rename of a ${from} updates its ctime and the times of both directories`,
      `
      mkdir a
      mkdir b
      ${make(from, "a/x")}
      mark . a b a/x
      rename a/x b/x
      changed . a b b/x => --- -mc -mc --c`,
    );
    fact(
      `rename of a ${from} onto itself changes nothing`,
      `
      ${make(from, "x")}
      mark . x
      rename x x
      changed . x => --- ---`,
    );
  }
  fact(
    "rename between two names of one inode changes nothing",
    `
    create a
    link a b
    mark . a
    rename a b
    changed . a => --- ---
    lstat b nlink => 2`,
  );
  fact(
    "rename of a directory over one that is not empty is ENOTEMPTY",
    `
    mkdir a
    mkdir b
    create b/x
    rename a b => ENOTEMPTY
    unlink b/x
    rename a b`,
  );
  fact(
    "rename of a directory into itself is EINVAL",
    `
    mkdir a
    mkdir a/b
    rename a a/c => EINVAL
    rename a a/b/c => EINVAL
    rename a/b a => ENOTEMPTY`,
  );
  fact(
    "rename of dot and dot-dot is EBUSY",
    `
    mkdir a
    rename a/. b => EBUSY
    rename a/.. b => EBUSY
    rename a b/. => ENOENT
    rename a a/.. => EBUSY`,
  );
  fact(
    "rename of a path that is missing, too long, or through a file is an error",
    `
    create a
    rename missing b => ENOENT
    rename a missing/b => ENOENT
    rename a/x b => ENOTDIR
    rename a a/x => ENOTDIR
    rename ${TOO_LONG} b => ENAMETOOLONG
    rename a ${TOO_LONG} => ENAMETOOLONG
    rename a ${LONGEST}
    rename ${LONGEST} a
    rename a %_ => ENOENT
    rename %_ b => ENOENT
    rename a %! => EFAULT`,
  );
  fact(
    "rename NOREPLACE rejects an existing target",
    `
    create a 0644 a
    create b 0644 b
    rename a b NOREPLACE => EEXIST
    rename a a NOREPLACE => EEXIST
    rename a c NOREPLACE
    cat c => a`,
  );
  fact(
    "rename EXCHANGE swaps any two inodes, with their links and times",
    `
    create a 0644 a
    mkdir d
    mkdir d/e
    mkdir in
    rename d in/x EXCHANGE => ENOENT
    create in/f 0644 f
    mark . in d in/f
    rename d in/f EXCHANGE
    changed . in d in/f => -mc -mc --c --c
    cat d => f
    lstat in nlink => 3
    lstat . nlink => 3
    rename in in/f EXCHANGE => EINVAL
    rename in/f in EXCHANGE => EINVAL
    rename a a EXCHANGE
    rename a d NOREPLACE|EXCHANGE => EINVAL
    rename a d 64 => EINVAL`,
  );
  fact(
    "rename WHITEOUT leaves device 0,0 behind",
    `
    create a
    rename a b WHITEOUT
    lstat a type rdev mode => c 0,0 0000
    lstat b type => f
    rename b c WHITEOUT|EXCHANGE => EINVAL`,
  );
  fact(
    "rename over a file removes one of its links, and an open one lives on",
    `
    create a 0644 a
    create b 0644 b
    link b kept
    fd 1 b O_RDONLY
    rename a b
    fstat 1 nlink => 1
    pread 1 0 9 => b
    cat b => a`,
  );
});
