/** A mount that nobody uses does not wake up. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describeMounted, Mounted, mounted, processesOf } from "../support/mounted.ts";
import { openaiServer } from "../support/openai-server.ts";
import { eventually, Sandbox } from "../support/program.ts";

setDefaultTimeout(120_000);

/** The allocator's own thread checks every 30 seconds what memory it can return to the system. */
const ALLOCATOR = "mi-scavenger";
const WINDOW_MS = 3000;

/** How often each thread of a process has gone to sleep, except for the allocator's. */
function sleeps(pid: number): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "latin1");
      const name = /^Name:\s+(.*)$/m.exec(status)?.[1] ?? "";
      const count = /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1];
      if (name !== ALLOCATOR) counts.set(`${pid} ${name} ${thread}`, Number(count));
    } catch {
      // The thread has ended.
    }
  }
  return counts;
}

/** Nothing for a thread that has ended in the meantime. */
function readChildren(file: string): string {
  try {
    return readFileSync(file, "latin1").trim();
  } catch {
    return "";
  }
}

/** The processes, in addition to the guardian, that the mount has started and that have not ended. */
function helpersOf({ dir }: Mounted): readonly number[] {
  const own = processesOf(dir);
  return own.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
      const children = readChildren(`/proc/${pid}/task/${thread}/children`);
      return children === ""
        ? []
        : children
            .split(" ")
            .map(Number)
            .filter((child) => !own.includes(child));
    }),
  );
}

/** Waits until no thread of the mount wakes up for a while. Bun's own timers would wake one every second. */
async function expectSleep({ dir }: Mounted): Promise<void> {
  const pids = processesOf(dir);
  expect(pids).toHaveLength(2);
  const look = () => new Map(pids.flatMap((pid) => [...sleeps(pid)]));
  let awake: readonly string[] = [];
  for (const until = performance.now() + 28_000; performance.now() < until; ) {
    const before = look();
    await Bun.sleep(WINDOW_MS);
    awake = [...look()].filter(([thread, count]) => count !== before.get(thread)).map(([thread]) => thread);
    if (awake.length === 0) return;
  }
  throw new Error(`still awake: ${awake.join(", ")}`);
}

describeMounted("an idle mount does not wake up", () => {
  test("an empty idle mount does not wake up", async () => {
    await using m = await mounted();
    await expectSleep(m);
  });

  test("an idle mount that has used a model, a template, a program and a server does not wake up", async () => {
    await using m = new Mounted(new Sandbox(), await openaiServer());
    const url = `${m.server.baseUrl}/models`;
    const rules = [
      { match: "model.txt", generator: "llm" },
      { match: "template.txt", generator: "template", options: { text: "{{ path }}" } },
      { match: "program.txt", generator: "exec", options: { command: ["echo", "x"] } },
      { match: "server.json", generator: "http", options: { url, private: true } },
    ];
    writeFileSync(m.sandbox.at("llmfs.config.json"), JSON.stringify({ rules }));
    await m.mount(["--mode", "off", ...m.modelArgs()]);
    await m.out("cat model.txt template.txt program.txt server.json");
    // Templates and the server's JSON are parsed in a helper. While it lives, Bun looks at its socket every second.
    expect(helpersOf(m)).not.toEqual([]);
    await eventually("its helper processes have ended", () => helpersOf(m).length === 0, 50_000);
    await expectSleep(m);
  });
});
