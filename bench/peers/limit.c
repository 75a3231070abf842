/*
 * The least that a FUSE filesystem can do: the limit that the benchmark compares llmfs with. Not a filesystem for use.
 *
 *   limit MOUNTPOINT
 *
 * It is a tree in memory behind one thread that reads a request from /dev/fuse, answers it and reads the next, with the same
 * capabilities, options and cache times as llmfs. Every 32 requests it moves to its caller's processor. It knows no links, no
 * permissions (the kernel checks them), no attributes beyond a mode, no limits, and it never frees an inode. It needs root.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FOREVER 1000000
#define LOOK_EVERY 32
#define BUFFER ((1 << 20) + 8192)
#define SLOTS (1 << 20)

struct node {
  uint64_t number;
  uint32_t mode, uid, gid, links, device;
  struct timespec atime, mtime, ctime;
  char *data;
  size_t size, room;
  struct node *parent, *slot, *first, *after, *before;
  uint64_t cookie;
  char name[256];
};

static struct node *slots[SLOTS], **nodes;
static uint64_t count, capacity, cookies;
static int device;
static char *in, *out;

static struct node *node_of(uint64_t number) { return number < count ? nodes[number] : NULL; }

static struct node **slot_of(struct node *parent, const char *name) {
  uint64_t hash = parent->number * 0x9e3779b97f4a7c15;
  for (const char *at = name; *at; at++) hash = (hash ^ (unsigned char)*at) * 0x100000001b3;
  struct node **slot = &slots[(hash ^ hash >> 32) % SLOTS];
  while (*slot && ((*slot)->parent != parent || strcmp((*slot)->name, name))) slot = &(*slot)->slot;
  return slot;
}

static void stamp(struct timespec *time) { clock_gettime(CLOCK_REALTIME_COARSE, time); }
static void changed(struct node *node) { stamp(&node->mtime), node->ctime = node->mtime; }

/* Puts a node into a directory, newest first. */
static void insert(struct node *parent, struct node *node, const char *name) {
  strcpy(node->name, name);
  node->parent = parent;
  *slot_of(parent, name) = node;
  node->cookie = ++cookies + 2;
  node->before = NULL;
  node->after = parent->first;
  if (parent->first) parent->first->before = node;
  parent->first = node;
  if (S_ISDIR(node->mode)) parent->links++;
  changed(parent);
}

static void take(struct node *node) {
  struct node **slot = slot_of(node->parent, node->name), *parent = node->parent;
  *slot = node->slot;
  node->slot = NULL;
  if (node->before) node->before->after = node->after;
  else parent->first = node->after;
  if (node->after) node->after->before = node->before;
  if (S_ISDIR(node->mode)) parent->links--;
  changed(parent);
  stamp(&node->ctime);
}

static struct node *create(struct node *parent, const char *name, uint32_t mode, uint32_t umask, uint32_t rdev) {
  const struct fuse_in_header *header = (void *)in;
  struct node *node = calloc(1, sizeof *node);
  if (count == capacity) nodes = realloc(nodes, (capacity = capacity ? capacity * 2 : 1024) * sizeof *nodes);
  nodes[node->number = count++] = node;
  node->mode = mode & ~umask;
  node->uid = header->uid;
  node->gid = header->gid;
  node->device = rdev;
  node->links = S_ISDIR(mode) ? 2 : 1;
  changed(node);
  node->atime = node->mtime;
  if (parent) insert(parent, node, name);
  return node;
}

static void resize(struct node *node, size_t size) {
  if (size > node->room) node->data = realloc(node->data, node->room = size > 65536 ? size * 2 : size);
  if (size > node->size) memset(node->data + node->size, 0, size - node->size);
  node->size = size;
}

static void put_attributes(struct fuse_attr *to, const struct node *node) {
  *to = (struct fuse_attr){
      .ino = node->number, .size = S_ISDIR(node->mode) ? 40 : node->size, .blocks = (node->size + 4095) / 4096 * 8,
      .atime = node->atime.tv_sec, .mtime = node->mtime.tv_sec, .ctime = node->ctime.tv_sec,
      .atimensec = node->atime.tv_nsec, .mtimensec = node->mtime.tv_nsec, .ctimensec = node->ctime.tv_nsec,
      .mode = node->mode, .nlink = node->links, .uid = node->uid, .gid = node->gid, .rdev = node->device,
      .blksize = 4096};
}

static void put_entry(struct fuse_entry_out *to, const struct node *node) {
  *to = (struct fuse_entry_out){.nodeid = node ? node->number : 0, .entry_valid = FOREVER, .attr_valid = FOREVER};
  if (node) put_attributes(&to->attr, node);
}

