/** Machines where FUSE is missing or forbidden, simulated with namespaces. */
import { afterEach, beforeEach, describe, expect } from "bun:test";
import { chmodSync, copyFileSync } from "node:fs";
import { fuse, mountNamespace, programs, testWith, userNamespace } from "../../support/needs.ts";
import { BINARY, Sandbox } from "../../support/program.ts";

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

/** Options for setpriv. */
const NOBODY = "--reuid 65534 --regid 65534 --clear-groups";

const HELPER = Bun.which("fusermount3");

const lacking = process.getuid?.() === 0 ? (programs("setpriv", "mount") ?? mountNamespace()) : "root";

const lackingHelper = lacking ?? fuse(true) ?? programs("fusermount3");

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
  "mkdir -p dev; mount -t tmpfs none dev; cp -a /dev/null /dev/zero /dev/urandom dev/; mount --move dev /dev";

const strace = (error: string) =>
  `set -- strace -f -qq -o /dev/null -P /dev/fuse -e inject=open,openat:error=${error} "$@"`;

const LOAD = "load the module as root ('modprobe fuse'), or start the container with --device /dev/fuse";

/** What is wrong with the device, and the reported problem and fix. */
const FAULTS: readonly (readonly [name: string, script: string, problem: string, cure: string, needs?: string])[] = [
  ["that is missing", WITHOUT_FUSE, "does not exist", LOAD],
  [
    "that is something else",
    "mount --bind /dev/null /dev/fuse",
    "is not the FUSE device, which has the number 10:229",
    "start the container with --device /dev/fuse, or create it again as root ('rm /dev/fuse; mknod -m 666 /dev/fuse c 10 229')",
  ],
  [
    "that this user may not open",
    `mknod fuse c 10 229; chmod 600 fuse; mount --bind fuse /dev/fuse; chown 65534 mnt; set -- setpriv ${NOBODY} "$@"`,
    "may not be opened by user 65534",
    "allow all users to open it, as udev does: run 'chmod 666 /dev/fuse' as root",
  ],
  [
    "that the container forbids",
    strace("EPERM"),
    "is forbidden in this container",
    "start the container with --device /dev/fuse",
    "strace",
  ],
  ["without a driver", strace("ENODEV"), "has no driver in this kernel", LOAD, "strace"],
];

for (const [name, script, problem, cure, needs] of FAULTS) {
  testWith(lacking ?? (needs && programs(needs)))(
    `mount, run and doctor say the same of a /dev/fuse ${name}, with the fix`,
    async () => {
      sandbox.directory("mnt");
      const prepared = `rm -f fuse; ${script}`;
      const mounted = await after(prepared, ["mount", "mnt"]);
      expect(mounted).toMatchObject({ status: 82, stdout: "", stderr: `llmfs: /dev/fuse ${problem}; ${cure}\n` });
      const run = await after(prepared, ["run", "--", "true"]);
      expect(run.status).toBe(82);
      expect(run.stderr).toStartWith(`llmfs: /dev/fuse ${problem}; ${cure}`);
      expect(run.stderr).toContain("--no-mount");
      const checked = await after(prepared, ["doctor"]);
      expect(checked.status).toBe(82);
      expect(checked.stdout).toContain(`✗ /dev/fuse: it ${problem}\n    to fix this: ${cure}\n`);
      expect(checked.stdout).toContain(`✗ mounting: /dev/fuse ${problem}; ${cure}\n`);
    },
  );
}

testWith(lacking)("without /dev/fuse, run leaves no directory behind", async () => {
  const { status } = await after(WITHOUT_FUSE, ["run", "--", "true"]);
  expect([status, sandbox.leftovers()]).toEqual([82, []]);
});

testWith(lacking ?? programs("strace"))(
  "doctor makes a trial mount as root, too, which a container may forbid",
  async () => {
    const forbid = 'set -- strace -f -qq -o /dev/null -e inject=mount:error=EPERM "$@"';
    const { status, stdout } = await after(forbid, ["doctor"]);
    expect(status).toBe(82);
    expect(stdout).toMatch(/✗ mounting: .*mount\(2\) is not permitted here.* apparmor=unconfined/);
  },
);

testWith(lacking ?? userNamespace())(
  "an error for a /dev/fuse without permission names the device and the fix",
  async () => {
    sandbox.directory("mnt");
    // With the capability to mount in a new namespace, but as nobody: the device's mode decides.
    const asNobody =
      "mknod fuse c 10 229; chmod 600 fuse; mount --bind fuse /dev/fuse; " +
      "set -- setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-current-user --mount --keep-caps" +
      ' "$@"';
    const { status, stderr } = await after(asNobody, ["mount", "mnt"]);
    expect(status).toBe(82);
    expect(stderr).toContain("/dev/fuse may not be opened by user 65534");
    expect(stderr).toContain("chmod 666 /dev/fuse");
  },
);

