/** What the release workflow checks and publishes: build/release-notes.ts. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { releasedVersion, releaseNotes } from "../../build/release-notes.ts";
import packageJson from "../../package.json" with { type: "json" };

const CHANGELOG = `# Changelog

Text before all sections.

## Unreleased

- not yet

## 1.10.0 - 2027-02-03

### Added

- the tenth

## 1.1.0 - 2027-01-02

- the first

## 1.0.0 - 2027-01-01
`;

test("the notes are the section of exactly that version, with its headings", () => {
  expect(releaseNotes(CHANGELOG, "1.10.0")).toBe("### Added\n\n- the tenth");
  expect(releaseNotes(CHANGELOG, "1.1.0")).toBe("- the first");
});

test("a version without a section, or with an empty one, is not released", () => {
  expect(() => releaseNotes(CHANGELOG, "1.2.0")).toThrow('no section "## 1.2.0 - DATE"');
  expect(() => releaseNotes(CHANGELOG, "1.0.0")).toThrow("is empty");
});

test("the tag must name the version of package.json", () => {
  expect(releasedVersion("v1.2.3", "1.2.3")).toBe("1.2.3");
  expect(() => releasedVersion("1.2.3", "1.2.3")).toThrow("the tag must be v1.2.3");
  expect(() => releasedVersion("v1.2.4", "1.2.3")).toThrow("package.json has version 1.2.3");
});

test("the command exits with 1 and the reason", async () => {
  const command = [process.execPath, join(import.meta.dir, "../../build/release-notes.ts"), "v0.0.0-none"];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect(await child.exited).toBe(1);
  expect(out).toBe("");
  expect(err).toBe(
    `the tag is v0.0.0-none, but package.json has version ${packageJson.version}; the tag must be v${packageJson.version}\n`,
  );
});
