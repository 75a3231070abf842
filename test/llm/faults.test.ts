import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { DOCUMENT, document, FAULTS, outcomeOf } from "./faults.ts";

setDefaultTimeout(60_000);

describe("a server that keeps failing", () => {
  for (const fault of FAULTS) {
    test(fault.name, async () => {
      expect(await outcomeOf(fault)).toEqual(fault.expect);
    });
  }
});

test("docs/model-errors.md matches the behaviour (npm run docs writes it)", async () => {
  expect(await Bun.file(DOCUMENT).text()).toBe(document(FAULTS.map((fault) => [fault, fault.expect])));
});
