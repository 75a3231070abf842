/** Records answers in a folder, then flushes or settles. A rename that fails marks each of these moments in a trace. */
import { renameSync } from "node:fs";
import { requestKey } from "../../src/recording/key.ts";
import { createFolderStore } from "../../src/recording/stores/folder.ts";

const [folder = "", count, how] = process.argv.slice(2);

function mark(moment: string): void {
  try {
    renameSync(`/${moment}`, "/nowhere");
  } catch {}
}

const store = createFolderStore(folder);
for (let index = 0; index < Number(count); index++) {
  const request = { model: "m", messages: [{ role: "user" as const, content: `Write file ${index}.` }] };
  const answer = { text: "x\n", model: "m-1" };
  await store.offer({ key: requestKey(request), label: `/file${index}`, request, answer });
}
mark("recorded");
await (how === "settle" ? store.settle?.() : store.flush?.());
mark("flushed");
