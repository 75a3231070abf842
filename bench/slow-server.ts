/** A server that answers each request after 50 ms, whatever it is. Prints its port. Runs in a process of its own, like a real one. */
export const LATENCY_MS = 50;

const events = [
  { model: "bench", choices: [{ index: 0, delta: { content: "one line of text\n" }, finish_reason: null }] },
  { model: "bench", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
  { model: "bench", choices: [], usage: { prompt_tokens: 100, completion_tokens: 10 } },
];

if (import.meta.main) {
  const body = `${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")}data: [DONE]\n\n`;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      await request.arrayBuffer();
      await Bun.sleep(LATENCY_MS);
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  console.log(server.port);
}
