import { describe, expect, test } from "bun:test";
import { UsageError } from "../../../src/app/errors.ts";
import { SETTINGS } from "../../../src/app/settings/table.ts";
import { type Args, defineCommand, defineFlags } from "../../../src/cli/args/command.ts";
import { parseArguments } from "../../../src/cli/args/parse.ts";

const args = defineFlags({
  dir: { type: "positional", required: true },
  file: { type: "positional", required: false },
  prompt: { type: "string", alias: "F" },
  logFile: { type: "string" },
  foreground: { type: "boolean", alias: "f" },
  debug: { type: "boolean", alias: "d" },
  mode: { type: "enum", options: ["auto", "replay"] },
  header: SETTINGS.header,
});

type Seen = { args: Args<typeof args>; rest: readonly string[] };

async function read(argv: readonly string[]): Promise<Seen["args"]> {
  let seen: Seen["args"] | undefined;
  await defineCommand({
    args,
    async run(values) {
      seen = values;
      return 0;
    },
  }).invoke(argv);
  if (seen === undefined) throw new Error("run was not called");
  return seen;
}

async function refusal(argv: readonly string[]): Promise<string> {
  const error = await read(argv).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(UsageError);
  return error instanceof Error ? error.message : "";
}

describe("the parser accepts", () => {
  test("the parser accepts any number of further arguments for a command that takes them", async () => {
    const line = (argv: string[], atLeast: number) =>
      parseArguments(argv, defineFlags({ dir: { type: "positional", required: true }, json: { type: "boolean" } }), {
        hint: "GLOB…",
        description: "",
        atLeast,
      });
    expect(line(["mnt", "a", "--json", "b"], 0).rest).toEqual(["a", "b"]);
    expect(line(["mnt", "--", "-a", "--json"], 0).rest).toEqual(["-a", "--json"]);
    expect(line(["mnt"], 0).rest).toEqual([]);
    expect(() => line(["mnt"], 1)).toThrow("GLOB… is missing");
    expect(() => line(["mnt", ""], 1)).toThrow("GLOB… is empty");
    expect(() => line(["mnt", "--jason"], 0)).toThrow("did you mean --json?");
  });

  test("the parser accepts a value after its flag, or after an equals sign", async () => {
    expect((await read(["/mnt", "--prompt", "a b"])).prompt).toBe("a b");
    expect((await read(["/mnt", "--prompt=a b"])).prompt).toBe("a b");
    expect((await read(["/mnt", "--prompt="])).prompt).toBe("");
    expect((await read(["/mnt", "--prompt=a=b"])).prompt).toBe("a=b");
  });

  test("the parser accepts the value of a short flag after a blank, an equals sign, or nothing", async () => {
    expect((await read(["/mnt", "-F", "text"])).prompt).toBe("text");
    expect((await read(["/mnt", "-Ftext"])).prompt).toBe("text");
    expect((await read(["/mnt", "-F=text"])).prompt).toBe("text");
  });

  test("the parser accepts short flags without a value joined together, of which the last may take one", async () => {
    const seen = await read(["-fdFtext", "/mnt"]);
    expect([seen.foreground, seen.debug, seen.prompt]).toEqual([true, true, "text"]);
  });

  test("the parser accepts hyphenated flags, which the command reads by camelCase names", async () => {
    expect((await read(["/mnt", "--log-file", "x.log"])).logFile).toBe("x.log");
  });

  test("the parser accepts flags before, between and after positional arguments", async () => {
    const seen = await read(["-f", "/mnt", "--mode", "replay", "out.json"]);
    expect([seen.dir, seen.file, seen.foreground, seen.mode]).toEqual(["/mnt", "out.json", true, "replay"]);
  });

  test("the parser accepts a missing flag: false if it takes no value and is not a setting, otherwise undefined", async () => {
    const seen = await read(["/mnt"]);
    expect([seen.foreground, seen.prompt, seen.mode, seen.file]).toEqual([false, undefined, undefined, undefined]);
    expect(seen.debug).toBeUndefined();
  });

  test("the parser accepts true and false for a switch that a file may have set", async () => {
    expect((await read(["/mnt", "--debug=false"])).debug).toBe(false);
    expect((await read(["/mnt", "--debug=true"])).debug).toBe(true);
    expect(await refusal(["/mnt", "--debug=false", "--debug"])).toBe("--debug is given twice");
  });

  test("the parser accepts several headers, in order", async () => {
    const seen = await read(["/mnt", "--header", "A: 1", "--header=B: 2"]);
    expect(seen.header).toEqual(["A: 1", "B: 2"]);
  });

  test("the parser treats everything after -- as positional arguments", async () => {
    const seen = await read(["--", "-f", "--debug"]);
    expect([seen.dir, seen.file, seen.foreground, seen.debug]).toEqual(["-f", "--debug", false, undefined]);
  });

  test("the parser accepts values that look like unknown flags", async () => {
    expect((await read(["/mnt", "--prompt", "- a list"])).prompt).toBe("- a list");
    expect((await read(["/mnt", "--prompt", "-"])).prompt).toBe("-");
    expect((await read(["/mnt", "--prompt=--no-debug"])).prompt).toBe("--no-debug");
  });
});

