// What is waited for: from the file that a busy try kept to the lock that was granted.
#include <algorithm>
#include <cerrno>

#include "environment.h"
#include "environment_job.h"

namespace holdfast {

namespace {

bool Conflicts(LockMode one, LockMode other) {
  return one == LockMode::kExclusive || other == LockMode::kExclusive;
}

}  // namespace

Outcome Environment::StartWait(Id id, const Claimant& claimant) {
  const auto kept = kept_.find(id);
  if (kept == kept_.end()) return Fail(Error::FromSystem(EINVAL, "wait"));
  const std::string path = kept->second.location.path;
  auto wait = std::make_shared<Wait>(std::move(kept->second), ClaimFor(claimant),
                                     [post = post_, id] { post(id); });
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
  if (found == waits_.end()) return guarded_.count(id) != 0 ? Outcome::kGuarded : Outcome::kStale;
  const std::shared_ptr<Wait> wait = std::move(found->second);
  waits_.erase(found);
  Attempt attempt = wait->TakeAttempt();
  if (attempt.outcome == Outcome::kGuarded) guarded_.emplace(id, std::move(attempt.busy));
  return Accept(std::move(attempt), false);
}

Outcome Environment::Complete(Id id, const Claimant& claimant, const Patience& patience) {
  const Outcome outcome = EndWait(id);
  if (outcome != Outcome::kGuarded) return outcome;
  const auto guarded = guarded_.find(id);
  Attempt attempt = CompleteGrant(&guarded->second, patience, ClaimFor(claimant));
  if (attempt.outcome != Outcome::kGuarded) guarded_.erase(guarded);
  return Accept(std::move(attempt), false);
}

Environment::Id Environment::StartComplete(Id id, const Claimant& claimant) {
  auto guarded = guarded_.extract(id);
  if (guarded.empty()) {
    return StartJob([](const Patience&) { return Attempt::Of(Outcome::kStale); });
  }
  // std::function wants what can be copied, which a file cannot.
  auto file = std::make_shared<LockFile>(std::move(guarded.mapped()));
  return StartJob([file, claim = ClaimFor(claimant)](const Patience& patience) {
    Attempt attempt = CompleteGrant(file.get(), patience, claim);
    const bool given_up = patience.given_up != nullptr && *patience.given_up;
    if (attempt.outcome != Outcome::kGuarded || !given_up) return attempt;
    GiveBack(std::move(*file));
    return Attempt::Of(Outcome::kStale);
  });
}

void Environment::Cancel(Id id) {
  kept_.erase(id);
  if (auto guarded = guarded_.extract(id); !guarded.empty()) GiveBack(std::move(guarded.mapped()));
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
  if (const auto guarded = guarded_.find(id); guarded != guarded_.end()) return &guarded->second;
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

bool Environment::Holds(const LockFile& wanted) const {
  const auto conflicts = [&](const LockFile& held) {
    return &held != &wanted && held.identity == wanted.identity && held.slot == wanted.slot &&
           Conflicts(held.mode, wanted.mode);
  };
  return std::any_of(held_.begin(), held_.end(),
                     [&](const auto& entry) { return conflicts(entry.second->file); }) ||
         std::any_of(guarded_.begin(), guarded_.end(),
                     [&](const auto& entry) { return conflicts(entry.second); }) ||
         std::any_of(waits_.begin(), waits_.end(),
                     [&](const auto& entry) {
                       return entry.second->IsGranted() && conflicts(entry.second->file());
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

}  // namespace holdfast
