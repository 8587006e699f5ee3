#include "lock_directory_binding.h"

#include <chrono>
#include <string>

#include "binding.h"
#include "path.h"

namespace holdfast {

namespace {

using Napi::CallbackInfo;
using Napi::Value;

// A path, and the milliseconds after which what is there is stale.
DirectoryRules RulesAt(const CallbackInfo& info, size_t index) {
  DirectoryRules rules;
  rules.name = NameOf(StringAt(info, index));
  rules.stale = MillisecondsAt(info, index + 1);
  return rules;
}

// (directory, stale, lockPath)
LockRequest RequestOf(const CallbackInfo& info) {
  LockRequest request;
  request.target = StringAt(info, 0);
  request.lock_path = StringAt(info, 2);
  return request;
}

// (id, directory, stale)
Value ClaimDirectory(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).Claim(IdAt(info, 0), RulesAt(info, 1)));
}

Value StartClaimDirectory(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartClaim(IdAt(info, 0), RulesAt(info, 1)));
}

// Whether a process on proper-lockfile may be about to remove the directory of this lock.
Value IsDirectoryContested(const CallbackInfo& info) {
  const HeldLock* held = EnvironmentOf(info).FindHeld(IdAt(info, 0));
  const bool contested =
      held != nullptr && held->directory != nullptr && held->directory->contested;
  return Napi::Boolean::New(info.Env(), contested);
}

// (id, interval)
Value StartHeartbeat(const CallbackInfo& info) {
  // Of no more than that many a second is anything seen.
  const auto interval = std::max(MillisecondsAt(info, 1), std::chrono::milliseconds(1));
  return NumberValue(info, EnvironmentOf(info).StartHeartbeat(IdAt(info, 0), interval));
}

Value CheckDirectory(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).Check(RequestOf(info), RulesAt(info, 0)));
}

Value StartCheckDirectory(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartCheck(RequestOf(info), RulesAt(info, 0)));
}

}  // namespace

void ExportLockDirectoryFunctions(Napi::Object exports, AddonData* data) {
  using namespace arguments;
  const auto directory = kText + kId;
  Export<ClaimDirectory>(exports, "claimDirectory", data, kId + directory);
  Export<StartClaimDirectory>(exports, "startClaimDirectory", data, kId + directory);
  Export<IsDirectoryContested>(exports, "isDirectoryContested", data, kId);
  Export<StartHeartbeat>(exports, "startHeartbeat", data, kId + kId);
  Export<CheckDirectory>(exports, "checkDirectory", data, directory + kText);
  Export<StartCheckDirectory>(exports, "startCheckDirectory", data, directory + kText);
}

}  // namespace holdfast
