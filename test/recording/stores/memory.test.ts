import { describe } from "bun:test";
import { createMemoryStore } from "../../../src/recording/stores/memory.ts";
import { createSharedStore } from "../../../src/recording/stores/shared.ts";
import { storeContract } from "../../support/store-contract.ts";

describe("recordings in memory", () => {
  const store = createMemoryStore("memory");
  storeContract(() => store);
});

describe("a shared store with a local one to fall back to", () => {
  const [shared, local] = [createMemoryStore("shared"), createMemoryStore("local")];
  storeContract(() => createSharedStore(shared, { local, warn() {} }));
});
