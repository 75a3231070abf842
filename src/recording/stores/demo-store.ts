/** The recordings inside the executable: a complete small project, so that `llmfs demo` needs no key and no network. */

import type { ChatRequest } from "../../llm/llm.ts";
import demo from "../demo.json" with { type: "json" };
import type { RecordingStore } from "../recording.ts";
import { createMemoryStore } from "./memory.ts";

/** The contents of demo.json, which build/demo-recordings.ts writes. */
export interface DemoFile {
  readonly prompt: string;
  readonly model: string;
  readonly recordings: readonly Recorded[];
}

interface Recorded {
  readonly key: string;
  readonly label: string;
  readonly request: ChatRequest;
  readonly answer: { readonly text: string; readonly model: string };
}

/** The prompt of the demo's layout, and the name of the model in its requests. */
export const DEMO_PROMPT: string = demo.prompt;
export const DEMO_MODEL: string = demo.model;

/** A read-only store; use it in mode `replay`. */
export function createDemoStore(): RecordingStore {
  const recordings = demo.recordings.map(({ request, ...rest }) => ({ ...rest, request: requestOf(request) }));
  return createMemoryStore("the recordings inside llmfs", recordings, { readOnly: true });
}

/** JSON has no literal types: for the compiler, a role in it is any string. */
function requestOf(request: (typeof demo.recordings)[number]["request"]): ChatRequest {
  const { messages, ...rest } = request;
  return { ...rest, messages: messages.map(({ role, content }) => ({ role: roleOf(role), content })) };
}

function roleOf(role: string): "system" | "user" | "assistant" {
  return role === "system" || role === "assistant" ? role : "user";
}
