/**
 * How tools read a pending file, depending on the size that it reports.
 *
 * A tool that opens a file and reads to the end is right whatever stat(2) reported before. Some trust stat: they don't
 * open a file of size 0, stop at the reported size, or fail when the file is shorter. Each tool here reads a pending
 * file that it has never seen, and its output is compared with the content.
 *
 *   bun test/mount/matrix.ts            runs the matrix and prints what each tool did
 *   bun test/mount/matrix.ts --write    writes docs/lazy-files.md from the table below
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { STAT_GENERATES } from "../../src/app/settings/default-programs.ts";
import { CLAIMED_SIZE } from "../../src/fs/ops/attributes.ts";
import { startFilesystem } from "../../src/mount/filesystem.ts";
import { snapshotOf } from "../support/mounted.ts";
import { COMPARERS } from "./comparers.ts";

/** Sizes tried, in bytes. */
export const CLAIMS = [0, 1, 4096, 65_536, CLAIMED_SIZE] as const;

/**
 * - "right": the whole content
 * - "fails": an error, reported by the exit status
 * - "warns": something else, exit status 0, and a message on standard error
 * - "wrong": something else, without any message
 */
export type Verdict = "right" | "fails" | "warns" | "wrong";

/** How the claimed size compares with the real size: nothing else matters to a tool. */
export type Case = "nothing" | "less" | "more" | "exact";

/** Longer than some claimed sizes, longer than all, a whole number of pages, and exactly as long as a claimed size. */
export const CONTENTS = {
  small: text(10_000),
  large: text(1_500_000),
  pages: text(8192),
  exact: text(CLAIMED_SIZE),
} as const;
export type ContentName = keyof typeof CONTENTS;

export interface Tool {
  readonly name: string;
  /** A shell script, run in a directory with only the pending file `f` (or `f.c`, `f.h`). `$OUT` is another folder. */
  readonly script: string;
  /** The content of the file; several lines of text by default. */
  readonly content?: (content: string) => string;
  readonly file?: string;
  /** What the tool prints when it is right; the content by default. */
  readonly prints?: (content: string) => string;
  /** Programs that it needs in addition to coreutils. */
  readonly needs?: readonly string[];
  /**
   * Whether the program notices that the size of a pending file was not the real one; it is then not run on generated
   * files.
   */
  readonly onlyPending?: boolean;
  /** The cases in which it is not "right" if stat(2) does not generate. */
  readonly except?: Partial<Record<Case, Verdict>>;
  /** The entry of --stat-generates that makes it right in all cases. */
  readonly entry?: string;
}

const python = (script: string) => `python3 -c 'import os, sys, mmap, shutil\n${script}'`;
const node = (script: string) => `node -e 'const fs = require("fs"); ${script}'`;
const lines = (content: string) => content.trimEnd().split("\n");

