import { describe, expect, test } from "bun:test";
import { ERRNO, FsError } from "../../src/errno.ts";
import * as abi from "../../src/fuse/abi.ts";
import { DirentWriter } from "../../src/fuse/dirent.ts";
import { type Filesystem, type Header, OPS, type OpName, PARKED } from "../../src/fuse/ops.ts";
import { Session } from "../../src/fuse/session.ts";
import { name, type Struct, wordsOf } from "../../src/fuse/wire.ts";
import { ENTRY, EXCHANGES, type Exchange, HEADER, INIT, INTERRUPT, NOTIFICATIONS, SHORT_SETXATTR } from "./messages.ts";

interface Call {
  readonly op: string;
  readonly request: unknown;
  readonly header: Header;
}

/** A session whose handlers record their requests and reply with the exchange's value. */
function wire(options: { readonly parks?: boolean; readonly flags?: number; readonly flags2?: number } = {}) {
  const calls: Call[] = [];
  const sent: Buffer[] = [];
  const log: string[] = [];
  const handlers = Object.entries(EXCHANGES).map(([op, exchange]) => [
    op,
    (request: object, header: Header, target: Buffer) => {
      const values = Object.entries(request).map(([key, value]) => [key, Buffer.isBuffer(value) ? copy(value) : value]);
      calls.push({ op, request: Object.fromEntries(values), header: { ...header } });
      if (options.parks === true) return PARKED;
      if (OPS[op as OpName].reply !== "data") return exchange.answers;
      return exchange.reply?.copy(target, 0, abi.outHeader.size);
    },
  ]);
  const session: Session = new Session(
    Object.fromEntries(handlers) as Filesystem,
    {
      send(message, length) {
        sent.push(copy(message.subarray(0, length)));
        return 0;
      },
      sendExtent: () => {
        throw new Error("none of these replies is in a file");
      },
      sendAsync: () => undefined,
    },
    {
      flags: options.flags ?? 0,
      flags2: options.flags2 ?? 0,
      maxWrite: 1 << 20,
      onInterrupt(unique) {
        const parked = session.parked > 0;
        session.fail(unique, new FsError("EINTR"));
        return parked;
      },
      log: (level, text) => log.push(`${level}: ${text}`),
    },
  );
  // A buffer as in device.ts: larger than any message, and full of old bytes.
  const buffer = Buffer.alloc(1 << 16, 0xee);
  const words = wordsOf(buffer);
  return {
    session,
    calls,
    sent,
    log,
    receive(message: Buffer): void {
      buffer.fill(0xee);
      buffer.set(message);
      session.handle(buffer, words, message.length);
    },
  };
}

function copy(bytes: Buffer): Buffer {
  return Buffer.from(bytes);
}

/** The first `length` bytes, as a message with that length in its header. */
function cut(message: Buffer, length: number): Buffer {
  const short = copy(message.subarray(0, length));
  if (length >= 4) short.writeUInt32LE(length, 0);
  return short;
}

/** The reply to a malformed message: EIO for its sender, as long as that can be read. */
function refusal(unique: number): Buffer {
  const message = Buffer.alloc(16);
  message.writeUInt32LE(16, 0);
  message.writeInt32LE(-ERRNO.EIO, 4);
  message.writeBigUInt64LE(BigInt(unique), 8);
  return message;
}

