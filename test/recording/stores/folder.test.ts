import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChatRequest } from "../../../src/llm/llm.ts";
import { requestKey } from "../../../src/recording/key.ts";
import { encodeRecording, readAnswerTo, readRecording, writeRecording } from "../../../src/recording/record.ts";
import { createRecordedModel } from "../../../src/recording/recorded-model.ts";
import type { Recording, RecordingStore } from "../../../src/recording/recording.ts";
import { createFolderStore, fileName } from "../../../src/recording/stores/folder.ts";
import { FolderIndex } from "../../../src/recording/stores/folder-index.ts";
import { requestHeads } from "../../../src/text/shared-heads.ts";
import { likeRequests } from "../../support/like-requests.ts";
import { scriptedModel } from "../../support/scripted-model.ts";
import { faultsIn, pruneTo } from "../../support/store-contract.ts";

const REQUEST: ChatRequest = {
  model: "m",
  messages: [
    { role: "system", content: "Write.\n\nanswer\n| quoted\n" },
    { role: "user", content: "" },
    { role: "assistant", content: "\r\nx\u0000y" },
    { role: "user", content: "The tree:\n\n```\na — é ✓\n```" },
  ],
  temperature: 0.2,
  maxTokens: 900,
  schema: { name: "s", schema: { type: "object" } },
};

function recording(text: string, label = "/tides/predict.py", request = REQUEST): Recording {
  const answer = { text, model: "m-2026", usage: { inputTokens: 812, outputTokens: 344 } };
  return { key: requestKey(request), label, request, answer };
}

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-recordings-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("a recording as text", () => {
  test("a recording survives a round trip with any text", () => {
    for (const text of ["x", "no newline at the end", "\n\nanswer\nx\n", "| a\n\r\n\n", "\u0000\u0001", "ü 🌊\n"]) {
      for (const label of ["/a b", "", "structure", "/new\nline", '"quoted"', " spaced "]) {
        const one = recording(text, label);
        expect(readRecording(writeRecording(one))).toEqual(one);
        expect(readAnswerTo(one, writeRecording(one))).toEqual(one);
        expect(encodeRecording(one).toString()).toBe(writeRecording(one));
      }
    }
    const bare: Recording = {
      ...recording("x"),
      request: { model: "m", messages: [] },
      answer: { text: "x", model: "m" },
    };
    const keyed = { ...bare, key: requestKey(bare.request) };
    expect(readRecording(writeRecording(keyed))).toEqual(keyed);
  });

  test("a recording survives a round trip after others with the same prefix", () => {
    const all = likeRequests().map((request) => recording("x\n", "/f", request));
    for (const one of all) {
      const text = writeRecording(one);
      expect(readAnswerTo(one, text)).toEqual(one);
      const marked = (one.request.messages[1]?.content ?? "")
        .split("\n")
        .map((line) => (line === "" ? "|" : `| ${line}`));
      expect(text).toContain(`\n\nuser\n${marked.join("\n")}\n\nanswer\nx\n`);
    }
    for (const one of all) expect(readRecording(writeRecording(one))).toEqual(one);
  });

  test("a recording is readable: a header, the quoted request, and the content unchanged to the end", () => {
    const request: ChatRequest = { model: "m", messages: [{ role: "user", content: "Write\n\na.c" }] };
    const text = writeRecording(recording("int x;\n\nint y;\n", "/a.c", request));
    expect(text).toBe(
      [
        "llmfs recording 1",
        `key: ${requestKey(request)}`,
        "for: /a.c",
        "model: m",
        "answered by: m-2026",
        "tokens: 812 in, 344 out",
        `answer: ${new Bun.CryptoHasher("sha256").update("int x;\n\nint y;\n").digest("hex")}`,
        "",
        "user",
        "| Write",
        "|",
        "| a.c",
        "",
        "answer",
        "int x;",
        "",
        "int y;",
        "",
      ].join("\n"),
    );
  });

  test("a recording that was truncated, changed or merged badly is refused, with the reason", () => {
    const good = writeRecording(recording("hello\n"));
    const bad: [string, RegExp][] = [
      ["", /does not begin/],
      ["<<<<<<< HEAD\n", /does not begin/],
      [good.slice(0, 200), /truncated/],
      [good.slice(0, -1), /answer was changed/],
      [`${good}more\n`, /answer was changed/],
      [good.replace("| Write.", "| Wrote."), /request was changed/],
      [good.replace("model: m\n", "model: n\n"), /request was changed/],
      [good.replace("| The tree", "The tree"), /does not begin with/],
      [good.replace("for: ", "fore: "), /"for" is missing/],
      [good.replace("812 in", "many in"), /"tokens"/],
      [good.replace('"temperature"', '"colour"'), /does not support/],
      [good.replace('{"maxTokens', '{{"maxTokens'), /JSON/],
    ];
    for (const [text, message] of bad) {
      expect(() => readRecording(text)).toThrow(message);
      expect(() => readAnswerTo(recording("hello\n"), text)).toThrow(message);
    }
  });

  test("a text that holds the recording of another request is read as that recording", () => {
    const other = recording("hello\n", "/other", { ...REQUEST, model: "n" });
    expect(readAnswerTo(recording("hello\n"), writeRecording(other))).toEqual(other);
    const longer = recording("x", "/x", {
      ...REQUEST,
      messages: [...REQUEST.messages, { role: "user", content: "y" }],
    });
    expect(readAnswerTo(recording("x"), writeRecording(longer))).toEqual(longer);
    expect(readAnswerTo(longer, writeRecording(recording("x")))).toEqual(recording("x"));
  });
});

