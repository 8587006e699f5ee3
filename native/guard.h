// The guard of a lock whose record names a ttl: a second kernel lock, held around a check and what that permits, so that
// nobody takes the lock over in between (docs/protocol.md).
#ifndef HOLDFAST_GUARD_H_
#define HOLDFAST_GUARD_H_

#include <atomic>
#include <chrono>

#include "lock_file.h"

namespace holdfast {

// How long a step may wait for one who is in the middle of his own. He needs microseconds, unless he is stopped there.
struct Patience {
  std::chrono::milliseconds limit{0};
  const std::atomic<bool>* given_up = nullptr;

  static Patience None() { return {}; }
  static Patience UntilGivenUp(const std::atomic<bool>* given_up) {
    return {std::chrono::milliseconds::max(), given_up};
  }
};

class Guard {
 public:
  Guard() = default;
  ~Guard() { Leave(); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  // `*entered` tells. `lock_file` must outlive the guard.
  Error Enter(const LockFile& lock_file, const Patience& patience, bool* entered);
  void Leave();

 private:
  Error TryEnter(const LockFile& lock_file, bool* entered);
  Error TryEnterFile(const LockFile& lock_file, bool* entered);

  Handle file_;  // of its own, where the lock file has no slot for it
  NativeHandle locked_ = kNoHandle;
};

}  // namespace holdfast

#endif  // HOLDFAST_GUARD_H_
