// Owns the work on a file system that shells cannot do, or not as sharply: random I/O against a copy in memory, files that are
// renamed or removed while they are open, a file system that is full, and a listing of a tree with everything about it that
// a server must keep. What it prints is the same on every correct file system, so that outputs can be compared. It
// knows nothing of servers.
//
// filework tree DIRECTORY FILES SEED     makes files, with directories and symbolic links between them
// filework list DIRECTORY                all of a tree, sorted: kind, mode, owner, size, links, time, hash of content or target
// filework random FILE BYTES OPERATIONS SEED
// filework open DIRECTORY
// filework full DIRECTORY                fills the file system that it is on
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PER_DIRECTORY   100
#define SMALL_BYTES_MAX 2000
#define SPAN_BYTES_MAX  65536
#define DIRECT_BYTES    4096
#define FULL_CHUNK      65536
/** Of a file system that cannot be filled in a test. */
#define FULL_BYTES_MAX (256l << 20)
/** Times that were set; those that came by themselves are later, and are listed as 0. */
#define EPOCH     1700000000
#define EPOCH_END (EPOCH + 1000000)

static _Noreturn void fail(const char *format, ...) {
  int number = errno;
  va_list arguments;
  va_start(arguments, format);
  fputs("filework: ", stderr);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, " (last error: %s)\n", strerror(number));
  exit(1);
}

#define must(condition, ...)                                                                                 \
  do {                                                                                                       \
    if (!(condition))                                                                                        \
      fail(__VA_ARGS__);                                                                                     \
  } while (0)

static uint64_t random_state;

// xorshift64*: https://doi.org/10.1145/2845077
static uint64_t draw(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return random_state * 0x2545f4914f6cdd1dull;
}

static size_t below(size_t limit) {
  return (size_t)(draw() >> 11) % limit;
}

static void fill(uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i += 8) {
    uint64_t word = draw();
    memcpy(bytes + i, &word, length - i < 8 ? length - i : 8);
  }
}

static uint64_t hash(uint64_t so_far, const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++)
    so_far = (so_far ^ bytes[i]) * 0x100000001b3ull;
  return so_far;
}

#define HASH_OF_NOTHING 0xcbf29ce484222325ull

static char *path_of(const char *directory, const char *name) {
  char *path;
  must(asprintf(&path, "%s/%s", directory, name) > 0, "no memory");
  return path;
}

static void write_whole(const char *path, const uint8_t *bytes, size_t length, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
  must(fd >= 0, "creating %s", path);
  must(write(fd, bytes, length) == (ssize_t)length, "writing %s", path);
  must(close(fd) == 0, "closing %s", path);
}

// --- tree ---

static void make_tree(const char *root, size_t files) {
  static uint8_t bytes[SMALL_BYTES_MAX];
  static const mode_t modes[] = {0644, 0600, 0755, 0640, 0444};
  char *directory = NULL;
  umask(0);
  must(mkdir(root, 0755) == 0 || errno == EEXIST, "making %s", root);
  for (size_t i = 0; i < files; i++) {
    char name[32];
    if (i % PER_DIRECTORY == 0) {
      snprintf(name, sizeof name, "d%03zu", i / PER_DIRECTORY);
      free(directory);
      directory = path_of(root, name);
      must(mkdir(directory, 0755) == 0, "making %s", directory);
    }
    snprintf(name, sizeof name, "f%05zu", i);
    char *path = path_of(directory, name);
    if (i % 50 == 49) {
      must(symlink("f00000 that is not there", path) == 0, "linking %s", path);
    } else {
      size_t length = below(SMALL_BYTES_MAX);
      fill(bytes, length);
      write_whole(path, bytes, length, modes[i % (sizeof modes / sizeof *modes)]);
    }
    struct timespec times[2] = {{.tv_sec = EPOCH + (time_t)i}, {.tv_sec = EPOCH + (time_t)i}};
    must(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0, "dating %s", path);
    free(path);
  }
  free(directory);
}

