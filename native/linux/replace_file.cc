#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstring>
#include <vector>

#include "../posix/posix.h"

namespace holdfast {

namespace {

// The number is the same on every architecture that Node runs on.
constexpr long kFchmodat2 = 452;
constexpr char kTriedAttribute[] = "user.holdfast";

// Reads the attribute into `value`; `*exists` is false if there is none.
Error ReadAttribute(int file, const char* name, std::vector<char>* value, bool* exists) {
  const ssize_t size = fgetxattr(file, name, nullptr, 0);
  *exists = size >= 0;
  if (size < 0) return errno == ENODATA ? Error{} : LastError("fgetxattr");
  value->resize(static_cast<size_t>(size));
  const ssize_t read = fgetxattr(file, name, value->data(), value->size());
  if (read < 0) return LastError("fgetxattr");
  value->resize(static_cast<size_t>(read));
  return {};
}

Error CopyAttribute(int from, int to, const char* name) {
  std::vector<char> value;
  bool exists = false;
  Error error = ReadAttribute(from, name, &value, &exists);
  if (!error.ok() || !exists) return error;
  if (fsetxattr(to, name, value.data(), value.size(), 0) != 0) return LastError("fsetxattr");
  return {};
}

bool HasEqualAttribute(int one, int other, const char* name) {
  std::vector<char> values[2];
  bool exist[2] = {false, false};
  return ReadAttribute(one, name, &values[0], &exist[0]).ok() &&
         ReadAttribute(other, name, &values[1], &exist[1]).ok() && exist[0] == exist[1] &&
         values[0] == values[1];
}

}  // namespace

int PreallocateFile(int file, uint64_t size) {
  return fallocate(file, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size));
}

int FlushFile(int file, Durability durability) {
  return durability == Durability::kOrdered ? fdatasync(file) : fsync(file);
}

Error SetModeOfPath(int directory, uint32_t mode) {
  // fchmod() does not take a descriptor that was opened with O_PATH; its name in /proc does (open(2)).
  char path[32];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", directory);
  if (chmod(path, static_cast<mode_t>(mode)) == 0) return {};
  Error error = LastError("chmod");
  if (error.number != ENOENT) return error;
  // Without /proc: since Linux 6.6 by the descriptor itself, else by one for reading.
  if (syscall(kFchmodat2, directory, "", mode, AT_EMPTY_PATH) == 0) return {};
  const Handle readable(
      RetryOnInterrupt([&] { return openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!readable.valid()) return error;
  return SetMode(readable.get(), mode);
}

bool IsMountPoint(const Directory& directory, const std::string& name) {
  struct statx status;
  if (syscall(SYS_statx, DescriptorOf(directory), name.c_str(),
              AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &status) != 0) {
    return false;
  }
  return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

uint64_t BirthTime(NativeHandle file) {
  struct statx status;
  if (syscall(SYS_statx, DescriptorOf(file), "", AT_EMPTY_PATH, STATX_BTIME, &status) != 0 ||
      (status.stx_mask & STATX_BTIME) == 0) {
    return 0;
  }
  return static_cast<uint64_t>(status.stx_btime.tv_sec) * 1000000000U + status.stx_btime.tv_nsec;
}

Error InspectDirectory(int directory, struct stat* status, bool* append_only) {
  struct statx found;
  constexpr unsigned kWanted = STATX_TYPE | STATX_MODE | STATX_UID | STATX_GID | STATX_INO;
  if (syscall(SYS_statx, directory, "", AT_EMPTY_PATH, kWanted, &found) != 0) {
    // Before Linux 4.11 there is no statx(), and old seccomp filters do not know it.
    *append_only = false;
    return fstat(directory, status) == 0 ? Error{} : LastError("fstat");
  }
  *status = {};
  status->st_mode = found.stx_mode;
  status->st_uid = found.stx_uid;
  status->st_gid = found.stx_gid;
  status->st_ino = found.stx_ino;
  status->st_dev = makedev(found.stx_dev_major, found.stx_dev_minor);
  *append_only = (found.stx_attributes & STATX_ATTR_APPEND) != 0;
  return {};
}

Error ResolvePath(const Directory& directory, std::string* path) {
  char link[32];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", DescriptorOf(directory));
  std::vector<char> buffer(PATH_MAX);
  const ssize_t size = readlink(link, buffer.data(), buffer.size());
  if (size < 0) return LastError("readlink");
  path->assign(buffer.data(), static_cast<size_t>(size));
  return {};
}

Error CopyAttributes(NativeHandle from, NativeHandle to, bool* all) {
  const int source = DescriptorOf(from);
  *all = true;
  const ssize_t size = flistxattr(source, nullptr, 0);
  if (size < 0) return errno == ENOTSUP ? Error{} : LastError("flistxattr");
  std::vector<char> names(static_cast<size_t>(size));
  const ssize_t length = flistxattr(source, names.data(), names.size());
  if (length < 0) return LastError("flistxattr");
  for (const char* name = names.data(); name < names.data() + length; name += strlen(name) + 1) {
    // Access control lists are kept by themselves.
    if (strncmp(name, "system.", 7) == 0) continue;
    // A security module sets its own, from the directory; and capabilities, like set-id bits, are for the old contents.
    if (strncmp(name, "security.", 9) == 0) {
      *all = *all && HasEqualAttribute(source, DescriptorOf(to), name);
      continue;
    }
    Error error = CopyAttribute(source, DescriptorOf(to), name);
    if (!error.ok()) return error;
  }
  return {};
}

Error TryAttribute(const std::string& path) {
  char value = '1';
  if (lsetxattr(path.c_str(), kTriedAttribute, &value, 1, 0) != 0) return LastError("setxattr");
  if (lgetxattr(path.c_str(), kTriedAttribute, &value, 1) != 1) return LastError("getxattr");
  return {};
}

}  // namespace holdfast
