#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <vector>

#include "../posix/posix.h"

// getxattr(2), declared here because cross-compilers come without <sys/xattr.h>.
extern "C" {
ssize_t flistxattr(int file, char* names, size_t size, int options);
ssize_t fgetxattr(int file, const char* name, void* value, size_t size, uint32_t position,
                  int options);
int fsetxattr(int file, const char* name, const void* value, size_t size, uint32_t position,
              int options);
ssize_t getxattr(const char* path, const char* name, void* value, size_t size, uint32_t position,
                 int options);
int setxattr(const char* path, const char* name, const void* value, size_t size, uint32_t position,
             int options);
}

namespace holdfast {

namespace {

constexpr int kNoFollow = 1;  // XATTR_NOFOLLOW
constexpr char kTriedAttribute[] = "holdfast";
constexpr char kProvenance[] = "com.apple.provenance";

}  // namespace

int PreallocateFile(int file, uint64_t size) {
  struct stat status;
  if (fstat(file, &status) != 0) return -1;
  // F_PEOFPOSMODE counts from the file's physical end, so only what is missing there is asked for (fcntl(2)).
  const uint64_t allocated = static_cast<uint64_t>(status.st_blocks) * 512;
  if (allocated >= size) return 0;
  fstore_t store = {};
  store.fst_flags = F_ALLOCATEALL;
  store.fst_posmode = F_PEOFPOSMODE;
  store.fst_length = static_cast<off_t>(size - allocated);
  return fcntl(file, F_PREALLOCATE, &store) == -1 ? -1 : 0;
}

int FlushFile(int file, Durability durability) {
  // fsync() leaves the data in the disk's cache. F_BARRIERFSYNC orders, F_FULLFSYNC empties that cache (fcntl(2)); some
  // file systems know neither.
  const int command = durability == Durability::kOrdered ? F_BARRIERFSYNC : F_FULLFSYNC;
  if (fcntl(file, command) != -1) return 0;
  // Any other failure is one to write: asked again, the system may say that all is well (fsync(2)).
  return errno == ENOTSUP || errno == EINVAL ? fsync(file) : -1;
}

Error SetModeOfPath(int directory, uint32_t mode) {
  // fchmod() takes a descriptor that was opened for searching.
  if (fchmod(directory, static_cast<mode_t>(mode)) != 0) return LastError("fchmod");
  return {};
}

bool IsMountPoint(const Directory& directory, const std::string& name) {
  // Only directories can be mounted over.
  static_cast<void>(directory);
  static_cast<void>(name);
  return false;
}

uint64_t BirthTime(NativeHandle file) {
  struct stat status;
  if (fstat(DescriptorOf(file), &status) != 0) return 0;
  return static_cast<uint64_t>(status.st_birthtimespec.tv_sec) * 1000000000U +
         static_cast<uint64_t>(status.st_birthtimespec.tv_nsec);
}

Error InspectDirectory(int directory, struct stat* status, bool* append_only) {
  if (fstat(directory, status) != 0) return LastError("fstat");
  *append_only = (status->st_flags & (UF_APPEND | SF_APPEND)) != 0;
  return {};
}

Error ResolvePath(const Directory& directory, std::string* path) {
  std::vector<char> buffer(PATH_MAX);
  if (fcntl(DescriptorOf(directory), F_GETPATH, buffer.data()) == -1) return LastError("fcntl");
  *path = buffer.data();
  return {};
}

Error CopyAttributes(NativeHandle from, NativeHandle to, bool* all) {
  const int source = DescriptorOf(from);
  *all = true;
  const ssize_t size = flistxattr(source, nullptr, 0, 0);
  if (size < 0) return errno == ENOTSUP ? Error{} : LastError("flistxattr");
  std::vector<char> names(static_cast<size_t>(size));
  const ssize_t length = flistxattr(source, names.data(), names.size(), 0);
  if (length < 0) return LastError("flistxattr");
  for (const char* name = names.data(); name < names.data() + length; name += strlen(name) + 1) {
    // The system sets it on what an application writes, and lets nobody else set it.
    if (strcmp(name, kProvenance) == 0) continue;
    const ssize_t wanted = fgetxattr(source, name, nullptr, 0, 0, 0);
    if (wanted < 0) return LastError("fgetxattr");
    std::vector<char> value(static_cast<size_t>(wanted));
    const ssize_t read = fgetxattr(source, name, value.data(), value.size(), 0, 0);
    if (read < 0) return LastError("fgetxattr");
    if (fsetxattr(DescriptorOf(to), name, value.data(), static_cast<size_t>(read), 0, 0) != 0) {
      return LastError("fsetxattr");
    }
  }
  return {};
}

Error TryAttribute(const std::string& path) {
  char value = '1';
  if (setxattr(path.c_str(), kTriedAttribute, &value, 1, 0, kNoFollow) != 0) {
    return LastError("setxattr");
  }
  if (getxattr(path.c_str(), kTriedAttribute, &value, 1, 0, kNoFollow) != 1) {
    return LastError("getxattr");
  }
  return {};
}

}  // namespace holdfast
