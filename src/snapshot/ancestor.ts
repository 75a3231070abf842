/**
 * Reads snapshots of the ancestor (touchfs): a map from path to node, or a list of files. This format is never written.
 *
 * The nodes come in any order; inodes are created in the tree's order once all nodes are read. What we do not support
 * is dropped, with one warning for each kind of thing, however often it occurs.
 */
import { CONTROL_NAME, DEFAULT_GENERATOR, GENERATOR, MODEL, PROMPT } from "../attributes.ts";
import type { Directory } from "../tree/directory.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Inode, Owner } from "../tree/inode.ts";
import { compareBytes, join } from "../tree/path.ts";
import type { Tree } from "../tree/tree.ts";
import { XATTR_SIZE_MAX } from "../tree/xattrs.ts";
import { applyAttributes } from "./ancestor-attributes.ts";
import { splitPath } from "./entry-names.ts";
import { quote, type SnapshotPosition } from "./error.ts";
import { STRING_LIMIT, TARGET_MAX } from "./format.ts";
import type { JsonReader, ParsedJson } from "./read/json.ts";
import { checkXattrs } from "./xattrs.ts";

/** xattrs that mark content as not generated yet. */
const MARKS: ReadonlySet<string> = new Set([
  "generator",
  "needs_generation",
  "touched",
  "generate_content",
  "user.generate_content",
  "touchfs.generate_content",
]);

/** Files that become an xattr of their directory. */
const DIRECTORY_FILES: ReadonlyMap<string, string> = new Map([
  [".prompt", PROMPT],
  [".model", MODEL],
]);

const PATH_MAX = 4095;
const KNOWN: ReadonlySet<string> = new Set(["type", "content", "children", "attrs", "xattrs"]);

interface AncestorNode {
  readonly names: readonly string[];
  readonly line: number | undefined;
  readonly fields: Map<string, ParsedJson>;
}

export interface AncestorOptions {
  readonly owner?: Owner;
  readonly warn?: (message: string) => void;
}

export class AncestorReader {
  readonly #tree: Tree;
  readonly #reader: JsonReader;
  readonly #place: SnapshotPosition;
  readonly #owner: Owner;
  readonly #warn: (message: string) => void;
  readonly #nodes = new Map<string, AncestorNode>();
  /** What was dropped, how often, and where first. */
  readonly #dropped = new Map<string, { count: number; readonly first: string }>();
  /**
   * Applied at the end: creating an entry changes its directory's times, and a directory's mode and group are
   * inherited.
   */
  readonly #attributes: { readonly path: string; readonly inode: Inode; readonly node: AncestorNode }[] = [];
  #listed = false;

  constructor(tree: Tree, reader: JsonReader, place: SnapshotPosition, options: AncestorOptions) {
    this.#tree = tree;
    this.#reader = reader;
    this.#place = place;
    this.#owner = options.owner ?? { uid: tree.root.uid, gid: tree.root.gid };
    this.#warn = options.warn ?? (() => {});
  }

  /** Reads the value of one key of the snapshot. */
  readMember(key: string): void {
    if (key.startsWith("/")) this.#readNode(key);
    else if (key === "data") this.#reader.readObject('"data"', (path) => this.#readNode(path));
    else if (key === "files") this.#reader.readArray('"files"', () => this.#readListedFile());
    else {
      this.#reader.readValue(quote(key), STRING_LIMIT);
      this.#drop(`the key ${quote(key)}`, "/");
    }
  }

