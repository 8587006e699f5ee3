// The wait for a lock by overlapped I/O, with a kernel of the test's own: Wine says that the lock is pending, never grants
// it, and calls it granted when asked.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "lock.h"
#include "support.h"
#include "waiter.h"

namespace holdfast {

namespace {

// One pending LockFileEx() at a time, which comes to what the test says.
class FakeKernel {
 public:
  FakeKernel() {
    system_calls.grants_pending_locks = true;
    ReplaceCall<&SystemCalls::lock_file>(
        [this](HANDLE file, DWORD flags, DWORD, DWORD low, DWORD high, OVERLAPPED* overlapped) {
          flags_ = flags;
          offset = (static_cast<uint64_t>(overlapped->OffsetHigh) << 32) | overlapped->Offset;
          length = (static_cast<uint64_t>(high) << 32) | low;
          ResetEvent(overlapped->hEvent);
          {
            std::lock_guard<std::mutex> guard(mutex_);
            file_ = file;
            overlapped_ = overlapped;
            locks++;
          }
          changed_.notify_all();
          if (at_once != ERROR_SUCCESS) return Fail(at_once);
          SetEvent(overlapped->hEvent);
          return TRUE;
        });
    ReplaceCall<&SystemCalls::get_overlapped_result>(
        [this](HANDLE file, OVERLAPPED* overlapped, DWORD* count, BOOL wait) {
          // Of another call: reading and writing are overlapped, too.
          if (overlapped != overlapped_) {
            return real_calls.get_overlapped_result(file, overlapped, count, wait);
          }
          CHECK(wait);
          WaitForSingleObject(overlapped->hEvent, INFINITE);
          drained = true;
          return outcome_ == ERROR_SUCCESS ? TRUE : Fail(outcome_);
        });
    ReplaceCall<&SystemCalls::cancel_io>([this](HANDLE file, OVERLAPPED* overlapped) {
      CHECK(file == file_ && overlapped == overlapped_);
      cancels++;
      return on_cancel();
    });
    ReplaceCall<&SystemCalls::unlock_file>([this](HANDLE file, DWORD, DWORD, DWORD, OVERLAPPED*) {
      CHECK(file == file_);
      unlocks++;
      return TRUE;
    });
  }

  // Completes the pending request.
  void Complete(DWORD outcome) {
    outcome_ = outcome;
    SetEvent(overlapped_.load()->hEvent);
  }

  void AwaitRequest() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return locks > 0; });
  }

  DWORD flags() const { return flags_; }

  // What LockFileEx() says; ERROR_SUCCESS grants.
  DWORD at_once = ERROR_IO_PENDING;
  // By default as Windows does it: what is cancelled completes.
  std::function<BOOL()> on_cancel = [this] {
    Complete(ERROR_OPERATION_ABORTED);
    return TRUE;
  };
  std::atomic<int> locks{0};
  std::atomic<int> cancels{0};
  std::atomic<int> unlocks{0};
  std::atomic<bool> drained{false};
  uint64_t offset = 0;
  uint64_t length = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  HANDLE file_ = nullptr;
  std::atomic<OVERLAPPED*> overlapped_{nullptr};
  DWORD flags_ = 0;
  std::atomic<DWORD> outcome_{ERROR_SUCCESS};
};

// A wait that runs in a thread of its own.
class RunningWait {
 public:
  explicit RunningWait(LockMode mode = LockMode::kExclusive)
      : wait_(NewLockWait(0, mode, FileSystemClass::kLocal)) {
    CHECK(wait_ != nullptr);
  }

  LockWait* operator->() { return wait_.get(); }

  void Start() {
    thread_ = std::thread([this] { result_ = wait_->Run(&error); });
  }

  WaitResult Join() {
    thread_.join();
    return result_;
  }

  Error error;

 private:
  std::unique_ptr<LockWait> wait_;
  std::thread thread_;
  WaitResult result_ = WaitResult::kFailed;
};

// A lock file that exists and is checked, as a wait takes it.
LockFile OpenTestLockFile() {
  LockRequest request;
  request.target = PathIn("target");
  LockLocation location;
  LockFile file;
  CHECK_EQUAL(Locate(request, &location).number, 0);
  CHECK_EQUAL(OpenChecked(request, &location, &file).number, 0);
  file.file_system = FileSystemClass::kLocal;
  return file;
}