/* Lists a directory: "." and ".." have the cookies 1 and 2, and the others come newest first. */
static size_t list(struct node *directory, const struct fuse_read_in *ask, char *to, int plus) {
  struct node *node = directory->first;
  uint64_t from = ask->offset;
  size_t done = 0;
  while (from > 2 && node && node->cookie >= from) node = node->after;
  for (;;) {
    struct node *entry = from == 0 ? directory : from == 1 ? directory->parent : node;
    const char *name = from == 0 ? "." : from == 1 ? ".." : node ? node->name : "";
    uint64_t cookie = from < 2 ? from + 1 : node ? node->cookie : 0;
    if (!cookie) return done;
    size_t length = strlen(name), head = (plus ? sizeof(struct fuse_entry_out) : 0) + sizeof(struct fuse_dirent);
    size_t whole = (head + length + 7) & ~7ul;
    if (done + whole > ask->size) return done;
    memset(to + done, 0, whole);
    if (plus && from > 1) put_entry((void *)(to + done), entry);
    struct fuse_dirent *dirent = (void *)(to + done + head - sizeof *dirent);
    *dirent = (struct fuse_dirent){.ino = entry->number, .off = cookie, .namelen = length, .type = entry->mode >> 12};
    memcpy(dirent->name, name, length);
    done += whole;
    if (from > 1) node = node->after;
    from = cookie > 2 ? cookie : from + 1;
  }
}

static void set_attributes(struct node *node, const struct fuse_setattr_in *ask) {
  struct timespec now;
  stamp(&now);
  if (ask->valid & FATTR_MODE) node->mode = (node->mode & S_IFMT) | (ask->mode & 07777);
  if (ask->valid & FATTR_UID) node->uid = ask->uid;
  if (ask->valid & FATTR_GID) node->gid = ask->gid;
  if (ask->valid & FATTR_SIZE) resize(node, ask->size), node->mtime = now;
  if (ask->valid & FATTR_ATIME)
    node->atime = ask->valid & FATTR_ATIME_NOW ? now : (struct timespec){ask->atime, ask->atimensec};
  if (ask->valid & FATTR_MTIME)
    node->mtime = ask->valid & FATTR_MTIME_NOW ? now : (struct timespec){ask->mtime, ask->mtimensec};
  node->ctime = now;
}

static int rename_to(struct node *from, const char *name, struct node *to, const char *new_name, uint32_t flags) {
  struct node *moved = *slot_of(from, name), *target = *slot_of(to, new_name);
  if (!moved) return -ENOENT;
  if (flags & ~1u) return -EINVAL;
  if (target && flags) return -EEXIST;
  if (target && S_ISDIR(target->mode) && target->first) return -ENOTEMPTY;
  if (target) take(target), target->links = 0;
  take(moved);
  insert(to, moved, new_name);
  return 0;
}

static int start(const struct fuse_init_in *ask, struct fuse_init_out *reply) {
  uint64_t want = FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_ASYNC_DIO | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
                  FUSE_MAX_PAGES | FUSE_DONT_MASK | FUSE_DO_READDIRPLUS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_POSIX_ACL |
                  FUSE_CACHE_SYMLINKS | FUSE_NO_OPENDIR_SUPPORT | FUSE_EXPLICIT_INVAL_DATA | FUSE_ABORT_ERROR;
  *reply = (struct fuse_init_out){.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
      .max_readahead = ask->max_readahead, .flags = want & ask->flags, .max_background = 64,
      .congestion_threshold = 48, .max_write = 1 << 20, .time_gran = 1, .max_pages = 256};
  return sizeof *reply;
}