// --- list ---

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *entry) {
  return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static uint64_t hash_file(const char *path, off_t size) {
  static uint8_t bytes[SPAN_BYTES_MAX];
  uint64_t sum = HASH_OF_NOTHING;
  off_t read_bytes = 0;
  ssize_t got;
  int fd = open(path, O_RDONLY);
  must(fd >= 0, "opening %s", path);
  while ((got = read(fd, bytes, sizeof bytes)) > 0) {
    sum = hash(sum, bytes, (size_t)got);
    read_bytes += got;
  }
  must(got == 0 && read_bytes == size, "reading %s: %ld of %ld bytes", path, (long)read_bytes, (long)size);
  close(fd);
  return sum;
}

// Sizes and link counts of directories, and their times, are the file system's own affair.
static void list_entry(const char *path, const char *shown) {
  struct stat stat;
  must(lstat(path, &stat) == 0, "looking at %s", path);
  const char *kind = S_ISDIR(stat.st_mode)   ? "d"
                     : S_ISLNK(stat.st_mode) ? "l"
                     : S_ISREG(stat.st_mode) ? "f"
                                             : "?";
  printf("%s %s %o %u:%u", shown, kind, stat.st_mode & 07777, stat.st_uid, stat.st_gid);
  if (S_ISREG(stat.st_mode)) {
    int is_kept = stat.st_mtim.tv_sec < EPOCH_END;
    printf(" %ld %lu %ld %016lx\n", (long)stat.st_size, (unsigned long)stat.st_nlink,
           is_kept ? (long)stat.st_mtim.tv_sec : 0, hash_file(path, stat.st_size));
    return;
  }
  if (S_ISLNK(stat.st_mode)) {
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target - 1);
    must(length >= 0, "reading the link %s", path);
    target[length] = 0;
    printf(" -> %s", target);
  }
  printf("\n");
}

static void list_tree(const char *root, const char *shown) {
  struct dirent **entries;
  int count = scandir(root, &entries, not_dots, by_name);
  must(count >= 0, "listing %s", root);
  for (int i = 0; i < count; i++) {
    char *path = path_of(root, entries[i]->d_name);
    char *name = *shown ? path_of(shown, entries[i]->d_name) : strdup(entries[i]->d_name);
    struct stat stat;
    list_entry(path, name);
    if (lstat(path, &stat) == 0 && S_ISDIR(stat.st_mode))
      list_tree(path, name);
    free(path);
    free(name);
    free(entries[i]);
  }
  free(entries);
}

// --- random ---

struct file {
  const char *path;
  int fd;
  uint8_t *model; // what it must hold
  size_t size, capacity;
};

static void random_write(struct file *file, uint8_t *bytes) {
  size_t offset = below(file->capacity), length = 1 + below(SPAN_BYTES_MAX);
  if (length > file->capacity - offset)
    length = file->capacity - offset;
  fill(bytes, length);
  must(pwrite(file->fd, bytes, length, (off_t)offset) == (ssize_t)length, "writing %zu at %zu", length,
       offset);
  memcpy(file->model + offset, bytes, length);
  if (offset + length > file->size)
    file->size = offset + length;
}

static void random_read(struct file *file, uint8_t *bytes) {
  size_t offset = below(file->capacity), length = 1 + below(SPAN_BYTES_MAX);
  size_t there = offset >= file->size ? 0 : file->size - offset < length ? file->size - offset : length;
  ssize_t got = pread(file->fd, bytes, length, (off_t)offset);
  must(got == (ssize_t)there, "read %zd at %zu, not %zu", got, offset, there);
  must(memcmp(bytes, file->model + offset, there) == 0, "other bytes at %zu than were written", offset);
}

static void resize(struct file *file) {
  size_t size = file->capacity / 2 + below(file->capacity / 2);
  must(ftruncate(file->fd, (off_t)size) == 0, "resizing to %zu", size);
  if (size < file->size)
    memset(file->model + size, 0, file->size - size);
  file->size = size;
}

// Close-to-open: what is closed has reached the server, and an open asks for what is there.
static void reopen(struct file *file) {
  struct stat stat;
  must(close(file->fd) == 0, "closing");
  file->fd = open(file->path, O_RDWR);
  must(file->fd >= 0 && fstat(file->fd, &stat) == 0, "opening again");
  must((size_t)stat.st_size == file->size, "it has %ld bytes, not %zu", (long)stat.st_size, file->size);
}

static void write_mapped(struct file *file) {
  size_t pages = file->size / DIRECT_BYTES;
  if (pages == 0)
    return;
  size_t offset = below(pages) * DIRECT_BYTES;
  uint8_t *page = mmap(NULL, DIRECT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, (off_t)offset);
  must(page != MAP_FAILED, "mapping at %zu", offset);
  must(memcmp(page, file->model + offset, DIRECT_BYTES) == 0, "other bytes mapped at %zu than were written",
       offset);
  fill(page, DIRECT_BYTES);
  memcpy(file->model + offset, page, DIRECT_BYTES);
  must(msync(page, DIRECT_BYTES, MS_SYNC) == 0 && munmap(page, DIRECT_BYTES) == 0, "writing the map back");
}

