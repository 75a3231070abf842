import { describe, expect, test } from "bun:test";
import { SnapshotError, SnapshotPosition } from "../../src/snapshot/error.ts";
import { JsonReader } from "../../src/snapshot/read/json.ts";
import { loadSnapshot, sniff } from "../../src/snapshot/read/load.ts";
import { Space } from "../../src/tree/space.ts";
import { at, load, loadEntries, newTree, Random, randomTree, save, textAt } from "./trees.ts";

/** The error of loading a snapshot. Checks that nothing stays behind in the tree. */
function refusal(text: string | Uint8Array, space = new Space()): string {
  const tree = newTree({ space });
  const before = { pages: space.pages, inodes: space.inodes };
  try {
    loadSnapshot(tree, Buffer.from(text), { name: "tree.json" });
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    tree.checkInvariants();
    expect(tree.root.size).toBe(0);
    expect({ pages: space.pages, inodes: space.inodes }).toEqual(before);
    expect(error.message.length).toBeLessThan(1000);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not reach a terminal.
    expect(error.message).not.toMatch(/[\x00-\x1f\x7f]/);
    return error.message;
  }
  throw new Error(`loaded: ${Buffer.from(text).toString().slice(0, 200)}`);
}

function entries(...values: unknown[]): string {
  return JSON.stringify({ llmfs: 1, entries: values });
}

const file = (path: string, more: object = {}) => ({ path, type: "file", text: "", ...more });

describe("a text that is not a snapshot is refused", () => {
  test.each<[string, string | Uint8Array, string]>([
    ["nothing", "", "tree.json, line 1: the file is empty"],
    ["white space", " \n\n ", "line 3: the text ends too early"],
    ["a number", "1", "the snapshot is a number, not an object"],
    ["an array", "[]", "the snapshot is an array, not an object"],
    ["an empty object", "{}", "is empty"],
    ["no JSON", "hello", 'expected a value, found "h"'],
    [
      "something compressed",
      new Uint8Array([0x1f, 0x8b, 8, 0]),
      "this is an archive or compressed, not JSON; llmfs import",
    ],
    [
      "a tar",
      Buffer.concat([Buffer.from("PaxHeader/a.md".padEnd(257, "\0")), Buffer.from("ustar\x0000")]),
      "this is an archive",
    ],
    ["another program's JSON", '{"name": "x"}', 'is not a snapshot: it begins with the key "name"'],
    ["no version", '{"entries": []}', 'has no version; add "llmfs": 1'],
    [
      "a newer version",
      '{"llmfs": 2, "entries": [], "new": 1}',
      "was written by a newer version of llmfs (format 2; this version reads format 1)",
    ],
    ["a version that is not a number", '{"llmfs": "1"}', 'the version, "llmfs" is a string, not a number'],
    ["a version of one half", '{"llmfs": 0.5}', "not a whole number from 1"],
    ["entries that are an object", '{"llmfs": 1, "entries": {}}', '"entries" is an object, not an array'],
    ["an unknown key", '{"llmfs": 1, "entires": []}', '"entires" is not a key of the snapshot'],
    ["a key that occurs twice", '{"llmfs": 1, "llmfs": 1}', 'the key "llmfs" occurs twice'],
    ["something after the end", '{"llmfs": 1}\n{}', "line 2: expected the end of the file"],
    ["a truncated text", '{"llmfs": 1, "entries": [', "the text ends too early; the file is truncated"],
    ["a truncated string", '{"llmfs": 1, "ent', "the text ends inside a string; the file is truncated"],
    ["a comma too many", '{"llmfs": 1,}', "expected a key in quotes"],
    ["a comma missing", '{"llmfs": 1 "entries": []}', 'expected "," or "}"'],
    ["a line break in a string", '{"llm\nfs": 1}', "a string does not end on its line"],
    ["a control character in a string", '{"llm\x01fs": 1}', "holds the control character 1 unescaped"],
    ["an unknown escape", '{"llmfs\\q": 1}', '"\\q" is not a JSON escape'],
    ["a broken \\u", '{"llmfs\\u12": 1}', "is not a JSON escape"],
    ["a lone surrogate", '{"llmfs\\ud800": 1}', "\\ud800 is a lone surrogate"],
    ["bytes that are not UTF-8", Buffer.from('{"llmfs\xff": 1}', "latin1"), "a key is not valid UTF-8"],
    ["a number with a leading zero", '{"llmfs": 01}', '"01" is not a number'],
    ["a number without end", `{"llmfs": ${"1".repeat(100_000)}}`, "is not a JSON value"],
    ["infinity", '{"llmfs": 1e999}', "not a whole number"],
    ["deep nesting", `{"data": {"/x": ${"[".repeat(100_000)}`, "nesting exceeds 64 levels"],
  ])("%s", (_name, text, message) => {
    expect(refusal(text)).toContain(message);
  });
});

