#include <ctime>

#include "../posix/posix.h"

namespace holdfast {

// There is no pthread_condattr_setclock().
void InitializeCondition(pthread_cond_t* condition) { pthread_cond_init(condition, nullptr); }

void WaitRelatively(pthread_cond_t* condition, pthread_mutex_t* mutex,
                    std::chrono::nanoseconds timeout) {
  constexpr long kSecond = 1'000'000'000;
  const timespec relative{static_cast<time_t>(timeout.count() / kSecond),
                          static_cast<long>(timeout.count() % kSecond)};
  pthread_cond_timedwait_relative_np(condition, mutex, &relative);
}

}  // namespace holdfast