// Around the cache: straight to the server and back.
static void verify_direct(struct file *file) {
  uint8_t *block;
  must(posix_memalign((void **)&block, DIRECT_BYTES, SPAN_BYTES_MAX) == 0, "no memory");
  int fd = open(file->path, O_RDONLY | O_DIRECT);
  // A tmpfs of that age has no O_DIRECT.
  if (fd < 0 && errno == EINVAL)
    fd = open(file->path, O_RDONLY);
  must(fd >= 0, "opening it directly");
  for (size_t offset = 0; offset < file->size; offset += SPAN_BYTES_MAX) {
    size_t there = file->size - offset < SPAN_BYTES_MAX ? file->size - offset : SPAN_BYTES_MAX;
    ssize_t got = pread(fd, block, SPAN_BYTES_MAX, (off_t)offset);
    must(got == (ssize_t)there, "read %zd directly at %zu, not %zu", got, offset, there);
    must(memcmp(block, file->model + offset, there) == 0, "other bytes directly at %zu than were written",
         offset);
  }
  close(fd);
  free(block);
}

static void work_randomly(const char *path, size_t bytes, size_t operations) {
  uint8_t *span = malloc(SPAN_BYTES_MAX);
  struct file file = {.path = path, .model = calloc(1, bytes), .capacity = bytes};
  file.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  must(span != NULL && file.model != NULL && file.fd >= 0, "opening %s", path);
  for (size_t i = 0; i < operations; i++) {
    size_t chosen = below(100);
    if (chosen < 45)
      random_write(&file, span);
    else if (chosen < 90)
      random_read(&file, span);
    else if (chosen < 93)
      resize(&file);
    else if (chosen < 96)
      reopen(&file);
    else if (chosen < 98)
      write_mapped(&file);
    else
      must(fsync(file.fd) == 0, "fsync");
  }
  reopen(&file);
  verify_direct(&file);
  printf("%zu bytes %016lx\n", file.size, hash(HASH_OF_NOTHING, file.model, file.size));
  must(close(file.fd) == 0, "closing");
}

// --- open ---

static void say_open(const char *what, int fd) {
  char text[64] = "";
  struct stat stat;
  ssize_t got = pread(fd, text, sizeof text - 1, 0);
  must(got >= 0 && fstat(fd, &stat) == 0, "%s: reading through the open file", what);
  printf("%s: %ld bytes, \"%s\"\n", what, (long)stat.st_size, text);
}

static void say_path(const char *what, const char *path) {
  struct stat stat;
  int failed = lstat(path, &stat) != 0;
  printf("%s: %s\n", what, !failed ? "is there" : errno == ENOENT ? "is gone" : strerror(errno));
}

static int write_text(const char *path, const char *text) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "writing %s", path);
  return fd;
}

// A v3 client renames an open file that is removed, and removes it when it is closed: it must not be left.
static void say_entries(const char *what, const char *directory) {
  struct dirent **entries;
  int count = scandir(directory, &entries, not_dots, by_name);
  must(count >= 0, "listing %s", directory);
  printf("%s:", what);
  for (int i = 0; i < count; i++)
    printf(" %s", entries[i]->d_name);
  printf("\n");
}

static void work_on_open_files(const char *root) {
  char *a = path_of(root, "a"), *b = path_of(root, "b"), *sub = path_of(root, "sub"),
       *moved = path_of(root, "moved");
  must(mkdir(root, 0755) == 0, "making %s", root);

  int fd = write_text(a, "removed while open");
  must(unlink(a) == 0, "removing %s", a);
  say_path("removed", a);
  must(pwrite(fd, "REMOVED", 7, 0) == 7 && fsync(fd) == 0, "writing to what was removed");
  say_open("removed, by its descriptor", fd);
  int again = write_text(a, "a second one of that name");
  say_open("the name again", again);
  say_open("the first one still", fd);
  must(close(fd) == 0 && close(again) == 0, "closing");
  say_entries("after the last close", root);

  fd = write_text(a, "renamed while open");
  must(rename(a, b) == 0, "renaming");
  must(pwrite(fd, "RENAMED", 7, 0) == 7, "writing to what was renamed");
  say_open("renamed, by its descriptor", fd);
  int over = write_text(a, "took its place");
  must(fsync(fd) == 0 && rename(a, b) == 0, "renaming over an open file");
  say_open("replaced, by its descriptor", fd);
  int fresh = open(b, O_RDONLY);
  must(fresh >= 0, "opening what replaced it");
  say_open("what replaced it", fresh);
  must(close(fd) == 0 && close(over) == 0 && close(fresh) == 0, "closing");
  say_entries("after the last close", root);

  char *inside = path_of(sub, "file"), *inside_moved = path_of(moved, "file");
  must(mkdir(sub, 0755) == 0, "making %s", sub);
  fd = write_text(inside, "its directory moves");
  must(rename(sub, moved) == 0, "renaming a directory with an open file");
  say_path("by the old path", inside);
  say_path("by the new path", inside_moved);
  must(pwrite(fd, "ITS", 3, 0) == 3 && fsync(fd) == 0, "writing in a directory that moved");
  say_open("in a directory that moved", fd);
  must(rename(moved, b) != 0, "a directory replaced a file");
  printf("a directory over a file: %s\n", strerror(errno));
  must(rmdir(moved) != 0, "a full directory was removed");
  printf("removing a directory with a file: %s\n", errno == EEXIST ? strerror(ENOTEMPTY) : strerror(errno));
  must(close(fd) == 0 && unlink(inside_moved) == 0 && rmdir(moved) == 0, "removing the directory");

  must(link(b, a) == 0, "linking");
  struct stat stat;
  must(lstat(a, &stat) == 0, "looking at a link");
  printf("links: %lu\n", (unsigned long)stat.st_nlink);
  must(rename(a, b) == 0, "renaming a file over itself");
  say_entries("a rename between two links of one file does nothing", root);
  must(unlink(a) == 0 && unlink(b) == 0 && rmdir(root) == 0, "removing the rest");
}

