// Replaces files atomically: replace <plain|same> <none|file|full> <directory> <size> <milliseconds or 0> <count or 0>
//                                    [threads one|many]
//
// With threads: so many replaces, of one file or of as many files, shared out among them.
#include <pthread.h>
#include <stdatomic.h>

#include "common.h"

#define PIECE (512 * 1024)

static int as_holdfast;
static int durability;  // 0 none, 1 the file, 2 its directory too
static const char* directory;
static char* contents;
static size_t size;
static int many;
static atomic_int next;
static int total;

static void WriteAll(int file) {
  // In pieces, as holdfast does: one huge write stalls now and then.
  for (size_t at = 0; at < size;) {
    const size_t piece = size - at < PIECE ? size - at : PIECE;
    at += (size_t)Must((int)pwrite(file, contents + at, piece, (off_t)at), "pwrite");
  }
}

static void ReplacePlainly(const char* name, int number) {
  char temporary[PATH_MAX];
  char path[PATH_MAX];
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  snprintf(temporary, sizeof(temporary), "%s/.%s.%d.tmp", directory, name, number);
  const int file =
      Must(open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), "open");
  WriteAll(file);
  if (durability > 0) Must(fsync(file), "fsync");
  close(file);
  Must(rename(temporary, path), "rename");
  if (durability < 2) return;
  const int parent = Must(open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open");
  Must(fsync(parent), "fsync");
  close(parent);
}

// By the very system calls that holdfast makes for a target that exists.
static void ReplaceAsHoldfast(const char* name, int number) {
  char temporary[64];
  char undo[96];
  char link[32];
  struct stat status;
  struct statx extended;
  const int parent = Must(open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC), "open");
  Must(fstat(parent, &status), "fstat");
  Must(fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW), "fstatat");
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  (void)openat(parent, ".holdfast-00000000000000000000000000000000.undo", flags);
  snprintf(undo, sizeof(undo), ".holdfast-0-%llu.undo", (unsigned long long)status.st_ino);
  (void)openat(parent, undo, flags);
  Must((int)syscall(SYS_statx, parent, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE,
                    &extended),
       "statx");
  const int file = Must(openat(parent, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600), "open");
  Must(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, (off_t)size), "fallocate");
  WriteAll(file);
  Must(fstat(file, &status), "fstat");
  const struct timespec times[2] = {{0, UTIME_OMIT}, status.st_mtim};
  Must(futimens(file, times), "futimens");
  Must(fchmod(file, 0600), "fchmod");
  if (durability > 0) Must(durability == 1 ? fdatasync(file) : fsync(file), "fsync");
  Must(flock(file, LOCK_EX | LOCK_NB), "flock");
  snprintf(temporary, sizeof(temporary), ".holdfast-%d.tmp", number);
  snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
  Must(linkat(AT_FDCWD, link, parent, temporary, AT_SYMLINK_FOLLOW), "linkat");
  Must(renameat(parent, temporary, parent, name), "renameat");
  Must(fstat(file, &status), "fstat");
  Must(fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW), "fstatat");
  if (durability == 2) {
    const int readable = Must(openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open");
    Must(fsync(readable), "fsync");
    close(readable);
  }
  close(file);
  close(parent);
}

static void Replace(const char* name, int number) {
  if (as_holdfast) {
    ReplaceAsHoldfast(name, number);
  } else {
    ReplacePlainly(name, number);
  }
}

static void* ReplaceSome(void* unused) {
  for (int number; (number = atomic_fetch_add(&next, 1)) < total;) {
    char name[32];
    snprintf(name, sizeof(name), "target-%d", many ? number : 0);
    Replace(name, number);
  }
  return unused;
}

static int64_t ReplaceInThreads(int threads) {
  pthread_t thread[64];
  const int64_t start = Now();
  for (int at = 0; at < threads; at++)
    Must(-pthread_create(&thread[at], NULL, ReplaceSome, NULL), "thread");
  for (int at = 0; at < threads; at++) pthread_join(thread[at], NULL);
  return Now() - start;
}

int main(int count, char** arguments) {
  if (count < 7) return 2;
  as_holdfast = strcmp(arguments[1], "same") == 0;
  durability = strcmp(arguments[2], "none") == 0 ? 0 : strcmp(arguments[2], "file") == 0 ? 1 : 2;
  directory = arguments[3];
  size = (size_t)atoll(arguments[4]);
  const int64_t span = atoll(arguments[5]) * 1000000;
  total = atoi(arguments[6]);
  contents = malloc(size);
  memset(contents, 'c', size);

  int64_t done = 0;
  int64_t elapsed = 0;
  int64_t longest = 0;
  if (count > 8) {
    many = strcmp(arguments[8], "many") == 0;
    elapsed = ReplaceInThreads(atoi(arguments[7]));
    done = total;
  } else {
    const int64_t start = Now();
    while (span > 0 ? elapsed < span : done < total) {
      const int64_t before = elapsed;
      Replace("target-0", (int)done);
      done++;
      elapsed = Now() - start;
      if (elapsed - before > longest) longest = elapsed - before;
    }
  }
  printf("{\"count\": %lld, \"nanoseconds\": %lld, \"longest\": %lld}\n", (long long)done,
         (long long)elapsed, (long long)longest);
  free(contents);
  return 0;
}
