#include <ctime>

#include "../posix/posix.h"

namespace holdfast {

void InitializeCondition(pthread_cond_t* condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

void WaitRelatively(pthread_cond_t* condition, pthread_mutex_t* mutex,
                    std::chrono::nanoseconds timeout) {
  constexpr long kSecond = 1'000'000'000;
  timespec deadline;
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += static_cast<time_t>(timeout.count() / kSecond);
  deadline.tv_nsec += static_cast<long>(timeout.count() % kSecond);
  if (deadline.tv_nsec >= kSecond) {
    deadline.tv_sec++;
    deadline.tv_nsec -= kSecond;
  }
  pthread_cond_timedwait(condition, mutex, &deadline);
}

}  // namespace holdfast
