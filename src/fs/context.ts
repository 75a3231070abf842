/**
 * All parts of one mount, for the operations, which use any of them.
 *
 * The parts themselves do not use this interface. Each declares in its own file which other parts it needs, so parts
 * that need each other, such as listings and rule entries, do not import each other.
 */

import type { Dcache } from "./coherence/dcache.ts";
import type { Passthrough } from "./coherence/passthrough.ts";
import type { UnnamedInodes } from "./coherence/unnamed-inodes.ts";
import type { Writeback } from "./coherence/writeback.ts";
import type { ControlDirectory } from "./control/directory.ts";
import type { FsCore } from "./core.ts";
import type { Handles } from "./handles.ts";
import type { Expiry } from "./lazy/expiry.ts";
import type { Listings } from "./lazy/listings.ts";
import type { OnDemandFiles } from "./lazy/on-demand-files.ts";
import type { Pending } from "./lazy/pending.ts";
import type { Regeneration } from "./lazy/regenerate.ts";
import type { InodeReplacement } from "./lazy/replace-inode.ts";
import type { Revalidation } from "./lazy/revalidate.ts";
import type { RuleEntries } from "./lazy/rule-entries.ts";
import type { Nodes } from "./nodes.ts";
import type { CopyUps } from "./ops/copy-up.ts";
import type { Authors } from "./permissions/authors.ts";
import type { Programs } from "./programs/programs.ts";
import type { StatReaders } from "./programs/stat-readers.ts";
import type { PostponedRequests } from "./waiting/postponed.ts";
import type { Waiters } from "./waiting/waiters.ts";

export interface FsContext extends FsCore {
  readonly nodes: Nodes;
  readonly dcache: Dcache;
  readonly copyUps: CopyUps;
  readonly handles: Handles;
  readonly revalidation: Revalidation;
  readonly authors: Authors;
  readonly statReaders: StatReaders;
  readonly programs: Programs;
  readonly waiters: Waiters;
  readonly pending: Pending;
  readonly expiry: Expiry;
  readonly regen: Regeneration;
  readonly replacement: InodeReplacement;
  readonly listings: Listings;
  readonly onDemandFiles: OnDemandFiles;
  readonly ruleEntries: RuleEntries;
  readonly control: ControlDirectory;
  readonly passthrough: Passthrough;
  readonly unnamed: UnnamedInodes;
  readonly postponed: PostponedRequests;
  readonly writeback: Writeback;
}
