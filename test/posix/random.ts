/**
 * Random programs for driver.c: a few names, a few users, a few open files, so that steps interact. The same seed
 * always gives the same program.
 */

/** Numbers from a seed (mulberry32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(from: readonly T[]): T {
    const one = from[this.below(from.length)];
    if (one === undefined) throw new Error("nothing to pick from");
    return one;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }
}

/** How a step is checked: by everything that stat(2) and read(2) return, by times only, or not at all. */
export type Look = "tree" | "times" | "none";

/**
 * One call, and whether it sets access times: those set by reads are not compared, because FUSE gets only some of the
 * reads. A step that is not checked happens in the same tick of the clock as the next one. A check would make llmfs
 * fetch what the kernel has done without a request, so only programs without checks show whether llmfs fetches that in
 * time.
 */
export interface Step {
  readonly line: string;
  readonly setsAtime: boolean;
  readonly look: Look;
}

const USERS = ["", "", "", "@1000:1000 ", "@1001:1001,1000 ", "@1002:2000 ", "@0:1000 "];
const NAMES = ["a", "b", "c", "dir", "dir", "sub"];
const LONG = "n".repeat(255);
const MODES = ["0644", "0600", "0755", "0777", "0700", "04755", "02755", "06711", "01777", "02770", "0000", "0444"];
const UMASKS = ["0", "022", "077", "027"];
const OWNERS = ["0", "1000", "1001", "1002", "-1"];
const GROUPS = ["0", "1000", "1001", "2000", "-1"];
const ACLS = [
  "u::rwx,g::r-x,o::r-x",
  "u::rw-,u:1000:rwx,g::r--,m::rw-,o::---",
  "u::rwx,g::rwx,g:2000:r-x,m::r-x,o::--x",
  "u::rwx,u:1001:---,u:1002:rwx,g::r-x,m::rwx,o::rwx",
  "u::r--,g::rw-,g:1000:rwx,m::---,o::---",
];
const BAD_ACLS = ["u::rwx", "u::rwx,u:1000:r--,g::r--,o::---", "g::r--,u::rwx,o::r--", "u::rwx,u::rwx,g::r--,o::---"];
const XATTRS = ["user.a", "user.b", "trusted.a", "security.a", "user.", "other.a", "system.a"];

function path(dice: Dice): string {
  const depth = dice.pick([1, 1, 2, 2, 2, 3]);
  const parts: string[] = [];
  for (let at = 1; at < depth; at++) parts.push(dice.pick(["dir", "dir", "sub", "a", "b"]));
  const roll = dice.next();
  parts.push(roll < 0.95 ? dice.pick(NAMES) : roll < 0.96 ? LONG : roll < 0.97 ? `${LONG}n` : dice.pick([".", ".."]));
  return parts.join("/") + (dice.chance(0.03) ? "/" : "");
}

const fd = (dice: Dice) => String(dice.below(5));
const size = (dice: Dice) =>
  dice.pick([0, 1, dice.below(5000), dice.below(20000), 4096 * dice.below(8), dice.below(300000)]);

function time(dice: Dice): string {
  return dice.pick(["now", "omit", "0", "1000000000.123456789", "-1.5", "-2147483649", "4294967296.999999999"]);
}

function openFlags(dice: Dice): string {
  const flags = [dice.pick(["O_RDONLY", "O_WRONLY", "O_RDWR", "O_RDWR"])];
  if (dice.chance(0.4)) flags.push("O_CREAT");
  if (dice.chance(0.1)) flags.push("O_EXCL");
  if (dice.chance(0.15)) flags.push("O_TRUNC");
  if (dice.chance(0.15)) flags.push("O_APPEND");
  if (dice.chance(0.05)) flags.push("O_DIRECTORY");
  if (dice.chance(0.05)) flags.push("O_NOFOLLOW");
  // Without it the open of a fifo would wait.
  flags.push("O_NONBLOCK");
  return flags.join("|");
}