describe("an invalid entry is refused, and the error names it", () => {
  const longName = "x".repeat(10_000_000);
  test.each<[string, unknown, string]>([
    ["a number", 1, "an entry is a number, not an object"],
    ["null", null, "an entry is true, false or null, not an object"],
    ["no path", { type: "file" }, 'an entry has no "path"'],
    ["no type", { path: "/a" }, 'entry "/a": has no "type"; types are directory, file'],
    ["an unknown type", { path: "/a", type: "door" }, 'has the type "door", which does not exist'],
    ["a type of Object's", { path: "/a", type: "constructor" }, 'has the type "constructor"'],
    ["an unknown key", file("/a", { contents: "" }), '"contents" is not a key of an entry'],
    ["the key __proto__", JSON.parse('{"path": "/a", "__proto__": 1}'), '"__proto__" is not a key of an entry'],
    ["a key of another type", { path: "/a", type: "directory", text: "" }, 'a directory cannot have "text"'],
    ["a path that is a number", { path: 1 }, '"path" is a number, not a string'],
    ["a relative path", file("a"), 'the path "a" is not absolute; write "/a"'],
    ["an empty path", file(""), 'the path "" is not absolute'],
    ["a path with ..", file("/a/../b"), 'has a component ".."'],
    ["a path that is ..", file("/.."), 'has a component ".."'],
    ["a path with .", file("/./a"), 'has a component "."'],
    ["a path with //", file("/a//b"), "has an empty component"],
    ["a path with / at the end", file("/a/"), "has an empty component"],
    ["a name of 256 bytes", file(`/${"x".repeat(256)}`), "has a component of 256 bytes; the maximum is 255"],
    ["a name of 10 MB", file(`/${longName}`), '"path" is longer than 4194304 bytes'],
    ["a type of 10 MB", { path: "/a", type: longName }, '"type" is longer than 100 bytes'],
    ["a key of 10 MB", { [longName]: 1 }, "a key is longer than 1048576 bytes"],
    ["a NUL in a name", file("/a\0b"), "contains a NUL byte"],
    ["a NUL in a name, escaped", file("/a\\x00b", { escaped: true }), "contains a NUL byte"],
    ["a slash in a name, escaped", file("/a\\x2f..\\x2fb", { escaped: true }), 'has a component ".."'],
    ["a lone surrogate in a name", file("/\ud800"), "\\ud800 is a lone surrogate"],
    ["a lone surrogate in a name", file("/\udcff"), '"path" contains a lone surrogate; a name that is not UTF-8 needs'],
    ["a wrong escape", file("/a\\y", { escaped: true }), 'has a backslash followed by neither "\\" nor "xNN"'],
    ["escaped that is text", file("/a", { escaped: "yes" }), '"escaped" is a string'],
    ["llmfs's own directory", { path: "/.llmfs", type: "directory" }, "/.llmfs is reserved for llmfs"],
    [
      "a parent that is missing",
      file("/a/b"),
      'its parent "/a" has no entry before it; add an entry for the directory',
    ],
    ["a root that is a file", file("/"), "the root is not a directory"],
    ["a mode that is a number", file("/a", { mode: 420 }), 'write it as "0644"'],
    ["a mode that is not octal", file("/a", { mode: "0899" }), '"mode" is not octal text'],
    ["a mode with a type in it", file("/a", { mode: "100644" }), '"mode" is not octal text'],
    ["a mode too large", file("/a", { mode: "17777" }), '"mode" is not octal text'],
    ["a negative uid", file("/a", { uid: -1 }), '"uid" is -1, not a whole number from 0'],
    ["the uid that means none", file("/a", { uid: 4294967295 }), "not a whole number from 0 to 4294967294"],
    ["a gid that is text", file("/a", { gid: "0" }), '"gid" is a string, not a number'],
    ["a time that is a number", file("/a", { mtime: 1 }), '"mtime" is a number'],
    [
      "a time that is not a number",
      file("/a", { mtime: "noon" }),
      'expected seconds since 1970, as text; such as "1735689600.25"',
    ],
    ["a file without content", { path: "/a", type: "file" }, 'has no content; add "text": "" for an empty file'],
    ["a pending file with content", file("/a", { state: "pending" }), "is pending and has content"],
    ["an unknown state", file("/a", { state: "lost" }), '"state" is "lost"'],
    ["the state generating", { path: "/a", type: "file", state: "generating" }, '"state" is "generating"'],
    ["failed without error", { path: "/a", type: "file", state: "failed" }, '"state": "failed" needs an "error"'],
    ["error without failed", file("/a", { error: { code: "EIO" } }), '"state": "failed" needs an "error"'],
    [
      "an unknown errno",
      { path: "/a", type: "file", state: "failed", error: { code: "toString" } },
      "which is not an errno name",
    ],
    ["text and base64", file("/a", { base64: "" }), 'has both "text" and "base64"'],
    ["text that is a number", { path: "/a", type: "file", text: 1 }, '"text" is a number, not an array'],
    ["text with a lone surrogate", file("/a", { text: "\udc80" }), '"text" contains a lone surrogate'],
    ["base64 that is invalid", { path: "/a", type: "file", base64: "!" }, "a piece is not valid base64"],
    ["base64 without padding", { path: "/a", type: "file", base64: "AAA" }, "a piece is not valid base64"],
    ["a hole of nothing", { path: "/a", type: "file", base64: [{ hole: 0 }] }, '"hole" is 0'],
    ["a hole too large", { path: "/a", type: "file", base64: [{ hole: 1e300 }] }, '"hole" is 1e+300'],
    [
      "holes too large",
      { path: "/a", type: "file", base64: [{ hole: 2 ** 53 - 1 }, { hole: 1 }] },
      "exceeds the maximum file size",
    ],
    ["an empty piece", { path: "/a", type: "file", base64: [{}] }, "a piece of content must be text"],
    ["a symlink without target", { path: "/a", type: "symlink" }, 'a symlink needs a "target"'],
    ["a symlink to nothing", { path: "/a", type: "symlink", target: "" }, 'a symlink needs a "target"'],
    ["a target too long", { path: "/a", type: "symlink", target: "x".repeat(4096) }, "longer than 4095 bytes"],
    ["a target with NUL", { path: "/a", type: "symlink", target: "a\0" }, "its target contains a NUL byte"],
    ["a link to nothing", { path: "/a", type: "link", to: "/b" }, 'is a link to "/b", which has no entry before it'],
    ["a link to itself", { path: "/a", type: "link", to: "/a" }, 'is a link to "/a", which has no entry before it'],
    ["a link to a directory", { path: "/a", type: "link", to: "/" }, 'is a link to "/", which is a directory'],
    ["a link that leaves", { path: "/a", type: "link", to: "/../etc/passwd" }, 'has a component ".."'],
    ["a link with a mode", { path: "/a", type: "link", to: "/b", mode: "0644" }, 'a link cannot have "mode"'],
    ["a device without number", { path: "/a", type: "chardev" }, 'a chardev needs an "rdev"'],
    ["a device number too large", { path: "/a", type: "chardev", rdev: "4096:0" }, 'not major:minor; such as "1:3"'],
    ["a fifo with a number", { path: "/a", type: "fifo", rdev: "1:3" }, 'a fifo cannot have "rdev"'],
    ["xattrs in an array", file("/a", { xattrs: [] }), '"xattrs" is an array'],
    [
      "an xattr in no namespace",
      file("/a", { xattrs: { x: "" } }),
      'in no xattr namespace of Linux; rename it, such as to "user.x"',
    ],
    ["an xattr without name", file("/a", { xattrs: { "user.": "" } }), "in no xattr namespace"],
    ["an xattr name too long", file("/a", { xattrs: { [`user.${"x".repeat(251)}`]: "" } }), "longer than 255 bytes"],
    ["an xattr too long", file("/a", { xattrs: { "user.a": "x".repeat(65537) } }), "is longer than 65536 bytes"],
    ["an xattr that is a number", file("/a", { xattrs: { "user.a": 1 } }), "is a number, not a string"],
    ["xattr base64 that is invalid", file("/a", { xattrs: { "user.a": { base64: "?" } } }), "not valid base64"],
    ["an empty xattr object", file("/a", { xattrs: { "user.a": {} } }), 'must be text or {"base64": …}'],
  ])("%s", (_name, entry, message) => {
    expect(refusal(entries(entry))).toContain(message);
  });
});

