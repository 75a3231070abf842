import { describe, expect, test } from "bun:test";
import { fstatSync, openSync, renameSync } from "node:fs";
import { FsError, reasonOf } from "../src/errno.ts";

describe("an error that becomes an errno", () => {
  test("an error that becomes an errno names its path once, however many callers pass it on", () => {
    const error = new FsError("EACCES", "permission denied", { path: "/a" });
    expect([error.message, error.reason]).toEqual(["/a: permission denied", "permission denied"]);
    expect(error.at("/a")).toBe(error);
    const around = error.at("/b");
    expect([around.code, around.message, around.cause]).toEqual(["EACCES", "/b: /a: permission denied", error]);
  });

  test("an errno error is made of anything that is thrown: EIO, with the cause", () => {
    const error = new FsError("ENOSPC");
    const bug = new TypeError("no such method");
    expect(FsError.from(error)).toBe(error);
    expect(FsError.from(bug)).toMatchObject({ code: "EIO", message: "no such method", cause: bug });
    expect(FsError.from("text")).toMatchObject({ code: "EIO", message: "text" });
  });

  test("an errno error tells a caller that knows the path only the reason, whether it is local, from another thread, or foreign", () => {
    expect(reasonOf(new FsError("EIO", "broken", { path: "/a" }), "/a")).toBe("broken");
    expect(reasonOf(new FsError("EIO", "/a: broken"), "/a")).toBe("broken");
    expect(reasonOf(new Error("broken"), "/a")).toBe("broken");
    expect(reasonOf(new FsError("EIO", "broken", { path: "/b" }), "/a")).toBe("/b: broken");
  });

  test("the reason of a failed system call names the path only if it is not the one that the caller has named", () => {
    const missing = failureOf(() => openSync("/none/a", "r"));
    expect(reasonOf(missing, "/none/a")).toBe("no such file or directory (ENOENT)");
    expect(reasonOf(missing, "a")).toBe("no such file or directory (ENOENT)");
    expect(reasonOf(missing, "/none/b")).toBe("ENOENT: no such file or directory, open '/none/a'");
    const both = failureOf(() => renameSync("/none/a", "/none/b"));
    expect(reasonOf(both, "/none/a")).toContain("'/none/a' -> '/none/b'");
    expect(
      reasonOf(
        failureOf(() => fstatSync(9999)),
        "/a",
      ),
    ).toBe("bad file descriptor (EBADF)");
  });
});

function failureOf(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}