/* Returns the length of the reply's body, or a negative errno. */
static int handle(const struct fuse_in_header *header, char *body, char *reply) {
  struct node *node = node_of(header->nodeid), *found;
  struct fuse_entry_out *entry = (void *)reply;
  struct fuse_open_out *open = (void *)reply;
  if (header->opcode == FUSE_INIT) return start((void *)body, (void *)reply);
  if (!node) return header->opcode == FUSE_STATFS ? -ENOSYS : -ESTALE;
  switch (header->opcode) {
    case FUSE_LOOKUP:
      put_entry(entry, *slot_of(node, body));
      return sizeof *entry;
    case FUSE_SETATTR: set_attributes(node, (void *)body); /* fallthrough */
    case FUSE_GETATTR:
      *(struct fuse_attr_out *)reply = (struct fuse_attr_out){.attr_valid = FOREVER};
      put_attributes(&((struct fuse_attr_out *)reply)->attr, node);
      return sizeof(struct fuse_attr_out);
    case FUSE_MKDIR: {
      struct fuse_mkdir_in *ask = (void *)body;
      if (*slot_of(node, (char *)(ask + 1))) return -EEXIST;
      put_entry(entry, create(node, (char *)(ask + 1), S_IFDIR | (ask->mode & 07777), ask->umask, 0));
      return sizeof *entry;
    }
    case FUSE_MKNOD: {
      struct fuse_mknod_in *ask = (void *)body;
      if (*slot_of(node, (char *)(ask + 1))) return -EEXIST;
      put_entry(entry, create(node, (char *)(ask + 1), ask->mode, ask->umask, ask->rdev));
      return sizeof *entry;
    }
    case FUSE_SYMLINK:
      if (*slot_of(node, body)) return -EEXIST;
      found = create(node, body, S_IFLNK | 0777, 0, 0);
      body += strlen(body) + 1;
      resize(found, strlen(body));
      memcpy(found->data, body, found->size);
      put_entry(entry, found);
      return sizeof *entry;
    case FUSE_CREATE: {
      struct fuse_create_in *ask = (void *)body;
      if (*slot_of(node, (char *)(ask + 1))) return -EEXIST;
      put_entry(entry, create(node, (char *)(ask + 1), S_IFREG | (ask->mode & 07777), ask->umask, 0));
      *(struct fuse_open_out *)(entry + 1) = (struct fuse_open_out){.open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH};
      return sizeof *entry + sizeof *open;
    }
    case FUSE_OPEN:
      if (((struct fuse_open_in *)body)->flags & O_TRUNC) resize(node, 0), changed(node);
      *open = (struct fuse_open_out){.open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH};
      return sizeof *open;
    case FUSE_RELEASE: return 0;
    case FUSE_UNLINK:
    case FUSE_RMDIR:
      if (!(found = *slot_of(node, body))) return -ENOENT;
      if (S_ISDIR(found->mode) && found->first) return -ENOTEMPTY;
      take(found);
      found->links = 0;
      free(found->data);
      found->data = NULL, found->size = found->room = 0;
      return 0;
    case FUSE_RENAME: {
      struct fuse_rename_in *ask = (void *)body;
      char *name = (char *)(ask + 1);
      return node_of(ask->newdir) ? rename_to(node, name, node_of(ask->newdir), name + strlen(name) + 1, 0) : -ESTALE;
    }
    case FUSE_RENAME2: {
      struct fuse_rename2_in *ask = (void *)body;
      char *name = (char *)(ask + 1);
      return node_of(ask->newdir) ? rename_to(node, name, node_of(ask->newdir), name + strlen(name) + 1, ask->flags)
                                  : -ESTALE;
    }
    case FUSE_READLINK:
    case FUSE_READ: {
      struct fuse_read_in *ask = (void *)body, all = {.size = 4096};
      if (header->opcode == FUSE_READLINK) ask = &all;
      if (ask->offset >= node->size) return 0;
      size_t length = node->size - ask->offset < ask->size ? node->size - ask->offset : ask->size;
      memcpy(reply, node->data + ask->offset, length);
      return length;
    }
    case FUSE_WRITE: {
      struct fuse_write_in *ask = (void *)body;
      if (ask->offset + ask->size > node->size) resize(node, ask->offset + ask->size);
      memcpy(node->data + ask->offset, ask + 1, ask->size);
      changed(node);
      *(struct fuse_write_out *)reply = (struct fuse_write_out){.size = ask->size};
      return sizeof(struct fuse_write_out);
    }
    case FUSE_READDIR:
    case FUSE_READDIRPLUS: return list(node, (void *)body, reply, header->opcode == FUSE_READDIRPLUS);
    case FUSE_GETXATTR: return -ENODATA;
    case FUSE_LISTXATTR:
      *(struct fuse_getxattr_out *)reply = (struct fuse_getxattr_out){0};
      return ((struct fuse_getxattr_in *)body)->size ? 0 : sizeof(struct fuse_getxattr_out);
    case FUSE_SETXATTR: return -EOPNOTSUPP;
    default: return -ENOSYS;
  }
}

/* The processor on which a thread runs: field 39 of /proc/THREAD/stat. */
static void follow(uint32_t thread) {
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%u/stat", thread);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  ssize_t length = read(file, line, sizeof line - 1);
  close(file);
  line[length > 0 ? length : 0] = 0;
  char *at = strrchr(line, ')');
  for (int field = 2; at && field < 39; field++) at = strchr(at + 1, ' ');
  if (!at) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(atoi(at), &set);
  sched_setaffinity(0, sizeof set, &set);
}

int main(int argc, char **argv) {
  char options[128];
  device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (argc != 2 || device < 0) return 2;
  in = malloc(BUFFER), out = malloc(BUFFER);
  memset(in, 0, BUFFER), memset(out, 0, BUFFER);
  count = capacity = 0;
  create(NULL, "", 0, 0, 0); /* there is no node 0 */
  struct node *root = create(NULL, "", S_IFDIR | 0755, 0, 0);
  root->parent = root;
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device);
  if (mount("limit", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) < 0) return perror("mount"), 1;
  for (unsigned requests = 1;; requests++) {
    ssize_t length = read(device, in, BUFFER);
    if (length < 0 && (errno == EINTR || errno == ENOENT)) continue;
    if (length < 0) return errno != ENODEV;
    in[length] = 0;
    const struct fuse_in_header *header = (void *)in;
    if (header->opcode == FUSE_FORGET || header->opcode == FUSE_BATCH_FORGET || header->opcode == FUSE_INTERRUPT) continue;
    struct fuse_out_header *reply = (void *)out;
    int result = handle(header, in + sizeof *header, out + sizeof *reply);
    *reply = (struct fuse_out_header){.unique = header->unique, .error = result < 0 ? result : 0};
    reply->len = sizeof *reply + (result > 0 ? result : 0);
    if (write(device, out, reply->len) < 0 && errno == ENODEV) return 0;
    if (requests % LOOK_EVERY == 0 && header->pid) follow(header->pid);
  }
}
