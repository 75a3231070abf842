/**
 * docs/terminal.svg: a picture of a real terminal session, for the README.
 *
 *   npm run build && node_modules/.bin/bun build/picture.ts
 *
 * A shell is started on a pseudo-terminal, the lines of SESSION are typed into it, and what a terminal emulator
 * (@xterm/headless) shows at the end is drawn. The example's answers are recorded, so every run gives the same picture.
 */
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { Terminal as Emulator } from "@xterm/headless";
import { escapeHTML } from "bun";

const ROOT = join(import.meta.dir, "..");
export const PICTURE = join(ROOT, "docs/terminal.svg");
const EXAMPLE = join(ROOT, "examples/harbour");

const COLUMNS = 92;
const ROWS = 60;
const PROMPT = "$ ";
const PATIENCE_MS = 30_000;

const SESSION = [
  "llmfs run --from harbour.json --mode replay --recordings recordings --model demo -- sh",
  "ls -goR      # the whole tree is there; nothing has been generated",
  "head -n 4 berths.csv      # the first read generates the file",
  "ls -go       # now it is a file like any other",
  "exit",
];

/** Types the session, and resolves with the emulated screen. Needs permission to mount. */
async function record(executable: string): Promise<Emulator> {
  const screen = new Emulator({ cols: COLUMNS, rows: ROWS, allowProposedApi: true });
  let written = Promise.resolve();
  const pty = new Bun.Terminal({
    cols: COLUMNS,
    rows: ROWS,
    data: (_, bytes) => {
      written = written.then(() => new Promise((resolve) => screen.write(bytes.slice(), resolve)));
    },
  });
  const state = join(EXAMPLE, `.picture-${process.pid}`);
  const shell = Bun.spawn({
    cmd: ["setsid", "--ctty", "--wait", "bash", "--norc", "--noprofile"],
    cwd: EXAMPLE,
    env: {
      PATH: `${dirname(executable)}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`,
      HOME: state,
      TERM: "xterm-256color",
      PS1: PROMPT,
      LC_ALL: "C.UTF-8",
      TZ: "UTC",
      INPUTRC: "/dev/null",
    },
    terminal: pty,
  });
  try {
    for (const line of SESSION) {
      await prompted(screen, () => written);
      pty.write(`${line}\r`);
      await left(screen, () => written);
    }
    await prompted(screen, () => written);
    return screen;
  } finally {
    pty.close();
    shell.kill("SIGKILL");
    await shell.exited;
    rmSync(state, { recursive: true, force: true });
  }
}

/** Resolves when the cursor is after a prompt. */
function prompted(screen: Emulator, written: () => Promise<void>): Promise<void> {
  return until(screen, written, () => lineAtCursor(screen) === PROMPT.trimEnd());
}

/** Resolves when the cursor has left its current line, so the command prints something or has ended. */
function left(screen: Emulator, written: () => Promise<void>): Promise<void> {
  const row = screen.buffer.active.cursorY;
  return until(screen, written, () => screen.buffer.active.cursorY > row);
}

function lineAtCursor({ buffer: { active } }: Emulator): string {
  return (
    active
      .getLine(active.baseY + active.cursorY)
      ?.translateToString(true)
      .trimEnd() ?? ""
  );
}

async function until(screen: Emulator, written: () => Promise<void>, condition: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    await written();
    if (condition()) return;
    if (performance.now() > end)
      throw new Error(`no prompt within ${PATIENCE_MS / 1000} s; the terminal shows:\n${shown(screen)}`);
    await Bun.sleep(10);
  }
}

/** The text on the screen. */
function shown({ buffer: { active } }: Emulator): string {
  const rows = Array.from({ length: active.length }, (_, row) => active.getLine(row)?.translateToString(true) ?? "");
  return rows.map((row) => row.trimEnd()).join("\n");
}

const CELL = { width: 8, height: 18 };
const PADDING = 16;
const COLORS = { background: "#16191d", text: "#d6d9dd", comment: "#7f8b99", command: "#ffffff" };

/** As SVG, with the last prompt left out. */
function draw(screen: Emulator): string {
  const lines = shown(screen).split("\n");
  while (lines.at(-1) === "" || lines.at(-1) === PROMPT.trimEnd()) lines.pop();
  const width = COLUMNS * CELL.width + 2 * PADDING;
  const height = lines.length * CELL.height + 2 * PADDING;
  const rows = lines.map((line, row) => {
    const y = PADDING + row * CELL.height + 13;
    return line === "" ? "" : `<text x="${PADDING}" y="${y}">${spans(line)}</text>\n`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>A terminal session: llmfs run, ls, head and ls again</title>
<rect width="100%" height="100%" rx="8" fill="${COLORS.background}"/>
<g font-family="ui-monospace,Menlo,'DejaVu Sans Mono',monospace" font-size="13.3" fill="${COLORS.text}" style="white-space:pre" xml:space="preserve">
${rows.join("")}</g>
</svg>
`;
}

function spans(line: string): string {
  const [, command = line, comment = ""] = /^(.*?)( +# .*)?$/.exec(line) ?? [];
  if (!command.startsWith(PROMPT)) return escapeHTML(line);
  const typed = `<tspan fill="${COLORS.command}" font-weight="bold">${escapeHTML(command)}</tspan>`;
  return comment === "" ? typed : `${typed}<tspan fill="${COLORS.comment}">${escapeHTML(comment)}</tspan>`;
}

/** The SVG. `executable` is called llmfs. */
export async function picture(executable = join(ROOT, "dist/llmfs")): Promise<string> {
  return draw(await record(executable));
}

if (import.meta.main) await Bun.write(PICTURE, await picture());
