// What the program of the core has for its cases: no JavaScript, and as many threads as they like.
#ifndef HOLDFAST_TEST_CORE_H_
#define HOLDFAST_TEST_CORE_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "../test_case.h"
#include "environment.h"

namespace holdfast {

// An empty directory.
extern std::string test_directory;
// How often a case does what it does: HOLDFAST_ROUNDS, or as often as is usual.
int Rounds(int usual);

std::string PathIn(const std::string& name);
void WriteWhole(const std::string& path, const std::string& contents);

// Runs `body`, which is told its number, in so many threads at once, and waits for all.
void InThreads(int count, const std::function<void(int)>& body);

// Somebody who locks, as a thread of JavaScript does: all calls but Post() come from one thread.
class Locker {
 public:
  using Id = Environment::Id;

  Locker();

  // Waits as long as it takes, and takes over from who hangs.
  Id Take(const std::string& target, uint64_t ttl = 0);
  // Begins to wait; 0 when the lock was there to be had, which it is not kept then.
  Id StartWait(const std::string& target);
  Id Try(const std::string& target);
  // Whether what was posted brought the end of this one.
  bool TakePosted(Id id);

 private:
  // The lock that came of a wait; 0: start again.
  Id AwaitGrant(Id wait, const AcquireOptions& options);

  std::mutex mutex_;
  std::vector<Id> posted_;

 public:
  // The last member, since its threads post until it is closed.
  Environment environment;
};

}  // namespace holdfast

#endif  // HOLDFAST_TEST_CORE_H_
