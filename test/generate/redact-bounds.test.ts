/**
 * Redaction of texts of any length and kind: linear time, without blocking, and no secret is missed between windows.
 */
import { describe, expect, test } from "bun:test";
import { keyBlocksIn } from "../../src/generate/context/key-blocks.ts";
import { redact } from "../../src/generate/context/redact.ts";
import { PATTERNS } from "../../src/generate/context/secrets.ts";
import { Pace } from "../../src/text/pace.ts";
import { expectLinear, mixture, RUNS, repeated } from "../support/growth.ts";
import { Random } from "../support/random.ts";

/** Parts of patterns: text that may come before a secret, in it and after it. */
const PARTS = [
  ...["a", "A", "1", "-", "_", " ", "\t", "\n", ".", "=", ":", "://", "@", "/", '"', "'", "`", "<", ">", "&", "?", ";"],
  ...[
    "a=1 ",
    "A=1 ",
    "x=y;",
    "-----",
    "sk-a-",
    "user:p@",
    "\\n",
    "login u ",
    "password ",
    "host: x\n",
    "  b\n",
    "$6$a$",
  ],
];

/** Makes each text unique, because texts searched recently are not searched again. */
let count = 0;
const fresh = (text: string) => redact(`${text}${count++}`);

describe("each pattern takes time linear in the text:", () => {
  for (const { marks, looks } of PATTERNS) {
    test(String(looks).slice(0, 100), async () => {
      const search = (text: string) => {
        for (const _ of text.matchAll(looks));
      };
      for (const mark of marks) {
        await expectLinear(repeated(mark), search, 8192);
        for (const part of PARTS) {
          await expectLinear(repeated(mark + part), search, 8192);
          await expectLinear(repeated(part, mark), search, 8192);
        }
      }
    });
  }
});

describe("redaction takes time linear in the text:", () => {
  const marks = [...new Set(PATTERNS.flatMap((pattern) => pattern.marks))];
  const lines = ["BEGIN RSA PRIVATE", "END RSA PRIVATE"].map((line) => `-----${line} KEY-----\n`);
  const others = ["xoxb-client-key-data:", "mongodb://a:b@", "Private-Lines: 9\n", ...lines];
  const inputs = {
    ...RUNS,
    ...Object.fromEntries([...marks, ...others].map((mark) => [mark, repeated(mark)])),
    ...Object.fromEntries(
      Array.from({ length: 12 }, (_, seed) => [`mixture ${seed}`, mixture(seed, [...marks, ...PARTS])]),
    ),
  };
  for (const [name, input] of Object.entries(inputs)) {
    test(JSON.stringify(name), () => expectLinear(input, fresh, 16_384));
  }

  test("many key blocks in one text are redacted in linear time", async () => {
    const [begin = "", end = ""] = lines;
    for (const unit of [
      begin,
      end,
      begin + end,
      `${"a".repeat(64)}\n`,
      `${"a".repeat(64)}\n${end}`,
      "Private-Lines: 99\nAAAA",
    ]) {
      await expectLinear(repeated(unit), (text) => keyBlocksIn(text, new Pace()));
      await expectLinear(repeated(unit, begin), (text) => keyBlocksIn(text, new Pace()));
    }
  });
});

test("timers keep running while a long text is searched", async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await fresh("xoxb-client-key-data:PWD1 TOKEN=PWD ".repeat(20_000));
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(0);
});

describe("a secret anywhere in a long text is redacted to its last character:", () => {
  const secrets = {
    "a token": `ghp_${"a1B2".repeat(9)}`,
    "a long token": `eyJ${"hbGciOiJIUzI1NiJ9"}.eyJ${"zdWIiOiIxMjM0NTY3".repeat(300)}.${"SflKxwRJSMeKKF2QT4fw".repeat(20)}`,
    "a key": `-----BEGIN EC ${"PRIVATE"} KEY-----\n${`${"MHcCAQEE".repeat(8)}\n`.repeat(60)}-----END EC ${"PRIVATE"} KEY-----`,
  };
  const fillers = {
    "among lines": (random: Random) => `${"word ".repeat(1 + random.below(16))}\n`,
    "in one line": () => "word, ",
    "in a text without blanks": () => "word,",
  };
  for (const [what, secret] of Object.entries(secrets)) {
    for (const [where, filler] of Object.entries(fillers)) {
      test(`${what} ${where}`, async () => {
        for (let seed = 0; seed < 40; seed++) {
          const random = new Random(seed);
          const fill = (length: number) => {
            let text = "";
            while (text.length < length) text += filler(random);
            return text;
          };
          const [before, after] = [fill(random.below(20_000)), fill(random.below(20_000))];
          const clean = await redact(`${before} ${secret} ${after}`);
          expect(clean).toContain("[redacted]");
          for (let at = 0; at + 12 < secret.length; at += 12) expect(clean).not.toContain(secret.slice(at, at + 12));
          expect(clean.startsWith(before.trimEnd())).toBe(true);
          expect(clean.endsWith(after)).toBe(true);
        }
      });
    }
  }
});
