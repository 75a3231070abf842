import { expect, test } from "bun:test";
import type { MountStatus } from "../../../src/app/running/mount-status.ts";
import { formatStatus, formatStatusLine } from "../../../src/cli/output/status-report.ts";

const STATUS: MountStatus = {
  mountpoint: "/mnt",
  pid: 1,
  model: "tiny-coder",
  mode: "auto",
  recordings: "recordings",
  concurrency: 4,
  files: { static: 0, pending: 0, generating: 0, ready: 10, failed: 2 },
  underWay: [],
  outdated: 0,
  failed: [],
  failedRenewals: [],
  bytes: 0,
  inodes: 1,
  memoryBytes: 0,
  usage: {
    answers: 15,
    recorded: 5,
    failures: 6,
    calls: 38,
    inputTokens: 0,
    outputTokens: 0,
    usd: 0,
    unpricedCalls: 10,
    reserved: { calls: 0, tokens: 0, usd: 0 },
    limits: { calls: 50 },
  },
};

function lineOf(name: string, usage: Partial<MountStatus["usage"]> = {}): string | undefined {
  const status = { ...STATUS, usage: { ...STATUS.usage, ...usage } };
  const line = formatStatus({ status, at: 0 }).find((one) => one.startsWith(`  ${name} `));
  return line?.slice(13);
}

test("status says how many calls were unanswered, and how many requests failed after all their attempts", () => {
  expect(lineOf("calls")).toBe(
    "38 of at most 50, 28 of them unanswered; 5 answers from recordings; 6 requests failed in the end",
  );
  expect(lineOf("calls", { calls: 10, failures: 0, recorded: 5 })).toBe("10 of at most 50; 5 answers from recordings");
  // The server could not be reached, so nothing counts as a call.
  expect(lineOf("calls", { calls: 0, answers: 0, recorded: 0 })).toBe("0 of at most 50; 6 requests failed in the end");
});

test("status does not show an unknown cost as an amount of money", () => {
  expect(lineOf("cost")).toBe("unknown: there is no price for tiny-coder (set it with --price)");
  expect(lineOf("cost", { usd: 0.5 })).toBe("$0.5000; and 10 calls of unknown price");
  expect(lineOf("cost", { unpricedCalls: 0 })).toBe("$0.0000");
});

test("status shows how long each request has been running, the oldest first", () => {
  const ago = (seconds: number) => new Date(Date.now() - seconds * 1000 - 500).toISOString();
  const underWay: MountStatus["underWay"] = [
    { path: "/new", generator: "llm", since: ago(3) },
    { path: "/old", generator: "llm", since: ago(75), waitsFor: ["/new"] },
    { path: "/middle", generator: "llm", since: ago(12), queued: true },
  ];
  const now = { status: { ...STATUS, underWay }, at: 0 };
  const lines = formatStatus(now);
  const start = lines.findIndex((line) => line.startsWith("  requests"));
  expect(lines.slice(start, start + 4).map((line) => line.slice(13))).toEqual([
    "3 under way, at most 4 in parallel",
    "/old for 75 s, waits for /new",
    "/middle for 12 s, waits for its turn",
    "/new for 3 s",
  ]);
  expect(formatStatusLine(now)).toContain("; 3 under way, the longest for 75 s; ");
  expect(formatStatusLine({ status: STATUS, at: 0 })).toContain("; 0 under way; ");
});
