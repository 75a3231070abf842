import packageJson from "../../package.json" with { type: "json" };

export const VERSION = packageJson.version;

/**
 * `--version`. Loads no other module, because scripts run it only to find out whether llmfs is installed. Resolves with false if
 * standard output cannot be written.
 */
export async function showVersion(): Promise<boolean> {
  try {
    await Bun.write(Bun.stdout, `llmfs ${VERSION}\n`);
    return true;
  } catch {
    return false;
  }
}