describe("entries that contradict each other are refused", () => {
  test.each<[string, unknown[], string]>([
    ["a path that occurs twice", [file("/a"), file("/a")], 'entry "/a": this path occurs twice'],
    ["twice, once escaped", [file("/a"), file("/\\x61", { escaped: true })], 'entry "/a": this path occurs twice'],
    ["a parent that is a file", [file("/a"), file("/a/b")], 'entry "/a/b": its parent "/a" is not a directory'],
    ["a parent that is a symlink", [{ path: "/a", type: "symlink", target: "/" }, file("/a/b")], "is not a directory"],
    ["a parent that comes later", [file("/a/b"), { path: "/a", type: "directory" }], "has no entry before it"],
    ["a root that comes later", [file("/a"), { path: "/", type: "directory" }], "the root is not the first entry"],
    [
      "two roots",
      [
        { path: "/", type: "directory" },
        { path: "/", type: "directory" },
      ],
      "the root is not the first entry",
    ],
    [
      "a cycle of links",
      [
        { path: "/a", type: "link", to: "/b" },
        { path: "/b", type: "link", to: "/a" },
      ],
      "no entry before",
    ],
    ["a link below a file", [file("/a"), { path: "/b", type: "link", to: "/a/x" }], "no entry before it"],
  ])("%s", (_name, list, message) => {
    expect(refusal(entries(...list))).toContain(message);
  });

  test("a key that occurs twice in one entry is refused", () => {
    expect(refusal('{"llmfs": 1, "entries": [\n{"path": "/a",\n"type": "file", "path": "/b"}]}')).toContain(
      'tree.json, line 3: entry "/a": the key "path" occurs twice',
    );
  });

  test("the same key spelt with an escape is refused", () => {
    expect(refusal('{"llmfs": 1, "entries": [{"path": "/a", "p\\u0061th": "/b"}]}')).toContain("occurs twice");
  });
});

