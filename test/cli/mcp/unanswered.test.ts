import { expect, test } from "bun:test";
import { UnansweredRequests } from "../../../src/cli/mcp/unanswered.ts";

const jsonrpc = "2.0" as const;
const request = (id: number, method = "tools/call") => ({ jsonrpc, id, method });
const answer = (id: number) => ({ jsonrpc, id, result: {} });
const cancel = (requestId: number) => ({ jsonrpc, method: "notifications/cancelled", params: { requestId } });

/** Whether it waits for something. */
async function waits(unanswered: UnansweredRequests): Promise<boolean> {
  const waiting = Symbol();
  const first = await Promise.race([unanswered.answered(() => false, 60_000), Bun.sleep(0).then(() => waiting)]);
  return first === waiting;
}

test("requests are waited for until each has its answer or is cancelled", async () => {
  const unanswered = new UnansweredRequests();
  expect(await waits(unanswered)).toBe(false);
  for (const id of [0, 1, 2]) unanswered.onReceived(request(id));
  unanswered.onSent(answer(1));
  unanswered.onReceived(cancel(2));
  expect(await waits(unanswered)).toBe(true);
  const all = unanswered.answered(() => false, 60_000);
  unanswered.onSent({ jsonrpc, id: 0, error: { code: 1, message: "it failed" } });
  await all;
  expect(await waits(unanswered)).toBe(false);
  unanswered.onReceived(request(3));
  expect(await waits(unanswered)).toBe(true);
});

test("notifications, answers of the client and subscriptions are not waited for", async () => {
  const unanswered = new UnansweredRequests();
  unanswered.onReceived({ jsonrpc, method: "notifications/initialized" });
  unanswered.onReceived(answer(7));
  unanswered.onReceived(request(8, "subscriptions/listen"));
  expect(await waits(unanswered)).toBe(false);
});

test("a request of the server with the same number is not an answer", async () => {
  const unanswered = new UnansweredRequests();
  unanswered.onReceived(request(1));
  unanswered.onSent(request(1, "roots/list"));
  expect(await waits(unanswered)).toBe(true);
});

test("the wait ends when nobody reads the answers, or at its limit", async () => {
  const unanswered = new UnansweredRequests();
  unanswered.onReceived(request(1));
  await unanswered.answered(() => true, 60_000, 1);
  await unanswered.answered(() => false, 1, 60_000);
});