TEST_CASE("wait: a lock that is free is granted at once") {
  for (const LockMode mode : {LockMode::kExclusive, LockMode::kShared}) {
    FakeKernel kernel;
    kernel.at_once = ERROR_SUCCESS;
    RunningWait wait(mode);
    wait.Start();
    CHECK_EQUAL(wait.Join(), WaitResult::kGranted);
    CHECK_EQUAL(kernel.flags(), mode == LockMode::kExclusive ? LOCKFILE_EXCLUSIVE_LOCK : 0);
    CHECK_EQUAL(kernel.offset, kLockOffset);
    CHECK_EQUAL(kernel.length, 1);
    CHECK_EQUAL(kernel.cancels.load(), 0);
  }
}

TEST_CASE("wait: a pending lock is granted later") {
  FakeKernel kernel;
  RunningWait wait;
  wait.Start();
  kernel.AwaitRequest();
  kernel.Complete(ERROR_SUCCESS);
  CHECK_EQUAL(wait.Join(), WaitResult::kGranted);
  CHECK_EQUAL(kernel.cancels.load(), 0);
}

TEST_CASE("wait: a request that fails is a failure with its code") {
  FakeKernel kernel;
  kernel.at_once = ERROR_INVALID_HANDLE;
  RunningWait wait;
  wait.Start();
  CHECK_EQUAL(wait.Join(), WaitResult::kFailed);
  CHECK_EQUAL(wait.error.number, EBADF);
  CHECK_EQUAL(wait.error.system_code, ERROR_INVALID_HANDLE);
  CHECK_EQUAL(std::string(wait.error.syscall), "LockFileEx");
}

TEST_CASE("wait: the handle is closed meanwhile, which is a failure") {
  FakeKernel kernel;
  RunningWait wait;
  wait.Start();
  kernel.AwaitRequest();
  kernel.Complete(ERROR_NOT_LOCKED);
  CHECK_EQUAL(wait.Join(), WaitResult::kFailed);
  CHECK_EQUAL(wait.error.system_code, ERROR_NOT_LOCKED);
  CHECK_EQUAL(kernel.cancels.load(), 0);
}

TEST_CASE("wait: an interruption cancels, drains and takes no lock") {
  FakeKernel kernel;
  RunningWait wait;
  wait.Start();
  kernel.AwaitRequest();
  wait->Interrupt();
  wait->Interrupt();
  CHECK_EQUAL(wait.Join(), WaitResult::kInterrupted);
  CHECK_EQUAL(kernel.cancels.load(), 1);
  CHECK(kernel.drained);
  CHECK(wait.error.ok());
}

TEST_CASE("wait: an interruption that comes before the wait ends it") {
  FakeKernel kernel;
  RunningWait wait;
  wait->Interrupt();
  wait.Start();
  CHECK_EQUAL(wait.Join(), WaitResult::kInterrupted);
  CHECK_EQUAL(kernel.cancels.load(), 1);
}

TEST_CASE("wait: an interruption waits until the kernel is done with the request") {
  FakeKernel kernel;
  kernel.on_cancel = [] { return TRUE; };
  RunningWait wait;
  wait->Interrupt();
  wait.Start();
  kernel.AwaitRequest();
  while (kernel.cancels == 0) Sleep(1);
  Sleep(20);
  CHECK(!kernel.drained);
  kernel.Complete(ERROR_OPERATION_ABORTED);
  CHECK_EQUAL(wait.Join(), WaitResult::kInterrupted);
}

TEST_CASE("wait: a grant wins over a cancellation that finds nothing to cancel") {
  FakeKernel kernel;
  kernel.on_cancel = [&] {
    kernel.Complete(ERROR_SUCCESS);
    return Fail(ERROR_NOT_FOUND);
  };
  RunningWait wait;
  wait.Start();
  kernel.AwaitRequest();
  wait->Interrupt();
  CHECK_EQUAL(wait.Join(), WaitResult::kGranted);
}

TEST_CASE("wait: a grant wins over a cancellation that came too late") {
  FakeKernel kernel;
  kernel.on_cancel = [&] {
    kernel.Complete(ERROR_SUCCESS);
    return TRUE;
  };
  RunningWait wait;
  wait.Start();
  kernel.AwaitRequest();
  wait->Interrupt();
  CHECK_EQUAL(wait.Join(), WaitResult::kGranted);
}

TEST_CASE("wait: a failure while it is cancelled is a failure") {
  FakeKernel kernel;
  kernel.on_cancel = [&] {
    kernel.Complete(ERROR_NETNAME_DELETED);
    return TRUE;
  };
  RunningWait wait;
  wait->Interrupt();
  wait.Start();
  CHECK_EQUAL(wait.Join(), WaitResult::kFailed);
  CHECK_EQUAL(wait.error.number, ECONNRESET);
}

