/** What stat(2) reports and who may change it: chmod, chown, utimensat, truncate, access, statfs. */
import { make, posix, TYPES } from "./fact.ts";

const TOO_LONG = "n".repeat(256);
/** Types that chmod, truncate and utimensat accept by name: sockets and devices accept all but truncate. */
const CHANGEABLE = TYPES.filter((type) => type !== "symlink");

/** Harmless calls on a path. */
const CALLS = {
  chmod: (at: string) => `chmod ${at} 0600`,
  chown: (at: string) => `chown ${at} -1 -1`,
  lchown: (at: string) => `lchown ${at} -1 -1`,
  truncate: (at: string) => `truncate ${at} 3`,
  utimensat: (at: string) => `utimens ${at} 1 2`,
  access: (at: string) => `access ${at} W_OK`,
  stat: (at: string) => `stat ${at}`,
  open: (at: string) => `open ${at} O_RDWR`,
  setxattr: (at: string) => `setxattr ${at} user.x y`,
  removexattr: (at: string) => `removexattr ${at} user.gone`,
} as const;

posix("calls on a path", (fact) => {
  for (const [call, on] of Object.entries(CALLS)) {
    fact(
      `${call} fails with a path that is missing, through a file, too long, cyclic, empty, or at an invalid address`,
      `
      create file
      symlink loop loop
      symlink gone dangling
      ${on("missing")} => ENOENT
      ${on("missing/x")} => ENOENT
      ${on("file/x")} => ENOTDIR
      ${on("file/")} => ENOTDIR
      ${on(TOO_LONG)} => ENAMETOOLONG
      ${on(`${"./".repeat(2048)}file`)} => ENAMETOOLONG
      ${on(`${"./".repeat(2000)}file`)} => ${call === "removexattr" ? "ENODATA" : "0"}
      ${on("loop/x")} => ELOOP
      ${call === "lchown" ? "" : `${on("loop")} => ELOOP\n${on("dangling")} => ENOENT`}
      ${on("%_")} => ENOENT
      ${on("%!")} => EFAULT`,
    );
    fact(
      `${call} requires search permission on every directory of the path`,
      `
      mkdir in
      create in/file 0666
      chown in/file 1000 1000
      chmod in 0766
      @1000:1000 ${on("in/file")} => EACCES
      chmod in 0711
      @1000:1000 ${on("in/file")} => ${call === "removexattr" ? "ENODATA" : "0"}`,
    );
    fact(
      `${call} on a read-only mount is EROFS if it would change something`,
      `
      mkdir ro
      create ro/file
      readonly ro
      ${on("ro/file")} => ${call === "stat" ? "0" : "EROFS"}
      ${on("ro/missing")} => ENOENT`,
    );
  }
});

posix("chmod", (fact) => {
  for (const type of CHANGEABLE) {
    fact(
      `chmod sets all twelve bits of a ${type}, and updates only its ctime`,
      `
      ${make(type, "x")}
      mark . x
      chmod x 07777
      lstat x mode => 7777
      changed . x => --- --c
      chmod x 0
      lstat x mode => 0000
      symlink x s
      chmod s 0123
      lstat x mode => 0123
      lstat s mode => 0777`,
    );
  }
  fact(
    "chmod is reserved to the owner and root, and changes nothing if it fails",
    `
    create x 0644
    chown x 1000 1000
    mark x
    @1001:1000 chmod x 0600 => EPERM
    @1001:1001,1000 chmod x 0600 => EPERM
    changed x => ---
    @1000:1000 chmod x 0600
    changed x => --c
    chmod x 0640
    lstat x mode => 0640`,
  );
  fact(
    "chmod clears the setgid bit for an owner outside the file's group, not for root",
    `
    create x 0644
    chown x 1000 1001
    @1000:1000 chmod x 02755
    lstat x mode => 0755
    @1000:1000,1001 chmod x 02755
    lstat x mode => 2755
    chmod x 0
    chmod x 02755
    lstat x mode => 2755
    @1000:1000 chmod x 06755
    lstat x mode => 4755
    mkdir d
    chown d 1000 1001
    @1000:1000 chmod d 02755
    lstat d mode => 0755`,
  );
  fact(
    "chmod lets ordinary users set the sticky bit on files they own",
    `
    create x 0644
    chown x 1000 1000
    @1000:1000 chmod x 01644
    lstat x mode => 1644
    mkdir d
    chown d 1000 1000
    @1000:1000 chmod d 01777
    lstat d mode => 1777`,
  );
  fact(
    "fchmod works through a handle, also for an unnamed file",
    `
    create x 0644
    fd 1 x O_RDONLY
    unlink x
    fchmod 1 0640
    fstat 1 mode => 0640
    chown . 1000 1000
    @1001:1001 fchmod 1 0600 => EPERM`,
  );
  fact(
    "chmod cannot set a symlink's own mode",
    `
    create x
    symlink x s
    fchmodat2 s 0600 NOFOLLOW => EOPNOTSUPP
    fchmodat2 x 0600 NOFOLLOW
    lstat s mode => 0777`,
  );
  fact(
    "chmod does not affect programs that have the file open",
    `
    create x 0644 text
    fd 1 x O_RDWR
    chmod x 0
    pread 1 0 9 => text
    pwrite 1 0 T => 1`,
  );
});

