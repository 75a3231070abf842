import { expect, test } from "bun:test";
import { PrefixCache } from "../../src/recording/prefix-cache.ts";

const page = (name: string) => `${name} `.repeat(2000);

test("a shared prefix is cached from the second text on, and a longer one as soon as two texts share it", () => {
  const heads = new PrefixCache();
  const [all, one, two] = [page("all"), page("one"), page("two")];
  expect(heads.of(`${all}${one}1`)).toBe("");
  expect(heads.of(`${all}${two}1`)).toBe(all);
  expect(heads.of(`${all}${two}2`)).toBe(`${all}${two}`);
  expect(heads.of(`${all}${one}2`)).toBe(all);
  expect(heads.of(`${all}${one}3`)).toBe(`${all}${one}`);
  expect(heads.of(`${all}${two}3`)).toBe(`${all}${two}`);
});

test("a short prefix is not used, and no surrogate pair is split", () => {
  const heads = new PrefixCache();
  expect([heads.of("ab"), heads.of("ac")]).toEqual(["", ""]);
  const text = "x".repeat(4000);
  heads.of(`${text}\u{1f600}`);
  expect(heads.of(`${text}\u{1f601}`)).toBe(text);
});
