/** Every request of `.llmfs/control`, on a mount of the compiled binary: an answer as docs/control.md says, and a refusal. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CONTROL_OPERATIONS, type ControlOperation } from "../../src/rpc/control-protocol.ts";
import { describeMounted, mounted } from "../support/mounted.ts";

setDefaultTimeout(60_000);

type Request = Readonly<Record<string, unknown>>;

interface Tested {
  readonly request: Request;
  /** What the answer has, apart from `id`, `ok` and `usage`. */
  readonly answer?: object;
  readonly refused?: Request;
  readonly errno?: string;
}

const FAILURE = { command: "make", ending: "exit status 2", output: "a.md is wrong", earlier: [] };

/** In this order, on one mount. */
const REQUESTS: Readonly<Record<ControlOperation, Tested>> = {
  make: { request: { path: "/a.md" }, refused: { path: "/none.md" }, errno: "ENOENT" },
  regen: { request: { path: "/a.md", prompt: "in verse" }, refused: { path: "/own.md" }, errno: "EEXIST" },
  undo: { request: { path: "/a.md" }, refused: { path: "/b.md" }, errno: "ENODATA" },
  update: { request: { path: "/a.md" }, refused: { path: "a.md" }, errno: "EINVAL" },
  rewrite: {
    request: { path: "/a.md", instruction: "shorter" },
    refused: { path: "/own.md", instruction: "shorter" },
    errno: "EEXIST",
  },
  add: {
    request: { path: "/new/c.md", description: "a file", depends: "/a.md" },
    answer: { added: expect.any(Number) },
    refused: { path: "/a.md" },
    errno: "EEXIST",
  },
  grow: {
    request: { path: "/", prompt: "one more", dry: true },
    answer: { grown: { entries: [{ path: "/more.md" }], added: false, clashes: [], leftOut: [], requests: 1 } },
    refused: { path: "/" },
    errno: "EINVAL",
  },
  save: { request: {}, answer: { saved: { kind: "none" } } },
  allow: { request: {}, answer: { allowed: { calls: 50 } } },
  version: { request: {}, answer: { version: expect.any(Number) } },
  diagnose: {
    request: { failure: FAILURE },
    answer: { diagnosis: { why: "a typo", files: [{ path: "/a.md", instruction: "correct it" }] } },
    refused: { failure: { command: 1 } },
    errno: "EINVAL",
  },
  freeze: { request: { version: -1 }, refused: { version: "x" }, errno: "EINVAL" },
  stop: { request: {} },
};

test("docs/control.md names every request", () => {
  const page = readFileSync(join(import.meta.dir, "../../docs/control.md"), "utf8");
  const row = /^\| `op` \| (.*) \|$/m.exec(page)?.[1] ?? "";
  expect([...row.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name).sort()).toEqual([...CONTROL_OPERATIONS].sort());
});

describeMounted("the control file", () => {
  test("answers and refuses every request as documented", async () => {
    const entries = ["/a.md", "/b.md"].map((path) => ({ path, type: "file", state: "pending" }));
    const snapshot = JSON.stringify({
      llmfs: 1,
      entries: [...entries, { path: "/own.md", type: "file", text: "mine" }],
    });
    await using m = await mounted({ snapshot, args: ["--confirm-over", "50", "--recordings", "rec"] });
    const nothing = { directories: [], symlinks: [], executable: [], unfinished: [] };
    m.tree = ({ body }) => {
      const text = JSON.stringify(body.messages);
      if (text.includes("one more")) {
        return { stream: JSON.stringify({ files: [{ path: "more.md", description: "more", uses: [] }], ...nothing }) };
      }
      if (text.includes("a.md is wrong")) {
        const files = [{ path: "a.md", instruction: "correct it" }];
        return { stream: JSON.stringify({ why: "a typo", checkIsWrong: false, files }) };
      }
      return { stream: "written again\n" };
    };
    const ask = async (request: object) =>
      JSON.parse(await m.out(`exec 3<> .llmfs/control; printf '%s\\n' '${JSON.stringify(request)}' >&3; cat <&3`));
    let version = 0;
    for (const [op, { request, answer, refused, errno }] of Object.entries(REQUESTS)) {
      const own = op === "freeze" ? { version } : request;
      const given = await ask({ id: op, op, ...own });
      version = given.version ?? version;
      expect(given).toMatchObject({ id: op, ok: true, ...answer });
      if (refused === undefined) continue;
      expect(await ask({ id: [op], op, ...refused })).toMatchObject({ id: [op], errno, message: expect.any(String) });
    }
    expect(await ask({ id: 1, op: "mkae" })).toMatchObject({
      id: 1,
      errno: "EINVAL",
      message: expect.stringContaining("expected one of make, "),
    });
    expect(await m.sh("printf 'no json\\n' >> .llmfs/control")).toMatchObject({ status: 0 });
  });
});
