/** A program on its own terminal, with job control: its output, and a keyboard. */
import { eventually } from "./program.ts";

export class Terminal implements AsyncDisposable {
  /** Everything printed so far. */
  text = "";
  readonly #terminal: Bun.Terminal;
  readonly #process: Bun.Subprocess;

  constructor(cmd: readonly string[], options: { readonly cwd: string; readonly env: Record<string, string> }) {
    const decoder = new TextDecoder();
    this.#terminal = new Bun.Terminal({
      cols: 80,
      rows: 24,
      data: (_, bytes) => {
        this.text += decoder.decode(bytes, { stream: true });
      },
    });
    // A terminal controls the session that setsid(1) creates for it.
    this.#process = Bun.spawn({
      cmd: ["setsid", "--ctty", "--wait", ...cmd],
      cwd: options.cwd,
      env: { ...options.env, TERM: "xterm" },
      terminal: this.#terminal,
    });
  }

  type(keys: string): void {
    this.#terminal.write(keys);
  }

  /** The program in the foreground gets SIGWINCH. */
  resize(columns: number, rows: number): void {
    this.#terminal.resize(columns, rows);
  }

  /** Resolves when this text was printed since the last call, and discards the output up to it. */
  async shows(text: string): Promise<void> {
    try {
      await eventually(`"${text}" on the terminal`, () => this.text.includes(text));
    } catch (error) {
      throw new Error(`${String(error)}; there is ${JSON.stringify(this.text)}`);
    }
    this.text = this.text.slice(this.text.indexOf(text) + text.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The session's leader and its background processes get SIGHUP.
    this.#terminal.close();
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}
