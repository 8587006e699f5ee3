// What is done with a held lock, and with the directory that may go with it.
#include "environment.h"
#include "environment_job.h"

namespace holdfast {

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
  if (held == nullptr) return Outcome::kGranted;
  held->tenure.End();
  return Conclude(LeaveWhole(held.get()));
}

Outcome Environment::ReleaseToHeirs(Id id) {
  const std::shared_ptr<HeldLock> held = TakeHeld(id);
  if (held == nullptr) return Outcome::kGranted;
  held->tenure.End();
  return Conclude(LeaveToHeirs(*held));
}

Environment::Id Environment::StartRelease(Id id, bool untold) {
  return StartJob([held = TakeHeld(id), untold](const Patience&) {
    Error error;
    if (held != nullptr) {
      held->tenure.End();
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

}  // namespace holdfast
