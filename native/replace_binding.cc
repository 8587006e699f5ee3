#include "replace_binding.h"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "binding.h"
#include "pool_worker.h"
#include "read_file.h"
#include "remove_file.h"
#include "replace.h"

namespace holdfast {

namespace {

using Napi::CallbackInfo;
using Napi::Value;

// The steps that one call makes, as src/native.ts sets them.
enum StepFlag : uint32_t { kBegin = 1, kWrite = 2, kCommit = 4, kLastTry = 8 };

// Properties that are found on a prototype are nobody's options.
Value OwnValue(const Napi::Object& options, const char* name) {
  return options.HasOwnProperty(name) ? Value(options.Get(name)) : options.Env().Undefined();
}

// In a thread that is being terminated no property can be read: the value is empty then, and has no type.
std::string StringOf(const Napi::Object& options, const char* name) {
  const Value value = OwnValue(options, name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

bool FlagOf(const Napi::Object& options, const char* name) {
  const Value value = OwnValue(options, name);
  return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

int64_t NumberOf(const Napi::Object& options, const char* name) {
  const Value value = OwnValue(options, name);
  return value.IsNumber() ? value.As<Napi::Number>().Int64Value() : 0;
}

std::optional<uint32_t> OptionalNumberOf(const Napi::Object& options, const char* name) {
  const Value value = OwnValue(options, name);
  if (!value.IsNumber()) return std::nullopt;
  return value.As<Napi::Number>().Uint32Value();
}

ParentPolicy ParentsOf(const Napi::Object& options) {
  return FlagOf(options, "refuseParentLinks") ? ParentPolicy::kRefuseLinks : ParentPolicy::kTrust;
}

// What openReplacement() is told by one number, as src/native.ts puts it together: reading a property takes as long as a
// short system call.
enum ReplaceFlag : uint32_t {
  kReplaceLinkFlag = 1,
  kRefuseLinkedParentsFlag = 2,
  kSplitHardLinksFlag = 4,
  kCreateOnlyFlag = 8,
  kKeepModeFlag = 16,
  kKeepOwnerFlag = 32,
  kKeepAttributesFlag = 64,
  kKeepAccessListFlag = 128,
  kMakeDirectoriesFlag = 256,
};
constexpr uint32_t kDurabilityShift = 9;
constexpr uint32_t kCopyFallbackShift = 11;
constexpr uint32_t kTwoBits = 3;
constexpr uint32_t kReplaceOfAnyOwnerFlag = 1U << 13;

void ApplyFlags(uint32_t flags, ReplaceRequest* request) {
  const auto is_set = [flags](uint32_t flag) { return (flags & flag) != 0; };
  request->links =
      is_set(kReplaceLinkFlag) ? TargetLinkPolicy::kReplace : TargetLinkPolicy::kRefuse;
  request->directory.parents =
      is_set(kRefuseLinkedParentsFlag) ? ParentPolicy::kRefuseLinks : ParentPolicy::kTrust;
  request->split_hard_links = is_set(kSplitHardLinksFlag);
  request->create_only = is_set(kCreateOnlyFlag);
  request->trust_any_owner = is_set(kReplaceOfAnyOwnerFlag);
  request->keep_mode = is_set(kKeepModeFlag);
  request->keep_owner = is_set(kKeepOwnerFlag);
  request->keep_attributes = is_set(kKeepAttributesFlag);
  request->keep_access_list = is_set(kKeepAccessListFlag);
  request->directory.make = is_set(kMakeDirectoriesFlag);
  request->durability = static_cast<Durability>((flags >> kDurabilityShift) & kTwoBits);
  request->directory.flush_made = request->durability == Durability::kFull;
  request->copy_fallback = static_cast<CopyFallback>((flags >> kCopyFallbackShift) & kTwoBits);
}

// What few replaces ask for.
void ApplyOptions(const Napi::Object& options, const Environment& environment,
                  ReplaceRequest* request) {
  request->directory.within = StringOf(options, "within");
  request->undo_directory = StringOf(options, "journalDir");
  request->directory.mode = OptionalNumberOf(options, "dirMode");
  request->directory.required_mode = OptionalNumberOf(options, "requireDirMode");
  request->directory.tightened_mode = OptionalNumberOf(options, "tightenDir");
  const Value expected = OwnValue(options, "expected");
  if (expected.IsString()) {
    request->expected = VersionOfText(expected.As<Napi::String>().Utf8Value());
  }
  const auto lock = static_cast<Environment::Id>(NumberOf(options, "lock"));
  if (lock != 0) request->lock = environment.ShareHeld(lock);
}

Napi::Object ErrorValue(Napi::Env env, const ReplaceError& failure) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("phase", failure.phase);
  object.Set("published", failure.published);
  object.Set("conflict", failure.conflict);
  object.Set("cancelled", failure.cancelled);
  object.Set("lost", failure.lost);
  object.Set("transient", failure.transient());
  object.Set("targetState", static_cast<double>(failure.target_state));
  object.Set("error", ErrorValueOf(env, failure.error));
  return object;
}

// The bits of a result above its method, as src/native.ts reads them.
enum ResultFlag : uint32_t {
  kDurableFlag = 4,
  kSupersededFlag = 8,
  kKeptModeFlag = 16,
  kKeptOwnerFlag = 32,
  kKeptAttributesFlag = 64,
  kKeptAccessListFlag = 128,
};

// [flags, identity], and what kept the file from being renamed, if anything did.
Napi::Object ResultValue(Napi::Env env, const ReplaceResult& result) {
  auto flags = static_cast<uint32_t>(result.method);
  if (result.durable) flags |= kDurableFlag;
  if (result.superseded) flags |= kSupersededFlag;
  if (result.kept_mode) flags |= kKeptModeFlag;
  if (result.kept_owner) flags |= kKeptOwnerFlag;
  if (result.kept_attributes) flags |= kKeptAttributesFlag;
  if (result.kept_access_list) flags |= kKeptAccessListFlag;
  const bool fell_back = !result.fallback.ok();
  Napi::Array array = Napi::Array::New(env, fell_back ? 3 : 2);
  array.Set(0U, static_cast<double>(flags));
  array.Set(1U, VersionText(result.version));
  if (fell_back) array.Set(2U, ErrorValueOf(env, result.fallback));
  return array;
}

class Steps;

// A replacement that JavaScript knows by an id.
struct OpenedReplacement : Replacement {
  using Replacement::Replacement;
  std::mutex mutex;                // held for each of its steps
  std::shared_ptr<Steps> started;  // those that were started last
};

// Some of the steps of one replace. They are run once, by whichever thread comes first: the pool's, or JavaScript's when it
// cannot wait for that one.
class Steps {
 public:
  explicit Steps(uint32_t flags) : flags_(flags) {}

  // Memory of a JavaScript buffer, which must not be used when JavaScript runs again.
  void Borrow(const Bytes& bytes) { bytes_ = bytes; }
  // A copy: JavaScript may transfer or shrink the buffer meanwhile.
  void Copy(const Bytes& bytes) {
    copy_.assign(bytes.data, bytes.data + bytes.size);
    bytes_ = {copy_.data(), bytes.size};
  }
  // How much will be written by later steps.
  void Announce(size_t size) { announced_ = size; }

  // Waits for the thread that runs them already, if one does. Without a replacement they fail: it was closed.
  void Run(OpenedReplacement* replacement) {
    if (replacement == nullptr) {
      error_.error = Error::FromSystem(EBADF, "write");
      error_.phase = "open";
      return;
    }
    const std::lock_guard<std::mutex> guard(replacement->mutex);
    if (done_) return;
    done_ = true;
    // What was done before another try is not done again.
    const bool begins = (flags_ & kBegin) != 0 && !replacement->begun();
    if (begins) error_ = replacement->Begin(std::max(bytes_.size, announced_));
    const bool writes = (flags_ & kWrite) != 0 && (begins || (flags_ & kBegin) == 0);
    if (error_.ok() && writes) error_ = replacement->Write(bytes_.data, bytes_.size);
    if (error_.ok() && (flags_ & kCommit) != 0)
      error_ = replacement->Commit((flags_ & kLastTry) != 0, &result_);
    copy_ = {};
  }

  bool transient() const { return error_.transient(); }
  Napi::Object ToValue(Napi::Env env) const {
    return error_.ok() ? ResultValue(env, result_) : ErrorValue(env, error_);
  }

 private:
  const uint32_t flags_;
  Bytes bytes_;
  size_t announced_ = 0;
  std::vector<char> copy_;
  bool done_ = false;
  ReplaceError error_;
  ReplaceResult result_;
};

struct StartedSteps {
  std::shared_ptr<OpenedReplacement> replacement;
  std::shared_ptr<Steps> steps;

  void Run() { steps->Run(replacement.get()); }
  Napi::Object ToValue(Napi::Env env) const { return steps->ToValue(env); }
};

// Null when it was closed.
std::shared_ptr<OpenedReplacement> OpenedAt(const CallbackInfo& info) {
  return std::static_pointer_cast<OpenedReplacement>(
      AddonData::Of(info).FindReplacement(IdAt(info, 0)));
}

// (path, flags, mode or undefined, options or undefined, ...)
std::shared_ptr<OpenedReplacement> ReplacementOf(const CallbackInfo& info) {
  ReplaceRequest request;
  request.path = StringAt(info, 0);
  ApplyFlags(NumberAt(info, 1), &request);
  if (info[2].IsNumber()) request.mode = NumberAt(info, 2);
  if (info[3].IsObject()) {
    ApplyOptions(info[3].As<Napi::Object>(), EnvironmentOf(info), &request);
  }
  return std::make_shared<OpenedReplacement>(std::move(request));
}

Value Keep(const CallbackInfo& info, std::shared_ptr<Replacement> replacement) {
  if (info.Env().IsExceptionPending()) return {};  // an option could not be read
  const uint64_t id = AddonData::Of(info).AddReplacement(std::move(replacement));
  return NumberValue(info, id);
}

Value OpenReplacement(const CallbackInfo& info) { return Keep(info, ReplacementOf(info)); }

// (id, flags, bytes or undefined, size of all that follows or undefined)
Value ReplaceSteps(const CallbackInfo& info) {
  auto replacement = OpenedAt(info);
  auto steps = std::make_shared<Steps>(NumberAt(info, 1));
  steps->Copy(BytesAt(info, 2));
  if (info[3].IsNumber()) steps->Announce(static_cast<size_t>(IntegerAt(info, 3)));
  if (replacement != nullptr) replacement->started = steps;
  return PoolWorker<StartedSteps>::Start(info.Env(),
                                         StartedSteps{std::move(replacement), std::move(steps)});
}

// The same on this thread.
Value ReplaceStepsSync(const CallbackInfo& info) {
  Steps steps(NumberAt(info, 1));
  steps.Borrow(BytesAt(info, 2));
  if (info[3].IsNumber()) steps.Announce(static_cast<size_t>(IntegerAt(info, 3)));
  steps.Run(OpenedAt(info).get());
  return steps.ToValue(info.Env());
}

// Runs the steps that ReplaceSteps() has started, or waits for the pool's thread that does. Undefined when there are none.
Value FinishSteps(const CallbackInfo& info) {
  const auto replacement = OpenedAt(info);
  if (replacement == nullptr || replacement->started == nullptr) return info.Env().Undefined();
  const std::shared_ptr<Steps> steps = replacement->started;
  steps->Run(replacement.get());
  return steps->ToValue(info.Env());
}

// As OpenReplacement(), with the steps behind: all that most replaces need, in one call. What may be tried again is kept, under
// the failure's `id`.
Value ReplaceSync(const CallbackInfo& info) {
  // First: what reads options may be led to change the bytes.
  auto replacement = ReplacementOf(info);
  if (info.Env().IsExceptionPending()) return {};
  Steps steps(NumberAt(info, 4));
  steps.Borrow(BytesAt(info, 5));
  steps.Run(replacement.get());
  Napi::Object value = steps.ToValue(info.Env());
  if (steps.transient()) value.Set("id", Keep(info, std::move(replacement)));
  return value;
}

Value CancelReplacement(const CallbackInfo& info) {
  const auto replacement = AddonData::Of(info).FindReplacement(IdAt(info, 0));
  if (replacement != nullptr) replacement->Cancel();
  return info.Env().Undefined();
}

Value CloseReplacement(const CallbackInfo& info) {
  AddonData::Of(info).RemoveReplacement(IdAt(info, 0));
  return info.Env().Undefined();
}

// ---- Reading ----

struct Reading {
  ReadRequest request;
  ReadOutcome outcome;
  Error error;

  void Run() { error = ReadRegularFile(request, &outcome); }

  Napi::Object ToValue(Napi::Env env) const {
    Napi::Object object = Napi::Object::New(env);
    object.Set("ok", error.ok());
    object.Set("transient", error.transient);
    object.Set("exists", outcome.exists);
    if (!error.ok()) {
      object.Set("error", ErrorValueOf(env, error));
    } else if (outcome.exists) {
      object.Set("identity", VersionText(outcome.version));
      object.Set("modifiedMs", static_cast<double>(outcome.version.modified) / 1e6);
      object.Set("contents",
                 Napi::Buffer<char>::Copy(env, outcome.contents.data(), outcome.contents.size()));
    }
    return object;
  }
};

Reading ReadingOf(const CallbackInfo& info) {
  const auto options = info[0].As<Napi::Object>();
  Reading reading;
  reading.request.path = StringOf(options, "path");
  reading.request.parents = ParentsOf(options);
  reading.request.trust_any_owner = FlagOf(options, "anyOwner");
  reading.request.within = StringOf(options, "within");
  reading.request.max_bytes = static_cast<uint64_t>(NumberOf(options, "maxBytes"));
  reading.request.undo_directory = StringOf(options, "journalDir");
  return reading;
}

Value ReadFile(const CallbackInfo& info) {
  Reading reading = ReadingOf(info);
  if (info.Env().IsExceptionPending()) return {};
  return PoolWorker<Reading>::Start(info.Env(), std::move(reading));
}

Value ReadFileSync(const CallbackInfo& info) {
  Reading reading = ReadingOf(info);
  if (info.Env().IsExceptionPending()) return {};
  reading.Run();
  return reading.ToValue(info.Env());
}

// ---- Removing ----

struct Removal {
  RemoveRequest request;
  bool removed = false;
  Error error;

  void Run() { error = RemoveFile(request, &removed); }

  Napi::Object ToValue(Napi::Env env) const {
    Napi::Object object = Napi::Object::New(env);
    object.Set("ok", error.ok());
    object.Set("removed", removed);
    object.Set("transient", error.transient);
    if (!error.ok()) object.Set("error", ErrorValueOf(env, error));
    return object;
  }
};

Value RemoveRegularFile(const CallbackInfo& info) {
  const auto options = info[0].As<Napi::Object>();
  Removal removal;
  removal.request.path = StringOf(options, "path");
  removal.request.parents = ParentsOf(options);
  if (options.Has("expected")) {
    removal.request.expected = VersionOfText(StringOf(options, "expected"));
  }
  if (info.Env().IsExceptionPending()) return {};
  return PoolWorker<Removal>::Start(info.Env(), std::move(removal));
}

struct Listing {
  std::string path;
  ParentPolicy parents = ParentPolicy::kTrust;
  std::vector<std::string> names;
  Error error;

  void Run() { error = ListNames(path, parents, &names); }

  Napi::Object ToValue(Napi::Env env) const {
    Napi::Object object = Napi::Object::New(env);
    object.Set("ok", error.ok());
    if (!error.ok()) object.Set("error", ErrorValueOf(env, error));
    Napi::Array listed = Napi::Array::New(env, names.size());
    uint32_t index = 0;
    for (const std::string& name : names) listed.Set(index++, name);
    object.Set("names", listed);
    return object;
  }
};

// (path, refuseParentLinks)
Value ListDirectory(const CallbackInfo& info) {
  Listing listing;
  listing.path = StringAt(info, 0);
  listing.parents = FlagAt(info, 1) ? ParentPolicy::kRefuseLinks : ParentPolicy::kTrust;
  return PoolWorker<Listing>::Start(info.Env(), std::move(listing));
}

}  // namespace

void ExportReplaceFunctions(Napi::Object exports, AddonData* data) {
  using namespace arguments;
  const auto replace = kText + kNumber + kOptionalNumber + kOptionalOptions;
  const auto steps = kId + kNumber + kOptionalBytes + kOptionalNumber;
  Export<OpenReplacement>(exports, "openReplacement", data, replace);
  Export<ReplaceSteps>(exports, "replaceSteps", data, steps);
  Export<ReplaceStepsSync>(exports, "replaceStepsSync", data, steps);
  Export<FinishSteps>(exports, "finishSteps", data, kId);
  Export<ReplaceSync>(exports, "replaceSync", data, replace + kNumber + kBytes);
  Export<CancelReplacement>(exports, "cancelReplacement", data, kId);
  Export<CloseReplacement>(exports, "closeReplacement", data, kId);
  Export<ReadFile>(exports, "readFile", data, kOptions);
  Export<ReadFileSync>(exports, "readFileSync", data, kOptions);
  Export<RemoveRegularFile>(exports, "removeFile", data, kOptions);
  Export<ListDirectory>(exports, "listNames", data, kText + kFlag);
}

}  // namespace holdfast
