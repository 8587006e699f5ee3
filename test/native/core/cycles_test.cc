// What does not grow, however often locks come and go.
#include <dirent.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "core.h"

namespace holdfast {

namespace {

int CountEntries(const char* directory) {
  DIR* open = opendir(directory);
  if (open == nullptr) return -1;
  int count = 0;
  while (readdir(open) != nullptr) count++;
  static_cast<void>(closedir(open));
  return count;
}

struct Figures {
  int descriptors = CountEntries("/proc/self/fd");
  int threads = CountEntries("/proc/self/task");
  long resident = ResidentKilobytes();

  static long ResidentKilobytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
    }
    return -1;
  }
};

void Print(const char* when, const Figures& figures) {
  static_cast<void>(std::printf("%s: %d descriptors, %d threads, %ld KiB\n", when,
                                figures.descriptors, figures.threads, figures.resident));
}

}  // namespace

TEST_CASE("descriptors, threads and memory do not grow with the number of locks") {
  // What allocators and sanitizers keep for themselves comes to this much at the most.
  constexpr long kTolerance = 32 * 1024;
  Locker holder;
  Locker waiter;
  const auto cycles = [&](int count) {
    for (int cycle = 0; cycle < count; cycle++) {
      const std::string target = PathIn("file" + std::to_string(cycle % 10));
      const Locker::Id id = holder.Take(target);
      // Every tenth one is contended.
      const Locker::Id wait = cycle % 10 == 0 ? waiter.StartWait(target) : 0;
      CHECK_EQUAL(holder.environment.Release(id), Outcome::kGranted);
      if (wait == 0) continue;
      CHECK(waiter.environment.AwaitWait(wait, 10000));
      Outcome outcome = Outcome::kFailed;
      CHECK(waiter.environment.Deliver(wait, &outcome));
      CHECK_EQUAL(outcome, Outcome::kGranted);
      const Locker::Id granted = waiter.environment.result_id();
      CHECK_EQUAL(waiter.environment.Release(granted), Outcome::kGranted);
      while (waiter.TakePosted(wait)) {
      }
    }
  };
  const int count = Rounds(5000);
  cycles(count / 10);
  const Figures before;
  cycles(count);
  const Figures after;
  Print("before", before);
  Print("after", after);
  CHECK_EQUAL(after.descriptors, before.descriptors);
  CHECK_EQUAL(after.threads, before.threads);
  CHECK(after.resident - before.resident < kTolerance);
}

}  // namespace holdfast