export const TOOLS: readonly Tool[] = [
  { name: "cat", script: "cat f" },
  { name: "busybox cat", script: "busybox cat f", needs: ["busybox"] },
  { name: "cp", script: "cp f $OUT/o; cat $OUT/o" },
  { name: "cp -a", script: "cp -a f $OUT/o && cat $OUT/o" },
  { name: "cp --sparse=always", script: "cp --sparse=always f $OUT/o && cat $OUT/o" },
  { name: "cp within the mount", script: "cp f g && cat g" },
  { name: "busybox cp", script: "busybox cp f $OUT/o && cat $OUT/o", needs: ["busybox"] },
  { name: "mv to another filesystem", script: "mv f $OUT/o && cat $OUT/o" },
  { name: "install", script: "install -m 644 f $OUT/o && cat $OUT/o" },
  { name: "dd", script: "dd if=f bs=64k status=none" },
  { name: "busybox dd", script: "busybox dd if=f bs=64k 2> $OUT/e", needs: ["busybox"] },
  { name: "wc -c", script: "wc -c f", prints: (content) => `${content.length} f\n` },
  {
    name: "busybox wc -c",
    script: "busybox wc -c f",
    prints: (content) => `${content.length} f\n`,
    needs: ["busybox"],
  },
  { name: "head -n", script: "head -n 3 f", prints: (content) => `${lines(content).slice(0, 3).join("\n")}\n` },
  { name: "head -c -N", script: "head -c -10 f", prints: (content) => content.slice(0, -10) },
  { name: "tail -n", script: "tail -n 3 f", prints: (content) => `${lines(content).slice(-3).join("\n")}\n` },
  { name: "tail -c", script: "tail -c 100 f", prints: (content) => content.slice(-100) },
  {
    name: "busybox tail -c",
    script: "busybox tail -c 100 f",
    prints: (content) => content.slice(-100),
    needs: ["busybox"],
  },
  { name: "tac", script: "tac f", prints: (content) => `${lines(content).toReversed().join("\n")}\n` },
  { name: "split -n", script: "split -n 2 f $OUT/p && cat $OUT/p*" },
  { name: "grep", script: "grep -c line f", prints: (content) => `${lines(content).length}\n` },
  {
    name: "busybox grep",
    script: "busybox grep -c line f",
    prints: (content) => `${lines(content).length}\n`,
    needs: ["busybox"],
  },
  { name: "sort", script: "sort -r f", prints: (content) => `${lines(content).toSorted().toReversed().join("\n")}\n` },
  { name: "sed", script: "sed -n p f" },
  { name: "awk", script: "awk 1 f", needs: ["awk"] },
  { name: "sha256sum", script: "sha256sum < f", prints: (content) => `${hash("sha256", content)}  -\n` },
  {
    name: "busybox sha256sum",
    script: "busybox sha256sum f",
    prints: (content) => `${hash("sha256", content)}  f\n`,
    needs: ["busybox"],
  },
  { name: "cmp", script: "cp f $OUT/o; cd ..; cmp $OUT/o $DIR/f && cat $OUT/o" },
  { name: "diff", script: "printf '' | diff - f | grep -c '^>'", prints: (content) => `${lines(content).length}\n` },
  { name: "gzip", script: "gzip -c f > $OUT/o.gz && gzip -dc $OUT/o.gz" },
  { name: "tar", script: "tar -cf $OUT/o.tar f && tar -xOf $OUT/o.tar f", except: { nothing: "wrong" } },
  { name: "tar -S", script: "tar -S -cf $OUT/o.tar f && tar -xOf $OUT/o.tar f", except: { nothing: "wrong" } },
  {
    name: "busybox tar",
    script: "busybox tar -cf $OUT/o.tar f && tar -xOf $OUT/o.tar f",
    needs: ["busybox"],
    except: { nothing: "wrong", less: "wrong", more: "fails" },
    entry: "busybox tar",
  },
  {
    name: "cpio -o",
    script: "echo f | cpio -o --quiet -H newc > $OUT/o && cd $OUT && cpio -i --quiet < o && cat f",
    needs: ["cpio"],
    except: { nothing: "warns", less: "warns", more: "warns" },
    entry: "cpio",
  },
  { name: "rsync", script: "rsync -a f $OUT/o && cat $OUT/o", needs: ["rsync"] },
  { name: "rsync --checksum", script: "rsync -ac f $OUT/o && cat $OUT/o", needs: ["rsync"] },
  { name: "zip", script: "zip -q $OUT/o.zip f && unzip -p $OUT/o.zip f", needs: ["zip", "unzip"] },
  { name: "ar", script: "ar rc $OUT/o.a f && ar p $OUT/o.a f", needs: ["ar"] },
  {
    name: "git add, git fsck",
    script:
      "export HOME=$OUT && git init -q $OUT/r && git --git-dir=$OUT/r/.git --work-tree=. add f && git -C $OUT/r fsck --strict 2> $OUT/e && git -C $OUT/r show :f",
    needs: ["git"],
    except: { nothing: "wrong", less: "wrong", more: "fails" },
    entry: "git",
  },
  {
    name: "git hash-object",
    script: "git hash-object f",
    prints: (content) => `${hash("sha1", `blob ${content.length}\0${content}`)}\n`,
    needs: ["git"],
  },
  { name: "curl file://", script: "curl -s file://$PWD/f", needs: ["curl"] },
  {
    name: "gcc",
    script: "gcc -o $OUT/o f.c && $OUT/o",
    file: "f.c",
    content: (content) => program(content),
    prints: () => "compiled\n",
    needs: ["gcc"],
  },
  {
    name: "gcc, #include",
    script: "echo '#include \"f.h\"' > $OUT/m.c && gcc -I. -o $OUT/o $OUT/m.c && $OUT/o",
    file: "f.h",
    content: (content) => program(content),
    prints: () => "compiled\n",
    needs: ["gcc"],
  },
  {
    name: "sh, as a script",
    script: "sh f",
    content: (content) => shellScript(content),
    prints: () => "ran to the end\n",
  },
  { name: "Python open().read()", script: python('sys.stdout.write(open("f").read())'), needs: ["python3"] },
  {
    name: "Python mmap",
    script: python('f = open("f", "rb"); sys.stdout.buffer.write(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:])'),
    needs: ["python3"],
  },
  {
    name: "Python shutil.copyfile",
    script: `${python('shutil.copyfile("f", os.environ["OUT"] + "/o")')} && cat $OUT/o`,
    needs: ["python3"],
  },
  {
    name: "os.sendfile to the end",
    script: python('f = os.open("f", os.O_RDONLY)\nwhile os.sendfile(1, f, None, 1 << 20): pass'),
    needs: ["python3"],
  },
  {
    name: "os.sendfile, size by fstat",
    script: python(
      'f = os.open("f", os.O_RDONLY); n = os.fstat(f).st_size\nwhile n > 0: n -= os.sendfile(1, f, None, n) or sys.exit("short")',
    ),
    needs: ["python3"],
  },
  {
    name: "os.sendfile, size by stat before open",
    script: python(
      'n = os.stat("f").st_size; f = os.open("f", os.O_RDONLY)\nwhile n > 0:\n  d = os.sendfile(1, f, None, n)\n  if d == 0: break\n  n -= d',
    ),
    needs: ["python3"],
    except: { nothing: "wrong", less: "wrong" },
    entry: "python3",
  },
  {
    name: "read of the size by stat before open",
    script: python('n = os.stat("f").st_size; sys.stdout.write(open("f").read(n))'),
    needs: ["python3"],
    except: { nothing: "wrong", less: "wrong" },
    entry: "python3",
  },
  {
    name: "mmap of the size by stat before open",
    script: python(
      'n = os.stat("f").st_size; f = open("f", "rb"); sys.stdout.buffer.write(mmap.mmap(f.fileno(), n, prot=mmap.PROT_READ)[:])',
    ),
    needs: ["python3"],
    except: { less: "wrong", more: "fails" },
    entry: "python3",
  },
  { name: "Perl, slurp", script: "perl -0777 -ne print f", needs: ["perl"] },
  { name: "Node readFileSync", script: node('process.stdout.write(fs.readFileSync("f"))'), needs: ["node"] },
  { name: "Node createReadStream", script: node('fs.createReadStream("f").pipe(process.stdout)'), needs: ["node"] },
  {
    name: "Node copyFileSync",
    script: `${node('fs.copyFileSync("f", process.env.OUT + "/o")')} && cat $OUT/o`,
    needs: ["node"],
  },
];

