/** fuse/abi.ts and the opcodes of fuse/ops.ts, compared with <linux/fuse.h> through the C compiler. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as abi from "../../src/fuse/abi.ts";
import { OPS } from "../../src/fuse/ops.ts";
import { type Struct, wordsOf } from "../../src/fuse/wire.ts";
import { compiling, testWith } from "../support/needs.ts";

const lacking = compiling();
const test = testWith(lacking);

/** Our name for each struct of the kernel. `st.` is where fuse_statfs_out has its fields. */
const STRUCTS: Readonly<Record<string, { readonly c: string; readonly within?: string }>> = {
  inHeader: { c: "fuse_in_header" },
  outHeader: { c: "fuse_out_header" },
  entryOut: { c: "fuse_entry_out" },
  attrOut: { c: "fuse_attr_out" },
  statxIn: { c: "fuse_statx_in" },
  statx: { c: "fuse_statx" },
  statxOut: { c: "fuse_statx_out" },
  openOut: { c: "fuse_open_out" },
  createOut: { c: "create_out" },
  forgetIn: { c: "fuse_forget_in" },
  batchForgetIn: { c: "fuse_batch_forget_in" },
  forgetOne: { c: "fuse_forget_one" },
  getattrIn: { c: "fuse_getattr_in" },
  setattrIn: { c: "fuse_setattr_in" },
  mknodIn: { c: "fuse_mknod_in" },
  mkdirIn: { c: "fuse_mkdir_in" },
  renameIn: { c: "fuse_rename_in" },
  rename2In: { c: "fuse_rename2_in" },
  linkIn: { c: "fuse_link_in" },
  openIn: { c: "fuse_open_in" },
  createIn: { c: "fuse_create_in" },
  releaseIn: { c: "fuse_release_in" },
  flushIn: { c: "fuse_flush_in" },
  readIn: { c: "fuse_read_in" },
  writeIn: { c: "fuse_write_in" },
  writeOut: { c: "fuse_write_out" },
  statfsOut: { c: "fuse_statfs_out", within: "st." },
  fsyncIn: { c: "fuse_fsync_in" },
  setxattrIn: { c: "fuse_setxattr_in" },
  setxattrInCompat: { c: "setxattr_in_compat" },
  getxattrIn: { c: "fuse_getxattr_in" },
  listxattrIn: { c: "fuse_getxattr_in" },
  getxattrOut: { c: "fuse_getxattr_out" },
  accessIn: { c: "fuse_access_in" },
  interruptIn: { c: "fuse_interrupt_in" },
  fallocateIn: { c: "fuse_fallocate_in" },
  ioctlIn: { c: "fuse_ioctl_in" },
  ioctlOut: { c: "fuse_ioctl_out" },
  lseekIn: { c: "fuse_lseek_in" },
  lseekOut: { c: "fuse_lseek_out" },
  copyFileRangeIn: { c: "fuse_copy_file_range_in" },
  syncfsIn: { c: "fuse_syncfs_in" },
  initIn: { c: "init_in_start" },
  initInExtended: { c: "init_in_rest" },
  initOut: { c: "fuse_init_out" },
  dirent: { c: "fuse_dirent" },
  notifyStoreOut: { c: "fuse_notify_store_out" },
  notifyInvalInodeOut: { c: "fuse_notify_inval_inode_out" },
  notifyInvalEntryOut: { c: "fuse_notify_inval_entry_out" },
  notifyDeleteOut: { c: "fuse_notify_delete_out" },
  backingMap: { c: "fuse_backing_map" },
};

/** Messages without a single struct in the header: two replies in one, and structs that the kernel sends in part. */
const PRELUDE = `
#include <linux/fuse.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
struct create_out { struct fuse_entry_out entry; struct fuse_open_out open; };
struct setxattr_in_compat { uint32_t size, flags; };
_Static_assert(sizeof(struct setxattr_in_compat) == FUSE_COMPAT_SETXATTR_IN_SIZE, "setxattr_in_compat");
_Static_assert(offsetof(struct setxattr_in_compat, flags) == offsetof(struct fuse_setxattr_in, flags), "flags");
struct init_in_start { uint32_t major, minor, max_readahead, flags; };
struct init_in_rest { uint32_t flags2; uint32_t unused[11]; };
_Static_assert(offsetof(struct fuse_init_in, flags) == offsetof(struct init_in_start, flags), "init_in.flags");
_Static_assert(offsetof(struct fuse_init_in, flags2) == sizeof(struct init_in_start), "init_in.flags2");
_Static_assert(sizeof(struct fuse_init_in) == sizeof(struct init_in_start) + sizeof(struct init_in_rest), "init_in");
`;

