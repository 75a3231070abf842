/** OpenAI's own service. It is described apart from its client, which takes long to load. */

/** The model if none is named: the current middle tier, cheap enough for a file, good enough for code. */
export const DEFAULT_MODEL = "gpt-6.1-terra";

export const OPENAI_BASE_URL = "https://api.openai.com/v1";
