/*
 * The metadata and data rows of the benchmark, timed from inside one process.
 *
 *   driver DIR ROW FILES DATA_MIB
 *
 * prints one number: microseconds per operation, or MB/s for the data rows. DIR is on the filesystem under test.
 * Rows build on each other in the order of `rows` in bench.ts: "create" fills the directories that "mkdir" made.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORIES 100
static char path[4096], other[4096];
static char block[1 << 20];
static const char *base;
static int files;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}
static void check(long result, const char *what) {
  if (result < 0) {
    fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
    exit(1);
  }
}
static const char *file(int n) {
  snprintf(path, sizeof path, "%s/d%02d/f%04d", base, n % DIRECTORIES, n);
  return path;
}
static void directory(int n) { snprintf(path, sizeof path, "%s/d%02d", base, n); }
static void read_file(int n) {
  int fd = open(file(n), O_RDONLY);
  check(fd, "open");
  check(read(fd, block, 4096), "read");
  close(fd);
}
static int list(int n) {
  struct stat st;
  struct dirent *entry;
  int count = 0;
  directory(n);
  DIR *dir = opendir(path);
  check(dir ? 0 : -1, "opendir");
  while ((entry = readdir(dir))) {
    check(fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW), "fstatat");
    count++;
  }
  closedir(dir);
  return count;
}

static const char *dirname_of(const char *file) {
  static char directory[4096];
  snprintf(directory, sizeof directory, "%s", file);
  *strrchr(directory, '/') = 0;
  return directory;
}

static int by_size(const void *a, const void *b) {
  float difference = *(const float *)a - *(const float *)b;
  return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  base = argv[1];
  const char *row = argv[2];
  files = atoi(argv[3]);
  long mib = atol(argv[4]);
  struct stat st;
  long operations = files;
  double start = now();
#define EACH for (int n = 0; n < files; n++)
  if (!strcmp(row, "spin")) {
    /* Keeps a processor busy until it is killed, or the bench has died. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) __asm__ volatile("");
  } else if (!strcmp(row, "mkdir")) {
    operations = 1000;
    for (int n = 0; n < operations; n++) {
      snprintf(path, sizeof path, "%s/m%d", base, n);
      check(mkdir(path, 0755), "mkdir");
    }
  } else if (!strcmp(row, "setup")) {
    for (int n = 0; n < DIRECTORIES; n++) directory(n), check(mkdir(path, 0755), "mkdir");
  } else if (!strcmp(row, "create-empty")) {
    EACH {
      snprintf(path, sizeof path, "%s/d%02d/e%04d", base, n % DIRECTORIES, n);
      int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0644);
      check(fd, "open");
      check(close(fd), "close");
    }
  } else if (!strcmp(row, "create")) {
    EACH {
      int fd = open(file(n), O_CREAT | O_WRONLY | O_EXCL, 0644);
      check(fd, "open");
      check(write(fd, block, 4096), "write");
      check(close(fd), "close");
    }
  } else if (!strcmp(row, "stat")) {
    EACH check(stat(file(n), &st), "stat");
  } else if (!strcmp(row, "read")) {
    EACH read_file(n);
  } else if (!strcmp(row, "list")) {
    operations = 0;
    for (int n = 0; n < DIRECTORIES; n++) operations += list(n);
  } else if (!strcmp(row, "chmod")) {
    EACH check(chmod(file(n), 0600 | (n & 1) * 044), "chmod");
  } else if (!strcmp(row, "rename")) {
    EACH {
      file(n);
      snprintf(other, sizeof other, "%s/d%02d/r%04d", base, (n + 1) % DIRECTORIES, n);
      check(rename(path, other), "rename");
    }
  } else if (!strcmp(row, "rename-back")) {
    EACH {
      file(n);
      snprintf(other, sizeof other, "%s/d%02d/r%04d", base, (n + 1) % DIRECTORIES, n);
      check(rename(other, path), "rename");
    }
  } else if (!strcmp(row, "negative")) {
    EACH {
      snprintf(path, sizeof path, "%s/d%02d/no%04d", base, n % DIRECTORIES, n);
      if (stat(path, &st) == 0) return 1;
    }
  } else if (!strcmp(row, "unlink")) {
    EACH check(unlink(file(n)), "unlink");
  } else if (!strcmp(row, "grow")) {
    /* FILES empty files, a thousand to a directory. */
    EACH {
      snprintf(path, sizeof path, "%s/g%d", base, n / 1000);
      if (n % 1000 == 0) check(mkdir(path, 0755), "mkdir");
      snprintf(path, sizeof path, "%s/g%d/file%07d", base, n / 1000, n);
      check(mknod(path, S_IFREG | 0644, 0), "mknod");
    }
  } else if (!strcmp(row, "probe")) {
    /* The cost of creating, changing and removing a file next to everything else. */
    snprintf(path, sizeof path, "%s/probe", base);
    check(mkdir(path, 0755), "mkdir");
    EACH {
      snprintf(path, sizeof path, "%s/probe/%d", base, n);
      check(mknod(path, S_IFREG | 0644, 0), "mknod");
      check(chmod(path, 0600), "chmod");
      check(unlink(path), "unlink");
    }
    snprintf(path, sizeof path, "%s/probe", base);
    check(rmdir(path), "rmdir");
  } else if (!strcmp(row, "pulse")) {
    /*
     * Makes, looks up and removes a directory again and again until standard input ends, with short pauses. Prints how
     * long the operations took, in ms: the middle one, the 99.9 percentile and the longest.
     */
    static float took[1 << 22];
    struct pollfd end = {.fd = 0, .events = POLLIN};
    struct timespec pause = {.tv_nsec = 200000};
    int count = 0;
    while (count < (1 << 22) - 3 && poll(&end, 1, 0) == 0) {
      double begun = now(), next;
      snprintf(path, sizeof path, "%s/pulse-%d", base, count);
#define TIMED(call) check(call, #call), next = now(), took[count++] = (next - begun) / 1000, begun = next
      TIMED(mkdir(path, 0755));
      TIMED(stat(path, &st));
      TIMED(rmdir(path));
      nanosleep(&pause, 0);
    }
    qsort(took, count, sizeof *took, by_size);
    if (count > 0) printf("%.3f %.3f %.3f\n", took[count / 2], took[(int)(count * 0.999)], took[count - 1]);
    return 0;
  } else if (!strcmp(row, "stream") || !strcmp(row, "timeline") || !strcmp(row, "sparse")) {
    /*
     * Makes, changes, renames and removes a file again and again, for DATA_MIB milliseconds, in a directory of its own, which
     * FILES numbers. "stream" prints the µs of an operation, the number of operations and the µs of processor time of one.
     * "timeline" prints the µs of an operation in every 10 ms. "sparse" rests for 10 ms after each one.
     */
    double end = start + mib * 1000, slice = start;
    struct timespec rest = {.tv_nsec = 10000000};
    double busy = 0;
    long before = operations = 0;
    snprintf(other, sizeof other, "%s/stream%d", base, files);
    if (mkdir(other, 0755) < 0 && errno != EEXIST) check(-1, "mkdir");
    for (double begun = now(); begun < end;) {
      snprintf(path, sizeof path, "%s/stream%d/a", base, files);
      snprintf(other, sizeof other, "%s/stream%d/b", base, files);
      check(mknod(path, S_IFREG | 0644, 0), "mknod");
      check(chmod(path, 0600), "chmod");
      check(rename(path, other), "rename");
      if (stat(path, &st) == 0) return 1;
      check(unlink(other), "unlink");
      operations += 5;
      double over = now();
      busy += over - begun;
      if (*row == 't' && over - slice > 10000) {
        printf("%.1f ", (over - slice) / (operations - before));
        before = operations;
        slice = over;
      }
      if (!strcmp(row, "sparse")) nanosleep(&rest, 0);
      begun = now();
    }
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    if (*row == 't') return puts("") == EOF;
    printf("%.3f %ld %.3f\n", busy / operations, operations, (used.tv_sec * 1e6 + used.tv_nsec / 1e3) / operations);
    return 0;
  } else if (!strcmp(row, "crowd")) {
    /* FILES entries in one directory. */
    EACH {
      snprintf(path, sizeof path, "%s/crowd/%d", base, n);
      if (n == 0) check(mkdir(dirname_of(path), 0755), "mkdir");
      check(mknod(path, S_IFREG | 0644, 0), "mknod");
    }
  } else if (!strcmp(row, "crowd-list")) {
    snprintf(path, sizeof path, "%s/crowd", base);
    DIR *dir = opendir(path);
    check(dir ? 0 : -1, "opendir");
    operations = 0;
    while (readdir(dir)) operations++;
    closedir(dir);
  } else if (!strcmp(row, "crowd-unlink")) {
    EACH {
      snprintf(path, sizeof path, "%s/crowd/%d", base, n);
      check(unlink(path), "unlink");
    }
  } else if (!strcmp(row, "write-data")) {
    snprintf(path, sizeof path, "%s/data", base);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    check(fd, "open");
    for (long n = 0; n < mib * 8; n++) check(write(fd, block, 1 << 17), "write");
    check(close(fd), "close");
  } else if (!strcmp(row, "rewrite-data")) {
    snprintf(path, sizeof path, "%s/data", base);
    int fd = open(path, O_WRONLY);
    check(fd, "open");
    for (long n = 0; n < mib * 8; n++) check(write(fd, block, 1 << 17), "write");
    check(close(fd), "close");
  } else if (!strcmp(row, "read-data")) {
    snprintf(path, sizeof path, "%s/data", base);
    int fd = open(path, O_RDONLY);
    check(fd, "open");
    for (long n = 0; n < mib * 8; n++) check(read(fd, block, 1 << 17), "read");
    check(close(fd), "close");
  } else if (!strcmp(row, "random-write")) {
    snprintf(path, sizeof path, "%s/data", base);
    int fd = open(path, O_WRONLY);
    check(fd, "open");
    unsigned long long seed = 42;
    operations = 5000;
    for (long n = 0; n < operations; n++) {
      seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
      check(pwrite(fd, block, 4096, (off_t)((seed >> 33) % (mib * 256)) * 4096), "pwrite");
    }
    check(close(fd), "close");
  } else {
    fprintf(stderr, "no row %s\n", row);
    return 2;
  }
  double took = now() - start;
  if (strstr(row, "-data")) printf("%.1f\n", mib * 1048576.0 / took);
  else printf("%.3f\n", took / operations);
  return 0;
}