describe("the parser rejects", () => {
  test("the parser rejects an unknown flag, with a suggestion", async () => {
    expect(await refusal(["/mnt", "--promt", "x"])).toBe("unknown flag --promt; did you mean --prompt?");
    expect(await refusal(["/mnt", "--logfile=x"])).toBe("unknown flag --logfile; did you mean --log-file?");
    expect(await refusal(["/mnt", "--banana"])).toBe("unknown flag --banana");
    expect(await refusal(["/mnt", "-x"])).toContain("unknown flag -x");
    expect(await refusal(["/mnt", "-fx"])).toContain("unknown flag -x in -fx");
  });

  test("the parser rejects camelCase flags and --no- forms", async () => {
    expect(await refusal(["/mnt", "--logFile", "x"])).toBe("unknown flag --logFile; did you mean --log-file?");
    expect(await refusal(["/mnt", "--no-debug"])).toContain("unknown flag --no-debug");
  });

  test("the parser rejects a surplus argument, which it names", async () => {
    expect(await refusal(["/mnt", "out", "more"])).toBe(
      'unexpected argument "more"; to describe a tree, write --prompt more',
    );
    expect(await refusal(["/mnt", "out", "more", "--prompt", "x"])).toBe('unexpected argument "more"');
  });

  test("the parser rejects a missing value", async () => {
    expect(await refusal(["/mnt", "--prompt"])).toBe("--prompt needs a value");
    expect(await refusal(["/mnt", "-F"])).toBe("-F needs a value");
    expect(await refusal(["--prompt", "--", "/mnt"])).toBe("--prompt needs a value");
    expect(await refusal(["/mnt", "--prompt", "--debug"])).toContain("--prompt=--debug");
  });

  test("the parser rejects a value for a flag that takes none", async () => {
    expect(await refusal(["/mnt", "--foreground=yes"])).toBe("--foreground takes no value");
    expect(await refusal(["/mnt", "--debug=yes"])).toBe("--debug=yes: expected true or false");
  });

  test("the parser rejects the same flag twice, under either name", async () => {
    expect(await refusal(["/mnt", "--prompt", "a", "-F", "b"])).toBe("-F is given twice");
    expect(await refusal(["/mnt", "-ff"])).toBe("-f is given twice");
  });

  test("the parser rejects a missing or empty positional argument", async () => {
    expect(await refusal([])).toBe("DIR is missing");
    expect(await refusal([""])).toBe("DIR is empty");
    expect(await refusal(["/mnt", ""])).toBe("FILE is empty");
    const pair = defineFlags({
      source: { type: "positional", required: false },
      target: { type: "positional", required: true },
    });
    expect(() => parseArguments(["", "out"], pair)).toThrow("SOURCE is empty");
    expect(parseArguments(["out"], pair).values).toEqual(
      new Map([
        ["source", ""],
        ["target", "out"],
      ]),
    );
  });

  test("the parser rejects a value that is not one of the choices", async () => {
    expect(await refusal(["/mnt", "--mode", "replya"])).toBe(
      "--mode replya: expected auto, replay; did you mean replay?",
    );
  });
});

describe("a command that runs another", () => {
  const runner = defineCommand({
    args: defineFlags({ debug: { type: "boolean" } }),
    rest: { hint: "CMD", description: "" },
    async run(values, rest) {
      if (values.debug) throw new Error(`debug ${rest.join(" ")}`);
      throw new Error(rest.join(" "));
    },
  });

  test("a command that runs another gets the arguments after -- unchanged", async () => {
    await expect(runner.invoke(["--debug", "--", "ls", "--debug", "--", "-x"])).rejects.toThrow(
      "debug ls --debug -- -x",
    );
  });

  test("the error for a missing -- says where it belongs", async () => {
    await expect(runner.invoke(["ls", "-l"])).rejects.toThrow(
      'unexpected argument "ls"; put -- before the command: -- ls …',
    );
  });

  test("a command that runs another requires a command", async () => {
    await expect(runner.invoke(["--"])).rejects.toThrow("no command to run; add -- CMD");
    await expect(runner.invoke([])).rejects.toThrow("no command to run; add -- CMD");
  });
});

test("a misspelt argument does not compile", async () => {
  const seen = await read(["/mnt"]);
  // @ts-expect-error: there is no such argument
  expect(seen.promt).toBeUndefined();
});
