/**
 * One request of every operation with its reply, byte for byte as on /dev/fuse.
 *
 * Eight bytes per line, with their meaning. The values are chosen to be recognised in a dump, and to reveal a field that
 * is read from the wrong place, or with the wrong width or order. Written from <linux/fuse.h>, not from fuse/abi.ts.
 */
import type { OpName, Reply, Request } from "../../src/fuse/ops.ts";

/** A message and its meaning. */
export interface Exchange<K extends OpName> {
  readonly request: Buffer;
  readonly means: Request<K>;
  /** What a handler returns; for "data" it puts the bytes after the reply's header into the target. */
  readonly answers?: Reply<K>;
  /** The whole reply; absent if the operation has no reply. */
  readonly reply?: Buffer;
}

/** Bytes in hex; text after "//" is a comment. */
function bytes(text: TemplateStringsArray): Buffer {
  const digits = (text[0] ?? "").replace(/\/\/.*$/gm, "").replace(/\s+/g, "");
  return Buffer.from(digits, "hex");
}

/** The fields that the headers of all requests here share, all except length and opcode. */
export const HEADER = {
  unique: 0xdeadbeef0002,
  nodeid: 0x112200003344,
  uid: 0xaaaa0001,
  gid: 0xbbbb0002,
  pid: 0xcccc0003,
};

const ATTR = {
  ino: 0x112200003344,
  size: 0x123400005678,
  blocks: 0x9abc,
  atime: 0x65000001,
  mtime: -2,
  ctime: 0x65000003,
  atimensec: 0x3b9ac9ff,
  mtimensec: 0x11111111,
  ctimensec: 0x22222222,
  mode: 0o100644,
  nlink: 3,
  uid: 0xaaaa0001,
  gid: 0xbbbb0002,
  rdev: 0x801,
  blksize: 0x1000,
  flags: 0,
};

export const ENTRY = {
  nodeid: 0x112200003344,
  generation: 7,
  entry_valid: 0xf4240,
  attr_valid: 0xf4241,
  entry_valid_nsec: 0x10,
  attr_valid_nsec: 0x20,
  attr: ATTR,
};

const OPEN = { fh: 0xf00d0000beef, open_flags: 0x22, backing_id: 0 };

const NOTHING = bytes`
  10 00 00 00 00 00 00 00  // len 16, error 0
  02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
`;

const ENTRY_REPLY = bytes`
  90 00 00 00 00 00 00 00  // len 144, error 0
  02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
  44 33 00 00 22 11 00 00  // nodeid 0x112200003344
  07 00 00 00 00 00 00 00  // generation 7
  40 42 0f 00 00 00 00 00  // entry_valid 0xf4240
  41 42 0f 00 00 00 00 00  // attr_valid 0xf4241
  10 00 00 00 20 00 00 00  // entry_valid_nsec 0x10, attr_valid_nsec 0x20
  44 33 00 00 22 11 00 00  // ino 0x112200003344
  78 56 00 00 34 12 00 00  // size 0x123400005678
  bc 9a 00 00 00 00 00 00  // blocks 0x9abc
  01 00 00 65 00 00 00 00  // atime 0x65000001
  fe ff ff ff ff ff ff ff  // mtime -2
  03 00 00 65 00 00 00 00  // ctime 0x65000003
  ff c9 9a 3b 11 11 11 11  // atimensec 0x3b9ac9ff, mtimensec 0x11111111
  22 22 22 22 a4 81 00 00  // ctimensec 0x22222222, mode 0o100644
  03 00 00 00 01 00 aa aa  // nlink 3, uid 0xaaaa0001
  02 00 bb bb 01 08 00 00  // gid 0xbbbb0002, rdev 0x801
  00 10 00 00 00 00 00 00  // blksize 0x1000, flags 0
`;

const ATTR_REPLY = bytes`
  78 00 00 00 00 00 00 00  // len 120, error 0
  02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
  41 42 0f 00 00 00 00 00  // attr_valid 0xf4241
  20 00 00 00 00 00 00 00  // attr_valid_nsec 0x20, dummy
  44 33 00 00 22 11 00 00  // ino 0x112200003344
  78 56 00 00 34 12 00 00  // size 0x123400005678
  bc 9a 00 00 00 00 00 00  // blocks 0x9abc
  01 00 00 65 00 00 00 00  // atime 0x65000001
  fe ff ff ff ff ff ff ff  // mtime -2
  03 00 00 65 00 00 00 00  // ctime 0x65000003
  ff c9 9a 3b 11 11 11 11  // atimensec 0x3b9ac9ff, mtimensec 0x11111111
  22 22 22 22 a4 81 00 00  // ctimensec 0x22222222, mode 0o100644
  03 00 00 00 01 00 aa aa  // nlink 3, uid 0xaaaa0001
  02 00 bb bb 01 08 00 00  // gid 0xbbbb0002, rdev 0x801
  00 10 00 00 00 00 00 00  // blksize 0x1000, flags 0
`;

const OPEN_REPLY = bytes`
  20 00 00 00 00 00 00 00  // len 32, error 0
  02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
  ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
  22 00 00 00 00 00 00 00  // open_flags 0x22, backing_id 0
`;

