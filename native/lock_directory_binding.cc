#include "lock_directory_binding.h"

#include <chrono>
#include <string>

#include "addon_data.h"
#include "binding.h"
#include "path.h"

namespace holdfast {

namespace {

using Napi::CallbackInfo;
using Napi::Value;

Environment& EnvironmentOf(const CallbackInfo& info) { return AddonData::Of(info).environment(); }

int64_t IntegerAt(const CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().Int64Value();
}

Environment::Id IdAt(const CallbackInfo& info, size_t index) {
  return static_cast<Environment::Id>(IntegerAt(info, index));
}

// A path, and the milliseconds after which what is there is stale.
DirectoryRules RulesAt(const CallbackInfo& info, size_t index) {
  DirectoryRules rules;
  rules.name = NameOf(info[index].As<Napi::String>().Utf8Value());
  rules.stale = std::chrono::milliseconds(IntegerAt(info, index + 1));
  return rules;
}

// (directory, stale, lockPath)
LockRequest RequestOf(const CallbackInfo& info) {
  LockRequest request;
  request.target = info[0].As<Napi::String>().Utf8Value();
  request.lock_path = info[2].As<Napi::String>().Utf8Value();
  return request;
}

Value OutcomeValue(const CallbackInfo& info, Outcome outcome) {
  return Napi::Number::New(info.Env(), static_cast<double>(outcome));
}

Value IdValue(const CallbackInfo& info, Environment::Id id) {
  return Napi::Number::New(info.Env(), static_cast<double>(id));
}

// (id, directory, stale)
Value ClaimDirectory(const CallbackInfo& info) {
  return OutcomeValue(info, EnvironmentOf(info).Claim(IdAt(info, 0), RulesAt(info, 1)));
}

Value StartClaimDirectory(const CallbackInfo& info) {
  return IdValue(info, EnvironmentOf(info).StartClaim(IdAt(info, 0), RulesAt(info, 1)));
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
  const std::chrono::milliseconds interval(IntegerAt(info, 1));
  return OutcomeValue(info, EnvironmentOf(info).StartHeartbeat(IdAt(info, 0), interval));
}

Value CheckDirectory(const CallbackInfo& info) {
  return OutcomeValue(info, EnvironmentOf(info).Check(RequestOf(info), RulesAt(info, 0)));
}

Value StartCheckDirectory(const CallbackInfo& info) {
  return IdValue(info, EnvironmentOf(info).StartCheck(RequestOf(info), RulesAt(info, 0)));
}

}  // namespace

void ExportLockDirectoryFunctions(Napi::Object exports, AddonData* data) {
  Export<ClaimDirectory>(exports, "claimDirectory", data);
  Export<StartClaimDirectory>(exports, "startClaimDirectory", data);
  Export<IsDirectoryContested>(exports, "isDirectoryContested", data);
  Export<StartHeartbeat>(exports, "startHeartbeat", data);
  Export<CheckDirectory>(exports, "checkDirectory", data);
  Export<StartCheckDirectory>(exports, "startCheckDirectory", data);
}

}  // namespace holdfast
