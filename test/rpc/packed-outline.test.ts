/** The outline on its way between the threads. */
import { expect, test } from "bun:test";
import { packOutline, unpackOutline } from "../../src/rpc/packed-outline.ts";
import type { TreeEntry } from "../../src/rpc/tree-port.ts";

test("an outline is unpacked unchanged: absent and empty texts, sizes, states, names that are not UTF-8", () => {
  const states = ["static", "pending", "generating", "ready", "failed"] as const;
  const entries: readonly TreeEntry[] = [
    { path: "/d", type: "directory", description: "" },
    { path: "/d/\udcff-é-\u{1f600}\n", type: "file", state: "static", size: 0 },
    { path: "/link", type: "symlink", target: "d", description: "a\0b" },
    { path: "/fifo", type: "other" },
    ...states.map(
      (state): TreeEntry => ({ path: `/${state}`, type: "file", state, size: 2 ** 40, description: state }),
    ),
  ];
  expect(unpackOutline(structuredClone(packOutline(entries)))).toEqual(entries);
  expect(unpackOutline(packOutline([]))).toEqual([]);
});
