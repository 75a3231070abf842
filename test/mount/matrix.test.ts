/** Tools read pending files as docs/lazy-files.md says. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { CLAIMED_SIZE } from "../../src/fs/ops/attributes.ts";
import { describeMounted } from "../support/mounted.ts";
import { COMPARERS } from "./comparers.ts";
import {
  BY_DEFAULT,
  CLAIMS,
  type ContentName,
  DOCUMENT,
  document,
  expected,
  missing,
  runMatrix,
  TOOLS,
} from "./matrix.ts";

setDefaultTimeout(120_000);

const present = TOOLS.filter((tool) => missing(tool).length === 0);
const decisive = present.filter(({ except, name }) => except !== undefined || name === "cat" || name === "busybox cat");

type Programs = readonly string[];

async function observed(claim: number, content: ContentName, tools: typeof TOOLS, generates: Programs = []) {
  const found = await runMatrix(claim, content, tools, { generates });
  return found.map(({ tool, verdict, detail }) => {
    const asExpected = verdict === expected(tool, claim, content, generates);
    return `${tool.name}: ${verdict}${asExpected ? "" : ` (${detail})`}`;
  });
}

function foreseen(claim: number, content: ContentName, tools: typeof TOOLS, generates: Programs = []) {
  return tools.map((tool) => `${tool.name}: ${expected(tool, claim, content, generates)}`);
}

describeMounted("the first reader of a pending file", () => {
  test.each(["small", "pages", "exact", "large"] as const)(
    "the first reader of a pending file gets the right content with every tool, or with one an error (%s)",
    async (content) => {
      const programs = BY_DEFAULT;
      const found = await observed(CLAIMED_SIZE, content, present, programs);
      expect(found).toEqual(foreseen(CLAIMED_SIZE, content, present, programs));
    },
  );

  test("the first reader of a pending file gets the right content with each program listed in --stat-generates", async () => {
    const listed = present.filter(({ entry }) => entry !== undefined);
    const programs = [...BY_DEFAULT, "python3"];
    for (const [claim, content] of [
      [0, "small"],
      [CLAIMED_SIZE, "small"],
      [CLAIMED_SIZE, "large"],
    ] as const) {
      const found = await observed(claim, content, listed, programs);
      expect(found).toEqual(listed.map(({ name }) => `${name}: right`));
    }
  });

  test.each(["small", "large"] as const)(
    "the first reader of a pending file is never silently wrong if stat generates for no program (%s)",
    async (content) => {
      expect(await observed(CLAIMED_SIZE, content, decisive)).toEqual(foreseen(CLAIMED_SIZE, content, decisive));
    },
  );

  test.each(CLAIMS.filter((claim) => claim !== CLAIMED_SIZE))("would get less with a claim of %d", async (claim) => {
    for (const content of ["small", "large"] as const) {
      expect(await observed(claim, content, decisive)).toEqual(foreseen(claim, content, decisive));
    }
  });

  test("the first reader of a pending file is never silently wrong if the content is no longer than the claimed size", () => {
    expect(TOOLS.filter(({ except }) => except?.more === "wrong" || except?.exact === "wrong")).toEqual([]);
  });

  for (const tool of TOOLS.filter((tool) => missing(tool).length > 0)) {
    test.skip(`the first reader of a pending file may be ${tool.name} (lacks ${missing(tool).join(", ")})`, () => {});
  }
});

async function wrong(content: ContentName, tools: typeof TOOLS, options: Parameters<typeof runMatrix>[3]) {
  const found = await runMatrix(CLAIMED_SIZE, content, tools, options);
  const others = found.filter(({ verdict }) => verdict !== "right");
  return others.map(({ tool, verdict, detail }) => `${tool.name}: ${verdict} (${detail})`);
}

describeMounted("a program that checks whether a file has changed", () => {
  const tools = COMPARERS.filter((tool) => missing(tool).length === 0);

  for (const passthrough of [true, false]) {
    test.each(["small", "large"] as const)(
      `a program that checks whether a file has changed is not misled by content that arrives, ${passthrough ? "with" : "without"} passthrough (%s)`,
      async (content) => {
        expect(await wrong(content, tools, { passthrough })).toEqual([]);
      },
    );

    test(`a program that checks whether a file has changed is not misled by a regenerated file, ${passthrough ? "with" : "without"} passthrough`, async () => {
      const any = tools.filter(({ onlyPending }) => onlyPending !== true);
      expect(await wrong("small", any, { passthrough, regenerated: true })).toEqual([]);
    });
  }

  for (const tool of COMPARERS.filter((tool) => missing(tool).length > 0)) {
    test.skip(`a program that checks whether a file has changed may be ${tool.name} (lacks ${missing(tool).join(", ")})`, () => {});
  }
});

test("docs/lazy-files.md is up to date: 'bun test/mount/matrix.ts --write' writes it", () => {
  expect(readFileSync(DOCUMENT, "utf8")).toBe(document());
});
