#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../posix/posix.h"

namespace holdfast {

namespace {

int OpenRefusingLinks(const char* path, int flags) {
  struct open_how how = {};
  how.flags = static_cast<uint64_t>(flags);
  how.resolve = RESOLVE_NO_SYMLINKS;
  // C libraries have no wrapper for openat2(2).
  return static_cast<int>(
      RetryOnInterrupt([&] { return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)); }));
}

}  // namespace

Error OpenDirectory(const std::string& path, ParentPolicy parents, Directory* directory) {
  // O_PATH: needs the right to search the directory, not the right to list it.
  const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  Handle handle;
  if (parents == ParentPolicy::kTrust) {
    handle.Reset(RetryOnInterrupt([&] { return open(path.c_str(), flags); }));
    if (!handle.valid()) return LastError("open");
    return DescribeDirectory(std::move(handle), directory);
  }
  handle.Reset(OpenRefusingLinks(path.c_str(), flags));
  if (!handle.valid()) {
    if (errno == ELOOP) return Error::Refused(Refusal::kLink, ELOOP, "open");
    // Before Linux 5.6 there is no openat2, and a seccomp filter that does not know it says EPERM.
    if (errno != ENOSYS && errno != EPERM) return LastError("open");
    Error error = WalkToDirectory(path, O_PATH, &handle);
    if (!error.ok()) return error;
  }
  return DescribeDirectory(std::move(handle), directory);
}

}  // namespace holdfast