/** The minor version of the protocol that introduced a name, for headers that may be older. */
const BROUGHT_BY: Readonly<Record<string, number>> = {
  FUSE_DIRECT_IO_ALLOW_MMAP: 39,
  FUSE_STATX: 39,
  ...since(39, "fuse_statx_in", abi.statxIn),
  ...since(39, "fuse_statx", abi.statx),
  ...since(39, "fuse_statx_out", abi.statxOut),
  FUSE_PASSTHROUGH: 40,
  FUSE_REQUEST_TIMEOUT: 43,
  FOPEN_PASSTHROUGH: 40,
  FUSE_DEV_IOC_BACKING_OPEN: 40,
  FUSE_DEV_IOC_BACKING_CLOSE: 40,
  "fuse_backing_map.fd": 40,
  "fuse_backing_map.flags": 40,
  "fuse_backing_map.padding": 40,
  fuse_backing_map: 40,
  "fuse_open_out.backing_id": 40,
  "create_out.open.backing_id": 40,
  "fuse_init_out.max_stack_depth": 40,
  "fuse_init_out.request_timeout": 43,
  // It became smaller when the two above were taken from it.
  "fuse_init_out.unused": 43,
  FUSE_COPY_FILE_RANGE_64: 45,
};

/** A struct and all its fields. */
function since(minor: number, c: string, struct: Struct<unknown>): Record<string, number> {
  return Object.fromEntries(
    [c, ...[...struct.offsets.keys()].map((key) => `${c}.${key}`)].map((name) => [name, minor]),
  );
}

/** The second flags of INIT: the header counts their bits from 32 on. */
const FLAGS2 = ["FUSE_PASSTHROUGH", "FUSE_REQUEST_TIMEOUT", "FUSE_DIRECT_IO_ALLOW_MMAP"];

/** Names that the kernel does not have. */
const OURS = ["OLDEST_MINOR_VERSION", "attrSize", "FUSE_KERNEL_MINOR_VERSION"];

const exported: Readonly<Record<string, unknown>> = { ...abi };
const constants = Object.entries(exported).filter(
  (entry): entry is [string, number] => typeof entry[1] === "number" && !OURS.includes(entry[0]),
);
const opcodes = Object.entries(OPS).map(([op, { opcode }]): [string, number] => [opcodeName(op), opcode]);
const structs = Object.entries(exported).filter((entry): entry is [string, Struct<unknown>] => isStruct(entry[1]));

function isStruct(value: unknown): boolean {
  return typeof value === "object" && value !== null && "offsets" in value;
}

/** "copyFileRange64" → "FUSE_COPY_FILE_RANGE_64"; digits that belong to the word stay with it ("rename2"). */
function opcodeName(op: string): string {
  return `FUSE_${op.replace(/([A-Z]|64)/g, "_$1").toUpperCase()}`;
}

/** The decoded fields of a buffer: every number, those of nested structs with a dot in their name. */
function decoded(struct: Struct<unknown>, buffer: Buffer): Map<string, bigint> {
  const found = new Map<string, bigint>();
  const visit = (value: object, path: string) => {
    for (const [key, inner] of Object.entries(value)) {
      if (typeof inner === "number" || typeof inner === "bigint") found.set(path + key, BigInt(inner));
      else if (typeof inner === "object" && !ArrayBuffer.isView(inner)) visit(inner, `${path}${key}.`);
    }
  };
  visit(struct.decode(buffer, wordsOf(buffer), 0, buffer.length) as object, "");
  return found;
}

/** Fields that are only skipped. */
function padding(struct: Struct<unknown>): string[] {
  return [...struct.offsets.keys()].filter((key) => struct.fields[key]?.decode("0", 0) === "undefined");
}

/** All fields of a fixed size. */
function leaves(struct: Struct<unknown>): string[] {
  return [...decoded(struct, Buffer.alloc(4096)).keys(), ...padding(struct)];
}

const said = new Map<string, readonly number[]>();
let headerMinor = 0;
let directory = "";

