/** A collection that a server sends in pages: fetches one page after the other, with the items of each. */
import { FsError } from "../../../errno.ts";
import { type Options, readText } from "../../config/options.ts";
import { toUtf8 } from "./charset.ts";
import type { Documents, Page } from "./documents.ts";
import { findNextLink } from "./link-header.ts";
import { type Asking, ask, type HttpAnswer, type HttpOptions, showUrl } from "./request.ts";

/** How to get from one page to the next, by the options. A `Link: …; rel="next"` header is followed automatically. */
export interface Paging {
  /** Where the items are: a JSONPath or a JSON pointer; absent: the whole response. */
  readonly items: string | undefined;
  /** Where the next page's URL or cursor is. */
  readonly next: string | undefined;
  /** The URL parameter for the cursor. */
  readonly cursor: string | undefined;
  /** The URL parameter that counts pages. */
  readonly page: string | undefined;
  /** The URL parameter that counts items. */
  readonly offset: string | undefined;
}

export const PAGING = ["items", "next", "cursor", "page", "offset"];

const MOST_PAGES = 10_000;

/** Two pages may be the same by chance. */
const MOST_ALIKE = 3;

/** Throws Error for options that exclude each other. */
export function pagingOf(options: Options): Paging {
  const text = (name: keyof Paging) => readText(options, name);
  const [items, next, cursor, page, offset] = [
    text("items"),
    text("next"),
    text("cursor"),
    text("page"),
    text("offset"),
  ];
  const ways = [next, page, offset].filter((way) => way !== undefined);
  if (ways.length > 1) throw new Error('use only one of the options "next", "page" and "offset"');
  if (cursor !== undefined && next === undefined) {
    throw new Error(
      'the option "cursor" needs "next", the place of the cursor in the response, such as "/meta/cursor"',
    );
  }
  return { items, next, cursor, page, offset };
}

/** The items of every page, each as JSON on one line. Rejects with FsError. */
export async function* fetchPages(
  start: URL,
  paging: Paging,
  settings: HttpOptions,
  asking: Asking,
  documents: Pick<Documents, "readPage">,
): AsyncGenerator<{ readonly items: readonly string[]; readonly url: URL }> {
  const { items, next } = paging;
  const question = { ...(items !== undefined && { items }), ...(next !== undefined && { next }) };
  const seen = new Set<string>();
  const readPage = async ({ bytes, headers }: HttpAnswer) =>
    documents.readPage(toUtf8(bytes, headers), question, asking.signal);
  let last: number | bigint | undefined;
  let same = 0;
  let url: URL | undefined = firstOf(start, paging);
  for (let count = 0; url !== undefined; count++) {
    if (count >= MOST_PAGES) throw new FsError("EIO", `${showUrl(url)}: more than ${MOST_PAGES} pages`);
    if (seen.has(url.href)) throw new FsError("ELOOP", `${showUrl(url)}: the next page is one that was already read`);
    seen.add(url.href);
    // Credentials are for the original server only.
    const headers = url.origin === start.origin ? settings.headers : new Map<string, string>();
    const answer: HttpAnswer | undefined = await ask(url, { ...settings, headers }, asking).catch((error: unknown) => {
      // Some servers answer a request beyond the last page like this.
      if (count > 0 && paging.page !== undefined && error instanceof FsError && error.code === "ENOENT")
        return undefined;
      throw error;
    });
    if (answer === undefined) return;
    const page = await readPage(answer).catch((error: unknown) => {
      throw error instanceof FsError ? error.at(showUrl(answer.url)) : error;
    });
    // A server that does not know the parameter sends its first page for ever.
    const fingerprint = page.items.length === 0 ? undefined : Bun.hash(answer.bytes);
    same = fingerprint !== undefined && fingerprint === last ? same + 1 : 1;
    last = fingerprint;
    const parameter = paging.page ?? paging.offset;
    if (same === MOST_ALIKE && parameter !== undefined) {
      const what = `${showUrl(url)}: ${MOST_ALIKE} pages in a row are the same`;
      throw new FsError("ELOOP", `${what}; does the server know the parameter "${parameter}"?`);
    }
    yield { items: page.items, url };
    url = nextOf(url, answer, page, paging);
  }
}

function firstOf(start: URL, { page }: Paging): URL {
  const url = new URL(start);
  if (page !== undefined && !url.searchParams.has(page)) url.searchParams.set(page, "1");
  return url;
}

function nextOf(url: URL, answer: HttpAnswer, found: Page, { next, cursor, page, offset }: Paging): URL | undefined {
  const count = found.items.length;
  const counted = page ?? offset;
  if (counted !== undefined) {
    const following = new URL(url);
    const from = Number(url.searchParams.get(counted) ?? 0);
    following.searchParams.set(counted, String(from + (page === undefined ? count : 1)));
    return count === 0 ? undefined : following;
  }
  const target = next === undefined ? findNextLink(answer.headers.get("link") ?? "") : found.next;
  if ((typeof target !== "string" && typeof target !== "number") || target === "") return undefined;
  if (cursor === undefined) {
    if (URL.canParse(String(target), answer.url.href)) return new URL(String(target), answer.url);
    throw new FsError("EIO", `${showUrl(url)}: the next page's URL is invalid: ${String(target).slice(0, 80)}`);
  }
  const following = new URL(url);
  following.searchParams.set(cursor, String(target));
  return following;
}
