/** A collection that a server gives out page by page: its pages one after the other, and the items in each. */
import { FsError } from "../../../errno.ts";
import { type Options, readText } from "../../config/options.ts";
import type { Documents, Page } from "./documents.ts";
import { findNextLink } from "./link-header.ts";
import { type Asking, ask, type HttpAnswer, type HttpOptions, showUrl } from "./request.ts";

/** How one comes from a page to the next, as options say it. A `Link: …; rel="next"` is followed by itself. */
export interface Paging {
  /** Where the items are: a JSONPath or a JSON pointer; the whole answer where there is none. */
  readonly items: string | undefined;
  /** Where the next page's URL is, or the cursor for it. */
  readonly next: string | undefined;
  /** The parameter of the URL that a cursor goes into. */
  readonly cursor: string | undefined;
  /** The parameter that counts pages. */
  readonly page: string | undefined;
  /** The parameter that counts items. */
  readonly offset: string | undefined;
}

export const PAGING = ["items", "next", "cursor", "page", "offset"];

const MOST_PAGES = 10_000;

/** Throws Error for ways that exclude each other. */
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
  if (ways.length > 1) throw new Error('only one of the options "next", "page" and "offset" can lead to the next page');
  if (cursor !== undefined && next === undefined) {
    throw new Error('the option "cursor" needs "next": where in the answer the cursor is, such as "/meta/cursor"');
  }
  return { items, next, cursor, page, offset };
}

/** The items of every page, each as JSON in one line. Rejects with FsError. */
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
  let url: URL | undefined = firstOf(start, paging);
  for (let count = 0; url !== undefined; count++) {
    if (count >= MOST_PAGES) throw new FsError("EIO", `${showUrl(url)}: more than ${MOST_PAGES} pages`);
    if (seen.has(url.href)) throw new FsError("ELOOP", `${showUrl(url)}: this page is its own successor`);
    seen.add(url.href);
    // Keys are for the server they were given for.
    const headers = url.origin === start.origin ? settings.headers : new Map<string, string>();
    const answer: HttpAnswer | undefined = await ask(url, { ...settings, headers }, asking).catch((error: unknown) => {
      // What some say of the page behind the last.
      if (count > 0 && paging.page !== undefined && error instanceof FsError && error.code === "ENOENT")
        return undefined;
      throw error;
    });
    if (answer === undefined) return;
    const page = await documents.readPage(answer.bytes, question, asking.signal).catch((error: unknown) => {
      throw error instanceof FsError ? error.at(showUrl(answer.url)) : error;
    });
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
    throw new FsError("EIO", `${showUrl(url)}: the next page's URL is none: ${String(target).slice(0, 80)}`);
  }
  const following = new URL(url);
  following.searchParams.set(cursor, String(target));
  return following;
}
