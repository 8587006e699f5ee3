// One try to take a lock, from a request to an outcome; free of threads and of JavaScript.
#ifndef HOLDFAST_ATTEMPT_H_
#define HOLDFAST_ATTEMPT_H_

#include <chrono>
#include <optional>
#include <string>
#include <unordered_set>

#include "file_systems.h"
#include "inspection.h"
#include "lock.h"
#include "take_over.h"

namespace holdfast {

// What one step of an acquisition came to.
enum class Outcome : uint8_t {
  kGranted,
  kBusy,    // somebody holds a conflicting lock
  kQueued,  // callers of this environment wait for it already
  kUnseen,  // a directory has to be touched off the main thread first
  kRemote,  // another machine may have to answer: only off the main thread
  kStale,   // the file that was waited for is no longer the lock file
  kGuarded,  // granted by the kernel; somebody else is about to take the lock over: only off the main thread
  kOverdue,  // the holder has shown no sign of life for its ttl
  kFailed,
};

// The outcome and what it brings; travels from a thread to the main thread.
struct Attempt {
  Outcome outcome = Outcome::kFailed;
  Error error;
  HeldLock held;          // kGranted
  LockFile busy;          // kBusy
  std::string key;        // kBusy, kQueued
  Inspection inspection;  // of a look from outside

  static Attempt Of(Outcome outcome);
  static Attempt Failure(Error error);
};

// What a holder says of itself in the record, beside what it is.
struct Claimant {
  std::string session_id;
  std::string session_hash;
  uint64_t ttl = 0;  // 0: none
};

struct AcquireOptions {
  LockRequest request;
  Claimant claimant;
  // A holder that was seen to be hung, and from whom the lock may be taken over.
  std::optional<Sighting> overdue;
  bool may_block =
      false;              // system calls may take their time: a synchronous form, or another thread
  bool overtake = false;  // try although others wait
  bool keep_file = false;  // when busy, keep the open file for a wait
};

// Keys of lock files that callers wait for.
using KeySet = std::unordered_set<std::string>;

// Touches the directories of `request` and learns what file systems they are on; links are followed or refused as the
// request says.
Error Touch(const LockRequest& request, FileSystems* file_systems);

// Tries to take the lock. `claim` names the holder to be, and is given the token.
Attempt TryAcquire(const AcquireOptions& options, FileSystems* file_systems, const KeySet& queued,
                   const Patience& patience, Record* claim);

// What a lock that was entered comes to: `claim` as it was written, `since` not later than that.
Attempt Granted(LockFile file, const Record& claim, DecodedRecord previous,
                std::chrono::steady_clock::time_point since, bool taken_over = false);

// Enters a lock that the kernel granted to a wait. With kGuarded, `file` is left as it was.
Attempt CompleteGrant(LockFile* file, const Patience& patience, Record claim);

}  // namespace holdfast

#endif  // HOLDFAST_ATTEMPT_H_
