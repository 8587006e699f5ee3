#include "waiter.h"

#include <algorithm>

namespace holdfast {

namespace {

using std::chrono::milliseconds;

// Between two tries where the kernel does not wake us.
constexpr milliseconds kFirstDelay(1);
constexpr milliseconds kLastDelay(50);

milliseconds NextDelay(milliseconds delay) { return std::min(delay * 2, kLastDelay); }

}  // namespace

Wait::Wait(LockFile file, std::function<void()> on_done)
    : file_(std::move(file)),
      kernel_wait_(NewLockWait(file_.file.get(), file_.mode, file_.file_system)),
      on_done_(std::move(on_done)) {}

void Wait::Run() {
  if (kernel_wait_ == nullptr) {
    PollUntilDone();
    return;
  }
  Error error;
  result_ = kernel_wait_->Run(&error);
  result_error_ = std::move(error);
}

void Wait::PollUntilDone() {
  milliseconds delay = kFirstDelay;
  while (!Poll()) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, delay, [&] { return interrupted_; });
    delay = NextDelay(delay);
  }
}

bool Wait::Poll() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    if (interrupted_) return true;
  }
  bool granted = false;
  result_error_ = TryLock(file_.file.get(), file_.mode, &granted);
  if (!result_error_.ok()) {
    result_ = WaitResult::kFailed;
  } else if (granted) {
    result_ = WaitResult::kGranted;
  }
  return result_ != WaitResult::kInterrupted;
}

void Wait::Publish() {
  std::function<void()> on_done;
  {
    std::lock_guard<std::mutex> guard(mutex_);
    if (state_ == State::kWaiting && result_ != WaitResult::kInterrupted) {
      state_ = result_ == WaitResult::kGranted ? State::kGranted : State::kFailed;
      on_done = std::move(on_done_);
    } else {
      file_.file.Reset();
    }
    finished_ = true;
    changed_.notify_all();
  }
  if (on_done) on_done();
}

void Wait::Interrupt() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    interrupted_ = true;
    if (finished_) return;
    changed_.notify_all();
  }
  if (kernel_wait_ != nullptr) kernel_wait_->Interrupt();
}

bool Wait::Cancel() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    const bool granted = state_ == State::kGranted;
    state_ = State::kCancelled;
    if (finished_) {
      file_.file.Reset();
      return !granted;
    }
  }
  Interrupt();
  return true;
}

Wait::State Wait::Await(milliseconds timeout) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return state_ != State::kWaiting; });
  return state_;
}

Wait::State Wait::state() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return state_;
}

bool Wait::IsFinished() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return finished_;
}

Error Wait::error() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return result_error_;
}

// Tries all its waits in turn, the more seldom the longer nothing happens, and ends with the last of them.
class Waiter::SharedThread : public Work {
 public:
  // False when the thread is about to end: the wait needs a new one.
  bool Add(std::shared_ptr<Wait> wait) {
    std::lock_guard<std::mutex> guard(mutex_);
    if (ended_) return false;
    waits_.push_back(std::move(wait));
    return true;
  }

  void Run() override {
    milliseconds delay = kFirstDelay;
    std::unique_lock<std::mutex> lock(mutex_);
    while (!waits_.empty() && !interrupted_) {
      const std::vector<std::shared_ptr<Wait>> waits = waits_;
      lock.unlock();
      std::vector<std::shared_ptr<Wait>> done;
      for (const auto& wait : waits) {
        if (wait->Poll()) done.push_back(wait);
      }
      for (const auto& wait : done) wait->Publish();
      lock.lock();
      for (const auto& wait : done) waits_.erase(std::find(waits_.begin(), waits_.end(), wait));
      delay = done.empty() ? NextDelay(delay) : kFirstDelay;
      if (!waits_.empty()) changed_.wait_for(lock, delay, [&] { return interrupted_; });
    }
    ended_ = true;
  }

  void Publish() override {}

  void Interrupt() override {
    std::lock_guard<std::mutex> guard(mutex_);
    interrupted_ = true;
    for (const auto& wait : waits_) wait->Interrupt();
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Wait>> waits_;
  bool interrupted_ = false;
  bool ended_ = false;
};

Error Waiter::Start(const std::shared_ptr<Wait>& wait) {
  if (threads_.Start(wait).ok()) return {};
  if (shared_thread_ != nullptr && shared_thread_->Add(wait)) return {};
  shared_thread_ = std::make_shared<SharedThread>();
  shared_thread_->Add(wait);
  return threads_.Start(shared_thread_, WorkerThreads::kMaxThreads + 1);
}

}  // namespace holdfast
