import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { UsageError, UserError } from "../../../src/app/errors.ts";
import { secretsOf } from "../../../src/app/settings/model.ts";
import {
  canRedraw,
  childEnvironment,
  readConfig,
  temporaryFolders,
  wantsColor,
} from "../../../src/app/settings/settings.ts";
import type { SettingsArguments } from "../../../src/app/settings/table.ts";
import { SERVER_ENVIRONMENT } from "../../../src/fuse/mounting/process.ts";

test("by default no model is used, and the tree may use half of the memory", () => {
  const config = readConfig({}, {});
  expect(config.prompt).toBeUndefined();
  expect(config.providers).toEqual([{ from: "the flags" }, { from: "the environment" }]);
  expect(config.mode).toBe("auto");
  expect(config.size).toBeGreaterThan(0);
  expect(Object.isFrozen(config)).toBe(true);
});

test("a flag takes precedence over its variable", () => {
  const environment = { LLMFS_PROMPT: "from the environment", LLMFS_MODE: "off", LLMFS_RECORDINGS: "/env" };
  const config = readConfig({ prompt: "from the flag", mode: "auto", recordings: "/flag" }, environment);
  expect(config.prompt?.text).toBe("from the flag");
  expect(config.mode).toBe("auto");
  expect(config.recordings).toBe("/flag");
  expect(readConfig({}, environment).prompt?.text).toBe("from the environment");
  expect(readConfig({}, environment).mode).toBe("off");
});

test("an empty variable counts as not set", () => {
  const config = readConfig({}, { LLMFS_PROMPT: "", OPENAI_API_KEY: "", LLMFS_MODEL: "", XDG_STATE_HOME: "" });
  expect(config.prompt).toBeUndefined();
  expect(config.providers[1]).toEqual({ from: "the environment" });
});

test("a model address from flags and one from the environment are kept apart for the provider to choose", () => {
  const config = readConfig(
    { model: "big", baseUrl: "http://flag/v1" },
    { LLMFS_MODEL: "small", OPENAI_BASE_URL: "http://env/v1", OPENAI_API_KEY: " sk-key \n" },
  );
  expect(config.providers).toEqual([
    { from: "the flags", model: "big", baseUrl: "http://flag/v1" },
    { from: "the environment", model: "small", baseUrl: "http://env/v1", apiKey: "sk-key" },
  ]);
});

test("paths become absolute", () => {
  const config = readConfig({ from: "tree.json", save: "out.json", logFile: "x.log", recordings: "rec" }, {});
  expect([config.from, config.save, config.logFile, config.recordings]).toEqual(
    ["tree.json", "out.json", "x.log", "rec"].map((path) => resolve(path)),
  );
});

describe("recordings", () => {
  test("recordings are in the user's own folder unless a place is named", () => {
    expect(readConfig({}, { XDG_CACHE_HOME: "/cache" }).recordings).toBe("/cache/llmfs/recordings");
    expect(readConfig({ recordings: "fixtures" }, {}).recordings).toBe(resolve("fixtures"));
  });

  test.each(["foo://x", "s3://", "redis://a b"])(
    "recordings cannot be at %s: it is rejected from a flag and from a variable",
    (place) => {
      expect(() => readConfig({ recordings: place }, {})).toThrow(/^--recordings: /);
      expect(() => readConfig({}, { LLMFS_RECORDINGS: place })).toThrow(/^LLMFS_RECORDINGS: /);
    },
  );

  test("recordings can be required by a flag and by a variable, if they are not the user's own", () => {
    const variable = { LLMFS_RECORDINGS_REQUIRED: "1" };
    const recordings = "redis://cache";
    expect(readConfig({ recordings }, {}).recordingsRequired).toBe(false);
    expect(readConfig({ recordings, recordingsRequired: true }, {}).recordingsRequired).toBe(true);
    expect(readConfig({ recordings }, variable).recordingsRequired).toBe(true);
    expect(readConfig({ recordings, recordingsRequired: false }, variable).recordingsRequired).toBe(false);
    expect(readConfig({ recordings }, { LLMFS_RECORDINGS_REQUIRED: "off" }).recordingsRequired).toBe(false);
    expect(() => readConfig({}, variable)).toThrow("name the recordings with --recordings or LLMFS_RECORDINGS");
    expect(readConfig({ recordings, noRecordingsRequired: true }, variable).recordingsRequired).toBe(false);
    const both = { recordings, recordingsRequired: true, noRecordingsRequired: true };
    expect(() => readConfig(both, {})).toThrow("contradict each other");
    expect(() => readConfig({ recordings }, { LLMFS_RECORDINGS_REQUIRED: "ja" })).toThrow("expected 1 or 0");
  });

  test("a machine pays alone beside a shared store that refuses answers only if it is told to", () => {
    const recordings = "redis://cache";
    expect(readConfig({ recordings }, {}).paysAlone).toBe(false);
    expect(readConfig({ recordings, noRecordingsRequired: true }, {}).paysAlone).toBe(true);
    expect(readConfig({ recordings }, { LLMFS_RECORDINGS_REQUIRED: "0" }).paysAlone).toBe(true);
    expect(readConfig({ recordings, recordingsRequired: true }, { LLMFS_RECORDINGS_REQUIRED: "0" }).paysAlone).toBe(
      false,
    );
  });

  test("a password that is not percent-encoded is an error that shows no part of it and how to write it", () => {
    for (const [args, environment] of [
      [{ recordings: "redis://:p4rt@0ther#1@cache.example" }, {}],
      [{}, { LLMFS_RECORDINGS: "redis://:p4rt@0ther#1@cache.example" }],
    ] as const) {
      const error = (() => {
        try {
          return readConfig(args, environment);
        } catch (reason) {
          return String(reason);
        }
      })();
      expect(error).toContain("%40 for @");
      expect(error).not.toMatch(/p4rt|0ther|cache/);
    }
  });

  test("recordings may be on a shared store, whose password is a secret", () => {
    const config = readConfig({ recordings: "redis://:hunter2@cache:6379" }, { AWS_SECRET_ACCESS_KEY: "aws-secret" });
    expect(config.recordings).toBe("redis://:hunter2@cache:6379");
    expect(secretsOf(config).toSorted()).toEqual(["aws-secret", "hunter2"]);
  });
});

