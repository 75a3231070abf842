/**
 * How each command is tested: a call that works, its JSON, and calls that fail. They are shell scripts; the last command
 * counts. A new command fails commands.test.ts until it has a row.
 *
 * `$N` is another number in each run. The directory has:
 *   mnt         a mount with the files a.md and bad.md, which the model refuses to write, and --confirm-over 1000
 *   stopped     a mount whose process is stopped
 *   tree.json   a snapshot of the same files        good.json   one without bad.md
 *   repo        a directory with a file             llmfs.config.yaml   a configuration with a rule for hello.txt
 * The model "refused" gets status 401 from the server, and a prompt with "nonsense" an answer that is not a tree.
 */

export interface CommandTest {
  readonly works: string;
  /** By the heading in docs/json.md, without "llmfs ". */
  readonly json?: Readonly<Record<string, string>>;
  readonly fails?: readonly Failure[];
}

/** The exit status, the script, and what standard error contains. */
export type Failure = readonly [status: number, script: string, message: string];

const DAMAGED = "mkdir -p damaged && echo nonsense > damaged/a.md.0123456789abcdef.txt";

export const COMMAND_TABLE: Readonly<Record<string, CommandTest>> = {
  mount: {
    works: "mkdir m$N && llmfs mount m$N",
    json: { mount: "mkdir m$N && llmfs mount m$N --json" },
    fails: [
      [80, "llmfs mount nowhere", "nowhere does not exist; make it with: mkdir -p nowhere"],
      [81, "llmfs mount mnt", "an llmfs is mounted there already"],
      [82, "mkdir m$N && LLMFS_FUSERMOUNT=/nowhere/proxy llmfs mount m$N", "LLMFS_FUSERMOUNT is /nowhere/proxy"],
      [84, "mkdir m$N && llmfs mount m$N --prompt no/prompt.md", "does not exist"],
      [85, "mkdir m$N && llmfs mount m$N --from none.json", "none.json"],
      [89, "mkdir m$N && llmfs mount m$N --save no/such/tree.json", "the folder cannot be written"],
      [90, "mkdir m$N && llmfs mount m$N --from tree.json --warm", "bad.md"],
    ],
  },
  unmount: {
    works: "mkdir m$N && llmfs mount m$N && llmfs unmount m$N",
    json: { unmount: "mkdir m$N && llmfs mount m$N --save s$N.json && llmfs unmount m$N --json" },
    fails: [
      [83, "llmfs unmount repo", "no llmfs is mounted there"],
      [
        81,
        "mkdir m$N && llmfs mount m$N && cd m$N && (sleep 60 & cd .. && llmfs unmount m$N; status=$?; kill $!; exit $status)",
        "is still used by",
      ],
      [
        89,
        "mkdir m$N gone$N && llmfs mount m$N --save gone$N/tree.json && rmdir gone$N && llmfs unmount m$N",
        "it is saved in",
      ],
    ],
  },
  run: {
    works: "llmfs run --from good.json --warm -- true",
    fails: [
      [1, "llmfs run -- false", ""],
      [83, "llmfs run -- sh -c 'cd /; llmfs unmount --lazy \"$LLMFS_MOUNT\"; sleep 60'", "ended"],
      [84, "llmfs run --prompt no/prompt.md -- true", "does not exist"],
      [85, "llmfs run --from none.json -- true", "none.json"],
      [86, "llmfs run --prompt 'a tree' --model refused -- true", "401"],
      [87, "llmfs run --prompt 'some nonsense' -- true", "did not return a usable tree"],
      [88, "llmfs run --prompt 'a tree' --mode replay --recordings repo -- true", "no recording"],
      [90, "llmfs run --from tree.json --warm -- true", "bad.md"],
      [90, "llmfs run --from tree.json --no-mount -- true", "bad.md"],
      [126, "llmfs run -- /etc/passwd", "/etc/passwd"],
      [127, "llmfs run -- ./no-such-program", "no-such-program"],
      [137, "llmfs run -- sh -c 'kill -KILL $$'", ""],
    ],
  },
  list: { works: "llmfs list", json: { list: "llmfs list --json" } },
  status: {
    works: "llmfs status mnt",
    json: { status: "llmfs status mnt --json" },
    fails: [
      [83, "llmfs status repo", "repo"],
      [92, "llmfs status stopped", "stopped"],
    ],
  },
  tree: {
    works: "llmfs tree mnt",
    json: { tree: "llmfs tree mnt --json" },
    fails: [[85, "llmfs tree none.json", "none.json"]],
  },
  ls: {
    works: "llmfs ls -l tree.json",
    json: { ls: "llmfs ls --json tree.json" },
    fails: [[84, "llmfs ls tree.json/none", "does not exist"]],
  },
  cat: {
    works: "llmfs cat tree.json/a.md",
    fails: [
      [85, "llmfs cat none.json/a.md", "none.json"],
      [90, "llmfs cat tree.json/bad.md", "bad.md"],
      [90, "llmfs cat mnt/bad.md", "bad.md"],
    ],
  },
  write: {
    works: "cp tree.json w$N.json && llmfs write w$N.json/b.md --input repo/file",
    fails: [[84, "llmfs write tree.json/none/b.md --input repo/file", "none"]],
  },
  export: {
    works: "llmfs export good.json out$N",
    json: { export: "llmfs export good.json out$N --json" },
    fails: [[90, "llmfs export tree.json out$N", "bad.md"]],
  },
  import: {
    works: "llmfs import repo import$N.json",
    json: { import: "llmfs import repo import$N.json --json" },
    fails: [[84, "llmfs import none tree.json", "none"]],
  },
  diff: {
    works: "llmfs diff tree.json tree.json",
    json: { diff: "llmfs diff tree.json good.json --json" },
    fails: [
      [1, "llmfs diff tree.json good.json", ""],
      [85, "llmfs diff tree.json none.json", "none.json"],
    ],
  },
  generate: {
    works: "llmfs generate --prompt 'a small tree' -o generated$N.json",
    fails: [
      [84, "llmfs generate --prompt no/prompt.md", "does not exist"],
      [86, "llmfs generate --prompt 'a tree' --model refused", "401"],
      [87, "llmfs generate --prompt 'some nonsense'", "did not return a usable tree"],
      [89, "llmfs generate --prompt 'a small tree' -o no/such/tree.json", "no/such"],
    ],
  },
  warm: {
    works: "llmfs warm mnt a.md",
    json: { warm: "llmfs warm mnt --json" },
    fails: [
      [83, "llmfs warm repo", "repo"],
      [90, "llmfs warm mnt bad.md", "bad.md"],
    ],
  },
  check: {
    works: "mkdir m$N && llmfs mount m$N --from good.json && llmfs check m$N -- true",
    json: { check: "mkdir m$N && llmfs mount m$N --from good.json && llmfs check m$N --json -- true" },
    fails: [
      [
        3,
        "mkdir m$N && llmfs mount m$N --from good.json && llmfs check m$N --repairs 0 -- sh -c 'exit 3'",
        "exit status 3",
      ],
      [90, "llmfs check mnt -- true", "bad.md"],
      [
        91,
        'mkdir m$N && llmfs mount m$N --from good.json && llmfs check m$N -- sh -c "echo > $PWD/m$N/new"',
        "changed",
      ],
      [
        124,
        "mkdir m$N && llmfs mount m$N --from good.json && llmfs check m$N --repairs 0 --check-timeout 100ms -- sleep 60",
        "was stopped",
      ],
    ],
  },
  plan: {
    works: "llmfs plan tree.json",
    json: { plan: "llmfs plan tree.json --json" },
    fails: [
      [85, "llmfs plan none.json", "none.json"],
      [90, "llmfs plan circle.json", ""],
    ],
  },
  context: {
    works: "llmfs context mnt/bad.md",
    json: { context: "llmfs context mnt/bad.md --json" },
    fails: [[84, "llmfs context mnt/none.md", "does not exist"]],
  },
  regen: {
    works: "llmfs regen mnt/a.md",
    json: { regen: "llmfs regen mnt/a.md mnt/bad.md --json || [ $? = 90 ]" },
    fails: [[90, "llmfs regen mnt/bad.md", "bad.md"]],
  },
  why: {
    works: "llmfs why mnt/a.md",
    json: { why: "cat mnt/a.md > read$N && llmfs why mnt/a.md --json" },
    fails: [[84, "llmfs why mnt/none.md", "does not exist"]],
  },
  recordings: {
    works: "llmfs recordings ls",
    json: {
      "recordings ls": "llmfs cat good.json/a.md > read$N && llmfs recordings ls --json",
      "recordings verify": `${DAMAGED} && llmfs recordings verify --recordings damaged --json || [ $? = 91 ]`,
      "recordings prune": "llmfs recordings prune --for good.json --recordings rec --dry-run --json",
      "recordings copy": "llmfs recordings copy rec rec$N --json",
      "recordings sign": "LLMFS_RECORDINGS_KEY=a-secret-of-a-test llmfs recordings sign --unsigned --dry-run --json",
    },
    fails: [[91, `${DAMAGED} && llmfs recordings verify --recordings damaged`, "0 recordings are valid, 1 is not"]],
  },
  grow: {
    works: "llmfs grow mnt --prompt 'an outline' --dry-run",
    json: { grow: "llmfs grow mnt --prompt 'an outline' --dry-run --json" },
    fails: [
      [83, "llmfs grow repo --prompt 'an outline'", "repo"],
      [87, "llmfs grow mnt --prompt 'some nonsense'", "nothing was added"],
      [90, "llmfs grow mnt --prompt 'what is there already' --dry-run", "exists already"],
    ],
  },
  add: {
    works: "llmfs add mnt/added$N.md 'a file'",
    json: { add: "llmfs add mnt/added$N.md 'a file' --json" },
    fails: [
      [1, "llmfs add mnt/a.md 'a file'", "exists already"],
      [83, "llmfs add repo/new.md 'a file'", "repo"],
    ],
  },
  save: {
    works: "llmfs save mnt saved$N.json",
    json: { save: "llmfs save mnt saved$N.json --json" },
    fails: [
      [83, "llmfs save repo saved$N.json", "repo"],
      [89, "llmfs save mnt no/such/tree.json", "no/such/tree.json"],
    ],
  },
  mcp: { works: "llmfs mcp tree.json < /dev/null", fails: [[85, "llmfs mcp none.json", "none.json"]] },
  init: {
    works: "llmfs init init$N",
    json: { init: "llmfs init init$N --json" },
    fails: [[84, "llmfs init .", "exists already; nothing was written"]],
  },
  config: {
    works: "llmfs config",
    json: { config: "llmfs config --json" },
    fails: [[84, "llmfs config --config none.yaml", "none.yaml"]],
  },
  allow: {
    works: "llmfs allow mnt",
    json: { allow: "llmfs allow mnt --json" },
    fails: [
      [1, "mkdir m$N && llmfs mount m$N && llmfs allow m$N", "--confirm-over"],
      [83, "llmfs allow repo", "repo"],
    ],
  },
  trust: {
    works: "llmfs trust",
    json: { trust: "llmfs trust > said && llmfs trust --list --json" },
    fails: [
      [84, "llmfs trust none.yaml", "none.yaml"],
      [84, "llmfs trust && LLMFS_TRUST= && llmfs trust --remove && llmfs plan tree.json", "llmfs trust"],
    ],
  },
  generators: {
    works: "llmfs generators",
    json: {
      generators: "llmfs generators --json",
      "generators test": "llmfs generators test hello.txt --json",
    },
    fails: [
      [84, "llmfs generators test none.txt", "no rule matches it"],
      [90, "llmfs generators test fails.txt", "fails.txt"],
    ],
  },
  doctor: {
    works: "llmfs doctor",
    json: { doctor: "llmfs doctor --json" },
    fails: [
      [
        82,
        "unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /dev && exec llmfs doctor' > said; status=$?; cat said >&2; (exit $status)",
        "/dev/fuse: it does not exist",
      ],
    ],
  },
  demo: {
    works: "llmfs demo",
    fails: [[82, "LLMFS_FUSERMOUNT=/nowhere/proxy llmfs demo", "/nowhere/proxy"]],
  },
  completions: { works: "llmfs completions bash", fails: [[2, "llmfs completions fisch", "did you mean fish?"]] },
  man: { works: "llmfs man" },
  version: { works: "llmfs version", json: { version: "llmfs version --json" } },
};
