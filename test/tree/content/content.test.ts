import { describe, expect, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { MAX_WIDE } from "../../../src/int64.ts";
import * as libc from "../../../src/libc.ts";
import { Content, HEAP_LIMIT } from "../../../src/tree/content/content.ts";
import { heapPages } from "../../../src/tree/content/heap-store.ts";
import { createMemoryFiles, createTmpfsFiles, FdStore, PAGE, type Stores } from "../../../src/tree/content/store.ts";
import { MAX_FILE_SIZE, RegularFile } from "../../../src/tree/file.ts";
import { fixedClock } from "../../../src/tree/inode.ts";
import { Space } from "../../../src/tree/space.ts";
import { Tree } from "../../../src/tree/tree.ts";

/** Where large parts are stored; the last kind needs permission to mount. */
const kinds: [string, (pageLimit: number) => Stores][] = [
  ["memory files", () => createMemoryFiles()],
  ["the heap", () => heapPages],
];
try {
  createTmpfsFiles(16);
  kinds.push(["a tmpfs of its own", createTmpfsFiles]);
} catch (error) {
  if (!(error instanceof FsError)) throw error;
}

function newSpace(stores: (pageLimit: number) => Stores, bytes = Number.POSITIVE_INFINITY): Space {
  return new Space({ bytes, stores: stores(Math.ceil(bytes / PAGE)) });
}

function code(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return "none";
}

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

/** Reproducible pseudo-random numbers. */
function randoms(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % limit;
  };
}