const CREATE_REPLY = bytes`
  a0 00 00 00 00 00 00 00  // len 160, error 0
  02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
  44 33 00 00 22 11 00 00  // nodeid 0x112200003344
  07 00 00 00 00 00 00 00  // generation 7
  40 42 0f 00 00 00 00 00  // entry_valid 0xf4240
  41 42 0f 00 00 00 00 00  // attr_valid 0xf4241
  10 00 00 00 20 00 00 00  // entry_valid_nsec 0x10, attr_valid_nsec 0x20
  44 33 00 00 22 11 00 00  // ino 0x112200003344
  78 56 00 00 34 12 00 00  // size 0x123400005678
  bc 9a 00 00 00 00 00 00  // blocks 0x9abc
  01 00 00 65 00 00 00 00  // atime 0x65000001
  fe ff ff ff ff ff ff ff  // mtime -2
  03 00 00 65 00 00 00 00  // ctime 0x65000003
  ff c9 9a 3b 11 11 11 11  // atimensec 0x3b9ac9ff, mtimensec 0x11111111
  22 22 22 22 a4 81 00 00  // ctimensec 0x22222222, mode 0o100644
  03 00 00 00 01 00 aa aa  // nlink 3, uid 0xaaaa0001
  02 00 bb bb 01 08 00 00  // gid 0xbbbb0002, rdev 0x801
  00 10 00 00 00 00 00 00  // blksize 0x1000, flags 0
  ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
  22 00 00 00 00 00 00 00  // open_flags 0x22, backing_id 0
`;