/** The weight of each call, and the call. */
const CALLS: readonly (readonly [weight: number, make: (dice: Dice) => string])[] = [
  [8, (d) => `create ${path(d)} ${d.pick(MODES)} ${d.pick("abcdef".split(""))}*${size(d)}`],
  [8, (d) => `mkdir ${path(d)} ${d.pick(MODES)}`],
  [2, (d) => `mkfifo ${path(d)} ${d.pick(MODES)}`],
  [2, (d) => `mknod ${path(d)} ${d.pick(["f", "p", "s", "c", "b", "d", "0"])} ${d.pick(MODES)} 1 3`],
  [4, (d) => `symlink ${d.chance(0.9) ? path(d) : "s".repeat(d.pick([1, 127, 128, 4000]))} ${path(d)}`],
  [5, (d) => `link ${path(d)} ${path(d)}`],
  [1, (d) => `linkat ${path(d)} ${path(d)} FOLLOW`],
  [9, (d) => `rename ${path(d)} ${path(d)}`],
  [4, (d) => `rename ${path(d)} ${path(d)} ${d.pick(["NOREPLACE", "EXCHANGE", "WHITEOUT", "3", "8"])}`],
  [6, (d) => `unlink ${path(d)}`],
  [5, (d) => `rmdir ${path(d)}`],
  [6, (d) => `chmod ${path(d)} ${d.pick(MODES)}`],
  [5, (d) => `${d.pick(["chown", "lchown"])} ${path(d)} ${d.pick(OWNERS)} ${d.pick(GROUPS)}`],
  [4, (d) => `truncate ${path(d)} ${d.chance(0.95) ? size(d) : d.pick([-1, 2 ** 40, "max"])}`],
  [4, (d) => `utimens ${path(d)} ${time(d)} ${time(d)}${d.chance(0.3) ? " NOFOLLOW" : ""}`],
  [1, (d) => `utimenull ${path(d)}`],
  [2, (d) => `access ${path(d)} ${d.pick(["F_OK", "R_OK", "W_OK", "X_OK", "R_OK|W_OK"])}`],
  [2, (d) => `ls ${path(d)}`],
  [2, (d) => `cat ${path(d)}`],
  [2, (d) => `readlink ${path(d)}`],
  [10, (d) => `fd ${fd(d)} ${path(d)} ${openFlags(d)} ${d.pick(MODES)}`],
  [1, (d) => `fd ${fd(d)} ${d.pick([".", "dir"])} O_TMPFILE|${d.pick(["O_RDWR", "O_WRONLY"])} ${d.pick(MODES)}`],
  [2, (d) => `linkfd ${fd(d)} ${path(d)}`],
  [3, (d) => `close ${fd(d)}`],
  [5, (d) => `write ${fd(d)} ${d.pick("wxyz".split(""))}*${size(d)}`],
  [5, (d) => `pwrite ${fd(d)} ${size(d)} ${d.pick("wxyz".split(""))}*${size(d)}`],
  [2, (d) => `read ${fd(d)} ${size(d)}`],
  [2, (d) => `pread ${fd(d)} ${size(d)} ${size(d)}`],
  [3, (d) => `ftruncate ${fd(d)} ${size(d)}`],
  [2, (d) => `fallocate ${fd(d)} ${d.pick(["0", "KEEP_SIZE"])} ${size(d)} ${size(d)}`],
  [2, (d) => `fallocate ${fd(d)} PUNCH_HOLE|KEEP_SIZE ${size(d)} ${size(d)}`],
  [1, (d) => `fallocate ${fd(d)} ${d.pick(["ZERO_RANGE", "COLLAPSE_RANGE", "PUNCH_HOLE"])} 4096 4096`],
  [1, (d) => `posix_fallocate ${fd(d)} ${size(d)} ${size(d)}`],
  [2, (d) => `lseek ${fd(d)} ${size(d)} ${d.pick(["SEEK_DATA", "SEEK_HOLE", "SEEK_SET", "SEEK_END"])}`],
  [2, (d) => `copy ${fd(d)} ${size(d)} ${fd(d)} ${size(d)} ${size(d)}`],
  [2, (d) => `fchmod ${fd(d)} ${d.pick(MODES)}`],
  [2, (d) => `fchown ${fd(d)} ${d.pick(OWNERS)} ${d.pick(GROUPS)}`],
  [1, (d) => `futimens ${fd(d)} ${time(d)} ${time(d)}`],
  [1, (d) => `fstat ${fd(d)} type mode nlink uid gid size`],
  [1, (d) => `fls ${fd(d)}`],
  [3, (d) => `setxattr ${path(d)} ${d.pick(XATTRS)} v*${d.below(40)} ${d.pick(["0", "0", "CREATE", "REPLACE"])}`],
  [1, (d) => `removexattr ${path(d)} ${d.pick(XATTRS)}`],
  [1, (d) => `getxattr ${path(d)} ${d.pick(XATTRS)} ${d.pick([0, 2, 100])}`],
  [1, (d) => `listxattr ${path(d)} ${d.pick([0, 5, 1000])}`],
  [3, (d) => `setacl ${path(d)} ${d.pick(["a", "d"])} ${d.chance(0.9) ? d.pick(ACLS) : d.pick(BAD_ACLS)}`],
  [1, (d) => `getacl ${path(d)} ${d.pick(["a", "d"])}`],
  [1, (d) => `delacl ${path(d)} ${d.pick(["a", "d"])}`],
  [1, (d) => `umask ${d.pick(UMASKS)}`],
];