test("an invalid value exits with the same status from a flag and from a variable", () => {
  const exit = (read: () => unknown) => {
    try {
      return read();
    } catch (error) {
      return error instanceof UserError ? error.exit : error;
    }
  };
  expect(exit(() => readConfig({ inodes: "many" }, {}))).toBe("usage");
  const variables = {
    SOURCE_DATE_EPOCH: "abc",
    LLMFS_RECORDINGS: "foo://x",
    LLMFS_MODE: "replya",
    OPENAI_BASE_URL: "host/v1",
    OPENAI_API_KEY: "sk-a\nb",
    HOME: "rel",
  };
  for (const [name, value] of Object.entries(variables)) {
    expect([name, exit(() => readConfig({}, { [name]: value }))]).toEqual([name, "usage"]);
  }
});

test("SOURCE_DATE_EPOCH is a time that a date can be", () => {
  expect(readConfig({}, { SOURCE_DATE_EPOCH: "8640000000000" }).epoch).toBe(8_640_000_000_000);
  expect(() => readConfig({}, { SOURCE_DATE_EPOCH: "8640000000001" })).toThrow("from 0 to 8640000000000");
});

test("limits and prices are parsed", () => {
  const config = readConfig({ maxCalls: "0", maxUsd: "0.5", price: "a=1/2,b=0.2/0.6" }, {});
  expect(config.limits).toEqual({ calls: 0, usd: 0.5 });
  expect(new Map(config.prices).get("b")).toEqual({ input: 0.2, output: 0.6 });
  expect(() => readConfig({ price: "cheap" }, {})).toThrow("--price: ");
});

describe("the log", () => {
  test("the log is in the state folder of the XDG specification", () => {
    expect(readConfig({}, { XDG_STATE_HOME: "/state" }).logFile).toBe("/state/llmfs/llmfs.log");
    expect(readConfig({}, {}).logFile).toEndWith("/.local/state/llmfs/llmfs.log");
    expect(readConfig({}, { XDG_STATE_HOME: "relative" }).logFile).toEndWith("/.local/state/llmfs/llmfs.log");
  });

  test("a relative HOME is rejected for the log", () => {
    expect(() => readConfig({}, { HOME: "rel" })).toThrow('HOME is "rel", which is not an absolute path');
    expect(readConfig({}, { HOME: "/h" }).logFile).toBe("/h/.local/state/llmfs/llmfs.log");
  });

  test("no log is written with --log-file -", () => {
    expect(readConfig({ logFile: "-" }, {}).logFile).toBeUndefined();
  });
});

