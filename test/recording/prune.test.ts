import { describe, expect, test } from "bun:test";
import { countByOwner, selectForPrune } from "../../src/recording/prune.ts";
import type { StoreEntry } from "../../src/recording/recording.ts";
import { recordingOf } from "../support/store-contract.ts";

const HOUR = 3_600_000;
const entry = (label: string, age: number | undefined, owner?: string): StoreEntry => ({
  name: label,
  age,
  recording: { ...recordingOf("x", label), ...(owner !== undefined && { owner }) },
});
const names = (entries: readonly StoreEntry[]) => entries.map(({ name }) => name);

describe("what is removed", () => {
  const entries = [
    entry("/needed", 48 * HOUR, "a"),
    entry("/old", 48 * HOUR, "a"),
    entry("/young", HOUR, "a"),
    entry("/unknown", undefined, "a"),
    entry("/theirs", 48 * HOUR, "b"),
    entry("/nobody's", 48 * HOUR),
  ];
  const keep = ({ label }: { label: string }) => label === "/needed";

  test("prune removes what is old, not needed, and of the named owners", () => {
    const { remove, kept, young, others } = selectForPrune(entries, {
      keep,
      leastAgeMs: 24 * HOUR,
      owners: new Set(["a"]),
    });
    expect(names(remove)).toEqual(["/old"]);
    expect(names(kept)).toEqual(["/needed"]);
    expect(names(young)).toEqual(["/young", "/unknown"]);
    expect(names(others)).toEqual(["/theirs", "/nobody's"]);
  });

  test("prune removes young recordings, and those of unknown age, if no age is required", () => {
    const { remove } = selectForPrune(entries, { keep, leastAgeMs: 0, owners: new Set(["a"]) });
    expect(names(remove)).toEqual(["/old", "/young", "/unknown"]);
  });

  test("prune can be limited to recordings without an owner", () => {
    const { remove } = selectForPrune(entries, { keep, leastAgeMs: 24 * HOUR, owners: new Set([""]) });
    expect(names(remove)).toEqual(["/nobody's"]);
  });

  test("prune removes damaged recordings, but not those that are too young or foreign", () => {
    const fault = { name: "x", reason: "damaged" };
    const damaged: StoreEntry[] = [
      { name: "old", age: 48 * HOUR, fault },
      { name: "young", age: HOUR, fault },
      { name: "foreign", age: 48 * HOUR, fault: { ...fault, foreign: true } },
    ];
    const { remove, young, kept } = selectForPrune(damaged, { keep: () => true, leastAgeMs: 24 * HOUR });
    expect([names(remove), names(young), names(kept)]).toEqual([["old"], ["young"], ["foreign"]]);
  });

  test("recordings are counted by owner", () => {
    expect([...countByOwner(entries)]).toEqual([
      ["a", 4],
      ["b", 1],
      ["", 1],
    ]);
  });
});
