/** Access checks: the same result as the kernel's for a file with the same owner, mode and access control list. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getxattr } from "../../../src/libc.ts";
import { fixedClock } from "../../../src/tree/inode.ts";
import { MAY_EXEC, MAY_READ, MAY_WRITE, mayAccess } from "../../../src/tree/permissions/access.ts";
import { ACL_ACCESS, setAcl } from "../../../src/tree/permissions/acl.ts";
import { Tree } from "../../../src/tree/tree.ts";
import { programs, testWith } from "../../support/needs.ts";
import { Random } from "../../support/random.ts";

const LACKING = process.getuid?.() === 0 ? programs("setfacl", "setpriv") : "to be root";

const OWNER = { uid: 1001, gid: 2001 };

interface Caller {
  readonly uid: number;
  readonly gids: readonly number[];
}

const CALLERS: readonly Caller[] = [
  { uid: 0, gids: [0] },
  { uid: 1001, gids: [5] },
  { uid: 1002, gids: [2001] },
  { uid: 1002, gids: [5, 2002] },
  { uid: 1003, gids: [2001, 2002] },
  { uid: 1004, gids: [5] },
];

function letters(bits: number): string {
  return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${bits & 1 ? "x" : "-"}`;
}

/** A caller's access to each path, as test(1) gets it from access(2): a line of "rwx" each. */
async function asked({ uid, gids }: Caller, paths: readonly string[]): Promise<readonly string[]> {
  const script = 'for p; do for m in r w x; do test -$m "$p" && printf $m || printf -; done; echo; done';
  const child = Bun.spawn(
    [
      "setpriv",
      `--reuid=${uid}`,
      `--regid=${gids[0]}`,
      `--groups=${gids.join(",")}`,
      "sh",
      "-c",
      script,
      "sh",
      ...paths,
    ],
    { stdout: "pipe", stderr: "inherit" },
  );
  return (await child.stdout.text()).trimEnd().split("\n");
}

testWith(LACKING)(
  "a hundred files and directories with lists and without, for six callers",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "llmfs-access-"));
    try {
      await Bun.$`chmod 755 ${folder}`.quiet();
      const random = new Random(7);
      const bits = () => Math.floor(random.next() * 8);
      const tree = new Tree({ clock: fixedClock(0) });
      const paths = Array.from({ length: 100 }, (_, index) => join(folder, String(index)));
      const inodes = [];
      for (const [index, path] of paths.entries()) {
        const directory = index % 3 === 0;
        if (directory) mkdirSync(path);
        else writeFileSync(path, "x");
        const mode = (bits() << 6) | (bits() << 3) | bits();
        await Bun.$`chown ${OWNER.uid}:${OWNER.gid} ${path}; chmod ${mode.toString(8)} ${path}`.quiet();
        const inode = directory
          ? tree.mkdir(tree.root, String(index), mode, OWNER)
          : tree.createFile(tree.root, String(index), mode, OWNER);
        inodes.push(inode);
        if (index % 2 === 0) continue;
        const entries = [`u:1002:${letters(bits())}`, `g:2002:${letters(bits())}`, `m::${letters(bits())}`];
        await Bun.$`setfacl -m ${entries.join(",")} ${path}`.quiet();
        const acl = getxattr(path, ACL_ACCESS);
        if (acl === undefined) throw new Error(`${path} has no list`);
        setAcl(inode, ACL_ACCESS, Uint8Array.from(acl));
      }
      for (const caller of CALLERS) {
        const who = { uid: caller.uid, inGroup: (gid: number) => caller.gids.includes(gid) };
        const ours = inodes.map((inode) =>
          [MAY_READ, MAY_WRITE, MAY_EXEC]
            .map((want) => (mayAccess(inode, who, want) ? "rwx"["421".indexOf(String(want))] : "-"))
            .join(""),
        );
        expect({ ...caller, may: ours }).toEqual({ ...caller, may: [...(await asked(caller, paths))] });
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  60_000,
);

test("permission bits that are requested together are granted together or not at all", () => {
  const tree = new Tree({ clock: fixedClock(0) });
  const file = tree.createFile(tree.root, "f", 0o640, OWNER);
  const owner = { uid: OWNER.uid, inGroup: () => false };
  const group = { uid: 5, inGroup: (gid: number) => gid === OWNER.gid };
  expect([mayAccess(file, owner, MAY_READ | MAY_WRITE), mayAccess(file, group, MAY_READ | MAY_WRITE)]).toEqual([
    true,
    false,
  ]);
});
