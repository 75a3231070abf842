/** Readers that leave before the content is there: what they see, and what becomes of the request. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { describeMounted, mounted } from "../support/mounted.ts";
import { freePort, silentServer } from "../support/servers.ts";

setDefaultTimeout(60_000);

const UNREACHABLE = {
  "refuses connections": async () => ({ url: `http://127.0.0.1:${freePort()}/v1`, async [Symbol.asyncDispose]() {} }),
  "does not answer": silentServer,
};

describeMounted("interrupted reads", () => {
  for (const [how, server] of Object.entries(UNREACHABLE)) {
    test(`of a server that ${how} do not count against --max-calls`, async () => {
      await using unreachable = await server();
      const pending = ["a", "b", "c", "d"];
      await using m = await mounted({ pending, baseUrl: unreachable.url, args: ["--max-calls", "3"] });
      for (const name of pending) {
        const { stderr } = await m.sh(`timeout -s KILL 0.7 cat ${name}`);
        expect(stderr).not.toContain("quota");
      }
      const usage = () => m.out("cat .llmfs/usage.json").then(JSON.parse);
      while ((await usage()).reserved.calls > 0) await Bun.sleep(20);
      expect(await usage()).toMatchObject({ calls: 0, inputTokens: 0, outputTokens: 0 });
    });
  }
});
