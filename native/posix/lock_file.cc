#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix.h"

namespace holdfast {

void CloseNativeHandle(NativeHandle handle) { close(DescriptorOf(handle)); }

namespace {

uint64_t Nanoseconds(const struct timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1000000000U + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace

FileStatus FileStatusOf(const struct stat& status) {
  FileStatus result;
  if (S_ISREG(status.st_mode)) {
    result.kind = FileKind::kRegular;
  } else if (S_ISDIR(status.st_mode)) {
    result.kind = FileKind::kDirectory;
  } else if (S_ISLNK(status.st_mode)) {
    result.kind = FileKind::kLink;
  } else {
    result.kind = FileKind::kOther;
  }
  result.identity.device = static_cast<uint64_t>(status.st_dev);
  result.identity.inode = static_cast<uint64_t>(status.st_ino);
  result.link_count = static_cast<uint64_t>(status.st_nlink);
  result.size = static_cast<uint64_t>(status.st_size);
  result.allocated = static_cast<uint64_t>(status.st_blocks) * 512;
  result.mode = static_cast<uint32_t>(status.st_mode) & 07777U;
  result.owner = static_cast<int64_t>(status.st_uid);
  result.group = static_cast<int64_t>(status.st_gid);
#ifdef __APPLE__  // the same fields by other names
  result.changed = Nanoseconds(status.st_ctimespec);
  result.modified = Nanoseconds(status.st_mtimespec);
#else
  result.changed = Nanoseconds(status.st_ctim);
  result.modified = Nanoseconds(status.st_mtim);
#endif
  return result;
}

namespace {

// Why an existing name could not be opened as a lock file. open(2) says ENXIO for a socket, EISDIR for a directory,
// ELOOP (EMLINK on FreeBSD) for a link.
Error RefusalToOpen(const Directory& directory, const std::string& name, int open_error) {
  FileStatus status;
  Error error = InspectName(directory, name, &status);
  if (!error.ok() || status.kind == FileKind::kAbsent) {
    return Error::FromSystem(open_error, "open");
  }
  switch (status.kind) {
    case FileKind::kLink:
      return Error::Refused(Refusal::kLink, ELOOP, "open", {}, status.owner);
    case FileKind::kDirectory:
    case FileKind::kOther:
      return Error::Refused(Refusal::kNotRegular, EINVAL, "open", {}, status.owner);
    default:
      break;
  }
  if (open_error == EACCES || open_error == EPERM) {
    return Error::Refused(Refusal::kNoAccess, open_error, "open", {}, status.owner);
  }
  return Error::FromSystem(open_error, "open");
}

}  // namespace

Error OpenFile(const Directory& directory, const std::string& name, FileAccess access,
               Handle* handle, FileStatus* status) {
  // O_NONBLOCK: neither a FIFO's other end nor a lease is waited for. Without O_CREAT, since fs.protected_regular refuses
  // O_CREAT on somebody else's file in a sticky directory (proc_sys_fs(5)).
  const int flags = (access == FileAccess::kRead ? O_RDONLY : O_RDWR) |
                    (access == FileAccess::kAppend ? O_APPEND : 0) | O_CLOEXEC | O_NOFOLLOW |
                    O_NONBLOCK | O_NOCTTY;
  Handle file(
      RetryOnInterrupt([&] { return openat(DescriptorOf(directory), name.c_str(), flags); }));
  if (!file.valid()) {
    if (errno == ENOENT) return {};
    return RefusalToOpen(directory, name, errno);
  }
  struct stat found;
  if (fstat(DescriptorOf(file.get()), &found) != 0) return LastError("fstat");
  *status = FileStatusOf(found);
  *handle = std::move(file);
  return {};
}

Error OpenLockFile(const Directory& directory, const std::string& name, Handle* handle,
                   FileStatus* status) {
  // Read-write also for a shared lock: NFSv4 emulates flock by byte-range locks, which need a writable descriptor for
  // an exclusive one (nfs(5)).
  return OpenFile(directory, name, FileAccess::kReadWrite, handle, status);
}

Error RemoveLockFile(const Directory& directory, const std::string& name,
                     const FileIdentity& identity) {
  return RemoveName(directory, name, identity);
}

bool IsTrustedOwner(int64_t owner, int64_t other) {
  if (owner == static_cast<int64_t>(geteuid())) return true;
  // In a user namespace every user that it does not know looks like this one, a friend as well as a stranger.
  if (owner == UnmappedOwner()) return false;
  return owner == 0 || owner == other;
}

bool IsOtherUser(int64_t owner) {
  return owner != static_cast<int64_t>(geteuid()) && owner != 0 && owner != UnmappedOwner();
}

const bool kLockFilesHaveSlots = false;

Error TryLock(NativeHandle file, LockMode mode, bool* granted, LockSlot /*slot*/) {
  const int operation = (mode == LockMode::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  *granted = RetryOnInterrupt([&] { return flock(DescriptorOf(file), operation); }) == 0;
  // EACCES is how Linux's SMB client says that another machine holds the lock.
  if (*granted || errno == EWOULDBLOCK || errno == EACCES) return {};
  return LastError("flock");
}

Error TryLockContents(NativeHandle file, bool* granted) {
  return TryLock(file, LockMode::kExclusive, granted);
}

Error Unlock(NativeHandle file, LockSlot /*slot*/) {
  if (RetryOnInterrupt([&] { return flock(DescriptorOf(file), LOCK_UN); }) != 0) {
    return LastError("flock");
  }
  return {};
}

}  // namespace holdfast
