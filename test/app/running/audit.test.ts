import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Audit } from "../../../src/app/running/audit.ts";
import type { GeneratedContent, GenerationRequest } from "../../../src/rpc/generation.ts";

const request: GenerationRequest = {
  ticket: 1,
  ino: 2,
  path: "/a.md",
  generator: "llm",
  file: { path: "/a.md", type: "file", mode: 0o644, uid: 0, gid: 0, xattrs: new Map() },
  prompts: [],
  pause: 0,
};
const content: GeneratedContent = { bytes: new Uint8Array(), metadata: new Map() };

test("while a required audit cannot be written, no recorded content is given", () => {
  const folder = join(mkdtempSync(join(tmpdir(), "llmfs-audit-")), "audits");
  const problems: string[] = [];
  for (const required of [true, false]) {
    mkdirSync(folder);
    const audit = new Audit({ file: join(folder, "audit.jsonl"), required, warn: (text) => problems.push(text) });
    const recall = audit.guardRecall(() => content);
    expect(recall(request)).toBe(content);
    rmSync(folder, { recursive: true });
    expect(recall(request)).toBe(required ? undefined : content);
    audit.close();
  }
  expect(problems).toHaveLength(1);
});
