#ifndef HOLDFAST_ENVIRONMENT_JOB_H_
#define HOLDFAST_ENVIRONMENT_JOB_H_

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>

#include "attempt.h"
#include "environment.h"
#include "worker_threads.h"

namespace holdfast {

// A piece of work whose outcome is fetched by Deliver().
class Environment::Job : public Work {
 public:
  using Body = std::function<Attempt(const Patience&)>;

  Job(Body body, bool keep_file, std::function<void()> on_done)
      : body_(std::move(body)), keep_file_(keep_file), on_done_(std::move(on_done)) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  // An outcome that nobody fetched is a lock that nobody would release.
  ~Job() override {
    if (attempt_.held.file.file.valid()) {
      static_cast<void>(GiveBackUntold(attempt_.held));
    }
  }

  void Run() override { Store(body_(Patience::UntilGivenUp(&interrupted_))); }
  // For a thread that must not wait for a guard: false if the work is not done for that reason.
  bool RunWithoutWaiting() {
    Attempt attempt = body_(Patience::None());
    if (attempt.outcome == Outcome::kGuarded) return false;
    Store(std::move(attempt));
    return true;
  }
  // What to say in place of work that can never be done.
  void GiveUp() {
    interrupted_ = true;
    Run();
  }
  void Publish() override { on_done_(); }
  void Interrupt() override { interrupted_ = true; }

  Attempt TakeAttempt() {
    std::lock_guard<std::mutex> guard(mutex_);
    return std::move(attempt_);
  }
  bool keep_file() const { return keep_file_; }

  // Whether it was granted a lock, not fetched yet, for which `predicate` is true.
  template <typename Predicate>
  bool Holds(Predicate predicate) const {
    std::lock_guard<std::mutex> guard(mutex_);
    return attempt_.held.file.file.valid() && predicate(attempt_.held.file);
  }

 private:
  void Store(Attempt attempt) {
    std::lock_guard<std::mutex> guard(mutex_);
    attempt_ = std::move(attempt);
  }

  const Body body_;
  const bool keep_file_;
  const std::function<void()> on_done_;
  std::atomic<bool> interrupted_{false};
  mutable std::mutex mutex_;
  Attempt attempt_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENVIRONMENT_JOB_H_
