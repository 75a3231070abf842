/** The index on S3: small objects, named after the label and the key of a recording. */
import { stem } from "../../labels.ts";
import { ALIKE, firstFound, folderOf, type LabelledKey, SAME } from "./label-index.ts";
import type { S3Connection } from "./s3-connection.ts";

export class S3Index {
  readonly #connection: S3Connection;
  readonly #at: (path: string) => string;
  readonly #nameOf: (key: string) => string;

  /** `at` puts a path below the prefix of the store; `nameOf` is the name of a recording. */
  constructor(connection: S3Connection, at: (path: string) => string, nameOf: (key: string) => string) {
    this.#connection = connection;
    this.#at = at;
    this.#nameOf = nameOf;
  }

  /** Does not reject: recordings are found without the index. */
  async add({ key, label }: LabelledKey): Promise<void> {
    await this.#connection.write(this.#place(label, key), `${label.toWellFormed()}\n`).catch(() => {});
  }

  async remove(key: string, label: string | undefined): Promise<void> {
    if (label !== undefined) await this.#connection.remove(this.#place(label, key)).catch(() => {});
  }

  /** The names of a few recordings with this label, or with a similar one. */
  near(label: string): Promise<readonly string[]> {
    const folder = folderOf(label);
    return firstFound(
      () => this.#listWithStart(`${stem(label)}.`, SAME),
      () => (folder === "" ? Promise.resolve([]) : this.#listWithStart(stem(folder), ALIKE)),
      () => this.#listWithStart("", ALIKE),
      async () => (await this.#connection.list(this.#at("recordings/"), ALIKE)).map(({ name }) => name),
    );
  }

  #place(label: string, key: string): string {
    return this.#at(`labels/${stem(label)}.${key}`);
  }

  async #listWithStart(start: string, most: number): Promise<readonly string[]> {
    const found = await this.#connection.list(this.#at(`labels/${start}`), most);
    return found.map(({ name }) => this.#nameOf(name.slice(name.lastIndexOf(".") + 1)));
  }
}