export const EXCHANGES: { readonly [K in OpName]?: Exchange<K> } = {
  lookup: {
    request: bytes`
      2f 00 00 00 01 00 00 00  // len 47, opcode 1, LOOKUP
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      52 45 41 44 4d 45 00     // name "README\0"
    `,
    means: { name: "README" },
    answers: ENTRY,
    reply: ENTRY_REPLY,
  },
  forget: {
    request: bytes`
      30 00 00 00 02 00 00 00  // len 48, opcode 2, FORGET
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      06 00 00 00 05 00 00 00  // nlookup 0x500000006
    `,
    means: { nlookup: 0x500000006 },
  },
  getattr: {
    request: bytes`
      38 00 00 00 03 00 00 00  // len 56, opcode 3, GETATTR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      01 00 00 00 00 00 00 00  // getattr_flags 1, dummy
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
    `,
    means: { getattr_flags: 1, fh: 0xf00d0000beef },
    answers: { attr_valid: 0xf4241, attr_valid_nsec: 0x20, attr: ATTR },
    reply: ATTR_REPLY,
  },
  statx: {
    request: bytes`
      40 00 00 00 34 00 00 00  // len 64, opcode 52, STATX
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      01 00 00 00 00 00 00 00  // getattr_flags 1, reserved
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 20 00 00 ff 0f 00 00  // sx_flags 0x2000, sx_mask 0xfff
    `,
    means: { getattr_flags: 1, fh: 0xf00d0000beef, sx_flags: 0x2000, sx_mask: 0xfff },
    answers: {
      attr_valid: 0xf4241,
      attr_valid_nsec: 0x20,
      flags: 0,
      stat: {
        mask: 0xfff,
        blksize: 0x1000,
        attributes: 0x30,
        nlink: 3,
        uid: 0xaaaa0001,
        gid: 0xbbbb0002,
        mode: 0o100644,
        ino: 0x112200003344,
        size: 0x1000000002,
        blocks: 0x800000001,
        attributes_mask: 0x70,
        atime: { tv_sec: -0x100000001, tv_nsec: 0x3b9ac9ff },
        btime: { tv_sec: 0x65000001, tv_nsec: 1 },
        ctime: { tv_sec: 0x65000003, tv_nsec: 3 },
        mtime: { tv_sec: 0x65000002, tv_nsec: 2 },
        rdev_major: 8,
        rdev_minor: 0x12345,
        dev_major: 0,
        dev_minor: 0,
      },
    },
    reply: bytes`
      30 01 00 00 00 00 00 00  // len 304, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      41 42 0f 00 00 00 00 00  // attr_valid 0xf4241
      20 00 00 00 00 00 00 00  // attr_valid_nsec 0x20, flags 0
      00 00 00 00 00 00 00 00  // spare
      00 00 00 00 00 00 00 00  // spare
      ff 0f 00 00 00 10 00 00  // mask 0xfff, blksize 0x1000
      30 00 00 00 00 00 00 00  // attributes 0x30
      03 00 00 00 01 00 aa aa  // nlink 3, uid 0xaaaa0001
      02 00 bb bb a4 81 00 00  // gid 0xbbbb0002, mode 0100644, spare0
      44 33 00 00 22 11 00 00  // ino 0x112200003344
      02 00 00 00 10 00 00 00  // size 0x1000000002
      01 00 00 00 08 00 00 00  // blocks 0x800000001
      70 00 00 00 00 00 00 00  // attributes_mask 0x70
      ff ff ff ff fe ff ff ff  // atime -0x100000001
      ff c9 9a 3b 00 00 00 00  // its tv_nsec 0x3b9ac9ff, reserved
      01 00 00 65 00 00 00 00  // btime 0x65000001
      01 00 00 00 00 00 00 00  // its tv_nsec 1, reserved
      03 00 00 65 00 00 00 00  // ctime 0x65000003
      03 00 00 00 00 00 00 00  // its tv_nsec 3, reserved
      02 00 00 65 00 00 00 00  // mtime 0x65000002
      02 00 00 00 00 00 00 00  // its tv_nsec 2, reserved
      08 00 00 00 45 23 01 00  // rdev_major 8, rdev_minor 0x12345
      00 00 00 00 00 00 00 00  // dev_major 0, dev_minor 0
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
      00 00 00 00 00 00 00 00  // spare2
    `,
  },
  setattr: {
    request: bytes`
      80 00 00 00 04 00 00 00  // len 128, opcode 4, SETATTR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ff 07 00 00 00 00 00 00  // valid 0x7ff, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      02 00 00 00 10 00 00 00  // size 0x1000000002
      00 00 00 00 00 00 00 00  // lock_owner
      ff ff ff ff fe ff ff ff  // atime -0x100000001
      02 00 00 65 00 00 00 00  // mtime 0x65000002
      03 00 00 65 00 00 00 00  // ctime 0x65000003
      ff c9 9a 3b 11 11 11 11  // atimensec 0x3b9ac9ff, mtimensec 0x11111111
      22 22 22 22 80 81 00 00  // ctimensec 0x22222222, mode 0o100600
      00 00 00 00 01 00 aa aa  // unused4, uid 0xaaaa0001
      02 00 bb bb 00 00 00 00  // gid 0xbbbb0002, unused5
    `,
    means: {
      valid: 0x7ff,
      fh: 0xf00d0000beef,
      size: 0x1000000002,
      atime: -0x100000001,
      mtime: 0x65000002,
      ctime: 0x65000003,
      atimensec: 0x3b9ac9ff,
      mtimensec: 0x11111111,
      ctimensec: 0x22222222,
      mode: 0o100600,
      uid: 0xaaaa0001,
      gid: 0xbbbb0002,
    },
    answers: { attr_valid: 0xf4241, attr_valid_nsec: 0x20, attr: ATTR },
    reply: ATTR_REPLY,
  },
  readlink: {
    request: bytes`
      28 00 00 00 05 00 00 00  // len 40, opcode 5, READLINK
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
    `,
    means: {},
    reply: bytes`
      17 00 00 00 00 00 00 00  // len 23, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      2e 2e 2f 64 6f 63 73     // data "../docs"
    `,
  },
  symlink: {
    request: bytes`
      3a 00 00 00 06 00 00 00  // len 58, opcode 6, SYMLINK
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      6c 61 74 65 73 74 00     // name "latest\0"
      76 31 2e 32 2f 6e 6f 74  // target "v1.2/not"
      65 73 00                 // "es\0"
    `,
    means: { name: "latest", target: "v1.2/notes" },
    answers: ENTRY,
    reply: ENTRY_REPLY,
  },
  mknod: {
    request: bytes`
      3d 00 00 00 08 00 00 00  // len 61, opcode 8, MKNOD
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      a4 21 00 00 01 08 00 00  // mode 0o20644, rdev 0x801
      12 00 00 00 00 00 00 00  // umask 0o22, padding
      6e 75 6c 6c 00           // name "null\0"
    `,
    means: { mode: 0o20644, rdev: 0x801, umask: 0o22, name: "null" },
    answers: ENTRY,
    reply: ENTRY_REPLY,
  },
  mkdir: {
    request: bytes`
      35 00 00 00 09 00 00 00  // len 53, opcode 9, MKDIR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ed 01 00 00 12 00 00 00  // mode 0o755, umask 0o22
      64 6f 63 73 00           // name "docs\0"
    `,
    means: { mode: 0o755, umask: 0o22, name: "docs" },
    answers: ENTRY,
    reply: ENTRY_REPLY,
  },
  unlink: {
    request: bytes`
      2e 00 00 00 0a 00 00 00  // len 46, opcode 10, UNLINK
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      63 61 66 c3 a9 00        // name "caf\xc3\xa9\0"
    `,
    means: { name: "caf\xc3\xa9" },
    reply: NOTHING,
  },
  rmdir: {
    request: bytes`
      2e 00 00 00 0b 00 00 00  // len 46, opcode 11, RMDIR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      65 6d 70 74 79 00        // name "empty\0"
    `,
    means: { name: "empty" },
    reply: NOTHING,
  },
  rename: {
    request: bytes`
      38 00 00 00 0c 00 00 00  // len 56, opcode 12, RENAME
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      88 77 00 00 66 55 00 00  // newdir 0x556600007788
      6f 6c 64 00              // name "old\0"
      6e 65 77 00              // newname "new\0"
    `,
    means: { newdir: 0x556600007788, name: "old", newname: "new" },
    reply: NOTHING,
  },
  link: {
    request: bytes`
      35 00 00 00 0d 00 00 00  // len 53, opcode 13, LINK
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      88 77 00 00 66 55 00 00  // oldnodeid 0x556600007788
      74 77 69 6e 00           // name "twin\0"
    `,
    means: { oldnodeid: 0x556600007788, name: "twin" },
    answers: ENTRY,
    reply: ENTRY_REPLY,
  },
  open: {
    request: bytes`
      30 00 00 00 0e 00 00 00  // len 48, opcode 14, OPEN
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      02 80 00 00 01 00 00 00  // flags 0x8002, open_flags 1
    `,
    means: { flags: 0x8002, open_flags: 1 },
    answers: OPEN,
    reply: OPEN_REPLY,
  },
  read: {
    request: bytes`
      50 00 00 00 0f 00 00 00  // len 80, opcode 15, READ
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 20 00 00 00 10 00 00  // offset 0x100000002000
      00 00 02 00 02 00 00 00  // size 0x20000, read_flags 2
      00 00 00 00 00 00 00 00  // lock_owner
      00 80 00 00 00 00 00 00  // flags 0x8000, padding
    `,
    means: {
      fh: 0xf00d0000beef,
      offset: 0x100000002000,
      size: 0x20000,
      read_flags: 2,
      flags: 0x8000,
    },
    reply: bytes`
      1b 00 00 00 00 00 00 00  // len 27, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      65 6c 65 76 65 6e 20 62  // data "eleven·b"
      79 74 65                 // "yte"
    `,
  },
  write: {
    request: bytes`
      5b 00 00 00 10 00 00 00  // len 91, opcode 16, WRITE
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 20 00 00 00 10 00 00  // offset 0x100000002000
      0b 00 00 00 04 00 00 00  // size 11, write_flags 4
      00 00 00 00 00 00 00 00  // lock_owner
      01 84 00 00 00 00 00 00  // flags 0x8401, padding
      65 6c 65 76 65 6e 20 62  // data "eleven·b"
      79 74 65                 // "yte"
    `,
    means: {
      fh: 0xf00d0000beef,
      offset: 0x100000002000,
      size: 0xb,
      write_flags: 4,
      flags: 0x8401,
      data: Buffer.from("eleven byte", "latin1"),
    },
    answers: { size: 0xb },
    reply: bytes`
      18 00 00 00 00 00 00 00  // len 24, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      0b 00 00 00 00 00 00 00  // size 11, padding
    `,
  },
  statfs: {
    request: bytes`
      28 00 00 00 11 00 00 00  // len 40, opcode 17, STATFS
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
    `,
    means: {},
    answers: {
      blocks: 0x10000000a,
      bfree: 0x10000000b,
      bavail: 0x10000000c,
      files: 0x10000000d,
      ffree: 0x10000000e,
      bsize: 0x1000,
      namelen: 0xff,
      frsize: 0x1000,
    },
    reply: bytes`
      60 00 00 00 00 00 00 00  // len 96, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      0a 00 00 00 01 00 00 00  // blocks 0x10000000a
      0b 00 00 00 01 00 00 00  // bfree 0x10000000b
      0c 00 00 00 01 00 00 00  // bavail 0x10000000c
      0d 00 00 00 01 00 00 00  // files 0x10000000d
      0e 00 00 00 01 00 00 00  // ffree 0x10000000e
      00 10 00 00 ff 00 00 00  // bsize 0x1000, namelen 0xff
      00 10 00 00 00 00 00 00  // frsize 0x1000, padding
      00 00 00 00 00 00 00 00  // spare
      00 00 00 00 00 00 00 00  // spare
      00 00 00 00 00 00 00 00  // spare
    `,
  },
  release: {
    request: bytes`
      40 00 00 00 12 00 00 00  // len 64, opcode 18, RELEASE
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      01 80 00 00 01 00 00 00  // flags 0x8001, release_flags 1
      00 00 00 00 00 00 00 00  // lock_owner
    `,
    means: { fh: 0xf00d0000beef, flags: 0x8001, release_flags: 1 },
    reply: NOTHING,
  },
  fsync: {
    request: bytes`
      38 00 00 00 14 00 00 00  // len 56, opcode 20, FSYNC
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      01 00 00 00 00 00 00 00  // fsync_flags 1, padding
    `,
    means: { fh: 0xf00d0000beef, fsync_flags: 1 },
    reply: NOTHING,
  },
  setxattr: {
    request: bytes`
      47 00 00 00 15 00 00 00  // len 71, opcode 21, SETXATTR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      04 00 00 00 01 00 00 00  // size 4, flags 1
      01 00 00 00 00 00 00 00  // setxattr_flags 1, padding
      75 73 65 72 2e 63 6f 6c  // name "user.col"
      6f 72 00                 // "or\0"
      62 6c 75 65              // value "blue"
    `,
    means: { size: 4, flags: 1, setxattr_flags: 1, name: "user.color", value: Buffer.from("blue", "latin1") },
    reply: NOTHING,
  },
  getxattr: {
    request: bytes`
      3b 00 00 00 16 00 00 00  // len 59, opcode 22, GETXATTR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      00 01 00 00 00 00 00 00  // size 0x100, padding
      75 73 65 72 2e 63 6f 6c  // name "user.col"
      6f 72 00                 // "or\0"
    `,
    means: { size: 0x100, name: "user.color" },
    reply: bytes`
      14 00 00 00 00 00 00 00  // len 20, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      62 6c 75 65              // data "blue"
    `,
  },
  listxattr: {
    request: bytes`
      30 00 00 00 17 00 00 00  // len 48, opcode 23, LISTXATTR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      00 01 00 00 00 00 00 00  // size 0x100, padding
    `,
    means: { size: 0x100 },
    reply: bytes`
      1b 00 00 00 00 00 00 00  // len 27, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      75 73 65 72 2e 63 6f 6c  // data "user.col"
      6f 72 00                 // "or\0"
    `,
  },
  removexattr: {
    request: bytes`
      33 00 00 00 18 00 00 00  // len 51, opcode 24, REMOVEXATTR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      75 73 65 72 2e 63 6f 6c  // name "user.col"
      6f 72 00                 // "or\0"
    `,
    means: { name: "user.color" },
    reply: NOTHING,
  },
  flush: {
    request: bytes`
      40 00 00 00 19 00 00 00  // len 64, opcode 25, FLUSH
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 00 00 00 00 00 00 00  // unused, padding
      00 00 00 00 00 00 00 00  // lock_owner
    `,
    means: { fh: 0xf00d0000beef },
    reply: NOTHING,
  },
  opendir: {
    request: bytes`
      30 00 00 00 1b 00 00 00  // len 48, opcode 27, OPENDIR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      00 80 01 00 00 00 00 00  // flags 0x18000, open_flags 0
    `,
    means: { flags: 0x18000, open_flags: 0 },
    answers: OPEN,
    reply: OPEN_REPLY,
  },
  readdir: {
    request: bytes`
      50 00 00 00 1c 00 00 00  // len 80, opcode 28, READDIR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 20 00 00 00 10 00 00  // offset 0x100000002000
      00 00 02 00 02 00 00 00  // size 0x20000, read_flags 2
      00 00 00 00 00 00 00 00  // lock_owner
      00 80 00 00 00 00 00 00  // flags 0x8000, padding
    `,
    means: {
      fh: 0xf00d0000beef,
      offset: 0x100000002000,
      size: 0x20000,
      read_flags: 2,
      flags: 0x8000,
    },
    reply: bytes`
      58 00 00 00 00 00 00 00  // len 88, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // ino 0x112200003344
      01 00 00 00 00 00 00 00  // off 1
      01 00 00 00 04 00 00 00  // namelen 1, type 4
      2e                       // name "."
      00 00 00 00 00 00 00     // up to the next eight bytes
      88 77 00 00 66 55 00 00  // ino 0x556600007788
      03 00 00 00 01 00 00 00  // off 0x100000003
      09 00 00 00 08 00 00 00  // namelen 9, type 8
      52 45 41 44 4d 45 2e 6d  // name "README.m"
      64                       // "d"
      00 00 00 00 00 00 00     // up to the next eight bytes
    `,
  },
  releasedir: {
    request: bytes`
      40 00 00 00 1d 00 00 00  // len 64, opcode 29, RELEASEDIR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 80 01 00 00 00 00 00  // flags 0x18000, release_flags 0
      00 00 00 00 00 00 00 00  // lock_owner
    `,
    means: { fh: 0xf00d0000beef, flags: 0x18000, release_flags: 0 },
    reply: NOTHING,
  },
  fsyncdir: {
    request: bytes`
      38 00 00 00 1e 00 00 00  // len 56, opcode 30, FSYNCDIR
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 00 00 00 00 00 00 00  // fsync_flags 0, padding
    `,
    means: { fh: 0xf00d0000beef, fsync_flags: 0 },
    reply: NOTHING,
  },
  access: {
    request: bytes`
      30 00 00 00 22 00 00 00  // len 48, opcode 34, ACCESS
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      04 00 00 00 00 00 00 00  // mask 4, padding
    `,
    means: { mask: 4 },
    reply: NOTHING,
  },
  create: {
    request: bytes`
      3f 00 00 00 23 00 00 00  // len 63, opcode 35, CREATE
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      c1 80 00 00 b6 81 00 00  // flags 0x80c1, mode 0o100666
      12 00 00 00 00 00 00 00  // umask 0o22, open_flags 0
      6d 61 69 6e 2e 63 00     // name "main.c\0"
    `,
    means: { flags: 0x80c1, mode: 0o100666, umask: 0o22, open_flags: 0, name: "main.c" },
    answers: { entry: ENTRY, open: OPEN },
    reply: CREATE_REPLY,
  },
  destroy: {
    request: bytes`
      28 00 00 00 26 00 00 00  // len 40, opcode 38, DESTROY
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      00 00 00 00 00 00 00 00  // nodeid 0
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
    `,
    means: {},
    reply: NOTHING,
  },
  batchForget: {
    request: bytes`
      50 00 00 00 2a 00 00 00  // len 80, opcode 42, BATCH_FORGET
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      00 00 00 00 00 00 00 00  // nodeid 0
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      02 00 00 00 00 00 00 00  // count 2, dummy
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 00 00 00 00 00 00  // nlookup 1
      88 77 00 00 66 55 00 00  // nodeid 0x556600007788
      03 00 00 00 02 00 00 00  // nlookup 0x200000003
    `,
    means: {
      count: 2,
      forgets: bytes`
        44 33 00 00 22 11 00 00  // nodeid 0x112200003344
        01 00 00 00 00 00 00 00  // nlookup 1
        88 77 00 00 66 55 00 00  // nodeid 0x556600007788
        03 00 00 00 02 00 00 00  // nlookup 0x200000003
      `,
    },
  },
  fallocate: {
    request: bytes`
      48 00 00 00 2b 00 00 00  // len 72, opcode 43, FALLOCATE
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 20 00 00 00 10 00 00  // offset 0x100000002000
      00 40 00 00 03 00 00 00  // length 0x300004000
      03 00 00 00 00 00 00 00  // mode 3, padding
    `,
    means: { fh: 0xf00d0000beef, offset: 0x100000002000, length: 0x300004000, mode: 0o3 },
    reply: NOTHING,
  },
  readdirplus: {
    request: bytes`
      50 00 00 00 2c 00 00 00  // len 80, opcode 44, READDIRPLUS
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 20 00 00 00 10 00 00  // offset 0x100000002000
      00 00 02 00 02 00 00 00  // size 0x20000, read_flags 2
      00 00 00 00 00 00 00 00  // lock_owner
      00 80 00 00 00 00 00 00  // flags 0x8000, padding
    `,
    means: {
      fh: 0xf00d0000beef,
      offset: 0x100000002000,
      size: 0x20000,
      read_flags: 2,
      flags: 0x8000,
    },
    reply: bytes`
      58 01 00 00 00 00 00 00  // len 344, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      00 00 00 00 00 00 00 00  // nodeid 0
      00 00 00 00 00 00 00 00  // generation 0
      00 00 00 00 00 00 00 00  // entry_valid 0
      00 00 00 00 00 00 00 00  // attr_valid 0
      00 00 00 00 00 00 00 00  // entry_valid_nsec 0, attr_valid_nsec 0
      00 00 00 00 00 00 00 00  // ino 0
      00 00 00 00 00 00 00 00  // size 0
      00 00 00 00 00 00 00 00  // blocks 0
      00 00 00 00 00 00 00 00  // atime 0
      00 00 00 00 00 00 00 00  // mtime 0
      00 00 00 00 00 00 00 00  // ctime 0
      00 00 00 00 00 00 00 00  // atimensec 0, mtimensec 0
      00 00 00 00 00 00 00 00  // ctimensec 0, mode 0
      00 00 00 00 00 00 00 00  // nlink 0, uid 0
      00 00 00 00 00 00 00 00  // gid 0, rdev 0
      00 00 00 00 00 00 00 00  // blksize 0, flags 0
      44 33 00 00 22 11 00 00  // ino 0x112200003344
      01 00 00 00 00 00 00 00  // off 1
      01 00 00 00 04 00 00 00  // namelen 1, type 4
      2e                       // name "."
      00 00 00 00 00 00 00     // up to the next eight bytes
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      07 00 00 00 00 00 00 00  // generation 7
      40 42 0f 00 00 00 00 00  // entry_valid 0xf4240
      41 42 0f 00 00 00 00 00  // attr_valid 0xf4241
      10 00 00 00 20 00 00 00  // entry_valid_nsec 0x10, attr_valid_nsec 0x20
      44 33 00 00 22 11 00 00  // ino 0x112200003344
      78 56 00 00 34 12 00 00  // size 0x123400005678
      bc 9a 00 00 00 00 00 00  // blocks 0x9abc
      01 00 00 65 00 00 00 00  // atime 0x65000001
      fe ff ff ff ff ff ff ff  // mtime -2
      03 00 00 65 00 00 00 00  // ctime 0x65000003
      ff c9 9a 3b 11 11 11 11  // atimensec 0x3b9ac9ff, mtimensec 0x11111111
      22 22 22 22 a4 81 00 00  // ctimensec 0x22222222, mode 0o100644
      03 00 00 00 01 00 aa aa  // nlink 3, uid 0xaaaa0001
      02 00 bb bb 01 08 00 00  // gid 0xbbbb0002, rdev 0x801
      00 10 00 00 00 00 00 00  // blksize 0x1000, flags 0
      88 77 00 00 66 55 00 00  // ino 0x556600007788
      03 00 00 00 01 00 00 00  // off 0x100000003
      09 00 00 00 08 00 00 00  // namelen 9, type 8
      52 45 41 44 4d 45 2e 6d  // name "README.m"
      64                       // "d"
      00 00 00 00 00 00 00     // up to the next eight bytes
    `,
  },
  rename2: {
    request: bytes`
      40 00 00 00 2d 00 00 00  // len 64, opcode 45, RENAME2
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      88 77 00 00 66 55 00 00  // newdir 0x556600007788
      02 00 00 00 00 00 00 00  // flags 2, padding
      6f 6c 64 00              // name "old\0"
      6e 65 77 00              // newname "new\0"
    `,
    means: { newdir: 0x556600007788, flags: 2, name: "old", newname: "new" },
    reply: NOTHING,
  },
  ioctl: {
    request: bytes`
      4c 00 00 00 27 00 00 00  // len 76, opcode 39, IOCTL
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 00 00 00 01 6c 04 40  // flags 0, cmd 0x40046c01
      00 10 00 00 ff 7f 00 00  // arg 0x7fff00001000
      04 00 00 00 00 00 00 00  // in_size 4, out_size 0
      2f 61 62 00              // data "/ab\0"
    `,
    means: {
      fh: 0xf00d0000beef,
      flags: 0,
      cmd: 0x40046c01,
      arg: 0x7fff00001000,
      in_size: 4,
      out_size: 0,
      data: Buffer.from("/ab\0"),
    },
    answers: { result: 0, flags: 0, in_iovs: 0, out_iovs: 0 },
    reply: bytes`
      20 00 00 00 00 00 00 00  // len 32, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      00 00 00 00 00 00 00 00  // result 0, flags 0
      00 00 00 00 00 00 00 00  // in_iovs 0, out_iovs 0
    `,
  },
  lseek: {
    request: bytes`
      40 00 00 00 2e 00 00 00  // len 64, opcode 46, LSEEK
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh 0xf00d0000beef
      00 20 00 00 00 10 00 00  // offset 0x100000002000
      03 00 00 00 00 00 00 00  // whence 3, padding
    `,
    means: { fh: 0xf00d0000beef, offset: 0x100000002000, whence: 3 },
    answers: { offset: 0x100000003000 },
    reply: bytes`
      18 00 00 00 00 00 00 00  // len 24, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      00 30 00 00 00 10 00 00  // offset 0x100000003000
    `,
  },
  copyFileRange: {
    request: bytes`
      60 00 00 00 2f 00 00 00  // len 96, opcode 47, COPY_FILE_RANGE
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh_in 0xf00d0000beef
      00 20 00 00 00 10 00 00  // off_in 0x100000002000
      88 77 00 00 66 55 00 00  // nodeid_out 0x556600007788
      0d f0 00 00 ed fe 00 00  // fh_out 0xfeed0000f00d
      00 40 00 00 00 30 00 00  // off_out 0x300000004000
      00 f0 ff 7f 00 00 00 00  // len 0x7ffff000
      00 00 00 00 00 00 00 00  // flags 0
    `,
    means: {
      fh_in: 0xf00d0000beef,
      off_in: 0x100000002000,
      nodeid_out: 0x556600007788,
      fh_out: 0xfeed0000f00d,
      off_out: 0x300000004000,
      len: 0x7ffff000,
      flags: 0,
    },
    answers: { size: 0x7fffe000 },
    reply: bytes`
      18 00 00 00 00 00 00 00  // len 24, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      00 e0 ff 7f 00 00 00 00  // size 0x7fffe000, padding
    `,
  },
  syncfs: {
    request: bytes`
      30 00 00 00 32 00 00 00  // len 48, opcode 50, SYNCFS
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      00 00 00 00 00 00 00 00  // padding
    `,
    means: {},
    reply: NOTHING,
  },
  tmpfile: {
    request: bytes`
      3a 00 00 00 33 00 00 00  // len 58, opcode 51, TMPFILE
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      c1 80 00 00 b6 81 00 00  // flags 0x80c1, mode 0o100666
      12 00 00 00 00 00 00 00  // umask 0o22, open_flags 0
      2f 00                    // name "/\0"
    `,
    means: { flags: 0x80c1, mode: 0o100666, umask: 0o22, open_flags: 0, name: "/" },
    answers: { entry: ENTRY, open: OPEN },
    reply: CREATE_REPLY,
  },
  copyFileRange64: {
    request: bytes`
      60 00 00 00 35 00 00 00  // len 96, opcode 53, COPY_FILE_RANGE_64
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      44 33 00 00 22 11 00 00  // nodeid 0x112200003344
      01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
      03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
      ef be 00 00 0d f0 00 00  // fh_in 0xf00d0000beef
      00 20 00 00 00 10 00 00  // off_in 0x100000002000
      88 77 00 00 66 55 00 00  // nodeid_out 0x556600007788
      0d f0 00 00 ed fe 00 00  // fh_out 0xfeed0000f00d
      00 40 00 00 00 30 00 00  // off_out 0x300000004000
      00 f0 ff 7f 00 00 00 00  // len 0x7ffff000
      00 00 00 00 00 00 00 00  // flags 0
    `,
    means: {
      fh_in: 0xf00d0000beef,
      off_in: 0x100000002000,
      nodeid_out: 0x556600007788,
      fh_out: 0xfeed0000f00d,
      off_out: 0x300000004000,
      len: 0x7ffff000,
      flags: 0,
    },
    answers: { offset: 0x17ffffe000 },
    reply: bytes`
      18 00 00 00 00 00 00 00  // len 24, error 0
      02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
      00 e0 ff ff 17 00 00 00  // offset 0x17ffffe000
    `,
  },
};

