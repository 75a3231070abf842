/**
 * A shell on a pseudo-terminal, and what a terminal emulator (@xterm/headless) shows of it, as SVG.
 */
import { dirname } from "node:path";
import { Terminal as Emulator, type IBufferCell } from "@xterm/headless";
import { escapeHTML } from "bun";

const PROMPT = "$ ";
const PATIENCE_MS = 30_000;

export interface Session {
  /** The title of the picture, for those who cannot see it. */
  readonly title: string;
  /** Typed one after the other, each when the prompt is there. */
  readonly lines: readonly string[];
  /** A command that does not end is drawn as soon as the screen shows this. Default: the prompt after the last line. */
  readonly until?: RegExp;
  readonly columns: number;
  /** The most rows that it prints. */
  readonly rows: number;
  readonly cwd: string;
  readonly home: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Types the session, and resolves with the screen at its end. `executable` is called llmfs. */
export async function record(session: Session, executable: string): Promise<Screen> {
  const { columns, rows } = session;
  const emulator = new Emulator({ cols: columns, rows, allowProposedApi: true });
  const screen = new Screen(emulator);
  const pty = new Bun.Terminal({
    cols: columns,
    rows,
    data: (_, bytes) => {
      screen.written = screen.written.then(() => new Promise((resolve) => emulator.write(bytes.slice(), resolve)));
    },
  });
  const shell = Bun.spawn({
    cmd: ["setsid", "--ctty", "--wait", "bash", "--norc", "--noprofile"],
    cwd: session.cwd,
    env: {
      PATH: `${dirname(executable)}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`,
      HOME: session.home,
      TERM: "xterm-256color",
      PS1: PROMPT,
      LC_ALL: "C.UTF-8",
      TZ: "UTC",
      INPUTRC: "/dev/null",
      ...session.env,
    },
    terminal: pty,
  });
  try {
    for (const line of session.lines) {
      await screen.prompted();
      pty.write(`${line}\r`);
      await screen.left();
    }
    if (session.until === undefined) await screen.prompted();
    else {
      await screen.shows(session.until);
      screen.freeze();
      pty.write("\u0003");
    }
    return screen;
  } finally {
    pty.close();
    shell.kill("SIGKILL");
    await shell.exited;
  }
}

/** A run of characters that look alike. */
interface Run {
  text: string;
  readonly color: string;
  readonly bold: boolean;
}

export class Screen {
  readonly #emulator: Emulator;
  /** Resolves when everything that has arrived is on the screen. */
  written: Promise<void> = Promise.resolve();
  #frozen: readonly (readonly Run[])[] | undefined;

  constructor(emulator: Emulator) {
    this.#emulator = emulator;
  }

  /** Resolves when the cursor is after a prompt. */
  prompted(): Promise<void> {
    return this.#until(() => this.#lineAtCursor() === PROMPT.trimEnd());
  }

  /** Resolves when the cursor has left its current line, so the command prints something or has ended. */
  left(): Promise<void> {
    const row = this.#emulator.buffer.active.cursorY;
    return this.#until(() => this.#emulator.buffer.active.cursorY > row);
  }

  shows(text: RegExp): Promise<void> {
    return this.#until(() => text.test(this.text()));
  }

  /** Keeps what is shown now. */
  freeze(): void {
    this.#frozen = this.runs();
  }

  text(): string {
    return this.runs()
      .map((line) => line.map(({ text }) => text).join(""))
      .join("\n");
  }

  /** Every line, without the last prompt and the empty lines at the end. */
  runs(): readonly (readonly Run[])[] {
    if (this.#frozen !== undefined) return this.#frozen;
    const { active } = this.#emulator.buffer;
    const lines = Array.from({ length: active.length }, (_, row) => this.#runsOf(row));
    const textOf = (line: readonly Run[] = []) => line.map(({ text }) => text).join("");
    while (lines.length > 0 && ["", PROMPT.trimEnd()].includes(textOf(lines.at(-1)))) lines.pop();
    return lines;
  }

  #runsOf(row: number): readonly Run[] {
    const line = this.#emulator.buffer.active.getLine(row);
    const length = line?.translateToString(true).trimEnd().length ?? 0;
    const runs: Run[] = [];
    for (let column = 0; column < length; column++) {
      const cell = line?.getCell(column);
      if (cell === undefined || cell.getWidth() === 0) continue;
      const [color, bold] = [colorOf(cell), cell.isBold() !== 0];
      const last = runs.at(-1);
      const text = cell.getChars() || " ";
      if (last?.color === color && last.bold === bold) last.text += text;
      else runs.push({ text, color, bold });
    }
    return runs;
  }

  #lineAtCursor(): string {
    const { active } = this.#emulator.buffer;
    const line = active.getLine(active.baseY + active.cursorY);
    return line?.translateToString(true).trimEnd() ?? "";
  }

  async #until(condition: () => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      await this.written;
      if (condition()) return;
      if (performance.now() > end)
        throw new Error(`the terminal did not get there in ${PATIENCE_MS / 1000} s; it shows:\n${this.text()}`);
      await Bun.sleep(10);
    }
  }
}

const CELL = { width: 8, height: 18 };
const PADDING = 16;
const COLORS = { background: "#16191d", text: "#d6d9dd", comment: "#7f8b99", command: "#ffffff" };
/** The colors 0 to 7 of a terminal, and the same bright. */
const PALETTE = ["#5b6470", "#f07178", "#9fca6e", "#e6c07b", "#6fb1f0", "#c792ea", "#6fd0d8", "#d6d9dd"];

function colorOf(cell: IBufferCell): string {
  if (cell.isDim() !== 0) return COLORS.comment;
  return cell.isFgPalette() ? (PALETTE[cell.getFgColor() % PALETTE.length] ?? COLORS.text) : COLORS.text;
}

export function draw(screen: Screen, { title, columns }: Session): string {
  const lines = screen.runs();
  const width = columns * CELL.width + 2 * PADDING;
  const height = lines.length * CELL.height + 2 * PADDING;
  const rows = lines.map((line, row) => {
    const y = PADDING + row * CELL.height + 13;
    return line.length === 0 ? "" : `<text x="${PADDING}" y="${y}">${spans(line)}</text>\n`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>${escapeHTML(title)}</title>
<rect width="100%" height="100%" rx="8" fill="${COLORS.background}"/>
<g font-family="ui-monospace,Menlo,'DejaVu Sans Mono',monospace" font-size="13.3" fill="${COLORS.text}" style="white-space:pre" xml:space="preserve">
${rows.join("")}</g>
</svg>
`;
}

function spans(line: readonly Run[]): string {
  const text = line.map((run) => run.text).join("");
  if (!text.startsWith(PROMPT)) return line.map(span).join("");
  const [, command = text, comment = ""] = /^(.*?)( +# .*)?$/.exec(text) ?? [];
  const typed = `<tspan fill="${COLORS.command}" font-weight="bold">${escapeHTML(command)}</tspan>`;
  return comment === "" ? typed : `${typed}<tspan fill="${COLORS.comment}">${escapeHTML(comment)}</tspan>`;
}

function span({ text, color, bold }: Run): string {
  const fill = color === COLORS.text ? "" : ` fill="${color}"`;
  const weight = bold ? ' font-weight="bold"' : "";
  return fill + weight === "" ? escapeHTML(text) : `<tspan${fill}${weight}>${escapeHTML(text)}</tspan>`;
}
