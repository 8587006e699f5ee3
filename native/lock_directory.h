// The empty directory that stands beside a lock file for processes on proper-lockfile. They take whoever makes it for the
// holder, and one whose time of modification is older than their `stale` for dead. Ours make it under the kernel's lock and
// keep it fresh, so that each kind excludes the other.
#ifndef HOLDFAST_LOCK_DIRECTORY_H_
#define HOLDFAST_LOCK_DIRECTORY_H_

#include <chrono>
#include <mutex>
#include <string>

#include "lock.h"

namespace holdfast {

// How a process on proper-lockfile sees the directory, and how long it may go without a refresh.
struct DirectoryRules {
  // In the directory of the lock file.
  std::string name;
  std::chrono::milliseconds stale{};
};

// The directory that goes with a held lock. Its thread of JavaScript and the heartbeat share it.
class LockDirectory {
 public:
  LockDirectory(DirectoryRules rules, std::string path, Handle handle, const FileStatus& status);

  // Shows once more that the holder lives. False when the directory is ours no longer: loss() then tells what was found.
  // An error that may pass is tolerated until the directory has gone without a refresh for `stale`; `*failed` tells.
  bool Refresh(const Directory& parent, bool* failed);
  // Whether its name leads to it; ENOENT when that leads nowhere.
  Error IsInPlace(const Directory& parent, bool* in_place) const;
  // Removes it, unless something else has its name by now. It is not refreshed any more.
  Error Remove(const Directory& parent);

  bool lost() const;
  // What made it impossible to keep; success when somebody else has replaced it or set its time.
  Error loss() const;

  // It was there, and a process on proper-lockfile may be about to remove it as a dead one's.
  bool contested = false;

 private:
  bool Lose(Error error);

  const DirectoryRules rules_;
  const std::string path_;
  const FileIdentity identity_;
  mutable std::mutex mutex_;
  Handle handle_;
  uint64_t modified_;
  std::chrono::steady_clock::time_point refreshed_;
  bool lost_ = false;
  Error loss_;
};

// Makes the directory for a held lock, or takes over the one that a dead holder left: `held` then has it. `*busy` tells that
// somebody else has it. A directory that a holder of ours made is known by the lock file's record, and is taken over at
// once; any other when it is stale. Called again, it looks whether the directory is still in its place:
// ENOENT when nothing is.
Error ClaimDirectory(const DirectoryRules& rules, HeldLock* held, bool* busy);

// Gives the lock back, with the directory and the lock file if they go with it. The first error wins; see Leave().
Error LeaveWhole(HeldLock* held);

// Whether a process of either kind would find the lock taken.
Error CheckDirectory(const LockRequest& request, const DirectoryRules& rules, bool* locked);

}  // namespace holdfast

#endif  // HOLDFAST_LOCK_DIRECTORY_H_
