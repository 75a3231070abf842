import { describe, expect, test } from "bun:test";
import { redact } from "../../src/generate/redact.ts";

// Put together here, so that no file of the repository holds what a scanner would report.
const SECRETS: Readonly<Record<string, string>> = {
  "GitHub token": `ghp_${"a1B2".repeat(9)}`,
  "OpenAI key": `sk-proj-${"a1B2".repeat(18)}ABT3BlbkFJ${"c3D4".repeat(18)}AB`,
  "AWS access key": `AWS_SECRET_ACCESS_KEY=${"wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzEXAMPLEK"}`,
  "private key": `-----BEGIN RSA ${"PRIVATE"} KEY-----\n${"MIIE".repeat(30)}\n-----END RSA ${"PRIVATE"} KEY-----`,
  "Slack token": `xoxb-${"1".repeat(12)}-${"2".repeat(13)}-${"aB3d".repeat(6)}`,
  "password in a URL": `https://admin:${"hunter2hunter2"}@db.example.org/x`,
};

describe("what looks like a secret is redacted:", () => {
  for (const [kind, secret] of Object.entries(SECRETS)) {
    test(kind, async () => {
      const clean = await redact(`before ${secret} after ✓\n`);
      expect(clean).toContain("[redacted]");
      expect(clean).toContain("after ✓");
      expect(clean).not.toContain(secret);
    });
  }
});

test("two secrets are both redacted, and what stands between them stays", async () => {
  const [one, two] = [SECRETS["GitHub token"], SECRETS["Slack token"]];
  expect(await redact(`a=${one}\nb=1\nc=${two}\n`)).toBe("a=[redacted]\nb=1\nc=[redacted]\n");
});

test("ordinary text stays as it is", async () => {
  const text = "key = sha-256 of the request\npassword: see the vault\nsk-\n".repeat(50);
  expect(await redact(text)).toBe(text);
});
