import { describe } from "bun:test";
import { withFallback } from "../../../src/recording/stores/fallback.ts";
import { createMemoryStore } from "../../../src/recording/stores/memory.ts";
import { storeContract } from "../../support/store-contract.ts";

describe("recordings in memory", () => {
  const store = createMemoryStore("memory");
  storeContract(() => store);
});

describe("a shared store with a local one to fall back to", () => {
  const [shared, local] = [createMemoryStore("shared"), createMemoryStore("local")];
  storeContract(() => withFallback(shared, local, { warn() {} }));
});