/** Compiles and runs; each line of output is a name and numbers. */
function ask(body: string): void {
  const source = join(directory, "ask.c");
  const program = join(directory, "ask");
  writeFileSync(source, `${PRELUDE}\nint main(void) {\n${body}\nreturn 0; }\n`);
  const compiled = Bun.spawnSync(["gcc", "-w", "-o", program, source], { stderr: "pipe" });
  if (!compiled.success) throw new Error(`gcc: ${compiled.stderr}`);
  const output = Bun.spawnSync([program]).stdout.toString();
  for (const line of output.trim().split("\n")) {
    const [name = "", ...numbers] = line.split(" ");
    said.set(name, numbers.map(Number));
  }
}

function tooNew(name: string): boolean {
  return (BROUGHT_BY[name] ?? 0) > headerMinor;
}

beforeAll(() => {
  if (lacking !== undefined) return;
  directory = mkdtempSync(join(tmpdir(), "llmfs-abi-"));
  ask('printf("minor %d\\n", FUSE_KERNEL_MINOR_VERSION);');
  headerMinor = said.get("minor")?.[0] ?? 0;
  const lines: string[] = [];
  for (const [name] of [...constants, ...opcodes]) {
    if (!tooNew(name)) lines.push(`printf("${name} %llu\\n", (unsigned long long)(${name}));`);
  }
  for (const [name, struct] of structs) {
    const { c, within = "" } = STRUCTS[name] ?? { c: name };
    if (tooNew(c)) continue;
    lines.push(`printf("${c} %zu\\n", sizeof(struct ${c}));`);
    for (const leaf of leaves(struct)) {
      const full = `${c}.${leaf}`;
      if (tooNew(full)) continue;
      const at = `${within}${leaf}`;
      lines.push(`printf("${full} %zu %zu\\n", offsetof(struct ${c}, ${at}), sizeof(((struct ${c} *)0)->${at}));`);
    }
  }
  ask(lines.join("\n"));
  const skipped = Object.keys(BROUGHT_BY).filter(tooNew);
  if (skipped.length > 0) {
    console.warn(`<linux/fuse.h> is 7.${headerMinor}, too old for: ${skipped.join(", ")}; these are NOT compared`);
  }
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("every struct in abi.ts is compared with its C struct", () => {
  expect(structs.map(([name]) => name).sort()).toEqual(Object.keys(STRUCTS).sort());
});

test("no name is marked as newer than the protocol version that llmfs supports", () => {
  for (const minor of Object.values(BROUGHT_BY)) expect(minor).toBeLessThanOrEqual(abi.FUSE_KERNEL_MINOR_VERSION);
});

describe("a struct", () => {
  for (const [name, struct] of structs) {
    const { c } = STRUCTS[name] ?? { c: name };

    test(`struct ${name} has the size of the C struct ${c}`, () => {
      if (tooNew(c)) return;
      expect(struct.size).toBe(said.get(c)?.[0] ?? -1);
    });

    test(`struct ${name} has every field where the C struct ${c} has it`, () => {
      if (tooNew(c)) return;
      for (const leaf of leaves(struct)) {
        const full = `${c}.${leaf}`;
        if (tooNew(full)) continue;
        const [offset = -1, size = 0] = said.get(full) ?? [];
        if (padding(struct).includes(leaf)) {
          expect({ [full]: struct.offsets.get(leaf) }).toEqual({ [full]: offset });
          continue;
        }
        // Only this field is not zero, and it fills its place.
        const value = { 2: 0x0102n, 4: 0x01020304n, 8: 0x0001020304050607n }[size] ?? 0n;
        const buffer = Buffer.alloc(4096);
        buffer.writeBigUInt64LE(value, offset);
        const set = [...decoded(struct, buffer)].filter(([, found]) => found !== 0n);
        expect({ [full]: set }).toEqual({ [full]: [[leaf, value]] });
      }
    });
  }
});

test("every constant has the header's value", () => {
  const ours = new Map(constants.filter(([name]) => !tooNew(name)));
  const theirs = new Map(
    [...ours.keys()].map((name) => {
      const value = said.get(name)?.[0] ?? -1;
      return [name, FLAGS2.includes(name) ? value / 2 ** 32 : value];
    }),
  );
  expect(ours).toEqual(theirs);
});

test("every operation has the header's opcode", () => {
  const ours = opcodes.filter(([name]) => !tooNew(name));
  expect(ours).toEqual(ours.map(([name]) => [name, said.get(name)?.[0] ?? -1]));
});

test("the attributes alone have the size of struct fuse_attr", () => {
  ask('printf("fuse_attr %zu\\n", sizeof(struct fuse_attr));');
  expect(abi.attrSize).toBe(said.get("fuse_attr")?.[0] ?? -1);
});
