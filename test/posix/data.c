/*
 * Random operations on one file, compared with a model of it in memory: data PATH SEED COUNT LARGEST MODE.
 *
 * MODE is any of: d - with O_DIRECT; r - closing and opening again from time to time; m - mostly through mappings; t -
 * two handles, used in turn; u - the file has no name. It ends at the first byte that differs, and prints the preceding
 * operations.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t state;
static const char *path;
static off_t largest;
static char *model, *buffer;
static off_t size;
static int fds[2];
static int handle, direct, reopens, maps, two, unnamed;
static long step;
static char history[64][160];

static uint32_t dice(uint32_t below) {
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (uint32_t)(state >> 33) % below;
}

static void note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(history[step % 64], sizeof history[0], format, arguments);
  va_end(arguments);
}

static void fail(const char *format, ...) {
  va_list arguments;
  for (long at = step < 40 ? 0 : step - 40; at <= step; at++) printf("%ld: %s\n", at, history[at % 64]);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf("\n");
  exit(1);
}

static void check(int good, const char *what) {
  if (!good) fail("%s: %s", what, strerrorname_np(errno));
}

static int openIt(void) {
  int fd = open(path, O_RDWR | (direct && dice(2) ? O_DIRECT : 0));
  check(fd >= 0, "open");
  return fd;
}

static int fd(void) {
  if (two) handle = !handle;
  return fds[handle];
}

static void compare(const char *got, off_t from, off_t length, const char *how) {
  for (off_t i = 0; i < length; i++)
    if (got[i] != model[from + i])
      fail("%s: byte %lld is %02x and should be %02x (size %lld)", how, (long long)(from + i), (unsigned char)got[i],
           (unsigned char)model[from + i], (long long)size);
}

static void checkSize(void) {
  struct stat st;
  check(fstat(fd(), &st) == 0, "fstat");
  if (st.st_size != size) fail("the size is %lld and should be %lld", (long long)st.st_size, (long long)size);
}

/* An offset and a length within the largest size, preferably near the end of the file and at page boundaries. */
static off_t offset(void) {
  off_t at = dice(4) == 0 ? size - dice(300) : dice(3) == 0 ? (off_t)dice((uint32_t)(largest / 4096)) * 4096 : dice((uint32_t)largest);
  return at < 0 ? 0 : at >= largest ? largest - 1 : at;
}

static off_t lengthFrom(off_t at) {
  off_t length = dice(3) == 0 ? dice(100) + 1 : dice(3) == 0 ? 4096 : dice((uint32_t)(largest / 4)) + 1;
  return at + length > largest ? largest - at : length;
}

static void fill(char *to, off_t length) {
  char mark = (char)('a' + step % 26);
  for (off_t i = 0; i < length; i++) to[i] = (char)(mark + i % 13);
}

static void grown(off_t end) {
  if (end > size) size = end;
}

static void doRead(void) {
  off_t at = offset(), length = lengthFrom(at);
  note("read %lld %lld", (long long)at, (long long)length);
  ssize_t got = pread(fd(), buffer, (size_t)length, at);
  off_t wanted = at >= size ? 0 : at + length > size ? size - at : length;
  check(got >= 0, "pread");
  if (got != wanted) fail("a read of %lld at %lld gave %zd", (long long)length, (long long)at, got);
  compare(buffer, at, got, "read");
}

static void doWrite(void) {
  off_t at = offset(), length = lengthFrom(at);
  note("write %lld %lld", (long long)at, (long long)length);
  fill(buffer, length);
  ssize_t put = pwrite(fd(), buffer, (size_t)length, at);
  check(put == length, "pwrite");
  memcpy(model + at, buffer, (size_t)length);
  grown(at + length);
}

static void doTruncate(void) {
  off_t to = dice(3) == 0 ? offset() : dice((uint32_t)(size + 5000 > largest ? largest : size + 5000));
  note("truncate %lld", (long long)to);
  check(unnamed || dice(2) ? ftruncate(fd(), to) == 0 : truncate(path, to) == 0, "truncate");
  if (to < size) memset(model + to, 0, (size_t)(size - to));
  size = to;
}

