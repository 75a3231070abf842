import { expect, test } from "bun:test";
import { recordingsOf } from "../../src/app/inspect.ts";
import { readConfig } from "../../src/app/settings/settings.ts";

test("recordings are looked up in the store that the mount reports; the environment adds the password if it names the same store", () => {
  const where = (recordings: string, mounted: string) =>
    recordingsOf(readConfig({}, { HOME: "/home/a", LLMFS_RECORDINGS: recordings }), { recordings: mounted });
  expect(where("redis://:secret@cache/3", "redis://cache/3")).toBe("redis://:secret@cache/3");
  expect(where("redis://:secret@cache/3", "redis://cache/4")).toBe("redis://cache/4");
  expect(where("redis://:secret@other/3", "redis://cache/3")).toBe("redis://cache/3");
  expect(where("/fixtures", "/srv/recordings")).toBe("/srv/recordings");
});
