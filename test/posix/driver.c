/*
 * Runs a program of system calls, one on each line of standard input, and prints one line for each: its result, or the
 * name of its errno. language.md describes the lines.
 *
 * It is a program of its own because a process that serves a mount must not use it, and it is in C because a test needs
 * the system call itself, not what a library makes of it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 64
#define BAD ((char *)1)

/* Of /proc/self/fd. */
static int descriptors;
static int fds[SLOTS];
/* `file` is an O_PATH descriptor: it gives the size, and keeps nothing open. */
static struct { char *at; size_t length; off_t offset; int stored, file; } maps[SLOTS];
static char out[1 << 20];
static size_t used;
static char buffer[1 << 21];

static void say(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(out + used, sizeof out - used, format, arguments);
  va_end(arguments);
  if (length > 0) used += (size_t)length < sizeof out - used ? (size_t)length : sizeof out - used - 1;
}

/* ---- arguments ---- */

static long long number(const char *text) {
  if (strcmp(text, "max") == 0) return INT64_MAX;
  errno = 0;
  long long value = strtoll(text, NULL, 0);
  return errno == ERANGE && text[0] != '-' ? (long long)strtoull(text, NULL, 0) : value;
}

static const struct { const char *name; long value; } NAMES[] = {
    {"O_RDONLY", O_RDONLY}, {"O_WRONLY", O_WRONLY}, {"O_RDWR", O_RDWR}, {"O_CREAT", O_CREAT}, {"O_EXCL", O_EXCL},
    {"O_TRUNC", O_TRUNC}, {"O_APPEND", O_APPEND}, {"O_NONBLOCK", O_NONBLOCK}, {"O_DIRECTORY", O_DIRECTORY},
    {"O_NOFOLLOW", O_NOFOLLOW}, {"O_TMPFILE", O_TMPFILE}, {"O_DIRECT", O_DIRECT}, {"O_SYNC", O_SYNC},
    {"O_DSYNC", O_DSYNC}, {"O_NOATIME", O_NOATIME}, {"O_PATH", O_PATH}, {"O_CLOEXEC", O_CLOEXEC},
    {"NOREPLACE", RENAME_NOREPLACE}, {"EXCHANGE", RENAME_EXCHANGE}, {"WHITEOUT", RENAME_WHITEOUT},
    {"KEEP_SIZE", FALLOC_FL_KEEP_SIZE}, {"PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE},
    {"COLLAPSE_RANGE", FALLOC_FL_COLLAPSE_RANGE}, {"ZERO_RANGE", FALLOC_FL_ZERO_RANGE},
    {"INSERT_RANGE", FALLOC_FL_INSERT_RANGE}, {"UNSHARE_RANGE", FALLOC_FL_UNSHARE_RANGE},
    {"SEEK_SET", SEEK_SET}, {"SEEK_CUR", SEEK_CUR}, {"SEEK_END", SEEK_END}, {"SEEK_DATA", SEEK_DATA},
    {"SEEK_HOLE", SEEK_HOLE}, {"LOCK_SH", LOCK_SH}, {"LOCK_EX", LOCK_EX}, {"LOCK_UN", LOCK_UN}, {"LOCK_NB", LOCK_NB},
    {"F_RDLCK", F_RDLCK}, {"F_WRLCK", F_WRLCK}, {"F_UNLCK", F_UNLCK}, {"R_OK", R_OK}, {"W_OK", W_OK}, {"X_OK", X_OK},
    {"F_OK", F_OK}, {"CREATE", XATTR_CREATE}, {"REPLACE", XATTR_REPLACE}, {"SHARED", MAP_SHARED},
    {"PRIVATE", MAP_PRIVATE}, {"READ", PROT_READ}, {"WRITE", PROT_WRITE}, {"EXEC", PROT_EXEC},
    {"FOLLOW", AT_SYMLINK_FOLLOW}, {"NOFOLLOW", AT_SYMLINK_NOFOLLOW}, {"EMPTY_PATH", AT_EMPTY_PATH},
    {"REMOVEDIR", AT_REMOVEDIR},
};

/* Names and numbers separated by '|'. */
static long flags(const char *text) {
  long value = 0;
  for (const char *at = text; *at != 0;) {
    size_t length = strcspn(at, "|");
    size_t i = 0;
    while (i < sizeof NAMES / sizeof *NAMES && (strlen(NAMES[i].name) != length || strncmp(NAMES[i].name, at, length)))
      i++;
    value |= i < sizeof NAMES / sizeof *NAMES ? NAMES[i].value : strtol(at, NULL, 0);
    at += length + (at[length] == '|');
  }
  return value;
}

/* In place: %XX is a byte; "%_" alone is the empty string, "%!" an address that nothing may read. */
static char *decode(char *token, size_t *length) {
  if (strcmp(token, "%_") == 0) return *length = 0, token + 2;
  if (strcmp(token, "%!") == 0) return *length = 0, BAD;
  char *to = token;
  for (char *from = token; *from != 0; from++) {
    unsigned byte;
    if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) *to++ = (char)byte, from += 2;
    else *to++ = *from;
  }
  *to = 0;
  *length = (size_t)(to - token);
  return token;
}

static size_t lengths[32];

static int slot(const char *text) { return fds[atoi(text) % SLOTS]; }

static void result(long long value) {
  if (value == -1) say("%s", strerrorname_np(errno));
  else say("%lld", value);
}

/* A call whose success has no other result. */
static void done(long value) { result(value == -1 ? -1 : 0); }

static void keep(const char *where, int fd) {
  int at = atoi(where) % SLOTS;
  if (fd < 0) return done(-1);
  if (fds[at] >= 0) close(fds[at]);
  fds[at] = fd;
  done(0);
}

static struct timespec timeOf(const char *text) {
  struct timespec time = {0, 0};
  if (strcmp(text, "now") == 0) time.tv_nsec = UTIME_NOW;
  else if (strcmp(text, "omit") == 0) time.tv_nsec = UTIME_OMIT;
  else {
    time.tv_sec = strtoll(text, NULL, 10);
    const char *dot = strchr(text, '.');
    if (dot != NULL) time.tv_nsec = strtol(dot + 1, NULL, 10);
  }
  return time;
}

/* ---- the results of stat ---- */

