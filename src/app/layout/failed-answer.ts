/** Keeps the last answer of a layout that failed, so that somebody can look at it. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../errno.ts";
import { LlmError } from "../../llm/llm.ts";
import { stateFolder } from "../settings/settings.ts";

const PREFIX = "layout-answer-";

/** Older ones are removed. */
const MOST_KEPT = 10;

/** The error to report: with the place of the answer, if it has one. */
export function keepFailedAnswer(error: unknown, folder: string = stateFolder()): unknown {
  if (!(error instanceof LlmError) || error.answer === undefined) return error;
  const { kind, message, answer, usage } = error;
  return new LlmError(kind, `${message}\n${keep(answer, folder)}`, { cause: error, answer, usage });
}

function keep(answer: string, folder: string): string {
  const file = join(folder, `${PREFIX}${new Date().toISOString().replace(/\W/g, "")}-${process.pid}.txt`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(file, answer, { mode: 0o600, flag: "wx" });
    removeOld(folder);
    return `The last answer is in ${file}`;
  } catch (error) {
    return `The last answer could not be kept: ${messageOf(error)}`;
  }
}

/** The names sort by time. */
function removeOld(folder: string): void {
  const names = readdirSync(folder).filter((name) => name.startsWith(PREFIX));
  for (const name of names.sort().slice(0, -MOST_KEPT)) rmSync(join(folder, name), { force: true });
}
