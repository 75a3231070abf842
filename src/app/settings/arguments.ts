/** The values of the flags that settings are read from. The flags themselves are described in cli/args/flags.ts. */
import type { RecordingMode } from "../../recording/recorded-model.ts";

/** The values as typed. Undefined for an absent flag. */
export interface SettingsArguments {
  readonly prompt?: string | undefined;
  readonly contentPrompt?: string | undefined;
  readonly model?: string | undefined;
  readonly baseUrl?: string | undefined;
  readonly layoutTokens?: string | undefined;
  readonly noDepends?: boolean | undefined;
  readonly concurrency?: string | undefined;
  readonly timeout?: string | undefined;
  readonly maxCalls?: string | undefined;
  readonly maxTokens?: string | undefined;
  readonly maxUsd?: string | undefined;
  readonly price?: string | undefined;
  readonly recordings?: string | undefined;
  readonly recordingsRequired?: boolean | undefined;
  readonly noRecordingsRequired?: boolean | undefined;
  readonly from?: string | undefined;
  readonly grow?: string | undefined;
  readonly size?: string | undefined;
  readonly inodes?: string | undefined;
  readonly save?: string | undefined;
  readonly saveEvery?: string | undefined;
  readonly contextTokens?: string | undefined;
  readonly config?: string | undefined;
  readonly logFile?: string | undefined;
  readonly mode?: RecordingMode | undefined;
  readonly readOnly?: boolean | undefined;
  readonly allowOther?: boolean | undefined;
  readonly lowPower?: boolean | undefined;
  readonly warm?: boolean | undefined;
  readonly debug?: boolean | undefined;
}
