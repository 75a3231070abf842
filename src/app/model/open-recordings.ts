/** Opens the recordings that the configuration names, and reports how the store does. */
import type { Log } from "../../log.ts";
import type { StoreMetrics, StoreStatus } from "../../recording/metrics.ts";
import type { RecordingStore } from "../../recording/recording.ts";
import type { Config } from "../settings/settings.ts";

interface RecordingsOptions {
  readonly recordings: RecordingStore | undefined;
  /** Undefined before there is a mount. */
  readonly mountpoint: () => string | undefined;
  /** Called with the status after every change. */
  readonly publish: (status: StoreStatus) => void;
}

export interface OpenedRecordings {
  /** Undefined if nothing is recorded. */
  readonly store: RecordingStore | undefined;
  readonly metrics?: StoreMetrics;
}

/** `recordings` replaces the store in the configuration. */
export async function openRecordings(
  config: Config,
  log: Log,
  { recordings, mountpoint, publish }: RecordingsOptions,
): Promise<OpenedRecordings> {
  if (recordings !== undefined || config.mode === "off") return { store: recordings };
  const [{ openStore }, { describeThisProcess }, { StoreMetrics }] = await Promise.all([
    import("../../recording/stores/store.ts"),
    import("../../recording/holder.ts"),
    import("../../recording/metrics.ts"),
  ]);
  const { mode, ownRecordings: local, s3, recordingKeys: keys } = config;
  const warn = (message: string) => log.write("warn", "recording", message);
  const onChange = () => {
    if (metrics !== undefined) publish(metrics.status);
  };
  let metrics: StoreMetrics | undefined;
  const store = await openStore(config.recordings, {
    mode,
    local,
    s3,
    keys,
    warn,
    required: config.recordingsRequired,
    alone: config.paysAlone,
    patient: true,
    timeoutMs: config.timeoutMs,
    who: () => describeThisProcess(mountpoint()),
    onChange,
  });
  metrics = new StoreMetrics(store, onChange);
  return { store, metrics };
}