static char typeOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return 'f';
    case S_IFDIR: return 'd';
    case S_IFLNK: return 'l';
    case S_IFIFO: return 'p';
    case S_IFSOCK: return 's';
    case S_IFCHR: return 'c';
    default: return 'b';
  }
}

static void show(const struct stat *st, char **fields, int count) {
  for (int i = 0; i < count; i++) {
    const char *field = fields[i];
    if (i > 0) say(" ");
    if (strcmp(field, "type") == 0) say("%c", typeOf(st->st_mode));
    else if (strcmp(field, "mode") == 0) say("%04o", st->st_mode & 07777);
    else if (strcmp(field, "nlink") == 0) say("%lu", (unsigned long)st->st_nlink);
    else if (strcmp(field, "uid") == 0) say("%u", st->st_uid);
    else if (strcmp(field, "gid") == 0) say("%u", st->st_gid);
    else if (strcmp(field, "size") == 0) say("%lld", (long long)st->st_size);
    else if (strcmp(field, "blocks") == 0) say("%lld", (long long)st->st_blocks);
    else if (strcmp(field, "blksize") == 0) say("%lld", (long long)st->st_blksize);
    else if (strcmp(field, "rdev") == 0) say("%u,%u", major(st->st_rdev), minor(st->st_rdev));
    else if (strcmp(field, "atime") == 0) say("%lld.%09ld", (long long)st->st_atim.tv_sec, st->st_atim.tv_nsec);
    else if (strcmp(field, "mtime") == 0) say("%lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    else if (strcmp(field, "ctime") == 0) say("%lld.%09ld", (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
    else say("?%s", field);
  }
}

static unsigned long long hash(unsigned long long seed, const void *bytes, size_t length) {
  for (const unsigned char *at = bytes; length-- > 0; at++) seed = (seed ^ *at) * 1099511628211ULL;
  return seed;
}

/*
 * A hash of the bytes that are not zero and their offsets, so that holes and zeros are equal, and 2^62 bytes are quick.
 */
static unsigned long long contentHash(int fd, off_t size) {
  unsigned long long sum = 14695981039346656037ULL;
  off_t at = size > (1 << 20) ? lseek(fd, 0, SEEK_DATA) : 0;
  while (at >= 0 && at < size) {
    off_t end = size > (1 << 20) ? lseek(fd, at, SEEK_HOLE) : size;
    while (at < end) {
      ssize_t got = pread(fd, buffer, (size_t)(end - at) < sizeof buffer ? (size_t)(end - at) : sizeof buffer, at);
      if (got <= 0) return 0;
      for (ssize_t i = 0; i < got; i++) {
        if (buffer[i] == 0) continue;
        off_t where = at + i;
        sum = hash(hash(sum, &where, sizeof where), buffer + i, 1);
      }
      at += got;
    }
    at = size > (1 << 20) ? lseek(fd, at, SEEK_DATA) : -1;
  }
  return sum;
}

/* A time by its own statx mask only: the kernel then asks for no other attribute, and may use a cached one. */
static int narrow(int fd, const char *path, int flag, unsigned mask, struct timespec *time) {
  struct statx stx;
  if (statx(fd, path, AT_SYMLINK_NOFOLLOW | flag, mask, &stx) < 0) return -1;
  struct statx_timestamp stamp = mask == STATX_ATIME ? stx.stx_atime : mask == STATX_MTIME ? stx.stx_mtime
                               : mask == STATX_BTIME ? stx.stx_btime : stx.stx_ctime;
  *time = (struct timespec){stamp.tv_sec, stamp.tv_nsec};
  return 0;
}

static unsigned maskOf(const char *field) {
  return field[0] == 'a' ? STATX_ATIME : field[0] == 'm' ? STATX_MTIME : field[0] == 'b' ? STATX_BTIME
       : field[0] == 's' ? STATX_SIZE : strcmp(field, "ctime") == 0 ? STATX_CTIME : 0;
}

static void showNarrow(int fd, const char *path, int flag, char **fields, int count) {
  for (int i = 0; i < count; i++) {
    struct statx stx;
    struct timespec time;
    const char *field = fields[i];
    if (i > 0) say(" ");
    if (maskOf(field) != STATX_SIZE) {
      if (narrow(fd, path, flag, maskOf(field), &time) < 0) return done(-1);
      say("%lld.%09ld", (long long)time.tv_sec, time.tv_nsec);
    } else {
      if (statx(fd, path, AT_SYMLINK_NOFOLLOW | flag, STATX_SIZE, &stx) < 0) return done(-1);
      say("%lld", (long long)stx.stx_size);
    }
  }
}

/* ---- which times changed ---- */

static struct seen { dev_t dev; ino_t ino; struct timespec a, m, c; } table[512];
static int known;

static int same(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

/* What is remembered about an inode; NULL if it was not known; it is remembered from now on. */
static struct seen *seenBefore(const struct stat *st) {
  for (int i = 0; i < known; i++) if (table[i].ino == st->st_ino && table[i].dev == st->st_dev) return &table[i];
  if (known < 512) table[known++] = (struct seen){st->st_dev, st->st_ino, st->st_atim, st->st_mtim, st->st_ctim};
  return NULL;
}

/* "amc", with a dash for each time that is as last remembered. Remembers the new times. */
static void changes(const struct stat *st) {
  struct seen *entry = seenBefore(st);
  if (entry == NULL) { say("new"); return; }
  say("%c%c%c", same(entry->a, st->st_atim) ? '-' : 'a', same(entry->m, st->st_mtim) ? '-' : 'm',
      same(entry->c, st->st_ctim) ? '-' : 'c');
  *entry = (struct seen){st->st_dev, st->st_ino, st->st_atim, st->st_mtim, st->st_ctim};
}

/* When each step began: files are stamped no earlier than this clock's time, and no later than the real time. */
#define STEPS 100000
static struct timespec began[STEPS];
static int steps;

static int earlier(struct timespec a, struct timespec b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/*
 * Waits until a time taken from now on is later than any taken before: by the coarse clock that stamps files, and also
 * by the exact one, because the coarse clock's tick may be late.
 */
static void tick(void) {
  struct timespec before, now;
  clock_gettime(CLOCK_REALTIME, &before);
  do {
    nanosleep(&(struct timespec){0, 200000}, NULL);
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
  } while (!earlier(before, now));
  if (steps < STEPS) began[steps++] = now;
}

/* The step in which a time was taken, or the time itself if it was set. */
static void sayStep(const char *name, struct timespec time) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (steps == 0 || time.tv_sec < began[0].tv_sec - 60 || earlier(now, time)) {
    say(" %s@%lld.%09ld", name, (long long)time.tv_sec, time.tv_nsec);
    return;
  }
  int low = 0, high = steps;
  while (low < high) {
    int middle = (low + high) / 2;
    if (earlier(time, began[middle])) high = middle;
    else low = middle + 1;
  }
  say(" %s%d", name, low);
}

/* ---- the whole tree in one line ---- */

static int byName(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int notDots(const struct dirent *entry) { return strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."); }

static struct { ino_t ino; int id; } ids[512];
static int idCount, nextId;

static int identity(ino_t ino) {
  for (int i = 0; i < idCount; i++) if (ids[i].ino == ino) return ids[i].id;
  if (idCount == 512) return -1;
  ids[idCount].ino = ino;
  ids[idCount++].id = ++nextId;
  return nextId;
}

static void xattrsOf(const char *path) {
  char names[4096], value[4096];
  ssize_t length = llistxattr(path, names, sizeof names);
  unsigned long long sum = 0;
  for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
    ssize_t size = lgetxattr(path, name, value, sizeof value);
    unsigned long long one = hash(14695981039346656037ULL, name, strlen(name) + 1);
    sum += hash(one, value, size > 0 ? (size_t)size : 0);
    if (size < 0) say(" %s:%s", name, strerrorname_np(errno));
  }
  if (length != 0) say(" x%zd:%llx", length, sum & 0xffffff);
}

/* A time that the kernel has cached, and that differs from the one it gets when it asks for everything. */
static void sayStale(const char *name, int result, struct timespec kept, struct timespec right) {
  if (result == 0 && !same(kept, right))
    say(" stale-%s:%lld.%09ld", name, (long long)kept.tv_sec, kept.tv_nsec);
}

static int byName(const struct dirent **a, const struct dirent **b);
static int notDots(const struct dirent *entry);

/* The times of everything below, each requested with its own mask only. */
static void dumpTimes(const char *path, unsigned char type) {
  struct timespec mtime, ctime;
  say("%s", path);
  if (narrow(AT_FDCWD, path, 0, STATX_MTIME, &mtime) < 0 || narrow(AT_FDCWD, path, 0, STATX_CTIME, &ctime) < 0)
    say(":%s", strerrorname_np(errno));
  else if (type != DT_FIFO) sayStep("m", mtime), sayStep("c", ctime);
  say(";");
  if (type != DT_DIR) return;
  struct dirent **entries;
  int count = scandir(path, &entries, notDots, byName);
  for (int i = 0; i < count; i++) {
    char below[PATH_MAX];
    snprintf(below, sizeof below, "%s/%s", path, entries[i]->d_name);
    dumpTimes(below, entries[i]->d_type);
    free(entries[i]);
  }
  if (count >= 0) free(entries);
}

/* Includes open files, which may have no name any more. */
static void dumpOpen(void) {
  for (int i = 0; i < SLOTS; i++) {
    struct statx stx;
    struct timespec mtime, ctime;
    if (fds[i] < 0 || statx(fds[i], "", AT_EMPTY_PATH, STATX_TYPE, &stx) < 0 || S_ISFIFO(stx.stx_mode)) continue;
    say("fd%d", i);
    if (narrow(fds[i], "", AT_EMPTY_PATH, STATX_MTIME, &mtime) < 0 ||
        narrow(fds[i], "", AT_EMPTY_PATH, STATX_CTIME, &ctime) < 0)
      say(":%s", strerrorname_np(errno));
    else sayStep("m", mtime), sayStep("c", ctime);
    say(";");
  }
}

static void dump(const char *path, int atime) {
  struct stat st;
  struct timespec mtime, ctime;
  struct statx size, blocks;
  int asked[4] = {narrow(AT_FDCWD, path, 0, STATX_MTIME, &mtime), narrow(AT_FDCWD, path, 0, STATX_CTIME, &ctime),
                  statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_SIZE, &size),
                  statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BLOCKS, &blocks)};
  if (lstat(path, &st) < 0) { say("%s:%s;", path, strerrorname_np(errno)); return; }
  say("%s %c%04o id%d n%lu %u:%u s%lld b%lld ", path, typeOf(st.st_mode), st.st_mode & 07777, identity(st.st_ino),
      (unsigned long)st.st_nlink, st.st_uid, st.st_gid, (long long)st.st_size, (long long)st.st_blocks);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) say("%x ", (unsigned)st.st_rdev);
  if (asked[2] == 0 && size.stx_size != (unsigned long long)st.st_size) say(" stale-size:%llu", (unsigned long long)size.stx_size);
  if (asked[3] == 0 && blocks.stx_blocks != (unsigned long long)st.st_blocks)
    say(" stale-blocks:%llu", (unsigned long long)blocks.stx_blocks);
  /* The kernel alone reads and writes a fifo: FUSE filesystems do not know its times. */
  if (!S_ISFIFO(st.st_mode)) {
    sayStep("m", st.st_mtim);
    sayStep("c", st.st_ctim);
    sayStale("mtime", asked[0], mtime, st.st_mtim);
    sayStale("ctime", asked[1], ctime, st.st_ctim);
    if (atime && steps > 0 && !earlier(st.st_ctim, began[steps - 1])) sayStep("a", st.st_atim);
  }
  if (S_ISREG(st.st_mode)) {
    int fd = open(path, O_RDONLY | O_NOATIME);
    if (fd < 0) say(" %s", strerrorname_np(errno));
    else say(" %llx", contentHash(fd, st.st_size) & 0xffffffff), close(fd);
  }
  if (S_ISLNK(st.st_mode)) {
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target);
    say(" ->%.*s", length > 0 ? (int)length : 0, target);
  }
  xattrsOf(path);
  say(";");
  if (!S_ISDIR(st.st_mode)) return;
  struct dirent **entries;
  int count = scandir(path, &entries, notDots, byName);
  for (int i = 0; i < count; i++) {
    char below[PATH_MAX];
    snprintf(below, sizeof below, "%s/%s", path, entries[i]->d_name);
    if (entries[i]->d_type != DT_UNKNOWN) {
      struct stat child;
      if (lstat(below, &child) == 0 && IFTODT(child.st_mode) != entries[i]->d_type) say("d_type of %s;", below);
    }
    dump(below, atime);
    free(entries[i]);
  }
  if (count >= 0) free(entries);
}

