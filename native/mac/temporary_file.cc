#include <fcntl.h>
#include <stdio.h>

#include "../posix/posix.h"

namespace holdfast {

int OpenUnnamedFile(int, uint32_t) {
  errno = EOPNOTSUPP;
  return -1;
}

int LinkUnnamedFile(int, int, const char*) {
  errno = EOPNOTSUPP;
  return -1;
}

int RenameWithoutReplacing(int directory, const char* from, const char* to) {
  return RetryOnInterrupt(
      [&] { return renameatx_np(directory, from, directory, to, RENAME_EXCL); });
}

}  // namespace holdfast
