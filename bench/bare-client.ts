/**
 * The `openai` client alone: sends the bodies in a file to a server, some at a time, and reads the streams.
 *
 *   bun bench/bare-client.ts PORT AT_ONCE BODIES
 *
 * Prints a line when it is loaded, begins when it reads one, prints another when it is done, and then waits to be killed, so
 * that its processor time can be measured.
 */
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import type { ChatCompletionCreateParamsStreaming } from "openai/resources/chat/completions";

const [, , port, atOnce, file = ""] = process.argv;
const client = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: "none", maxRetries: 0, logLevel: "off" });
await client.buildRequest({ method: "post", path: "/chat/completions", body: {} });
const bodies: readonly ChatCompletionCreateParamsStreaming[] = JSON.parse(readFileSync(file, "utf8"));
console.log("ready");
for await (const _ of console) break;

let next = 0;
let characters = 0;
const ask = async (): Promise<void> => {
  for (let body = bodies[next++]; body !== undefined; body = bodies[next++]) {
    for await (const { choices } of await client.chat.completions.create(body)) {
      characters += choices[0]?.delta.content?.length ?? 0;
    }
  }
};
await Promise.all(Array.from({ length: Number(atOnce) }, ask));
console.log(characters);
await Bun.sleep(60_000);