/* ---- ACLs: "u::rwx,u:100:r--,g::r-x,m::rwx,o::r--" ---- */

struct aclEntry { uint16_t tag, perm; uint32_t id; };

static size_t aclFrom(char *text, char *to) {
  *(uint32_t *)to = 2;
  struct aclEntry *entry = (struct aclEntry *)(to + 4);
  for (char *part = strtok(text, ","); part != NULL; part = strtok(NULL, ","), entry++) {
    char who[32] = "", perms[8] = "";
    char kind = part[0];
    if (sscanf(part + 2, "%31[^:]:%7s", who, perms) != 2) who[0] = 0, sscanf(part + 3, "%7s", perms);
    entry->id = who[0] == 0 ? 0xffffffff : (uint32_t)strtoul(who, NULL, 10);
    entry->tag = kind == 'u' ? (who[0] ? 2 : 1) : kind == 'g' ? (who[0] ? 8 : 4) : kind == 'm' ? 0x10 : 0x20;
    entry->perm = (uint16_t)((strchr(perms, 'r') ? 4 : 0) | (strchr(perms, 'w') ? 2 : 0) | (strchr(perms, 'x') ? 1 : 0));
  }
  return (size_t)((char *)entry - to);
}

static void aclSay(const char *value, ssize_t length) {
  const struct aclEntry *entry = (const struct aclEntry *)(value + 4);
  for (ssize_t at = 4; at + 8 <= length; at += 8, entry++) {
    if (at > 4) say(",");
    say("%c:", entry->tag <= 2 ? 'u' : entry->tag <= 8 ? 'g' : entry->tag == 0x10 ? 'm' : 'o');
    if (entry->tag == 2 || entry->tag == 8) say("%u", entry->id);
    say(":%c%c%c", entry->perm & 4 ? 'r' : '-', entry->perm & 2 ? 'w' : '-', entry->perm & 1 ? 'x' : '-');
  }
}

