// What threads of one process do to one another: those that wait, the shared one, the heartbeat's, and takers.
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core.h"

namespace holdfast {

namespace {

constexpr int kLockers = 6;

// How many hold the lock, as they say; one at a time may.
class Inside {
 public:
  void Enter() { CHECK_EQUAL(holders_.fetch_add(1), 0); }
  void Leave() { CHECK_EQUAL(holders_.fetch_sub(1), 1); }

 private:
  std::atomic<int> holders_{0};
};

}  // namespace

TEST_CASE("lockers that wait exclude one another, and every one gets its turn") {
  const std::string target = PathIn("file");
  Inside inside;
  InThreads(kLockers, [&](int) {
    Locker locker;
    for (int round = 0; round < Rounds(100); round++) {
      const Locker::Id id = locker.Take(target);
      inside.Enter();
      inside.Leave();
      CHECK_EQUAL(locker.environment.Release(id), Outcome::kGranted);
    }
  });
}

TEST_CASE("a wait that is cancelled at any moment never keeps the lock") {
  const std::string target = PathIn("file");
  Inside inside;
  InThreads(kLockers, [&](int number) {
    Locker locker;
    for (int round = 0; round < Rounds(100); round++) {
      if ((round + number) % 2 == 0) {
        const Locker::Id id = locker.Take(target);
        inside.Enter();
        inside.Leave();
        CHECK_EQUAL(locker.environment.Release(id), Outcome::kGranted);
      } else if (const Locker::Id wait = locker.StartWait(target)) {
        if (round % 4 == 1) std::this_thread::yield();
        locker.environment.Cancel(wait);
        locker.environment.InterruptCancelled();
      }
    }
  });
  Locker last;
  const Locker::Id id = last.Take(target);
  CHECK(id != 0);
  CHECK_EQUAL(last.environment.Release(id), Outcome::kGranted);
}

TEST_CASE("an environment that is closed ends its waits and frees its locks") {
  const std::string target = PathIn("file");
  for (int round = 0; round < Rounds(30); round++) {
    InThreads(kLockers, [&](int number) {
      Locker locker;
      static_cast<void>(locker.StartWait(target));
      static_cast<void>(locker.StartWait(target + std::to_string(number % 2)));
      static_cast<void>(locker.Try(target));
    });
    Locker next;
    CHECK(next.Try(target) != 0);
  }
}

TEST_CASE("more waits than threads share one that tries") {
  constexpr int kWaits = static_cast<int>(WorkerThreads::kMaxThreads) + 12;
  Locker holder;
  Locker waiter;
  std::vector<Locker::Id> held;
  std::vector<Locker::Id> waits;
  for (int number = 0; number < kWaits; number++) {
    const std::string target = PathIn("file" + std::to_string(number));
    held.push_back(holder.Take(target));
    waits.push_back(waiter.StartWait(target));
  }
  for (const Locker::Id id : held) {
    CHECK_EQUAL(holder.environment.Release(id), Outcome::kGranted);
  }
  for (const Locker::Id wait : waits) {
    CHECK(wait != 0 && waiter.environment.AwaitWait(wait, 10000));
    Outcome outcome = Outcome::kFailed;
    CHECK(waiter.environment.Deliver(wait, &outcome));
    CHECK_EQUAL(outcome, Outcome::kGranted);
  }
}

TEST_CASE("of several takers of a hung holder's lock one wins, and the holder finds out") {
  constexpr uint64_t kTtl = 60;
  const std::string target = PathIn("file");
  for (int round = 0; round < Rounds(5); round++) {
    Locker hung;
    const Locker::Id lost = hung.Take(target, kTtl);
    Inside inside;
    InThreads(3, [&](int) {
      Locker taker;
      const Locker::Id id = taker.Take(target);
      inside.Enter();
      CHECK_EQUAL(taker.environment.Verify(id), Outcome::kGranted);
      inside.Leave();
      CHECK_EQUAL(taker.environment.Release(id), Outcome::kGranted);
    });
    CHECK_EQUAL(hung.environment.Verify(lost), Outcome::kStale);
    CHECK_EQUAL(hung.environment.ShowLife(lost), Outcome::kStale);
  }
}

TEST_CASE("a holder with a ttl that shows life is not robbed") {
  constexpr uint64_t kTtl = 2000;
  const std::string target = PathIn("file");
  Locker alive;
  const Locker::Id id = alive.Take(target, kTtl);
  std::atomic<bool> over{false};
  std::thread waiting([&] {
    Locker taker;
    const Locker::Id taken = taker.Take(target);
    CHECK(over);
    CHECK_EQUAL(taker.environment.Release(taken), Outcome::kGranted);
  });
  for (int beat = 0; beat < 60; beat++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK_EQUAL(alive.environment.ShowLife(id), Outcome::kGranted);
  }
  over = true;
  CHECK_EQUAL(alive.environment.Release(id), Outcome::kGranted);
  waiting.join();
}

TEST_CASE("a lock on a remote file system is lost when another holder has written its record") {
  for (const LockMode mode : {LockMode::kExclusive, LockMode::kShared}) {
    const std::string target = PathIn(mode == LockMode::kShared ? "shared" : "exclusive");
    FileSystems file_systems;
    AcquireOptions options;
    options.request.target = target;
    options.may_block = true;
    Record claim;
    claim.pid = ProcessId();
    claim.host = "host";
    // A first holder, so that there is a record.
    Attempt first = TryAcquire(options, &file_systems, {}, Patience::None(), &claim);
    CHECK_EQUAL(first.outcome, Outcome::kGranted);
    CHECK(Leave(first.held).ok());
    first.held.file.file.Reset();
    options.request.mode = mode;
    Attempt attempt = TryAcquire(options, &file_systems, {}, Patience::None(), &claim);
    CHECK_EQUAL(attempt.outcome, Outcome::kGranted);
    HeldLock& held = attempt.held;
    held.file.file_system = FileSystemClass::kNetwork;
    bool ours = false;
    CHECK(IsStillOurs(held, &ours).ok() && ours);
    // As a holder on another machine does, to whom the server has given the lock meanwhile.
    DecodedRecord record;
    CHECK(ReadHolder(held.file.file.get(), &record).ok());
    record.record.token++;
    CHECK(WriteRecord(held.file.file.get(), record.record).ok());
    CHECK(IsStillOurs(held, &ours).ok() && !ours);
  }
}

TEST_CASE("directories are kept fresh while locks come and go, and one that is removed is told") {
  constexpr std::chrono::milliseconds kInterval(1);
  const DirectoryRules rules{"kept.lock", std::chrono::seconds(10)};
  Locker keeper;
  const Locker::Id kept = keeper.Take(PathIn("kept"));
  CHECK_EQUAL(keeper.environment.Claim(kept, rules), Outcome::kGranted);
  CHECK(keeper.environment.StartHeartbeat(kept, kInterval) != Outcome::kFailed);
  InThreads(kLockers, [&](int number) {
    const std::string name = "file" + std::to_string(number);
    Locker locker;
    for (int round = 0; round < Rounds(30); round++) {
      const Locker::Id id = locker.Take(PathIn(name));
      const DirectoryRules own{name + ".lock", std::chrono::seconds(10)};
      CHECK_EQUAL(locker.environment.Claim(id, own), Outcome::kGranted);
      CHECK(locker.environment.StartHeartbeat(id, kInterval) != Outcome::kFailed);
      CHECK_EQUAL(locker.environment.Release(id), Outcome::kGranted);
      CHECK(access(PathIn(own.name).c_str(), F_OK) != 0);
    }
  });
  CHECK_EQUAL(rmdir(PathIn(rules.name).c_str()), 0);
  while (!keeper.TakePosted(kept)) std::this_thread::sleep_for(kInterval);
  Outcome outcome = Outcome::kGranted;
  CHECK(keeper.environment.Deliver(kept, &outcome));
  CHECK_EQUAL(outcome, Outcome::kFailed);
}

}  // namespace holdfast
