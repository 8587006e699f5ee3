#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "../posix/posix.h"

namespace holdfast {

int OpenUnnamedFile(int directory, uint32_t mode) {
  return RetryOnInterrupt(
      [&] { return openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode); });
}

int LinkUnnamedFile(int file, int directory, const char* name) {
  // Through /proc, as open(2) shows: AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH.
  char path[32];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
  return RetryOnInterrupt(
      [&] { return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW); });
}

int RenameWithoutReplacing(int directory, const char* from, const char* to) {
  // The system call itself: glibc has its wrapper only from 2.28 on.
  return static_cast<int>(RetryOnInterrupt(
      [&] { return syscall(SYS_renameat2, directory, from, directory, to, RENAME_NOREPLACE); }));
}

}  // namespace holdfast
