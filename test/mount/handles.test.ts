/** File handles (name_to_handle_at(2), as an NFS server uses them): valid for as long as their file lives. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { contentOf, describeMounted, IS_ROOT, mounted } from "../support/mounted.ts";

/**
 * `handles.py make PATH…` prints one handle per line; `handles.py open MOUNT HANDLE` prints what is there. Before that,
 * the kernel forgets all names and inodes that nobody uses.
 */
const HANDLES = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def fail():
    sys.exit(os.strerror(ctypes.get_errno()))
if sys.argv[1] == "make":
    for path in sys.argv[2:]:
        buffer, mount = ctypes.create_string_buffer(136), ctypes.c_int()
        struct.pack_into("I", buffer, 0, 128)
        if libc.name_to_handle_at(-100, path.encode(), buffer, ctypes.byref(mount), 0): fail()
        print(buffer.raw.hex())
else:
    open("/proc/sys/vm/drop_caches", "w").write("2")
    fd = libc.open_by_handle_at(os.open(sys.argv[2], os.O_RDONLY), ctypes.create_string_buffer(bytes.fromhex(sys.argv[3])), os.O_RDONLY)
    if fd < 0: fail()
    try: print(os.read(fd, 1000).decode(), end="")
    except IsADirectoryError: print(os.readlink("/proc/self/fd/%d" % fd), *sorted(os.listdir(fd)))
`;

describeMounted("file handles", () => {
  describe.skipIf(!IS_ROOT)(IS_ROOT ? "of a mount" : "of a mount (lacks root)", () => {
    test("file handles are valid after the kernel has forgotten the file, wherever it was moved, until it is removed or unmounted", async () => {
      await using m = await mounted({ pending: ["/d/e/pending"] });
      writeFileSync(m.sandbox.at("handles.py"), HANDLES);
      const program = `python3 ${m.sandbox.at("handles.py")}`;
      const make = async (...paths: string[]) => (await m.out(`${program} make ${paths.join(" ")}`)).trim().split("\n");
      const open = (handle: string | undefined) => m.sh(`${program} open . ${handle}`);
      await m.out("echo mine > d/e/own");
      const [root, directory, pending, own] = await make(".", "d/e", "d/e/pending", "d/e/own");
      expect((await open(own)).stdout).toBe("mine\n");
      expect((await open(directory)).stdout).toBe(`${m.dir}/d/e own pending\n`);
      expect((await open(root)).stdout).toBe(`${m.dir} d\n`);
      await m.out("mv d/e f; mv f/own g");
      expect((await open(own)).stdout).toBe("mine\n");
      expect((await open(directory)).stdout).toBe(`${m.dir}/f pending\n`);
      expect((await open(pending)).stdout).toBe(contentOf("f/pending"));
      await m.out("rm g");
      expect((await open(own)).stderr).toBe("Stale file handle\n");
      const left = await make("f/pending", "d", "f");
      await m.unmount();
      await m.mount(m.modelArgs());
      await m.out("echo > 1; mkdir 2; echo > 3; mkdir 4; ls -l");
      for (const handle of left) expect((await open(handle)).stderr).toBe("Stale file handle\n");
    }, 60_000);
  });
});