static const char *aclName(const char *which) {
  return which[0] == 'd' ? "system.posix_acl_default" : "system.posix_acl_access";
}

/* ---- calls ---- */

static sigjmp_buf fault;
static void onFault(int signal) { siglongjmp(fault, signal); }

static void bytes(const char *at, ssize_t length) {
  for (ssize_t i = 0; i < length;) {
    ssize_t run = i;
    while (run < length && at[run] == at[i]) run++;
    unsigned char byte = (unsigned char)at[i];
    char shown[8];
    snprintf(shown, sizeof shown, byte > 32 && byte < 127 && byte != '*' ? "%c" : "%%%02x", byte);
    if (run - i > 4) say("%s*%zd ", shown, run - i);
    else while (i < run) say("%s", shown), i++;
    i = run;
  }
  if (used > 0 && out[used - 1] == ' ') used--;
}

/* Text, or "c*n": n times the character. */
static size_t payload(const char *text, size_t length, char *to) {
  char *star = length > 1 && text[1] == '*' ? (char *)text + 1 : NULL;
  if (star == NULL) return memcpy(to, text, length), length;
  size_t count = (size_t)number(star + 1);
  if (count > sizeof buffer) count = sizeof buffer;
  memset(to, text[0], count);
  return count;
}

static long child(int (*body)(char **), char **a) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) _exit(body(a) < 0 ? errno : 0);
  int status;
  waitpid(pid, &status, 0);
  errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  return errno == 0 ? 0 : -1;
}

static int lockAsOther(char **a) {
  int fd = open(a[0], O_RDWR);
  struct flock lock = {.l_type = (short)flags(a[1]), .l_start = number(a[2]), .l_len = number(a[3])};
  return fd < 0 ? -1 : fcntl(fd, F_SETLK, &lock);
}

static int flockAsOther(char **a) {
  int fd = open(a[0], O_RDONLY);
  return fd < 0 ? -1 : flock(fd, (int)flags(a[1]) | LOCK_NB);
}

static int execute(char **a) {
  char *const argv[] = {a[0], NULL};
  return execve(a[0], argv, NULL);
}

/* How many whole records of `size` equal bytes the file has after `processes` processes have appended `count` each. */
static void appenders(char **a) {
  int processes = atoi(a[1]), count = atoi(a[2]), size = atoi(a[3]), good = 0;
  for (int p = 0; p < processes; p++) {
    if (fork() != 0) continue;
    int fd = open(a[0], O_WRONLY | O_APPEND);
    memset(buffer, 'a' + p, (size_t)size);
    for (int i = 0; i < count; i++) if (write(fd, buffer, (size_t)size) != size) _exit(1);
    _exit(0);
  }
  for (int p = 0, status; p < processes; p++) if (wait(&status) > 0 && status != 0) say("failed ");
  int fd = open(a[0], O_RDONLY);
  while (read(fd, buffer, (size_t)size) == size) {
    int whole = 1;
    for (int i = 1; i < size; i++) whole &= buffer[i] == buffer[0];
    good += whole;
  }
  close(fd);
  say("%d", good);
}

/*
 * Fills a directory, and reads it while entries are added and removed between reads: how many of those that stay were
 * returned, and how many of them twice.
 */
static void crowd(char **a) {
  int count = atoi(a[1]), stable = 0, twice = 0, step = 0;
  char path[PATH_MAX];
  char *marks = calloc((size_t)count, 1);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/stay%07d", a[0], i);
    if (mknod(path, S_IFREG | 0644, 0) < 0) return done(-1);
    snprintf(path, sizeof path, "%s/go%07d", a[0], i);
    if (i % 10 == 0 && mknod(path, S_IFREG | 0644, 0) < 0) return done(-1);
  }
  int fd = open(a[0], O_RDONLY | O_DIRECTORY);
  for (;;) {
    long got = syscall(SYS_getdents64, fd, buffer, 32768);
    if (got <= 0) break;
    for (long at = 0; at < got;) {
      struct dirent64 *entry = (struct dirent64 *)(buffer + at);
      int which;
      if (sscanf(entry->d_name, "stay%d", &which) == 1) marks[which] ? twice++ : (marks[which] = 1, stable++);
      at += entry->d_reclen;
    }
    for (int i = 0; i < 3; i++, step++) {
      snprintf(path, sizeof path, "%s/go%07d", a[0], step * 10);
      unlink(path);
      snprintf(path, sizeof path, "%s/come%07d", a[0], step);
      if (mknod(path, S_IFREG | 0644, 0) < 0) break;
    }
  }
  close(fd);
  free(marks);
  say("%d twice %d", stable, twice);
}