describe("fusermount3 that cannot mount", () => {
  /** How it is kept from mounting, and the reported problem and fix. */
  const cases: readonly (readonly [name: string, script: string, problem: string, cure: string])[] = [
    [
      "for a process with no_new_privs",
      `set -- setpriv --no-new-privs ${NOBODY} "$@"`,
      "no_new_privs is set",
      "start it without that (setpriv --no-new-privs; Docker: --security-opt no-new-privileges;",
    ],
    [
      "for a process whose bounding set lacks CAP_SYS_ADMIN",
      `set -- setpriv --bounding-set -sys_admin ${NOBODY} "$@"`,
      "not in this process's bounding set",
      "--cap-add SYS_ADMIN",
    ],
    [
      "because it is not setuid",
      `cp ${HELPER} helper; chmod 755 helper; mount --bind helper ${HELPER}; set -- setpriv ${NOBODY} "$@"`,
      `${HELPER} is not setuid root`,
      `chmod u+s ${HELPER}`,
    ],
    [
      "because only the members of a group may execute it",
      `cp ${HELPER} helper; chmod 4750 helper; mount --bind helper ${HELPER}; set -- setpriv ${NOBODY} "$@"`,
      `${HELPER} may not be executed by user 65534`,
      "add user 65534 to group 0",
    ],
    [
      "because its filesystem is mounted nosuid",
      `mount --bind ${HELPER} ${HELPER}; mount -o remount,bind,nosuid ${HELPER}; set -- setpriv ${NOBODY} "$@"`,
      `${HELPER} is mounted nosuid`,
      `mount -o remount,suid ${HELPER}`,
    ],
    [
      "because the maximum number of filesystems is mounted",
      `echo mount_max=0 > conf; mount --bind conf /etc/fuse.conf; set -- setpriv ${NOBODY} "$@"`,
      "too many FUSE filesystems mounted",
      "raise mount_max in /etc/fuse.conf",
    ],
    [
      "for a user without an entry in /etc/passwd",
      'set -- setpriv --reuid 54321 --regid 54321 --clear-groups "$@"',
      "refuses users without an entry in /etc/passwd, such as user 54321",
      "add an entry for user 54321 to /etc/passwd",
    ],
  ];

  for (const [name, script, problem, cure] of cases) {
    testWith(lackingHelper)(`if fusermount3 cannot mount ${name}, mount names the reason and the fix`, async () => {
      sandbox.directory("mnt");
      const own = `chmod 1777 .; chown ${/54321/.test(script) ? 54321 : 65534} mnt; ${script}`;
      const { status, stdout, stderr } = await after(own, ["mount", "mnt"]);
      expect([status, stdout]).toEqual([82, ""]);
      expect(stderr).toContain(problem);
      expect(stderr).toContain(cure);
      expect(stderr).toContain("llmfs run");
      expect(stderr).not.toContain("apt-get install fuse3");
    });

    testWith(lackingHelper ?? userNamespace())(
      `if fusermount3 cannot mount ${name}, run works without it`,
      async () => {
        const { status, stdout, stderr } = await after(script, ["run", "--", "sh", "-c", "echo x > a; cat a"]);
        expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "x\n", stderr: "" });
        expect(sandbox.leftovers()).toEqual([]);
      },
    );
  }

  testWith(lackingHelper)("if neither fusermount3 nor user namespaces work, run names both reasons", async () => {
    const script = `mount --bind /dev/null "$(command -v unshare)"; set -- setpriv --no-new-privs ${NOBODY} "$@"`;
    const { status, stderr } = await after(script, ["run", "--", "true"]);
    expect(status).toBe(82);
    expect(stderr).toContain("no_new_privs is set");
    expect(stderr).toContain("unshare, which creates user namespaces, is not in PATH");
  });
});

testWith(lackingHelper ?? userNamespace())("without HOME and without an entry in /etc/passwd, run works", async () => {
  const script = 'unset HOME; set -- setpriv --reuid 54321 --regid 54321 --clear-groups "$@"';
  const { status, stdout } = await after(script, ["run", "--", "sh", "-c", "echo x > a; cat a"]);
  expect([status, stdout]).toEqual([0, "x\n"]);
});

testWith(lacking)("commands that mount nothing work without FUSE", async () => {
  const { status, stdout } = await after(WITHOUT_FUSE, ["mount", "--help"]);
  expect([status, stdout.slice(0, 20)]).toEqual([0, "Mount a filesystem a"]);
});
