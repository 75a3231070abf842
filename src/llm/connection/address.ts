/**
 * The address of a server, which may contain a query: Azure needs `?api-version=…`, and some gateways take a key there.
 *
 * Classic Azure has one address for each deployment (`…/openai/deployments/NAME`), takes the key in the header `api-key`,
 * and needs no model, because the deployment has one.
 */
import { withoutTrailing } from "../../text/trailing.ts";

/** Adds a path to the base address, before its query. */
export function endpointOf(baseUrl: string, path: string): string {
  const { address, search } = splitAddress(baseUrl);
  return `${address}${path}${search}`;
}

export function splitAddress(baseUrl: string): { readonly address: string; readonly search: string } {
  const at = baseUrl.indexOf("?");
  const [address, search] = at < 0 ? [baseUrl, ""] : [baseUrl.slice(0, at), baseUrl.slice(at)];
  return { address: withoutTrailing(address, "/"), search };
}

/** The name of the deployment in an address of classic Azure. */
export function deploymentIn(baseUrl: string): string | undefined {
  const name = /\/openai\/deployments\/([^/?#]+)$/.exec(splitAddress(baseUrl).address)?.[1];
  return name === undefined ? undefined : decodeURIComponent(name);
}

/** The header with the key. */
export function keyHeaders(baseUrl: string, apiKey: string | undefined): Readonly<Record<string, string>> {
  if (apiKey === undefined) return {};
  return deploymentIn(baseUrl) === undefined ? { Authorization: `Bearer ${apiKey}` } : { "api-key": apiKey };
}