test("a declared beginning of a message changes neither the key nor the recording", () => {
  for (const head of [`${"line ü\n\n".repeat(500)}end`, "no line ends".repeat(500), "\n".repeat(4000)]) {
    const rest = "\n\nWrite\n\n\na.c";
    const plain = { role: "user" as const, content: head + rest };
    const declared = { ...plain };
    declared.content = requestHeads.declare(declared, { text: head }, rest);
    const [one, other] = [plain, declared].map((message) =>
      recording("int x;\n", "/a.c", { model: "m", messages: [message] }),
    );
    if (one === undefined || other === undefined) throw new Error("two recordings");
    expect(other.key).toBe(one.key);
    expect(encodeRecording(other).toString()).toBe(writeRecording(one));
    expect(readAnswerTo(other, writeRecording(one))).toEqual(one);
  }
});

describe("a recording changed by another program", () => {
  const lines = "Write\n\n\na.c\n";
  const one = recording("int x;\n", "/a.c", { model: "m", messages: [{ role: "user", content: lines }] });

  test("a recording whose trailing blanks were stripped is still valid", () => {
    const text = writeRecording(one);
    expect(text).not.toMatch(/ $/m);
    expect(readAnswerTo(one, text)).toEqual(one);
  });

  test("a recording is still valid after blanks were added to its empty lines", () => {
    expect(readAnswerTo(one, writeRecording(one).replace(/^\|$/gm, "| "))).toEqual(one);
  });

  test("a recording with converted line endings is refused with that reason", () => {
    expect(() => readRecording(writeRecording(one).replaceAll("\n", "\r\n"))).toThrow("CR LF");
  });

  test("a damaged recording is reported when it would be needed", async () => {
    const store = createFolderStore(folder);
    await store.put(one);
    const path = join(folder, fileName(one.label, one.key));
    writeFileSync(path, readFileSync(path, "utf8").slice(0, -3));
    expect(store.unusable?.(one.key)).toBeUndefined();
    expect(await store.get(one.key, one.label)).toBeUndefined();
    expect(store.unusable?.(one.key)).toEqual({ name: path, reason: "its answer was changed or truncated" });
    await store.put(one);
    expect(store.unusable?.(one.key)).toBeUndefined();
  });
});

test("a recording of another version of llmfs is neither used nor removed", async () => {
  const store = createFolderStore(folder);
  const one = recording("hello\n");
  const path = join(folder, fileName(one.label, one.key));
  writeFileSync(path, writeRecording(one).replace("recording 1", "recording 2"));
  expect(await faultsIn(store)).toEqual([
    { name: path, reason: expect.stringContaining("it has format 2, written by another version"), foreign: true },
  ]);
  expect(await pruneTo(store, [])).toEqual([]);
  expect(readdirSync(folder)).toHaveLength(1);
});