TEST_CASE("wait: what somebody else cancels is a failure, not an interruption") {
  FakeKernel kernel;
  RunningWait wait;
  wait.Start();
  kernel.AwaitRequest();
  kernel.Complete(ERROR_OPERATION_ABORTED);
  CHECK_EQUAL(wait.Join(), WaitResult::kFailed);
  CHECK_EQUAL(wait.error.number, ECANCELED);
}

TEST_CASE("wait: there is none where the kernel does not wake, or another machine answers") {
  FakeKernel kernel;
  const auto can_wait = [](FileSystemClass kind) {
    return NewLockWait(0, LockMode::kExclusive, kind) != nullptr;
  };
  CHECK(can_wait(FileSystemClass::kLocal));
  CHECK(!can_wait(FileSystemClass::kNetwork));
  CHECK(!can_wait(FileSystemClass::kUnknown));
  system_calls.grants_pending_locks = false;
  CHECK(!can_wait(FileSystemClass::kLocal));
}

TEST_CASE("waiter: a grant is entered, and handed on with the file") {
  FakeKernel kernel;
  WorkerThreads threads;
  Waiter waiter(&threads);
  std::atomic<int> told{0};
  auto wait = std::make_shared<Wait>(OpenTestLockFile(), Record{}, [&] { told++; });
  CHECK(waiter.Start(wait).ok());
  kernel.AwaitRequest();
  CHECK_EQUAL(wait->Await(std::chrono::milliseconds(20)), Wait::State::kWaiting);
  kernel.Complete(ERROR_SUCCESS);
  CHECK_EQUAL(wait->Await(std::chrono::seconds(20)), Wait::State::kEntered);
  CHECK(wait->TakeAttempt().held.file.file.valid());
  threads.Stop();
  CHECK_EQUAL(told.load(), 1);
  CHECK_EQUAL(kernel.unlocks.load(), 0);
}

TEST_CASE("waiter: a cancelled wait settles before the kernel answers, and closes the file") {
  FakeKernel kernel;
  kernel.on_cancel = [] { return TRUE; };
  WorkerThreads threads;
  Waiter waiter(&threads);
  std::atomic<int> told{0};
  auto wait = std::make_shared<Wait>(OpenTestLockFile(), Record{}, [&] { told++; });
  CHECK(waiter.Start(wait).ok());
  kernel.AwaitRequest();
  wait->Cancel();
  CHECK_EQUAL(wait->state(), Wait::State::kCancelled);
  CHECK(!wait->IsFinished());
  CHECK(wait->file().file.valid());
  kernel.Complete(ERROR_OPERATION_ABORTED);
  threads.Stop();
  CHECK(wait->IsFinished());
  CHECK(!wait->file().file.valid());
  CHECK_EQUAL(told.load(), 0);
  CHECK_EQUAL(kernel.unlocks.load(), 0);
}

TEST_CASE("waiter: a grant that comes after the cancellation is given back") {
  FakeKernel kernel;
  kernel.on_cancel = [&] {
    kernel.Complete(ERROR_SUCCESS);
    return Fail(ERROR_NOT_FOUND);
  };
  WorkerThreads threads;
  Waiter waiter(&threads);
  std::atomic<int> told{0};
  auto wait = std::make_shared<Wait>(OpenTestLockFile(), Record{}, [&] { told++; });
  CHECK(waiter.Start(wait).ok());
  kernel.AwaitRequest();
  wait->Cancel();
  threads.Stop();
  CHECK_EQUAL(wait->state(), Wait::State::kCancelled);
  CHECK_EQUAL(kernel.unlocks.load(), 1);
  CHECK(!wait->file().file.valid());
  CHECK_EQUAL(told.load(), 0);
}

TEST_CASE("waiter: a failure is told with its error, also when somebody else cancelled") {
  for (const DWORD code : {ERROR_NOT_LOCKED, ERROR_OPERATION_ABORTED}) {
    FakeKernel kernel;
    WorkerThreads threads;
    Waiter waiter(&threads);
    std::atomic<int> told{0};
    auto wait = std::make_shared<Wait>(OpenTestLockFile(), Record{}, [&] { told++; });
    CHECK(waiter.Start(wait).ok());
    kernel.AwaitRequest();
    kernel.Complete(code);
    CHECK_EQUAL(wait->Await(std::chrono::seconds(20)), Wait::State::kFailed);
    CHECK_EQUAL(wait->TakeAttempt().error.system_code, code);
    threads.Stop();
    CHECK_EQUAL(told.load(), 1);
    CHECK(!wait->file().file.valid());
  }
}

