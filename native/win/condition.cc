#include <condition_variable>

#include "win.h"

namespace holdfast {

// SleepConditionVariableSRW(), which is behind it, takes an interval.
struct Condition::Native {
  std::condition_variable condition;
};

Condition::Condition() : native_(std::make_unique<Native>()) {}

Condition::~Condition() = default;

void Condition::notify_all() { native_->condition.notify_all(); }

void Condition::WaitOnce(std::unique_lock<std::mutex>& lock) { native_->condition.wait(lock); }

void Condition::WaitOnce(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds timeout) {
  native_->condition.wait_for(lock, timeout);
}

}  // namespace holdfast