/** Operations on one open file after the other, as in programs that copy and unpack; `n` is its number. */
const SEQUENCES: readonly (readonly [weight: number, make: (dice: Dice, n: string) => string])[] = [
  [6, (d, n) => `write ${n} ${d.pick("wxyz".split(""))}*${size(d)}`],
  [3, (d, n) => `pwrite ${n} ${size(d)} ${d.pick("wxyz".split(""))}*${size(d)}`],
  [6, (d, n) => `futimens ${n} ${time(d)} ${time(d)}`],
  [3, (d) => `utimens ${path(d)} ${time(d)} ${time(d)}`],
  [6, (d, n) => mapping(d, d.below(2), n)],
  [8, (d) => storing(d, d.below(2))],
  [8, (d, n) => `${mapping(d, 2, n)}\n${storing(d, 2)}`],
  [3, (d) => `munmap ${d.below(3)}`],
  [1, (d) => `msync ${d.below(3)}`],
  [3, (_, n) => `close ${n}`],
  [2, (d, n) => `splice ${fd(d)} ${n} ${size(d)}`],
  [2, (d, n) => `sendfile ${fd(d)} ${n} ${size(d)}`],
  [2, (d, n) => `copy ${fd(d)} ${size(d)} ${n} ${size(d)} ${size(d)}`],
  [2, (_, n) => `fsync ${n}`],
  [2, (d, n) => `ftruncate ${n} ${size(d)}`],
  [1, (d, n) => `fallocate ${n} ${d.pick(["0", "KEEP_SIZE", "PUNCH_HOLE|KEEP_SIZE"])} ${size(d)} ${size(d)}`],
  [2, (d, n) => `read ${n} ${size(d)}`],
  [1, (d, n) => `fchmod ${n} ${d.pick(MODES)}`],
  [2, (d, n) => `fd ${n} ${path(d)} ${openFlags(d)} ${d.pick(MODES)}`],
  [2, (d) => `rename ${path(d)} ${path(d)}`],
  [1, (d) => `link ${path(d)} ${path(d)}`],
  [1, (d) => `unlink ${path(d)}`],
];

/** Private mappings are omitted: a store to one allocates the page on tmpfs only. */
function mapping(dice: Dice, which: number, n: string): string {
  const access = dice.pick(["READ|WRITE", "READ|WRITE", "READ|WRITE", "WRITE", "READ"]);
  return `mmap ${which} ${n} ${4096 * dice.below(2)} ${4096 * (1 + dice.below(3))} ${access} SHARED`;
}

function storing(dice: Dice, which: number): string {
  return `store ${which} ${dice.below(5000)} ${dice.pick("stuv".split(""))}*${dice.below(3000)}`;
}

function weighted<T>(dice: Dice, from: readonly (readonly [weight: number, make: T])[]): T {
  let roll = dice.below(from.reduce((sum, [weight]) => sum + weight, 0));
  for (const [weight, make] of from) {
    roll -= weight;
    if (roll < 0) return make;
  }
  throw new Error("nothing to pick from");
}
/**
 * These change the driver itself, so root runs them. Root also runs those for which the kernel asks a FUSE server to
 * clear setuid before it knows whether the call will fail, because that request looks the same in both cases.
 */
const OWN = /^(umask|close|fls|fstat|mmap|store|munmap|msync) |chown \S+ -1 -1$|(ZERO|COLLAPSE)_RANGE/;

/** How often a call starts a sequence on one file, and how often a step of one is not checked. */
const SEQUENCE = 0.25;
const UNSEEN = 0.7;

export function randomProgram(seed: number, length: number): Step[] {
  const dice = new Dice(seed);
  const steps: Step[] = [];
  const add = (line: string, look: Look) => {
    const setsAtime = /\bf?utime/.test(line) && !/utimens \S+ omit/.test(line);
    steps.push({ line, setsAtime, look });
  };
  const seen = (): Look => (dice.chance(0.3) ? "times" : "tree");
  const caller = (line: string) => {
    const user = dice.pick(USERS);
    return OWN.test(line) ? line : user + line;
  };
  add("chmod . 0777", "tree");
  add("mkdir dir 0777", "tree");
  while (steps.length < length) {
    if (!dice.chance(SEQUENCE)) {
      add(caller(weighted(dice, CALLS)(dice)), seen());
      continue;
    }
    const n = fd(dice);
    // As root, so that most of it succeeds: other users have their turn above.
    if (dice.chance(0.5)) {
      const flags = dice.pick(["O_RDWR", "O_RDWR", "O_WRONLY"]);
      add(`fd ${n} ${path(dice)} ${flags}|O_CREAT|O_NONBLOCK 0644`, seen());
      if (dice.chance(0.5)) add(`pwrite ${n} 0 ${dice.pick("wxyz".split(""))}*20000`, seen());
    }
    for (let left = 2 + dice.below(4); left > 0; left--) {
      const lines = weighted(dice, SEQUENCES)(dice, n).split("\n");
      for (const [at, line] of lines.entries()) {
        add(line, (left > 1 || at < lines.length - 1) && dice.chance(UNSEEN) ? "none" : seen());
      }
    }
  }
  return steps;
}
