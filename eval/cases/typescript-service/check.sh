set -e
bun test
cat > acceptance.check.ts <<'TS'
import { startServer } from "./src/server.ts";

const server = startServer(0);
const url = `http://127.0.0.1:${server.port}/notes`;
const post = (body: string) => fetch(url, { method: "POST", body, headers: { "content-type": "application/json" } });
function expect(what: string, holds: boolean) {
  if (!holds) throw new Error(what);
}
const first = await post(JSON.stringify({ text: "one", tags: ["a"] }));
expect("POST answers 201", first.status === 201);
expect("the note has id 1", (await first.json()).id === 1);
expect("an empty text is refused", (await post('{"text": ""}')).status === 400);
expect("what is not JSON is refused", (await post("no")).status === 400);
await post('{"text": "two"}');
expect("all notes are listed", (await (await fetch(url)).json()).length === 2);
expect("notes are selected by tag", (await (await fetch(`${url}?tag=a`)).json()).length === 1);
expect("DELETE answers 204", (await fetch(`${url}/1`, { method: "DELETE" })).status === 204);
expect("a deleted note is gone", (await fetch(`${url}/1`)).status === 404);
server.stop(true);
TS
bun acceptance.check.ts
