import { expect, test } from "bun:test";
import { isExempt } from "../../src/generators/builtin/http/no-proxy.ts";

test.each([
  ["http://api.example.com/", "api.example.com", true],
  ["http://api.example.com/", "example.com", true],
  ["http://api.example.com/", ".example.com", true],
  ["http://example.com./", "example.com", true],
  ["http://badexample.com/", "example.com", false],
  ["http://example.com.evil.org/", "example.com", false],
  ["http://API.Example.com/", "Example.COM", true],
  ["http://example.com/", "", false],
  ["http://example.com/", " , ,", false],
  ["http://example.com/", "*", true],
  ["http://example.com/", "other.org, example.com", true],
  ["http://example.com:8080/", "example.com:8080", true],
  ["http://example.com/", "example.com:8080", false],
  ["https://example.com/", "example.com:443", true],
  ["http://10.1.2.3/", "10.0.0.0/8", true],
  ["http://11.1.2.3/", "10.0.0.0/8", false],
  ["http://10.1.2.3/", "10.1.2.3", true],
  ["http://[fd00::1]/", "fd00::/8", true],
  ["http://[fd00::1]:81/", "[fd00::1]:81", true],
  ["http://[::1]/", "::1", true],
  ["http://10.1.2.3/", "10.0.0.0/99", false],
])("%s with NO_PROXY=%s: %p", (url, list, exempt) => {
  expect(isExempt(new URL(url), list)).toBe(exempt);
});

test("without NO_PROXY every host uses the proxy", () => {
  expect(isExempt(new URL("http://example.com/"), undefined)).toBe(false);
});