static void doMapping(void) {
  off_t at = offset() / 4096 * 4096, length = lengthFrom(at);
  if (at >= size) return note("no mapping");
  if (at + length > size) length = size - at;
  char *where = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_SHARED, fd(), at);
  /* Not every kernel maps a file that is open for direct I/O. */
  if (where == MAP_FAILED && direct && errno == ENODEV) return note("no mapping of O_DIRECT");
  check(where != MAP_FAILED, "mmap");
  if (dice(2)) {
    note("map and read %lld %lld", (long long)at, (long long)length);
    compare(where, at, length, "mapping");
  } else {
    off_t skip = dice((uint32_t)length), part = length - skip;
    note("map and write %lld %lld", (long long)(at + skip), (long long)part);
    fill(where + skip, part);
    memcpy(model + at + skip, where + skip, (size_t)part);
    if (dice(4) == 0) check(msync(where, (size_t)length, MS_SYNC) == 0, "msync");
  }
  check(munmap(where, (size_t)length) == 0, "munmap");
}

static void doPunch(void) {
  off_t at = offset(), length = lengthFrom(at);
  note("punch %lld %lld", (long long)at, (long long)length);
  check(fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length) == 0, "punch");
  memset(model + at, 0, (size_t)length);
}

static void doAllocate(void) {
  off_t at = offset(), length = lengthFrom(at);
  int keep = (int)dice(2);
  note("allocate%s %lld %lld", keep ? " keeping the size" : "", (long long)at, (long long)length);
  check(fallocate(fd(), keep ? FALLOC_FL_KEEP_SIZE : 0, at, length) == 0, "fallocate");
  if (!keep) grown(at + length);
}

static void doCopy(void) {
  off_t from = offset(), to = offset(), length = lengthFrom(from > to ? from : to);
  if (from >= size || (from < to + length && to < from + length)) return note("no copy");
  if (from + length > size) length = size - from;
  note("copy %lld to %lld %lld", (long long)from, (long long)to, (long long)length);
  loff_t in = from, out = to;
  ssize_t done = copy_file_range(fd(), &in, fd(), &out, (size_t)length, 0);
  check(done > 0, "copy_file_range");
  memcpy(model + to, model + from, (size_t)done);
  grown(to + done);
}

static void doSeek(void) {
  off_t at = size == 0 ? 0 : dice((uint32_t)size);
  note("seek from %lld", (long long)at);
  off_t data = lseek(fd(), at, SEEK_DATA);
  if (data < 0) check(errno == ENXIO, "SEEK_DATA"), data = size;
  for (off_t i = at; i < data; i++) if (model[i] != 0) fail("byte %lld is in no hole", (long long)i);
}

static void doReopen(void) {
  note("close and open");
  check(close(fds[handle]) == 0, "close");
  fds[handle] = openIt();
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "data PATH SEED COUNT LARGEST MODE\n"), 2;
  path = argv[1];
  state = strtoull(argv[2], NULL, 10) * 2654435761u + 1;
  long count = atol(argv[3]);
  largest = atoll(argv[4]);
  for (const char *mode = argv[5]; *mode != 0; mode++) {
    direct |= *mode == 'd', reopens |= *mode == 'r', maps |= *mode == 'm', two |= *mode == 't', unnamed |= *mode == 'u';
  }
  model = calloc(1, (size_t)largest + 1);
  check(posix_memalign((void **)&buffer, 4096, (size_t)largest + 4096) == 0, "memory");
  int made = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
  check(made >= 0, "create");
  fds[0] = unnamed ? made : openIt();
  fds[1] = unnamed ? open(path, O_RDWR) : openIt();
  unnamed ? (void)unlink(path) : (void)close(made);
  for (; step < count; step++) {
    uint32_t what = dice(100);
    if (maps && dice(2)) doMapping();
    else if (what < 25) doRead();
    else if (what < 50) doWrite();
    else if (what < 60) doTruncate();
    else if (what < 72) doMapping();
    else if (what < 80) doPunch();
    else if (what < 84) doAllocate();
    else if (what < 92) doCopy();
    else if (what < 96) doSeek();
    else if (what < 98 || !reopens || unnamed) note("fsync"), check(fsync(fd()) == 0, "fsync");
    else doReopen();
    if (step % 8 == 0) checkSize();
  }
  /* Finally checks the whole file, through a handle that was not used before. */
  int last = unnamed ? fds[0] : open(path, O_RDONLY);
  note("the whole file");
  check(pread(last, buffer, (size_t)largest, 0) == size, "the last read");
  compare(buffer, 0, size, "the last read");
  if (!unnamed) unlink(path);
  return 0;
}