for (const [op, exchange] of Object.entries(EXCHANGES) as [OpName, Exchange<OpName>][]) {
  const row = OPS[op];
  const struct = row.request as Struct<unknown>;
  const { request, reply, means } = exchange;
  const silent = row.reply === "silence";

  describe(op, () => {
    test("the bytes of each request are decoded to these values", () => {
      const { receive, calls } = wire();
      receive(request);
      const nodeid = Number(request.readBigUInt64LE(16));
      expect(calls).toEqual([{ op, request: means, header: { ...HEADER, nodeid, opcode: row.opcode } }]);
    });

    test(silent ? "it has no reply" : "its reply has these bytes", () => {
      const { receive, sent, log } = wire();
      receive(request);
      expect(sent).toEqual(reply === undefined ? [] : [reply]);
      expect(log).toEqual([]);
    });

    test("the operation table encodes each request to the same bytes", () => {
      const buffer = Buffer.alloc(1 << 12, 0xee);
      const words = wordsOf(buffer);
      const nodeid = Number(request.readBigUInt64LE(16));
      const length = struct.encode(buffer, words, abi.inHeader.size, means);
      const header = { ...HEADER, nodeid, len: length, opcode: row.opcode, total_extlen: 0 };
      abi.inHeader.encode(buffer, words, 0, header);
      expect(copy(buffer.subarray(0, length))).toEqual(request);
    });

    test("a message cut in the header is rejected", () => {
      for (let length = 0; length < abi.inHeader.size; length++) {
        const { receive, calls, sent, log } = wire();
        receive(cut(request, length));
        expect(calls).toEqual([]);
        expect(log).toHaveLength(1);
        // Up to byte 16 the sender is unknown.
        expect(sent).toEqual(length < 16 ? [] : [refusal(HEADER.unique)]);
      }
    });

    const body = abi.inHeader.size;
    const names = body + struct.size;
    const last = Object.entries(struct.fields).findLast(([, type]) => type === name)?.[0];

    if (names > body) {
      test("a message cut in the struct is rejected", () => {
        for (let length = body; length < names; length++) {
          const { receive, calls, sent, log } = wire();
          receive(cut(request, length));
          expect(calls).toEqual([]);
          expect(log).toHaveLength(1);
          expect(sent).toEqual(silent ? [] : [refusal(HEADER.unique)]);
        }
      });
    }

    if (last !== undefined) {
      test("a name without its NUL is rejected", () => {
        const value = (means as Record<string, string>)[last] ?? "";
        const nul = request.lastIndexOf(Buffer.from(`${value}\0`, "latin1")) + value.length;
        for (let length = names; length <= nul; length++) {
          const { receive, calls, sent, log } = wire();
          receive(cut(request, length));
          expect(calls).toEqual([]);
          expect(log).toHaveLength(1);
          expect(sent).toEqual([refusal(HEADER.unique)]);
        }
      });
    }

    test("an extension at the end of a message is not part of the request", () => {
      const { receive, calls, sent } = wire();
      const extended = Buffer.concat([request, Buffer.from("1000000020000000aaaaaaaaaaaaaaaa", "hex")]);
      extended.writeUInt32LE(extended.length, 0);
      extended.writeUInt16LE(2, 36);
      receive(extended);
      expect(calls.map((call) => call.request)).toEqual([means]);
      expect(sent).toEqual(reply === undefined ? [] : [reply]);
    });

    test("an extension that is longer than the message is rejected", () => {
      const { receive, calls, log } = wire();
      const extended = copy(request);
      extended.writeUInt16LE(0xffff, 36);
      receive(extended);
      expect(calls).toEqual([]);
      expect(log).toHaveLength(1);
    });

    test("a message whose length field is wrong is rejected", () => {
      for (const wrong of [request.length - 1, request.length + 1, 0, 0xffffffff]) {
        const { receive, calls, sent, log } = wire();
        const message = copy(request);
        message.writeUInt32LE(wrong, 0);
        receive(message);
        expect(calls).toEqual([]);
        expect(log).toHaveLength(1);
        expect(sent).toEqual([refusal(HEADER.unique)]);
      }
    });
  });
}

test("every operation with a request struct in the table has its bytes here", () => {
  // The others get ENOSYS whatever they contain, or are answered by the session (below).
  const spelt = Object.entries(OPS).filter(([op, row]) => !("body" in row.request.fields) && op !== "interrupt");
  expect(Object.keys(EXCHANGES).sort()).toEqual(spelt.map(([op]) => op).sort());
});

describe("init", () => {
  const flags = abi.FUSE_ASYNC_READ | abi.FUSE_ATOMIC_O_TRUNC | abi.FUSE_MAX_PAGES;

  test("the reply to init for a kernel of our version has these bytes", () => {
    const { receive, sent } = wire({ flags, flags2: abi.FUSE_PASSTHROUGH });
    receive(INIT.request);
    expect(sent).toEqual([INIT.reply]);
  });

  test("the reply to init for a kernel before 7.36 is the short form, without the second flags", () => {
    const { receive, sent, session } = wire({ flags, flags2: abi.FUSE_PASSTHROUGH });
    receive(INIT.short);
    expect(sent).toHaveLength(1);
    expect(sent[0]).toHaveLength(INIT.reply.length);
    expect(session.granted).toEqual({ minor: 31, flags: flags & 0x03fffffb, flags2: 0 });
  });

  test("an init message cut in its struct is rejected", () => {
    for (let length = 40; length < 56; length++) {
      const { receive, sent, log, session } = wire({ flags });
      receive(cut(INIT.request, length));
      expect(sent).toEqual([refusal(HEADER.unique)]);
      expect(log).toHaveLength(1);
      expect(session.granted).toBeUndefined();
    }
  });
});

describe("setxattr from a kernel before 7.33", () => {
  test("setxattr from a kernel before 7.33 has no flags of its own", () => {
    const { receive, calls } = wire({ flags: abi.FUSE_SETXATTR_EXT });
    receive(INIT.short);
    receive(SHORT_SETXATTR);
    const request = { size: 4, flags: 1, setxattr_flags: 0, name: "user.color", value: Buffer.from("blue") };
    expect(calls.map((call) => call.request)).toEqual([request]);
  });

  test("setxattr from a kernel before 7.33 cut in its struct is rejected", () => {
    for (let length = 40; length < 48; length++) {
      const { receive, calls, sent } = wire({ flags: abi.FUSE_SETXATTR_EXT });
      receive(INIT.short);
      receive(cut(SHORT_SETXATTR, length));
      expect(calls).toEqual([]);
      expect(sent.at(-1)).toEqual(refusal(HEADER.unique));
    }
  });
});

