/** The long-lived program of programs.py, and what it observed. */
import { join } from "node:path";
import type { Subprocess } from "bun";

/** A system call of the program failed, which is allowed. */
export class Errno extends Error {
  constructor(
    readonly code: string,
    call: string,
  ) {
    super(`${call}: ${code}`);
  }
}

export class Programs implements AsyncDisposable {
  readonly #child: Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;

  constructor(directory: string) {
    this.#child = Bun.spawn({
      cmd: ["python3", join(import.meta.dir, "programs.py")],
      cwd: directory,
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = lines(this.#child.stdout);
  }

  /** Throws Errno if a system call failed, and any other Error if something was wrong. */
  async do(request: string, ...values: readonly (string | number)[]): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify([request, ...values])}\n`);
    await this.#child.stdin.flush();
    const { value: line, done } = await this.#lines.next();
    if (done) throw new Error(`the program that uses the mount ended during "${request}"`);
    const answer = JSON.parse(line);
    const call = `${request}(${values.join(", ").slice(0, 200)})`;
    if (answer.errno !== undefined) throw new Errno(answer.errno, call);
    if (answer.wrong !== undefined) throw new Error(`${call}: ${answer.wrong}`);
    return answer.value;
  }

  async read(path: string): Promise<string> {
    return String(await this.do("read", path));
  }

  /** It ends by itself when its sockets and pipes are closed; what hangs in the kernel is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    const killed = setTimeout(() => this.#child.kill("SIGKILL"), 5000);
    await this.#child.exited;
    clearTimeout(killed);
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const piece of stream) {
    const parts = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}
