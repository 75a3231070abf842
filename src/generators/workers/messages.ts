/**
 * The messages between llmfs and its helper processes. Plain data, through Bun's IPC (structured clone).
 *
 * A helper runs code that may crash, loop or block: a user's own generators, and SQLite. It answers calls; each has one
 * result, which a stream of pieces may follow.
 */

import type { FileInfo } from "../../rpc/tree-port.ts";
import type { PageQuestion } from "../builtin/http/page.ts";
import type { Format } from "../builtin/sql/row-format.ts";
import type { BuiltIn } from "../config/config.ts";
import type { ConfigurationFile } from "../trusted-content.ts";

/** A generator's context, without what must be requested. */
export interface PlainContext {
  readonly file?: FileInfo;
  readonly prompts: readonly string[];
  readonly model?: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly params: Readonly<Record<string, string>>;
  readonly match?: string;
  readonly again?: true;
  readonly previous?: Readonly<Record<string, string>>;
  readonly maxBytes?: number;
}

export interface SqliteQuery {
  readonly file: string;
  /**
   * The file, and everything that belongs to the database, must be in the filesystem mounted here, without symlinks.
   */
  readonly within?: string;
  readonly sql: string;
  readonly params: readonly string[];
  readonly format: Format;
  /** The file is the first row. */
  readonly single: boolean;
  /** The file is this column's value in the first row. */
  readonly column?: string;
  /** The maximum size of a row. */
  readonly maxBytes: number;
}

/** The template's text is its input. */
export interface TemplateTask {
  readonly task: "template";
  /** Of the file. */
  readonly path: string;
  /** Of the template, for messages. */
  readonly name: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

export type Task =
  | { readonly task: "load"; readonly configuration: ConfigurationFile }
  | { readonly task: "validate"; readonly generator: string; readonly options: Readonly<Record<string, unknown>> }
  | {
      readonly task: "generate" | "list";
      readonly generator: string;
      readonly path: string;
      readonly context: PlainContext;
    }
  | { readonly task: "sqlite"; readonly query: SqliteQuery }
  | TemplateTask
  /** Of the JSON that is its input: the value at `next`, then the items, each as JSON on one line. */
  | { readonly task: "page"; readonly question: PageQuestion }
  /** The JSON that is its input, indented. */
  | { readonly task: "indent" }
  | { readonly task: "dispose" };

/** The contents of a configuration file. */
export interface Description {
  readonly generators: Readonly<Record<string, OwnGenerator | { readonly builtIn: BuiltIn }>>;
  readonly rules: unknown;
  /** All other keys. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** The description of a user's generator. */
export interface OwnGenerator {
  readonly lists: boolean;
  readonly validates: boolean;
  readonly match: readonly string[];
}

/** Of "generate": what came with the content. `unchanged`: there is no content. */
export interface GeneratedHead {
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
  readonly unchanged: boolean;
}

/** What a generator may request while it runs. */
export type Question = "outline" | "related" | "list" | "read" | "setting" | "working";

export type ToHelper =
  | { readonly type: "call"; readonly call: number; readonly task: Task }
  | { readonly type: "abort"; readonly call: number }
  /** A piece of a call's input; the last one has no bytes. */
  | { readonly type: "input"; readonly call: number; readonly bytes: Uint8Array }
  /** One piece was consumed: another may follow. */
  | { readonly type: "taken"; readonly call: number }
  /** Bytes of a long answer; the answer follows without any. */
  | { readonly type: "part"; readonly ask: number; readonly bytes: Uint8Array }
  | { readonly type: "answer"; readonly ask: number; readonly value: unknown }
  | { readonly type: "refusal"; readonly ask: number; readonly code: string; readonly message: string }
  | { readonly type: "ping" };

export type FromHelper =
  | { readonly type: "result"; readonly call: number; readonly value: unknown }
  | { readonly type: "piece"; readonly call: number; readonly bytes: Uint8Array }
  | { readonly type: "end"; readonly call: number }
  | ({ readonly type: "failed"; readonly call: number } & FailureMessage)
  | {
      readonly type: "ask";
      readonly call: number;
      readonly ask: number;
      readonly question: Question;
      readonly argument: string;
    }
  | { readonly type: "log"; readonly call: number; readonly level: "debug" | "info" | "warn"; readonly text: string }
  | { readonly type: "print"; readonly text: string }
  | { readonly type: "pong" };

/** An error in transit between processes. */
export interface FailureMessage {
  readonly name: string;
  readonly code: string;
  readonly message: string;
  readonly stack: string;
}

/** Maximum number of pieces in flight: a fast source must not fill the memory of either side. */
export const WINDOW = 16;
export const PIECE_BYTES = 256 * 1024;
