#include <fcntl.h>
#include <unistd.h>

#include "../posix/posix.h"

namespace holdfast {

const int kSearch = O_SEARCH | O_DIRECTORY | O_CLOEXEC;
// O_SEARCH asks for the right to search.
const uint32_t kModeOfNewDirectory = 0300;

Error OpenDirectory(const std::string& path, ParentPolicy parents, Directory* directory) {
  // O_NOFOLLOW_ANY: a link in any component is ELOOP (open(2)).
  const int flags = parents == ParentPolicy::kRefuseLinks ? kSearch | O_NOFOLLOW_ANY : kSearch;
  Handle handle(RetryOnInterrupt([&] { return open(path.c_str(), flags); }));
  if (!handle.valid()) {
    if (errno == ELOOP && parents == ParentPolicy::kRefuseLinks) {
      return Error::Refused(Refusal::kLink, ELOOP, "open");
    }
    return LastError("open");
  }
  return DescribeDirectory(std::move(handle), directory);
}

Error OpenBeneath(const Directory& root, const std::string& path, Directory* directory) {
  // Stricter than has to be: no link is followed at all. O_RESOLVE_BENEATH is there only since macOS 15.4.
  Handle start(RetryOnInterrupt([&] { return openat(DescriptorOf(root), ".", kSearch); }));
  if (!start.valid()) return LastError("open");
  Handle handle;
  Error error = WalkToDirectory(std::move(start), path, WalkPolicy::kBeneath, &handle);
  return error.ok() ? DescribeDirectory(std::move(handle), directory) : error;
}

}  // namespace holdfast