posix("chown", (fact) => {
  for (const type of TYPES) {
    fact(
      `chown sets owner and group of a ${type}, and updates only its ctime`,
      `
      ${make(type, "x")}
      mark . x
      lchown x 123 456
      lstat x uid gid => 123 456
      changed . x => --- --c
      lchown x -1 7
      lstat x uid gid => 123 7
      lchown x 8 -1
      lstat x uid gid => 8 7
      mark x
      lchown x 8 7
      changed x => --c
      lchown x 4294967294 4294967294
      lstat x uid gid => 4294967294 4294967294`,
    );
  }
  fact(
    "chown follows symlinks, lchown does not",
    `
    create x
    symlink x s
    chown s 1 2
    lstat x uid gid => 1 2
    lstat s uid gid => 0 0
    lchown s 3 4
    lstat x uid gid => 1 2
    lstat s uid gid => 3 4`,
  );
  fact(
    "chown lets an owner give the file to one of their groups, and to no other user",
    `
    create x
    chown x 1000 1000
    @1000:1000,1001 chown x -1 1001
    lstat x uid gid => 1000 1001
    @1000:1000,1001 chown x 1000 1000
    @1000:1000,1001 chown x -1 1002 => EPERM
    @1000:1000,1001 chown x 1001 -1 => EPERM
    @1000:1000,1001 chown x 1001 1001 => EPERM
    @1001:1000 chown x -1 1000 => EPERM
    @1001:1001 chown x 1000 -1 => EPERM
    @1001:1001 chown x -1 -1
    lstat x uid gid => 1000 1000`,
  );
  for (const [mode, after] of [
    ["06755", "0755"],
    ["04755", "0755"],
    ["02755", "0755"],
    ["06555", "0555"],
    ["06644", "2644"],
    ["02745", "2745"],
    ["01755", "1755"],
  ]) {
    fact(
      `chown clears setuid, and setgid if the group may execute: ${mode} becomes ${after}`,
      `
      create x ${mode}
      chown x 1000 1000
      chmod x ${mode}
      chown x 1001 1000
      lstat x mode => ${after}
      chmod x ${mode}
      chown x -1 -1
      lstat x mode => ${after}
      chmod x ${mode}
      fd 1 x O_RDONLY
      fchown 1 -1 1005
      lstat x mode => ${after}`,
    );
    fact(
      `chown by the owner clears setuid and setgid, too: ${mode}`,
      `
      create x
      chown x 1000 1000
      chmod x ${mode}
      @1000:1000,1001 chown x -1 1001
      lstat x mode => ${after}
      chown x 1000 1001
      chmod x ${mode}
      @1000:1000 chown x -1 -1
      lstat x mode => ${after === "2644" ? "0644" : after === "2745" ? "0745" : after}`,
    );
  }
  for (const type of ["file", "fifo", "socket", "block"] as const) {
    fact(
      `chown without owner and group is reserved to the owner if it clears bits: ${type}`,
      `
      ${make(type, "x")}
      chown x 1000 1000
      chmod x 06755
      mark x
      @1001:1001 chown x -1 -1 => EPERM
      @1001:1001 lchown x -1 -1 => EPERM
      changed x => ---
      lstat x mode => 6755
      chmod x 02745
      @1001:1000 chown x -1 -1
      lstat x mode => 2745
      chmod x 0755
      @1001:1001 chown x -1 -1
      @1000:1000 chown x -1 -1`,
    );
  }
  fact(
    "chown keeps setuid and setgid on a directory",
    `
    mkdir d
    chmod d 06777
    chown d 1 2
    lstat d mode => 6777`,
  );
  fact(
    "chown clears the setgid bit of a file whose group is not the owner's",
    `
    create x
    chown x 1000 1001
    chmod x 06644
    @1000:1000 chown x -1 1000
    lstat x mode => 0644`,
  );
});