static int sameFile(int a, int b) {
  struct statx x, y;
  return statx(a, "", AT_EMPTY_PATH, STATX_INO, &x) == 0 && statx(b, "", AT_EMPTY_PATH, STATX_INO, &y) == 0 &&
         x.stx_ino == y.stx_ino && x.stx_dev_minor == y.stx_dev_minor;
}

static void listing(int fd, const char *unit) {
  DIR *directory = fdopendir(dup(fd));
  if (directory == NULL) return done(-1);
  rewinddir(directory);
  char *names[1024];
  int count = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL && count < 1024;)
    if (notDots(entry)) names[count++] = strdup(entry->d_name);
  closedir(directory);
  for (int i = 1; i < count; i++)
    for (int j = i; j > 0 && strcmp(names[j - 1], names[j]) > 0; j--) {
      char *swap = names[j]; names[j] = names[j - 1]; names[j - 1] = swap;
    }
  for (int i = 0; i < count; i++) say("%s%s", i > 0 ? unit : "", names[i]), free(names[i]);
  if (count == 0) say("empty");
}

/*
 * Reads half of a directory, remembers the position, reads on, and seeks back: whether the same names are returned
 * again.
 */
static void telldirs(const char *path) {
  DIR *directory = opendir(path);
  if (directory == NULL) return done(-1);
  int total = 0;
  while (readdir(directory) != NULL) total++;
  rewinddir(directory);
  for (int i = 0; i < total / 2; i++) readdir(directory);
  long middle = telldir(directory);
  char first[NAME_MAX + 1] = "", again[NAME_MAX + 1] = "";
  struct dirent *entry = readdir(directory);
  if (entry != NULL) strcpy(first, entry->d_name);
  int rest = entry != NULL;
  while (readdir(directory) != NULL) rest++;
  seekdir(directory, middle);
  entry = readdir(directory);
  if (entry != NULL) strcpy(again, entry->d_name);
  closedir(directory);
  say("%s %d", strcmp(first, again) == 0 ? "same" : "other", total - total / 2 - rest);
}

