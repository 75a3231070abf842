import { expect, test } from "bun:test";
import { chooseSourceName } from "../../src/app/source-name.ts";

const prompt = (file?: string) => ({ text: "a shop, with a secret", origin: "--prompt", ...(file && { file }) });

test("the source of a mount names the snapshot, the prompt's file or the mountpoint, never the prompt itself", () => {
  expect(chooseSourceName({ from: "/a/b/tree.json", prompt: undefined }, "/mnt")).toBe("llmfs:tree.json");
  expect(chooseSourceName({ from: undefined, prompt: prompt("notes/shop.md") }, "/mnt")).toBe("llmfs:shop.md");
  expect(chooseSourceName({ from: undefined, prompt: prompt() }, "/work/shop")).toBe("llmfs:shop");
  expect(chooseSourceName({ from: undefined, prompt: undefined }, "/work/mnt")).toBe("llmfs:mnt");
});

test("the source of a mount contains nothing that mount tables or terminals would have to escape", () => {
  const name = (from: string) => chooseSourceName({ from, prompt: undefined }, "/mnt");
  expect(name("/x/a b,c\\d#e\n\u001b[31m.json")).toBe("llmfs:a-b-c-d-e-31m.json");
  expect(name("/x/Straße 漢字.json")).toBe("llmfs:Straße-漢字.json");
  expect(name("/x/***")).toBe("llmfs");
  expect(Buffer.byteLength(name(`/x/${"漢".repeat(80)}`))).toBe(66);
});
