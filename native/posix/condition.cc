#include "posix.h"

namespace holdfast {

struct Condition::Native {
  pthread_cond_t condition;
};

Condition::Condition() : native_(std::make_unique<Native>()) {
  InitializeCondition(&native_->condition);
}

Condition::~Condition() { pthread_cond_destroy(&native_->condition); }

void Condition::notify_all() { pthread_cond_broadcast(&native_->condition); }

void Condition::WaitOnce(std::unique_lock<std::mutex>& lock) {
  pthread_cond_wait(&native_->condition, lock.mutex()->native_handle());
}

void Condition::WaitOnce(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds timeout) {
  WaitRelatively(&native_->condition, lock.mutex()->native_handle(), timeout);
}

}  // namespace holdfast
