import { describe, expect, test } from "bun:test";
import { FsError } from "../../src/errno.ts";
import { RegularFile } from "../../src/tree/file.ts";
import { fixedClock } from "../../src/tree/inode.ts";
import { Space } from "../../src/tree/space.ts";
import {
  removeXattr,
  setXattr,
  XATTR_CREATE,
  XATTR_NAME_MAX,
  XATTR_REPLACE,
  XATTR_SIZE_MAX,
  xattrNames,
} from "../../src/tree/xattrs.ts";

const newFile = () => new RegularFile(2, 0o644, { uid: 0, gid: 0 }, fixedClock(0), new Space());
const value = new Uint8Array([0, 255]);

function code(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return "none";
}

describe("an xattr", () => {
  test("an xattr is stored as bytes, and gone when it is removed", () => {
    const file = newFile();
    setXattr(file, "user.a", value);
    expect(file.xattrs?.get("user.a")).toEqual(value);
    removeXattr(file, "user.a");
    expect(file.xattrs?.get("user.a")).toBeUndefined();
    expect(code(() => removeXattr(file, "user.a"))).toBe("ENODATA");
    expect(file.xattrs).toBeUndefined();
  });

  test("an xattr may be empty", () => {
    const file = newFile();
    setXattr(file, "user.a", new Uint8Array(0));
    expect(file.xattrs?.get("user.a")?.length).toBe(0);
  });

  test("an xattr is only created or only replaced on request", () => {
    const file = newFile();
    expect(code(() => setXattr(file, "user.a", value, XATTR_REPLACE))).toBe("ENODATA");
    setXattr(file, "user.a", value, XATTR_CREATE);
    expect(code(() => setXattr(file, "user.a", value, XATTR_CREATE))).toBe("EEXIST");
    setXattr(file, "user.a", new Uint8Array(1), XATTR_REPLACE);
    expect(file.xattrs?.get("user.a")?.length).toBe(1);
  });

  test("an xattr has Linux's limits", () => {
    const file = newFile();
    setXattr(file, "x".repeat(XATTR_NAME_MAX), new Uint8Array(XATTR_SIZE_MAX));
    expect(code(() => setXattr(file, "", value))).toBe("ERANGE");
    expect(code(() => setXattr(file, "x".repeat(XATTR_NAME_MAX + 1), value))).toBe("ERANGE");
    expect(code(() => setXattr(file, "user.a", new Uint8Array(XATTR_SIZE_MAX + 1)))).toBe("E2BIG");
  });

  test("an xattr may have the name of a property of Object.prototype", () => {
    const file = newFile();
    expect(file.xattrs?.get("__proto__")).toBeUndefined();
    setXattr(file, "__proto__", value);
    expect(xattrNames(file)).toEqual(["__proto__"]);
  });
});

test("names are listed in byte order, whatever the order in which they were set", () => {
  const file = newFile();
  for (const name of ["user.b", "user.\xff", "user.B", "user.a"]) setXattr(file, name, value);
  expect(xattrNames(file)).toEqual(["user.B", "user.a", "user.b", "user.\xff"]);
  expect(xattrNames(newFile())).toEqual([]);
});
