/** The groups of a user according to /etc/passwd and /etc/group, as after login(1), without a directory service. */
import { readFileSync, statSync } from "node:fs";

const FILES = { passwd: "/etc/passwd", group: "/etc/group" };

interface UserTable {
  /** The version of the files that were read. */
  readonly version: string;
  readonly names: ReadonlyMap<number, { readonly name: string; readonly gid: number }>;
  readonly members: ReadonlyMap<string, ReadonlySet<number>>;
}

let users: UserTable | undefined;

/** Empty for a user who is not in the files: that grants less, not more. */
export function groupsOf(uid: number, files = FILES): ReadonlySet<number> {
  const version = [files.passwd, files.group].map(versionOf).join(" ");
  if (users?.version !== version) users = { version, names: namesIn(files.passwd), members: membersIn(files.group) };
  const user = users.names.get(uid);
  return user === undefined ? new Set() : new Set([user.gid, ...(users.members.get(user.name) ?? [])]);
}

function versionOf(file: string): string {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats === undefined ? `${file}: none` : `${file} ${stats.ino} ${stats.size} ${stats.mtimeMs}`;
}

/** As getpwuid(3): if several lines have the same number, the first one is used. */
function namesIn(file: string): UserTable["names"] {
  const names = new Map<number, { readonly name: string; readonly gid: number }>();
  for (const [name = "", , uid, gid] of fieldsOf(file)) {
    if (isId(uid) && isId(gid) && !names.has(Number(uid))) names.set(Number(uid), { name, gid: Number(gid) });
  }
  return names;
}

function membersIn(file: string): UserTable["members"] {
  const members = new Map<string, Set<number>>();
  for (const [, , gid, names = ""] of fieldsOf(file)) {
    if (!isId(gid)) continue;
    for (const name of names.split(",")) {
      const groups = members.get(name);
      if (groups === undefined) members.set(name, new Set([Number(gid)]));
      else groups.add(Number(gid));
    }
  }
  return members;
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,10}$/.test(text);
}

function fieldsOf(file: string): readonly (readonly string[])[] {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .map((line) => line.split(":"));
  } catch {
    return [];
  }
}
