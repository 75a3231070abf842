/** NO_PROXY: which servers are reached without a proxy. */
import { BlockList, isIP } from "node:net";

/**
 * Interprets the list like curl and Bun: names separated by commas, each also for its subdomains and optionally with a
 * port; addresses and networks; "*" for all.
 */
export function isExempt(url: URL, list: string | undefined): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return (list ?? "")
    .split(",")
    .map((one) => one.trim().toLowerCase())
    .some((one) => {
      if (one === "*") return true;
      const [, name = one, itsPort = port] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(one) ?? [];
      const plain = name.replace(/^\[|\]$/g, "").replace(/^\.|\.$/g, "");
      if (plain === "" || itsPort !== port) return false;
      return host === plain || host.endsWith(`.${plain}`) || isInNetwork(host, plain);
    });
}

function isInNetwork(host: string, network: string): boolean {
  const [, address = "", bits = ""] = /^(.*)\/(\d{1,3})$/.exec(network) ?? [];
  const family = isIP(address);
  if (family === 0 || family !== isIP(host) || Number(bits) > (family === 4 ? 32 : 128)) return false;
  const kind = family === 4 ? "ipv4" : "ipv6";
  const networks = new BlockList();
  networks.addSubnet(address, Number(bits), kind);
  return networks.check(host, kind);
}
