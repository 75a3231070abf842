/** The checks of `llmfs doctor`: each tries what a mount would do, and names the cure. */
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../app/errors.ts";
import { createTemporaryDirectory } from "../../app/machine/temporary-directory.ts";
import { stateFolder } from "../../app/settings/settings.ts";
import { messageOf } from "../../errno.ts";
import { findDeviceFault } from "../../fuse/mounting/fuse-device.ts";
import { MountError } from "../../fuse/mounting/unmount.ts";
import { getuid } from "../../libc.ts";
import { modelsAt, rankModels } from "../../llm/models.ts";
import { LOCAL_SERVERS } from "../../llm/provider.ts";
import { findWayToMount, tryDirectMount } from "./mount-capability.ts";

export interface Check {
  readonly name: string;
  /** Absent: there is nothing to pass; it is only reported. */
  readonly ok?: boolean;
  /** What was tried, and the result. */
  readonly found: string;
  /** What to do. Absent if nothing is wrong. */
  readonly cure?: string;
}

export interface FoundServer {
  readonly name: string;
  readonly baseUrl: string;
  /** Models that can chat, the best first. */
  readonly models: readonly string[];
}

const SYSCTL = "/proc/sys/fs/fuse";
/** How long a server on this machine may take to answer. */
const PROBE_MS = 1000;

export async function diagnose(): Promise<readonly Check[]> {
  return [
    checkPlatform(),
    checkNativeCode(),
    checkDevice(),
    await checkMounting(),
    ...["default_request_timeout", "max_request_timeout"].map(reportTimeout),
    checkFolder("temporary folder", () => rmdirSync(createTemporaryDirectory())),
    checkFolder("state folder", () => checkStateFolder(stateFolder())),
  ];
}

function checkPlatform(): Check {
  const ok = process.platform === "linux";
  const cure = "use llmfs run --no-mount, or commands on snapshots; mounts need Linux";
  return { name: "system", ok, found: `${process.platform} ${process.arch}`, ...(ok ? {} : { cure }) };
}

function checkNativeCode(): Check {
  try {
    getuid();
    return { name: "native code", ok: true, found: "calls to the C library work" };
  } catch (error) {
    const cure = "allow executable memory (SELinux execmem, systemd MemoryDenyWriteExecute=no, PaX)";
    return { name: "native code", ok: false, found: messageOf(error), cure };
  }
}

function checkDevice(): Check {
  const name = "/dev/fuse";
  const fault = findDeviceFault();
  if (fault === undefined) return { name, ok: true, found: "it can be opened" };
  return { name, ok: false, found: `it ${fault.problem}`, ...(fault.cure !== undefined && { cure: fault.cure }) };
}

async function checkMounting(): Promise<Check> {
  const name = "mounting";
  try {
    const way = await findWayToMount({ certain: true });
    if (way.how === "direct") {
      await tryDirectMount();
      return { name, ok: true, found: "a trial mount with mount(2) worked" };
    }
    if (way.how !== "none") return { name, ok: true, found: "a trial mount with fusermount3 worked" };
    const { problem, cure = "install fuse3, or run as root" } = way.refusal;
    const unshare = Bun.which("unshare");
    const works = unshare !== null && Bun.spawnSync([unshare, "--user", "--map-root-user", "--mount", "true"]).success;
    if (!works) return { name, ok: false, found: `no CAP_SYS_ADMIN; ${problem}; no user namespaces`, cure };
    return {
      name,
      ok: false,
      found: `no CAP_SYS_ADMIN; ${problem}; but user namespaces work, so 'llmfs run' does`,
      cure,
    };
  } catch (error) {
    if (!(error instanceof UserError) && !(error instanceof MountError)) throw error;
    return { name, ok: false, found: error.message, cure: "use llmfs run --no-mount, or solve the problem above" };
  }
}

/** A kernel with a limit ends requests that wait longer, such as an open that waits for a slow model. */
function reportTimeout(setting: string): Check {
  const name = `fs.fuse.${setting}`;
  const path = join(SYSCTL, setting);
  if (!existsSync(path)) return { name, found: "this kernel has no such setting, and no limit" };
  const seconds = Number(readFileSync(path, "utf8").trim());
  if (seconds === 0) return { name, found: "0: requests may wait without a limit" };
  return { name, found: `${seconds} s: the kernel limits how long a file may take`, cure: `sysctl ${name}=0` };
}

function checkFolder(name: string, attempt: () => void): Check {
  try {
    attempt();
    return { name, ok: true, found: "it can be written" };
  } catch (error) {
    const cure =
      name === "temporary folder"
        ? "set TMPDIR to a folder that can be written"
        : "set XDG_STATE_HOME, or use --log-file -";
    return { name, ok: false, found: messageOf(error), cure };
  }
}

/** Looks at the nearest folder above that exists, because the state folder is made when it is first needed. */
function checkStateFolder(folder: string): void {
  if (existsSync(folder)) return rmdirSync(mkdtempSync(join(folder, "check-")));
  const above = join(folder, "..");
  if (above === folder || existsSync(above)) accessSync(above, constants.W_OK);
  else checkStateFolder(above);
}

/** The servers on this machine that answer. */
export async function findServers(): Promise<readonly FoundServer[]> {
  const found = LOCAL_SERVERS.map(async ({ name, baseUrl }): Promise<FoundServer[]> => {
    try {
      const { models } = await modelsAt({ baseUrl }, PROBE_MS);
      // Nothing answers there, or not as a model server does.
      if (models === undefined) return [];
      const usable = rankModels(models).filter(({ unlikely }) => unlikely !== true);
      return [{ name, baseUrl, models: usable.map(({ id }) => id) }];
    } catch {
      return [];
    }
  });
  return (await Promise.all(found)).flat();
}