// --- full ---

// A client writes behind: the error may come with any of write, fsync and close, but it must come.
static int fill_until_refused(const char *path, long *written) {
  static uint8_t chunk[FULL_CHUNK];
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), refused = 0;
  must(fd >= 0, "creating %s", path);
  *written = 0;
  fill(chunk, sizeof chunk);
  while (refused == 0 && *written < FULL_BYTES_MAX) {
    ssize_t put = write(fd, chunk, sizeof chunk);
    if (put < 0)
      refused = errno;
    else
      *written += put;
  }
  if (fsync(fd) != 0 && refused == 0)
    refused = errno;
  if (close(fd) != 0 && refused == 0)
    refused = errno;
  return refused;
}

static void work_when_full(const char *root) {
  char *before = path_of(root, "before"), *big = path_of(root, "big"), *small = path_of(root, "small");
  static uint8_t bytes[FULL_CHUNK];
  long written;
  must(mkdir(root, 0755) == 0, "making %s", root);
  fill(bytes, sizeof bytes);
  write_whole(before, bytes, sizeof bytes, 0644);
  uint64_t sum = hash_file(before, sizeof bytes);
  int refused = fill_until_refused(big, &written);
  printf("filling it: %s\n", refused ? strerror(refused) : "nothing was refused");
  struct stat stat;
  // Of the write that was refused a client may have sent all the same: the error was that of data before it.
  must(lstat(big, &stat) == 0 && stat.st_size <= written + FULL_CHUNK, "it has %ld bytes of %ld",
       (long)stat.st_size, written);
  int fd = open(small, O_WRONLY | O_CREAT, 0644);
  refused = fd < 0 ? errno : 0;
  if (fd >= 0) {
    refused = write(fd, bytes, sizeof bytes) < 0 ? errno : 0;
    if (fsync(fd) != 0 && refused == 0)
      refused = errno;
    if (close(fd) != 0 && refused == 0)
      refused = errno;
  }
  printf("one file more: %s\n", refused ? strerror(refused) : "nothing was refused");
  printf("a file of before: %s\n", hash_file(before, sizeof bytes) == sum ? "is whole" : "is damaged");
  must(unlink(big) == 0 && (unlink(small) == 0 || errno == ENOENT), "removing what fills it");
  fd = open(small, O_WRONLY | O_CREAT | O_EXCL, 0644);
  must(fd >= 0, "creating a file once there is room");
  must(write(fd, bytes, sizeof bytes) == sizeof bytes && fsync(fd) == 0 && close(fd) == 0,
       "writing once there is room");
  printf("with room again: %s\n", hash_file(small, sizeof bytes) == sum ? "is whole" : "is damaged");
  must(unlink(small) == 0 && unlink(before) == 0 && rmdir(root) == 0, "removing the rest");
}

static size_t number(const char *text) {
  return strtoul(text, NULL, 10);
}

int main(int count, char **arguments) {
  const char *command = count > 2 ? arguments[1] : "";
  random_state = 0x9e3779b97f4a7c15ull;
  if (strcmp(command, "tree") == 0 && count == 5) {
    random_state += number(arguments[4]);
    make_tree(arguments[2], number(arguments[3]));
  } else if (strcmp(command, "list") == 0 && count == 3) {
    list_tree(arguments[2], "");
  } else if (strcmp(command, "random") == 0 && count == 6) {
    random_state += number(arguments[5]);
    work_randomly(arguments[2], number(arguments[3]), number(arguments[4]));
  } else if (strcmp(command, "open") == 0 && count == 3) {
    work_on_open_files(arguments[2]);
  } else if (strcmp(command, "full") == 0 && count == 3) {
    work_when_full(arguments[2]);
  } else {
    fail("it does not understand this");
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