/** INIT as Linux 6.18 sends it, and our reply. */
export const INIT = {
  request: bytes`
    68 00 00 00 1a 00 00 00  // len 104, opcode 26, INIT
    02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
    00 00 00 00 00 00 00 00  // nodeid 0
    01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
    03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
    07 00 00 00 2d 00 00 00  // major 7, minor 45
    00 00 02 00 fb ff ff 73  // max_readahead 0x20000, flags 0x73fffffb
    fa 00 00 00              // flags2 0xfa
    00 00 00 00 00 00 00 00  // unused
    00 00 00 00 00 00 00 00  // unused
    00 00 00 00 00 00 00 00  // unused
    00 00 00 00 00 00 00 00  // unused
    00 00 00 00 00 00 00 00  // unused
    00 00 00 00              // unused
  `,
  /** As a kernel before 7.36 sends it. */
  short: bytes`
    38 00 00 00 1a 00 00 00  // len 56, opcode 26, INIT
    02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
    00 00 00 00 00 00 00 00  // nodeid 0
    01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
    03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
    07 00 00 00 1f 00 00 00  // major 7, minor 31
    00 00 02 00 fb ff ff 03  // max_readahead 0x20000, flags 0x3fffffb
  `,
  reply: bytes`
    50 00 00 00 00 00 00 00  // len 80, error 0
    02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
    07 00 00 00 2d 00 00 00  // major 7, minor 45
    00 00 02 00 09 00 40 40  // max_readahead 0x20000, flags 0x40400009
    40 00 30 00 00 00 10 00  // max_background 0x40, congestion_threshold 0x30, max_write 0x100000
    01 00 00 00 00 01 00 00  // time_gran 1, max_pages 0x100, map_alignment 0
    20 00 00 00 01 00 00 00  // flags2 0x20, max_stack_depth 1
    00 00                    // request_timeout 0
    00 00 00 00 00 00 00 00  // unused
    00 00 00 00 00 00 00 00  // unused
    00 00 00 00 00 00        // unused
  `,
};