TEST_CASE("waiter: the end of the environment cancels what is pending and joins its thread") {
  FakeKernel kernel;
  auto threads = std::make_unique<WorkerThreads>();
  Waiter waiter(threads.get());
  auto wait = std::make_shared<Wait>(OpenTestLockFile(), Record{}, [] {});
  CHECK(waiter.Start(wait).ok());
  kernel.AwaitRequest();
  threads.reset();
  CHECK(wait->IsFinished());
  CHECK(kernel.cancels > 0);
  CHECK(kernel.drained);
  CHECK(!wait->file().file.valid());
}

TEST_CASE(
    "waiter: the end of the environment does not wait for a request that cannot be cancelled") {
  FakeKernel kernel;
  kernel.on_cancel = [] { return Fail(ERROR_INVALID_FUNCTION); };
  auto threads = std::make_unique<WorkerThreads>();
  Waiter waiter(threads.get());
  auto wait = std::make_shared<Wait>(OpenTestLockFile(), Record{}, [] {});
  CHECK(waiter.Start(wait).ok());
  kernel.AwaitRequest();
  wait->Cancel();
  threads.reset();
  CHECK(!wait->IsFinished());
  // What it still gets, it gives back.
  kernel.Complete(ERROR_SUCCESS);
  while (!wait->IsFinished()) Sleep(1);
  CHECK_EQUAL(kernel.unlocks.load(), 1);
}

TEST_CASE("try: what the kernel says later is what it comes to") {
  LockFile file = OpenTestLockFile();
  FakeKernel kernel;
  bool granted = false;
  const auto try_lock = [&](DWORD outcome) {
    ReplaceCall<&SystemCalls::get_overlapped_result>(
        [outcome](HANDLE, OVERLAPPED*, DWORD*, BOOL wait) {
          CHECK(wait);
          return outcome == ERROR_SUCCESS ? TRUE : Fail(outcome);
        });
    granted = outcome != ERROR_SUCCESS;
    return TryLock(file.file.get(), LockMode::kExclusive, &granted);
  };
  CHECK(try_lock(ERROR_SUCCESS).ok());
  CHECK(granted);
  CHECK_EQUAL(kernel.flags(), LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY);
  CHECK_EQUAL(kernel.offset, kLockOffset);
  CHECK(try_lock(ERROR_LOCK_VIOLATION).ok());
  CHECK(!granted);
  CHECK_EQUAL(try_lock(ERROR_NETNAME_DELETED).number, ECONNRESET);
  CHECK(!granted);
}

TEST_CASE("try: what the kernel says at once is what it comes to") {
  LockFile file = OpenTestLockFile();
  FakeKernel kernel;
  bool granted = false;
  kernel.at_once = ERROR_SUCCESS;
  CHECK(TryLock(file.file.get(), LockMode::kShared, &granted).ok());
  CHECK(granted);
  CHECK_EQUAL(kernel.flags(), LOCKFILE_FAIL_IMMEDIATELY);
  kernel.at_once = ERROR_LOCK_VIOLATION;
  CHECK(TryLock(file.file.get(), LockMode::kShared, &granted).ok());
  CHECK(!granted);
  kernel.at_once = ERROR_NOT_SUPPORTED;
  CHECK_EQUAL(TryLock(file.file.get(), LockMode::kShared, &granted).number, ENOTSUP);
  CHECK(!granted);
}

TEST_CASE("try: the contents and the byte of a lock are different ranges") {
  LockFile file = OpenTestLockFile();
  LockFile other = OpenTestLockFile();
  bool granted = false;
  CHECK(TryLockContents(file.file.get(), &granted).ok());
  CHECK(granted);
  CHECK(TryLock(other.file.get(), LockMode::kExclusive, &granted).ok());
  CHECK(granted);
  CHECK(TryLockContents(other.file.get(), &granted).ok());
  CHECK(!granted);
  CHECK(TryLock(file.file.get(), LockMode::kShared, &granted).ok());
  CHECK(!granted);
  CHECK(Unlock(other.file.get()).ok());
  CHECK(TryLock(file.file.get(), LockMode::kShared, &granted).ok());
  CHECK(granted);
}

TEST_CASE("unlock: a failure is told") {
  LockFile file = OpenTestLockFile();
  ReplaceCall<&SystemCalls::unlock_file>([](auto&&...) { return Fail(ERROR_NOT_LOCKED); });
  CHECK_EQUAL(Unlock(file.file.get()).system_code, ERROR_NOT_LOCKED);
}

}  // namespace

}  // namespace holdfast