describe("a snapshot that does not fit is refused, and nothing stays behind", () => {
  test("content larger than the tree has room for is refused, and nothing stays behind", () => {
    const text = entries(file("/a", { text: "x".repeat(5000) }), file("/b", { text: "x".repeat(5000) }));
    expect(refusal(text, new Space({ bytes: 8192 }))).toContain(
      'entry "/b": does not fit into the filesystem, which has room for 8192 bytes; mount with a larger --size',
    );
  });

  test("large content that reaches the limit in the middle is refused, and nothing stays behind", () => {
    const text = entries({ path: "/a", type: "file", base64: Buffer.alloc(3_000_000).toString("base64") });
    expect(refusal(text, new Space({ bytes: 1 << 20 }))).toContain("does not fit");
  });

  test("more files than the tree has room for are refused, and nothing stays behind", () => {
    const text = entries(...Array.from({ length: 20 }, (_value, index) => file(`/${index}`)));
    expect(refusal(text, new Space({ bytes: 1 << 20, inodes: 10 }))).toContain(
      "does not fit into the filesystem, which has room for 1048576 bytes and 10",
    );
  });

  test("an error late in a large snapshot leaves nothing behind", () => {
    const many = Array.from({ length: 2000 }, (_value, index) => file(`/${index}`, { text: "x".repeat(2000) }));
    expect(refusal(entries(...many, file("/../x")))).toContain('has a component ".."');
  });
});

test("the line in a message is the line of the entry", () => {
  const text = entries(file("/a"), file("/b"), file("//")).replaceAll('{"path"', '\n{"path"');
  expect(refusal(text)).toContain("tree.json, line 4:");
});

test("a file named __proto__ is a file like any other", () => {
  const tree = loadEntries(file("/__proto__", { text: "x", xattrs: JSON.parse('{"user.__proto__": "y"}') }));
  expect(textAt(tree, "/__proto__")).toBe("x");
  expect(at(tree, "/__proto__").xattrs?.has("user.__proto__")).toBe(true);
  expect(at(tree, "/__proto__").mode).toBe(0o100644);
});

test("a byte order mark before the text is skipped", () => {
  expect(textAt(load(`\ufeff${entries(file("/a", { text: "x" }))}`), "/a")).toBe("x");
});

test("a text in which every token crosses the end of a buffer is read correctly", () => {
  const tree = loadEntries(
    ...Array.from({ length: 3000 }, (_v, index) => file(`/${index}`, { text: 'é\n"\\'.repeat(index % 90) })),
  );
  for (const index of [0, 1, 89, 1999, 2999]) expect(textAt(tree, `/${index}`)).toBe('é\n"\\'.repeat(index % 90));
});

