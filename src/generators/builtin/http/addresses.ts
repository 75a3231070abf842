/** Which addresses may be asked: those of a host, none of them private unless that is allowed. */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { FsError } from "../../../errno.ts";

/** Not of the public internet: this machine, private networks, link-local (clouds' metadata among it), and the like. */
const PRIVATE: readonly (readonly [string, number, "ipv4" | "ipv6"])[] = [
  ["0.0.0.0", 8, "ipv4"],
  ["10.0.0.0", 8, "ipv4"],
  ["100.64.0.0", 10, "ipv4"],
  ["127.0.0.0", 8, "ipv4"],
  ["169.254.0.0", 16, "ipv4"],
  ["172.16.0.0", 12, "ipv4"],
  ["192.0.0.0", 24, "ipv4"],
  ["192.168.0.0", 16, "ipv4"],
  ["198.18.0.0", 15, "ipv4"],
  ["224.0.0.0", 3, "ipv4"],
  ["::", 127, "ipv6"],
  ["64:ff9b::", 96, "ipv6"],
  ["64:ff9b:1::", 48, "ipv6"],
  ["2002::", 16, "ipv6"],
  ["fc00::", 7, "ipv6"],
  ["fe80::", 10, "ipv6"],
  ["fec0::", 10, "ipv6"],
  ["ff00::", 8, "ipv6"],
];

const blocked = new BlockList();
for (const [network, prefix, family] of PRIVATE) blocked.addSubnet(network, prefix, family);

export function isPrivate(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  const hex = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address);
  if (hex !== null) {
    const [high, low] = [Number.parseInt(hex[1] ?? "", 16), Number.parseInt(hex[2] ?? "", 16)];
    return isPrivate([high >> 8, high & 255, low >> 8, low & 255].join("."));
  }
  return blocked.check(mapped, isIP(mapped) === 6 ? "ipv6" : "ipv4");
}

/**
 * An address of the host that may be asked. It is the one to connect to: another look-up might find another. Rejects
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
