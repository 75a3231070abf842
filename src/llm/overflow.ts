/** How servers report that a request does not fit into the model's context, each in its own words. */

/** The advice for this failure. */
export const SEND_LESS =
  "send less (for a file, lower --context-tokens; for a layout, shorten the prompt), or use a model with a longer context";

/** In lower case. Phrases that several servers use are listed once. */
const WORDS: readonly RegExp[] = [
  // OpenAI, Azure, DeepSeek, OpenRouter, vLLM, SGLang, Together, LiteLLM, LM Studio, Mistral, MiniMax, llama-cpp-python
  /context[ _-]?(length|window|size|limit)|contextwindowexceeded|max_model_len|maximum model length/,
  // LM Studio: "Trying to keep the first N tokens when context the overflows"
  /context the overflows/,
  // Anthropic, Bedrock, Ollama, Fireworks, vLLM
  /(prompt|input|messages?|inputs?) (is|are)? ?too long|prompt \(.{0,40}\) is (too long|longer)/,
  // Gemini: "The input token count (N) exceeds the maximum number of tokens allowed"; OpenRouter, Copilot, Kimi, Databricks
  /(input|prompt) (token count|length).{0,60}exceed|exceeds? (the )?(maximum|max)[ _](number of tokens|allowed input|input|seq)/,
  /token count.{0,40}exceeds the limit|exceeded model token limit|token limit exceeded/,
  // xAI, TGI, DashScope, Zhipu, watsonx
  /maximum prompt length|must have less than \d+ tokens|`inputs` tokens \+ `max_new_tokens` must be/,
  /range of input length should be|prompt exceeds (the )?max|input tokens.{0,20} cannot exceed/,
  // Groq, and OpenAI above the tokens per minute of an account: waiting never helps such a request
  /reduce the length of the (messages|input|prompt)|request too large for|tokens must be reduced|reduce your message size/,
  /too many (input )?tokens|request[_ ]entity[_ ]too[_ ]large|payload too large|request_too_large/,
];

/** Also mentions too many tokens, but passes by itself. */
const PASSING = /rate.?limit|throttl|too many requests|per (minute|day)|quota|try again in|please wait/;

/** Rejected only for its size, whatever else the message contains. */
const OVERSIZED = /request too large for|tokens must be reduced|reduce your message size/;

/** Whether an error reports that the request is too long. `said` is the whole error in lower case. */
export function isTooLong(status: number, said: string): boolean {
  if (OVERSIZED.test(said)) return true;
  if (status !== 400 && status !== 413 && status !== 422 && status < 500) return false;
  if (PASSING.test(said)) return false;
  return status === 413 || WORDS.some((words) => words.test(said));
}