/** What a tool should do with a file that reports this size, if stat(2) generates for these programs. */
export function expected(tool: Tool, claim: number, name: ContentName, generates: readonly string[] = []): Verdict {
  if (tool.entry !== undefined && generates.includes(tool.entry)) return "right";
  return tool.except?.[caseOf(claim, contentFor(tool, name).length)] ?? "right";
}

function caseOf(claim: number, size: number): Case {
  if (claim === 0) return "nothing";
  return claim < size ? "less" : claim > size ? "more" : "exact";
}

/** The programs for which stat(2) generates unless --stat-generates says otherwise. */
export const BY_DEFAULT = STAT_GENERATES.split(",");

/** Programs that a tool needs and that are not installed. */
export function missing(tool: Tool): readonly string[] {
  return (tool.needs ?? []).filter((program) => Bun.which(program) === null);
}

export interface Observation {
  readonly tool: Tool;
  readonly verdict: Verdict;
  readonly detail: string;
}

/** Reads the file and regenerates it. */
const REGENERATE = `python3 -c 'import os, sys
open(sys.argv[1]).read(); os.setxattr(sys.argv[1], "user.llmfs.regen", b"again"); open(sys.argv[1]).read()' `;

interface MatrixOptions {
  readonly passthrough?: boolean;
  /** Whether the files have been generated twice; otherwise they are pending. */
  readonly regenerated?: boolean;
  /** The programs for which stat(2) generates. */
  readonly generates?: readonly string[];
}