static void call(char **a, int n) {
  const char *name = *a++;
  struct stat st;
  n--;
#define IS(word, least) (strcmp(name, word) == 0 && (n >= (least) || (say("too few arguments"), 0)))
#define MODE(i) ((mode_t)(n > (i) ? number(a[i]) : 0))

  /* names */
  if (IS("open", 2)) {
    int fd = open(a[0], (int)flags(a[1]), MODE(2));
    done(fd);
    if (fd >= 0) close(fd);
  } else if (IS("fd", 3)) keep(a[0], open(a[1], (int)flags(a[2]), MODE(3)));
  else if (IS("create", 1)) {
    int fd = open(a[0], O_CREAT | O_EXCL | O_WRONLY, n > 1 ? (mode_t)number(a[1]) : 0644);
    done(fd);
    if (fd >= 0) {
      if (n > 2 && write(fd, buffer, payload(a[2], lengths[3], buffer)) < 0) say(" then %s", strerrorname_np(errno));
      close(fd);
    }
  } else if (IS("mkdir", 1)) done(mkdir(a[0], n > 1 ? (mode_t)number(a[1]) : 0755));
  else if (IS("mkfifo", 1)) done(mkfifo(a[0], n > 1 ? (mode_t)number(a[1]) : 0644));
  else if (IS("mknod", 3)) {
    mode_t type = a[1][0] == 'c' ? S_IFCHR : a[1][0] == 'b' ? S_IFBLK : a[1][0] == 'p' ? S_IFIFO
                : a[1][0] == 's' ? S_IFSOCK : a[1][0] == 'd' ? S_IFDIR : a[1][0] == '0' ? 0 : S_IFREG;
    done(mknod(a[0], type | MODE(2), n > 4 ? makedev((unsigned)number(a[3]), (unsigned)number(a[4])) : 0));
  } else if (IS("bind", 1)) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, a[0], sizeof address.sun_path - 1);
    done(bind(fd, (struct sockaddr *)&address, sizeof address));
    n > 1 ? (void)(listen(fd, 5), fds[atoi(a[1])] = fd) : (void)close(fd);
  } else if (IS("connect", 1)) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, a[0], sizeof address.sun_path - 1);
    done(connect(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
  } else if (IS("symlink", 2)) done(symlink(a[0], a[1]));
  else if (IS("link", 2)) done(link(a[0], a[1]));
  else if (IS("linkat", 3)) done(linkat(AT_FDCWD, a[0], AT_FDCWD, a[1], (int)flags(a[2])));
  else if (IS("linkfd", 2)) {
    char path[64];
    snprintf(path, sizeof path, "%d", slot(a[0]));
    done(linkat(descriptors, path, AT_FDCWD, a[1], AT_SYMLINK_FOLLOW));
  } else if (IS("rename", 2)) done(n > 2 ? renameat2(AT_FDCWD, a[0], AT_FDCWD, a[1], (unsigned)flags(a[2])) : rename(a[0], a[1]));
  else if (IS("unlink", 1)) done(unlink(a[0]));
  else if (IS("rmdir", 1)) done(rmdir(a[0]));
  else if (IS("readlink", 1)) {
    ssize_t length = readlink(a[0], buffer, n > 1 ? (size_t)number(a[1]) : PATH_MAX);
    length < 0 ? done(-1) : bytes(buffer, length);
  } else if (IS("chdir", 1)) done(chdir(a[0]));
  else if (IS("chroot", 1)) done(chroot(a[0]));
  else if (IS("readonly", 1)) {
    /* A read-only view of a directory, which ends with this program. */
    static int apart;
    if (!apart++ && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)) return done(-1);
    if (mount(a[0], a[0], NULL, MS_BIND, NULL) < 0) return done(-1);
    done(mount(NULL, a[0], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL));
  }

  /* attributes */
  else if (IS("chmod", 2)) done(chmod(a[0], (mode_t)number(a[1])));
  else if (IS("fchmod", 2)) done(fchmod(slot(a[0]), (mode_t)number(a[1])));
  else if (IS("fchmodat2", 3)) done(syscall(452, AT_FDCWD, a[0], (mode_t)number(a[1]), (unsigned)flags(a[2])));
  else if (IS("chown", 3)) done(chown(a[0], (uid_t)number(a[1]), (gid_t)number(a[2])));
  else if (IS("lchown", 3)) done(lchown(a[0], (uid_t)number(a[1]), (gid_t)number(a[2])));
  else if (IS("fchown", 3)) done(fchown(slot(a[0]), (uid_t)number(a[1]), (gid_t)number(a[2])));
  else if (IS("utimens", 3)) {
    struct timespec times[2] = {timeOf(a[1]), timeOf(a[2])};
    done(utimensat(AT_FDCWD, a[0], times, n > 3 ? (int)flags(a[3]) : 0));
  } else if (IS("utimenull", 1)) done(utimensat(AT_FDCWD, a[0], NULL, 0));
  else if (IS("futimens", 3)) {
    struct timespec times[2] = {timeOf(a[1]), timeOf(a[2])};
    done(futimens(slot(a[0]), times));
  } else if (IS("access", 2)) done(access(a[0], (int)flags(a[1])));
  else if (IS("stat", 1)) stat(a[0], &st) < 0 ? done(-1) : n > 1 ? show(&st, a + 1, n - 1) : done(0);
  else if (IS("lstat", 1)) lstat(a[0], &st) < 0 ? done(-1) : n > 1 ? show(&st, a + 1, n - 1) : done(0);
  else if (IS("fstat", 1)) fstat(slot(a[0]), &st) < 0 ? done(-1) : n > 1 ? show(&st, a + 1, n - 1) : done(0);
  else if (IS("statx", 2)) showNarrow(AT_FDCWD, a[0], 0, a + 1, n - 1);
  else if (IS("fstatx", 2)) showNarrow(slot(a[0]), "", AT_EMPTY_PATH, a + 1, n - 1);
  else if (IS("same", 2)) {
    struct stat other;
    if (lstat(a[0], &st) < 0 || lstat(a[1], &other) < 0) done(-1);
    else say("%s", st.st_ino == other.st_ino && st.st_dev == other.st_dev ? "same" : "different");
  } else if (IS("statfs", 1)) {
    struct statfs fs;
    if (statfs(a[0], &fs) < 0) done(-1);
    else say("namelen %ld bsize %ld", (long)fs.f_namelen, (long)fs.f_bsize);
  } else if (IS("mark", 1)) {
    known = 0;
    for (int i = 0; i < n; i++) if (lstat(a[i], &st) == 0) changes(&st);
    used = 0;
    tick();
    done(0);
  } else if (IS("changed", 1)) {
    for (int i = 0; i < n; i++) {
      if (i > 0) say(" ");
      lstat(a[i], &st) < 0 ? done(-1) : changes(&st);
    }
  } else if (IS("order", 4)) {
    /* order path field path field: how the first time compares with the second */
    struct timespec x, y;
    if (narrow(AT_FDCWD, a[0], 0, maskOf(a[1]), &x) < 0 || narrow(AT_FDCWD, a[2], 0, maskOf(a[3]), &y) < 0)
      return done(-1);
    say("%s", same(x, y) ? "=" : earlier(x, y) ? "<" : ">");
  } else if (IS("race", 1)) {
    /* How often a written file seems newer than one created after it, and older than one created before it. */
    int early = 0, late = 0;
    for (int i = 0; i < atoi(a[0]); i++) {
      struct timespec x, y;
      int written = open("written", O_CREAT | O_RDWR, 0644);
      if (i % 2 && write(written, "x", 1) == 1) narrow(written, "", AT_EMPTY_PATH, STATX_MTIME, &x);
      if (write(written, "y", 1) != 1) return done(-1);
      int made = open("made", O_CREAT | O_EXCL | O_WRONLY, 0644);
      narrow(written, "", AT_EMPTY_PATH, STATX_MTIME, &x);
      narrow(made, "", AT_EMPTY_PATH, STATX_MTIME, &y);
      late += earlier(y, x);
      if (write(written, "z", 1) != 1) return done(-1);
      narrow(written, "", AT_EMPTY_PATH, STATX_MTIME, &x);
      early += earlier(x, y);
      close(written), close(made), unlink("written"), unlink("made");
      nanosleep(&(struct timespec){0, 137000 * (i % 29)}, NULL);
    }
    say("newer %d older %d", late, early);
  } else if (IS("tick", 0)) tick(), done(0);

  /* content */
  else if (IS("close", 1)) {
    done(close(slot(a[0])));
    fds[atoi(a[0]) % SLOTS] = -1;
  } else if (IS("truncate", 2)) done(truncate(a[0], number(a[1])));
  else if (IS("ftruncate", 2)) done(ftruncate(slot(a[0]), number(a[1])));
  else if (IS("fallocate", 4)) done(fallocate(slot(a[0]), (int)flags(a[1]), number(a[2]), number(a[3])));
  else if (IS("posix_fallocate", 3)) {
    int error = posix_fallocate(slot(a[0]), number(a[1]), number(a[2]));
    errno = error;
    done(error == 0 ? 0 : -1);
  } else if (IS("write", 2)) result(write(slot(a[0]), buffer, payload(a[1], lengths[2], buffer)));
  else if (IS("pwrite", 3)) result(pwrite(slot(a[0]), buffer, payload(a[2], lengths[3], buffer), number(a[1])));
  else if (IS("read", 2)) {
    ssize_t got = read(slot(a[0]), buffer, (size_t)number(a[1]));
    got < 0 ? done(-1) : got == 0 ? say("end") : bytes(buffer, got);
  } else if (IS("pread", 3)) {
    ssize_t got = pread(slot(a[0]), buffer, (size_t)number(a[2]), number(a[1]));
    got < 0 ? done(-1) : got == 0 ? say("end") : bytes(buffer, got);
  } else if (IS("cat", 1)) {
    int fd = open(a[0], O_RDONLY | O_NONBLOCK);
    ssize_t got = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
    got < 0 ? done(-1) : got == 0 ? say("empty") : bytes(buffer, got);
    if (fd >= 0) close(fd);
  } else if (IS("lseek", 3)) {
    /* Filesystems differ in where a directory ends, so it is not compared. */
    if (fstat(slot(a[0]), &st) == 0 && S_ISDIR(st.st_mode) && flags(a[2]) >= SEEK_END) say("a directory");
    else result(lseek(slot(a[0]), number(a[1]), (int)flags(a[2])));
  } else if (IS("copy", 5)) {
    loff_t from = number(a[1]), to = number(a[3]);
    result(copy_file_range(slot(a[0]), &from, slot(a[2]), &to, (size_t)number(a[4]), 0));
  } else if ((strcmp(name, "splice") == 0 || strcmp(name, "sendfile") == 0) && n >= 3 && sameFile(slot(a[0]), slot(a[1])))
    /* Data moved within a file may have been moved just before. */
    say("one file");
  else if (IS("splice", 3)) {
    /* From one file to another through a pipe. */
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return done(-1);
    ssize_t moved = splice(slot(a[0]), NULL, ends[1], NULL, (size_t)number(a[2]), 0);
    result(moved <= 0 ? moved : splice(ends[0], NULL, slot(a[1]), NULL, (size_t)moved, 0));
    close(ends[0]);
    close(ends[1]);
  } else if (IS("sendfile", 3)) result(sendfile(slot(a[1]), slot(a[0]), NULL, (size_t)number(a[2])));
  else if (IS("fsync", 1)) done(fsync(slot(a[0])));
  else if (IS("fdatasync", 1)) done(fdatasync(slot(a[0])));
  else if (IS("syncfs", 1)) done(syncfs(slot(a[0])));
  else if (IS("appenders", 4)) appenders(a);
  else if (IS("mmap", 6)) {
    int at = atoi(a[0]) % SLOTS;
    char path[64];
    if (maps[at].at != NULL) munmap(maps[at].at, maps[at].length);
    if (maps[at].file > 0) close(maps[at].file);
    snprintf(path, sizeof path, "%d", slot(a[1]));
    maps[at].file = openat(descriptors, path, O_PATH | O_CLOEXEC);
    maps[at].stored = 0;
    maps[at].offset = (off_t)number(a[2]);
    maps[at].length = (size_t)number(a[3]);
    char *where = mmap(NULL, maps[at].length, (int)flags(a[4]), (int)flags(a[5]), slot(a[1]), number(a[2]));
    done(where == MAP_FAILED ? -1 : 0);
    maps[at].at = where == MAP_FAILED ? NULL : where;
  } else if (IS("peek", 3) || IS("poke", 3)) {
    char *at = maps[atoi(a[0]) % SLOTS].at;
    int signal = at == NULL ? SIGSEGV : sigsetjmp(fault, 1);
    if (signal != 0) say("%s", signal == SIGBUS ? "SIGBUS" : "SIGSEGV");
    else if (name[1] == 'e') {
      memcpy(buffer, at + number(a[1]), (size_t)number(a[2]));
      bytes(buffer, number(a[2]));
    } else {
      size_t length = payload(a[2], lengths[3], buffer);
      memcpy(at + number(a[1]), buffer, length);
      done(0);
    }
  } else if (IS("store", 3)) {
    /*
     * Once for each mapping: tmpfs updates the times when a page is first written, and not later. Only within the file:
     * bytes after its end have unspecified values when it grows (mmap(2)).
     */
    int which = atoi(a[0]) % SLOTS;
    size_t at = (size_t)number(a[1]), length = payload(a[2], lengths[3], buffer);
    struct statx stx = {.stx_size = 0};
    if (maps[which].at != NULL) statx(maps[which].file, "", AT_EMPTY_PATH, STATX_SIZE, &stx);
    int beyond = maps[which].at == NULL || at + length > maps[which].length ||
                 (size_t)maps[which].offset + at + length > stx.stx_size;
    int signal = beyond ? SIGSEGV : maps[which].stored++ ? SIGCHLD : sigsetjmp(fault, 1);
    if (signal != 0) say("%s", signal == SIGSEGV ? "SIGSEGV" : signal == SIGBUS ? "SIGBUS" : "stored before");
    else {
      memcpy(maps[which].at + at, buffer, length);
      done(0);
    }
  } else if (IS("settle", 0)) {
    /* The times of what was stored through mappings are updated by now at the latest. */
    for (int i = 0; i < SLOTS; i++) if (maps[i].at != NULL) msync(maps[i].at, maps[i].length, MS_SYNC);
    done(0);
  } else if (IS("msync", 1)) done(msync(maps[atoi(a[0]) % SLOTS].at, maps[atoi(a[0]) % SLOTS].length, MS_SYNC));
  else if (IS("munmap", 1)) {
    done(munmap(maps[atoi(a[0]) % SLOTS].at, maps[atoi(a[0]) % SLOTS].length));
    maps[atoi(a[0]) % SLOTS].at = NULL;
  } else if (IS("copyself", 1)) {
    int from = open("/proc/self/exe", O_RDONLY), to = open(a[0], O_CREAT | O_WRONLY, 0755);
    ssize_t got;
    while ((got = read(from, buffer, sizeof buffer)) > 0 && write(to, buffer, (size_t)got) == got);
    done(got);
    close(from);
    close(to);
  } else if (IS("running", 1)) {
    /* The driver itself, waiting at a pipe that ends with this process. */
    int ends[2], started[2];
    if (pipe2(ends, O_CLOEXEC) < 0 || pipe2(started, O_CLOEXEC) < 0) return done(-1);
    if (fork() == 0) {
      char *const argv[] = {a[0], NULL};
      dup2(ends[0], 0);
      execve(a[0], argv, NULL);
      _exit(1);
    }
    close(started[1]);
    done(read(started[0], buffer, 1) < 0 ? -1 : 0);
  } else if (IS("exec", 1)) done(child(execute, a));

  /* locks */
  else if (IS("flock", 2)) done(flock(slot(a[0]), (int)flags(a[1])));
  else if (IS("setlk", 4)) {
    struct flock lock = {.l_type = (short)flags(a[1]), .l_start = number(a[2]), .l_len = number(a[3])};
    done(fcntl(slot(a[0]), F_SETLK, &lock));
  } else if (IS("setofd", 4)) {
    struct flock lock = {.l_type = (short)flags(a[1]), .l_start = number(a[2]), .l_len = number(a[3])};
    done(fcntl(slot(a[0]), F_OFD_SETLK, &lock));
  } else if (IS("other_setlk", 4)) done(child(lockAsOther, a));
  else if (IS("other_flock", 2)) done(child(flockAsOther, a));

  /* attributes of any name */
  else if (IS("setxattr", 3)) {
    size_t length = payload(a[2], lengths[3], buffer);
    done(setxattr(a[0], a[1], a[2] == BAD ? BAD : buffer, length, n > 3 ? (int)flags(a[3]) : 0));
  } else if (IS("lsetxattr", 3)) {
    size_t length = payload(a[2], lengths[3], buffer);
    done(lsetxattr(a[0], a[1], buffer, length, n > 3 ? (int)flags(a[3]) : 0));
  } else if (IS("fsetxattr", 3)) {
    size_t length = payload(a[2], lengths[3], buffer);
    done(fsetxattr(slot(a[0]), a[1], buffer, length, n > 3 ? (int)flags(a[3]) : 0));
  } else if (IS("getxattr", 2) || IS("lgetxattr", 2)) {
    size_t room = n > 2 ? (size_t)number(a[2]) : 65536;
    ssize_t got = name[0] == 'l' ? lgetxattr(a[0], a[1], buffer, room) : getxattr(a[0], a[1], buffer, room);
    got < 0 ? done(-1) : room == 0 ? result(got) : got == 0 ? say("empty") : bytes(buffer, got);
  } else if (IS("listxattr", 1) || IS("llistxattr", 1)) {
    size_t room = n > 1 ? (size_t)number(a[1]) : 65536;
    ssize_t got = name[1] == 'l' ? llistxattr(a[0], buffer, room) : listxattr(a[0], buffer, room);
    if (got < 0) return done(-1);
    if (room == 0) return result(got);
    if (got == 0) say("empty");
    char *names[256];
    int count = 0;
    for (char *at = buffer; at < buffer + got && count < 256; at += strlen(at) + 1) names[count++] = at;
    for (int i = 1; i < count; i++)
      for (int j = i; j > 0 && strcmp(names[j - 1], names[j]) > 0; j--) {
        char *swap = names[j]; names[j] = names[j - 1]; names[j - 1] = swap;
      }
    for (int i = 0; i < count; i++) say("%s%s", i > 0 ? " " : "", names[i]);
  } else if (IS("removexattr", 2)) done(removexattr(a[0], a[1]));
  else if (IS("lremovexattr", 2)) done(lremovexattr(a[0], a[1]));
  else if (IS("setacl", 3)) {
    size_t length = aclFrom(a[2], buffer);
    done(setxattr(a[0], aclName(a[1]), buffer, length, 0));
  } else if (IS("getacl", 2)) {
    ssize_t got = getxattr(a[0], aclName(a[1]), buffer, 65536);
    got < 0 ? done(-1) : aclSay(buffer, got);
  } else if (IS("delacl", 2)) done(removexattr(a[0], aclName(a[1])));

  /* directories */
  else if (IS("ls", 1)) {
    int fd = open(a[0], O_RDONLY | O_DIRECTORY);
    fd < 0 ? done(-1) : (listing(fd, " "), (void)close(fd));
  } else if (IS("fls", 1)) listing(slot(a[0]), " ");
  else if (IS("getdents", 1)) {
    long got = syscall(SYS_getdents64, slot(a[0]), buffer, n > 1 ? (size_t)number(a[1]) : 32768);
    got < 0 ? done(-1) : say("%s", got == 0 ? "end" : "some");
  } else if (IS("telldir", 1)) telldirs(a[0]);
  else if (IS("crowd", 2)) crowd(a);
  else if (IS("tree", 0)) dump(n > 0 ? a[0] : ".", n > 1), dumpOpen();
  else if (IS("times", 0)) dumpTimes(n > 0 ? a[0] : ".", DT_DIR), dumpOpen();
  else if (IS("umask", 1)) umask((mode_t)number(a[0])), done(0);
  else if (used == 0) say("no such call: %s", name);
}