describe("contradictory settings are rejected:", () => {
  test("--prompt contradicts --from, unless the prompt is from the environment", () => {
    expect(() => readConfig({ prompt: "a b", from: "x.json" }, {})).toThrow("--prompt and --from exclude each other");
    expect(readConfig({ from: "x.json" }, { LLMFS_PROMPT: "a b" }).prompt).toBeUndefined();
  });

  test("--save-every without --save is rejected", () => {
    expect(() => readConfig({ saveEvery: "30s" }, {})).toThrow(UsageError);
  });
});

test("quantities too small for a mount are rejected with the minimum", () => {
  const refused: readonly (readonly [SettingsArguments, string])[] = [
    [{ size: "10" }, "--size 10: a number without a unit is in bytes; did you mean 10M?"],
    [{ size: "0" }, "--size 0: expected a size"],
    [{ inodes: "0" }, "--inodes 0: expected a whole number, 16 or more"],
    [{ inodes: "1" }, "--inodes 1: expected a whole number, 16 or more"],
    [{ save: "t.json", saveEvery: "0" }, "--save-every 0: expected a time"],
    [{ save: "t.json", saveEvery: "10ms" }, "--save-every 10ms: too short; the minimum is 1s"],
    [{ timeout: "1ms" }, "--timeout 1ms: too short; the minimum is 100ms"],
    [{ contextTokens: "1" }, "--context-tokens 1: expected a whole number, 256 or more"],
    [{ concurrency: "0" }, "--concurrency 0: expected a whole number, from 1 to 256"],
  ];
  for (const [args, message] of refused) {
    expect(() => readConfig(args, {})).toThrow(UsageError);
    expect(() => readConfig(args, {})).toThrow(message);
  }
});

test("an invalid base URL is rejected without being printed: it may be a misplaced key", () => {
  for (const read of [
    () => readConfig({ baseUrl: "sk-secret" }, {}),
    () => readConfig({}, { OPENAI_BASE_URL: "sk-secret" }),
  ]) {
    expect(read).toThrow(UserError);
    expect(read).not.toThrow("sk-secret");
    expect(read).toThrow("is not an http:// or https:// URL");
  }
});

test.each([
  ["a line break within", "sk-a\nsk-b", "a line break after its first 4 characters"],
  ["a character that no header has", "sk-€1", "U+20AC after its first 3 characters"],
  ["an invisible one", "sk-\u200bsecret", "U+200B after its first 3 characters"],
])("a key with %s is refused without being repeated", (_, key, problem) => {
  const read = () => readConfig({}, { OPENAI_API_KEY: key });
  expect(read).toThrow(`OPENAI_API_KEY is not a valid key: it has ${problem}; set it to the key alone`);
  expect(read).not.toThrow("sk-");
});

test("keys and passwords are registered as secrets", () => {
  const config = readConfig({ baseUrl: "http://user:pass%20word@host/v1" }, { OPENAI_API_KEY: "sk-key" });
  expect(secretsOf(config).toSorted()).toEqual(["pass word", "pass%20word", "sk-key"]);
});

test("a program that llmfs starts gets the environment without variables for llmfs's internal use", () => {
  const environment = childEnvironment(
    { LLMFS_MOUNT: "/m" },
    { HOME: "/h", LLMFS_NAMESPACE: "1", NODE_CHANNEL_FD: "3", ...SERVER_ENVIRONMENT },
  );
  expect(JSON.parse(JSON.stringify(environment))).toEqual({ HOME: "/h", LLMFS_MOUNT: "/m" });
});

test("temporary mountpoints are in absolute folders, preferably in XDG_RUNTIME_DIR", () => {
  expect(temporaryFolders({ XDG_RUNTIME_DIR: "/run/user/7", TMPDIR: "/var/tmp" })).toEqual([
    "/run/user/7",
    "/var/tmp",
    "/tmp",
  ]);
  expect(temporaryFolders({ TMPDIR: "tmp" })).toEqual(["/tmp"]);
});

test("NO_COLOR and a pipe turn colours off", () => {
  const TERM = "xterm";
  expect(wantsColor(true, { TERM })).toBe(true);
  expect(wantsColor(true, { TERM, NO_COLOR: "" })).toBe(true);
  expect(wantsColor(true, { TERM, NO_COLOR: "1" })).toBe(false);
  expect(wantsColor(true, { TERM, NO_COLOR: "0" })).toBe(false);
  expect(wantsColor(false, { TERM })).toBe(false);
});

test.each([{}, { TERM: "" }, { TERM: "dumb" }, { TERM: "unknown" }])(
  "a terminal of type %p has no colours and no redrawn lines",
  (environment) => {
    expect([wantsColor(true, environment), canRedraw(true, environment)]).toEqual([false, false]);
  },
);
