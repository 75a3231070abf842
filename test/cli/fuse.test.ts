/** Machines where FUSE is missing or forbidden, made of namespaces. */
import { afterEach, beforeEach, expect } from "bun:test";
import { chmodSync, copyFileSync } from "node:fs";
import { mountNamespace, programs, testWith, userNamespace } from "../support/needs.ts";
import { BINARY, Sandbox } from "../support/program.ts";

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

const lacking = process.getuid?.() === 0 ? (programs("setpriv", "mount") ?? mountNamespace()) : "root";

/** Runs llmfs in a mount namespace of its own, after a script has changed /dev there. */
async function after(script: string, args: readonly string[]) {
  copyFileSync(BINARY[0] ?? "", sandbox.at("llmfs"));
  chmodSync(sandbox.at("llmfs"), 0o755);
  chmodSync(sandbox.path, 0o777);
  return sandbox.llmfs([], {
    program: ["unshare", "--mount", "sh", "-e", "-c", `${script}; exec "$@"`, "sh", sandbox.at("llmfs"), ...args],
  });
}

const WITHOUT_FUSE =
  "mkdir dev; mount -t tmpfs none dev; cp -a /dev/null /dev/zero /dev/urandom dev/; mount --move dev /dev";

testWith(lacking)("without /dev/fuse, mount and run say so, and what to do", async () => {
  sandbox.directory("mnt");
  const mounted = await after(WITHOUT_FUSE, ["mount", "mnt"]);
  expect([mounted.status, mounted.stdout]).toEqual([82, ""]);
  expect(mounted.stderr).toStartWith("llmfs: /dev/fuse not found; ");
  expect(mounted.stderr).toContain("modprobe fuse");
});

testWith(lacking)("without /dev/fuse, run leaves no directory behind", async () => {
  const { status } = await after(WITHOUT_FUSE, ["run", "--", "true"]);
  expect([status, sandbox.leftovers()]).toEqual([82, []]);
});

testWith(lacking ?? userNamespace())("a /dev/fuse that may not be opened is named, with the cure", async () => {
  sandbox.directory("mnt");
  // With the capability to mount in a namespace of one's own, but as nobody: the device's mode decides.
  const asNobody =
    "mknod fuse c 10 229; chmod 600 fuse; mount --bind fuse /dev/fuse; " +
    "set -- setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-current-user --mount --keep-caps" +
    ' "$@"';
  const { status, stderr } = await after(asNobody, ["mount", "mnt"]);
  expect(status).toBe(82);
  expect(stderr).toContain("/dev/fuse may not be opened by user 65534");
  expect(stderr).toContain("chmod 666 /dev/fuse");
});

testWith(lacking)("what needs no mount needs no FUSE", async () => {
  const { status, stdout } = await after(WITHOUT_FUSE, ["mount", "--help"]);
  expect([status, stdout.slice(0, 20)]).toEqual([0, "Mount a filesystem a"]);
});