test("a string larger than any buffer is read whole", () => {
  const text = 'a long line with é and "quotes" '.repeat(50_000);
  const tree = loadEntries(file("/a", { text }), {
    path: "/b",
    type: "file",
    base64: Buffer.from(text).toString("base64"),
  });
  expect(textAt(tree, "/a")).toBe(text);
  expect(textAt(tree, "/b")).toBe(text);
});

test("an endless name is refused before it is read into memory", () => {
  let given = 0;
  const source = {
    read(target: Uint8Array): number {
      if (given > 1 << 20) throw new Error("still reading");
      target.fill(0x61);
      if (given === 0) target[0] = 0x22;
      given += target.length;
      return target.length;
    },
    close() {},
  };
  expect(() => new JsonReader(source, new SnapshotPosition("x")).readString("the name", 255)).toThrow(
    "the name is longer than 255 bytes",
  );
});

test("sniff tells the formats apart by their first key", () => {
  expect(sniff(Buffer.from(entries()))).toBe("llmfs");
  expect(sniff(Buffer.from('{"entries": [], "llmfs": 1}'))).toBe("llmfs");
  expect(sniff(Buffer.from('{"data": {}}'))).toBe("ancestor");
  expect(sniff(Buffer.from('{"/": {}}'))).toBe("ancestor");
  expect(sniff(Buffer.from('{"files": []}'))).toBe("ancestor");
  expect(() => sniff(Buffer.from("{}"))).toThrow("is an empty object, not a snapshot");
  expect(() => sniff(Buffer.from('{"x": 1}'), "x.json")).toThrow("x.json, line 1: is not a snapshot");
});

test("a randomly damaged snapshot is either loaded or refused", () => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = new Random(seed * 7919);
    const good = Buffer.from(save(randomTree(seed)));
    for (let round = 0; round < 15; round++) {
      const bad = Buffer.from(good);
      for (let changes = 1 + random.below(4); changes > 0; changes--) {
        const where = random.below(bad.length);
        const what = random.pick([
          '"',
          "\\",
          "{",
          "}",
          "[",
          "]",
          ",",
          ":",
          "\n",
          "0",
          "/",
          "..",
          "\\ud800",
          "\xff",
          "\0",
        ]);
        bad.write(what, where, "latin1");
      }
      const cut = random.chance(3) ? bad.subarray(0, random.below(bad.length)) : bad;
      const space = new Space({ bytes: 64 << 20 });
      const tree = newTree({ space });
      try {
        loadSnapshot(tree, cut, { name: "tree.json" });
      } catch (error) {
        if (!(error instanceof SnapshotError)) throw error;
        expect([tree.root.size, space.usedPages, space.inodes]).toEqual([0, 0, 1]);
      }
      tree.checkInvariants();
    }
  }
});

describe("a long string means the same as a short one", () => {
  const snapshotOf = (text: string) => `{"llmfs": 1, "entries": [{"path": "/a", "type": "file", "text": "${text}"}]}`;
  const pieces: readonly (readonly [string, string, string])[] = [
    ["escapes", '\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u0000', '"\\/\b\f\n\r\tA\0'],
    ["characters beyond ASCII, escaped and not", "é\\u00e9日\\ud83d\\ude00😀", "éé日😀😀"],
    ["a byte order mark", "\ufeffa\\ufeff", "\ufeffa\ufeff"],
    ["separators of lines that JavaScript knows", "\u2028\u2029", "\u2028\u2029"],
    ["a name of JavaScript", "__proto__", "__proto__"],
  ];
  test.each(pieces)("with %s", (_, escaped, text) => {
    for (const times of [1, 3, 50]) {
      expect(textAt(load(snapshotOf(escaped.repeat(times))), "/a")).toBe(text.repeat(times));
    }
  });

  test.each([
    ["an escape that JSON does not have", "\\x", '"\\x" is not a JSON escape'],
    ["a control character", "\u0001", "a string holds the control character 1 unescaped"],
    ["a line break", "\n", "a string does not end on its line"],
    ["a lone surrogate", "\\ud800", "\\ud800 is a lone surrogate"],
  ])("with %s it is refused", (_, wrong, reason) => {
    for (const before of ["", "x".repeat(100)]) {
      expect(refusal(snapshotOf(`${before}${wrong}`))).toContain(reason);
    }
  });
});
