/** Notes what requests of the kernel open and change, while somebody follows the events. Otherwise this costs a check. */
import { messageOf } from "../../errno.ts";
import type { Filesystem, Handler, Header, OpName } from "../../fuse/ops.ts";
import { PARKED } from "../../fuse/ops.ts";
import type { Inode } from "../../tree/inode.ts";
import { join, toText } from "../../tree/path.ts";
import { isWritable, O_ACCMODE, O_RDWR } from "../handles.ts";
import type { Nodes } from "../nodes.ts";
import type { EventDetails } from "./events.ts";
import type { Programs } from "./programs.ts";

/** The parts of the mount that it uses. */
interface Observed {
  readonly programs: Programs;
  readonly nodes: Nodes;
  readonly control: { owns(inode: Inode): boolean };
}

/** Open files that were written to, or may have been without a request. */
interface Written {
  readonly inode: Inode;
  /** When it was opened: the kernel may write by itself. */
  readonly mtime: string;
  /** Who opened it: the kernel closes and writes back by itself. */
  readonly who: EventDetails;
  noted: boolean;
}

export function observe(mount: Observed, operations: Filesystem): Filesystem {
  const { programs, nodes } = mount;
  const { events } = programs;
  const writers = new Map<number, Written>();

  const who = ({ pid, uid }: Header) => programs.describe(pid, uid);

  function note(op: string, header: Header, path: string, more: EventDetails = {}): void {
    events.add("change", { op, path, ...more, ...who(header) });
  }

  const pathOf = (nodeid: number) => programs.pathOf(nodes.get(nodeid));
  const pathIn = (nodeid: number, name: string) => {
    const directory = pathOf(nodeid);
    return join(directory, toText(name));
  };

  /** Runs `after` when the handler has succeeded. A parked request is noted by whoever answers it. */
  function wrap<K extends OpName>(
    name: K,
    after: (request: Parameters<Handler<K>>[0], header: Header, reply: unknown) => void,
  ): Partial<Filesystem> {
    const handler: Handler<K> | undefined = operations[name];
    if (handler === undefined) return {};
    const observed: Handler<K> = (request, header, target) => {
      if (!events.watched) return handler(request, header, target);
      const reply = handler(request, header, target);
      if (reply === PARKED) return reply;
      try {
        after(request, header, reply);
      } catch (error) {
        // The request has succeeded, whatever becomes of its event.
        programs.warn(`no event about ${name}: ${messageOf(error)}`);
      }
      return reply;
    };
    return { [name]: observed };
  }

  function noteWrite(op: string, fh: number, header: Header): void {
    const writer = writers.get(fh);
    if (writer?.noted === true) return;
    if (writer !== undefined) writer.noted = true;
    else writers.set(fh, { inode: nodes.get(header.nodeid), mtime: "", who: who(header), noted: true });
    events.add("change", { op, path: pathOf(header.nodeid), ...(writer?.who ?? who(header)) });
  }

  const named = <K extends "mkdir" | "mknod" | "symlink" | "unlink" | "rmdir">(op: K) =>
    wrap(op, ({ name }, header) => note(op, header, pathIn(header.nodeid, name)));

  return {
    ...operations,
    ...named("mkdir"),
    ...named("mknod"),
    ...named("symlink"),
    ...named("unlink"),
    ...named("rmdir"),
    ...wrap("create", ({ name }, header, reply) => {
      note("create", header, pathIn(header.nodeid, name));
      // The handler of CREATE returns its struct.
      const { entry, open } = reply as { readonly entry: { nodeid: number }; readonly open: { fh: number } };
      const inode = nodes.get(entry.nodeid);
      writers.set(open.fh, { inode, mtime: mtimeOf(inode), who: who(header), noted: false });
    }),
    ...wrap("link", ({ oldnodeid, name }, header) =>
      note("link", header, pathOf(oldnodeid), { to: pathIn(header.nodeid, name) }),
    ),
    ...wrap("rename", ({ name, newdir, newname }, header) =>
      note("rename", header, pathIn(header.nodeid, name), { to: pathIn(newdir, newname) }),
    ),
    ...wrap("rename2", ({ name, newdir, newname }, header) =>
      note("rename", header, pathIn(header.nodeid, name), { to: pathIn(newdir, newname) }),
    ),
    ...wrap("setattr", (_, header) => note("setattr", header, pathOf(header.nodeid))),
    ...wrap("setxattr", ({ name }, header) => note(`setxattr ${toText(name)}`, header, pathOf(header.nodeid))),
    ...wrap("removexattr", ({ name }, header) => note(`removexattr ${toText(name)}`, header, pathOf(header.nodeid))),
    ...wrap("fallocate", ({ fh }, header) => noteWrite("fallocate", fh, header)),
    ...wrap("write", ({ fh }, header) => {
      if (!mount.control.owns(nodes.get(header.nodeid))) noteWrite("write", fh, header);
    }),
    ...wrap("copyFileRange", ({ nodeid_out }, header) => note("write", header, pathOf(nodeid_out))),
    ...wrap("copyFileRange64", ({ nodeid_out }, header) => note("write", header, pathOf(nodeid_out))),
    ...wrap("open", ({ flags }, header, reply) => {
      const inode = nodes.get(header.nodeid);
      if (mount.control.owns(inode)) return;
      const access = !isWritable(flags) ? "read" : (flags & O_ACCMODE) === O_RDWR ? "read and write" : "write";
      events.add("open", { path: programs.pathOf(inode), access, ...who(header) });
      // The handler of OPEN returns its struct.
      const { fh } = reply as { readonly fh: number };
      if (isWritable(flags)) writers.set(fh, { inode, mtime: mtimeOf(inode), who: who(header), noted: false });
    }),
    release: (request, header, target) => {
      const reply = operations.release?.(request, header, target);
      const writer = writers.get(request.fh);
      if (writer === undefined) return reply;
      writers.delete(request.fh);
      const { inode, mtime, noted, who } = writer;
      if (!noted && mtimeOf(inode) !== mtime)
        events.add("change", { op: "write", path: programs.pathOf(inode), ...who });
      return reply;
    },
  };
}

function mtimeOf(inode: Inode): string {
  const { mtime, mtimeNsec } = inode.times();
  return `${mtime}.${mtimeNsec}`;
}
