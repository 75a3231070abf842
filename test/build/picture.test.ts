/** The picture in the README is what a real terminal shows. */
import { expect, test } from "bun:test";
import { PICTURE, picture } from "../../build/picture.ts";
import { mounting, programs, testWith } from "../support/needs.ts";
import { BINARY } from "../support/program.ts";

const pictureTest = testWith(mounting() ?? programs("bash", "setsid", "ls", "head"));

pictureTest(
  "docs/terminal.svg is current (npm run build && bun build/picture.ts writes it)",
  async () => {
    expect(await picture(BINARY[0])).toBe(await Bun.file(PICTURE).text());
  },
  60_000,
);

test("the picture shows that a file gets its content when it is read", async () => {
  const text = (await Bun.file(PICTURE).text()).replace(/<[^>]*>/g, "");
  const sizes = [...text.matchAll(/ (\d+) Jan {2}1 {2}1980 berths\.csv/g)].map(([, size]) => Number(size));
  expect(sizes).toEqual([1_048_576, 81]);
});
