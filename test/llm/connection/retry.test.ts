/** How long to wait after a failure, with and without advice from the server. */
import { describe, expect, test } from "bun:test";
import { DEFAULT_RETRIES, delayBefore, type Retries } from "../../../src/llm/connection/retry.ts";
import { Failure } from "../../../src/llm/failure.ts";

const PARTY = { host: "h", model: "m", secrets: [] };

/** An error as the client reports a status. */
function failureWith(headers: Readonly<Record<string, string>>, status = 429): Failure {
  return Failure.from({ status, headers: new Headers(headers), error: { message: "slow down" } }, PARTY);
}

function delay(failure: Failure, attempt = 1, more: Partial<Retries> = {}, leftMs = 1e9): number | string {
  return delayBefore(failure, attempt, { ...DEFAULT_RETRIES, ...more }, leftMs);
}

const inAnHour = new Date(Date.now() + 3_600_000).toUTCString();

describe("a server's request for a pause", () => {
  test.each([
    [{ "retry-after": "7" }, 7000],
    [{ "retry-after": "0.5" }, 500],
    [{ "retry-after": "-5" }, 0],
    [{ "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }, 0],
    [{ "retry-after-ms": "1500" }, 1500],
    [{ "retry-after-ms": "-1" }, 0],
    [{ "retry-after-ms": "20", "retry-after": "3600" }, 20],
    [{ "retry-after-ms": "soon", "retry-after": "2" }, 2000],
    [{ "retry-after": "soon" }, undefined],
    [{ "retry-after": "1e999" }, undefined],
    [{}, undefined],
  ] as const)("a requested pause of %o is %p ms", (headers, ms) => {
    expect(failureWith(headers).retryAfterMs).toBe(ms);
  });

  test("a requested pause may be a date", () => {
    const ms = failureWith({ "retry-after": inAnHour }).retryAfterMs;
    expect(ms).toBeGreaterThan(3_500_000);
    expect(ms).toBeLessThanOrEqual(3_600_000);
  });

  test("a date is compared with the clock of the server, which may be wrong", () => {
    const date = "Wed, 21 Oct 2015 07:28:00 GMT";
    expect(failureWith({ date, "retry-after": "Wed, 21 Oct 2015 07:28:07 GMT" }).retryAfterMs).toBe(7000);
  });
});

describe("the pause before the next attempt", () => {
  test("the pause before the next attempt doubles up to a limit, less a random part of up to half", () => {
    for (const [attempt, most] of [
      [1, 500],
      [2, 1000],
      [3, 2000],
      [4, 4000],
      [9, 20_000],
    ] as const) {
      for (let i = 0; i < 50; i++) {
        const ms = delay(failureWith({}), attempt, { attempts: 100 });
        expect(ms).toBeGreaterThanOrEqual(most / 2);
        expect(ms).toBeLessThanOrEqual(most);
      }
    }
  });

  test("the pause is what the server requests plus a random part, so that clients do not all return at once", () => {
    const delays = Array.from({ length: 50 }, () => delay(failureWith({ "retry-after": "30" })));
    for (const ms of delays) {
      expect(ms).toBeGreaterThanOrEqual(30_000);
      expect(ms).toBeLessThanOrEqual(33_000);
    }
    expect(new Set(delays).size).toBeGreaterThan(1);
  });

  test("the pause before the next attempt is never shorter than our own, even if the server requests that", () => {
    expect(delay(failureWith({ "retry-after": "0" }))).toBeGreaterThanOrEqual(250);
  });

  test.each([
    [
      "a server asks for more than a minute",
      failureWith({ "retry-after": inAnHour }),
      /the server asks to wait (1 h|\d+ s)/,
    ],
    ["no time is left", failureWith({ "retry-after": "50" }), /no time is left/],
    ["a failure is permanent", failureWith({}, 401), /^$/],
    ["the server reports it as permanent", failureWith({ "x-should-retry": "false" }, 503), /^$/],
  ] as const)("does not happen if %s", (_why, failure, reason) => {
    expect(delay(failure, 1, {}, 10_000)).toMatch(reason);
  });

  test("there is no pause after the last attempt", () => {
    expect(delay(failureWith({}), DEFAULT_RETRIES.attempts)).toBe("");
  });
});
