#include "leftovers.h"

#include <cerrno>
#include <chrono>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "temporary_name.h"
#include "undo_file.h"

namespace holdfast {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::minutes kListingInterval(1);
constexpr uint64_t kSparedAge = std::chrono::nanoseconds(std::chrono::minutes(1)).count();

// One listing of a directory by this process in every interval.
class Listings {
 public:
  // Whether one is due, which is then taken for done.
  bool Begin(const Directory& directory) {
    const Clock::time_point now = Clock::now();
    const FileIdentity& identity = directory.identity;
    // A new directory may get the number of one that was removed.
    const Key key(identity.device, identity.inode, identity.inode_high,
                  BirthTime(directory.handle.get()));
    const std::lock_guard<std::mutex> guard(mutex_);
    for (auto entry = done_.begin(); entry != done_.end();) {
      entry = now - entry->second < kListingInterval ? std::next(entry) : done_.erase(entry);
    }
    return done_.emplace(key, now).second;
  }

 private:
  using Key = std::tuple<uint64_t, uint64_t, uint64_t, uint64_t>;

  std::mutex mutex_;
  std::map<Key, Clock::time_point> done_;
};

Listings& AllListings() {
  // Never destroyed: a thread of libuv's pool may come here while the process ends.
  static Listings& listings = *new Listings;
  return listings;
}

// Both times are the file system's own, so that the clocks of two machines that share it make no difference.
bool IsOld(const FileStatus& status, NativeHandle just_made) {
  FileStatus now;
  return InspectFile(just_made, &now).ok() && status.modified + kSparedAge < now.modified;
}

enum class Holder : uint8_t {
  kNobody,    // the lock is ours now
  kSomebody,  // or the name has just gone to another file
  kUnknown,
  kLockless,  // nobody can tell here, ever
  kNotForUs,  // the mode, the umask's work perhaps, keeps the lock from us
};

bool LacksLocks(const Error& error) {
  const int number = error.number;
  return number == EOPNOTSUPP || number == ENOTSUP || number == ENOLCK || number == ENOSYS;
}

Holder FindHolder(const Directory& directory, const std::string& name, const FileIdentity& identity,
                  Handle* file) {
  // For writing, if that is allowed: NFS grants exclusive locks to writable descriptors only.
  for (const FileAccess access : {FileAccess::kReadWrite, FileAccess::kRead}) {
    FileStatus status;
    Error error = OpenFile(directory, name, access, file, &status);
    if (error.refusal == Refusal::kNoAccess) continue;
    if (!error.ok()) return Holder::kUnknown;
    if (!file->valid() || status.identity != identity) return Holder::kSomebody;
    bool granted = false;
    error = TryLock(file->get(), LockMode::kExclusive, &granted);
    if (error.ok()) return granted ? Holder::kNobody : Holder::kSomebody;
    if (LacksLocks(error)) return Holder::kLockless;
    if (access == FileAccess::kReadWrite) return Holder::kUnknown;
  }
  return Holder::kNotForUs;
}

}  // namespace

bool RemoveObstacle(const Directory& directory, const std::string& name, const FileStatus& status) {
  const bool may_remove = IsOwnedByUs(directory) || IsOwnedByUs(status);
  return may_remove && status.kind != FileKind::kRegular &&
         RemoveName(directory, name, status.identity).ok();
}

Leftover RemoveLeftover(const Directory& directory, const std::string& name, NativeHandle just_made,
                        bool locked_before_named) {
  FileStatus status;
  if (!InspectName(directory, name, &status).ok()) return Leftover::kKept;
  if (status.kind == FileKind::kAbsent) return Leftover::kAbsent;
  if (locked_before_named && RemoveObstacle(directory, name, status)) return Leftover::kRemoved;
  // A kill may also leave the name that it had before.
  const uint64_t most_names = locked_before_named ? 2 : 1;
  if (status.kind != FileKind::kRegular || status.link_count > most_names) return Leftover::kKept;
  if (!locked_before_named && !HasSealTime(status) && !IsOld(status, just_made)) {
    return Leftover::kKept;
  }

  Handle file;
  switch (FindHolder(directory, name, status.identity, &file)) {
    case Holder::kNobody:
      break;
    case Holder::kSomebody:
      return Leftover::kHeld;
    case Holder::kUnknown:
      return Leftover::kKept;
    case Holder::kLockless:
      // It is in the way of everybody, and was not meant to be for longer than two system calls take.
      if (locked_before_named && IsOld(status, just_made)) break;
      return Leftover::kKept;
    case Holder::kNotForUs:
      if (IsOwnedByUs(status) && IsOld(status, just_made)) break;
      return Leftover::kKept;
  }
  return RemoveName(directory, name, status.identity).ok() ? Leftover::kRemoved : Leftover::kKept;
}

void RemoveLeftovers(const Directory& directory, NativeHandle just_made) {
  if (!AllListings().Begin(directory)) return;
  std::vector<std::string> names;
  // A directory that may be searched, but not listed, keeps them.
  if (!FindNames(directory, kTemporaryPrefix, kTemporarySuffix, &names).ok()) return;
  for (const std::string& name : names) {
    if (!IsRandomName(name)) continue;
    RemoveLeftover(directory, name, just_made, /*locked_before_named=*/false);
  }
}

}  // namespace holdfast
