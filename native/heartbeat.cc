#include "heartbeat.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

namespace holdfast {

namespace {

using Clock = std::chrono::steady_clock;

// After a refresh that failed, as proper-lockfile has it.
constexpr std::chrono::milliseconds kRetryInterval(1000);

uint64_t DeviceOf(const HeldLock& held) { return held.file.location.directory.identity.device; }

}  // namespace

// The directories on one device, and the thread that refreshes them.
class Heartbeat::Beats : public Work {
 public:
  explicit Beats(std::function<void(uint64_t)> on_loss) : on_loss_(std::move(on_loss)) {}

  // True when no thread runs, so that one has to be started.
  bool Add(uint64_t id, const std::shared_ptr<HeldLock>& held, std::chrono::milliseconds interval) {
    std::lock_guard<std::mutex> guard(mutex_);
    const Clock::time_point due = Clock::now() + interval;
    beats_[id] = {held, held->directory, interval, due};
    if (due < next_) changed_.notify_all();
    return !std::exchange(running_, true);
  }

  void Remove(uint64_t id) {
    std::lock_guard<std::mutex> guard(mutex_);
    beats_.erase(id);
  }

  void NotStarted() {
    std::lock_guard<std::mutex> guard(mutex_);
    running_ = false;
    beats_.clear();
  }

  void Run() override {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!interrupted_ && !beats_.empty()) {
      next_ = NextDue();
      if (const auto left = next_ - Clock::now(); left > Clock::duration::zero()) {
        changed_.wait_for(lock, std::chrono::ceil<std::chrono::milliseconds>(left),
                          [&] { return interrupted_ || NextDue() < next_; });
        continue;
      }
      for (const uint64_t id : Due()) {
        const auto found = beats_.find(id);
        if (found == beats_.end()) continue;
        Beat beat = found->second;
        lock.unlock();
        const bool goes_on = RefreshOne(id, &beat);
        lock.lock();
        if (!goes_on) {
          beats_.erase(id);
        } else if (const auto again = beats_.find(id); again != beats_.end()) {
          again->second = beat;
        }
      }
    }
    running_ = false;
  }
  void Publish() override {}
  void Interrupt() override {
    std::lock_guard<std::mutex> guard(mutex_);
    interrupted_ = true;
    changed_.notify_all();
  }

 private:
  struct Beat {
    // The lock may be released at any time. What is being refreshed stays open until that is done.
    std::weak_ptr<HeldLock> held;
    std::shared_ptr<LockDirectory> directory;
    std::chrono::milliseconds interval{};
    Clock::time_point due;
  };

  Clock::time_point NextDue() const {
    Clock::time_point next = Clock::time_point::max();
    for (const auto& [id, beat] : beats_) next = std::min(next, beat.due);
    return next;
  }

  std::vector<uint64_t> Due() const {
    std::vector<uint64_t> due;
    for (const auto& [id, beat] : beats_) {
      if (beat.due <= next_) due.push_back(id);
    }
    return due;
  }

  // False when there is nothing to refresh any more.
  bool RefreshOne(uint64_t id, Beat* beat) const {
    const std::shared_ptr<HeldLock> held = beat->held.lock();
    if (held == nullptr) return false;
    bool failed = false;
    if (beat->directory->Refresh(held->file.location.directory, &failed)) {
      beat->due = Clock::now() + (failed ? kRetryInterval : beat->interval);
      return true;
    }
    if (beat->directory->lost()) on_loss_(id);
    return false;
  }

  const std::function<void(uint64_t)> on_loss_;
  std::mutex mutex_;
  Condition changed_;
  std::unordered_map<uint64_t, Beat> beats_;
  // When the thread looks again: after that it ends, if there is nothing to look at.
  Clock::time_point next_ = Clock::time_point::max();
  bool running_ = false;
  bool interrupted_ = false;
};

Heartbeat::Heartbeat(WorkerThreads* threads, std::function<void(uint64_t)> on_loss)
    : threads_(*threads), on_loss_(std::move(on_loss)) {}

Error Heartbeat::Add(uint64_t id, const std::shared_ptr<HeldLock>& held,
                     std::chrono::milliseconds interval) {
  std::shared_ptr<Beats>& beats = beats_[DeviceOf(*held)];
  if (beats == nullptr) beats = std::make_shared<Beats>(on_loss_);
  if (!beats->Add(id, held, interval)) return {};
  // Without a thread the lock could not be kept: the limit is for waits, which can do with fewer.
  Error error = threads_.Start(beats, std::numeric_limits<size_t>::max());
  if (!error.ok()) beats->NotStarted();
  return error;
}

void Heartbeat::Remove(uint64_t id, const HeldLock& held) {
  const auto beats = beats_.find(DeviceOf(held));
  if (beats != beats_.end()) beats->second->Remove(id);
}

}  // namespace holdfast
