import { describe, expect, test } from "bun:test";
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
});
