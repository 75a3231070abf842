/**
 * Words and turns of phrase that readers stumble over, in everything that people read: documents, comments, test titles
 * and messages. The instructions for models are left out, because a changed word would change the keys of requests.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");

/** A turn, and what to write instead. */
const BANNED: readonly (readonly [turn: RegExp, instead: string])[] = [
  [/\banew\b/, "again"],
  [/\baloud\b/, "loudly, or with an error"],
  [/\bwhereupon\b/, "then"],
  [/\bhence\b(?! a range)/, "so"],
  [/(?<=[.:;] )Besides\b|\bbesides[,.]/, "also"],
  [/\ball the same\b/, "anyway"],
  [/\b[Mm]eanwhile,/, "in the meantime"],
  [/(?<!there )\b(?:is|are) none(?: (?:of|that)\b|[.,;])/, "is not a …"],
  [
    /(?<![Tt]here )\b(?:is|are) no (?:name|text|file|directory|number|list|program|part|reason|rule|option)\b/,
    "is not a …",
  ],
  [/\b(?:is|are|was|were) told(?! (?:to|not to|our|that)\b)/, "is notified, reports, returns"],
  [/\b(?:tells?|told|telling) of\b/, "reports, shows, names"],
  [/\bso many\b|\bas many as may be\b/, "N, at most N, the maximum number of"],
  [/\bcalls? off\b|\bcalled off\b/, "cancel"],
  [/\bgives? back\b|\bgiven back\b|\btakes? away\b|\btaken away\b/, "return, free, remove"],
  [/\b(?:goes|go|went|going) on (?:with|behind|where|until|as)\b/, "continue"],
  [/\bl(?:ook|ooks|ooked|ooking) into\b/, "list, read, look up in"],
  [/\bheeds?\b|\bheeded\b/, "obey, apply"],
  [/\bbears? (?:the|such|a|its|no)\b/, "has"],
  [/\bin the place of\b|\bin its stead\b/, "instead of, replaces"],
  [/\bwhat (?:becomes|became|comes|came) of\b/, "the outcome of, what happens to"],
  [/\b(?:another|other|one) contents?\b/, "new content, different content"],
  [/(?<![-\w`])(?<!\bof )a content\b(?! (?:filter|request|prompt|type|cache))/, "content"],
  [/\bhas it (?:made|generated|done|listed)\b|\bhave it (?:made|listed)\b/, "generates it"],
  [/\b(?:is|be) asked whether\b|\bmay be had\b/, "check whether"],
  [/\bcomes? twice\b(?! a day)/, "occurs twice"],
  [/\bas if nothing\b|\bnought\b|\bupon which\b/, "and then"],
  [/\bwithout a word\b/, "silently"],
  [/\bfrom here on\b/, "from now on"],
  [/\bin a circle\b|\bthe circle\b/, "cycle"],
  [/\blook-ups?\b/, "lookup"],
  [/\bhas not got\b|\bthere can be no\b/, "cannot be, has no"],
];

/** Paths that people do not read as prose, or whose words must not change. */
const LEFT_OUT: readonly RegExp[] = [
  /^(?:build\/demo|examples|node_modules|dist)\//,
  /^src\/generate\/(?:(?:context\/prompts|growth\/growth-prompt)\.ts$|structure\/|diagnosis\/)/,
  /^test\/prose\.test\.ts$/,
  /^test\/generators\/builtin\/reasoning\.test\.ts$/,
];

interface Sentence {
  readonly path: string;
  readonly line: number;
  readonly text: string;
}

/** Every file that git tracks, or would track, with one of these endings. */
function files(): string[] {
  const cmd = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.ts", "*.c", "*.py"];
  const { stdout } = Bun.spawnSync({ cmd, cwd: ROOT });
  const paths = stdout.toString().split("\n").filter(Boolean);
  return paths.filter((path) => !LEFT_OUT.some((left) => left.test(path)));
}

/** The comments of a source, and the strings in it that have several words. */
function* sentences(path: string, source: string): Generator<Sentence> {
  let inFence = false;
  for (const [index, raw] of source.split("\n").entries()) {
    const line = index + 1;
    if (path.endsWith(".md")) {
      if (/^\s*```/.test(raw)) inFence = !inFence;
      else if (!inFence) yield { path, line, text: raw.replace(/`[^`]*`/g, "``") };
      continue;
    }
    const comment = /^\s*(?:\/\*\*?|\*|\/\/|#) (.*)/.exec(raw)?.[1] ?? /[;,{)\]]\s+\/\/ (.*)/.exec(raw)?.[1];
    if (comment !== undefined) yield { path, line, text: comment };
    else
      for (const [, , text = ""] of raw.matchAll(/(["`])((?:(?!\1)[^\\]|\\.)*)\1/g)) {
        if (text.includes(" ")) yield { path, line, text };
      }
  }
}

const all = await Promise.all(
  files().map(async (path) => [...sentences(path, await Bun.file(join(ROOT, path)).text())]),
);

test("documents, comments, titles and messages contain no banned turn of phrase", () => {
  const found = all.flat().flatMap(({ path, line, text }) =>
    BANNED.flatMap(([turn, instead]) => {
      const match = turn.exec(text)?.[0];
      return match === undefined ? [] : [`${path}:${line}: "${match}" (write: ${instead}): ${text.trim()}`];
    }),
  );
  expect(found).toEqual([]);
});

test("each banned turn is found where it stands", () => {
  const examples = "anew; it is none of them; the kernel is told; so many bytes; calls off the request; a content that";
  const turns = BANNED.filter(([turn]) => turn.test(examples));
  expect(turns.length).toBe(6);
});