test("a fifo among the recordings does not block", async () => {
  const path = join(folder, fileName("/a", "0".repeat(64)));
  Bun.spawnSync(["mkfifo", path]);
  const store = createFolderStore(folder);
  expect(await store.get("0".repeat(64), "/a")).toBeUndefined();
  expect(await faultsIn(store)).toHaveLength(1);
});

test("a file that is not regular, or too long to be a recording, is not used and not read to its end", async () => {
  const warnings: string[] = [];
  const store = createFolderStore(folder, { warn: (line) => warnings.push(line) });
  const place = (key: string) => join(folder, fileName("/a", key));
  const [device, huge] = ["1".repeat(64), "2".repeat(64)];
  symlinkSync("/dev/zero", place(device));
  writeFileSync(place(huge), "");
  // A hole, which takes no space on the disk.
  truncateSync(place(huge), 300 * 1024 * 1024);
  expect([await store.get(device, "/a"), await store.get(huge, "/a")]).toEqual([undefined, undefined]);
  expect(warnings).toEqual([
    expect.stringContaining("it is not a regular file"),
    expect.stringContaining("it is longer than 256 MiB"),
  ]);
  expect(await store.list()).toEqual([]);
});

test("the recordings nearest to a label are its own, otherwise those of similar files", async () => {
  const store = createFolderStore(folder);
  const at = (label: string, model: string) => recording("x", label, { ...REQUEST, model });
  const other = at("/old/b.md", "m3");
  for (const one of [at("/docs/a.md", "m1"), at("/docs/a.md", "m2"), other]) await store.put(one);
  const near = (await store.near?.("/docs/a.md")) ?? [];
  expect(near.map(({ request }) => request.model).sort()).toEqual(["m1", "m2"]);
  expect((await store.near?.("/docs/b.md"))?.[0]).toEqual(other);
});

