#include "environment.h"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "path.h"

namespace holdfast {

namespace {

bool Conflicts(LockMode one, LockMode other) {
  return one == LockMode::kExclusive || other == LockMode::kExclusive;
}

}  // namespace

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

  void Run() override {
    Attempt attempt = body_(Patience::UntilGivenUp(&interrupted_));
    std::lock_guard<std::mutex> guard(mutex_);
    attempt_ = std::move(attempt);
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
  const Body body_;
  const bool keep_file_;
  const std::function<void()> on_done_;
  std::atomic<bool> interrupted_{false};
  mutable std::mutex mutex_;
  Attempt attempt_;
};

Environment::Environment(const std::string& host, Post post)
    : post_(std::move(post)),
      file_systems_(std::make_shared<FileSystems>()),
      waiter_(&threads_),
      heartbeat_(&threads_, post_) {
  self_.pid = ProcessId();
  self_.host = PrintableAscii(host.empty() ? "unknown" : host, kMaxHostLength);
  self_.start_token = ProcessStartToken();
}

Environment::~Environment() { Close(); }

Record Environment::ClaimFor(const Claimant& claimant) const {
  Record claim = self_;
  claim.session_id = PrintableAscii(claimant.session_id, kMaxSessionIdLength);
  claim.session_hash = claimant.session_hash;
  claim.ttl = claimant.ttl;
  return claim;
}

Outcome Environment::Fail(Error error) {
  last_error_ = std::move(error);
  return Outcome::kFailed;
}

Outcome Environment::Accept(Attempt attempt, bool keep_file) {
  result_id_ = 0;
  result_key_ = std::move(attempt.key);
  result_inspection_ = std::move(attempt.inspection);
  if (attempt.outcome == Outcome::kGranted && attempt.held.file.file.valid()) {
    result_id_ = ++last_id_;
    held_.emplace(result_id_, std::make_shared<HeldLock>(std::move(attempt.held)));
  } else if (attempt.outcome == Outcome::kBusy && keep_file) {
    result_id_ = ++last_id_;
    kept_.emplace(result_id_, std::move(attempt.busy));
  } else if (attempt.outcome == Outcome::kFailed) {
    Fail(std::move(attempt.error));
  }
  return attempt.outcome;
}

Outcome Environment::Acquire(const AcquireOptions& options) {
  if (options.claimant.session_id.empty()) {
    self_.ttl = options.claimant.ttl;
    return Accept(TryAcquire(options, file_systems_.get(), queued_, Patience::None(), &self_),
                  options.keep_file);
  }
  Record claim = ClaimFor(options.claimant);
  return Accept(TryAcquire(options, file_systems_.get(), queued_, Patience::None(), &claim),
                options.keep_file);
}

Environment::Id Environment::StartAcquire(AcquireOptions options) {
  options.may_block = true;
  return StartJob(
      [options, claim = ClaimFor(options.claimant),
       file_systems = file_systems_](const Patience& patience) {
        Record own_claim = claim;
        return TryAcquire(options, file_systems.get(), {}, patience, &own_claim);
      },
      options.keep_file);
}

Environment::Id Environment::StartTouch(const LockRequest& request) {
  return StartJob([request, file_systems = file_systems_](const Patience&) {
    Error error = Touch(request, file_systems.get());
    return error.ok() ? Attempt::Of(Outcome::kGranted) : Attempt::Failure(std::move(error));
  });
}

Environment::Id Environment::StartInspect(const LockRequest& request) {
  return StartJob([request](const Patience&) {
    Attempt attempt = Attempt::Of(Outcome::kGranted);
    attempt.error = Inspect(request, &attempt.inspection);
    if (!attempt.error.ok()) attempt.outcome = Outcome::kFailed;
    return attempt;
  });
}

Environment::Id Environment::StartJob(std::function<Attempt(const Patience&)> body,
                                      bool keep_file) {
  const Id id = ++last_id_;
  auto job = std::make_shared<Job>(std::move(body), keep_file, [post = post_, id] { post(id); });
  jobs_.emplace(id, job);
  // Where no thread is to be had the work is done here and now; its outcome arrives like any other.
  if (!threads_.Start(job).ok()) {
    job->Run();
    job->Publish();
  }
  return id;
}

Outcome Environment::StartWait(Id id) {
  const auto kept = kept_.find(id);
  if (kept == kept_.end()) return Fail(Error::FromSystem(EINVAL, "wait"));
  const std::string path = kept->second.location.path;
  auto wait = std::make_shared<Wait>(std::move(kept->second), [post = post_, id] { post(id); });
  kept_.erase(kept);
  Error error = waiter_.Start(wait);
  if (!error.ok()) {
    error.path = path;
    return Fail(std::move(error));
  }
  waits_.emplace(id, std::move(wait));
  return Outcome::kBusy;
}

bool Environment::AwaitWait(Id id, uint32_t milliseconds) {
  const auto wait = waits_.find(id);
  if (wait == waits_.end()) return true;
  return wait->second->Await(std::chrono::milliseconds(milliseconds)) != Wait::State::kWaiting;
}

Outcome Environment::EndWait(Id id) {
  const auto found = waits_.find(id);
  if (found == waits_.end()) return granted_.count(id) != 0 ? Outcome::kGranted : Outcome::kStale;
  const std::shared_ptr<Wait> wait = std::move(found->second);
  waits_.erase(found);
  switch (wait->state()) {
    case Wait::State::kGranted:
      granted_.emplace(id, wait->TakeFile());
      return Outcome::kGranted;
    case Wait::State::kFailed: {
      Error error = wait->error();
      error.path = wait->file().location.path;
      return Fail(std::move(error));
    }
    default:
      return Outcome::kStale;
  }
}

Outcome Environment::Complete(Id id, const Claimant& claimant, const Patience& patience) {
  const Outcome outcome = EndWait(id);
  if (outcome != Outcome::kGranted) return outcome;
  const auto granted = granted_.find(id);
  Attempt attempt = CompleteGrant(&granted->second, patience, ClaimFor(claimant));
  if (attempt.outcome != Outcome::kGuarded) granted_.erase(granted);
  return Accept(std::move(attempt), false);
}

Environment::Id Environment::StartComplete(Id id, const Claimant& claimant) {
  if (EndWait(id) != Outcome::kGranted) return 0;
  // std::function wants what can be copied, which a file cannot.
  auto file = std::make_shared<LockFile>(std::move(granted_.extract(id).mapped()));
  return StartJob([file, claim = ClaimFor(claimant)](const Patience& patience) {
    Attempt attempt = CompleteGrant(file.get(), patience, claim);
    if (attempt.outcome != Outcome::kGuarded) return attempt;
    GiveBack(std::move(*file));
    return Attempt::Failure(Error::FromSystem(ECANCELED, "flock"));
  });
}

void Environment::Cancel(Id id) {
  kept_.erase(id);
  if (auto granted = granted_.extract(id); !granted.empty()) GiveBack(std::move(granted.mapped()));
  const auto found = waits_.find(id);
  if (found == waits_.end()) return;
  const std::shared_ptr<Wait> wait = std::move(found->second);
  waits_.erase(found);
  wait->Cancel();
  if (!wait->IsFinished()) cancelled_.push_back(wait);
}

size_t Environment::InterruptCancelled() {
  cancelled_.erase(std::remove_if(cancelled_.begin(), cancelled_.end(),
                                  [](const auto& wait) { return wait->IsFinished(); }),
                   cancelled_.end());
  for (const auto& wait : cancelled_) wait->Interrupt();
  return cancelled_.size();
}

const LockFile* Environment::FindFile(Id id) const {
  if (const auto held = held_.find(id); held != held_.end()) return &held->second->file;
  if (const auto kept = kept_.find(id); kept != kept_.end()) return &kept->second;
  if (const auto granted = granted_.find(id); granted != granted_.end()) return &granted->second;
  if (const auto wait = waits_.find(id); wait != waits_.end()) return &wait->second->file();
  return nullptr;
}

Outcome Environment::LookAtWait(Id id) {
  const auto wait = waits_.find(id);
  if (wait == waits_.end()) return Outcome::kBusy;
  const Wait::View view = wait->second->Look();
  if (!view.in_place) return Outcome::kStale;
  return view.overdue ? Outcome::kOverdue : Outcome::kBusy;
}

std::chrono::milliseconds Environment::LookIntervalOf(Id id) const {
  const auto wait = waits_.find(id);
  return wait == waits_.end() ? std::chrono::milliseconds(0) : wait->second->look_interval();
}

Outcome Environment::TakeOver(Id id, AcquireOptions options, const Patience& patience) {
  const auto wait = waits_.find(id);
  if (wait == waits_.end()) return Outcome::kStale;
  options.overdue = wait->second->seen();
  Record claim = ClaimFor(options.claimant);
  return Accept(TryAcquire(options, file_systems_.get(), {}, patience, &claim), options.keep_file);
}

Environment::Id Environment::StartTakeOver(Id id, AcquireOptions options) {
  if (const auto wait = waits_.find(id); wait != waits_.end()) {
    options.overdue = wait->second->seen();
  }
  return StartAcquire(std::move(options));
}

bool Environment::ConflictsWithHeld(Id id) const {
  const LockFile* file = FindFile(id);
  if (file == nullptr) return false;
  const auto conflicts = [&](const LockFile& held) {
    return &held != file && held.identity == file->identity && held.slot == file->slot &&
           Conflicts(held.mode, file->mode);
  };
  return std::any_of(held_.begin(), held_.end(),
                     [&](const auto& entry) { return conflicts(entry.second->file); }) ||
         std::any_of(granted_.begin(), granted_.end(),
                     [&](const auto& entry) { return conflicts(entry.second); }) ||
         std::any_of(waits_.begin(), waits_.end(),
                     [&](const auto& entry) {
                       return entry.second->state() == Wait::State::kGranted &&
                              conflicts(entry.second->file());
                     }) ||
         std::any_of(jobs_.begin(), jobs_.end(),
                     [&](const auto& entry) { return entry.second->Holds(conflicts); });
}

bool Environment::ReadHolderOf(Id id, DecodedRecord* record) {
  if (const auto wait = waits_.find(id); wait != waits_.end()) {
    return wait->second->ReadHolder(record);
  }
  const LockFile* file = FindFile(id);
  return file != nullptr && ReadHolder(file->file.get(), record).ok();
}

std::string Environment::KeyOfLock(Id id) const {
  const LockFile* file = FindFile(id);
  return file == nullptr ? std::string() : KeyOf(file->location);
}

Outcome Environment::Conclude(Error error) {
  return error.ok() ? Outcome::kGranted : Fail(std::move(error));
}

std::shared_ptr<HeldLock> Environment::TakeHeld(Id id) {
  auto held = held_.extract(id);
  if (held.empty()) return nullptr;
  if (held.mapped()->leaves_nothing) heartbeat_.Remove(id, *held.mapped());
  return std::move(held.mapped());
}

Outcome Environment::Release(Id id) {
  const std::shared_ptr<HeldLock> held = TakeHeld(id);
  return held == nullptr ? Outcome::kGranted : Conclude(LeaveWhole(held.get()));
}

Outcome Environment::ReleaseToHeirs(Id id) {
  const std::shared_ptr<HeldLock> held = TakeHeld(id);
  return held == nullptr ? Outcome::kGranted : Conclude(LeaveToHeirs(*held));
}

Environment::Id Environment::StartRelease(Id id, bool untold) {
  return StartJob([held = TakeHeld(id), untold](const Patience&) {
    Error error;
    if (held != nullptr) {
      error = untold ? GiveBackUntold(*held) : LeaveWhole(held.get());
    }
    return error.ok() ? Attempt::Of(Outcome::kGranted) : Attempt::Failure(std::move(error));
  });
}

Outcome Environment::LookAt(Id id, LookAtHeld look) {
  const HeldLock* held = FindHeld(id);
  if (held == nullptr) return Outcome::kStale;
  bool ours = false;
  Error error = look(*held, &ours);
  if (!error.ok()) return Fail(std::move(error));
  return ours ? Outcome::kGranted : Outcome::kStale;
}

Environment::Id Environment::StartLookAt(Id id, LookAtHeld look) {
  // The lock may be released meanwhile: what is looked at stays open until then, and is ours alone to close.
  return StartJob([lock = ShareHeld(id), look](const Patience&) {
    bool ours = false;
    if (lock == nullptr) return Attempt::Of(Outcome::kStale);
    Error error = look(*lock, &ours);
    if (!error.ok()) return Attempt::Failure(std::move(error));
    return Attempt::Of(ours ? Outcome::kGranted : Outcome::kStale);
  });
}

Outcome Environment::Verify(Id id) { return LookAt(id, IsStillOurs); }
Environment::Id Environment::StartVerify(Id id) { return StartLookAt(id, IsStillOurs); }
Outcome Environment::ShowLife(Id id) { return LookAt(id, holdfast::ShowLife); }
Environment::Id Environment::StartShowLife(Id id) { return StartLookAt(id, holdfast::ShowLife); }

Environment::Id Environment::StartShowLateLife(Id id) {
  return StartJob([lock = ShareHeld(id)](const Patience& patience) {
    bool ours = false;
    bool entered = false;
    if (lock == nullptr) return Attempt::Of(Outcome::kStale);
    Error error = ShowLateLife(*lock, patience, &ours, &entered);
    if (!error.ok()) return Attempt::Failure(std::move(error));
    if (!entered) return Attempt::Of(Outcome::kGuarded);
    return Attempt::Of(ours ? Outcome::kGranted : Outcome::kStale);
  });
}

std::shared_ptr<const HeldLock> Environment::ShareHeld(Id id) const {
  const auto held = held_.find(id);
  return held == held_.end() ? nullptr : held->second;
}

const HeldLock* Environment::FindHeld(Id id) const {
  const auto held = held_.find(id);
  return held == held_.end() ? nullptr : held->second.get();
}

namespace {

Attempt ClaimAttempt(HeldLock* held, const DirectoryRules& rules) {
  bool busy = false;
  Error error = ClaimDirectory(rules, held, &busy);
  if (!error.ok()) return Attempt::Failure(std::move(error));
  return Attempt::Of(busy ? Outcome::kBusy : Outcome::kGranted);
}

Attempt CheckAttempt(const LockRequest& request, const DirectoryRules& rules) {
  bool locked = false;
  Error error = CheckDirectory(request, rules, &locked);
  if (!error.ok()) return Attempt::Failure(std::move(error));
  return Attempt::Of(locked ? Outcome::kBusy : Outcome::kGranted);
}

}  // namespace

Outcome Environment::Claim(Id id, const DirectoryRules& rules) {
  const auto held = held_.find(id);
  if (held == held_.end()) return Outcome::kStale;
  return Accept(ClaimAttempt(held->second.get(), rules), false);
}

Environment::Id Environment::StartClaim(Id id, const DirectoryRules& rules) {
  const auto held = held_.find(id);
  return StartJob([lock = held == held_.end() ? nullptr : held->second, rules](const Patience&) {
    return lock == nullptr ? Attempt::Of(Outcome::kStale) : ClaimAttempt(lock.get(), rules);
  });
}

Outcome Environment::StartHeartbeat(Id id, std::chrono::milliseconds interval) {
  const auto held = held_.find(id);
  if (held == held_.end() || held->second->directory == nullptr) return Outcome::kStale;
  return Conclude(heartbeat_.Add(id, held->second, interval));
}

Outcome Environment::Check(const LockRequest& request, const DirectoryRules& rules) {
  return Accept(CheckAttempt(request, rules), false);
}

Environment::Id Environment::StartCheck(const LockRequest& request, const DirectoryRules& rules) {
  return StartJob([request, rules](const Patience&) { return CheckAttempt(request, rules); });
}

void Environment::SetQueued(const std::string& key, bool queued) {
  if (queued) {
    queued_.insert(key);
  } else {
    queued_.erase(key);
  }
}

bool Environment::Deliver(Id id, Outcome* outcome) {
  if (const auto job = jobs_.find(id); job != jobs_.end()) {
    const std::shared_ptr<Job> done = std::move(job->second);
    jobs_.erase(job);
    *outcome = Accept(done->TakeAttempt(), done->keep_file());
    return true;
  }
  if (const HeldLock* held = FindHeld(id); held != nullptr && held->directory != nullptr) {
    if (!held->directory->lost()) return false;
    Error loss = held->directory->loss();
    *outcome = loss.ok() ? Outcome::kStale : Fail(std::move(loss));
    return true;
  }
  if (waits_.count(id) == 0) return false;
  *outcome = EndWait(id);
  return true;
}

void Environment::Close() {
  if (closed_) return;
  closed_ = true;
  // Another machine may not answer: threads are waited for in Stop(), but not for ever.
  std::vector<Id> remote;
  for (const auto& [id, held] : held_) {
    if (held->file.file_system != FileSystemClass::kLocal) remote.push_back(id);
  }
  for (const Id id : remote) StartRelease(id, /*untold=*/false);
  threads_.Stop();
  jobs_.clear();
  waits_.clear();
  cancelled_.clear();
  kept_.clear();
  granted_.clear();
  for (auto& entry : held_) static_cast<void>(LeaveWhole(entry.second.get()));
  held_.clear();
}

}  // namespace holdfast
