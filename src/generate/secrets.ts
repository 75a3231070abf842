/**
 * What secrets look like: tokens by the prefixes that services give them, key files, passwords in addresses, and values
 * that a name calls a secret.
 *
 * The formats are those that the services publish, for the scanners of repositories. A row is tried on a text that has
 * one of its marks. Where a pattern has a group, the group is the secret: the model still sees that there is one.
 */

interface Pattern {
  /** No secret of the kind is without one of them. */
  readonly marks: readonly string[];
  /** Global, with indices. */
  readonly looks: RegExp;
  /** Says of a group's text whether it is one; absent: it is. */
  readonly holds?: (secret: string) => boolean;
}

export type SecretRange = readonly [start: number, end: number];

/** Tokens that begin as no other text does. */
const PREFIXED: readonly (readonly [marks: string, looks: RegExp])[] = [
  ["AKIA ASIA ABIA ACCA", /\bA(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}\b/dg],
  ["ghp_ gho_ ghu_ ghs_ ghr_", /\bgh[pousr]_\w{20,255}/dg],
  ["github_pat_", /\bgithub_pat_\w{20,255}/dg],
  ["gl", /\bgl(?:pat|dt|rt|ptt|cbt|ft|soat|imt|agent|oas|ffct)-[\w.-]{20,}/dg],
  ["xox xapp-", /\b(?:xox[a-z]|xapp)-[\w-]{10,}/dg],
  ["hooks.slack.com", /hooks\.slack\.com\/(?:services|workflows|triggers)\/[\w+/]{20,}/dg],
  ["discord", /discord(?:app)?\.com\/api\/webhooks\/\d+\/[\w-]{20,}/dg],
  ["sk-", /\bsk-(?:[a-z0-9]{1,12}-){0,3}(?=[\w-]*\d)[\w-]*\w{16}[\w-]*/dg],
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
  ["eyJ", /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}(?:\.[\w-]*)?/dg],
  [":AA", /\b\d{8,10}:AA[\w-]{33}(?![\w-])/dg],
  ["ENC[", /\bENC\[[\w+/=,:. -]{20,}\]/dg],
];

const WORDS =
  "(?:pass(?:w(?:or)?d|phrase|wd)?|pwd|secret|token|credentials?|(?:api|access|secret|private|signing|encryption|auth|account|shared|master|license)[_-]?key|secret_key_base|authorization)";
/** A name that ends in such a word: "token_limit" names no token. */
const NAMED = String.raw`${WORDS}(?:_?\d{1,2})?`;
const NAME_MARKS = ["pass", "pwd", "secret", "token", "credential", "key", "authorization"];
/** Behind the name: it stands first in its line. */
const FIRST = String.raw`(?<=^[ \t]*(?:export[ \t]+|set[ \t]+|-[ \t]+|//\S{1,100}:)?[\w."'-]{1,80})`;
const ASSIGNED = String.raw`\s{0,4}(?::=|=>|=|:)\s{0,4}`;

const OTHERS: readonly Pattern[] = [
  {
    marks: ["PRIVATE KEY"],
    looks:
      /-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----(?=[\s\S]{0,300}?[A-Za-z0-9+/=]{32})(?:[\s\S]{0,20000}?-----END[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----|(?:(?:\s|\\[nr]){0,8}[\w+/=]{16,})*)/dg,
  },
  {
    marks: ["://"],
    looks: /\b[a-z][a-z0-9+.-]{1,30}:\/\/[^\s/:@"'`<>]{0,256}:([^\s/@"'`<>]{3,256})@/dgi,
    holds: isValue,
  },
  // ?api_key=value, in an address
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
      `(?<=^[ \\t]*(?:[A-Z_][A-Z0-9_]{0,60}=\\S{0,200}[ \\t]+){0,8}[A-Z0-9_]{0,60})${WORDS.toUpperCase()}=["']?([^\\s"'\`$]{4,400})["']?[ \\t]+\\S`,
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
  // NAME=value, as in .env
  {
    marks: NAME_MARKS.map((mark) => mark.toUpperCase()),
    looks: new RegExp(`${WORDS.toUpperCase()}(?:_?\\d{1,2})?${FIRST}=([^\\s"'\`#;]{4,400})[ \\t]*$`, "dgm"),
    holds: (value) => isValue(value) && !/^(?:\d+|true|false|null|none|yes|no)$/i.test(value),
  },
  // name=value in the middle of a line: only what is long and mixed
  {
    marks: NAME_MARKS,
    looks: new RegExp(`${NAMED}["'\`]?${ASSIGNED}([\\w+/=~-]{20,400})(?![\\w.(+/=~-])`, "dgi"),
    holds: isMixed,
  },
];

const PATTERNS: readonly Pattern[] = [
  ...PREFIXED.map(([marks, looks]): Pattern => ({ marks: marks.split(" "), looks })),
  ...OTHERS,
];

/** Where secrets are in a text, in no order; they may overlap. */
export function secretsIn(text: string): readonly SecretRange[] {
  const lower = text.toLowerCase();
  const found: SecretRange[] = [];
  for (const { marks, looks, holds } of PATTERNS) {
    if (!marks.some((mark) => (looks.ignoreCase ? lower : text).includes(looks.ignoreCase ? mark.toLowerCase() : mark)))
      continue;
    for (const { indices } of text.matchAll(looks)) {
      // The last group is the secret, or all of it.
      const range = indices?.at(-1);
      if (range !== undefined && holds?.(text.slice(...range)) !== false) found.push(range);
    }
  }
  return found;
}

/** No reference to one that is somewhere else, and nothing that stands for one. */
function isValue(text: string): boolean {
  return !/^[$%{<[(*]|^(.)\1*$|^(?:\/[a-z][a-z.-]*)+$|example|placeholder|change[_-]?me|your[_-]|dummy|redacted|x{5}/i.test(
    text,
  );
}

function isMixed(text: string): boolean {
  return isValue(text) && /\d/.test(text) && /[a-z]/i.test(text);
}

/** No type and no expression, which is what such a line says in a program. */
function isOwnValue(text: string): boolean {
  if (!isValue(text) || text.length < 6 || text.endsWith(",") || /\w[([<]|^\w+(?:\.\w+)+$/.test(text)) return false;
  if (/^(?:u?int|[uif]|float|sha|utf|base|md|bits?)_?\d+$|^[A-Z][a-z]*\d+[A-Z][a-z]+$/i.test(text)) return false;
  return /[a-z]/i.test(text) && /[^A-Za-z_-]/.test(text);
}
