/** The names of users, from /etc/passwd. It is read once, when the first name is needed. */
import { readText } from "../../procfs.ts";

export class Users {
  #names: Map<number, string> | undefined;

  nameOf(uid: number): string | undefined {
    this.#names ??= readNames();
    return this.#names.get(uid);
  }
}

function readNames(): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of readText("/etc/passwd").split("\n")) {
    const [name = "", , uid = ""] = line.split(":");
    if (name !== "" && /^\d+$/.test(uid) && !names.has(Number(uid))) names.set(Number(uid), name);
  }
  return names;
}