describe("interrupt", () => {
  test("an interrupt for an unknown request is answered with EAGAIN", () => {
    const { receive, sent } = wire();
    receive(INTERRUPT.request);
    expect(sent).toEqual([INTERRUPT.again]);
  });

  test("an interrupt for a parked request has no reply of its own", () => {
    const { receive, sent, session } = wire({ parks: true });
    receive((EXCHANGES.open as Exchange<"open">).request);
    expect(session.parked).toBe(1);
    receive(INTERRUPT.request);
    expect(session.parked).toBe(0);
    expect(sent).toEqual([INTERRUPT.interrupted]);
  });

  test("an interrupt cut in its struct is dropped and logged", () => {
    for (let length = 40; length < 48; length++) {
      const { receive, sent, log } = wire();
      receive(cut(INTERRUPT.request, length));
      expect(sent).toEqual([]);
      expect(log).toHaveLength(1);
    }
  });
});

describe("notifications", () => {
  const { nodeid } = HEADER;

  test("the notification to invalidate an inode has these bytes", () => {
    const { session, sent } = wire();
    session.notify(abi.FUSE_NOTIFY_INVAL_INODE, abi.notifyInvalInodeOut, { ino: nodeid, off: -1, len: 0 });
    expect(sent).toEqual([NOTIFICATIONS.invalInode]);
  });

  test("the notification to invalidate an entry has these bytes", () => {
    const { session, sent } = wire();
    const body = { parent: nodeid, namelen: 6, flags: 0, name: "README" };
    session.notify(abi.FUSE_NOTIFY_INVAL_ENTRY, abi.notifyInvalEntryOut, body);
    expect(sent).toEqual([NOTIFICATIONS.invalEntry]);
  });

  test("the notification to store data has these bytes", () => {
    const { session, sent } = wire();
    const body = { nodeid, offset: 0x100000002000, size: 4 };
    session.notify(abi.FUSE_NOTIFY_STORE, abi.notifyStoreOut, body, Buffer.from("blue"));
    expect(sent).toEqual([NOTIFICATIONS.store]);
  });

  test("the notification to delete an entry has these bytes", () => {
    const { session, sent } = wire();
    const body = { parent: nodeid, child: 0x556600007788, namelen: 6, name: "README" };
    session.notify(abi.FUSE_NOTIFY_DELETE, abi.notifyDeleteOut, body);
    expect(sent).toEqual([NOTIFICATIONS.del]);
  });

  test("a notification that is larger than any reply is sent whole", () => {
    const { session, sent } = wire();
    const data = Buffer.alloc((1 << 20) + 8192, 7);
    session.notify(abi.FUSE_NOTIFY_STORE, abi.notifyStoreOut, { nodeid, offset: 0, size: data.length }, data);
    expect(sent[0]).toHaveLength(16 + 24 + data.length);
    expect(sent[0]?.readUInt32LE(0)).toBe(16 + 24 + data.length);
    expect(sent[0]?.subarray(40)).toEqual(data);
  });
});

describe("directory entries", () => {
  const entries = [
    { name: ".", ino: HEADER.nodeid, off: 1, type: 4 },
    { name: "README.md", ino: 0x556600007788, off: 0x100000003, type: 8 },
  ];

  const zeros = Buffer.alloc(abi.entryOut.size);
  const nothing = abi.entryOut.decode(zeros, wordsOf(zeros), 0, zeros.length);

  function body(exchange: Exchange<"readdir"> | Exchange<"readdirplus"> | undefined): Buffer {
    return copy((exchange?.reply ?? Buffer.alloc(0)).subarray(abi.outHeader.size));
  }

  test("directory entries of READDIR have these bytes", () => {
    const target = Buffer.alloc(4096, 0xee);
    const writer = new DirentWriter(target, 4096);
    for (const { name, ino, off, type } of entries) expect(writer.add(name, ino, off, type)).toBe(true);
    expect(copy(target.subarray(0, writer.length))).toEqual(body(EXCHANGES.readdir));
  });

  test("directory entries of READDIRPLUS have their attributes before them", () => {
    const target = Buffer.alloc(4096, 0xee);
    const writer = new DirentWriter(target, 4096);
    for (const { name, ino, off, type } of entries) writer.add(name, ino, off, type, name === "." ? nothing : ENTRY);
    expect(copy(target.subarray(0, writer.length))).toEqual(body(EXCHANGES.readdirplus));
  });
});
