/*
 * Whether times show what was done first, and whether every way to read them gives the same result.
 *
 * A file is changed in every possible way, between two changes of something else: of another file, open or new, of a
 * directory, and of a file on another filesystem. Its time must not be before the first change nor after the second,
 * and must lie within the call. The seed decides which way of reading the time comes first. Prints a line for each
 * wrong combination, and "end".
 *
 * order DIRECTORY ELSEWHERE SEED ROUNDS
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define COUNT(table) (int)(sizeof table / sizeof *table)
#define PAGE 4096

typedef long long ns;

static char bytes[300000];
/* The file `a`, open for reading and writing unless it was closed again; another to copy from; and a third. */
static int file, source, third;
static char *map;
static const char *elsewhere;

static int check(int right) { return right ? 0 : -1; }
static ns nanoseconds(long long seconds, long nanoseconds) { return seconds * 1000000000LL + nanoseconds; }

static ns now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return nanoseconds(time.tv_sec, time.tv_nsec);
}

/* ---- ways to read the times; without an open file, by name ---- */

static ns askedWith(int byName, unsigned mask, int ctime, int flag) {
  struct statx stx;
  byName |= file < 0;
  if (statx(byName ? AT_FDCWD : file, byName ? "a" : "", flag | (byName ? 0 : AT_EMPTY_PATH), mask, &stx) < 0) return -errno;
  struct statx_timestamp time = ctime ? stx.stx_ctime : stx.stx_mtime;
  return nanoseconds(time.tv_sec, time.tv_nsec);
}

