/** The content of a file: open, read, write, fallocate, lseek, copy_file_range, mmap, locks, directories. */
import { make, posix, TYPES } from "./fact.ts";

posix("open", (fact) => {
  fact(
    "O_CREAT on an existing file opens it unchanged",
    `
    create x 0640 text
    chown x 5 6
    mark . x
    open x O_CREAT|O_RDWR 0777
    changed . x => --- ---
    lstat x mode uid gid size => 0640 5 6 4`,
  );
  fact(
    "O_CREAT makes a file that its creator may write to, whatever its mode",
    `
    chmod . 0777
    @1000:1000 fd 1 x O_CREAT|O_RDWR 0
    write 1 hi => 2
    @1000:1000 open x O_RDONLY => EACCES
    lstat x mode => 0000`,
  );
  fact(
    "O_CREAT follows a dangling symlink, O_EXCL does not",
    `
    symlink new s
    open s O_CREAT|O_EXCL|O_WRONLY 0644 => EEXIST
    open s O_CREAT|O_WRONLY 0644
    lstat new type => f
    lstat s type => l`,
  );
  fact(
    "a directory can be opened for reading only",
    `
    mkdir d
    open d O_RDONLY
    open d O_RDONLY|O_DIRECTORY
    open d O_WRONLY => EISDIR
    open d O_RDWR => EISDIR
    open d O_RDONLY|O_TRUNC => EISDIR
    open d O_RDONLY|O_CREAT 0644 => EISDIR
    open . O_WRONLY => EISDIR
    fd 1 d O_RDONLY
    read 1 10 => EISDIR`,
  );
  fact(
    "O_DIRECTORY and O_NOFOLLOW reject other types and symlinks",
    `
    create x
    symlink x s
    mkdir d
    symlink d sd
    open x O_RDONLY|O_DIRECTORY => ENOTDIR
    open s O_RDONLY|O_NOFOLLOW => ELOOP
    open sd O_RDONLY|O_DIRECTORY
    open sd O_RDONLY|O_DIRECTORY|O_NOFOLLOW => ENOTDIR
    open s O_RDONLY|O_PATH|O_NOFOLLOW`,
  );
  fact(
    "opening a fifo without a reader with O_NONBLOCK is ENXIO for a writer; opening a socket is always ENXIO",
    `
    mkfifo p
    bind s
    open p O_WRONLY|O_NONBLOCK => ENXIO
    open p O_RDONLY|O_NONBLOCK
    open p O_RDWR
    fd 1 p O_RDONLY|O_NONBLOCK
    fd 2 p O_WRONLY|O_NONBLOCK
    write 2 hello => 5
    read 1 9 => hello
    open s O_RDONLY => ENXIO
    open s O_WRONLY => ENXIO
    mknod c c 0666 1 3
    open c O_RDONLY => EACCES`,
  );
  fact(
    "O_TRUNC empties a file that may be written to, and updates its times",
    `
    create x 0644 text
    link x y
    mark . x
    open x O_RDWR|O_TRUNC
    changed . x => --- -mc
    lstat y size blocks => 0 0
    create z 0444 text
    chmod . 0777
    @1000:1000 open z O_WRONLY|O_TRUNC => EACCES
    lstat z size => 4`,
  );
  fact(
    "O_NOATIME is reserved to the owner",
    `
    create x 0666
    @1000:1000 open x O_RDONLY|O_NOATIME => EPERM
    open x O_RDONLY|O_NOATIME`,
  );
  fact(
    "a running program cannot be written to, and a file open for writing cannot be run",
    `
    create x 0755 %23!/bin/true
    exec x
    fd 1 x O_RDWR
    exec x => ETXTBSY
    close 1
    exec x
    chmod x 0644
    exec x => EACCES
    mkdir d
    exec d => EACCES`,
  );
  for (const type of TYPES) {
    fact(
      `O_PATH opens a ${type} without touching it`,
      `
      ${make(type, "x")}
      fd 1 x O_PATH|O_NOFOLLOW
      fstat 1 nlink => ${type === "directory" ? 2 : 1}
      read 1 1 => EBADF`,
    );
  }
});

