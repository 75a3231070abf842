/** Any message, however malformed, gets a reply or silence: no crash, no hang, and the tree stays consistent. */
import { expect, test } from "bun:test";
import { ERRNO } from "../../src/errno.ts";
import * as abi from "../../src/fuse/abi.ts";
import { OPS, type OpName } from "../../src/fuse/ops.ts";
import { name, rest, type Struct, wordsOf } from "../../src/fuse/wire.ts";
import { LONG } from "../support/long.ts";
import { Random } from "../support/random.ts";
import { ROOT, ServedTree } from "../support/served.ts";

const MESSAGES = LONG ? 1_000_000 : 200_000;
const SEEDS = [1, 2];

/** The table's operations, those that change the tree more often; INIT was sent at the start. */
const OPCODES = [
  ...(Object.keys(OPS) as OpName[]).filter((op) => op !== "init"),
  ...(
    ["lookup", "create", "mkdir", "mknod", "open", "write", "fallocate", "rename2", "unlink", "rmdir"] as const
  ).flatMap((op) => Array(6).fill(op) as OpName[]),
];

const NAMES = [
  ...Array.from({ length: 30 }, (_, index) => String.fromCharCode(97 + (index % 26)).repeat(1 + (index >> 4))),
  ...["dir", "x".repeat(255), "y".repeat(256), "", ".", "..", ".llmfs", "\xff\xfe"],
];
const XATTRS = [
  "user.a",
  "user.llmfs.state",
  "user.llmfs.prompt",
  "user.llmfs.generator",
  "trusted.b",
  "other",
  "user.",
];
const VALUES = ["", "pending", "static", "ready", "x".repeat(300)];
/** Operations that change the tree: a fuzzer in which they always fail tests little. */
const CHANGES: readonly OpName[] = ["create", "mkdir", "mknod", "unlink", "rmdir", "rename2", "write"];

const NUMBERS = [0, 1, 2, 3, 7, 0xff, 4095, 4096, 4097, 65536, 131072, 131073, 2 ** 31, 2 ** 32 - 1];
const LARGE = [...NUMBERS, 2 ** 32, 2 ** 40, 2 ** 52, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 2 ** 64 - 2048];

/** What is logged for a malformed message. Anything else in the log is a bug of ours. */
const BLAMELESS = /not its protocol|forgotten more often than looked up|nodes to forget in|the kernel speaks FUSE/;

class Fuzzer {
  readonly random: Random;
  readonly fs = new ServedTree({ size: 8 << 20, inodes: 3000, debug: false });
  nodes = [ROOT];
  directories = [ROOT];
  handles: number[] = [];
  readonly parked: number[] = [];
  readonly bugs: string[] = [];
  /** How often each operation succeeded. */
  readonly succeeded = new Map<OpName, number>();
  readonly buffer = Buffer.alloc(1 << 17);
  readonly words = wordsOf(this.buffer);
  replies: { readonly unique: number; readonly error: number; readonly body: Buffer }[] = [];

  constructor(seed: number) {
    this.random = new Random(seed);
    this.fs.kernel.send = (message, length) => {
      const view = new DataView(message.buffer, message.byteOffset, length);
      const unique = view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32;
      const error = view.getInt32(4, true);
      if (view.getUint32(0, true) !== length)
        this.bugs.push(`a reply of ${length} bytes says ${view.getUint32(0, true)}`);
      if (unique !== 0 && (error > 0 || error <= -512)) this.bugs.push(`error ${error}`);
      if (unique !== 0 && error !== 0 && length !== 16) this.bugs.push(`an error of ${length} bytes`);
      this.replies.push({ unique, error, body: Buffer.from(message.subarray(16, Math.min(length, 200))) });
      return this.random.chance(0.02) ? -ERRNO.ENOENT : 0;
    };
    for (const path of ["/a", "/dir/b", "/dir/c"]) this.fs.pending(path);
  }

  number(large: boolean): number {
    const { random } = this;
    return random.chance(0.3) ? random.below(2 ** 32) : random.pick(large ? LARGE : NUMBERS);
  }

  field(key: string, large: boolean): number {
    const { random } = this;
    if (key.startsWith("fh") && random.chance(0.9) && this.handles.length > 0) return random.pick(this.handles);
    if ((key.includes("nodeid") || key === "newdir") && random.chance(0.97)) {
      return random.chance(0.3) ? random.pick(this.directories) : random.pick(this.nodes);
    }
    if (key === "unique" && this.parked.length > 0) return random.pick(this.parked);
    if (key === "nlookup" && random.chance(0.9)) return 1;
    if (key === "mode" && random.chance(0.8)) return random.pick([0o100644, 0o040755, 0o010600, 0o20600]);
    return this.number(large);
  }

  /** A message of this operation with likely or unlikely fields. */
  build(op: OpName, unique: number): number {
    const { random } = this;
    const row = OPS[op];
    const struct = row.request as Struct<unknown>;
    const values: Record<string, unknown> = {};
    for (const [key, type] of Object.entries(struct.fields)) {
      if (type === name) values[key] = random.pick(op.includes("xattr") ? XATTRS : NAMES);
      else if (type === rest) values[key] = Buffer.from(random.pick(VALUES));
      else values[key] = this.field(key, type.size === 8);
    }
    if (values.value instanceof Uint8Array && random.chance(0.8)) values.size = values.value.length;
    if (values.data instanceof Uint8Array && random.chance(0.8)) values.size = values.data.length;
    const length = struct.encode(this.buffer, this.words, abi.inHeader.size, values);
    abi.inHeader.encode(this.buffer, this.words, 0, {
      len: length,
      opcode: row.opcode,
      unique,
      nodeid: this.field("nodeid", true),
      uid: random.pick([0, 1000]),
      gid: random.pick([0, 1000]),
      pid: 1,
      total_extlen: 0,
    });
    return length;
  }

