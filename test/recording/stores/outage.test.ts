/** Probing a store that did not answer. */
import { expect, test } from "bun:test";
import { Outages } from "../../../src/recording/stores/outage.ts";

/** An outage of a store whose probes succeed from this one on, and how often it was probed. */
function outageOf(successFrom: number) {
  let probes = 0;
  const outages = new Outages({
    name: "the store",
    probe: async () => {
      if (++probes < successFrom) throw new Error("connection refused");
    },
    warn: () => {},
    lostMs: 60_000,
    absentMs: 60_000,
    otherwise: "work continues",
    onReturn: () => {},
    onChange: () => {},
  });
  outages.begin(new Error("connection reset"));
  return outages;
}

test("a store that is probed at the end is back although a connection from before still fails", async () => {
  const outages = outageOf(2);
  await outages.tryNow();
  expect(outages.away).toBe(false);
  outages.close();
});

test("a store that is probed at the end and does not answer is away", async () => {
  const outages = outageOf(Number.POSITIVE_INFINITY);
  await expect(outages.tryNow()).rejects.toThrow("connection refused");
  expect(outages.away).toBe(true);
  outages.close();
});
