#ifndef HOLDFAST_WAITER_H_
#define HOLDFAST_WAITER_H_

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "attempt.h"
#include "lock.h"
#include "take_over.h"
#include "worker_threads.h"

namespace holdfast {

// One wait for a lock file. It ends with a grant, a failure, the lock file's disappearance or a cancellation, whichever
// comes first. The waiting thread enters the lock as well, and never hands on one that is granted after a cancellation: it
// closes the file.
class Wait : public Work {
 public:
  enum class State : uint8_t {
    kWaiting,
    kEntered,
    kGranted,  // by the kernel, and not entered: that takes patience, or another machine has to answer
    kMoved,
    kFailed,
    kCancelled,
  };

  // `claim` names the holder to be. `on_done` is called once, from the waiting thread, unless the wait is cancelled before.
  Wait(LockFile file, Record claim, std::function<void()> on_done);
  ~Wait() override;
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  void Run() override;
  void Publish() override;
  void Interrupt() override;

  // One try, and once a second a look at the file: for waits that no kernel wakes. True when the wait is over.
  bool Poll();

  // The thread may need a moment after it, and Interrupt() again, until IsFinished().
  void Cancel();
  // Blocks the caller until the wait is over or the time has passed.
  State Await(std::chrono::milliseconds timeout);
  State state() const;
  bool IsGranted() const;
  bool IsFinished() const;

  // Looks whether the name still leads to the file and the holder shows signs of life. A wait that polls answers with what
  // it saw last, since its file system may take long to answer.
  struct View {
    bool in_place = true;
    bool overdue = false;
  };
  View Look();
  // Between two looks.
  std::chrono::milliseconds look_interval() const;
  // The holder that Look() found overdue.
  Sighting seen() const;
  // What the file says of its holder.
  bool ReadHolder(DecodedRecord* record) const;

  const LockFile& file() const { return file_; }
  // What it came to, and the file with it: the lock with kEntered, `Attempt::busy` with kGranted.
  Attempt TakeAttempt();

 private:
  void Enter();
  Attempt Conclude();
  void GiveBackGrant();
  void PollUntilDone();
  bool IsStillLeased();
  void LookWhilePolling();

  LockFile file_;
  Record claim_;
  DecodedRecord previous_;
  std::chrono::steady_clock::time_point entered_{};
  const std::unique_ptr<LockWait> kernel_wait_;
  std::function<void()> on_done_;
  // What the waiting thread found, before Publish() lets it be seen: kGranted, if the kernel has.
  State result_ = State::kWaiting;
  Error error_;
  std::chrono::steady_clock::time_point next_look_{};

  mutable std::mutex mutex_;
  Condition changed_;
  State state_ = State::kWaiting;
  bool interrupted_ = false;
  bool finished_ = false;
  bool polling_;
  DecodedRecord last_seen_;
  Observation observation_;
};

// Starts waits, each in a thread of its own as long as there are threads, else in one that they share.
class Waiter {
 public:
  explicit Waiter(WorkerThreads* threads) : threads_(*threads) {}

  Error Start(const std::shared_ptr<Wait>& wait);

 private:
  class SharedThread;

  WorkerThreads& threads_;
  std::shared_ptr<SharedThread> shared_thread_;
};

}  // namespace holdfast

#endif  // HOLDFAST_WAITER_H_