describe("claims in a folder", () => {
  const [one, two] = ["1".repeat(64), "2".repeat(64)];

  test("each claim is for one key, and leaves nothing behind when the last one is released", async () => {
    const [a, b] = [createFolderStore(folder), createFolderStore(folder)];
    const [first, second] = [await a.claim?.(one), await b.claim?.(two)];
    expect([await b.claim?.(one), await a.claim?.(two), await a.claim?.(one)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    await first?.[Symbol.asyncDispose]();
    expect(await b.claim?.(one)).toBeDefined();
    expect(readdirSync(folder)).toEqual([".claims"]);
    await second?.[Symbol.asyncDispose]();
  });

  test("a claim holds even if its file is removed after it was opened", async () => {
    const [a, b, c] = [createFolderStore(folder), createFolderStore(folder), createFolderStore(folder)];
    const first = await a.claim?.(one);
    expect(await b.claim?.(one)).toBeUndefined();
    await first?.[Symbol.asyncDispose]();
    expect(readdirSync(folder)).toEqual([]);
    const second = await b.claim?.(one);
    expect(second).toBeDefined();
    expect(await c.claim?.(one)).toBeUndefined();
    await second?.[Symbol.asyncDispose]();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a claim names its holder", async () => {
    const [a, b] = [
      createFolderStore(folder, { who: () => "a\u001b[31m mount" }),
      createFolderStore(folder, { who: () => "b" }),
    ];
    expect(await b.holder?.(one)).toBeUndefined();
    const [first, second] = [await a.claim?.(one), await b.claim?.(two)];
    expect([await b.holder?.(one), await a.holder?.(two)]).toEqual(["a\\u001b[31m mount", "b"]);
    await first?.[Symbol.asyncDispose]();
    expect(await b.holder?.(one)).toBeUndefined();
    expect(await a.holder?.(two)).toBe("b");
    await second?.[Symbol.asyncDispose]();
    expect(await createFolderStore(folder).holder?.(one)).toBeUndefined();
  });

  test("claims leave nothing behind after others waited for them", async () => {
    const [a, b] = [createFolderStore(folder), createFolderStore(folder)];
    const first = await a.claim?.(one);
    for (let index = 0; index < 5; index++) expect(await b.claim?.(one)).toBeUndefined();
    await first?.[Symbol.asyncDispose]();
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each([
    [0o700, 0o600],
    [0o755, 0o600],
    [0o775, 0o660],
    [0o777, 0o666],
  ])(
    "in a folder of mode %o a claim file has mode %o, so that strangers cannot hold it forever",
    async (mode, expected) => {
      chmodSync(folder, mode);
      // As an earlier version wrote it.
      for (const before of [undefined, 0o666, 0o600]) {
        if (before !== undefined) writeFileSync(join(folder, ".claims"), "");
        if (before !== undefined) chmodSync(join(folder, ".claims"), before);
        const claim = await createFolderStore(folder).claim?.(one);
        expect(statSync(join(folder, ".claims")).mode & 0o777).toBe(expected);
        await claim?.[Symbol.asyncDispose]();
      }
    },
  );

  test("a claim is not created through a symlink, nor in something that is not a file", async () => {
    const outside = join(folder, "outside");
    writeFileSync(outside, "untouched");
    symlinkSync(outside, join(folder, ".claims"));
    await expect(createFolderStore(folder).claim?.(one)).rejects.toThrow("ELOOP");
    rmSync(join(folder, ".claims"));
    Bun.spawnSync(["mkfifo", join(folder, ".claims")]);
    await expect(createFolderStore(folder).claim?.(one)).rejects.toThrow("is not a regular file");
    expect(readFileSync(outside, "utf8")).toBe("untouched");
  });

  test("an unwritable folder reports an error for a claim", async () => {
    const path = join(folder, "taken");
    writeFileSync(path, "");
    await expect(createFolderStore(path).claim?.(one)).rejects.toThrow(path);
  });
});

test("recordings that this process wrote are known without reading the folder again", async () => {
  let listed = 0;
  const write = (file: string) => writeFileSync(join(folder, file), "");
  for (const file of ["a.1.txt", "b.2.txt", "other"]) write(file);
  let now = 0;
  const list = async () => {
    listed += 1;
    return readdirSync(folder);
  };
  const names = new FolderIndex(folder, /\.(\d)\.txt$/, { list, now: () => now });
  expect(await names.listWithEnd("1")).toEqual(["a.1.txt"]);
  for (let index = 0; index < 100; index++) {
    write(`${index}.3.txt`);
    names.add(`${index}.3.txt`);
    expect(await names.listWithEnd("3")).toHaveLength(index + 1);
  }
  names.remove("5.3.txt");
  expect(await names.listWithEnd("3")).toHaveLength(99);
  // The first one may be read twice, because its folder has only just been created.
  expect(listed).toBeLessThanOrEqual(2);
  // Files added by other processes show up after a pause.
  write("c.4.txt");
  expect(await names.listWithEnd("4")).toEqual([]);
  now += 60;
  expect(await names.listWithEnd("4")).toEqual(["c.4.txt"]);
});

describe("a folder of recordings", () => {
  test("the folder is created with the first recording, which can be read back", async () => {
    const store = createFolderStore(join(folder, "a/b"));
    const one = recording("hello\n");
    expect(await store.get(one.key, one.label)).toBeUndefined();
    expect(await store.list()).toEqual([]);
    await store.put(one);
    expect(readdirSync(join(folder, "a/b"))).toEqual([`tides+predict.py.${one.key.slice(0, 16)}.txt`]);
    expect(await store.get(one.key, one.label)).toEqual(one);
    expect(await store.get(one.key, "another label")).toEqual(one);
    expect(await store.get(one.key)).toEqual(one);
  });

  test("recordings are sorted by label", async () => {
    const store = createFolderStore(folder);
    for (const label of ["/b", "structure", "/a/c", "/a"]) {
      await store.put(recording(label, label, { ...REQUEST, model: label }));
    }
    const labels = (await store.list()).map(({ label }) => label);
    expect(labels).toEqual(["/a", "/a/c", "/b", "structure"]);
  });

  test("a recording is not written a second time if the bytes are the same", async () => {
    const store = createFolderStore(folder);
    await store.put(recording("hello\n"));
    const [file = ""] = readdirSync(folder);
    const before = statSync(join(folder, file), { bigint: true });
    await store.put(recording("hello\n"));
    const after = statSync(join(folder, file), { bigint: true });
    expect([after.ino, after.mtimeNs]).toEqual([before.ino, before.mtimeNs]);
    await store.put(recording("bye\n"));
    expect((await store.get(recording("").key))?.answer.text).toBe("bye\n");
    expect(readdirSync(folder)).toHaveLength(1);
  });

  test("writes are atomic: a reader never sees half a recording, and nothing is left over", async () => {
    const store = createFolderStore(folder);
    const texts = ["a", "b", "c"].map((letter) => letter.repeat(300_000));
    const seen = new Set<string | undefined>();
    const warnings: string[] = [];
    const reader = createFolderStore(folder, { warn: (line) => warnings.push(line) });
    await Promise.all([
      ...texts.map((text) => store.put(recording(text))),
      ...Array.from({ length: 30 }, async () => seen.add((await reader.get(recording("").key))?.answer.text)),
    ]);
    for (const text of seen) expect([undefined, ...texts]).toContain(text);
    expect(warnings).toEqual([]);
    expect(readdirSync(folder)).toHaveLength(1);
  });

  test("a corrupt recording is reported once and never used", async () => {
    const warnings: string[] = [];
    const store = createFolderStore(folder, { warn: (line) => warnings.push(line) });
    const one = recording("hello\n");
    await store.put(one);
    const path = join(folder, fileName(one.label, one.key));
    writeFileSync(path, readFileSync(path, "utf8").slice(0, -3));
    expect(await store.get(one.key, one.label)).toBeUndefined();
    expect(await store.get(one.key, one.label)).toBeUndefined();
    expect(await store.list()).toEqual([]);
    expect(warnings).toEqual([`the recording ${path} is not used: its answer was changed or truncated`]);
    expect(await faultsIn(store)).toEqual([{ name: path, reason: "its answer was changed or truncated" }]);
    await store.put(one);
    expect(await store.get(one.key, one.label)).toEqual(one);
  });

  test("a recording under the name of another key, or with invalid UTF-8, is refused", async () => {
    const store = createFolderStore(folder);
    const one = recording("hello\n");
    const other = "f".repeat(64);
    writeFileSync(join(folder, fileName("/x", other)), writeRecording(one));
    writeFileSync(join(folder, fileName("/y", one.key)), Uint8Array.of(0xff, 0xfe));
    expect(await store.get(other)).toBeUndefined();
    expect(await store.get(one.key)).toBeUndefined();
    expect((await faultsIn(store)).map(({ reason }) => reason)).toEqual([
      "its name does not match its key",
      expect.stringContaining("utf-8"),
    ]);
  });

  test("readers see recordings under another label right after they are written or removed", async () => {
    const [reader, writer] = [createFolderStore(folder), createFolderStore(folder)];
    for (let index = 0; index < 40; index++) {
      const one = recording("hello\n", `/file${index}`, { ...REQUEST, model: `m${index}` });
      expect(await reader.get(one.key, "/elsewhere")).toBeUndefined();
      await writer.put(one);
      expect(await reader.get(one.key, "/elsewhere")).toEqual(one);
      if (index % 2 === 0) await writer.remove?.(one.key);
      expect(await reader.get(one.key, "/elsewhere")).toEqual(index % 2 === 0 ? undefined : one);
    }
  });

  test("a recording that is moved to another label is kept under that label only", async () => {
    const store = createFolderStore(folder);
    await createFolderStore(folder).put(recording("hello\n", "/old"));
    await store.put(recording("hello\n", "/new"));
    await store.put(recording("hello\n", "/newest"));
    expect(readdirSync(folder)).toEqual([fileName("/newest", recording("").key)]);
    await store.remove?.(recording("").key);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("other files in the folder are left alone", async () => {
    writeFileSync(join(folder, "README.md"), "ours");
    const store = createFolderStore(folder);
    await store.put(recording("x"));
    await store.remove?.(recording("x").key);
    expect(readdirSync(folder)).toEqual(["README.md"]);
    expect(await faultsIn(store)).toEqual([]);
  });

  test("what a dead writer left behind is reported, but not a file being written", async () => {
    const old = join(folder, ".123-abc.tmp");
    writeFileSync(old, "x");
    writeFileSync(join(folder, ".124-abd.tmp"), "x");
    utimesSync(old, 0, 0);
    const store = createFolderStore(folder);
    const faults = await faultsIn(store);
    expect(faults.map(({ name }) => name)).toEqual([old]);
    await store.discard?.(old);
    expect(readdirSync(folder)).toEqual([".124-abd.tmp"]);
  });

  test("the next write removes what a dead writer left behind, but not a file being written", async () => {
    const old = join(folder, ".123-abc.tmp");
    writeFileSync(old, "x");
    writeFileSync(join(folder, ".124-abd.tmp"), "x");
    utimesSync(old, 0, 0);
    await createFolderStore(folder).put(recording("x"));
    expect(readdirSync(folder).sort()).toEqual([".124-abd.tmp", fileName("/tides/predict.py", recording("").key)]);
  });

  test("the folder and its files are private with any umask", async () => {
    const path = join(folder, "a", "b");
    const umask = process.umask(0);
    try {
      await createFolderStore(path).put(recording("x"));
    } finally {
      process.umask(umask);
    }
    const modes = [join(folder, "a"), path, join(path, readdirSync(path)[0] ?? "")];
    expect(modes.map((one) => statSync(one).mode & 0o777)).toEqual([0o700, 0o700, 0o600]);
  });

  test("new recordings are readable for users who may write, and a replaced one keeps its mode", async () => {
    const umask = process.umask(0o022);
    try {
      for (const [mode, expected] of [
        [0o755, 0o600],
        [0o775, 0o640],
        [0o777, 0o644],
      ] as const) {
        chmodSync(folder, mode);
        const store = createFolderStore(folder);
        await store.put(recording("x"));
        const file = join(folder, fileName("/tides/predict.py", recording("").key));
        expect(statSync(file).mode & 0o777).toBe(expected);
        chmodSync(file, 0o604);
        await store.put(recording("y"));
        expect([statSync(file).mode & 0o777, readFileSync(file, "utf8").includes("y")]).toEqual([0o604, true]);
        await store.remove?.(recording("").key);
      }
    } finally {
      process.umask(umask);
    }
  });

  test("a file in place of the folder is reported", async () => {
    const path = join(folder, "taken");
    writeFileSync(path, "");
    await expect(createFolderStore(path).put(recording("x"))).rejects.toThrow(path);
    await expect(createFolderStore(path).get("0".repeat(64))).rejects.toThrow(path);
  });
});

test("file names are safe for any label", () => {
  const key = "0123456789abcdef".repeat(4);
  expect(fileName("/../../etc/passwd", key)).toBe("_+..+etc+passwd.0123456789abcdef.txt");
  expect(fileName("", key)).toBe("unnamed.0123456789abcdef.txt");
  expect(fileName("/a b\n\0c", key)).toBe("a_b_c.0123456789abcdef.txt");
  expect(Buffer.byteLength(fileName(`/${"日".repeat(300)}`, key))).toBeLessThan(255);
});

test("a new label is looked up only once it is claimed, and an answer that another process adds is still found", async () => {
  const store = createFolderStore(folder);
  const other = createFolderStore(folder);
  let lookups = 0;
  const counted: RecordingStore = {
    ...store,
    get(...asked) {
      lookups += 1;
      return store.get(...asked);
    },
  };
  const model = scriptedModel("own\n");
  const recorded = createRecordedModel(model, counted, { mode: "auto" });
  const ask = (label: string): ChatRequest => ({ model: "m", messages: [{ role: "user", content: label }] });
  const answer = async (label: string) => (await recorded.complete(ask(label), { label })).text;
  // Nothing is known of the folder yet.
  expect(recorded.mayRecall?.("/first")).toBe(true);
  expect(await answer("/first")).toBe("own\n");
  expect([lookups, recorded.mayRecall?.("/second"), recorded.mayRecall?.("/first")]).toEqual([2, false, true]);
  expect(await answer("/second")).toBe("own\n");
  expect(lookups).toBe(3);
  const request = ask("/third");
  await other.put({ key: requestKey(request), label: "/third", request, answer: { text: "theirs\n", model: "m" } });
  expect(recorded.mayRecall?.("/third")).toBe(false);
  expect(await answer("/third")).toBe("theirs\n");
  expect(model.requests).toHaveLength(2);
});
