#include "lock_binding.h"

#include <algorithm>
#include <string>
#include <vector>

#include "addon_data.h"
#include "binding.h"

namespace holdfast {

namespace {

using Napi::CallbackInfo;
using Napi::Value;

// The bits of the third argument of acquire() and its kin, as src/native.ts sets them.
enum RequestFlag : uint32_t {
  kSharedFlag = 1,
  kRefuseParentLinksFlag = 4,
  kAnyOwnerFlag = 8,
  kMayBlockFlag = 16,
  kOvertakeFlag = 32,
  kKeepFileFlag = 64,
};

// (sessionId, sessionHash, ttl) from `first` on, or nothing
Claimant ClaimantOf(const CallbackInfo& info, size_t first) {
  Claimant claimant;
  if (info.Length() <= first) return claimant;
  claimant.session_id = StringAt(info, first);
  claimant.session_hash = StringAt(info, first + 1);
  claimant.ttl = static_cast<uint64_t>(MillisecondsAt(info, first + 2).count());
  return claimant;
}

// (target, lockPath, flags, fileMode, and a claimant) from `first` on
AcquireOptions AcquireOptionsOf(const CallbackInfo& info, size_t first = 0) {
  const uint32_t flags = NumberAt(info, first + 2);
  AcquireOptions options;
  LockRequest& request = options.request;
  request.target = StringAt(info, first);
  request.lock_path = StringAt(info, first + 1);
  request.mode = (flags & kSharedFlag) != 0 ? LockMode::kShared : LockMode::kExclusive;
  request.parents =
      (flags & kRefuseParentLinksFlag) != 0 ? ParentPolicy::kRefuseLinks : ParentPolicy::kTrust;
  request.trust_any_owner = (flags & kAnyOwnerFlag) != 0;
  request.file_mode = NumberAt(info, first + 3);
  options.claimant = ClaimantOf(info, first + 4);
  if (info.Length() > first + 7) request.within = StringAt(info, first + 7);
  options.may_block = (flags & kMayBlockFlag) != 0;
  options.overtake = (flags & kOvertakeFlag) != 0;
  options.keep_file = (flags & kKeepFileFlag) != 0;
  return options;
}

Value OutcomeValue(const CallbackInfo& info, Outcome outcome) {
  return NumberValue(info, AddonData::Of(info).Report(outcome));
}

Value RecordValue(Napi::Env env, const DecodedRecord& decoded) {
  const Record& record = decoded.record;
  Napi::Object object = Napi::Object::New(env);
  object.Set("state", static_cast<double>(decoded.state));
  object.Set("sessionRejected", decoded.session_rejected);
  object.Set("pid", static_cast<double>(record.pid));
  object.Set("host", record.host);
  object.Set("startToken", record.start_token);
  object.Set("sessionId", record.session_id);
  object.Set("sessionHash", record.session_hash);
  object.Set("acquiredAt", static_cast<double>(record.acquired_at));
  object.Set("token", static_cast<double>(record.token));
  object.Set("ttl", static_cast<double>(record.ttl));
  object.Set("epoch", static_cast<double>(record.epoch));
  return object;
}

// ---- Acquiring and releasing ----

Value Acquire(const CallbackInfo& info) {
  return OutcomeValue(info, EnvironmentOf(info).Acquire(AcquireOptionsOf(info)));
}

Value StartAcquire(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartAcquire(AcquireOptionsOf(info)));
}

Value StartTouch(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartTouch(AcquireOptionsOf(info).request));
}

Value StartInspect(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartInspect(AcquireOptionsOf(info).request));
}

Value Release(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).Release(IdAt(info, 0)));
}

Value ReleaseToHeirs(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).ReleaseToHeirs(IdAt(info, 0)));
}

Value StartRelease(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartRelease(IdAt(info, 0), false));
}

Value StartGiveBack(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartRelease(IdAt(info, 0), true));
}

Value Verify(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).Verify(IdAt(info, 0)));
}

Value StartVerify(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartVerify(IdAt(info, 0)));
}

Value ShowLife(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).ShowLife(IdAt(info, 0)));
}

Value StartShowLife(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartShowLife(IdAt(info, 0)));
}

Value StartShowLateLife(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartShowLateLife(IdAt(info, 0)));
}

Value DescriptorOfHeld(const CallbackInfo& info) {
  const HeldLock* held = EnvironmentOf(info).FindHeld(IdAt(info, 0));
  const NativeHandle handle = held == nullptr ? kNoHandle : held->file.file.get();
  return NumberValue(info, handle);
}

