#ifndef HOLDFAST_WAITER_H_
#define HOLDFAST_WAITER_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "lock.h"
#include "worker_threads.h"

namespace holdfast {

// One wait for a lock file: it ends with a grant, a failure or a cancellation, whichever comes first. The thread that
// waits never hands on a lock that is granted after a cancellation: it closes the file.
class Wait : public Work {
 public:
  enum class State : uint8_t { kWaiting, kGranted, kFailed, kCancelled };

  // `on_done` is called once, from the waiting thread, unless the wait is cancelled before.
  Wait(LockFile file, std::function<void()> on_done);

  void Run() override;
  void Publish() override;
  void Interrupt() override;

  // One try, for waits that share a thread. True when there is nothing left to wait for.
  bool Poll();
  // Whether this one has to be tried on a timer.
  bool kernel_wakes() const { return kernel_wait_ != nullptr; }

  // True when nothing was granted. The thread may need a moment, and Interrupt() again, until IsFinished().
  bool Cancel();
  // Blocks the caller until the wait is over or the time has passed.
  State Await(std::chrono::milliseconds timeout);
  State state() const;
  bool IsFinished() const;
  Error error() const;

  // The file is read and looked at while the thread waits on it, and taken away after a grant.
  const LockFile& file() const { return file_; }
  LockFile TakeFile() { return std::move(file_); }

 private:
  void PollUntilDone();
  bool IsWaiting() const;

  LockFile file_;
  std::unique_ptr<LockWait> kernel_wait_;
  std::function<void()> on_done_;
  // What Run() found, before Publish() lets it be seen.
  WaitResult result_ = WaitResult::kInterrupted;
  Error result_error_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kWaiting;
  bool interrupted_ = false;
  bool finished_ = false;
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
