#include "core.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

namespace holdfast {

namespace {

constexpr uint32_t kLookInterval = 10;

AcquireOptions OptionsFor(const std::string& target, uint64_t ttl) {
  AcquireOptions options;
  options.request.target = target;
  options.claimant.ttl = ttl;
  options.may_block = true;
  options.overtake = true;
  options.keep_file = true;
  return options;
}

}  // namespace

std::string test_directory;

void PrepareCase(const std::string& directory) { test_directory = directory; }

int Rounds(int usual) {
  const char* given = std::getenv("HOLDFAST_ROUNDS");
  return given == nullptr ? usual : std::atoi(given);
}

std::string PathIn(const std::string& name) { return test_directory + '/' + name; }

void WriteWhole(const std::string& path, const std::string& contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << contents;
}

void InThreads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (int number = 0; number < count; number++) threads.emplace_back(body, number);
  for (std::thread& thread : threads) thread.join();
}

Locker::Locker()
    : environment("host", [this](Id id) {
        const std::lock_guard<std::mutex> lock(mutex_);
        posted_.push_back(id);
      }) {}

bool Locker::TakePosted(Id id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto place = std::find(posted_.begin(), posted_.end(), id);
  if (place == posted_.end()) return false;
  posted_.erase(place);
  return true;
}

Locker::Id Locker::Try(const std::string& target) {
  AcquireOptions options = OptionsFor(target, 0);
  options.keep_file = false;
  return environment.Acquire(options) == Outcome::kGranted ? environment.result_id() : 0;
}

Locker::Id Locker::StartWait(const std::string& target) {
  const Outcome outcome = environment.Acquire(OptionsFor(target, 0));
  const Id id = environment.result_id();
  if (outcome == Outcome::kGranted) {
    CHECK_EQUAL(environment.Release(id), Outcome::kGranted);
    return 0;
  }
  CHECK_EQUAL(outcome, Outcome::kBusy);
  CHECK(environment.StartWait(id, {}) != Outcome::kFailed);
  return id;
}

Locker::Id Locker::Take(const std::string& target, uint64_t ttl) {
  const AcquireOptions options = OptionsFor(target, ttl);
  for (;;) {
    const Outcome outcome = environment.Acquire(options);
    const Id id = environment.result_id();
    if (outcome == Outcome::kGranted) return id;
    if (outcome != Outcome::kBusy) {
      ReportFailure(__FILE__, __LINE__,
                    Shown(outcome) + ' ' + environment.last_error().syscall + ' ' +
                        Shown(environment.last_error().number));
      return 0;
    }
    if (environment.StartWait(id, options.claimant) == Outcome::kFailed) return 0;
    if (const Id granted = AwaitGrant(id, options)) return granted;
  }
}

Locker::Id Locker::AwaitGrant(Id wait, const AcquireOptions& options) {
  const std::atomic<bool> given_up{false};
  const Patience patience = Patience::UntilGivenUp(&given_up);
  for (;;) {
    if (environment.AwaitWait(wait, kLookInterval)) {
      const Outcome outcome = environment.Complete(wait, options.claimant, patience);
      return outcome == Outcome::kGranted ? environment.result_id() : 0;
    }
    const Outcome look = environment.LookAtWait(wait);
    if (look == Outcome::kOverdue) {
      AcquireOptions taking = options;
      taking.keep_file = false;
      const Outcome taken = environment.TakeOver(wait, taking, patience);
      const Id id = environment.result_id();
      if (taken == Outcome::kGranted) {
        environment.Cancel(wait);
        environment.InterruptCancelled();
        return id;
      }
    } else if (look == Outcome::kStale) {
      environment.Cancel(wait);
      environment.InterruptCancelled();
      return 0;
    }
  }
}

}  // namespace holdfast
