#include "environment.h"

#include <algorithm>
#include <cerrno>

namespace holdfast {

namespace {

constexpr int kMaxRounds = 100;

Attempt Failure(Error error) {
  Attempt attempt;
  attempt.error = std::move(error);
  return attempt;
}

Attempt Without(Outcome outcome) {
  Attempt attempt;
  attempt.outcome = outcome;
  return attempt;
}

Attempt Granted(LockFile file, const Record& claim, DecodedRecord previous) {
  Attempt attempt;
  attempt.outcome = Outcome::kGranted;
  attempt.path = file.location.path;
  attempt.held.token = claim.token;
  attempt.held.ttl = claim.ttl;
  attempt.held.epoch = claim.epoch;
  attempt.held.previous = std::move(previous);
  attempt.held.file = std::move(file);
  return attempt;
}

bool Conflicts(LockMode one, LockMode other) {
  return one == LockMode::kExclusive || other == LockMode::kExclusive;
}

}  // namespace

// A piece of work whose outcome is fetched by Deliver().
class Environment::Job : public Work {
 public:
  Job(std::function<Attempt()> body, bool keep_file, std::function<void()> on_done)
      : body_(std::move(body)), keep_file_(keep_file), on_done_(std::move(on_done)) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  // An outcome that nobody fetched is a lock that nobody would release.
  ~Job() override {
    if (attempt_.held.file.file.valid()) static_cast<void>(Leave(std::move(attempt_.held)));
  }