  /** Cuts the message, changes bytes in it, or changes its opcode. */
  spoil(length: number): number {
    const { random, buffer } = this;
    let left = length;
    if (random.chance(0.4)) {
      left = random.below(length + 1);
      if (random.chance(0.8)) buffer.writeUInt32LE(left, 0);
    }
    for (let flips = random.below(4); flips > 0; flips--) {
      const at = 16 + random.below(Math.max(1, left - 16));
      // The kernel never sends a slash in a name.
      const byte = random.below(256);
      if (byte !== 0x2f) buffer[at] = byte;
    }
    if (random.chance(0.1)) buffer.writeUInt32LE(random.below(70), 4);
    if (random.chance(0.1)) buffer.writeUInt16LE(random.below(4), 36);
    return left;
  }

  /** Nodeids and handles that a reply contained. */
  learn(op: OpName, body: Buffer): void {
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    const { reply } = OPS[op];
    if (reply === abi.entryOut || reply === abi.createOut) {
      const { nodeid } = abi.entryOut.decode(body, wordsOf(body), 0, body.length);
      if (nodeid !== 0) this.nodes.push(nodeid);
      if (op === "mkdir") this.directories.push(nodeid);
    }
    if (reply === abi.createOut) this.handles.push(view.getUint32(abi.entryOut.size, true));
    if (op === "open") this.handles.push(view.getUint32(0, true));
    if (this.nodes.length > 300) this.nodes.splice(1, 100);
    if (this.directories.length > 30) this.directories.splice(1, 10);
    if (this.handles.length > 100) this.handles.splice(0, 50);
  }

  /** The other thread replies now and then. */
  generate(): void {
    const { random, fs } = this;
    const { requests } = fs;
    const request = requests.length === 0 ? undefined : random.pick(requests.slice(-20));
    if (request === undefined) return;
    if (random.chance(0.5)) fs.content("x".repeat(random.pick([0, 5, 100_000, 8 << 20])), request.ticket);
    else fs.failed("EIO", "no", request.ticket);
    fs.posted.splice(0, Math.max(0, fs.posted.length - 40));
  }

  step(unique: number): void {
    const { random, fs } = this;
    this.replies = [];
    const op = random.pick(OPCODES);
    const built = this.build(op, unique);
    const spoilt = random.chance(0.3);
    const length = spoilt ? this.spoil(built) : built;
    const message = this.buffer.toString("hex", 0, Math.min(length, 400));
    const before = fs.kernel.session.parked;
    const start = performance.now();
    try {
      fs.kernel.session.handle(this.buffer, this.words, length);
    } catch (error) {
      this.bugs.push(`${op} ${message}: ${error instanceof Error ? error.stack : error}`);
    }
    const took = performance.now() - start;
    if (took > 1000) this.bugs.push(`${op} ${message}: took ${took} ms`);
    const own = this.replies.filter((reply) => reply.unique === unique);
    if (own.length > 1) this.bugs.push(`${op} ${message}: ${own.length} replies`);
    if (fs.kernel.session.parked > before) this.parked.push(unique);
    else if (own.length === 0 && !spoilt && OPS[op].reply !== "silence") this.bugs.push(`${op} ${message}: no answer`);
    if (own[0]?.error === 0 && !spoilt) {
      this.succeeded.set(op, (this.succeeded.get(op) ?? 0) + 1);
      this.learn(op, own[0].body);
    }
    if (own[0]?.error === -ERRNO.ESTALE) {
      const stale = this.words[4] ?? 0;
      this.nodes = this.nodes.filter((nodeid) => nodeid === ROOT || nodeid !== stale);
      this.directories = this.directories.filter((nodeid) => nodeid === ROOT || nodeid !== stale);
    }
    if (own[0]?.error === -ERRNO.EBADF) this.handles = this.handles.slice(-10);
    for (const line of fs.kernel.log.splice(0)) if (!BLAMELESS.test(line)) this.bugs.push(`${op} ${message}: ${line}`);
    if (random.chance(0.01)) this.generate();
    if (this.parked.length > 50) this.parked.splice(0, 25);
  }
}

for (const seed of SEEDS) {
  test(
    `${MESSAGES / SEEDS.length} random, corrupted or truncated messages do no harm (seed ${seed})`,
    () => {
      const fuzzer = new Fuzzer(seed);
      for (let count = 1; count <= MESSAGES / SEEDS.length; count++) {
        fuzzer.step(count * 2);
        if (count % 2000 === 0) fuzzer.fs.tree.checkInvariants();
        if (fuzzer.bugs.length > 0) break;
      }
      expect(fuzzer.bugs).toEqual([]);
      for (const op of CHANGES) expect(fuzzer.succeeded.get(op) ?? 0).toBeGreaterThan(5);
      const { mount, tree } = fuzzer.fs;
      mount.waiters.clear();
      mount.handles.clear();
      mount.nodes.clear();
      tree.checkInvariants();
      expect(tree.space.inodes).toBe(new Set([...tree.walk()].map(({ inode }) => inode)).size);
    },
    LONG ? 600_000 : 60_000,
  );
}
