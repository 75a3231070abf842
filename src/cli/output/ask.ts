/** Asks the person at the terminal. */
import type { Person } from "../../app/configuration/choose.ts";
import { type Configuration, wasTrusted } from "../../app/configuration/trust.ts";
import { isCode } from "../../generators/config/find-config.ts";
import { isTerminal, readLine, say } from "./terminal.ts";

/** The maximum number of lines of a configuration to show. */
const LINES = 60;
const STANDARD_INPUT = 0;

/** The user who started the command. Without a terminal, questions cannot be asked. */
export const person: Person = {
  say,
  get askForTrust() {
    return isTerminal(STANDARD_INPUT) && isTerminal() ? askForTrust : undefined;
  },
};

function askForTrust(configuration: Configuration): boolean {
  const { file } = configuration;
  say(
    `${file} would be used here, and ${wasTrusted(file) ? "has changed since you trusted it" : "you have not trusted it yet"}.`,
  );
  say(
    isCode(file)
      ? "It is a program, and would run with your rights, as would every file that it imports:"
      : "Its rules can run programs, and send data and keys to servers:",
  );
  const lines = configuration.content.toString("utf8").trimEnd().split("\n");
  for (const line of lines.slice(0, LINES)) say(`  | ${line}`);
  if (lines.length > LINES) say(`  … and ${lines.length - LINES} more lines, which you should read before you answer`);
  say("Trust it from now on, as long as it does not change? [y/N]");
  return /^y(es)?$/i.test(readLine().trim());
}
