/*
 * Many processes at work in one directory: many DIR SEED PROCESSES COUNT.
 *
 * Each process creates files under names of its own, whose bytes determine their expected content and time, and renames
 * them to shared names. So a process that opens one finds it complete, by read or by mapping, whatever the others do to
 * its name. In the meantime directories are created and removed, links are made, a log is appended to, and a number is
 * incremented under a lock.
 *
 * Ends with "ok" if every byte was right, no record of the log is missing or torn, and the number is the sum.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ROOMS 4
#define NAMES 24
#define LARGEST 300000
#define RECORD 64

struct head {
  uint32_t magic, seed, length;
};

static uint64_t state;
static int self;
static long step;
static char *buffer;
/* Shared by all processes: how often they incremented the number, and how many records they wrote. */
static long *counted, *recorded;

static uint32_t dice(uint32_t below) {
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (uint32_t)(state >> 33) % below;
}

static void fail(const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  printf("process %d, step %ld: %s (errno %d)\n", self, step, text, errno);
  fflush(stdout);
  _exit(1);
}

/* The errors that the other processes may cause. */
static void may(int result, const char *call, const int *errors) {
  if (result >= 0) return;
  for (; *errors != 0; errors++) if (errno == *errors) return;
  fail("%s", call);
}
#define MAY(call, ...) may((int)(call), #call, (const int[]){__VA_ARGS__, 0})

static unsigned char byteAt(uint32_t seed, uint32_t at) { return (unsigned char)((seed + at) * 2654435761u >> 24); }

static void fill(uint32_t seed, uint32_t length) {
  for (uint32_t at = 0; at < length; at++) buffer[at] = (char)byteAt(seed, at);
  struct head head = {0x6d616e79, seed, length};
  memcpy(buffer, &head, sizeof head);
}

/* The time of every file is its seed, set after the last byte was written. */
static void verify(const char *bytes, size_t length, const struct stat *st, const char *how) {
  struct head head;
  if (length < sizeof head) fail("%s: %zu bytes", how, length);
  memcpy(&head, bytes, sizeof head);
  if (head.magic != 0x6d616e79 || head.length != length) fail("%s: %zu bytes, head of %u", how, length, head.length);
  if (st->st_mtim.tv_sec != head.seed || st->st_mtim.tv_nsec != 123456789)
    fail("%s: the time is %lld.%09ld, not %u", how, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, head.seed);
  for (size_t at = sizeof head; at < length; at++)
    if ((unsigned char)bytes[at] != byteAt(head.seed, (uint32_t)at)) fail("%s: byte %zu of %zu", how, at, length);
}

static const char *somewhere(void) {
  static char paths[4][64];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "room%u/n%u", dice(ROOMS), dice(NAMES));
  return path;
}

static void make(void) {
  char mine[64];
  snprintf(mine, sizeof mine, "own%d/new", self);
  uint32_t length = (uint32_t)sizeof(struct head) + dice(dice(4) == 0 ? LARGEST : 9000);
  uint32_t seed = dice(1u << 30);
  char *map = NULL;
  fill(seed, length);
  int fd = open(mine, O_CREAT | O_EXCL | O_RDWR, 0644);
  if (fd < 0) fail("create");
  if (dice(3) == 0) {
    if (ftruncate(fd, length) < 0) fail("ftruncate");
    map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) fail("mmap");
    memcpy(map, buffer, length);
    if (dice(2) == 0) munmap(map, length), map = NULL;
  } else
    for (uint32_t at = 0; at < length;) {
      uint32_t piece = 1 + dice(70000);
      ssize_t put = write(fd, buffer + at, piece < length - at ? piece : length - at);
      if (put <= 0) fail("write");
      at += (uint32_t)put;
    }
  if (dice(8) == 0 && fsync(fd) < 0) fail("fsync");
  struct timespec times[2] = {{0, UTIME_OMIT}, {seed, 123456789}};
  if (dice(4) == 0) {
    if (close(fd) < 0 || utimensat(AT_FDCWD, mine, times, 0) < 0) fail("close and utimensat");
  } else if (futimens(fd, times) < 0 || close(fd) < 0) fail("futimens and close");
  if (map != NULL && munmap(map, length) < 0) fail("munmap");
  if (rename(mine, somewhere()) < 0) fail("rename of a new file");
}

static void look(void) {
  int fd = open(somewhere(), O_RDONLY);
  if (fd < 0) return MAY(fd, ENOENT);
  struct stat st;
  if (fstat(fd, &st) < 0) fail("fstat");
  size_t length = (size_t)st.st_size;
  if (length > LARGEST + sizeof(struct head)) fail("a size of %zu", length);
  if (dice(2) == 0) {
    char *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) fail("mmap to read");
    verify(map, length, &st, "mapped");
    munmap(map, length);
  } else {
    size_t at = 0;
    for (ssize_t got; (got = read(fd, buffer + at, 65536)) != 0; at += (size_t)got) if (got < 0) fail("read");
    if (at != length) fail("%zu bytes read of %zu", at, length);
    verify(buffer, length, &st, "read");
  }
  close(fd);
}

