// The steps of taking and leaving a lock, free of threads and of JavaScript. They are steps because a wait comes
// between them: locate, open, try, (wait,) enter, leave.
#ifndef HOLDFAST_LOCK_H_
#define HOLDFAST_LOCK_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "error.h"
#include "guard.h"
#include "lock_file.h"
#include "platform.h"
#include "record.h"

namespace holdfast {

// What tells one lock file from another before it is opened, and while it is removed and made again.
std::string KeyOf(const LockLocation& location);

class LockDirectory;

// Whether a lock object still has its lock. To publish something under it and to give it up exclude each other, in whichever
// threads they are done: nothing is published under a lock that was given up.
class Tenure {
 public:
  // What publishes under the lock keeps this for as long as that takes.
  using Share = std::shared_lock<std::shared_mutex>;

  Tenure() = default;
  // A lock is moved only before anything else refers to it.
  Tenure(Tenure&& /*other*/) noexcept {}
  Tenure& operator=(Tenure&& /*other*/) noexcept { return *this; }
  Tenure(const Tenure&) = delete;
  Tenure& operator=(const Tenure&) = delete;
  ~Tenure() = default;

  // False if the lock was given up.
  bool Join(Share* share) const {
    *share = Share(mutex_);
    return !ended_;
  }
  // Waits for what is being published.
  void End() {
    const std::lock_guard<std::shared_mutex> alone(mutex_);
    ended_ = true;
  }

 private:
  mutable std::shared_mutex mutex_;
  bool ended_ = false;
};

// A lock that is ours.
struct HeldLock {
  LockFile file;
  Tenure tenure;
  // What release leaves in the record. A shared holder writes none.
  uint64_t token = 0;
  uint64_t ttl = 0;
  uint64_t epoch = 0;
  std::string recorded_directory;
  // Whether the lock file goes when the lock does, and the directory that goes with it: see lock_directory.h.
  bool leaves_nothing = false;
  std::shared_ptr<LockDirectory> directory;
  // The record as it was found. It names a holder only if that one ended without release and nobody was told yet, or if
  // the lock was taken over from it.
  DecodedRecord previous;
  bool taken_over = false;
  // Not later than the record was written, which is the first sign of life of a holder with a ttl.
  std::chrono::steady_clock::time_point entered;
};

// The directories that `request` leads through, as they are spelled: what has to be touched first.
std::vector<std::string> DirectoriesOf(const LockRequest& request);

// Opens `directory`, which `request` leads through; the target's never outside of `within`.
Error OpenOnTheWay(const LockRequest& request, const std::string& directory, Directory* opened);

// Finds the lock file's place and applies the policy for links.
Error Locate(const LockRequest& request, LockLocation* location);

// Opens the lock file, making it if there is none, and checks it on the open handle. `location` is moved from only on
// success.
Error OpenChecked(const LockRequest& request, LockLocation* location, LockFile* lock_file);

enum class Entry : uint8_t {
  kEntered,
  kMoved,  // the name leads elsewhere by now, or the lock was taken over: close the file and start again
  kGuarded,  // somebody is about to take the lock over, or to write under it, for longer than `patience`
};

// Completes a granted lock: the name must still lead to the locked file, whose record then names `claim` as the holder.
// `claim` brings the holder's fields and is given the token. Unless the lock was entered, and on an error, the caller
// closes the file.
Error Enter(const LockFile& lock_file, const Patience& patience, Record* claim,
            DecodedRecord* previous, Entry* entry);

// What becomes of a claim when the lock is granted: its token and whatever else comes from the record before.
void Succeed(const DecodedRecord& previous, Record* claim);

// Clears the record and gives the lock back; the first error wins. Whatever it is, the caller closes the file, so that
// nothing of the lock remains with us.
Error Leave(const HeldLock& lock);

// Gives a lock back that was not entered. Closing alone would not do: see Leave().
void GiveBack(LockFile file);

// Gives a lock back that was entered and that nobody was told of. The predecessor that it found, if any, is then the next
// holder's to find.
Error GiveBackUntold(const HeldLock& lock);

// Clears the record without unlocking: a process that inherited the descriptor holds the lock on when the file is closed.
Error LeaveToHeirs(const HeldLock& lock);

// Writes into the record which directory belongs to the lock. It stays there when the lock is given back.
Error RecordDirectory(HeldLock* lock, const std::string& directory);

// Whether the lock is still ours: nobody removed or replaced its lock file, or took it over.
Error IsStillOurs(const HeldLock& lock, bool* ours);

// Shows a sign of life of a holder that named a ttl; `*ours` as above.
Error ShowLife(const HeldLock& lock, bool* ours);

// The same for one that comes late: somebody may have found it silent for its ttl, and be stopped between that check and
// what it permits. Under the guard nobody is; from then on the check holds no more. `*entered` as in Guard::Enter().
Error ShowLateLife(const HeldLock& lock, const Patience& patience, bool* ours, bool* entered);

}  // namespace holdfast

#endif  // HOLDFAST_LOCK_H_
