/** The programs that use the mount: what they may have generated, and the events of what they do. */
import { ORIGIN } from "../../attributes.ts";
import type { FsError } from "../../errno.ts";
import type { GeneratedContent } from "../../rpc/generation.ts";
import type { MountEvent, ProgramSettings, SaveEvent } from "../../rpc/programs.ts";
import type { Inode } from "../../tree/inode.ts";
import { toText } from "../../tree/path.ts";
import type { Tree } from "../../tree/tree.ts";
import type { Attempt, Waiter } from "../waiting/attempt.ts";
import { NOBODY } from "../waiting/by-thread.ts";
import { KnownPrograms, type ProgramSource } from "./callers.ts";
import { type EventDetails, Events } from "./events.ts";
import { Policy } from "./policy.ts";
import { Users } from "./users.ts";

export interface ProgramsOptions {
  readonly tree: Tree;
  readonly settings: ProgramSettings;
  readonly report: (event: MountEvent) => void;
  readonly warn: (text: string) => void;
  readonly source?: ProgramSource;
}

/** More denials than these are not logged; they are among the events. */
const MOST_WARNINGS = 20;

export class Programs {
  readonly events: Events;
  readonly #tree: Tree;
  readonly #policy: Policy;
  readonly #users = new Users();
  readonly warn: (text: string) => void;
  readonly #known: KnownPrograms;
  readonly #begun = new WeakSet<Attempt>();
  readonly #denied = new WeakMap<Inode, string>();
  /** The rules of which a denial was logged. */
  readonly #warned = new Set<string>();

  constructor({ tree, settings, report, warn, source }: ProgramsOptions) {
    this.#tree = tree;
    this.warn = warn;
    this.events = new Events(settings.reports === true ? report : undefined);
    this.#known = new KnownPrograms(source);
    this.#policy = new Policy(settings.policy ?? [], this.#users, this.#known);
  }

  /** Throws EACCES if the thread may not have the inode generated. */
  check(inode: Inode, thread: number): void {
    const path = this.pathOf(inode);
    const refusal = this.#policy.refusal(path, thread);
    if (refusal === undefined) return;
    const { message, code } = refusal;
    this.#denied.set(inode, `${new Date().toISOString()}: ${message}`);
    this.events.add("denied", { path, ...this.describe(thread), errno: code, reason: message });
    const kind = message.replace(/\(\d+\)/g, "");
    if (!this.#warned.has(kind) && this.#warned.size < MOST_WARNINGS) this.warn(`${code}: ${path}: ${message}`);
    this.#warned.add(kind);
    throw refusal;
  }

  /** When and why somebody was last not allowed to have the inode generated. */
  denialOf(inode: Inode): string | undefined {
    return this.#denied.get(inode);
  }

  onJoin(attempt: Attempt, { pid, requester }: Waiter): void {
    const first = !this.#begun.has(attempt);
    this.#begun.add(attempt);
    const { inode, ticket } = attempt;
    this.events.add(first ? "generate" : "wait", {
      path: this.pathOf(inode),
      ...(pid === undefined ? {} : this.describe(pid)),
      generation: ticket,
      ...(requester && { for: this.pathOf(requester.inode) }),
    });
  }

  onContent({ inode, ticket }: Attempt, { metadata }: GeneratedContent): void {
    if (inode.kind === "file" && inode.error !== undefined) return this.#fail(inode, ticket, inode.error);
    this.events.add("generated", { path: this.pathOf(inode), generation: ticket }, () => costOf(metadata));
  }

  onListing({ inode, ticket }: Attempt): void {
    this.events.add("generated", { path: this.pathOf(inode), generation: ticket });
  }

  onFailure({ inode, ticket }: Attempt, error: FsError): void {
    this.#fail(inode, ticket, error);
  }

  onCallOff({ inode, ticket }: Attempt): void {
    this.events.add("cancelled", { path: this.pathOf(inode), generation: ticket });
  }

  noteSave(event: SaveEvent): void {
    this.events.add(event.errno === undefined ? "saved" : "failed", { op: "save", ...event });
  }

  #fail(inode: Inode, generation: number, { code, message }: FsError): void {
    this.events.add("failed", { path: this.pathOf(inode), generation, errno: code, reason: message });
  }

  /** A thread's process, program and user. `uid`: as in its request. */
  describe(thread: number, uid?: number): Pick<EventDetails, "pid" | "program" | "uid" | "user"> {
    const program = thread === NOBODY ? undefined : this.#known.get(thread);
    const who = uid ?? program?.uid;
    const user = who === undefined ? undefined : this.#users.nameOf(who);
    return {
      ...(thread !== NOBODY && { pid: program?.pid ?? thread }),
      ...(program && { program: program.name }),
      ...(who !== undefined && { uid: who }),
      ...(user !== undefined && { user }),
    };
  }

  pathOf(inode: Inode): string {
    const origin = inode.xattrs?.get(ORIGIN);
    const path = this.#tree.pathOf(inode) ?? (origin && Buffer.from(origin).toString("latin1"));
    return path === undefined ? `inode ${inode.ino}` : toText(path);
  }
}

/** What the generation of a content took. */
function costOf(metadata: ReadonlyMap<string, string>): EventDetails {
  const text = (key: string) => metadata.get(key);
  const number = (key: string) => (text(key) === undefined ? undefined : Number(text(key)));
  const found = {
    generator: text("generator"),
    model: text("model"),
    ms: number("ms"),
    inputTokens: number("input_tokens"),
    outputTokens: number("output_tokens"),
    usd: number("usd"),
    recorded: text("recorded") === undefined ? undefined : text("recorded") === "true",
  };
  // The undefined members are left out by JSON, and by the structured clone they are harmless.
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}