describe.each(kinds)("content with large parts in %s", (_name, stores) => {
  test("the allocation of a store is asked for once, until it changes or is shared", () => {
    const content = new Content(newSpace(stores));
    const store = content.share();
    store.write(0, filled(PAGE, 1));
    content.unshare();
    let asked = 0;
    const stat = store.stat.bind(store);
    store.stat = (into) => {
      asked++;
      stat(into);
    };
    const allocated = () => content.allocated / PAGE;
    expect([allocated(), allocated(), asked]).toEqual([1, 1, 0]);
    content.write(PAGE, filled(PAGE, 1));
    expect([allocated(), allocated()]).toEqual([2, 2]);
    content.punch(0, PAGE);
    expect(allocated()).toBe(1);
    content.allocate(0, PAGE, true);
    expect(allocated()).toBe(2);
    content.truncate(0);
    expect(allocated()).toBe(0);
    content.share().write(0, filled(3 * PAGE, 1));
    expect(allocated()).toBe(3);
  });

  test("content keeps its size when it moves to a store, however much room the heap had", () => {
    const content = new Content(newSpace(stores));
    content.write(0, filled(5000, 1));
    content.write(5000, filled(10, 1));
    content.truncate(4979);
    const store = content.share();
    expect([content.size, store.exactSize()]).toEqual([4979, 4979]);
    const all = new Uint8Array(6000);
    expect(content.read(0, all)).toBe(4979);
    expect(all.subarray(0, 4979).every((byte) => byte === 1)).toBe(true);
  });

  test("content equals an array of bytes after any sequence of changes", () => {
    for (let seed = 1; seed <= 25; seed++) {
      const below = randoms(seed);
      const space = newSpace(stores);
      const content = new Content(space);
      let model = new Uint8Array(0);
      const resize = (size: number) => {
        const next = new Uint8Array(size);
        next.set(model.subarray(0, size));
        model = next;
      };
      // Some seeds stay in the heap, some leave it, some cross its limit in both directions.
      const range = [10_000, HEAP_LIMIT, HEAP_LIMIT + 20_000, 1_000_000][seed % 4] ?? 0;
      for (let step = 0; step < 60; step++) {
        const offset = below(range);
        const length = 1 + below(Math.min(range - offset, 30_000));
        switch (below(6)) {
          case 0:
            content.truncate(offset);
            resize(offset);
            break;
          case 1:
            content.punch(offset, length);
            model.fill(0, offset, offset + length);
            break;
          case 2: {
            const keepSize = below(2) === 0;
            content.allocate(offset, length, keepSize);
            if (!keepSize && offset + length > model.length) resize(offset + length);
            break;
          }
          default: {
            const data = filled(length, 1 + below(255));
            expect(content.write(offset, data)).toBe(length);
            if (offset + length > model.length) resize(offset + length);
            model.set(data, offset);
          }
        }
        content.checkInvariants();
        expect(content.size).toBe(model.length);
        const [at, part] = [below(range), new Uint8Array(below(40_000)).fill(9)];
        const count = content.read(at, part);
        expect(count).toBe(Math.max(0, Math.min(part.length, model.length - at)));
        expect(Buffer.compare(part.subarray(0, count), model.subarray(at, at + count))).toBe(0);
        if (space.usedPages * PAGE !== content.allocated) expect(space.usedPages * PAGE).toBe(content.allocated);
      }
      expect(Buffer.compare(content.bytes(), model)).toBe(0);
      checkExtents(content, model);
      content.clear();
      expect(space.usedPages).toBe(0);
    }
  });

  test("content has holes where nothing was written", () => {
    const content = new Content(newSpace(stores));
    for (const large of [0, 1 << 20]) {
      content.truncate(0);
      content.write(large + 2 * PAGE, filled(PAGE + 1, 1));
      content.truncate(large + 10 * PAGE);
      expect(content.nextData(0)).toBe(large + 2 * PAGE);
      expect(content.nextHole(0)).toBe(0);
      expect(content.nextHole(large + 2 * PAGE)).toBe(large + 4 * PAGE);
      expect(content.nextData(large + 4 * PAGE)).toBeUndefined();
      expect(content.nextData(large + 10 * PAGE)).toBeUndefined();
      expect(content.nextHole(large + 10 * PAGE)).toBeUndefined();
    }
  });

  test("content without holes has one at its end", () => {
    for (const size of [5, PAGE, HEAP_LIMIT, HEAP_LIMIT + 5]) {
      const content = new Content(newSpace(stores));
      content.write(0, filled(size, 1));
      expect(Math.min(Number(content.nextHole(0) ?? 0), content.size)).toBe(size);
    }
  });

  test("content may be sparse and huge: only what is written takes space", () => {
    const space = newSpace(stores, 1 << 20);
    const content = new Content(space);
    content.truncate(2 ** 45);
    content.write(2 ** 44, filled(10, 1));
    expect(space.usedPages).toBe(1);
    const bytes = new Uint8Array(12);
    expect(content.read(2 ** 44 - 1, bytes)).toBe(12);
    expect([...bytes]).toEqual([0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    expect(code(() => content.bytes())).toBe("ENOMEM");
  });

  test("content is written as far as there is space, and then not at all", () => {
    for (const pages of [4, 64]) {
      const space = newSpace(stores, pages * PAGE);
      const content = new Content(space);
      expect(content.write(100, filled((pages + 10) * PAGE, 1))).toBe(pages * PAGE - 100);
      expect(content.size).toBe(pages * PAGE);
      expect(code(() => content.write(pages * PAGE, filled(10, 1)))).toBe("ENOSPC");
      expect(content.write(50, filled(PAGE, 2))).toBe(PAGE);
      expect(space.usedPages).toBe(pages);
      content.truncate(PAGE);
      expect(space.usedPages).toBe(1);
      content.checkInvariants();
    }
  });

  test("reserved space can be written when no other space is free", () => {
    for (const pages of [4, 64]) {
      const space = newSpace(stores, pages * PAGE);
      const content = new Content(space);
      content.allocate(0, pages * PAGE, false);
      expect(space.freePages).toBe(0);
      expect(content.write(PAGE / 2, filled(pages * PAGE - PAGE, 1))).toBe(pages * PAGE - PAGE);
      expect(space.usedPages).toBe(pages);
    }
  });

  test("reserving space reserves all of it, or none", () => {
    for (const pages of [4, 64]) {
      const space = newSpace(stores, pages * PAGE);
      const content = new Content(space);
      // The heap and the stores share the limit with a little slack: this is either of them.
      const at = (pages - 1) * PAGE;
      content.write(at, filled(10, 1));
      expect(code(() => content.allocate(0, (pages + 1) * PAGE, false))).toBe("ENOSPC");
      expect(space.usedPages).toBe(1);
      content.allocate(0, pages * PAGE, true);
      expect([space.usedPages, content.size]).toEqual([pages, at + 10]);
      content.checkInvariants();
    }
  });

  test("reserving space counts pages that are there already, and takes no more of the others than there is room for", () => {
    const space = newSpace(stores, 64 * PAGE);
    const content = new Content(space);
    content.allocate(0, 40 * PAGE, false);
    content.write(50 * PAGE, filled(4 * PAGE, 7));
    content.write(10 * PAGE, filled(PAGE, 7));
    expect(space.usedPages).toBe(44);
    // 20 are missing here, and one more there.
    expect(code(() => content.allocate(0, 65 * PAGE, false))).toBe("ENOSPC");
    expect([space.usedPages, content.size]).toEqual([44, 54 * PAGE]);
    content.allocate(0, 64 * PAGE, false);
    expect([space.usedPages, content.size]).toEqual([64, 64 * PAGE]);
    content.allocate(0, 64 * PAGE, false);
    expect(space.usedPages).toBe(64);
    expect(content.bytes()[53 * PAGE]).toBe(7);
    expect(content.bytes()[10 * PAGE]).toBe(7);
    content.checkInvariants();
  });

  test("reserving more space than there is takes no longer for a larger range", () => {
    const space = newSpace(stores, 64 * PAGE);
    const content = new Content(space);
    content.allocate(0, 48 * PAGE, false);
    let asked = 0;
    const store = content.share();
    for (const name of ["allocate", "punch"] as const) {
      const call = store[name].bind(store);
      store[name] = (offset, length) => {
        asked++;
        call(offset, length);
      };
    }
    expect(code(() => content.allocate(0, 2 ** 40, false))).toBe("ENOSPC");
    expect(asked).toBeLessThan(10);
    content.unshare();
    expect(space.usedPages).toBe(48);
  });

  test("content shows zeros where it was truncated and grew again", () => {
    for (const size of [PAGE + 10, HEAP_LIMIT + PAGE + 10]) {
      const content = new Content(newSpace(stores));
      content.write(0, filled(size, 1));
      content.truncate(size - 5);
      content.truncate(size);
      const tail = new Uint8Array(6);
      content.read(size - 6, tail);
      expect([...tail]).toEqual([1, 0, 0, 0, 0, 0]);
    }
  });
});

/** Checks that extents cover everything that is not zero, and nothing twice. */
function checkExtents(content: Content, model: Uint8Array): void {
  let at = 0;
  while (at < model.length) {
    const data = Number(content.nextData(at) ?? model.length);
    expect(data).toBeGreaterThanOrEqual(at);
    expect(model.subarray(at, data).every((byte) => byte === 0)).toBe(true);
    if (data >= model.length) return;
    const hole = Number(content.nextHole(data) ?? model.length);
    expect(hole).toBeGreaterThan(data);
    at = hole;
  }
}

describe("a file that the kernel writes directly", () => {
  test("a file that the kernel writes directly is seen whole, whichever operation comes first", () => {
    const questions: [string, (file: RegularFile) => unknown, unknown][] = [
      ["size", (file) => file.size, 200_000],
      ["bytes", (file) => file.bytes().length, 200_000],
      ["read", (file) => file.read(199_999, new Uint8Array(10)), 1],
      ["allocated", (file) => file.allocated, 49 * PAGE],
      ["nextData", (file) => file.nextData(199_999), 199_999],
    ];
    for (const [name, ask, answer] of questions) {
      const file = new RegularFile(2, 0o644, { uid: 0, gid: 0 }, fixedClock(0), new Space());
      file.write(0, filled(100, 1));
      const store = file.share();
      if (!(store instanceof FdStore)) throw new Error("not a descriptor");
      expect(libc.pwrite(store.fd, filled(200_000, 2), 200_000, 0)).toBe(200_000);
      expect([name, ask(file)]).toEqual([name, answer]);
      file.unshare();
      expect(file.bytes().length).toBe(200_000);
      file.checkInvariants();
      file.dispose();
    }
  });
});

test.each(kinds)("a tree counts its content in %s", (_name, stores) => {
  const space = newSpace(stores, 1 << 24);
  const tree = new Tree({ clock: fixedClock(0), space });
  const owner = { uid: 0, gid: 0 };
  tree.createFile(tree.root, "small", 0o644, owner).write(0, filled(10, 1));
  tree.createFile(tree.root, "large", 0o644, owner).write(0, filled(PAGE * 100, 1));
  tree.checkInvariants();
  expect(space.usedPages).toBe(101);
  tree.unlink(tree.root, "large");
  tree.checkInvariants();
  expect(space.usedPages).toBe(1);
});

describe("a file", () => {
  const newFile = () => new RegularFile(2, 0o644, { uid: 0, gid: 0 }, fixedClock(0), new Space());

  test("a file cannot be larger than 2^63 - 1 bytes", () => {
    const file = newFile();
    expect(code(() => file.truncate(MAX_WIDE + 1n))).toBe("EFBIG");
    expect(code(() => file.write(MAX_WIDE, filled(1, 1)))).toBe("EFBIG");
    expect(code(() => file.allocate(MAX_WIDE, 1, false))).toBe("EFBIG");
    expect(file.size).toBe(0);
  });

  test("without memory files a file cannot exceed the largest exact number", () => {
    const content = new Content(newSpace(() => heapPages));
    expect(code(() => content.truncate(2n ** 53n))).toBe("EFBIG");
    content.truncate(MAX_FILE_SIZE);
    expect(content.size).toBe(MAX_FILE_SIZE);
  });

  test("a pending file becomes static only once, and then has no error", () => {
    const file = newFile();
    file.state = "failed";
    file.error = new FsError("EIO");
    expect([file.lazy, file.becomeStatic(), file.lazy, file.becomeStatic()]).toEqual([true, true, false, false]);
    expect(file.error).toBeUndefined();
  });

  test("a file frees its space when it is disposed", () => {
    const space = new Space();
    for (const size of [10, HEAP_LIMIT * 2]) {
      const file = new RegularFile(2, 0o644, { uid: 0, gid: 0 }, fixedClock(0), space);
      file.write(0, filled(size, 1));
      file.dispose();
      expect(space.usedPages).toBe(0);
    }
  });
});

test("many large files leave descriptors for the rest of the process, and continue in the heap", () => {
  const script = `
    import { openSync } from "node:fs";
    import { Content } from ${JSON.stringify(`${import.meta.dir}/../../../src/tree/content/content.ts`)};
    import { Space } from ${JSON.stringify(`${import.meta.dir}/../../../src/tree/space.ts`)};
    const space = new Space();
    const contents = Array.from({ length: 300 }, () => new Content(space));
    for (const [at, content] of contents.entries()) content.write(200_000, new Uint8Array([at % 256]));
    for (let n = 0; n < 60; n++) openSync("/dev/null", "r");
    const last = new Uint8Array(1);
    const right = contents.filter((content, at) => content.read(200_000, last) === 1 && last[0] === at % 256);
    console.log(right.length);
  `;
  const { stdout, stderr } = Bun.spawnSync([
    "sh",
    "-c",
    'ulimit -n 256 && exec "$0" -e "$1"',
    process.execPath,
    script,
  ]);
  expect(stderr.toString()).toBe("");
  expect(stdout.toString()).toBe("300\n");
});

test("stores can be made before they are needed, up to a number", () => {
  const stores = createMemoryFiles();
  const made = [stores.prepare?.(2), stores.prepare?.(2)];
  expect(stores.prepare?.(2)).toBeUndefined();
  expect([stores.open(), stores.open()].every((store) => made.some((one) => one === store))).toBe(true);
  expect(stores.prepare?.(2)).toBeInstanceOf(FdStore);
});

test("a store that the kernel did not use is ready for the next file, and one that it wrote to is emptied first", () => {
  const stores = createMemoryFiles();
  const space = new Space({ stores });
  const store = stores.open();
  if (!(store instanceof FdStore)) throw new Error("a memory file is an FdStore");
  store.close();
  for (const written of ["", "by the kernel", "", "again", ""]) {
    const file = new RegularFile(1, 0o600, { uid: 0, gid: 0 }, fixedClock(1), space);
    let reports = 0;
    expect(file.share(() => reports++) === store).toBe(true);
    expect([file.size, file.allocated, reports]).toEqual([0, 0, 0]);
    libc.pwrite(store.fd, Buffer.from(written), written.length, 0);
    file.endSharing();
    file.bringIn();
    expect([file.size, reports]).toEqual([written.length, written === "" ? 0 : 1]);
    file.dispose();
  }
});

describe("a large write that completes after its call returns", () => {
  const large = filled(HEAP_LIMIT + 5, 7);

  /** Content that is stored in memory files, and the work that it has deferred. */
  function content(stores: Stores = createMemoryFiles(), bytes = Number.POSITIVE_INFINITY) {
    const space = new Space({ bytes, stores });
    const left: (() => void)[] = [];
    return { space, left, content: new Content(space), afterwards: (work: () => void) => void left.push(work) };
  }

  test("a large write sets the size at once, and bytes and space when it completes", () => {
    const { content: file, left, afterwards, space } = content();
    expect(file.write(10, large, afterwards)).toBe(large.length);
    expect([file.size, left.length]).toEqual([large.length + 10, 1]);
    left[0]?.();
    expect(Buffer.compare(file.bytes().subarray(10), large)).toBe(0);
    expect(space.pages).toBe(Math.ceil((large.length + 10) / PAGE));
  });

  test("a large write completes at once if it is small, if the bytes are in the heap, and if it does not fit", () => {
    const { content: file, left, afterwards } = content(createMemoryFiles(), 40 * PAGE);
    file.write(0, filled(100, 1), afterwards);
    file.write(0, filled(HEAP_LIMIT, 2), afterwards);
    file.write(HEAP_LIMIT, filled(10, 3), afterwards);
    expect(file.write(0, filled(50 * PAGE, 4), afterwards)).toBe(40 * PAGE);
    expect(code(() => file.write(40 * PAGE, large, afterwards))).toBe("ENOSPC");
    expect(left).toEqual([]);
    expect(file.size).toBe(40 * PAGE);
  });

  test("a large write is not silently lost when the machine has no memory for it", () => {
    const broken: Stores = {
      open() {
        const store = createMemoryFiles().open();
        store.write = () => {
          throw new libc.SystemError("pwrite", 12);
        };
        return store;
      },
    };
    const { content: file, left, afterwards } = content(broken);
    file.write(0, large, afterwards);
    expect(() => left[0]?.()).toThrow(/131077 bytes written at 0 are lost: pwrite: Cannot allocate memory/);
    expect(code(() => file.read(0, new Uint8Array(10)))).toBe("EIO");
    file.clear();
    expect(file.read(0, new Uint8Array(10))).toBe(0);
  });
});
