/** Extended attributes and access control lists. */
import { make, posix } from "./fact.ts";

posix("xattrs", (fact) => {
  fact(
    "xattrs are set, replaced, listed and removed; the ctime is updated",
    `
    create x
    mark x
    setxattr x user.a one
    changed x => --c
    getxattr x user.a => one
    setxattr x user.a two
    getxattr x user.a => two
    setxattr x user.%ff%01 %00%ff
    getxattr x user.%ff%01 => %00%ff
    setxattr x user.empty %_
    getxattr x user.empty => empty
    getxattr x user.empty 0 => 0
    removexattr x user.%ff%01
    listxattr x => user.a user.empty
    mark x
    removexattr x user.a
    changed x => --c
    getxattr x user.a => ENODATA
    removexattr x user.a => ENODATA
    changed x => ---`,
  );
  fact(
    "XATTR_CREATE requires that the attribute is missing, XATTR_REPLACE that it exists",
    `
    create x
    setxattr x user.a one REPLACE => ENODATA
    setxattr x user.a one CREATE
    setxattr x user.a two CREATE => EEXIST
    setxattr x user.a two REPLACE
    getxattr x user.a => two
    setxattr x user.a three 4 => EINVAL
    setxattr x user.a three CREATE|REPLACE => EEXIST`,
  );
  fact(
    "getxattr returns ERANGE for a buffer that is too small, and the length for one of size 0",
    `
    create x
    setxattr x user.abc 12345
    getxattr x user.abc 0 => 5
    getxattr x user.abc 4 => ERANGE
    getxattr x user.abc 5 => 12345
    listxattr x 0 => 9
    listxattr x 8 => ERANGE
    listxattr x 9 => user.abc
    create y
    listxattr y 0 => 0
    listxattr y => empty`,
  );
  fact(
    "xattrs may have names of 255 bytes and values of 65,536",
    `
    create x
    setxattr x user.${"n".repeat(250)} v
    setxattr x user.${"n".repeat(251)} v => ERANGE
    getxattr x user.${"n".repeat(251)} => ERANGE
    setxattr x user.big v*65536
    getxattr x user.big 0 => 65536
    getxattr x user.big => v*65536
    setxattr x user.bigger v*65537 => E2BIG
    setxattr x %_ v => ERANGE
    setxattr x user. v => EINVAL
    getxattr x user. => EINVAL
    removexattr x user. => EINVAL`,
  );
  fact(
    "xattrs of the namespace trusted are reserved to root, and unknown namespaces do not exist",
    `
    create x 0666
    chown x 1000 1000
    setxattr x trusted.a 1
    setxattr x security.a 2
    listxattr x => security.a trusted.a
    @1000:1000 listxattr x => security.a
    @1000:1000 getxattr x trusted.a => ENODATA
    @1000:1000 setxattr x trusted.b 1 => EPERM
    @1000:1000 removexattr x trusted.a => EPERM
    @1000:1000 setxattr x security.b 1 => EPERM
    @1000:1000 setxattr x user.b 1
    setxattr x other.a 1 => EOPNOTSUPP
    getxattr x other.a => EOPNOTSUPP
    removexattr x other.a => EOPNOTSUPP
    setxattr x user 1 => EOPNOTSUPP
    setxattr x system.a 1 => EOPNOTSUPP`,
  );
  fact(
    "xattrs of the namespace user require read and write permission",
    `
    create x 0644
    setxattr x user.a 1
    @1000:1000 getxattr x user.a => 1
    @1000:1000 setxattr x user.a 2 => EACCES
    @1000:1000 removexattr x user.a => EACCES
    chmod x 0600
    @1000:1000 getxattr x user.a => EACCES
    @1000:1000 listxattr x => user.a
    mkdir d 01777
    @1000:1000 setxattr d user.a 1 => EPERM`,
  );
  for (const type of ["fifo", "socket", "block", "char", "symlink"] as const) {
    fact(
      `a ${type} has no user attributes, but has others`,
      `
      ${make(type, "x")}
      lsetxattr x user.a 1 => EPERM
      lgetxattr x user.a => ENODATA
      lremovexattr x user.a => EPERM
      lsetxattr x trusted.a 1
      lgetxattr x trusted.a => 1
      llistxattr x => trusted.a
      lremovexattr x trusted.a`,
    );
  }
  fact(
    "xattrs belong to the inode: they stay with links and renames",
    `
    create x
    link x y
    setxattr x user.a 1
    rename y z
    getxattr z user.a => 1
    symlink z s
    getxattr s user.a => 1
    lgetxattr s user.a => ENODATA
    fd 1 x O_RDONLY
    fsetxattr 1 user.b 2
    listxattr z => user.a user.b`,
  );
  fact(
    "a file's capabilities are cleared by a write, a truncation, a new owner",
    `
    create x 0755 text
    setxattr x security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00
    getxattr x security.capability 0 => 20
    fd 1 x O_RDWR
    pwrite 1 0 T => 1
    getxattr x security.capability 0 => ENODATA
    setxattr x security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00
    truncate x 2
    getxattr x security.capability 0 => ENODATA
    setxattr x security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00
    chown x 5 5
    getxattr x security.capability 0 => ENODATA`,
  );
});