  finish(): void {
    const paths = [...this.#nodes.entries()].map(([path, node]) => ({ path, node, order: path.replaceAll("/", "\0") }));
    paths.sort((a, b) => compareBytes(a.order, b.order));
    for (const { path, node } of paths) {
      this.#place.entry = path;
      this.#place.line = node.line;
      this.#make(path, node);
    }
    for (const { path, inode, node } of this.#attributes) {
      this.#place.entry = path;
      this.#place.line = node.line;
      this.#apply(inode, node.fields);
    }
    this.#place.entry = this.#place.line = undefined;
    for (const [path, node] of this.#nodes) this.#compareChildren(path, node);
    for (const [what, { count, first }] of this.#dropped)
      this.#warn(`${what} was ignored (${count === 1 ? "at" : `${count} times, first at`} ${quote(first)})`);
  }

  #readNode(path: string): void {
    this.#place.entry = path;
    const line = this.#place.line;
    const value = this.#reader.readValue("a node", STRING_LIMIT);
    if (!(value instanceof Map)) throw this.#place.createError("its node is not an object");
    const top = path.split("/", 2)[1];
    if (top === ".touchfs" || top === CONTROL_NAME) this.#drop(`everything below /${top}`, path);
    else this.#add(path, { names: splitPath(path, PATH_MAX, this.#place), line, fields: value });
    this.#place.entry = undefined;
  }

  #readListedFile(): void {
    const text = this.#reader.readString("a name in the list", PATH_MAX * 4);
    const path = text.startsWith("/") ? text : `/${text}`;
    this.#place.entry = path;
    const names = splitPath(path, PATH_MAX, this.#place);
    this.#add(path, { names, line: this.#place.line, fields: new Map([["type", "file"]]) });
    this.#listed = true;
    this.#place.entry = undefined;
  }

  #add(path: string, node: AncestorNode): void {
    if (this.#nodes.has(path)) throw this.#place.createError("this path occurs twice", "remove one");
    this.#nodes.set(path, node);
  }

  #make(path: string, node: AncestorNode): void {
    const { names, fields } = node;
    for (const field of fields.keys()) if (!KNOWN.has(field)) this.#drop(`the field ${quote(field)}`, path);
    const type = fields.get("type");
    const name = names.at(-1);
    if (name === undefined) {
      if (type !== "directory") throw this.#place.createError("the root is not a directory");
      this.#finishInode(this.#tree.root, path, node, new Map());
      return;
    }
    const parent = this.#ensureDirectory(names.slice(0, -1));
    const content = fields.get("content") ?? null;
    if (content !== null && typeof content !== "string") throw this.#place.createError('its "content" is not text');
    const xattrs = this.#readXattrs(fields);
    if (type === "directory")
      this.#finishInode(this.#tree.mkdir(parent, name, 0o755, this.#owner), path, node, withoutMarks(xattrs));
    else if (type === "symlink") {
      if (content === null || content === "" || content.length > TARGET_MAX || content.includes("\0"))
        throw this.#place.createError(`a symlink needs a target of 1 to ${TARGET_MAX} bytes in "content"`);
      this.#finishInode(this.#tree.symlink(parent, name, content, this.#owner), path, node, withoutMarks(xattrs));
    } else if (type === "file") {
      if (this.#directoryFile(parent, name, content)) return;
      const file = this.#tree.createFile(parent, name, 0o644, this.#owner);
      this.#fill(file, content, xattrs);
      this.#finishInode(file, path, node, withoutMarks(xattrs));
    } else
      throw this.#place.createError(
        typeof type === "string" ? `has the type ${quote(type)}` : 'has no "type"',
        "types are file, directory, symlink",
      );
  }

  /** Content, or a pending file. An empty file stays empty unless an xattr marks it. */
  #fill(file: RegularFile, content: string | null, xattrs: Map<string, string>): void {
    const generator = xattrs.get("generator");
    const marked = [...xattrs].some(([name, value]) => MARKS.has(name) && isSet(value));
    const named = generator === undefined || !isSet(generator) ? undefined : unquote(generator);
    const ours = named === undefined || named === "default" || named === "true" ? DEFAULT_GENERATOR : named;
    const pending = content === null || (content === "" && marked);
    if (pending) file.state = "pending";
    // It was generated already, by a generator that can run again.
    else if (named !== undefined) file.state = "ready";
    if (pending || named !== undefined) xattrs.set(GENERATOR, ours);
    if (content === null || content === "") return;
    const bytes = Buffer.from(content, "latin1");
    for (let done = 0; done < bytes.length; ) done += file.write(done, bytes.subarray(done));
  }

