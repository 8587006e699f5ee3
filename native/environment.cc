#include "environment.h"

#include "environment_job.h"
#include "path.h"

namespace holdfast {

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
  if (threads_.StartOrQueue(job).ok()) return id;
  // No thread can be made, so the work is done here and now, and its outcome arrives like any other. But this thread waits
  // for nobody: what is left of the work is for the next thread that is free.
  if (!job->RunWithoutWaiting()) {
    if (threads_.Queue(job)) return id;
    job->GiveUp();
  }
  job->Publish();
  return id;
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
  guarded_.clear();
  for (auto& entry : held_) {
    entry.second->tenure.End();
    static_cast<void>(LeaveWhole(entry.second.get()));
  }
  held_.clear();
}

}  // namespace holdfast