posix("ACLs", (fact) => {
  fact(
    "an access list sets the mode, and its mask takes the place of the group",
    `
    create x 0640
    getacl x a => ENODATA
    mark x
    setacl x a u::rwx,u:1000:rw-,g::r--,m::rw-,o::--x
    changed x => --c
    lstat x mode => 0761
    getacl x a => u::rwx,u:1000:rw-,g::r--,m::rw-,o::--x
    listxattr x => system.posix_acl_access`,
  );
  fact(
    "a list that is equivalent to a mode is not stored",
    `
    create x 0640
    setacl x a u::rwx,g::r-x,o::---
    lstat x mode => 0750
    getacl x a => ENODATA
    listxattr x => empty
    setacl x a u::rwx,u:1:r--,g::r-x,m::r-x,o::---
    setacl x a u::rw-,g::r--,o::r--
    getacl x a => ENODATA
    lstat x mode => 0644`,
  );
  fact(
    "chmod sets owner, mask and others",
    `
    create x 0640
    setacl x a u::rwx,u:1000:rw-,g::r--,m::rw-,o::---
    chmod x 0705
    getacl x a => u::rwx,u:1000:rw-,g::r--,m::---,o::r-x
    lstat x mode => 0705
    chmod x 04770
    getacl x a => u::rwx,u:1000:rw-,g::r--,m::rwx,o::---
    lstat x mode => 4770`,
  );
  fact(
    "ACLs are enforced for the users and groups they name, within the mask",
    `
    create x 0600 text
    chown x 1000 1000
    setacl x a u::---,u:1001:rw-,u:1002:rwx,g::---,g:2000:r--,g:2001:-w-,m::rw-,o::---
    @1000:1000 access x R_OK => EACCES
    @1001:1001 access x R_OK|W_OK
    @1002:1002 access x R_OK|W_OK
    @1002:1002 access x X_OK => EACCES
    @1003:1000 access x R_OK => EACCES
    @1003:2000 access x R_OK
    @1003:2000 access x W_OK => EACCES
    @1003:2001 access x W_OK
    @1003:2000,2001 access x R_OK|W_OK => EACCES
    @1003:1003 access x R_OK => EACCES
    @1001:1001 open x O_RDWR
    chmod x 0000
    @1001:1001 access x R_OK => EACCES
    chmod x 0040
    @1001:1001 access x R_OK
    @1001:1001 access x W_OK => EACCES
    delacl x a
    @1001:1001 access x R_OK => EACCES`,
  );
  fact(
    "a default list is inherited instead of the umask, and by directories also as their default",
    `
    mkdir d 0755
    setacl d d u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---
    lstat d mode => 0755
    umask 077
    create d/f 0666
    getacl d/f a => u::rw-,u:1000:rwx,g::r-x,m::rw-,o::---
    lstat d/f mode => 0660
    mkdir d/d 0777
    lstat d/d mode => 0770
    getacl d/d a => u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---
    getacl d/d d => u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---
    mkfifo d/p 0644
    getacl d/p a => u::rw-,u:1000:rwx,g::r-x,m::r--,o::---
    mknod d/c c 0600 1 3
    getacl d/c a => u::rw-,u:1000:rwx,g::r-x,m::---,o::---
    bind d/s
    lstat d/s mode => 0700
    symlink t d/l
    lstat d/l mode => 0777
    fd 1 d O_TMPFILE|O_RDWR 0666
    fstat 1 mode => 0660
    linkfd 1 d/t
    getacl d/t a => u::rw-,u:1000:rwx,g::r-x,m::rw-,o::---
    create f 0666
    lstat f mode => 0600
    delacl d d
    getacl d d => ENODATA
    create d/g 0666
    lstat d/g mode => 0600`,
  );
  fact(
    "a default list applies to what RENAME_WHITEOUT leaves",
    `
    setacl . d u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---
    create x
    rename x y WHITEOUT
    getacl x a => u::---,u:1000:rwx,g::r-x,m::---,o::---`,
  );
  fact(
    "a default list without named users and groups sets only a mode",
    `
    mkdir d
    setacl d d u::rwx,g::rwx,o::r--
    umask 077
    create d/f 0777
    lstat d/f mode => 0774
    getacl d/f a => ENODATA
    mkdir d/d 0777
    getacl d/d a => ENODATA
    getacl d/d d => u::rwx,g::rwx,o::r--
    create d/g 0640
    lstat d/g mode => 0640`,
  );
  fact(
    "ACL calls fail with the right errno for bad arguments",
    `
    create x
    symlink x s
    mkfifo p
    setacl x d u::rwx,g::r-x,o::--- => EACCES
    getacl x d => ENODATA
    delacl x d
    setacl x a u::rwx => EINVAL
    setacl x a u::rwx,u:1000:r--,g::r--,o::--- => EINVAL
    setacl x a g::r--,u::rwx,o::r-- => EINVAL
    setacl x a u::rwx,u::rwx,g::r--,o::--- => EINVAL
    setxattr x system.posix_acl_access x => EINVAL
    setxattr x system.posix_acl_access %01%00%00%00 => EOPNOTSUPP
    setxattr x system.posix_acl_access %02%00%00%00%01%00 => EINVAL
    lsetxattr s system.posix_acl_access %02%00%00%00 => EOPNOTSUPP
    lgetxattr s system.posix_acl_access => EOPNOTSUPP
    setacl p a u::rwx,u:1000:rw-,g::r--,m::rw-,o::---
    getacl p a => u::rwx,u:1000:rw-,g::r--,m::rw-,o::---
    getacl missing a => ENOENT
    delacl x a
    delacl x a`,
  );
  fact(
    "only the owner can set an ACL",
    `
    create x 0666
    chown x 1000 1001
    @1002:1001 setacl x a u::rwx,u:5:r--,g::r--,m::rwx,o::--- => EPERM
    @1002:1001 delacl x a => EPERM
    @1000:1001 setacl x a u::rwx,u:5:r--,g::r--,m::rwx,o::---
    @1002:1002 getacl x a => u::rwx,u:5:r--,g::r--,m::rwx,o::---
    chmod x 02770
    @1000:1000 setacl x a u::rwx,u:6:r--,g::r--,m::rwx,o::---
    lstat x mode => 0770
    chmod x 02770
    @1000:1000,1001 setacl x a u::rwx,u:7:r--,g::r--,m::rwx,o::---
    lstat x mode => 2770
    @1000:1000 delacl x a
    lstat x mode => 0770`,
  );
  fact(
    "ACLs may have 500 entries",
    `
    create x
    setacl x a u::rwx,${Array.from({ length: 496 }, (_, at) => `u:${at + 1}:r--`).join(",")},g::r--,m::rwx,o::---
    getxattr x system.posix_acl_access 0 => 4004`,
  );
});