/** INTERRUPT of the request with HEADER.unique, and the reply that makes the kernel send it again. */
export const INTERRUPT = {
  request: bytes`
    30 00 00 00 24 00 00 00  // len 48, opcode 36, INTERRUPT
    03 00 ef be ad de 00 00  // unique 0xdeadbeef0003
    00 00 00 00 00 00 00 00  // nodeid 0
    00 00 00 00 00 00 00 00  // uid 0, gid 0
    00 00 00 00 00 00 00 00  // pid 0, total_extlen 0, padding
    02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
  `,
  again: bytes`
    10 00 00 00 f5 ff ff ff  // len 16, error -11
    03 00 ef be ad de 00 00  // unique 0xdeadbeef0003
  `,
  interrupted: bytes`
    10 00 00 00 fc ff ff ff  // len 16, error -4
    02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
  `,
};

/** Notifications: unique 0, with the code in the error field. */
export const NOTIFICATIONS = {
  invalInode: bytes`
    28 00 00 00 02 00 00 00  // len 40, error 2
    00 00 00 00 00 00 00 00  // unique 0
    44 33 00 00 22 11 00 00  // ino 0x112200003344
    ff ff ff ff ff ff ff ff  // off -0x1
    00 00 00 00 00 00 00 00  // len 0
  `,
  invalEntry: bytes`
    27 00 00 00 03 00 00 00  // len 39, error 3
    00 00 00 00 00 00 00 00  // unique 0
    44 33 00 00 22 11 00 00  // parent 0x112200003344
    06 00 00 00 00 00 00 00  // namelen 6, flags 0
    52 45 41 44 4d 45 00     // name "README\0"
  `,
  store: bytes`
    2c 00 00 00 04 00 00 00  // len 44, error 4
    00 00 00 00 00 00 00 00  // unique 0
    44 33 00 00 22 11 00 00  // nodeid 0x112200003344
    00 20 00 00 00 10 00 00  // offset 0x100000002000
    04 00 00 00 00 00 00 00  // size 4, padding
    62 6c 75 65              // data "blue"
  `,
  del: bytes`
    2f 00 00 00 06 00 00 00  // len 47, error 6
    00 00 00 00 00 00 00 00  // unique 0
    44 33 00 00 22 11 00 00  // parent 0x112200003344
    88 77 00 00 66 55 00 00  // child 0x556600007788
    06 00 00 00 00 00 00 00  // namelen 6, padding
    52 45 41 44 4d 45 00     // name "README\0"
  `,
};

/** SETXATTR as a kernel before 7.33 sends it. */
export const SHORT_SETXATTR = bytes`
  3f 00 00 00 15 00 00 00  // len 63, opcode 21, SETXATTR
  02 00 ef be ad de 00 00  // unique 0xdeadbeef0002
  44 33 00 00 22 11 00 00  // nodeid 0x112200003344
  01 00 aa aa 02 00 bb bb  // uid 0xaaaa0001, gid 0xbbbb0002
  03 00 cc cc 00 00 00 00  // pid 0xcccc0003, total_extlen 0, padding
  04 00 00 00 01 00 00 00  // size 4, flags 1
  75 73 65 72 2e 63 6f 6c  // name "user.col"
  6f 72 00                 // "or\0"
  62 6c 75 65              // value "blue"
`;