/** Runs tools on files that report this size, a few at a time, on a mount of their own. */
export async function runMatrix(
  claim: number,
  name: ContentName,
  tools: readonly Tool[],
  { passthrough = true, regenerated = false, generates = [] }: MatrixOptions = {},
): Promise<Observation[]> {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-matrix-"));
  const mountpoint = join(folder, "mnt");
  mkdirSync(mountpoint);
  const contents = new Map<string, string>();
  for (const [index, tool] of tools.entries()) contents.set(pathFor(tool, index), contentFor(tool, name));
  const earlier = new Set(regenerated ? contents.keys() : []);
  try {
    await using filesystem = await startFilesystem({
      mountpoint,
      claimedSize: claim,
      programs: { statGenerates: generates },
      passthrough,
      from: { text: Buffer.from(snapshotOf([...contents.keys()])) },
      generate: async ({ path }) => {
        const content = earlier.delete(path) ? "an earlier content\n" : (contents.get(path) ?? "");
        return { bytes: Buffer.from(content), metadata: new Map() };
      },
      log: (level, tag, line) => level === "error" && console.error(`${tag}: ${line}`),
    });
    void filesystem;
    const found: Observation[] = [];
    const queue = [...tools.entries()];
    const worker = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const [index, tool] = next;
        const first = regenerated ? `${REGENERATE} ${tool.file ?? "f"} || exit\n` : "";
        found[index] = await observe(tool, first, join(mountpoint, `${index}`), join(folder, `${index}`), name);
      }
    };
    await Promise.all([worker(), worker(), worker()]);
    return found;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function pathFor(tool: Tool, index: number): string {
  return `/${index}/${tool.file ?? "f"}`;
}

function contentFor(tool: Tool, name: ContentName): string {
  return (tool.content ?? ((content) => content))(CONTENTS[name]);
}

