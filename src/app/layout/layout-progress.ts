/** Shows the progress of a layout. */
import type { StructureProgress } from "../../generate/structure/structure.ts";
import { createTenthCheck, type Progress } from "../progress.ts";

/** With more requests than this, their progress is shown. */
const MANY_REQUESTS = 10;

export function reportLayout(progress: Progress): (state: StructureProgress) => void {
  const due = createTenthCheck(progress);
  return (state) => {
    report(state, progress);
    const { done, total } = state.requests;
    if (total >= MANY_REQUESTS && due(done, total)) progress.print(sum(state));
  };
}

function sum({ files, requests: { done, total } }: StructureProgress): string {
  return `${files} files${total > 1 ? ` · ${done} of ${total} requests` : ""}`;
}

function report(state: StructureProgress, progress: Progress): void {
  progress.detail(`${sum(state)}${state.latest === undefined ? "" : ` · ${state.latest}`}`);
  if (state.problems !== undefined) {
    const [first = "", ...more] = state.problems;
    const others = more.length === 0 ? "" : ` (and ${more.length} more)`;
    progress.print(`asking the model to correct its answer: ${first}${others}`);
  }
}