Value PreviousOf(const CallbackInfo& info) {
  const HeldLock* held = EnvironmentOf(info).FindHeld(IdAt(info, 0));
  return held == nullptr ? info.Env().Null() : RecordValue(info.Env(), held->previous);
}

// ---- Waiting ----

Value StartWait(const CallbackInfo& info) {
  return OutcomeValue(info, EnvironmentOf(info).StartWait(IdAt(info, 0), ClaimantOf(info, 1)));
}

Value AwaitWait(const CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(),
                            EnvironmentOf(info).AwaitWait(IdAt(info, 0), NumberAt(info, 1)));
}

Patience PatienceAt(const CallbackInfo& info, size_t index) {
  return {MillisecondsAt(info, index), nullptr};
}

// (id, patience, and a claimant)
Value Complete(const CallbackInfo& info) {
  return OutcomeValue(
      info, EnvironmentOf(info).Complete(IdAt(info, 0), ClaimantOf(info, 2), PatienceAt(info, 1)));
}

// (id, and a claimant)
Value StartComplete(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).StartComplete(IdAt(info, 0), ClaimantOf(info, 1)));
}

// (id, patience, and a request)
Value TakeOver(const CallbackInfo& info) {
  return OutcomeValue(info, EnvironmentOf(info).TakeOver(IdAt(info, 0), AcquireOptionsOf(info, 2),
                                                         PatienceAt(info, 1)));
}

// (id, and a request)
Value StartTakeOver(const CallbackInfo& info) {
  return NumberValue(info,
                     EnvironmentOf(info).StartTakeOver(IdAt(info, 0), AcquireOptionsOf(info, 1)));
}

Value Cancel(const CallbackInfo& info) {
  EnvironmentOf(info).Cancel(IdAt(info, 0));
  return info.Env().Undefined();
}

Value InterruptCancelled(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).InterruptCancelled());
}

Value LookAtWait(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).LookAtWait(IdAt(info, 0)));
}

Value LookIntervalOf(const CallbackInfo& info) {
  return NumberValue(info, EnvironmentOf(info).LookIntervalOf(IdAt(info, 0)).count());
}

Value ConflictsWithHeld(const CallbackInfo& info) {
  const LockFile* wanted = EnvironmentOf(info).FindFile(IdAt(info, 0));
  // Every copy of the package that this thread has loaded: a blocked thread can release the lock of none.
  const auto& copies = info.Env().GetInstanceData<Instances>()->all;
  const bool held =
      wanted != nullptr && std::any_of(copies.begin(), copies.end(), [wanted](const auto& copy) {
        return copy->environment().Holds(*wanted);
      });
  return Napi::Boolean::New(info.Env(), held);
}

Value HolderOf(const CallbackInfo& info) {
  DecodedRecord record;
  if (!EnvironmentOf(info).ReadHolderOf(IdAt(info, 0), &record)) return info.Env().Null();
  return RecordValue(info.Env(), record);
}

Value KeyOf(const CallbackInfo& info) {
  return Napi::String::New(info.Env(), EnvironmentOf(info).KeyOfLock(IdAt(info, 0)));
}

Value SetQueued(const CallbackInfo& info) {
  EnvironmentOf(info).SetQueued(StringAt(info, 0), FlagAt(info, 1));
  return info.Env().Undefined();
}

Value SetReferenced(const CallbackInfo& info) {
  AddonData::Of(info).SetReferenced(FlagAt(info, 0));
  return info.Env().Undefined();
}

// ---- What the last call brought ----

Value LastKey(const CallbackInfo& info) {
  return Napi::String::New(info.Env(), EnvironmentOf(info).result_key());
}

Value LastErrorValue(const CallbackInfo& info) {
  return ErrorValueOf(info.Env(), EnvironmentOf(info).last_error());
}

Napi::Array ProcessIdsValue(Napi::Env env, const std::vector<int64_t>& pids) {
  Napi::Array array = Napi::Array::New(env);
  for (uint32_t index = 0; index < pids.size(); index++) {
    array.Set(index, static_cast<double>(pids[index]));
  }
  return array;
}

Value LastInspection(const CallbackInfo& info) {
  const Inspection& inspection = EnvironmentOf(info).result_inspection();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("path", inspection.path);
  object.Set("fileSystem", inspection.file_system.name);
  object.Set("fileSystemClass", static_cast<double>(inspection.file_system.kind));
  object.Set("known", inspection.known);
  object.Set("held", inspection.held);
  object.Set("shared", inspection.shared);
  object.Set("liveness", static_cast<double>(inspection.liveness));
  object.Set("record", RecordValue(info.Env(), inspection.record));
  object.Set("pids", ProcessIdsValue(info.Env(), inspection.pids));
  object.Set("inheritors", ProcessIdsValue(info.Env(), inspection.inheritors));
  return object;
}