async function observe(tool: Tool, first: string, cwd: string, out: string, name: ContentName): Promise<Observation> {
  mkdirSync(out);
  const child = Bun.spawn({
    // What the pipe does with the output is not part of the tool: sendfile and splice treat it like a file.
    cmd: ["/bin/sh", "-c", first + tool.script],
    cwd,
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C", OUT: out, DIR: cwd, HOME: out },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const right = (tool.prints ?? ((content: string) => content))(contentFor(tool, name));
  const verdict = status !== 0 ? "fails" : stdout === right ? "right" : stderr.trim() === "" ? "wrong" : "warns";
  const detail = `status ${status}, ${stdout.length} of ${right.length} characters; ${stderr.trim().split("\n")[0]}`;
  return { tool, verdict, detail };
}

/** Text of this length, in lines that all differ. */
function text(length: number): string {
  let whole = "";
  for (let index = 0; whole.length < length; index++) whole += `line ${index} of the content of a file\n`;
  return `${whole.slice(0, length - 2)}.\n`;
}

function hash(algorithm: "sha1" | "sha256", content: string): string {
  return new Bun.CryptoHasher(algorithm).update(content).digest("hex");
}

/** C with its main function at the end of the file. */
function program(content: string): string {
  return `#include <stdio.h>\n/*\n${content}*/\nint main(void) { puts("compiled"); return 0; }\n`;
}

function shellScript(content: string): string {
  return `: <<'END'\n${content}END\necho ran to the end\n`;
}

/** The whole of docs/lazy-files.md. */
export function document(): string {
  const always = TOOLS.filter(({ except }) => except === undefined).map(({ name }) => name);
  const sometimes = TOOLS.filter(({ except }) => except !== undefined);
  const cell = (tool: Tool, which: Case) => MEANING[tool.except?.[which] ?? "right"];
  const listed = ({ entry }: Tool) =>
    entry === undefined ? "" : BY_DEFAULT.includes(entry) ? `\`${entry}\`, by default` : `\`${entry}\``;
  const rows = sometimes.map(
    (tool) =>
      `| ${tool.name} | ${cell(tool, "nothing")} | ${cell(tool, "less")} | ${cell(tool, "more")} | ${listed(tool)} |`,
  );
  return `${HEAD}
| tool | 0 | less than the real size | more than the real size | always right with \`--stat-generates\` |
|---|---|---|---|---|
${rows.join("\n")}

**Right with any reported size:** ${always.join(", ")}.
${TAIL.replace("{comparers}", COMPARERS.map(({ name }) => name).join(", "))}`;
}

const MEANING: Readonly<Record<Verdict, string>> = {
  right: "right",
  fails: "fails",
  warns: "wrong, with a warning",
  wrong: "**wrong, silently**",
};

const HEAD = `# Lazy files

A *pending* file has a name, an owner and a mode, but no content yet. The first open for reading generates the content, and returns
when it is complete; from then on the file is like any other. This page describes what programs can notice.

\`npm run docs\` writes this page. \`test/mount/matrix.test.ts\` runs the programs of the table below on a real mount, and compares what
they do with the table.

## What generates the content

- Opening the file for reading, or for reading and writing (\`dd seek=\`, \`fallocate\` and many editors do that), by any path.
- Running, mapping or copying the file, because that opens it for reading.
- A \`stat\` call by git, cpio, busybox tar or busybox cpio, because these programs rely on the size: see
  [below](#programs-that-ask-for-the-size-first).
- Nothing else. \`ls -lR\`, \`find\`, \`du\`, \`stat\`, \`git status\`, \`getfattr\`, \`mv\`, \`ln\`, \`chmod\` and \`touch\` generate nothing and do not wait.

If something writes to the file before it is generated (\`>\`, \`>>\`, \`truncate\`, \`cp\` onto it), it becomes an ordinary file with exactly
what was written, and is never generated. If you change a generated file, with any tool, it becomes an ordinary file, and
other files are generated from its new content.

\`getfattr -n user.llmfs.state FILE\` shows the state of a file: \`pending\`, \`generating\`, \`ready\`, \`failed\` (\`user.llmfs.error\` says
why) or \`static\`.

## While a program waits

- **Signals that do not end a program do not disturb it.** You can stop and continue it (Ctrl-Z and \`fg\`), resize its terminal, trace
  it, or freeze it with its container. Timers, child processes that end, and runtimes that signal their own threads (Go) make no
  difference. A stop, a tracer or the handler of such a signal takes effect when the content is there, as for a program that
  waits for a disk.
- **A signal that ends a program ends its wait at once.** SIGHUP, SIGINT, SIGQUIT, SIGABRT and SIGTERM do so even if the program has a
  handler for them: its \`open\` fails with EINTR. No other handler interrupts a wait, not even one for SIGALRM, because from outside
  a timer that limits a read looks like any other timer. Use \`timeout 10 cat FILE\`, or \`--timeout\` of the mount.
- **If llmfs cannot see the program**, any signal makes its \`open\` fail with EINTR. This is the case if the program is in a process
  namespace above or beside that of llmfs, such as a host whose container made the mount, or if \`/proc\` is not mounted or hides
  other users' processes (\`hidepid\`).
- **When the last reader has stopped waiting**, the request continues for three seconds, or for half a second if other files wait for
  a free slot. A program that opens the file in that time waits for the same answer, unless a prompt or a file that it is generated
  from has changed. After that time, the request is cancelled, together with requests for files that were generated only because this
  one depends on them.

## The size of a pending file

\`stat\` must report a size before the real size is known. A program that opens the file and then reads to its end, or then asks for the
size, gets the right result whatever \`stat\` reported before: the kernel knows the real size and content before \`open\` returns. A few
programs ask for the size first and rely on it. The table shows what they do if \`stat\` generates nothing for them and reports this size:
`;

const TAIL = `
Therefore a pending file reports ${CLAIMED_SIZE / 1024} KiB, which is more than a model writes into one file, and 0 blocks, like a file that is
one hole: \`du\` counts nothing, and \`ls -s\` shows 0. Most programs that trust this size then stop with an error, instead of silently using
half a file. If the content turns out to be longer than ${CLAIMED_SIZE / 1024} KiB, the column "less than the real size" applies.

## Programs that ask for the size first

For some programs, \`stat\` generates a pending file and waits for it, as \`open\` does, so that they see the real size. These are git, cpio,
busybox tar and busybox cpio. \`--stat-generates\` replaces this list. An entry is the name of a program, or of a program and its command:

\`\`\`sh
llmfs mount DIR --stat-generates 'git,cpio,busybox tar,busybox cpio,python3'
llmfs mount DIR --stat-generates ''      # for no program: stat never generates
\`\`\`

- **How a program is recognized**: by its name in \`/proc/PID/comm\`, its executable and its arguments. If llmfs cannot see the process
  (because it is in a process namespace above that of llmfs), \`stat\` generates nothing.
- **git**: commands that only look do not generate: \`git status\`, \`git ls-files\`, \`git checkout\`, \`git clean\`, \`git diff --quiet\` and
  the others in \`src/fs/programs/git-commands.ts\`. So shell prompts and editors that run them in the background cost nothing.
  \`git add\` generates the files that it adds, and \`git diff\` the tracked files that are pending. \`git status\` reports a tracked file as
  modified while it is pending.
- **cpio, busybox tar and busybox cpio** cause generation when they pack, but not when they unpack or list.
- **The wait** can be interrupted, like that of an \`open\`. If the file cannot be generated, \`stat\` fails with the same error as
  \`open\` would. git reports this error, and leaves no \`index.lock\` behind.
- **What it costs**: the kernel must not cache the attributes of a pending file, because it would show them to the next program
  without asking llmfs. So each \`stat\` of a pending file is a request. \`ls -lR\` sends one request per file in any case. Normally
  that is a request for the file's access control list. If llmfs answers that there are no such lists in the mount, \`ls\` does not ask
  again, but the kernel then requests the attributes of each file. llmfs answers like this if the file belongs to the user who runs
  \`ls\`, and no file in the mount has such a list. The attributes of generated and ordinary files are cached.

Other programs that rely on the size get the right result if the content is generated before they look: run \`llmfs warm DIR\`, or read
the files (\`find . -name .git -prune -o -type f -exec cat {} + > /dev/null\`).

- **Python's \`mmap\` of a size that \`os.stat\` reported before \`open\`** fails with \`ValueError: mmap length is greater than file size\`,
  because Python compares both after \`open\`; there is no SIGBUS. \`open\`, then \`os.fstat\`, then \`mmap\` is right, and so is
  \`mmap(fd, 0)\`. If you cannot change the program, run \`llmfs warm\` first, or add \`python3\` to \`--stat-generates\`. It is not in that
  list, because many scripts that only look call \`os.stat\` for every file, and would have all of them generated.
- **Programs that skip large files** (indexers, linters, search in editors) may skip a pending file because of its reported size.
- \`find -size\`, \`ls -S\` and \`test -s\` use the reported size, so a pending file is not empty for them.

## Seeing which files are pending

\`llmfs tree\` and \`llmfs ls -l\` show the state of each file. In \`ls -ls\`, a pending file has \`0\` blocks and the size ${CLAIMED_SIZE}. This shell
function shows the word \`pending\` in place of that size:

\`\`\`sh
lsp() { ls -lsq "$@" | sed -E 's/^( *0 -.*) ${CLAIMED_SIZE} /\\1 pending /'; }
\`\`\`

It works in bash and zsh. In fish:

\`\`\`fish
function lsp; ls -lsq $argv | sed -E 's/^( *0 -.*) ${CLAIMED_SIZE} /\\1 pending /'; end
\`\`\`

\`-q\` shows a line break in a name as \`?\`, so that each file has one line.

A more visible mark would do harm. With a size of 0, or one below the real size, programs in the table above would silently give wrong
results. With a cleared permission bit, \`cp -a\`, \`tar\` and \`git\` would copy the wrong mode, and programs could not open the file, so
it would never be generated.

## The time of a pending file

Reading does not change \`mtime\`. A file keeps its \`mtime\` when its content arrives; so does a directory when it is listed for the first
time, or when a file that a rule generates by name (\`{name}\`) is looked up in it. Only \`ctime\` changes. A pending file has the time that
its snapshot says, or else the time of the mount, or \`SOURCE_DATE_EPOCH\`. The same is true of everything that a first listing or lookup
finds. Writing to a file changes its \`mtime\`, and so do \`llmfs regen\` and a refresh that changes the content.

So programs that check whether a file has changed do not take the first reading for a change: no editor warns when it writes, and
nothing is built or copied again. Tested: {comparers}.

**vim** also compares the size, but only when it returns from a shell command (\`:!\`), gets the focus back, or you ask it to
(\`:checktime\`). If the file was pending when vim opened it, vim then warns once that it has changed since editing started (W11).
Answer *OK*, because the buffer already holds the whole content. With \`:set autoread\`, which Neovim sets by default, vim does not warn.

**A file with \`refresh\`** is generated again when it is opened after its time has passed. If that changes the content, \`mtime\` changes
after the editor has checked the file and before it reads it. So the editor warns at the first write that the file has changed;
\`nvim -es\`, which cannot ask, does not write. Open the file in the editor again (\`:edit\`), or use \`:write!\`, which is safe because the
file has the content that the editor shows. Once you have written the file, it is not generated again.

If the refresh fails, \`open\` fails, and the file keeps its content and stays \`ready\`. \`user.llmfs.error\` has the reason, \`llmfs why\`
and \`llmfs status\` show it with its time, and \`llmfs tree\` marks the file. With \`stale\`, readers get the old content, and this is the
only sign of the failure besides the log. The next successful refresh removes it. A failed \`llmfs regen\` is shown in the same way.

## Readers inside the kernel

Parts of the kernel read files too. Most of them open a file before they ask for its size, so they get the whole content: running a
file, loop devices (\`losetup\`, \`mount -o loop\`), \`sendfile\`, \`splice\`, \`copy_file_range\`, \`O_DIRECT\`, io_uring, and programs that watch
with fanotify. \`swapon\` fails, as on every FUSE mount. These are different:

- **overlayfs with the mount as a lower layer** generates a pending file when it copies it up (\`chmod\`, \`mv\`, opening it for writing),
  and copies the real content. With the mount option \`metacopy=on\`, this needs Linux 5.15. On an older kernel with that option, the
  copy is padded with NULs to the reported size, so run \`llmfs warm DIR\` first.
- **overlayfs does not allow changes beneath it.** After a file that was seen through the overlay is replaced in the mount
  (\`llmfs regen\`, \`refresh\` while somebody has the file open, a listing that no longer has it), using it through the overlay
  fails with "Stale file handle" until the overlay is mounted again.
- **A mount as the upper layer of an overlay** works like the mount itself.
- **NFS.** File handles stay valid as long as the file exists, even after the kernel has forgotten it. They become stale when the
  file is removed, its content is replaced (\`llmfs regen\`, \`refresh\`), or the mount is made again. This is tested with
  \`open_by_handle_at\`, not with an NFS server. Export with \`fsid=\`, and run \`llmfs warm DIR\` first, because a client shows
  and caches the reported size until it reads the file.
`;

export const DOCUMENT = new URL("../../docs/lazy-files.md", import.meta.url).pathname;

if (import.meta.main) {
  if (process.argv[2] === "--write") {
    await Bun.write(DOCUMENT, document());
  } else {
    for (const name of ["small", "large", "pages", "exact"] as const) {
      for (const claim of CLAIMS) {
        const tools = [...TOOLS, ...COMPARERS].filter((tool) => missing(tool).length === 0);
        for (const { tool, verdict, detail } of await runMatrix(claim, name, tools, { generates: BY_DEFAULT })) {
          const surprise = verdict === expected(tool, claim, name, BY_DEFAULT) ? "" : "  ← not as expected";
          console.log(`${claim}\t${name}\t${verdict}\t${tool.name}: ${detail}${surprise}`);
        }
      }
    }
  }
}
