#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../bounds.h"
#include "../posix/posix.h"

namespace holdfast {

const int kSearch = O_PATH | O_DIRECTORY | O_CLOEXEC;
// O_PATH asks for no permission on what is opened.
const uint32_t kModeOfNewDirectory = 0;

namespace {

int Openat2(int directory, const std::string& path, uint64_t resolve) {
  struct open_how how = {};
  how.flags = kSearch;
  how.resolve = resolve;
  for (int round = 1;; round++) {
    // C libraries have no wrapper for openat2(2).
    const auto result = static_cast<int>(RetryOnInterrupt(
        [&] { return syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how)); }));
    // EAGAIN: something was renamed meanwhile, so that the kernel cannot tell whether ".." has led out (openat2(2)).
    if (result >= 0 || errno != EAGAIN || round == kMaxRounds) return result;
  }
}

// Before Linux 5.6 there is no openat2, and a seccomp filter that does not know it says EPERM.
bool LacksOpenat2(int number) { return number == ENOSYS || number == EPERM; }

}  // namespace

Error OpenDirectory(const std::string& path, ParentPolicy parents, Directory* directory) {
  Handle handle;
  if (parents == ParentPolicy::kTrust) {
    handle.Reset(RetryOnInterrupt([&] { return open(path.c_str(), kSearch); }));
    if (!handle.valid()) return LastError("open");
    return DescribeDirectory(std::move(handle), directory);
  }
  handle.Reset(Openat2(AT_FDCWD, path, RESOLVE_NO_SYMLINKS));
  if (!handle.valid()) {
    if (errno == ELOOP) return Error::Refused(Refusal::kLink, ELOOP, "open");
    if (!LacksOpenat2(errno)) return LastError("open");
    Handle root(RetryOnInterrupt([&] { return open("/", kSearch); }));
    if (!root.valid()) return LastError("open");
    Error error = WalkToDirectory(std::move(root), path, WalkPolicy::kAnywhere, &handle);
    if (!error.ok()) return error;
  }
  return DescribeDirectory(std::move(handle), directory);
}

Error OpenBeneath(const Directory& root, const std::string& path, Directory* directory) {
  const std::string relative = path.empty() ? "." : path;
  Handle handle(Openat2(DescriptorOf(root), relative, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS));
  if (!handle.valid()) {
    if (errno == EXDEV) return Error::Refused(Refusal::kOutside, EXDEV, "open");
    if (!LacksOpenat2(errno)) return LastError("open");
    // Stricter than has to be: the walk follows no link at all.
    Handle start(RetryOnInterrupt([&] { return openat(DescriptorOf(root), ".", kSearch); }));
    if (!start.valid()) return LastError("open");
    Error error = WalkToDirectory(std::move(start), path, WalkPolicy::kBeneath, &handle);
    if (!error.ok()) return error;
  }
  return DescribeDirectory(std::move(handle), directory);
}

}  // namespace holdfast
