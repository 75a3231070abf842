import { expect, test } from "bun:test";
import { PerHead, SharedHeads } from "../../src/text/shared-heads.ts";

const page = (name: string) => `${name} `.repeat(2000);

test("a shared prefix is cached from the second text on, and a longer one as soon as two texts share it", () => {
  const heads = new SharedHeads();
  const [all, one, two] = [page("all"), page("one"), page("two")];
  expect(heads.of(`${all}${one}1`)).toBeUndefined();
  expect(heads.of(`${all}${two}1`)?.text).toBe(all);
  expect(heads.of(`${all}${two}2`)?.text).toBe(`${all}${two}`);
  expect(heads.of(`${all}${one}2`)?.text).toBe(all);
  expect(heads.of(`${all}${one}3`)?.text).toBe(`${all}${one}`);
  expect(heads.of(`${all}${two}3`)?.text).toBe(`${all}${two}`);
});

test("a short prefix is not used, and no surrogate pair is split", () => {
  const heads = new SharedHeads();
  expect([heads.of("ab"), heads.of("ac")]).toEqual([undefined, undefined]);
  const text = "x".repeat(4000);
  heads.of(`${text}\u{1f600}`);
  expect(heads.of(`${text}\u{1f601}`)?.text).toBe(text);
});

test("texts of many kinds in turn each have their head", () => {
  const heads = new SharedHeads();
  const kinds = Array.from({ length: 100 }, (_, index) => page(`kind ${index}`));
  for (const round of [1, 2, 3]) {
    const found = kinds.map((kind) => heads.of(`${kind}the file ${round}`)?.text.startsWith(kind));
    expect(new Set(found)).toEqual(new Set([round === 1 ? undefined : true]));
  }
});

test("a text that is used several times has the same head as before", () => {
  const heads = new SharedHeads();
  const all = page("all");
  heads.of(`${all}one`);
  const [first, second] = [heads.of(`${all}two`), heads.of(`${all}two`)];
  expect(second).toBe(first);
  expect(first?.text).toBe(all);
});

test("a declared head is used for that text of that object only, and only if it is long", () => {
  const heads = new SharedHeads();
  const head = { text: page("all") };
  const message = { role: "user", content: "" };
  message.content = heads.declare(message, head, "one");
  expect(message.content).toBe(`${head.text}one`);
  expect(heads.cut(message.content, message)).toMatchObject({ head, rest: "one" });
  expect(heads.cut(`${page("other")}one`, message)).toBeUndefined();
  expect(heads.cut(message.content, { ...message })).toBeUndefined();
  const holder = {};
  expect(heads.cut(heads.declare(holder, { text: "short" }, page("all")), holder)).toBeUndefined();
});

test("old heads are forgotten when the texts take too much memory", () => {
  const heads = new SharedHeads();
  const long = (name: string) => page(name).repeat(400);
  heads.of(`${long("first")}1`);
  expect(heads.of(`${long("first")}2`)).toBeDefined();
  for (const name of ["a", "b", "c", "d"]) heads.of(long(name));
  expect(heads.of(`${long("first")}3`)).toBeUndefined();
});

test("a value is computed once for each head", () => {
  const heads = new SharedHeads();
  const all = page("all");
  heads.of(`${all}one`);
  const computed: string[] = [];
  const values = new PerHead((text) => computed.push(text));
  for (const end of ["two", "three"]) {
    const head = heads.of(`${all}${end}`);
    if (head !== undefined) values.of(head);
  }
  expect(computed).toEqual([all]);
});
