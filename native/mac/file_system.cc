#include <sys/mount.h>
#include <sys/param.h>

#include <cstring>

#include "../posix/posix.h"

namespace holdfast {

Error InspectFileSystem(const Directory& directory, FileSystem* file_system) {
  struct statfs status;
  if (RetryOnInterrupt([&] { return fstatfs(DescriptorOf(directory), &status); }) != 0) {
    return LastError("statfs");
  }
  file_system->name = status.f_fstypename;
  if ((status.f_flags & MNT_LOCAL) == 0) {
    file_system->kind = FileSystemClass::kNetwork;
  } else if (file_system->name.find("fuse") != std::string::npos) {
    // macFUSE volumes may be mounted as local whatever is behind them.
    file_system->kind = FileSystemClass::kUnknown;
  } else {
    file_system->kind = FileSystemClass::kLocal;
  }
  return {};
}

}  // namespace holdfast