posix("read and write", (fact) => {
  fact(
    "written bytes can be read, also through other handles",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    fd 2 x O_RDONLY
    write 1 hello => 5
    read 2 9 => hello
    pwrite 1 3 LO! => 3
    pread 2 0 9 => helLO!
    read 2 9 => !
    read 2 9 => end
    write 2 x => EBADF
    fd 3 x O_WRONLY
    read 3 1 => EBADF`,
  );
  fact(
    "a write past the end leaves a hole of zeros",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    pwrite 1 100000 end => 3
    lstat x size blocks => 100003 8
    pread 1 99990 20 => %00*10 end
    pread 1 50000 8 => %00*8
    pwrite 1 1000000 end => 3
    lstat x size blocks => 1000003 16`,
  );
  fact(
    "a write updates mtime and ctime, unless it is empty",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    mark . x
    write 1 a => 1
    changed . x => --- -mc
    write 1 %_ => 0
    changed x => ---`,
  );
  fact(
    "a read updates an atime that is older than the last change",
    `
    create x 0644 hello
    utimens x 1000 2000
    mark x
    cat x => hello
    changed x => a--
    cat x => hello
    changed x => ---`,
  );
  for (const [what, change] of [
    ["chmod", "chmod x 0600"],
    ["a link", "link x y"],
    ["an attribute", "setxattr x user.a 1"],
    ["utimensat", "utimens x 1000 omit"],
  ] as const) {
    fact(
      `a read updates the atime also after ${what}, if the content is cached`,
      `
      create x 0644 hello
      tick
      cat x => hello
      tick
      tick
      ${change}
      mark x
      tick
      cat x => hello
      changed x => a--`,
    );
    fact(
      `a read of a large file updates the atime after ${what}`,
      `
      create x 0644 h*300000
      tick
      cat x => h*300000
      tick
      tick
      ${change}
      mark x
      tick
      cat x => h*300000
      changed x => a--`,
    );
  }
  fact(
    "a listing updates the atime of a directory after a change of its attributes",
    `
    mkdir d
    create d/f
    ls d => f
    tick
    tick
    chmod d 0700
    mark d
    tick
    ls d => f
    changed d => a--`,
  );
  fact(
    "copying from a file updates its atime",
    `
    create x 0644 hello
    create y
    tick
    fd 1 x O_RDONLY
    fd 2 y O_WRONLY
    mark x y
    copy 1 0 2 0 5 => 5
    changed x y => a-- -mc`,
  );
  fact(
    "O_NOATIME leaves the atime unchanged",
    `
    create x 0644 hello
    utimens x 1000 2000
    fd 1 x O_RDONLY|O_NOATIME
    mark x
    read 1 5 => hello
    changed x => ---`,
  );
  fact(
    "O_APPEND writes at the end, even if other handles write too",
    `
    fd 1 x O_CREAT|O_WRONLY|O_APPEND 0644
    fd 2 x O_WRONLY|O_APPEND
    write 1 aa => 2
    write 2 bb => 2
    write 1 cc => 2
    lseek 1 0 SEEK_CUR => 6
    pwrite 1 0 dd => 2
    cat x => aabbccdd
    truncate x 1
    write 2 ee => 2
    cat x => aee`,
  );
  fact(
    "appends by many processes are whole, and none is lost",
    `
    create x
    appenders x 4 100 777 => 400
    lstat x size => 310800`,
  );
  fact(
    "a write by other users clears setuid and setgid; one by root does not",
    `
    create x
    chmod x 06777
    fd 1 x O_RDWR
    pwrite 1 0 a => 1
    lstat x mode => 6777
    @1000:1000 pwrite 1 0 a => 1
    lstat x mode => 0777
    chmod x 02767
    @1000:1000 pwrite 1 0 a => 1
    lstat x mode => 0767
    chmod x 06777
    @1000:1000 fallocate 1 0 0 10
    lstat x mode => 0777`,
  );
  fact(
    "O_DIRECT and O_SYNC are accepted",
    `
    create x 0644 a*8192
    fd 1 x O_RDWR|O_SYNC
    pwrite 1 0 b => 1
    fd 2 x O_RDWR|O_DSYNC
    fsync 2
    fdatasync 2
    pread 1 0 2 => ba
    syncfs 1`,
  );
  fact(
    "negative offsets are EINVAL; those beyond the largest size are EFBIG or the end of the file",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    pread 1 -1 1 => EINVAL
    pwrite 1 -1 a => EINVAL
    pwrite 1 max a => EINVAL
    pread 1 max 1 => EINVAL
    pread 1 max 0 => end
    pwrite 1 9223372036854775806 a => 1
    lstat x size blocks => 9223372036854775807 8
    pread 1 9223372036854775806 1 => a
    pwrite 1 9007199254740993 bb => 2
    pread 1 9007199254740992 5 => %00bb%00%00
    lseek 1 9007199254740992 SEEK_DATA => 9007199254740992
    lseek 1 9007199254740992 SEEK_HOLE => 9007199254745088
    ftruncate 1 9007199254740994
    lstat x size blocks => 9007199254740994 8
    ftruncate 1 10
    lstat x size blocks => 10 0
    pwrite 1 5 ok => 2
    cat x => %00*5 ok%00%00%00`,
  );
  fact(
    "files larger than 4 GiB keep data at its offset",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    pwrite 1 4294967290 0123456789abcdef => 16
    pread 1 4294967295 4 => 5678
    pread 1 0 5 => %00*5
    lstat x size => 4294967306`,
  );
});

posix("lseek", (fact) => {
  fact(
    "SEEK_DATA and SEEK_HOLE find data and holes by pages",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    pwrite 1 8192 a => 1
    pwrite 1 20480 b*5000 => 5000
    lseek 1 0 SEEK_DATA => 8192
    lseek 1 8192 SEEK_HOLE => 12288
    lseek 1 12288 SEEK_DATA => 20480
    lseek 1 0 SEEK_HOLE => 0
    lseek 1 20480 SEEK_HOLE => 25480
    lseek 1 25479 SEEK_DATA => 25479
    lseek 1 25480 SEEK_DATA => ENXIO
    lseek 1 25480 SEEK_HOLE => ENXIO
    lseek 1 -1 SEEK_DATA => ENXIO
    lseek 1 -1 SEEK_HOLE => ENXIO
    ftruncate 1 40000
    lseek 1 26000 SEEK_DATA => 26000
    lseek 1 29000 SEEK_DATA => ENXIO
    lseek 1 20480 SEEK_HOLE => 28672`,
  );
  fact(
    "an empty file has no data and no hole",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    lseek 1 0 SEEK_DATA => ENXIO
    lseek 1 0 SEEK_HOLE => ENXIO
    lseek 1 0 SEEK_END => 0
    lseek 1 5 SEEK_END => 5
    lseek 1 -6 SEEK_CUR => EINVAL
    lseek 1 -1 SEEK_SET => EINVAL
    lseek 1 0 77 => EINVAL
    lseek 1 max SEEK_SET => 9223372036854775807`,
  );
});

posix("fallocate", (fact) => {
  fact(
    "fallocate reserves pages and extends the file, or keeps its size",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    fallocate 1 0 0 5000
    lstat x size blocks => 5000 16
    fallocate 1 KEEP_SIZE 8192 8192
    lstat x size blocks => 5000 32
    fallocate 1 0 0 100
    lstat x size => 5000
    pread 1 4990 20 => %00*10`,
  );
  fact(
    "fallocate punches holes, which read as zeros",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    write 1 a*20000 => 20000
    fallocate 1 PUNCH_HOLE|KEEP_SIZE 4000 10000
    lstat x size blocks => 20000 24
    pread 1 3999 3 => a%00%00
    pread 1 13999 3 => %00aa
    fallocate 1 PUNCH_HOLE|KEEP_SIZE 30000 10000
    lstat x size => 20000
    fallocate 1 PUNCH_HOLE 0 10 => EOPNOTSUPP`,
  );
  fact(
    "fallocate in any other mode is EOPNOTSUPP, as on tmpfs",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    write 1 a*20000 => 20000
    fallocate 1 ZERO_RANGE 0 4096 => EOPNOTSUPP
    fallocate 1 COLLAPSE_RANGE 0 4096 => EOPNOTSUPP
    fallocate 1 INSERT_RANGE 0 4096 => EOPNOTSUPP
    fallocate 1 64 0 4096 => EOPNOTSUPP`,
  );
  fact(
    "fallocate fails with the right errno for bad arguments",
    `
    create x 0644 text
    fd 1 x O_RDONLY
    fd 2 x O_RDWR
    mkdir d
    fd 3 d O_RDONLY
    mkfifo p
    fd 4 p O_RDWR
    fallocate 1 0 0 10 => EBADF
    fallocate 2 0 -1 10 => EINVAL
    fallocate 2 0 0 0 => EINVAL
    fallocate 2 0 0 -1 => EINVAL
    fallocate 2 0 max 1 => EFBIG
    fallocate 2 0 max 10 => EFBIG
    fallocate 3 0 0 10 => EBADF
    fallocate 4 0 0 10 => ESPIPE
    fallocate 9 0 0 10 => EBADF
    posix_fallocate 1 0 10 => EBADF
    posix_fallocate 2 0 0 => EINVAL
    posix_fallocate 2 -1 1 => EINVAL
    posix_fallocate 4 0 1 => ESPIPE
    posix_fallocate 2 0 10
    lstat x size => 10
    cat x => text%00*6`,
  );
  fact(
    "fallocate updates mtime and ctime if it changes something",
    `
    create x 0644 text
    fd 1 x O_RDWR
    mark x
    fallocate 1 0 0 10
    changed x => -mc
    fallocate 1 KEEP_SIZE 0 20
    changed x => -mc
    fallocate 1 PUNCH_HOLE|KEEP_SIZE 0 2
    changed x => -mc`,
  );
  fact(
    "reservations stay when the file grows",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    fallocate 1 KEEP_SIZE 1 8939
    pwrite 1 5134 z => 1
    pwrite 1 20480 x*147662 => 147662
    lstat x blocks => 320
    close 1
    lstat x blocks => 320`,
  );
  fact(
    "a reservation is a hole until it is written",
    `
    fd 1 x O_CREAT|O_RDWR 0644
    fallocate 1 0 0 16384
    lseek 1 0 SEEK_HOLE => 0
    lseek 1 0 SEEK_DATA => ENXIO
    pwrite 1 4096 a => 1
    lseek 1 0 SEEK_DATA => 4096
    lseek 1 4096 SEEK_HOLE => 8192`,
  );
});

posix("copy_file_range", (fact) => {
  fact(
    "copy_file_range copies within a file and between files, at most up to the end",
    `
    create a 0644 0123456789
    fd 1 a O_RDWR
    fd 2 b O_CREAT|O_RDWR 0644
    copy 1 2 2 0 5 => 5
    cat b => 23456
    copy 1 8 2 100 50 => 2
    lstat b size => 102
    copy 1 10 2 0 5 => 0
    copy 1 0 1 5 5 => 5
    cat a => 0123401234
    copy 1 0 1 3 5 => EINVAL
    copy 1 0 2 0 0 => 0`,
  );
  fact(
    "copy_file_range updates the target's times",
    `
    create a 0644 0123456789
    create b
    fd 1 a O_RDWR
    fd 2 b O_RDWR
    mark b
    copy 1 0 2 0 5 => 5
    changed b => -mc`,
  );
  fact(
    "copy_file_range fails with the right errno for bad arguments",
    `
    create a 0644 0123456789
    fd 1 a O_RDONLY
    fd 2 a O_WRONLY
    fd 3 b O_CREAT|O_RDWR|O_APPEND 0644
    mkdir d
    fd 4 d O_RDONLY
    copy 1 0 1 0 5 => EBADF
    copy 2 0 2 20 5 => EBADF
    copy 1 0 3 0 5 => EBADF
    copy 4 0 2 0 5 => EISDIR
    copy 1 0 4 0 5 => EISDIR
    copy 1 0 2 max 5 => EFBIG`,
  );
});

posix("mmap", (fact) => {
  fact(
    "a shared mapping and the file show the same bytes",
    `
    create x 0644 a*10000
    fd 1 x O_RDWR
    mmap 0 1 0 10000 READ|WRITE SHARED
    peek 0 9990 4 => aaaa
    pwrite 1 4096 HELLO => 5
    peek 0 4095 7 => aHELLOa
    poke 0 100 world
    pread 1 99 7 => aworlda
    fd 2 x O_RDONLY
    pread 2 99 7 => aworlda
    msync 0
    munmap 0
    pread 2 99 7 => aworlda`,
  );
  fact(
    "a private mapping changes only its own process's view",
    `
    create x 0644 a*5000
    fd 1 x O_RDWR
    mmap 0 1 0 5000 READ|WRITE PRIVATE
    poke 0 0 mine
    peek 0 0 5 => minea
    pread 1 0 5 => a*5
    close 1
    peek 0 0 5 => minea`,
  );
  fact(
    "a mapping outlives its handle and the file's name",
    `
    create x 0644 a*5000
    fd 1 x O_RDWR
    mmap 0 1 0 5000 READ|WRITE SHARED
    close 1
    poke 0 0 late
    cat x => latea*4996
    unlink x
    peek 0 0 5 => latea`,
  );
  fact(
    "access past the end of the file is SIGBUS",
    `
    create x 0644 a*5000
    fd 1 x O_RDWR
    mmap 0 1 0 16384 READ|WRITE SHARED
    peek 0 8191 1 => %00
    peek 0 8192 1 => SIGBUS
    ftruncate 1 100
    peek 0 99 3 => a%00%00
    peek 0 4096 1 => SIGBUS
    ftruncate 1 12000
    peek 0 4096 1 => %00`,
  );
  fact(
    "a mapping has the permissions of its handle",
    `
    create x 0644 a*5000
    fd 1 x O_RDONLY
    mmap 0 1 0 5000 READ|WRITE SHARED => EACCES
    mmap 0 1 0 5000 READ|WRITE PRIVATE
    fd 2 x O_WRONLY
    mmap 1 2 0 5000 READ SHARED => EACCES
    mkdir d
    fd 3 d O_RDONLY
    mmap 2 3 0 100 READ SHARED => ENODEV`,
  );
});

posix("locks", (fact) => {
  fact(
    "flock locks belong to the handle",
    `
    create x
    fd 1 x O_RDWR
    fd 2 x O_RDWR
    flock 1 LOCK_SH
    flock 2 LOCK_SH
    flock 1 LOCK_EX|LOCK_NB => EAGAIN
    flock 2 LOCK_UN
    flock 1 LOCK_EX|LOCK_NB
    flock 2 LOCK_SH|LOCK_NB => EAGAIN
    other_flock x LOCK_SH => EAGAIN
    close 1
    flock 2 LOCK_EX|LOCK_NB`,
  );
  fact(
    "record locks belong to the process, and cover byte ranges",
    `
    create x
    fd 1 x O_RDWR
    setlk 1 F_WRLCK 10 10
    other_setlk x F_RDLCK 0 10
    other_setlk x F_RDLCK 19 1 => EAGAIN
    other_setlk x F_RDLCK 20 0
    setlk 1 F_RDLCK 10 10
    other_setlk x F_RDLCK 19 1
    other_setlk x F_WRLCK 19 1 => EAGAIN
    setlk 1 F_UNLCK 15 0
    other_setlk x F_WRLCK 15 5
    close 1
    other_setlk x F_WRLCK 0 0`,
  );
  fact(
    "open file description locks belong to the description",
    `
    create x
    fd 1 x O_RDWR
    fd 2 x O_RDWR
    setofd 1 F_WRLCK 0 0
    setofd 2 F_RDLCK 5 1 => EAGAIN
    setofd 1 F_UNLCK 0 0
    setofd 2 F_RDLCK 5 1`,
  );
});

posix("directories", (fact) => {
  fact(
    "directories list all their names, whatever bytes those contain",
    `
    ls . => empty
    create b
    mkdir a
    create %ff%01
    ls . => a b %ff%01`.replace("a b %ff%01", "a b \u00ff\u0001"),
  );
  fact(
    "telldir and seekdir return to the same position in a directory",
    `
    ${Array.from({ length: 300 }, (_, at) => `mknod f${at} f 0644`).join("\n")}
    telldir . => same 0`,
  );
  fact(
    "a listing of 100,000 entries shows each unchanged entry once, while others are created and removed",
    `
    mkdir d
    crowd d 100000 => 100000 twice 0`,
  );
  fact(
    "reading a directory requires read permission",
    `
    mkdir d 0711
    create d/x 0644 text
    @1000:1000 ls d => EACCES
    @1000:1000 cat d/x => text
    chmod d 0744
    @1000:1000 ls d => x
    @1000:1000 lstat d/x => EACCES`,
  );
});