static void list(void) {
  char room[32];
  snprintf(room, sizeof room, "room%u", dice(ROOMS));
  DIR *directory = opendir(room);
  if (directory == NULL) fail("opendir");
  int dots = 0;
  for (struct dirent *entry; errno = 0, (entry = readdir(directory)) != NULL;) dots += entry->d_name[0] == '.';
  if (errno != 0) fail("readdir");
  if (dots != 2) fail("%d dots", dots);
  closedir(directory);
}

static void count(void) {
  char text[32] = "";
  int fd = open("number", O_RDWR);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fd < 0 || fcntl(fd, F_SETLKW, &lock) < 0) fail("lock");
  if (pread(fd, text, sizeof text - 1, 0) < 0) fail("read the number");
  int length = snprintf(text, sizeof text, "%020ld", atol(text) + 1);
  if (pwrite(fd, text, (size_t)length, 0) != length) fail("write the number");
  close(fd);
  __atomic_add_fetch(counted, 1, __ATOMIC_RELAXED);
}

static void record(void) {
  char text[RECORD + 1];
  int fd = open("log", O_WRONLY | O_APPEND);
  snprintf(text, sizeof text, "%08d %08ld %*s\n", self, step, RECORD - 19, "record");
  if (fd < 0 || write(fd, text, RECORD) != RECORD) fail("append");
  close(fd);
  __atomic_add_fetch(recorded, 1, __ATOMIC_RELAXED);
}

static void work(long steps) {
  char own[64];
  snprintf(own, sizeof own, "own%d", self);
  if (mkdir(own, 0755) < 0) fail("mkdir");
  for (step = 0; step < steps; step++) {
    switch (dice(20)) {
      case 0: case 1: case 2: case 3: case 4: make(); break;
      case 5: case 6: case 7: case 8: case 9: look(); break;
      case 10: MAY(unlink(somewhere()), ENOENT); break;
      case 11: case 12: MAY(rename(somewhere(), somewhere()), ENOENT); break;
      case 13: MAY(link(somewhere(), somewhere()), ENOENT, EEXIST); break;
      case 14: MAY(renameat2(AT_FDCWD, somewhere(), AT_FDCWD, somewhere(), RENAME_EXCHANGE), ENOENT); break;
      case 15: list(); break;
      case 16: MAY(setxattr(somewhere(), "user.who", &self, sizeof self, 0), ENOENT); break;
      case 17: {
        char deep[96];
        snprintf(deep, sizeof deep, "%s/a", own);
        if (mkdir(deep, 0755) < 0) fail("mkdir of its own");
        snprintf(deep, sizeof deep, "%s/a/link", own);
        if (symlink("../new", deep) < 0 || unlink(deep) < 0) fail("symlink");
        snprintf(deep, sizeof deep, "%s/a", own);
        if (rmdir(deep) < 0) fail("rmdir of its own");
        break;
      }
      case 18: count(); break;
      case 19: record(); break;
    }
  }
  if (rmdir(own) < 0) fail("rmdir at the end");
}

int main(int argc, char **argv) {
  if (argc != 5 || chdir(argv[1]) < 0) return 2;
  uint64_t seed = strtoull(argv[2], NULL, 10);
  int processes = atoi(argv[3]);
  long steps = atol(argv[4]);
  buffer = malloc(LARGEST + 100000);
  counted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (buffer == NULL || counted == MAP_FAILED) return 2;
  recorded = counted + 1;
  for (int room = 0; room < ROOMS; room++) {
    char name[32];
    snprintf(name, sizeof name, "room%d", room);
    if (mkdir(name, 0755) < 0) fail("mkdir of a room");
  }
  close(open("log", O_CREAT | O_WRONLY, 0644));
  close(open("number", O_CREAT | O_WRONLY, 0644));
  for (self = 0; self < processes; self++)
    if (fork() == 0) {
      state = seed * 1000003 + (uint64_t)self;
      work(steps);
      _exit(0);
    }
  int bad = 0;
  for (int status; wait(&status) > 0;) bad |= status;
  if (bad) return 1;
  self = -1;
  struct stat st;
  if (stat("log", &st) < 0 || st.st_size % RECORD != 0) fail("a log of %ld bytes", (long)st.st_size);
  FILE *log = fopen("log", "r");
  long records = 0, torn = 0;
  for (char line[256]; fgets(line, sizeof line, log) != NULL; records++)
    torn += strlen(line) != RECORD || strcmp(line + RECORD - 7, "record\n") != 0;
  fclose(log);
  if (torn > 0 || records * RECORD != st.st_size) fail("%ld records, %ld torn", records, torn);
  FILE *number = fopen("number", "r");
  long sum = 0;
  if (fscanf(number, "%ld", &sum) != 1) sum = 0;
  fclose(number);
  if (records != *recorded) fail("%ld records of %ld", records, *recorded);
  if (sum != *counted) fail("counted up to %ld, and it is %ld", *counted, sum);
  printf("ok\n");
  return 0;
}
