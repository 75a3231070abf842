/** Runs the program that mounts and unmounts for this process. It may be one that somebody else wrote (LLMFS_FUSERMOUNT). */
import { formatTimeSpan } from "../../text/duration.ts";

/** Longer than a proxy needs that passes the request on to another container. */
const PATIENCE_MS = 30_000;
/** What it has written is read at once. A process that it leaves behind keeps its standard error open. */
const OUTPUT_MS = 500;

interface FusermountResult {
  /** Undefined if it had to be ended. */
  readonly code: number | undefined;
  /** Its standard error, or that it did not end. */
  readonly said: string;
}

/** `socket`: a descriptor that it gets as number 3. */
export async function runFusermount(
  cmd: readonly string[],
  options: { readonly env?: Readonly<Record<string, string | undefined>>; readonly socket?: number } = {},
  patienceMs = PATIENCE_MS,
): Promise<FusermountResult> {
  const { env, socket } = options;
  const child = Bun.spawn([...cmd], {
    stdio: ["ignore", "ignore", "pipe", ...(socket === undefined ? [] : [socket])],
    ...(env !== undefined && { env }),
  });
  let said = "";
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) said += decoder.decode(chunk, { stream: true });
  })().catch(() => {});
  const late = Promise.withResolvers<"late">();
  const timer = setTimeout(() => late.resolve("late"), patienceMs);
  const code = await Promise.race([child.exited, late.promise]);
  clearTimeout(timer);
  if (code === "late") {
    child.kill("SIGKILL");
    child.unref();
    return { code: undefined, said: `it did not end within ${formatTimeSpan(patienceMs)}` };
  }
  await Promise.race([reading, Bun.sleep(OUTPUT_MS)]);
  child.unref();
  return { code, said: said.trim() };
}
