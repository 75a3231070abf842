/** Every command in the sentences and tables of the documents, and in the help texts, is executed. */
import { expect, setDefaultTimeout } from "bun:test";
import { COMMANDS } from "../../src/cli/llmfs.ts";
import { describeMounted } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { DEADLINE_MS, execute } from "./execute.ts";
import { type CommandLine, DOCUMENTS, readDocument } from "./markdown.ts";
import { commandsOf, SPANS } from "./spans.ts";

setDefaultTimeout(DEADLINE_MS + 20_000);

describeMounted("every command", () => {
  testWith(programs("bash", "fish", "man", "openssl", "sqlite3", "zsh"))(
    "in sentences, tables and help texts is executed",
    async () => {
      const spans = DOCUMENTS.flatMap((path) => readDocument(path).spans);
      expect(await execute(await commandsOf([...spans, ...(await helpSpans())]), SPANS)).toEqual([]);
    },
  );
});

/** The commands in the notes of `--help`, which the man page and docs/cli.md contain too. */
async function helpSpans(): Promise<readonly CommandLine[]> {
  const notes = [...COMMANDS].map(async ([name, { load }]) =>
    ((await load()).notes ?? []).flatMap((note) =>
      [...note.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => ({ document: `llmfs help ${name}`, line: 1, text })),
    ),
  );
  return (await Promise.all(notes)).flat();
}
