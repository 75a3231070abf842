/**
 * Prints what CHANGELOG.md says about a release, and fails if the tag does not fit what is to be released:
 *
 *   bun build/release-notes.ts v1.2.3
 *
 * The release workflow runs it before it builds anything.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };

/** Returns the section of a version without its heading. Throws if the section is missing or empty. */
export function releaseNotes(changelog: string, version: string): string {
  const sections = changelog.split(/^## /m).slice(1);
  const section = sections.find((text) => text.split(/\s/, 1)[0] === version);
  if (section === undefined) {
    throw new Error(`CHANGELOG.md has no section "## ${version} - DATE"; rename "## Unreleased" to that`);
  }
  const notes = section.slice(section.indexOf("\n") + 1).trim();
  if (notes === "") throw new Error(`the section "## ${version}" of CHANGELOG.md is empty; say what has changed`);
  return notes;
}

/** Returns the version that a tag releases. Throws if package.json has another one, which `llmfs --version` would show. */
export function releasedVersion(tag: string, version: string): string {
  if (tag !== `v${version}`) {
    throw new Error(`the tag is ${tag}, but package.json has version ${version}; the tag must be v${version}`);
  }
  return version;
}

if (import.meta.main) {
  const [tag, ...surplus] = process.argv.slice(2);
  if (tag === undefined || surplus.length > 0) {
    console.error("Usage: bun build/release-notes.ts TAG");
    process.exit(2);
  }
  try {
    const changelog = readFileSync(join(import.meta.dir, "../CHANGELOG.md"), "utf8");
    console.log(releaseNotes(changelog, releasedVersion(tag, packageJson.version)));
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exit(1);
  }
}
