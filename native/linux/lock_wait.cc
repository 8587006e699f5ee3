// A blocking flock(2) in a thread of its own, interrupted by a real-time signal.
//
// A handler that was installed without SA_RESTART makes flock() return EINTR (signal(7)). A signal that arrives just
// before the system call is entered is lost, so the sender repeats it until Run() has returned. Closing the descriptor
// would not wake the thread, and pthread_cancel() could hit it while it holds a lock of the C library.
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>

#include <atomic>
#include <mutex>

#include "../posix/posix.h"

namespace holdfast {

namespace {

void DoNothing(int) {}

bool IsOurs(int signal_number) {
  struct sigaction action;
  return sigaction(signal_number, nullptr, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 &&
         action.sa_handler == DoNothing;
}

// Claims the first real-time signal that nobody uses, once for the process: its handler stays for good. The lowest
// ones are passed over, since other run-times pick those first. 0 when all are taken.
int InterruptSignal() {
  static const int kSignal = [] {
    for (int candidate = SIGRTMIN + 10; candidate < SIGRTMAX; candidate++) {
      struct sigaction action;
      if (sigaction(candidate, nullptr, &action) != 0) continue;
      if ((action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != SIG_DFL) continue;
      action = {};
      action.sa_handler = DoNothing;
      sigemptyset(&action.sa_mask);
      if (sigaction(candidate, &action, nullptr) == 0) return candidate;
    }
    return 0;
  }();
  return kSignal;
}

class BlockingLockWait : public LockWait {
 public:
  BlockingLockWait(NativeHandle file, LockMode mode)
      : file_(DescriptorOf(file)), operation_(mode == LockMode::kShared ? LOCK_SH : LOCK_EX) {}

  WaitResult Run(Error* error) override {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, InterruptSignal());
    // Where no more signals can be queued (RLIMIT_SIGPENDING) none would end the wait. This one stays pending until the
    // next line.
    if (pthread_kill(pthread_self(), InterruptSignal()) != 0) return WaitResult::kUnable;
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    {
      std::lock_guard<std::mutex> guard(mutex_);
      thread_ = pthread_self();
      running_ = true;
    }
    const WaitResult result = Block(error);
    std::lock_guard<std::mutex> guard(mutex_);
    running_ = false;
    return result;
  }

  void Interrupt() override {
    interrupted_ = true;
    std::lock_guard<std::mutex> guard(mutex_);
    // Should the application have taken our signal over, sending it could do anything. The thread then stays until the
    // lock is granted, and its owner gives that back.
    if (running_ && IsOurs(InterruptSignal())) pthread_kill(thread_, InterruptSignal());
  }

 private:
  // Not through RetryOnInterrupt: here EINTR is what is waited for.
  WaitResult Block(Error* error) {
    while (!interrupted_) {
      if (flock(file_, operation_) == 0) return WaitResult::kGranted;
      if (errno != EINTR) {
        *error = LastError("flock");
        return WaitResult::kFailed;
      }
    }
    return WaitResult::kInterrupted;
  }

  const int file_;
  const int operation_;
  std::atomic<bool> interrupted_{false};
  // Guards the two below, so that a signal is never sent to a thread that has gone on to something else.
  std::mutex mutex_;
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace

std::unique_ptr<LockWait> NewLockWait(NativeHandle file, LockMode mode, FileSystemClass kind,
                                      LockSlot /*slot*/) {
  if (kind != FileSystemClass::kLocal || InterruptSignal() == 0) return nullptr;
  return std::make_unique<BlockingLockWait>(file, mode);
}

}  // namespace holdfast