/* "@uid:gid,group,group": the caller. Root stays the saved user, so that the next caller can be set. */
static void become(const char *who) {
  gid_t groups[32];
  int count = 0;
  char *at;
  uid_t uid = (uid_t)strtoul(who, &at, 10);
  while (*at == ':' || *at == ',') if (count < 32) groups[count++] = (gid_t)strtoul(at + 1, &at, 10); else break;
  if (count == 0) groups[count++] = uid;
  if (setgroups((size_t)count - 1, groups + 1) < 0 || setresgid(groups[0], groups[0], groups[0]) < 0 ||
      setresuid(uid, uid, 0) < 0)
    say("become: %s", strerrorname_np(errno));
}

static void comeBack(void) {
  if (setresuid(0, 0, 0) < 0 || setresgid(0, 0, 0) < 0 || setgroups(0, NULL) < 0) exit(3);
}

int main(void) {
  static char line[1 << 20];
  struct sigaction action = {.sa_handler = onFault};
  sigaction(SIGBUS, &action, NULL);
  sigaction(SIGSEGV, &action, NULL);
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  for (int i = 0; i < SLOTS; i++) fds[i] = -1;
  /* Kept open, because a program may change its root. */
  descriptors = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  umask(0);
  while (fgets(line, sizeof line, stdin) != NULL) {
    char *a[32];
    int n = 0, other = 0;
    line[strcspn(line, "\n")] = 0;
    char *rest;
    for (char *token = strtok_r(line, " ", &rest); token != NULL && n < 31; token = strtok_r(NULL, " ", &rest)) {
      if (n == 0 && token[0] == '@') { other = 1; become(token + 1); continue; }
      size_t length;
      a[n] = decode(token, &length);
      lengths[n++] = length;
    }
    /* A call that waits forever ends the program, and so the test. */
    alarm(30);
    if (n > 0) call(a, n);
    if (other) comeBack();
    out[used] = 0;
    puts(out);
    used = 0;
  }
  return 0;
}
