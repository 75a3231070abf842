/**
 * Patterns for secrets: tokens with the prefixes of services, passwords in URLs, password hashes, lines of password files,
 * and values whose name says that they are secret. Private keys are in key-blocks.ts.
 *
 * The formats are those that services publish for repository scanners. A pattern is tried only on a text that contains one
 * of its marks. If a pattern has a group, only the group is removed, so that the model still sees that there is a secret.
 *
 * Texts are untrusted. No pattern may have nested repetitions or begin with an unbounded run, so that it examines each
 * character a bounded number of times.
 */

export interface SecretPattern {
  /** Every secret of this kind contains one of these. */
  readonly marks: readonly string[];
  /** Global, with indices. */
  readonly looks: RegExp;
  /** Decides whether the group at this position is a secret. Default: it is. */
  readonly holds?: (secret: string, text: string, at: number) => boolean;
}

export type SecretRange = readonly [start: number, end: number];

/** Tokens with a unique prefix. */
const PREFIXED: readonly (readonly [marks: string, looks: RegExp])[] = [
  ["AKIA ASIA ABIA ACCA", /\bA(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}\b/dg],
  ["ghp_ gho_ ghu_ ghs_ ghr_", /\bgh[pousr]_\w{20,255}/dg],
  ["github_pat_", /\bgithub_pat_\w{20,255}/dg],
  ["gl", /\bgl(?:pat|dt|rt|ptt|cbt|ft|soat|imt|agent|oas|ffct)-[\w.-]{20,}/dg],
  ["xox xapp-", /\b(?:xox[a-z]|xapp)-[\w-]{10,}/dg],
  ["hooks.slack.com", /hooks\.slack\.com\/(?:services|workflows|triggers)\/[\w+/]{20,}/dg],
  ["discord", /discord(?:app)?\.com\/api\/webhooks\/\d+\/[\w-]{20,}/dg],
  ["sk_ rk_ whsec_", /\b(?:(?:sk|rk)_(?:live|test|prod)_\w{10,}|whsec_[\w+/=]{20,})/dg],
  ["npm_", /\bnpm_[A-Za-z0-9]{36}\b/dg],
  ["pypi-AgE", /\bpypi-AgE[\w-]{20,}/dg],
  ["rubygems_", /\brubygems_[0-9a-f]{48}\b/dg],
  ["dckr_", /\bdckr_[op]at_[\w-]{20,}/dg],
  ["AIza", /\bAIza[\w-]{35}(?![\w-])/dg],
  ["GOCSPX- ya29.", /\b(?:GOCSPX-[\w-]{20,}|ya29\.[\w-]{20,})/dg],
  ["SG.", /\bSG\.[\w-]{16,32}\.[\w-]{16,64}(?![\w-])/dg],
  ["hf_ r8_ gsk_ xai- pplx- nvapi-", /\b(?:hf_|r8_|gsk_|xai-|pplx-|nvapi-)[\w-]{30,}/dg],
  ["SK", /\bSK[0-9a-f]{32}\b/dg],
  ["key-", /\bkey-[0-9a-f]{32}\b/dg],
  ["-us", /\b[0-9a-f]{32}-us\d{1,2}\b/dg],
  ["dop_v1_ doo_v1_ dor_v1_", /\bdo[opr]_v1_[0-9a-f]{64}\b/dg],
  ["shpat_ shpca_ shppa_ shpss_", /\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b/dg],
  ["glsa_ glc_", /\b(?:glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|glc_[\w+/=]{32,})/dg],
  ["dapi", /\bdapi[0-9a-f]{32}\b/dg],
  ["hvs. hvb.", /\bhv[sb]\.[\w-]{24,}/dg],
  ["ATATT3 ATCTT3 ATBB", /\b(?:AT[AC]TT3[\w=-]{60,}|ATBB\w{20,})/dg],
  ["lin_ ntn_ secret_", /\b(?:lin_(?:api|oauth)_\w{30,}|ntn_\w{40,}|secret_[A-Za-z0-9]{43})\b/dg],
  ["figd_ fo1_ FlyV1", /\b(?:figd_[\w-]{30,}|fo1_[\w-]{43}|FlyV1 fm\d_[\w+/=,-]{40,})/dg],
  ["PMAK- NRAK- sntry sbp_ pul- tskey-", /\b(?:(?:PMAK|NRAK|pul|tskey)-|sntry[su]_|sbp_)[\w+/=.-]{20,}/dg],
  ["atlasv1.", /\b\w{14}\.atlasv1\.[\w-]{60,}/dg],
  ["ops_eyJ", /\bops_eyJ[\w+/=-]{40,}/dg],
  ["AGE-SECRET-KEY-", /\bAGE-SECRET-KEY-1[0-9A-Z]{50,}/dg],
  ["eyJ", /(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}(?:\.[\w-]*)?/dg],
  [":AA", /\b\d{8,10}:AA[\w-]{33}(?![\w-])/dg],
  ["ENC[", /\bENC\[[\w+/=,:. -]{20,}\]/dg],
];