  /** `.prompt` and `.model` with text in them become xattrs of their directory, not files. */
  #directoryFile(parent: Directory, name: string, content: string | null): boolean {
    const xattr = DIRECTORY_FILES.get(name);
    if (xattr === undefined || content === null) return false;
    const value = Buffer.from(content.trim(), "latin1");
    if (value.length === 0 || value.length > XATTR_SIZE_MAX) {
      this.#warn(
        `${quote(this.#place.entry ?? name)} stays a file: ${value.length} bytes are too long for a directory's ${xattr}`,
      );
      return false;
    }
    parent.putXattr(xattr, Uint8Array.from(value));
    return true;
  }

  #finishInode(inode: Inode, path: string, node: AncestorNode, xattrs: Map<string, string>): void {
    const bytes = new Map<string, Uint8Array>();
    for (const [name, value] of xattrs) bytes.set(addNamespace(name), Uint8Array.from(Buffer.from(value, "latin1")));
    for (const [name, value] of bytes)
      if (value.length > XATTR_SIZE_MAX)
        throw this.#place.createError(`the xattr ${quote(name)} is longer than ${XATTR_SIZE_MAX} bytes`);
    if (bytes.size > 0) inode.replaceXattrs(checkXattrs(bytes, false, this.#place));
    this.#attributes.push({ path, inode, node });
  }

  #apply(inode: Inode, fields: Map<string, ParsedJson>): void {
    const attrs = fields.get("attrs") ?? new Map();
    if (!(attrs instanceof Map)) throw this.#place.createError('its "attrs" are not an object');
    applyAttributes(inode, attrs, this.#place, {
      onDropped: (name) => this.#drop(`the attribute ${quote(name)}`, this.#place.entry ?? "/"),
      warn: this.#warn,
    });
  }

  #readXattrs(fields: Map<string, ParsedJson>): Map<string, string> {
    const xattrs = fields.get("xattrs") ?? new Map();
    if (!(xattrs instanceof Map)) throw this.#place.createError('its "xattrs" are not an object');
    const texts = new Map<string, string>();
    for (const [name, value] of xattrs) {
      if (typeof value !== "string" && typeof value !== "boolean")
        throw this.#place.createError(`the xattr ${quote(name)} is not text`);
      texts.set(name, String(value));
    }
    return texts;
  }

  /** The directory at `names`, created if the snapshot only implies it. */
  #ensureDirectory(names: readonly string[]): Directory {
    let directory = this.#tree.root;
    let path = "/";
    for (const name of names) {
      path = join(path, name);
      const inode = directory.get(name)?.inode;
      if (inode !== undefined && inode.kind !== "directory")
        throw this.#place.createError(`its parent ${quote(path)} is not a directory`);
      if (inode === undefined && !this.#listed)
        this.#warn(`${quote(path)} has no entry; it was created as a directory`);
      directory = inode ?? this.#tree.mkdir(directory, name, 0o755, this.#owner);
    }
    return directory;
  }

  /** `children` repeat what the paths tell. Where they differ, the paths win. */
  #compareChildren(path: string, { fields }: AncestorNode): void {
    const children = fields.get("children");
    if (children === undefined || children === null || fields.get("type") !== "directory") return;
    this.#place.entry = path;
    if (!(children instanceof Map)) throw this.#place.createError('its "children" are not an object');
    this.#place.entry = undefined;
    const wrong: string[] = [];
    for (const [name, target] of children) {
      const below = join(path, name);
      if (path === "/" && (name === ".touchfs" || name === CONTROL_NAME)) continue;
      if (target !== below || !this.#nodes.has(below)) wrong.push(name);
    }
    const inode = this.#tree.resolve(path, { follow: false });
    if (inode.kind === "directory") for (const { name } of inode.entries()) if (!children.has(name)) wrong.push(name);
    if (wrong.length > 0)
      this.#warn(
        `the children of ${quote(path)} do not match the paths: ${quote(wrong[0] ?? "")}` +
          `${wrong.length > 1 ? ` and ${wrong.length - 1} more` : ""}; the paths were used`,
      );
  }

  #drop(what: string, path: string): void {
    const before = this.#dropped.get(what);
    if (before === undefined) this.#dropped.set(what, { count: 1, first: path });
    else before.count++;
  }
}

/** Both "true" and b"true" occur: this strips Python's notation for bytes. */
function unquote(value: string): string {
  return /^b(["'])(.*)\1$/s.exec(value)?.[2] ?? value;
}

function isSet(value: string): boolean {
  return !["", "false", "0", "none", "null"].includes(unquote(value).toLowerCase());
}

function withoutMarks(xattrs: Map<string, string>): Map<string, string> {
  return new Map([...xattrs].filter(([name]) => !MARKS.has(name)));
}

/** Linux has no xattrs outside its namespaces; the ancestor had some. */
function addNamespace(name: string): string {
  return /^(user|trusted|security|system)\../.test(name) ? name : `user.${name}`;
}