posix("utimensat", (fact) => {
  for (const type of TYPES) {
    fact(
      `utimensat sets both times of a ${type} to the nanosecond, and updates its ctime`,
      `
      ${make(type, "x")}
      mark x
      utimens x 1000000000.123456789 999999999.987654321 NOFOLLOW
      lstat x atime mtime => 1000000000.123456789 999999999.987654321
      changed x => amc
      mark x
      utimens x omit 5.5 NOFOLLOW
      changed x => -mc
      lstat x atime mtime => 1000000000.123456789 5.000000005
      utimens x 6.000000006 omit NOFOLLOW
      lstat x atime mtime => 6.000000006 5.000000005
      mark x
      utimens x omit omit NOFOLLOW
      changed x => ---
      utimens x now now NOFOLLOW
      changed x => amc
      order x atime x mtime => =
      order x mtime x ctime => =`,
    );
  }
  fact(
    "utimensat accepts times before 1970, after 2038 and after 2106",
    `
    create x
    utimens x -1.5 -2147483648
    lstat x atime mtime => -1.000000005 -2147483648.000000000
    utimens x -2147483649.999999999 4294967296.000000001
    lstat x atime mtime => -2147483649.999999999 4294967296.000000001
    utimens x 2147483648 4294967295
    lstat x atime mtime => 2147483648.000000000 4294967295.000000000
    utimens x 17179869184 253402300799
    lstat x atime mtime => 17179869184.000000000 253402300799.000000000
    utimens x 0 0
    lstat x atime mtime => 0.000000000 0.000000000`,
  );
  fact(
    "utimensat with nanoseconds beyond a second is EINVAL",
    `
    create x
    utimens x 0.1000000000 0 => EINVAL
    utimens x 0 0.1000000000 => EINVAL`,
  );
  fact(
    "utimensat lets the owner and writers set the current time, and only the owner another time",
    `
    create x 0644
    chown x 1000 1000
    @1000:1000 utimens x 1 2
    @1000:1000 utimens x now now
    @1001:1001 utimens x now now => EACCES
    @1001:1001 utimenull x => EACCES
    @1001:1001 utimens x 1 2 => EPERM
    @1001:1001 utimens x omit now => EPERM
    @1001:1001 utimens x now omit => EPERM
    @1001:1001 utimens x omit omit
    chmod x 0666
    @1001:1001 utimens x now now
    @1001:1001 utimenull x
    @1001:1001 utimens x 1 2 => EPERM
    @1001:1001 utimens x now 2 => EPERM
    @1001:1001 utimens x omit now => EPERM
    chmod x 0444
    @1000:1000 utimens x now now
    utimens x now now`,
  );
  fact(
    "utimensat works through a handle, whatever its access mode",
    `
    create x
    fd 1 x O_RDONLY
    unlink x
    futimens 1 1.1 2.2
    fstat 1 atime mtime => 1.000000001 2.000000002`,
  );
  fact(
    "utimensat leaves the directory's times unchanged",
    `
    create x
    mark .
    utimens x 1 2
    changed . => ---`,
  );
});