const WORDS =
  "(?:pass(?:w(?:or)?d|phrase|wd)?|pwd|secret|token|credentials?|(?:api|access|secret|private|signing|encryption|auth|account|shared|master|license)[_-]?key|secret_key_base|authorization)";
/** A name that ends in such a word. "token_limit" does not name a token. */
const NAMED = String.raw`${WORDS}(?:_?\d{1,2})?`;
const NAME_MARKS = ["pass", "pwd", "secret", "token", "credential", "key", "authorization"];
const PASSWORDS = "pass(?:w(?:or)?d|phrase)";
const PASSWORD_MARKS = ["pass"];
/** After a name that comes first in its line. */
const FIRST = String.raw`(?<=^[ \t]*(?:export[ \t]+|set[ \t]+|-[ \t]+|//\S{1,100}:)?[\w."'-]{1,80})`;
const ASSIGNED = String.raw`\s{0,4}(?::=|=>|=|:)\s{0,4}`;

const OTHERS: readonly SecretPattern[] = [
  { marks: ["sk-"], looks: /\bsk-[\w-]{16,}/dg, holds: (token) => /\d/.test(token) && /\w{16}/.test(token) },
  {
    marks: ["://"],
    looks: /\b[a-z][a-z0-9+.-]{1,30}:\/\/[^\s/:"'`<>]{0,256}:([^\s/@"'`<>]{3,256})@/dgi,
    holds: isValue,
  },
  // A password may contain "@". The last one comes before the host.
  {
    marks: ["://"],
    looks: /\b[a-z][a-z0-9+.-]{1,30}:\/\/[^\s/:"'`<>]{0,256}:([^\s/@?#"'`<>]{0,128}@[^\s/?#"'`<>]{0,128})@(?=[\w[])/dgi,
    holds: isValue,
  },
  // Password hashes, as in /etc/shadow, .htpasswd and LDAP.
  {
    marks: ["$"],
    looks:
      /\$(?:2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}|(?:[156]|apr1|md5)\$(?:rounds=\d{1,9}\$)?[^$\s:]{1,16}\$[./A-Za-z0-9]{22,86}|(?:y|gy|7)\$[./A-Za-z0-9]{1,40}\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}|(?:argon2(?:id?|d)|scrypt|pbkdf2[a-z0-9-]{0,12})\$[\w=,$]{1,60}\$[A-Za-z0-9+/.]{8,}\$[A-Za-z0-9+/.]{20,})/dg,
  },
  { marks: ["SHA"], looks: /\{S?SHA(?:256|512)?\}[A-Za-z0-9+/]{26,}={0,2}/dg },
  // .pgpass: host:port:database:user:password
  {
    marks: [":5432:", ":*:"],
    looks: /^[\w.*-]{1,255}:(?:5432|\*):[a-z*_][\w-]{0,62}:[a-z*_][\w.-]{0,62}:(\S{3,256})[ \t]*$/dgim,
    holds: isValue,
  },
  // .netrc: machine host login user password value, on any number of lines
  {
    marks: ["machine", "default"],
    looks:
      /(?<=^[ \t]{0,8})(?:machine\s{1,8}\S{1,255}|default)\s{1,40}(?:login|user)\s{1,8}\S{1,255}\s{1,40}(?:account\s{1,8}\S{1,255}\s{1,40})?password\s{1,8}(\S{3,256})/dgm,
    holds: (value) => isNoWord(value.replaceAll('"', "")),
  },
  {
    marks: ["machine", "default"],
    looks: /(?<=^[ \t]{0,8})(?:machine\s{1,8}\S{1,255}|default)\s{1,40}password\s{1,8}(\S{3,256})\s{1,40}login\s/dgm,
    holds: (value) => isNoWord(value.replaceAll('"', "")),
  },
  // Cookies in a request, a response, a command and a browser's file.
  {
    marks: ["cookie"],
    looks:
      /\b(?:set-)?cookie["']?\s{0,2}[:=]\s{0,2}["']?([\w.-]{1,100}=[^\s;,"'`]{0,4096}(?:;[ ]?[\w.-]{1,100}(?:=[^\s;,"'`]{0,4096})?){0,100})/dgi,
    holds: isSession,
  },
  {
    marks: ["curl", "wget"],
    looks: /\s(?:-b|--cookie)[ =]["']?([\w.-]{1,100}=[^\s"'`]{8,4096})/dg,
    holds: isSession,
  },
  {
    marks: ["\tTRUE\t", "\tFALSE\t"],
    looks: /^[#\w.-]{3,255}\t(?:TRUE|FALSE)\t\/\S{0,255}\t(?:TRUE|FALSE)\t\d{1,12}\t[^\t\n]{1,255}\t(\S{6,4096})/dgm,
  },
  // User and password in one, in base64: Docker's "auth", npm's _auth, a basic authorization
  {
    marks: ["auth", "asic "],
    looks: /(?:["']?\b_?auth["']?\s{0,4}[:=]\s{0,4}["']?|\bBasic\s{1,4})([A-Za-z0-9+/]{8,512}={0,2})(?![\w+/=])/dgi,
    holds: isUserAndPassword,
  },
  // {"auth…: Docker's file in a Kubernetes secret
  { marks: ["eyJhdXRo"], looks: /\beyJhdXRo[\w+/]{24,}={0,2}/dg },
  // ?api_key=value in a URL
  {
    marks: ["://"],
    looks: new RegExp(`[?&][\\w.-]{0,40}(?:${WORDS}|key|auth)=([^\\s&"'\`<>#;,)]{6,400})`, "dgi"),
    holds: isValue,
  },
  // Password=value; in a connection string
  {
    marks: ["password=", "pwd="],
    looks: /(?:^|[;"'\s])(?:password|pwd)\s?=\s?([^;\s"'`<>]{4,256})(?=;)/dgim,
    holds: isValue,
  },
  {
    marks: ["</"],
    looks: new RegExp(`<(?:[\\w.:-]{0,60})${WORDS}>\\s*([^\\s<>]{4,400})\\s*</`, "dgi"),
    holds: isMixed,
  },
  // --token value, -u user:value
  {
    marks: ["--"],
    looks: new RegExp(`--(?:[\\w-]{0,40}-)?${WORDS}[ =]["']?([^\\s"'\`-][^\\s"'\`]{5,400})`, "dgi"),
    holds: isMixed,
  },
  {
    marks: ["curl", "wget"],
    looks: /\s(?:-u|--user|--proxy-user)[ =]["']?[^\s:"'`]{1,100}:([^\s"'`]{3,256})/dg,
    holds: isValue,
  },
  // NAME=value before a command
  {
    marks: NAME_MARKS.map((mark) => mark.toUpperCase()),
    looks: new RegExp(
      `${WORDS.toUpperCase()}(?<=^[ \\t]*(?:[A-Z_][A-Z0-9_]{0,60}=\\S{0,200}[ \\t]+){0,8}[A-Z0-9_]{0,80})=["']?([^\\s"'\`$]{4,400})["']?[ \\t]+\\S`,
      "dgm",
    ),
    holds: isValue,
  },
  { marks: ["-data:"], looks: /\b(?:client-key|client-certificate|token)-data:\s*([\w+/=]{16,20000})/dg },
  { marks: ["sig="], looks: /[?&]sig=([\w%+/=-]{30,})/dg },
  { marks: ["AccountKey=", "SharedAccessKey="], looks: /(?:Account|SharedAccess)Key=([\w+/=]{30,})/dg },
  { marks: ["earer ", "asic ", "EARER "], looks: /\b(?:Bearer|Basic)\s+([\w.~+/=-]{16,})/dgi, holds: isMixed },
  // "name": "value", name = 'value'
  {
    marks: NAME_MARKS,
    looks: new RegExp(`${NAMED}["'\`]?\\]?${ASSIGNED}(["'\`])([^\\s"'\`]{6,400})\\1`, "dgi"),
    holds: (value) => isValue(value) && !/^[a-z_]+$/i.test(value),
  },
  // name: value, as in YAML; name = value, as in .ini: a line of its own
  {
    marks: NAME_MARKS,
    looks: new RegExp(`${NAMED}["']?${FIRST}[ \\t]*[:=][ \\t]*([^\\s"'\`#;]{4,400})[ \\t]*$`, "dgim"),
    holds: isOwnValue,
  },
  // The same with letters only, where it cannot be a type or a translation: in upper case, or near a host.
  {
    marks: PASSWORD_MARKS.map((mark) => mark.toUpperCase()),
    looks: new RegExp(`${PASSWORDS.toUpperCase()}${FIRST}:[ \\t]+([A-Za-z_-]{6,400})[ \\t]*$`, "dgm"),
    holds: isNoWord,
  },
  {
    marks: PASSWORD_MARKS,
    looks: new RegExp(`${PASSWORDS}["']?${FIRST}:[ \\t]+["']?([a-z_-]{8,400})["']?[ \\t]*$`, "dgm"),
    holds: (value, text, at) => isNoWord(value) && isBesideHost(text, at),
  },
  // name: >- with the value in the indented lines below
  {
    marks: NAME_MARKS,
    looks: new RegExp(
      `${NAMED}["']?(?<=^([ \\t]{0,64})(?:-[ \\t]{1,8})?[\\w."'-]{1,80})[ \\t]*:[ \\t]*[|>][+-]?\\d?[ \\t]*\\n((?:\\1[ \\t]{1,64}[^\\s#][^\\n]{0,1000}(?:\\n|$)){1,20})`,
      "dgim",
    ),
    holds: (value) => isValue(value.trim()) && value.trim().length >= 6,
  },
  // NAME=value, as in .env
  {
    marks: NAME_MARKS.map((mark) => mark.toUpperCase()),
    looks: new RegExp(`${WORDS.toUpperCase()}(?:_?\\d{1,2})?${FIRST}=([^\\s"'\`#;]{4,400})[ \\t]*$`, "dgm"),
    holds: (value) => isValue(value) && !/^(?:\d+|true|false|null|none|yes|no)$/i.test(value),
  },
  // name=value in the middle of a line: only long values of mixed characters
  {
    marks: NAME_MARKS,
    looks: new RegExp(`${NAMED}["'\`]?${ASSIGNED}([\\w+/=~-]{20,400})(?![\\w.(+/=~-])`, "dgi"),
    holds: isMixed,
  },
];

export const PATTERNS: readonly SecretPattern[] = [
  ...PREFIXED.map(([marks, looks]): SecretPattern => ({ marks: marks.split(" "), looks })),
  ...OTHERS,
];

/** The ranges of secrets in a text, unordered and possibly overlapping. */
export function secretsIn(text: string): readonly SecretRange[] {
  const found: SecretRange[] = [];
  for (const { looks, holds } of patternsFor(text)) {
    for (const { indices } of text.matchAll(looks)) {
      // The last group, or else the whole match, is the secret.
      const range = indices?.at(-1);
      if (range !== undefined && holds?.(text.slice(...range), text, range[0]) !== false) found.push(range);
    }
  }
  return found;
}

/** The marks of patterns, found in one pass over a text: there are hundreds, and most texts contain none. */
class MarkIndex {
  /** By the first two units of a mark. */
  readonly #byPair = new Map<number, { readonly mark: string; readonly pattern: SecretPattern }[]>();
  /** Whether a pair of ASCII characters begins a mark. */
  readonly #begins = new Uint8Array(1 << 14);
  /** Marks of a single character. */
  readonly #single = new Map<string, SecretPattern>();

  add(mark: string, pattern: SecretPattern): void {
    if (mark.length === 1) return void this.#single.set(mark, pattern);
    const pair = pairAt(mark, 0);
    this.#byPair.set(pair, [...(this.#byPair.get(pair) ?? []), { mark, pattern }]);
    this.#begins[pair] = 1;
  }

  /** Adds the patterns of which the text contains a mark. */
  findIn(text: string, found: Set<SecretPattern>): void {
    for (const [mark, pattern] of this.#single) if (text.includes(mark)) found.add(pattern);
    for (let at = 0; at + 1 < text.length; at++) {
      const pair = pairAt(text, at);
      if (this.#begins[pair] !== 1) continue;
      for (const { mark, pattern } of this.#byPair.get(pair) ?? []) if (text.startsWith(mark, at)) found.add(pattern);
    }
  }
}

/** Outside ASCII, the pair of other characters, which only costs a comparison. */
function pairAt(text: string, at: number): number {
  return ((text.charCodeAt(at) & 127) << 7) | (text.charCodeAt(at + 1) & 127);
}

const exactMarks = new MarkIndex();
const lowerCaseMarks = new MarkIndex();
for (const pattern of PATTERNS) {
  for (const mark of pattern.marks) {
    if (pattern.looks.ignoreCase) lowerCaseMarks.add(mark.toLowerCase(), pattern);
    else exactMarks.add(mark, pattern);
  }
}

function patternsFor(text: string): ReadonlySet<SecretPattern> {
  const found = new Set<SecretPattern>();
  exactMarks.findIn(text, found);
  lowerCaseMarks.findIn(text.toLowerCase(), found);
  return found;
}

/** Whether the text is a value, not a reference or a placeholder. */
function isValue(text: string): boolean {
  return !/^[$%{<[(*]|^(.)\1*$|^(?:\/[a-z][a-z.-]*)+$|example|placeholder|change[_-]?me|your[_-]|dummy|redacted|x{5}/i.test(
    text,
  );
}

function isMixed(text: string): boolean {
  return isValue(text) && /\d/.test(text) && /[a-z]/i.test(text);
}

/** Whether the text is a value, not a type or an expression as in a program. */
function isOwnValue(text: string): boolean {
  if (!isValue(text) || text.length < 6 || text.endsWith(",") || /\w[([<]|^\w+(?:\.\w+)+$/.test(text)) return false;
  if (/^(?:u?int|[uif]|float|sha|utf|base|md|bits?)_?\d+$|^[A-Z][a-z]*\d+[A-Z][a-z]+$/i.test(text)) return false;
  return /[a-z]/i.test(text) && /[^A-Za-z_-]/.test(text);
}

/** Whether one of the cookies may be a session. */
function isSession(cookies: string): boolean {
  return cookies
    .split(";")
    .map((cookie) => cookie.slice(cookie.indexOf("=") + 1))
    .some((value) => value.length >= 12 && isMixed(value));
}

/** Whether the text is base64 of "user:password". */
function isUserAndPassword(text: string): boolean {
  const decoded = Buffer.from(text, "base64").toString("latin1");
  return /^[!-9;-~]{1,128}:[!-~]{3,}$/.test(decoded) && Buffer.from(decoded, "latin1").toString("base64") === text;
}

/** Words that stand for a password in schemas and forms. */
const NO_PASSWORD =
  /^(?:string|text|boolean|number|object|array|required|optional|nullable|hidden|secret|password|passwd|passphrase|sensitive|undefined|disabled|enabled|default|prompt|unknown|none|null|true|false)$/i;

function isNoWord(text: string): boolean {
  return isValue(text) && !NO_PASSWORD.test(text);
}

/** The number of neighbouring lines to check. */
const NEAR = 8;
const HOST =
  /^[ \t]*(?:-[ \t]+)?["']?(?:\w{0,40}_)?(?:host|hostname|server|port|adapter|driver|database|dbname|url|uri|endpoint)["']?[ \t]*:[ \t]*[^\s,;{(][^,;{(]*$/i;

/** Whether a neighbouring line names the host of the password, as in a configuration. */
function isBesideHost(text: string, at: number): boolean {
  const before = text
    .slice(Math.max(0, at - 2000), at)
    .split("\n")
    .slice(-NEAR, -1);
  const after = text
    .slice(at, at + 2000)
    .split("\n")
    .slice(1, NEAR);
  return [...before, ...after].some((line) => line.length <= 400 && HOST.test(line));
}
