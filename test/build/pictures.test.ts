/** The pictures in the README and the docs are what a real terminal shows. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { fileOf, picture } from "../../build/pictures/pictures.ts";
import { mounting, programs, testWith } from "../support/needs.ts";
import { BINARY } from "../support/program.ts";

setDefaultTimeout(60_000);

const pictureTest = testWith(mounting() ?? programs("bash", "setsid", "ls", "head"));

const textOf = (svg: string) => svg.replace(/<[^>]*>/g, "");

for (const name of ["terminal", "tree"] as const) {
  pictureTest(`docs/${name}.svg is current (npm run build && bun build/pictures/pictures.ts writes it)`, async () => {
    expect(await picture(name, BINARY[0])).toBe(await Bun.file(fileOf(name)).text());
  });
}

pictureTest("docs/status.svg shows the same lines as llmfs status --watch, apart from their numbers", async () => {
  const withoutNumbers = (svg: string) =>
    textOf(svg)
      .replace(/\d[\d,.]*( ?(ms|s|m|KiB|MiB|%))?/g, "#")
      .replace(/ +/g, " ");
  expect(withoutNumbers(await picture("status", BINARY[0]))).toBe(
    withoutNumbers(await Bun.file(fileOf("status")).text()),
  );
});

test("the first picture shows that a file gets its content when it is read", async () => {
  const text = textOf(await Bun.file(fileOf("terminal")).text());
  const sizes = [...text.matchAll(/ (\d+) Jan {2}1 {2}1980 berths\.csv/g)].map(([, size]) => Number(size));
  expect(sizes).toEqual([1_048_576, 81]);
});
