import { expect, test } from "bun:test";
import { FsError } from "../../src/errno.ts";
import { FailureLog } from "../../src/mount/failure-log.ts";

function logged(use: (failures: FailureLog) => void): readonly string[] {
  const lines: string[] = [];
  const failures = new FailureLog((level, _, text) => lines.push(`${level} ${text}`));
  use(failures);
  failures.close();
  return lines;
}

const CALLS =
  "the budget --max-calls 1 is used up: 1 call was made. Recorded answers still work; start with a higher limit";
const refuse = (failures: FailureLog, path: string, message: string) =>
  failures.add(path, new FsError("EDQUOT", message), false);

test("a budget that is used up is one warning, and the number of refused files", () => {
  expect(
    logged((failures) => {
      for (const path of ["/a", "/b", "/c"]) refuse(failures, path, CALLS);
    }),
  ).toEqual([
    `warn /a: EDQUOT: ${CALLS}`,
    `info /b: EDQUOT: ${CALLS}`,
    `info /c: EDQUOT: ${CALLS}`,
    "warn 3 requests were refused for the same reason: EDQUOT: the budget --max-calls 1 is used up: 1 call was made",
  ]);
});

test("many refused files are counted while the mount lasts", () => {
  const warnings = logged((failures) => {
    for (let file = 0; file < 120; file++) refuse(failures, `/${file}`, CALLS);
  }).filter((line) => line.startsWith("warn "));
  expect(warnings.map((line) => line.slice(0, 8))).toEqual(["warn /0:", "warn 10 ", "warn 100", "warn 120"]);
});

test("how much the next call would need does not make another reason", () => {
  const least = (tokens: number) =>
    `the budget --max-tokens 9 leaves too little: 8 were used, and the next call sends about ${tokens} tokens and needs 5 for the answer. Recorded answers still work`;
  const lines = logged((failures) => {
    refuse(failures, "/a", least(100));
    refuse(failures, "/b", least(200));
  });
  expect(lines).toEqual([
    `warn /a: EDQUOT: ${least(100)}`,
    `info /b: EDQUOT: ${least(200)}`,
    "warn 2 requests were refused for the same reason: EDQUOT: the budget --max-tokens 9 leaves too little: 8 were used",
  ]);
});

test("a budget that is used up again, after more was permitted, is a warning again", () => {
  const spent = (calls: number) =>
    `--confirm-over: more than 1 request would be spent; ${calls} requests were made. To allow more`;
  const lines = logged((failures) => {
    refuse(failures, "/a", spent(1));
    refuse(failures, "/b", spent(2));
  });
  expect(lines.map((line) => line.slice(0, 7))).toEqual(["warn /a", "warn /b"]);
});

test("other failures are warnings each, and what is reported elsewhere is none", () => {
  const lines = logged((failures) => {
    for (const path of ["/a", "/b"]) failures.add(path, new FsError("EACCES", "the key was rejected"), false);
    for (const path of ["/c", "/d"]) failures.add(path, new FsError("EDQUOT", CALLS), true);
  });
  expect(lines.map((line) => line.slice(0, 7))).toEqual(["warn /a", "warn /b", "info /c", "info /d"]);
});
