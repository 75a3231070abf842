/** Recordings as lines for people, and as JSON. */
import type { Fault, Recording, StoreEntry } from "../../recording/recording.ts";
import { printableLine } from "../../text/printable.ts";

export function summarize({ key, label, request, answer, owner }: Recording, age?: number) {
  return {
    key,
    label,
    model: request.model,
    answeredBy: answer.model,
    ...answer.usage,
    ...(owner !== undefined && { owner }),
    ...(age !== undefined && { ageSeconds: Math.round(age / 1000), at: dateOf(age).toISOString() }),
  };
}

/** When a recording of this age was written, to the minute. */
export function formatDate(age: number | undefined): string {
  return age === undefined
    ? "-".padEnd(DATE)
    : dateOf(age)
        .toISOString()
        .replace(/:\d\d\.\d+Z$/, "Z");
}

const DATE = "2026-11-12T10:11Z".length;

function dateOf(age: number): Date {
  return new Date(Date.now() - age);
}

export function formatRecording({ key, label, request, answer, owner }: Recording): string {
  const tokens =
    answer.usage === undefined ? "" : `  ${answer.usage.inputTokens} + ${answer.usage.outputTokens} tokens`;
  const whose = owner === undefined ? "" : `  of ${printableLine(owner)}`;
  return `${key.slice(0, 16)}  ${printableLine(label) || "unnamed"}  ${printableLine(request.model)}${tokens}${whose}`;
}

export function formatFault({ name, reason, cure }: Fault): string {
  return printableLine(`${name}: ${reason}${cure === undefined ? "" : `; ${cure}`}`);
}

export function formatEntry({ recording, fault }: StoreEntry): string {
  return recording === undefined ? formatFault(fault) : formatRecording(recording);
}
