/**
 * Programs that check whether a file has changed since they last saw it: editors before they write, builders and
 * copiers before they work. Each checks the file while it is pending, generates it, and checks it again. They compare
 * the mtime, which stays, and some also the size. In another run the file was regenerated just before, and is like any
 * other.
 *
 * Like those of matrix.ts, their scripts print their results on standard output.
 */
import type { Tool } from "./matrix.ts";

const python = (script: string) => `python3 -c 'import os, pty, select, sys, time\n${script}'`;

/** Types keys into a program on a terminal of its own: for each pair, waits for the text and then types. */
const keys = (command: string, ...pairs: readonly (readonly [text: string, typed: string])[]) =>
  python(`pairs = ${JSON.stringify(pairs)}
pid, terminal = pty.fork()
if pid == 0:
  os.environ["TERM"] = "xterm"
  os.execvp("sh", ["sh", "-c", ${JSON.stringify(command)}])
screen, until = "", time.time() + 60
for text, typed in pairs:
  while text not in screen:
    if not select.select([terminal], [], [], until - time.time())[0]: sys.exit("%r is not in %r" % (text, screen))
    screen += os.read(terminal, 4096).decode(errors="replace")
  screen = ""
  os.write(terminal, typed.encode())
try:
  while os.read(terminal, 4096): pass
except OSError: pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`);

const withMine = (content: string) => `${content}mine\n`;

/** Vim in Ex mode, which prints nothing and gives up at the first question. */
const ex = (command: string, ...commands: readonly string[]) =>
  `${command} -es -u NONE ${commands.map((one) => `-c '${one}'`).join(" ")} f && cat f`;
const APPEND = '$put =\\"mine\\"';

const emacs = '(find-file "f") (goto-char (point-max)) (insert "mine\\n") (save-buffer)';

export const COMPARERS: readonly Tool[] = [
  { name: "vim", script: ex("vim -N", APPEND, "wq"), prints: withMine, needs: ["vim"] },
  {
    name: "vim with repeated checks",
    script: ex("vim -N", "checktime", APPEND, "checktime", "w", "checktime", "wq"),
    prints: withMine,
    needs: ["vim"],
  },
  {
    name: "vim on a terminal",
    script: `${keys("vim -u NONE -N f", ['"f"', "Gomine\u001b:w\r"], ["written", ":wq\r"])} && cat f`,
    prints: withMine,
    needs: ["vim", "python3"],
  },
  {
    // It warns once, as it compares the size as well: docs/lazy-files.md.
    name: "vim after a shell command",
    onlyPending: true,
    script: `${keys(
      "vim -u NONE -N f",
      ['"f"', ":!true\r"],
      ["W11", "o"],
      ["ENTER", "\r"],
      ["line", ":!true\r"],
      ["ENTER", "\r"],
      ["line", "Gomine\u001b:w\r"],
      ["written", ":q\r"],
    )} && cat f`,
    prints: withMine,
    needs: ["vim", "python3"],
  },
  {
    name: "nvim",
    script: ex("nvim --headless", APPEND, "checktime", "wq"),
    prints: withMine,
    needs: ["nvim"],
  },
  {
    name: "nano",
    script: `${keys(
      "nano --ignorercfiles f",
      ["Read ", "\u001b/mine\u000f"],
      ["Name to Write", "\r"],
      ["Wrote", "\u0018"],
    )} && cat f`,
    prints: withMine,
    needs: ["nano", "python3"],
  },
  {
    name: "emacs",
    script: `emacs -Q --batch --eval '(progn ${emacs})' 2> $OUT/e && cat f`,
    prints: withMine,
    needs: ["emacs"],
  },
  {
    // src/vs/platform/files/common/fileService.ts: validateWriteFile().
    name: "VS Code's rule",
    script: `${python(`before = os.stat("f"); text = open("f").read(); now = os.stat("f")
if before.st_mtime_ns < now.st_mtime_ns and before.st_size != now.st_size: sys.exit("modified since")
open("f", "w").write(text + "mine\\n")`)} && cat f`,
    prints: withMine,
    needs: ["python3"],
  },
  {
    name: "make",
    script:
      "printf 'out: f\\n\\t@echo made\\n\\t@touch out\\n' > Makefile; make; cat f > $OUT/o; make; touch f; make; make",
    prints: () => "made\nmake: 'out' is up to date.\nmade\nmake: 'out' is up to date.\n",
    needs: ["make"],
  },
  { name: "rsync twice", script: "rsync -a f $OUT/o && rsync -ai f $OUT/o && cat $OUT/o", needs: ["rsync"] },
  { name: "cp -u twice", script: "cp -uv f $OUT/o > $OUT/e; cp -uv f $OUT/o && cat $OUT/o" },
  { name: "test -nt", script: "touch new && cat f && [ new -nt f ]" },
  { name: "find -newer", script: "touch new && cat f && find f -newer new" },
  {
    name: "git status",
    script: [
      "git init -q; git config user.name n; git config user.email e",
      "cat f > $OUT/o; git add f; git commit -qm m; git status --porcelain; cat f; git status --porcelain",
    ].join("\n"),
    needs: ["git"],
  },
  {
    name: "Python import",
    file: "f.py",
    content: (content) => `'''${content}'''\nprint("imported")\n`,
    script: `${python("import f")}; ${python("import f")}; ${python("import f")}`,
    prints: () => "imported\nimported\nimported\n",
    needs: ["python3"],
  },
];