static ns statOf(int result, const struct stat *st, int ctime) {
  if (result < 0) return -errno;
  return ctime ? nanoseconds(st->st_ctim.tv_sec, st->st_ctim.tv_nsec) : nanoseconds(st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

#define ONE(ctime) (ctime ? STATX_CTIME : STATX_MTIME)
static ns byMask(int ctime) { return askedWith(1, ONE(ctime), ctime, 0); }
static ns byMaskOpen(int ctime) { return askedWith(0, ONE(ctime), ctime, 0); }
static ns byBoth(int ctime) { return askedWith(1, STATX_MTIME | STATX_CTIME, ctime, 0); }
static ns byAll(int ctime) { return askedWith(1, STATX_BASIC_STATS | STATX_BTIME, ctime, 0); }
static ns bySync(int ctime) { return askedWith(1, ONE(ctime), ctime, AT_STATX_FORCE_SYNC); }
/* As in ls -l. */
static ns byList(int ctime) {
  unsigned mask = STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | STATX_SIZE | ONE(ctime);
  return askedWith(1, mask, ctime, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
}
static ns byStat(int ctime) { struct stat st; return statOf(stat("a", &st), &st, ctime); }
static ns byFstat(int ctime) { struct stat st; return statOf(file < 0 ? stat("a", &st) : fstat(file, &st), &st, ctime); }

static const struct { const char *name; ns (*ask)(int ctime); } WAYS[] = {
    {"statx of one", byMask}, {"statx of one, open", byMaskOpen}, {"statx of both", byBoth}, {"statx of all", byAll},
    {"statx, synchronised", bySync}, {"ls", byList}, {"stat", byStat}, {"fstat", byFstat},
};

/* ---- io_uring, one request at a time ---- */

static struct io_uring_params ring;
static char *submissions, *completions;
static struct io_uring_sqe *entries;
/* Containers often may not use it. */
static int ringForbidden;

static int uring(struct io_uring_sqe entry) {
  static int fd = -1;
  if (fd < 0) {
    fd = (int)syscall(SYS_io_uring_setup, 1, &ring);
    ringForbidden = fd < 0 && (errno == EPERM || errno == ENOSYS);
    if (fd < 0) return -1;
    size_t queue = ring.sq_off.array + ring.sq_entries * sizeof(unsigned);
    size_t results = ring.cq_off.cqes + ring.cq_entries * sizeof(struct io_uring_cqe);
    submissions = mmap(NULL, queue, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    completions = mmap(NULL, results, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_CQ_RING);
    entries = mmap(NULL, ring.sq_entries * sizeof entry, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
  }
  entries[0] = entry;
  *(unsigned *)(submissions + ring.sq_off.array) = 0;
  __atomic_fetch_add((unsigned *)(submissions + ring.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -1;
  unsigned *head = (unsigned *)(completions + ring.cq_off.head);
  unsigned at = *head & *(unsigned *)(completions + ring.cq_off.ring_mask);
  int result = ((struct io_uring_cqe *)(completions + ring.cq_off.cqes))[at].res;
  __atomic_fetch_add(head, 1, __ATOMIC_RELEASE);
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

/* ---- changes ---- */

static int written(int flags) {
  int fd = open("a", flags);
  int result = fd < 0 ? -1 : check(write(fd, "z", 1) == 1);
  close(fd);
  return result;
}

static int vector(int flags) {
  struct iovec parts[2] = {{"a", 1}, {"b", 1}};
  return check(pwritev2(file, parts, 2, 3, flags) == 2);
}

static int aWrite(void) { return check(pwrite(file, "x", 1, 0) == 1); }
static int largeWrite(void) { return check(pwrite(file, bytes, sizeof bytes, 0) > 0); }
static int farWrite(void) { return check(pwrite(file, "x", 1, 1000000) == 1); }
static int vectorWrite(void) { return vector(0); }
static int syncedWrite(void) { return vector(RWF_DSYNC); }
static int vectorAppend(void) { return vector(RWF_APPEND); }
static int writeAndFsync(void) { return check(pwrite(file, "x", 1, 0) == 1 && fsync(file) == 0); }
static int append(void) { return written(O_WRONLY | O_APPEND); }
static int otherWrite(void) { return written(O_WRONLY); }
static int emptied(void) { int fd = open("a", O_WRONLY | O_TRUNC); return close(fd); }
static int directWrite(void) {
  static char aligned[PAGE] __attribute__((aligned(PAGE)));
  int fd = open("a", O_WRONLY | O_DIRECT);
  int result = check(pwrite(fd, aligned, PAGE, 0) == PAGE);
  close(fd);
  return result;
}
static int spliced(void) {
  int ends[2];
  loff_t at = 2;
  if (pipe(ends) < 0 || write(ends[1], "hello", 5) != 5) return -1;
  int result = check(splice(ends[0], NULL, file, &at, 5, 0) == 5);
  close(ends[0]), close(ends[1]);
  return result;
}
static int sent(void) { off_t at = 0; lseek(file, 0, SEEK_SET); return check(sendfile(file, source, &at, 1000) == 1000); }
static int copied(void) { loff_t from = 0, to = 0; return check(copy_file_range(source, &from, file, &to, 1000, 0) == 1000); }
static int ringWrite(void) {
  return check(uring((struct io_uring_sqe){.opcode = IORING_OP_WRITE, .fd = file, .addr = (uintptr_t)bytes, .len = 100}) == 100);
}
static int ringVector(void) {
  struct iovec part = {bytes, 100};
  return check(uring((struct io_uring_sqe){.opcode = IORING_OP_WRITEV, .fd = file, .addr = (uintptr_t)&part, .len = 1}) == 100);
}
static int ringAllocate(void) { return uring((struct io_uring_sqe){.opcode = IORING_OP_FALLOCATE, .fd = file, .addr = 500000}); }
static int ftruncated(void) { return ftruncate(file, 10); }
static int grown(void) { return ftruncate(file, 400000); }
static int asLong(void) { struct stat st; return fstat(file, &st) < 0 ? -1 : ftruncate(file, st.st_size); }
static int truncated(void) { return truncate("a", 100); }
static int allocated(void) { return fallocate(file, 0, 0, 500000); }
static int punched(void) { return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE); }
static int touched(void) { return utimensat(AT_FDCWD, "a", NULL, 0); }
static int mapped(void) {
  map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return check(map != MAP_FAILED);
}
static int storeAndSync(void) { return mapped() < 0 ? -1 : (map[1]++, msync(map, PAGE, MS_SYNC)); }
static int storeAndUnmap(void) {
  if (mapped() < 0) return -1;
  map[1]++;
  int result = munmap(map, PAGE);
  map = NULL;
  return result;
}
static int chmodded(void) { static int count; return chmod("a", 0600 + count++ % 2); }
static int chowned(void) { return fchown(file, (uid_t)-1, getgid()); }
static int linked(void) { unlink("b"); return link("a", "b"); }
static int renamed(void) { return rename("a", "c") < 0 ? -1 : rename("c", "a"); }
static int attributed(void) { return setxattr("a", "user.a", "v", 1, 0); }

static const struct { const char *name; int (*change)(void); int ctime; } CHANGES[] = {
    {"a write", aWrite, 0}, {"a large write", largeWrite, 0}, {"a write behind the end", farWrite, 0},
    {"pwritev", vectorWrite, 0}, {"RWF_DSYNC", syncedWrite, 0}, {"RWF_APPEND", vectorAppend, 0}, {"fsync", writeAndFsync, 0},
    {"O_APPEND", append, 0}, {"another descriptor", otherWrite, 0}, {"O_TRUNC", emptied, 0}, {"O_DIRECT", directWrite, 0},
    {"splice", spliced, 0}, {"sendfile", sent, 0}, {"copy_file_range", copied, 0}, {"io_uring write", ringWrite, 0},
    {"io_uring writev", ringVector, 0}, {"io_uring fallocate", ringAllocate, 0}, {"ftruncate", ftruncated, 0},
    {"ftruncate, longer", grown, 0}, {"ftruncate, as long", asLong, 0}, {"truncate", truncated, 0},
    {"fallocate", allocated, 0}, {"a hole", punched, 0}, {"utimensat", touched, 0}, {"msync", storeAndSync, 0},
    {"munmap", storeAndUnmap, 0}, {"chmod", chmodded, 1}, {"chown", chowned, 1}, {"link", linked, 1},
    {"rename", renamed, 1}, {"setxattr", attributed, 1},
};

/* ---- the other changes, before and after ---- */

static char neighbour[4200];

static int named(const char *directory, const char *name) {
  return snprintf(neighbour, sizeof neighbour, "%s/%s", directory, name) < 0 ? -1 : unlink(neighbour), 0;
}
static int made(const char *directory) {
  named(directory, "new");
  return close(open(neighbour, O_CREAT | O_EXCL | O_WRONLY, 0644));
}
static int newFile(void) { return made("."); }
static int newElsewhere(void) { return made(elsewhere); }
static int newDirectory(void) { strcpy(neighbour, "d"); rmdir("d"); return mkdir("d", 0755); }
static int openFile(void) { strcpy(neighbour, "third"); return check(pwrite(third, "x", 1, 0) == 1); }
static int theDirectory(void) {
  if (close(open("x", O_CREAT | O_WRONLY, 0644)) < 0) return -1;
  strcpy(neighbour, ".");
  return unlink("x");
}

static const struct { const char *name; int (*change)(void); } NEIGHBOURS[] = {
    {"a new file", newFile}, {"a new file elsewhere", newElsewhere}, {"a new directory", newDirectory},
    {"a write to an open file", openFile}, {"the directory", theDirectory},
};

static ns neighbourTime(void) {
  struct stat st;
  return statOf(lstat(neighbour, &st), &st, 0);
}

static int chance(int percent) { return rand() % 100 < percent; }

static void prepare(void) {
  unlink("a");
  file = open("a", O_CREAT | O_RDWR, 0644);
  if (pwrite(file, bytes, 100000, 0) != 100000) perror("a");
  if (chance(50)) close(file), file = open("a", O_RDWR);
  if (chance(50)) futimens(file, (struct timespec[2]){{1, 1}, {2, 2}});
  if (chance(50)) WAYS[rand() % COUNT(WAYS)].ask(chance(50));
  usleep((useconds_t)(rand() % 9000));
}

/* What was wrong; NULL if nothing was. Overwrites `said`. */
static const char *attempt(int which, int beside, char *said, size_t room) {
  int ctime = CHANGES[which].ctime;
  prepare();
  if (NEIGHBOURS[beside].change() < 0) return strerror(errno);
  ns before = neighbourTime(), earliest = now(CLOCK_REALTIME_COARSE);
  if (CHANGES[which].change() < 0) return ringForbidden ? NULL : strerror(errno);
  ns latest = now(CLOCK_REALTIME);
  if (chance(30)) usleep((useconds_t)(rand() % 6000));
  if (chance(25)) close(file), file = -1;
  if (NEIGHBOURS[beside].change() < 0) return strerror(errno);
  int way = rand() % COUNT(WAYS), first = chance(50);
  ns after = first ? neighbourTime() : 0, time = WAYS[way].ask(ctime);
  if (!first) after = neighbourTime();
  const char *wrong = time < before ? "older than what came before" : time > after ? "newer than what came after"
                    : time < earliest || time > latest ? "outside of the call" : NULL;
  if (wrong != NULL) return snprintf(said, room, "%s, says %s%s", wrong, WAYS[way].name, file < 0 ? ", closed" : ""), said;
  for (int i = 0; i < 6; i++) {
    int other = rand() % COUNT(WAYS);
    if (WAYS[other].ask(ctime) != time || WAYS[other].ask(1) != time)
      return snprintf(said, room, "%s says another time than %s", WAYS[other].name, WAYS[way].name), said;
    if (chance(20)) usleep((useconds_t)(rand() % 3000));
  }
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 5 || chdir(arguments[1]) < 0) return 2;
  elsewhere = arguments[2];
  srand((unsigned)atoi(arguments[3]));
  source = open("source", O_CREAT | O_RDWR, 0644);
  third = open("third", O_CREAT | O_RDWR, 0644);
  if (write(source, bytes, sizeof bytes) != sizeof bytes) return 2;
  for (int which = 0; which < COUNT(CHANGES); which++) {
    for (int beside = 0; beside < COUNT(NEIGHBOURS); beside++) {
      for (int round = 0; round < atoi(arguments[4]); round++) {
        char said[200];
        const char *wrong = attempt(which, beside, said, sizeof said);
        if (map != NULL && map != MAP_FAILED) munmap(map, PAGE);
        map = NULL;
        if (file >= 0) close(file);
        if (wrong == NULL) continue;
        printf("%s, between changes of %s: %s\n", CHANGES[which].name, NEIGHBOURS[beside].name, wrong);
        break;
      }
    }
  }
  puts("end");
}
