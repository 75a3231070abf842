/**
 * The address of a shared store, as `--recordings` has it.
 *
 *     redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]         rediss:// with TLS
 *     redis+unix://[[USER]:PASSWORD@]/PATH/OF/SOCKET
 *     redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT],…/MASTER[/DB]
 *     redis+cluster://[[USER]:PASSWORD@]HOST[:PORT],…
 *     s3://BUCKET[/PREFIX]
 *
 * No error here repeats any part of an address, because it may be part of a password.
 */

import { join } from "node:path";
import { findNearest } from "../../text/did-you-mean.ts";

export interface RedisAddress {
  readonly kind: "server" | "sentinel" | "cluster";
  /** One, unless the kind is "sentinel" or "cluster". Empty for a socket. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  /** The path of a Unix socket. */
  readonly socket?: string;
  /** The name of the master, for "sentinel". */
  readonly master?: string;
  readonly db?: number;
  readonly username?: string;
  readonly password?: string;
  readonly sentinelUsername?: string;
  readonly sentinelPassword?: string;
  /** Present if the connection is encrypted. The names of PEM files. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly prefix: string;
  /** For messages: without passwords and parameters. */
  readonly name: string;
}

export interface S3Address {
  readonly bucket: string;
  /** Without slashes at its ends. */
  readonly prefix: string;
  /** For messages. */
  readonly name: string;
}

const DEFAULT_PREFIX = "llmfs";

const REDIS_SCHEME = /^(redis|rediss|redis\+tls|valkey|valkeys|redis\+unix|rediss?\+sentinel|rediss?\+cluster)$/;
const ENCRYPTED = /^(rediss.*|redis\+tls|valkeys)$/;

/** What may follow the question mark of a Redis URL. */
const PARAMETERS = ["prefix", "tls-ca", "tls-cert", "tls-key", "sentinel-username", "sentinel-password"] as const;
type Parameter = (typeof PARAMETERS)[number];

/** The scheme of a shared store's URL; undefined for a folder. Throws an Error for people for any other URL. */
export function schemeOf(location: string): "redis" | "s3" | undefined {
  const scheme = split(location)?.scheme;
  if (scheme === undefined) return undefined;
  if (REDIS_SCHEME.test(scheme)) {
    parseRedis(location);
    return "redis";
  }
  if (scheme !== "s3") throw new Error(`${scheme}:// is not supported; use a folder, redis:// or s3://`);
  parseS3(location);
  return "s3";
}

/**
 * Whether the place can be expected to belong to whoever names it: a folder, or a prefix of a shared store other than the
 * one that everybody gets who names none.
 */
export function hasOwnPrefix(location: string): boolean {
  const scheme = schemeOf(location);
  if (scheme === undefined) return true;
  return scheme === "s3" ? parseS3(location).prefix !== "" : parseRedis(location).prefix !== DEFAULT_PREFIX;
}

/** What a person may expect to be a parameter of an S3 URL, and what it is instead. */
const S3_PARAMETERS: Readonly<Record<string, string>> = {
  prefix: "the prefix is the path after the bucket: write s3://BUCKET/PREFIX",
  endpoint: "set AWS_ENDPOINT_URL",
  region: "set AWS_REGION",
  profile: "set AWS_PROFILE",
};

