import { readConfig } from "../../../app/settings/settings.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { show, showJson } from "../../output/terminal.ts";
import { askConfigured, type ConfiguredServer, describeModels } from "../../preflight/configured-server.ts";
import { type Check, diagnose, type FoundServer, findServers } from "../../preflight/diagnose.ts";

export const doctor = defineCommand({
  args: defineFlags({
    json: { type: "boolean", description: "print the checks as JSON" },
  }),
  notes: [
    "Checks what a mount needs. If something is missing, it says what to do. It also says how to start a container that can mount, " +
      "and which models can be used. It asks the configured server and servers on this machine for their models, and sends nothing else.",
    `The exit status is ${EXIT.ok.code} if mounts work here, and ${EXIT.fuse.code} if not.`,
  ],
  async run(args) {
    const { providers } = readConfig({ logFile: "-" });
    const [checks, servers, configured] = await Promise.all([diagnose(), findServers(), askConfigured(providers)]);
    const model = { configured: configured !== undefined, ...(configured && { server: configured }), servers };
    // Without the state folder there is no log, but mounts work.
    const failed = checks.some(({ name, ok }) => ok === false && name !== "state folder");
    if (args.json) showJson({ ok: !failed, checks, containers: CONTAINERS, model });
    else
      show(`${[...checks.flatMap(formatCheck), "", ...formatModels(model), "", ...formatContainers()].join("\n")}\n`);
    return failed ? EXIT.fuse.code : EXIT.ok.code;
  },
});

const CONTAINERS = {
  docker: "docker run --device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined IMAGE",
  podman: "podman run --device /dev/fuse --cap-add SYS_ADMIN --security-opt label=disable IMAGE",
  kubernetes: "securityContext: { privileged: true }",
  withoutFuse: "llmfs run --no-mount -- CMD",
} as const;

function formatCheck({ name, ok, found, cure }: Check): readonly string[] {
  const mark = ok === undefined ? "·" : ok ? "✓" : "✗";
  return [`${mark} ${name}: ${found}`, ...(cure === undefined ? [] : [`    to fix this: ${cure}`])];
}

function formatModels({
  server,
  servers,
}: {
  readonly server?: ConfiguredServer;
  readonly servers: readonly FoundServer[];
}): readonly string[] {
  const lines = servers.map(({ name, baseUrl, models }) => `✓ ${name} at ${baseUrl}: ${describeModels(models)}`);
  if (server?.problem !== undefined) lines.unshift(`✗ the configured model server: ${server.problem}`);
  else if (server !== undefined) lines.unshift(`✓ the configured model server, ${server.host}: ${server.found}`);
  if (lines.length > 0) return lines;
  return [
    "· no model server: none is configured, and none answers on this machine",
    "    to fix this: export OPENAI_API_KEY=…, or start Ollama, LM Studio or llama.cpp",
  ];
}

function formatContainers(): readonly string[] {
  return [
    "In a container, mounts need:",
    `  Docker       ${CONTAINERS.docker}`,
    `  Podman       ${CONTAINERS.podman}`,
    `  Kubernetes   ${CONTAINERS.kubernetes}`,
    `  without FUSE ${CONTAINERS.withoutFuse}`,
  ];
}