posix("truncate", (fact) => {
  fact(
    "truncate shortens and extends a file, and fills the growth with zeros",
    `
    create x 0644 hello
    truncate x 3
    cat x => hel
    truncate x 9
    cat x => hel%00*6
    truncate x 0
    cat x => empty
    lstat x size blocks => 0 0`,
  );
  fact(
    "truncate does not bring back bytes that were cut off",
    `
    create x 0644 a*10000
    truncate x 4097
    truncate x 10000
    fd 1 x O_RDONLY
    pread 1 4090 10 => a*7 %00%00%00
    lstat x blocks => 16`,
  );
  fact(
    "truncate updates mtime and ctime, also if the size stays the same",
    `
    create x 0644 hello
    mark . x
    truncate x 9
    changed . x => --- -mc
    truncate x 9
    changed x => -mc
    fd 1 x O_RDWR
    ftruncate 1 9
    changed x => -mc
    ftruncate 1 2
    changed x => -mc
    open x O_WRONLY|O_TRUNC
    changed x => -mc
    open x O_WRONLY|O_TRUNC
    changed x => -mc`,
  );
  fact(
    "truncate to the same size updates the times only if it frees pages past the end",
    `
    create x
    truncate x 5000
    mark x
    truncate x 5000
    changed x => ---
    fd 1 x O_RDWR
    fallocate 1 KEEP_SIZE 8192 4096
    lstat x blocks => 8
    mark x
    truncate x 5000
    changed x => -mc
    lstat x blocks => 0`,
  );
  fact(
    "truncate of a directory is EISDIR, of a fifo, socket or device EINVAL",
    `
    mkdir d
    mkfifo p
    bind s
    mknod c c 0644 1 3
    mknod b b 0644 1 3
    truncate d 1 => EISDIR
    truncate p 1 => EINVAL
    truncate s 1 => EINVAL
    truncate c 1 => EINVAL
    truncate b 1 => EINVAL`,
  );
  fact(
    "truncate to a negative size is EINVAL, and so is a handle that is only for reading",
    `
    create x
    truncate x -1 => EINVAL
    fd 1 x O_RDONLY
    ftruncate 1 1 => EINVAL
    fd 2 x O_WRONLY
    ftruncate 2 -1 => EINVAL
    ftruncate 2 1
    ftruncate 9 1 => EBADF`,
  );
  fact(
    "truncate requires write permission, ftruncate only its handle",
    `
    create x 0644
    chmod . 0777
    @1000:1000 truncate x 1 => EACCES
    chmod x 0666
    @1000:1000 truncate x 1
    chown x 1000 1000
    chmod x 0444
    @1000:1000 truncate x 0 => EACCES
    chmod x 0666
    fd 1 x O_RDWR
    chmod x 0
    @1000:1000 ftruncate 1 7
    lstat x size => 7`,
  );
  fact(
    "truncate clears setuid and setgid for callers without CAP_FSETID",
    `
    create x
    chmod x 06777
    truncate x 3
    lstat x mode => 6777
    @1000:1000 truncate x 4
    lstat x mode => 0777
    truncate x 0
    chmod x 06777
    mark x
    @1000:1000 truncate x 0
    changed x => ---
    lstat x mode => 0777
    setacl x a u::rwx,u:1000:rwx,g::rwx,m::rwx,o::rwx
    chmod x 06777
    mark x
    @1000:1000 truncate x 0
    changed x => --c
    lstat x mode => 0777
    chmod x 06777
    @1000:1000 open x O_WRONLY|O_TRUNC
    lstat x mode => 0777
    chmod x 06777
    fd 1 x O_RDWR
    @1000:1000 ftruncate 1 9
    lstat x mode => 0777`,
  );
  fact(
    "truncate of a running program is ETXTBSY, and so is opening it for writing",
    `
    copyself x
    running x
    truncate x 1 => ETXTBSY
    open x O_WRONLY => ETXTBSY
    open x O_WRONLY|O_TRUNC => ETXTBSY
    open x O_RDONLY
    rename x y
    unlink y`,
  );
  fact(
    "truncate accepts sizes up to 2^63 - 1",
    `
    create x
    truncate x 4294967296
    lstat x size blocks => 4294967296 0
    truncate x 9007199254740991
    lstat x size => 9007199254740991
    truncate x 9007199254740992
    lstat x size => 9007199254740992
    truncate x 9007199254740993
    lstat x size => 9007199254740993
    truncate x max
    lstat x size blocks => 9223372036854775807 0
    fd 1 x O_RDWR
    pread 1 9223372036854775800 7 => %00*7
    ftruncate 1 5
    lstat x size => 5`,
  );
});

posix("access and statfs", (fact) => {
  fact(
    "root may read and write anything, and execute files that somebody may execute",
    `
    create x 0
    access x R_OK|W_OK
    access x X_OK => EACCES
    chmod x 0001
    access x X_OK
    mkdir d 0
    access d R_OK|W_OK|X_OK`,
  );
  for (const [who, shift] of [
    ["@1000:1005", 6],
    ["@1005:1000", 3],
    ["@1005:1006,1000", 3],
    ["@1005:1006", 0],
  ] as const) {
    fact(
      `${who}: each bit of the mode is for the right user`,
      `
      create x
      chown x 1000 1000
      ${[0, 1, 2, 3, 4, 5, 6, 7]
        .map(
          (bits) => `
        chmod x 0${(bits << shift).toString(8)}
        ${who} access x R_OK => ${bits & 4 ? 0 : "EACCES"}
        ${who} access x W_OK => ${bits & 2 ? 0 : "EACCES"}
        ${who} access x X_OK => ${bits & 1 ? 0 : "EACCES"}
        ${who} open x O_RDONLY => ${bits & 4 ? 0 : "EACCES"}
        ${who} open x O_WRONLY => ${bits & 2 ? 0 : "EACCES"}
        ${who} open x O_RDWR => ${(bits & 6) === 6 ? 0 : "EACCES"}`,
        )
        .join("\n")}`,
    );
  }
  fact(
    "a file's owner has the owner's rights, even if those of others are greater",
    `
    create x 0077
    chown x 1000 1000
    @1000:1000 access x R_OK => EACCES
    chmod x 0707
    @1001:1000 access x R_OK => EACCES`,
  );
  fact(
    "names have 255 bytes, and blocks 4096",
    `
    statfs . => namelen 255 bsize 4096`,
  );
});
