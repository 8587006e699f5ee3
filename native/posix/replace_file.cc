// What replacing a file needs besides temporary files.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix.h"

namespace holdfast {

Error Reserve(NativeHandle file, uint64_t size) {
  if (size == 0 ||
      RetryOnInterrupt([&] { return PreallocateFile(DescriptorOf(file), size); }) == 0) {
    return {};
  }
  if (errno == EOPNOTSUPP || errno == ENOTSUP || errno == ENOSYS || errno == EINVAL) return {};
  return LastError("fallocate");
}

Error KeepPermissions(const ReplacedFile&, uint32_t mode, NativeHandle to) {
  return SetMode(to, mode);
}

bool IsPrivate(NativeHandle, const FileStatus& status) { return (status.mode & 077U) == 0; }

Error SetOwner(NativeHandle file, const FileStatus& owned) {
  const auto owner = static_cast<uid_t>(owned.owner);
  const auto group = static_cast<gid_t>(owned.group);
  if (RetryOnInterrupt([&] { return fchown(DescriptorOf(file), owner, group); }) != 0) {
    return LastError("fchown");
  }
  return {};
}

ModeSubjects KeepSubjects(const ReplacedFile& from, const FileStatus& made, NativeHandle to) {
  ModeSubjects kept{made.owner == from.status.owner, made.group == from.status.group};
  if (kept.owner && kept.group) return kept;
  if (!kept.owner && SetOwner(to, from.status).ok()) return {true, true, true};
  if (kept.group) return kept;
  // Who may not give a file away may yet give it to a group that it belongs to.
  const auto group = static_cast<gid_t>(from.status.group);
  const auto nobody = static_cast<uid_t>(-1);
  kept.given = RetryOnInterrupt([&] { return fchown(DescriptorOf(to), nobody, group); }) == 0;
  kept.group = kept.given;
  return kept;
}

Error KeepOwner(const ReplacedFile& from, NativeHandle to) { return SetOwner(to, from.status); }

namespace {

Error ReportAsClosed(NativeHandle file) {
  // Each close() of a descriptor writes back and reports (NFS, FUSE, SMB), whether or not it is the last one.
  const int again = fcntl(DescriptorOf(file), F_DUPFD_CLOEXEC, 0);
  if (again == -1) return LastError("fcntl");
  // After EINTR the descriptor is gone, and nothing is known of the data.
  return close(again) == 0 ? Error{} : LastError("close");
}

// fsync(2) says EINVAL of what cannot be synchronised; FUSE and network file systems have more ways to say so.
bool CannotFlush(const Error& error) {
  const int number = error.number;
  return number == EOPNOTSUPP || number == ENOTSUP || number == EINVAL || number == ENOSYS;
}

}  // namespace

Error Flush(NativeHandle file, Durability durability) {
  if (durability == Durability::kNone) return ReportAsClosed(file);
  if (RetryOnInterrupt([&] { return FlushFile(DescriptorOf(file), durability); }) != 0) {
    return LastError("fsync");
  }
  return {};
}

Error FlushDirectory(const Directory& directory, bool* flushed) {
  Handle handle;
  Error error = OpenForReading(directory, &handle);
  if (error.ok()) error = Flush(handle.get(), Durability::kFull);
  if (flushed != nullptr) *flushed = error.ok();
  return CannotFlush(error) ? Error{} : error;
}

Error LinkFile(const Directory& directory, NativeHandle /*file*/, const std::string& from,
               const std::string& to) {
  const int parent = DescriptorOf(directory);
  return linkat(parent, from.c_str(), parent, to.c_str(), 0) == 0 ? Error{} : LastError("link");
}

Error RemoveName(const Directory& directory, const std::string& name,
                 const FileIdentity& identity) {
  FileStatus status;
  Error error = InspectName(directory, name, &status);
  if (!error.ok() || status.kind == FileKind::kAbsent || status.identity != identity) return error;
  const bool is_directory = status.kind == FileKind::kDirectory;
  const int flags = is_directory ? AT_REMOVEDIR : 0;
  if (unlinkat(DescriptorOf(directory), name.c_str(), flags) != 0 && errno != ENOENT) {
    return LastError(is_directory ? "rmdir" : "unlink");
  }
  return {};
}

Error SetDirectoryMode(const Directory& directory, uint32_t mode) {
  return SetModeOfPath(DescriptorOf(directory), mode);
}

bool IsOwnedByUs(const Directory& directory) {
  return directory.owner == static_cast<int64_t>(geteuid());
}

bool IsOwnedByUs(const FileStatus& status) {
  return status.owner == static_cast<int64_t>(geteuid());
}

}  // namespace holdfast
