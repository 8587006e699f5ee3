#include <fcntl.h>
#include <unistd.h>

#include "../posix/posix.h"

namespace holdfast {

Error OpenDirectory(const std::string& path, ParentPolicy parents, Directory* directory) {
  // O_SEARCH: needs the right to search the directory, not the right to list it. O_NOFOLLOW_ANY: a link in any
  // component is ELOOP (open(2)).
  int flags = O_SEARCH | O_DIRECTORY | O_CLOEXEC;
  if (parents == ParentPolicy::kRefuseLinks) flags |= O_NOFOLLOW_ANY;
  Handle handle(RetryOnInterrupt([&] { return open(path.c_str(), flags); }));
  if (!handle.valid()) {
    if (errno == ELOOP && parents == ParentPolicy::kRefuseLinks) {
      return Error::Refused(Refusal::kLink, ELOOP, "open");
    }
    return LastError("open");
  }
  return DescribeDirectory(std::move(handle), directory);
}

}  // namespace holdfast
