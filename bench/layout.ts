/**
 * Measures what a layout of 10,000 files costs: from the model's answers to the snapshot that is mounted.
 *
 *   bun bench/layout.ts [BASELINE]
 *
 * - whole: one answer with all files, without `uses`, and with three uses for each file.
 * - parts: a first answer with 100 unfinished directories, and 100 answers with 100 files each.
 *
 * BASELINE is a checkout of an older version: the layouts without `uses` are then also measured with its code, turn and turn
 * about, and the ratio is printed. Goal: 1.05. The time is that of the processor, because the answers do not wait.
 */
import { join, resolve } from "node:path";

const FILES = 10_000;
const DIRECTORIES = 100;
const ROUNDS = 15;

interface Version {
  readonly generateStructure: (options: object) => Promise<{ readonly entries: readonly object[] }>;
  readonly structureToSnapshot: (entries: readonly object[]) => string;
}

async function load(root: string): Promise<Version> {
  const { generateStructure } = await import(join(root, "src/generate/structure/structure.ts"));
  const { structureToSnapshot } = await import(join(root, "src/snapshot/structure.ts"));
  return { generateStructure, structureToSnapshot };
}

const folderOf = (index: number) => `data/part${String(Math.floor(index / DIRECTORIES)).padStart(3, "0")}`;
const pathOf = (index: number) => `${folderOf(index)}/record${String(index).padStart(5, "0")}.json`;

/** As a server that is held to the older schema answers, or to the present one. */
function answerWith(from: number, to: number, uses: number | undefined, unfinished: readonly object[] = []): string {
  const files = Array.from({ length: to - from }, (_, at) => {
    const index = from + at;
    const path = pathOf(index);
    const description = `record ${index} of the measurements: id, time in UTC, station, temperature and humidity`;
    if (uses === undefined) return { path, description };
    const used = Array.from({ length: uses }, (_, step) => pathOf((index + FILES - step * 37 - 1) % FILES));
    return { path, description, uses: index < 200 ? [] : used };
  });
  return JSON.stringify({ files, directories: [], symlinks: [], unfinished });
}

const parts = Array.from({ length: DIRECTORIES }, (_, part) => ({
  path: folderOf(part * DIRECTORIES),
  brief: "a hundred records",
  files: DIRECTORIES,
}));
const partAnswers = new Map(
  parts.map(({ path }, part) => [path, answerWith(part * DIRECTORIES, (part + 1) * DIRECTORIES, undefined)]),
);
const first = JSON.stringify({
  files: [{ path: "README.md", description: "what the records are" }],
  directories: [],
  symlinks: [],
  unfinished: parts,
});
const limits = { entries: FILES + 2 * DIRECTORIES };

/** Milliseconds of processor time. */
async function measure({ generateStructure, structureToSnapshot }: Version, answer: (asked: string) => string) {
  Bun.gc(true);
  const before = process.cpuUsage();
  const model = {
    complete: async ({ messages }: { readonly messages: readonly { readonly content: string }[] }) => ({
      text: answer(messages.at(-1)?.content ?? ""),
      model: "m",
    }),
  };
  const { entries } = await generateStructure({ prompt: "records", model, modelName: "m", limits });
  if (structureToSnapshot(entries).length < FILES * 100) throw new Error("the layout is incomplete");
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const [baseline] = process.argv.slice(2);
const here = await load(join(import.meta.dir, ".."));
const there = baseline === undefined ? undefined : await load(resolve(baseline));
const cases: readonly (readonly [name: string, compared: boolean, answer: (asked: string) => string])[] = [
  ["whole, without uses", true, once(answerWith(0, FILES, undefined))],
  ["whole, with empty uses", false, once(answerWith(0, FILES, 0))],
  ["whole, with 3 uses each", false, once(answerWith(0, FILES, 3))],
  ["in 100 parts", true, (asked) => partAnswers.get(/one directory only: (\S+)/.exec(asked)?.[1] ?? "") ?? first],
];

function once(text: string): () => string {
  return () => text;
}

for (const [name, compared, answer] of cases) {
  const times: number[] = [];
  const before: number[] = [];
  for (let round = -2; round < ROUNDS; round += 1) {
    const time = await measure(here, answer);
    const other = compared && there !== undefined ? await measure(there, answer) : undefined;
    // The first rounds compile the code.
    if (round < 0) continue;
    times.push(time);
    if (other !== undefined) before.push(other);
  }
  const ratio = before.length === 0 ? "" : `, ${(median(times) / median(before)).toFixed(3)} of the baseline`;
  console.log(`${name}: ${median(times).toFixed(0)} ms${ratio}`);
}
