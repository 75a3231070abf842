/** Which addresses may be asked: those of a host, none of them private unless that is allowed. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { FsError } from "../../../errno.ts";

/**
 * Whether an address is not of the public internet: this machine, private networks, link-local (clouds' metadata among
 * it), and whatever else IANA has set apart. An IPv4 address inside an IPv6 one counts as what it is.
 */
export function isPrivate(address: string): boolean {
  return !ipaddr.isValid(address) || ipaddr.process(address).range() !== "unicast";
}

/**
 * An address of the host that may be asked. It is the one to connect to: another lookup might find another. Rejects
 * with FsError EACCES, EHOSTUNREACH.
 */
export async function resolvePublicAddress(host: string): Promise<string> {
  const bare = host.replace(/^\[|\]$/g, "");
  const found = isIP(bare) === 0 ? await lookUpAddresses(bare) : [bare];
  const refused = found.find(isPrivate);
  if (refused !== undefined) {
    throw new FsError("EACCES", `${host} has the private address ${refused}; the option "private" allows it`);
  }
  return found[0] ?? "";
}

async function lookUpAddresses(host: string): Promise<readonly string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (cause) {
    throw new FsError("EHOSTUNREACH", `${host} is not known`, { cause });
  }
}