  void Run() override {
    Attempt attempt = body_();
    std::lock_guard<std::mutex> guard(mutex_);
    attempt_ = std::move(attempt);
  }
  void Publish() override { on_done_(); }
  void Interrupt() override {}

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
  const std::function<Attempt()> body_;
  const bool keep_file_;
  const std::function<void()> on_done_;
  mutable std::mutex mutex_;
  Attempt attempt_;
};

Environment::Environment(const std::string& host, Post post)
    : post_(std::move(post)), file_systems_(std::make_shared<FileSystems>()), waiter_(&threads_) {
  self_.pid = ProcessId();
  self_.host = PrintableAscii(host.empty() ? "unknown" : host, kMaxHostLength);
  self_.start_token = ProcessStartToken();
}

Environment::~Environment() { Close(); }

Record Environment::ClaimFor(const std::string& session_id, const std::string& session_hash) const {
  Record claim = self_;
  claim.session_id = PrintableAscii(session_id, kMaxSessionIdLength);
  claim.session_hash = session_hash;
  return claim;
}

Attempt Environment::Try(const AcquireOptions& options, FileSystems* file_systems,
                         const KeySet& queued, Record* claim) {
  const LockRequest& request = options.request;
  if (!options.may_block && !file_systems->HasSeen(DirectoryOf(request))) {
    return Without(Outcome::kUnseen);
  }
  LockLocation location;
  Error error = Locate(request, &location);
  if (!error.ok()) return Failure(std::move(error));
  FileSystemClass kind = FileSystemClass::kUnknown;
  if (options.may_block) {
    error = file_systems->Classify(location.directory, &kind);
    if (!error.ok()) return Failure(std::move(error));
  } else if (!file_systems->Find(location.directory, &kind)) {
    return Without(Outcome::kUnseen);  // something was mounted here since
  }
  if (kind != FileSystemClass::kLocal && !options.may_block) return Without(Outcome::kRemote);
  if (!options.overtake && !queued.empty()) {
    Attempt attempt = Without(Outcome::kQueued);
    attempt.key = KeyOf(location);
    attempt.path = location.path;
    if (queued.count(attempt.key) != 0) return attempt;
  }

  for (int round = 0; round < kMaxRounds; round++) {
    LockFile file;
    error = OpenChecked(request, &location, &file);
    if (!error.ok()) return Failure(std::move(error));
    file.file_system = kind;
    bool granted = false;
    error = TryLock(file.file.get(), file.mode, &granted);
    if (!error.ok()) {
      error.path = file.location.path;
      return Failure(std::move(error));
    }
    if (!granted) {
      DecodedRecord holder;
      if (ReadHolder(file.file.get(), &holder).ok() && holder.state == RecordState::kForeign) {
        return Failure(
            Error::Refused(Refusal::kForeignContent, EINVAL, "read", file.location.path));
      }
      Attempt attempt = Without(Outcome::kBusy);
      attempt.key = KeyOf(file.location);
      attempt.path = file.location.path;
      attempt.busy = std::move(file);
      return attempt;
    }
    DecodedRecord previous;
    bool stale = false;
    error = Enter(file, claim, &previous, &stale);
    if (!error.ok()) return Failure(std::move(error));
    if (!stale) return Granted(std::move(file), *claim, std::move(previous));
    location = std::move(file.location);
  }
  return Failure(Error::FromSystem(ESTALE, "flock", location.path));
}

Attempt Environment::CompleteGrant(LockFile file, Record claim) {
  DecodedRecord previous;
  bool stale = false;
  Error error = Enter(file, &claim, &previous, &stale);
  if (!error.ok()) return Failure(std::move(error));
  if (stale) return Without(Outcome::kStale);
  return Granted(std::move(file), claim, std::move(previous));
}

Outcome Environment::Fail(Error error) {
  last_error_ = std::move(error);
  return Outcome::kFailed;
}

Outcome Environment::Accept(Attempt attempt, bool keep_file) {
  result_id_ = 0;
  result_key_ = std::move(attempt.key);
  result_path_ = std::move(attempt.path);
  result_inspection_ = std::move(attempt.inspection);
  if (attempt.outcome == Outcome::kGranted && attempt.held.file.file.valid()) {
    result_id_ = ++last_id_;
    held_.emplace(result_id_, std::move(attempt.held));
  } else if (attempt.outcome == Outcome::kBusy && keep_file) {
    result_id_ = ++last_id_;
    kept_.emplace(result_id_, std::move(attempt.busy));
  } else if (attempt.outcome == Outcome::kFailed) {
    Fail(std::move(attempt.error));
  }
  return attempt.outcome;
}

Outcome Environment::Acquire(const AcquireOptions& options) {
  if (options.session_id.empty()) {
    return Accept(Try(options, file_systems_.get(), queued_, &self_), options.keep_file);
  }
  Record claim = ClaimFor(options.session_id, options.session_hash);
  return Accept(Try(options, file_systems_.get(), queued_, &claim), options.keep_file);
}

Environment::Id Environment::StartAcquire(AcquireOptions options) {
  options.may_block = true;
  Record claim = ClaimFor(options.session_id, options.session_hash);
  return StartJob(
      [options, claim, file_systems = file_systems_] {
        Record own_claim = claim;
        return Try(options, file_systems.get(), {}, &own_claim);
      },
      options.keep_file);
}

Environment::Id Environment::StartTouch(const LockRequest& request) {
  return StartJob([request, file_systems = file_systems_] {
    LockLocation location;
    FileSystemClass kind = FileSystemClass::kUnknown;
    Error error = Locate(request, &location);
    if (error.ok()) error = file_systems->Classify(location.directory, &kind);
    if (!error.ok()) return Failure(std::move(error));
    file_systems->MarkSeen(DirectoryOf(request));
    return Without(Outcome::kGranted);
  });
}

Environment::Id Environment::StartInspect(const LockRequest& request) {
  return StartJob([request] {
    Attempt attempt = Without(Outcome::kGranted);
    attempt.error = Inspect(request, &attempt.inspection);
    if (!attempt.error.ok()) attempt.outcome = Outcome::kFailed;
    return attempt;
  });
}

Environment::Id Environment::StartJob(std::function<Attempt()> body, bool keep_file) {
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
  if (found == waits_.end()) return kept_.count(id) != 0 ? Outcome::kGranted : Outcome::kStale;
  const std::shared_ptr<Wait> wait = std::move(found->second);
  waits_.erase(found);
  switch (wait->state()) {
    case Wait::State::kGranted:
      kept_.emplace(id, wait->TakeFile());
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

Outcome Environment::Complete(Id id, const std::string& session_id,
                              const std::string& session_hash) {
  const Outcome outcome = EndWait(id);
  if (outcome != Outcome::kGranted) return outcome;
  auto kept = kept_.extract(id);
  return Accept(CompleteGrant(std::move(kept.mapped()), ClaimFor(session_id, session_hash)), false);
}

Environment::Id Environment::StartComplete(Id id, const std::string& session_id,
                                           const std::string& session_hash) {
  if (EndWait(id) != Outcome::kGranted) return 0;
  // std::function wants what can be copied, which a file cannot.
  auto file = std::make_shared<LockFile>(std::move(kept_.extract(id).mapped()));
  return StartJob([file, claim = ClaimFor(session_id, session_hash)] {
    return CompleteGrant(std::move(*file), claim);
  });
}

void Environment::Cancel(Id id) {
  kept_.erase(id);
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
  if (const auto held = held_.find(id); held != held_.end()) return &held->second.file;
  if (const auto kept = kept_.find(id); kept != kept_.end()) return &kept->second;
  if (const auto wait = waits_.find(id); wait != waits_.end()) return &wait->second->file();
  return nullptr;
}

bool Environment::IsWaitInPlace(Id id) {
  const auto wait = waits_.find(id);
  return wait == waits_.end() || wait->second->IsInPlace();
}

bool Environment::ConflictsWithHeld(Id id) const {
  const LockFile* file = FindFile(id);
  if (file == nullptr) return false;
  const auto conflicts = [&](const LockFile& held) {
    return held.identity == file->identity && Conflicts(held.mode, file->mode);
  };
  return std::any_of(held_.begin(), held_.end(),
                     [&](const auto& entry) { return conflicts(entry.second.file); }) ||
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

Outcome Environment::Release(Id id) {
  auto held = held_.extract(id);
  if (held.empty()) return Outcome::kGranted;
  Error error = Leave(std::move(held.mapped()));
  return error.ok() ? Outcome::kGranted : Fail(std::move(error));
}

Outcome Environment::ReleaseToHeirs(Id id) {
  auto held = held_.extract(id);
  if (held.empty()) return Outcome::kGranted;
  Error error = LeaveToHeirs(std::move(held.mapped()));
  return error.ok() ? Outcome::kGranted : Fail(std::move(error));
}

Environment::Id Environment::StartRelease(Id id) {
  auto held = held_.extract(id);
  if (held.empty()) return 0;
  auto lock = std::make_shared<HeldLock>(std::move(held.mapped()));
  return StartJob([lock] {
    Error error = Leave(std::move(*lock));
    return error.ok() ? Without(Outcome::kGranted) : Failure(std::move(error));
  });
}

Outcome Environment::Verify(Id id) {
  const HeldLock* held = FindHeld(id);
  if (held == nullptr) return Outcome::kStale;
  bool in_place = false;
  Error error = IsInPlace(held->file, &in_place);
  if (!error.ok()) return Fail(std::move(error));
  return in_place ? Outcome::kGranted : Outcome::kStale;
}

const HeldLock* Environment::FindHeld(Id id) const {
  const auto held = held_.find(id);
  return held == held_.end() ? nullptr : &held->second;
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
  if (waits_.count(id) == 0) return false;
  *outcome = EndWait(id);
  return true;
}

void Environment::Close() {
  if (closed_) return;
  closed_ = true;
  threads_.Stop();
  jobs_.clear();
  waits_.clear();
  cancelled_.clear();
  kept_.clear();
  for (auto& entry : held_) static_cast<void>(Leave(std::move(entry.second)));
  held_.clear();
}

}  // namespace holdfast