Value StartToken(const CallbackInfo& info) {
  return Napi::String::New(info.Env(), EnvironmentOf(info).start_token());
}

// ---- Commands ----

// The error, or undefined.
Value BindDescendants(const CallbackInfo& info) {
  const Error error = holdfast::BindDescendants();
  return error.ok() ? info.Env().Undefined() : ErrorValueOf(info.Env(), error);
}

// The number, or an error.
Value CountDescendants(const CallbackInfo& info) {
  uint32_t count = 0;
  const Error error = holdfast::CountDescendants(&count);
  if (!error.ok()) return ErrorValueOf(info.Env(), error);
  return Napi::Number::New(info.Env(), count);
}

// (path) The error, or undefined.
Value TryAttribute(const CallbackInfo& info) {
  const Error error = holdfast::TryAttribute(StringAt(info, 0));
  return error.ok() ? info.Env().Undefined() : ErrorValueOf(info.Env(), error);
}

// For tests of the parser: (block, fileSize).
Value ParseRecord(const CallbackInfo& info) {
  const Bytes block = BytesAt(info, 0);
  return RecordValue(info.Env(), DecodeRecord(block.data, block.size, NumberAt(info, 1)));
}

}  // namespace

void ExportLockFunctions(Napi::Object exports, AddonData* data) {
  using namespace arguments;
  const auto claimant = kOptionalText + kOptionalText + kOptionalId;
  const auto request = kText + kOptionalText + kNumber + kNumber + claimant + kOptionalText;
  Export<Acquire>(exports, "acquire", data, request);
  Export<StartAcquire>(exports, "startAcquire", data, request);
  Export<StartTouch>(exports, "startTouch", data, request);
  Export<StartInspect>(exports, "startInspect", data, request);
  Export<Release>(exports, "release", data, kId);
  Export<ReleaseToHeirs>(exports, "releaseToHeirs", data, kId);
  Export<StartRelease>(exports, "startRelease", data, kId);
  Export<StartGiveBack>(exports, "startGiveBack", data, kId);
  Export<Verify>(exports, "verify", data, kId);
  Export<StartVerify>(exports, "startVerify", data, kId);
  Export<ShowLife>(exports, "showLife", data, kId);
  Export<StartShowLife>(exports, "startShowLife", data, kId);
  Export<StartShowLateLife>(exports, "startShowLateLife", data, kId);
  Export<DescriptorOfHeld>(exports, "descriptorOf", data, kId);
  Export<PreviousOf>(exports, "previousOf", data, kId);
  Export<StartWait>(exports, "startWait", data, kId + claimant);
  Export<AwaitWait>(exports, "awaitWait", data, kId + kNumber);
  Export<Complete>(exports, "complete", data, kId + kNumber + claimant);
  Export<StartComplete>(exports, "startComplete", data, kId + claimant);
  Export<Cancel>(exports, "cancel", data, kId);
  Export<InterruptCancelled>(exports, "interruptCancelled", data, kNothing);
  Export<LookAtWait>(exports, "lookAtWait", data, kId);
  Export<LookIntervalOf>(exports, "lookIntervalOf", data, kId);
  Export<TakeOver>(exports, "takeOver", data, kId + kNumber + request);
  Export<StartTakeOver>(exports, "startTakeOver", data, kId + request);
  Export<ConflictsWithHeld>(exports, "conflictsWithHeld", data, kId);
  Export<HolderOf>(exports, "holderOf", data, kId);
  Export<KeyOf>(exports, "keyOf", data, kId);
  Export<SetQueued>(exports, "setQueued", data, kText + kFlag);
  Export<SetReferenced>(exports, "setReferenced", data, kFlag);
  Export<BindDescendants>(exports, "bindDescendants", data, kNothing);
  Export<CountDescendants>(exports, "countDescendants", data, kNothing);
  Export<TryAttribute>(exports, "tryAttribute", data, kText);
  Export<LastKey>(exports, "lastKey", data, kNothing);
  Export<LastErrorValue>(exports, "lastError", data, kNothing);
  Export<LastInspection>(exports, "lastInspection", data, kNothing);
  Export<StartToken>(exports, "startToken", data, kNothing);
  Export<ParseRecord>(exports, "parseRecord", data, kBytes + kNumber);
}

}  // namespace holdfast
