// Taking and releasing a lock in C: plainly, and by the very system calls that holdfast makes.
#ifndef HOLDFAST_BENCH_LOCK_H_
#define HOLDFAST_BENCH_LOCK_H_

#include "common.h"

typedef struct {
  int directory;
  int file;
} Lock;

typedef struct {
  const char* directory;  // of the target
  char target[64];
  char lock_file[80];
  char lock_path[PATH_MAX];
} Place;

static inline Place PlaceOf(const char* directory, const char* name) {
  Place place = {.directory = directory};
  snprintf(place.target, sizeof(place.target), "%s", name);
  // Not the name of holdfast's own, which would find no record of its kind in it.
  snprintf(place.lock_file, sizeof(place.lock_file), ".%s.lock-c", name);
  snprintf(place.lock_path, sizeof(place.lock_path), "%s/%s", directory, place.lock_file);
  return place;
}

// The least that a lock on a sidecar file can be.
static inline Lock LockPlainly(const Place* place) {
  const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
  const Lock lock = {-1, Must(open(place->lock_path, flags, 0600), "open")};
  Must(flock(lock.file, LOCK_EX), "flock");
  return lock;
}

static inline void UnlockPlainly(Lock lock) { close(lock.file); }

// What holdfast does besides: the directory once, a look at the target, checks on the descriptor, the name once more,
// the last record and its own. bench/sections/a-uncontended.mjs compares the calls of both. `granted` is called as soon as
// the kernel has granted the lock.
static inline Lock LockAsHoldfast(const Place* place, void (*granted)(void)) {
  static char record[RECORD_SIZE];
  struct stat status;
  Lock lock;
  lock.directory = Must(open(place->directory, O_PATH | O_DIRECTORY | O_CLOEXEC), "open");
  Must(fstat(lock.directory, &status), "fstat");
  (void)fstatat(lock.directory, place->target, &status, AT_SYMLINK_NOFOLLOW);
  for (;;) {
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    lock.file = openat(lock.directory, place->lock_file, flags);
    if (lock.file >= 0) break;
    close(
        Must(openat(lock.directory, place->lock_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600), "open"));
  }
  Must(fstat(lock.file, &status), "fstat");
  if (flock(lock.file, LOCK_EX | LOCK_NB) != 0) Must(flock(lock.file, LOCK_EX), "flock");
  if (granted != NULL) granted();
  Must(fstatat(lock.directory, place->lock_file, &status, AT_SYMLINK_NOFOLLOW), "fstatat");
  Must((int)pread(lock.file, record, RECORD_SIZE, 0), "pread");
  memset(record, ' ', RECORD_SIZE);
  Must((int)pwrite(lock.file, record, RECORD_SIZE, 0), "pwrite");
  return lock;
}

static inline void UnlockAsHoldfast(Lock lock) {
  static char record[RECORD_SIZE];
  memset(record, '\n', RECORD_SIZE);
  Must((int)pwrite(lock.file, record, RECORD_SIZE, 0), "pwrite");
  Must(flock(lock.file, LOCK_UN), "flock");
  close(lock.file);
  close(lock.directory);
}

static inline Lock TakeLock(const Place* place, int as_holdfast) {
  return as_holdfast ? LockAsHoldfast(place, NULL) : LockPlainly(place);
}

static inline void ReleaseLock(Lock lock, int as_holdfast) {
  if (as_holdfast) {
    UnlockAsHoldfast(lock);
  } else {
    UnlockPlainly(lock);
  }
}

#endif  // HOLDFAST_BENCH_LOCK_H_
