/** A store of pages in the heap, for systems on which the kernel provides no memory file. */
import type { FileStat } from "../../libc.ts";
import { PAGE, type Store, type Stores } from "./store.ts";

export const heapPages: Stores = { open: () => new PageStore() };

export class PageStore implements Store {
  readonly counted = false;
  readonly wide = false;
  readonly #pages = new Map<number, Uint8Array>();
  #size = 0;

  read(offset: number, target: Uint8Array): void {
    for (let done = 0; done < target.length; ) {
      const at = offset + done;
      const within = at % PAGE;
      const length = Math.min(PAGE - within, target.length - done);
      const page = this.#pages.get(Math.floor(at / PAGE));
      if (page === undefined) target.fill(0, done, done + length);
      else target.set(page.subarray(within, within + length), done);
      done += length;
    }
  }

  write(offset: number, data: Uint8Array): number {
    for (let done = 0; done < data.length; ) {
      const at = offset + done;
      const within = at % PAGE;
      const length = Math.min(PAGE - within, data.length - done);
      this.#page(Math.floor(at / PAGE)).set(data.subarray(done, done + length), within);
      done += length;
    }
    this.#size = Math.max(this.#size, offset + data.length);
    return data.length;
  }

  truncate(size: number): void {
    if (size < this.#size) this.punch(size, Math.ceil(this.#size / PAGE) * PAGE - size);
    for (const page of this.#pages.keys()) if (page * PAGE >= size) this.#pages.delete(page);
    this.#size = size;
  }

  allocate(offset: number, length: number): void {
    for (let page = Math.floor(offset / PAGE); page * PAGE < offset + length; page++) this.#page(page);
  }

  punch(offset: number, length: number): void {
    const end = offset + length;
    for (const [number, page] of this.#pages) {
      const start = number * PAGE;
      if (start + PAGE <= offset || start >= end) continue;
      if (start >= offset && start + PAGE <= end) this.#pages.delete(number);
      else page.fill(0, Math.max(0, offset - start), Math.min(PAGE, end - start));
    }
  }

  nextData(offset: number): number | undefined {
    let first = Number.POSITIVE_INFINITY;
    const from = Math.floor(offset / PAGE);
    for (const page of this.#pages.keys()) if (page >= from && page < first) first = page;
    const at = Math.max(offset, first * PAGE);
    return at < this.#size ? at : undefined;
  }

  nextHole(offset: number): number | undefined {
    let page = Math.floor(offset / PAGE);
    while (this.#pages.has(page)) page++;
    return Math.min(Math.max(offset, page * PAGE), this.#size);
  }

  stat(into: FileStat): void {
    into.size = this.#size;
    into.blocks = this.#pages.size * (PAGE / 512);
  }

  exactSize(): number {
    return this.#size;
  }

  close(): void {
    this.#pages.clear();
  }

  #page(number: number): Uint8Array {
    const page = this.#pages.get(number) ?? new Uint8Array(PAGE);
    this.#pages.set(number, page);
    return page;
  }
}