export function parseS3(location: string): S3Address {
  const rest = split(location)?.rest ?? "";
  const parameter = findNearest(/\?([\w-]+)=/.exec(rest)?.[1] ?? "", Object.keys(S3_PARAMETERS));
  if (parameter !== undefined) throw new Error(`s3://: there are no parameters; ${S3_PARAMETERS[parameter]}`);
  if (/[@?#]/.test(rest)) {
    throw new Error(
      "s3://: only a bucket and a prefix are allowed; set credentials with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY " +
        "or a profile, and write @, ? and # in a prefix as %40, %3F and %23",
    );
  }
  const slash = rest.indexOf("/");
  const bucket = slash < 0 ? rest : rest.slice(0, slash);
  if (bucket === "") throw new Error("s3://: the bucket name is missing; write s3://BUCKET/PREFIX");
  const path = slash < 0 ? "" : rest.slice(slash);
  return {
    bucket,
    prefix: decode(path).replace(/^\/+|\/+$/g, ""),
    name: `s3://${bucket}${path}`.replace(/\/+$/, ""),
  };
}

export function parseRedis(location: string): RedisAddress {
  const { scheme, rest } = split(location) ?? { scheme: "", rest: "" };
  const { userinfo, place, query } = splitUserinfo(rest);
  const kind = scheme.endsWith("+sentinel") ? "sentinel" : scheme.endsWith("+cluster") ? "cluster" : "server";
  const parameters = parseParameters(query);
  const colon = userinfo.indexOf(":");
  const username = decode(colon < 0 ? userinfo : userinfo.slice(0, colon));
  const password = colon < 0 ? "" : decode(userinfo.slice(colon + 1));
  const tls = tlsOf(ENCRYPTED.test(scheme), parameters);
  const sentinelUsername = parameters.get("sentinel-username");
  const sentinelPassword = parameters.get("sentinel-password");
  const address = {
    kind,
    ...(username && { username }),
    ...(password && { password }),
    ...(sentinelUsername && { sentinelUsername }),
    ...(sentinelPassword && { sentinelPassword }),
    ...(tls && { tls }),
    prefix: parameters.get("prefix") || DEFAULT_PREFIX,
    name: `${scheme}://${place}`.replace(/\/$/, ""),
  } as const;
  if (scheme === "redis+unix") return { ...address, hosts: [], socket: decode(place) };
  const slash = place.indexOf("/");
  const hosts = parseHosts(slash < 0 ? place : place.slice(0, slash));
  if (kind === "server" && hosts.length > 1) {
    throw new Error("redis://: several hosts need redis+sentinel://HOST,HOST/MASTER or redis+cluster://HOST,HOST");
  }
  const path = slash < 0 ? [] : place.slice(slash + 1).split("/");
  const master = kind === "sentinel" ? decode(path.shift() ?? "") : undefined;
  if (master === "")
    throw new Error("redis+sentinel://: the master's name is missing; write redis+sentinel://HOST,HOST/MASTER");
  const [db = "", ...surplus] = path;
  if (surplus.some((part) => part !== "") || !/^\d*$/.test(db)) {
    throw new Error("redis://: the part after the host must be the number of a database, as in redis://HOST/0");
  }
  if (kind === "cluster" && Number(db) !== 0) throw new Error("redis+cluster://: a cluster has only database 0");
  return { ...address, hosts, ...(master && { master }), ...(db !== "" && { db: Number(db) }) };
}

/** The secrets in an address, as they are and as they are written. */
export function secretsInAddress(location: string): readonly string[] {
  const { scheme, rest } = split(location) ?? {};
  if (scheme === undefined || rest === undefined || !REDIS_SCHEME.test(scheme)) return [];
  const { password = "", sentinelPassword = "" } = parseRedis(location);
  const { userinfo } = splitUserinfo(rest);
  return [password, sentinelPassword, userinfo.slice(userinfo.indexOf(":") + 1)].filter((secret) => secret !== "");
}

/** The address as it may be shown: with its prefix, without user names and passwords. */
export function withoutSecrets(location: string): string {
  const { scheme, rest } = split(location) ?? {};
  if (scheme === undefined || rest === undefined || !REDIS_SCHEME.test(scheme)) return location;
  const { userinfo, place, query } = splitUserinfo(rest);
  if (userinfo === "" && !query.includes("sentinel-")) return location;
  const shown = query.split("&").filter((part) => part !== "" && !part.startsWith("sentinel-"));
  return `${scheme}://${place}${shown.length === 0 ? "" : `?${shown.join("&")}`}`;
}

function split(location: string): { readonly scheme: string; readonly rest: string } | undefined {
  const match = /^([a-z][a-z0-9+.-]*):\/\/([\s\S]*)$/i.exec(location);
  return match === null ? undefined : { scheme: (match[1] ?? "").toLowerCase(), rest: match[2] ?? "" };
}

/** Everything before the last @ is user name and password, which may have been written without escapes. */
function splitUserinfo(rest: string): { readonly userinfo: string; readonly place: string; readonly query: string } {
  const at = rest.lastIndexOf("@");
  const userinfo = at < 0 ? "" : rest.slice(0, at);
  if (/[@#/?[\]\\\s]/.test(userinfo) || (at < 0 && rest.includes("#"))) {
    throw new Error(
      "redis://: a user name, password or prefix has a character with a meaning in URLs; " +
        "write %40 for @, %23 for #, %2F for /, %3F for ?, %3A for : and %25 for %",
    );
  }
  const [place = "", ...query] = rest.slice(at + 1).split("?");
  if (query.length > 1 || rest.slice(at + 1).includes("#")) throw new Error("redis://: it has more than one ? or a #");
  return { userinfo, place, query: query[0] ?? "" };
}

function parseHosts(text: string): RedisAddress["hosts"] {
  return text.split(",").map((one) => {
    const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/i.exec(one);
    const port = Number(match?.[3] ?? "6379");
    if (match === null || port < 1 || port > 65_535) {
      throw new Error("redis://: it has no valid host and port; write redis://HOST or redis://:PASSWORD@HOST:PORT");
    }
    return { host: match[1] ?? match[2] ?? "", port };
  });
}

function parseParameters(query: string): ReadonlyMap<Parameter, string> {
  const found = new Map<Parameter, string>();
  for (const part of query.split("&")) {
    if (part === "") continue;
    const [given = "", ...value] = part.split("=");
    const name = PARAMETERS.find((known) => known === given);
    if (name === undefined) throw new Error(explainParameter(given));
    found.set(name, decode(value.join("=")));
  }
  return found;
}

/** What was given is not repeated: it may be part of a password. */
function explainParameter(given: string): string {
  const meant = findNearest(given, PARAMETERS);
  const cure = meant === undefined ? `expected ${PARAMETERS.join(", ")}` : `did you mean "${meant}"?`;
  return `redis://: unknown parameter after "?"; ${cure}`;
}

function tlsOf(encrypted: boolean, parameters: ReadonlyMap<Parameter, string>): RedisAddress["tls"] {
  const [ca, cert, key] = [parameters.get("tls-ca"), parameters.get("tls-cert"), parameters.get("tls-key")];
  if (!encrypted && (ca || cert || key)) throw new Error("redis://: tls-ca, tls-cert and tls-key need rediss://");
  if ((cert === undefined) !== (key === undefined)) throw new Error("redis://: tls-cert and tls-key need each other");
  return encrypted ? { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } : undefined;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error("the address has a % that is not followed by two hexadecimal digits; write %25 for %");
  }
}

/** The default place for recordings: the user's cache, by the XDG base directory specification. */
export function defaultRecordings(environment: { readonly home: string; readonly xdgCacheHome?: string }): string {
  const { home, xdgCacheHome } = environment;
  // The specification requires ignoring a relative path.
  const cache = xdgCacheHome?.startsWith("/") ? xdgCacheHome : join(home, ".cache");
  return join(cache, "llmfs", "recordings");
}
